velum_add_library(sampling
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/poisson_sampler.h
  SOURCES
    src/poisson_sampler.cpp
  PUBLIC velum::accounting velum::kernels)
