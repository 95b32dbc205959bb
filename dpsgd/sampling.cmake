velum_add_library(sampling
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/poisson_sampler.h
    include/velum/dpsgd/user_poisson_sampler.h
  SOURCES
    src/poisson_sampler.cpp
    src/user_poisson_sampler.cpp
  PUBLIC velum::accounting velum::kernels)
