# Per-sample gradients of convolutions and normalisations: velum::layer_gradients, linked into
# velum::dpsgd. tape.cmake includes this once velum::dpsgd exists.
include_guard()
velum_add_library(layer_gradients
  SOURCES
    src/conv/conv_aten.cpp
    src/conv/conv_cpu.cpp
    src/conv/conv_cpu_kernels.cpp
    src/conv/conv_fused.cpp
    src/conv/conv_weight_gradients.cpp
    src/lazy_rows_cpu.cpp
    src/linear/gram_cpu_kernels.cpp
    src/linear/product.cpp
    src/linear/product_cpu_kernels.cpp
    src/norm/norm_affine_gradients.cpp
    src/norm/norm_cpu_kernels.cpp
    src/recurrent/lstm_cpu_kernels.cpp
  PUBLIC velum::torch
  PRIVATE PkgConfig::libhwy velum::torch_bridge velum::torch_threads)
target_include_directories(velum_layer_gradients PUBLIC
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src>)
if(TARGET velum_dpsgd)
  target_link_libraries(velum_dpsgd PRIVATE velum::layer_gradients)
endif()
