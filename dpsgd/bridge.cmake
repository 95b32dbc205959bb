# velum::torch_bridge: torch's tensors and streams for velum::kernels, linked into velum::dpsgd and
# velum::layer_gradients. No torch header is seen by nvcc; torch's current CUDA stream is read in one
# file, which a build without CUDA replaces.
velum_add_library(torch_bridge
  HEADERS_DIR include
  HEADERS include/velum/dpsgd/torch_bridge.h
  SOURCES src/torch_bridge.cpp src/torch_products.cpp
  PUBLIC velum::kernels velum::torch
  PRIVATE velum::torch_threads)
if(VELUM_TORCH_HAS_CUDA)
  target_sources(velum_torch_bridge PRIVATE src/torch_bridge_cuda.cpp)
  target_include_directories(velum_torch_bridge SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(velum_torch_bridge PRIVATE velum_torch_c10_cuda)
else()
  target_sources(velum_torch_bridge PRIVATE src/torch_bridge_cpu.cpp)
endif()
