# velum::dpsgd: the tape and the engine.
velum_add_library(dpsgd
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/clipping.h
    include/velum/dpsgd/cost_model.h
    include/velum/dpsgd/explain.h
    include/velum/dpsgd/gradient_method.h
    include/velum/dpsgd/image_views.h
    include/velum/dpsgd/keep_freed_memory.h
    include/velum/dpsgd/lazy_table.h
    include/velum/dpsgd/per_sample_gradients.h
    include/velum/dpsgd/privacy_engine.h
    include/velum/dpsgd/reduced_loss.h
    include/velum/dpsgd/weight_average.h
  SOURCES
    src/clipper.cpp
    src/clipping.cpp
    src/cost/cost_model.cpp
    src/gradient_method.cpp
    src/image_views.cpp
    src/keep_freed_memory.cpp
    src/lazy_rows.cpp
    src/lazy_table.cpp
    src/per_sample_gradients.cpp
    src/privacy_engine.cpp
    src/reduced_loss.cpp
    src/tape/embedding_gradient.cpp
    src/tape/frugal_backward.cpp
    src/tape/graph.cpp
    src/tape/linear_gradient.cpp
    src/tape/lstm_layer.cpp
    src/tape/node_arguments.cpp
    src/tape/operand_gradient.cpp
    src/tape/parameter_gradient.cpp
    src/tape/parameter_path.cpp
    src/tape/row_mapping.cpp
    src/tape/row_sketch.cpp
    src/tape/rules.cpp
    src/tape/sample_groups.cpp
    src/tape/saved_variables.cpp
    src/tape/tape.cpp
    src/weight_average.cpp
  PUBLIC velum::accounting velum::kernels velum::sampling velum::torch velum::torch_bridge
  PRIVATE velum::torch_threads $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)

# The names of torch's autograd nodes, for node_arguments.cpp, and of the tensors that they save, for
# saved_variables.cpp.
file(STRINGS "${VELUM_TORCH_DIR}/include/torch/csrc/autograd/generated/Functions.h" velum_lines
     REGEX "^(struct TORCH_API [A-Za-z0-9_]+ : public |  (std::vector<)?SavedVariable>? [A-Za-z0-9_]+;)")
set(velum_nodes "")
set(velum_saved "")
foreach(velum_line IN LISTS velum_lines)
  if(velum_line MATCHES "^struct TORCH_API ([A-Za-z0-9_]+) :")
    set(velum_node "${CMAKE_MATCH_1}")
    string(APPEND velum_nodes "VELUM_NODE(${velum_node})\n")
  elseif(velum_line MATCHES "SavedVariable>? ([A-Za-z0-9_]+)")
    string(APPEND velum_saved "VELUM_SAVED(${velum_node}, ${CMAKE_MATCH_1})\n")
  endif()
endforeach()
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/generated/autograd_nodes.inc"
     CONTENT "${velum_nodes}" @ONLY)
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/generated/autograd_saved_variables.inc"
     CONTENT "${velum_saved}" @ONLY)
target_include_directories(velum_dpsgd PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/generated")
