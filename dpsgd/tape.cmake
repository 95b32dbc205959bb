velum_add_library(dpsgd
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/clipping.h
    include/velum/dpsgd/per_sample_gradients.h
    include/velum/dpsgd/privacy_engine.h
  SOURCES
    src/clipping.cpp
  PUBLIC velum::kernels velum::torch)
foreach(part accounting sampling)
  if(TARGET velum::${part})
    target_link_libraries(velum_dpsgd PUBLIC velum::${part})
  endif()
endforeach()
