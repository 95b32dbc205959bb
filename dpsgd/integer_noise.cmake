velum_add_library(integer_noise
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/integer_noise.h
    include/velum/dpsgd/integer_rounding.h
  SOURCES
    src/integer_noise.cpp
    src/integer_rounding.cpp
  PUBLIC velum::accounting velum::kernels)
