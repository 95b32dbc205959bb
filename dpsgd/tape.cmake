# velum::dpsgd: the tape and the engine. No torch header is seen by nvcc; torch's current CUDA
# stream is read in one file, which a build without CUDA replaces.
velum_add_library(dpsgd
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/clipping.h
    include/velum/dpsgd/image_views.h
    include/velum/dpsgd/per_sample_gradients.h
    include/velum/dpsgd/privacy_engine.h
    include/velum/dpsgd/torch_bridge.h
    include/velum/dpsgd/weight_average.h
  SOURCES
    src/clipper.cpp
    src/clipping.cpp
    src/image_views.cpp
    src/per_sample_gradients.cpp
    src/privacy_engine.cpp
    src/tape/graph.cpp
    src/tape/node_arguments.cpp
    src/tape/operand_gradient.cpp
    src/tape/parameter_gradient.cpp
    src/tape/parameter_path.cpp
    src/tape/row_mapping.cpp
    src/tape/rules.cpp
    src/tape/sample_groups.cpp
    src/tape/tape.cpp
    src/torch_bridge.cpp
    src/weight_average.cpp
  PUBLIC velum::accounting velum::kernels velum::sampling velum::torch
  PRIVATE velum::torch_threads $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
if(VELUM_TORCH_HAS_CUDA)
  target_sources(velum_dpsgd PRIVATE src/torch_bridge_cuda.cpp)
  target_include_directories(velum_dpsgd SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(velum_dpsgd PRIVATE velum_torch_c10_cuda)
else()
  target_sources(velum_dpsgd PRIVATE src/torch_bridge_cpu.cpp)
endif()

# The names of torch's autograd nodes, for node_arguments.cpp.
file(STRINGS "${VELUM_TORCH_DIR}/include/torch/csrc/autograd/generated/Functions.h" velum_nodes
     REGEX "^struct TORCH_API [A-Za-z0-9_]+ : public ")
list(TRANSFORM velum_nodes REPLACE "^struct TORCH_API ([A-Za-z0-9_]+) :.*" "VELUM_NODE(\\1)")
list(JOIN velum_nodes "\n" velum_nodes)
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/generated/autograd_nodes.inc"
     CONTENT "${velum_nodes}\n" @ONLY)
target_include_directories(velum_dpsgd PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/generated")
