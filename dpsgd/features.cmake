velum_add_library(features
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/data/fashion_mnist.h
    include/velum/dpsgd/data/idx.h
    include/velum/dpsgd/features/feature_cache.h
    include/velum/dpsgd/features/preconditioner.h
    include/velum/dpsgd/features/scattering.h
  SOURCES
    src/data/fashion_mnist.cpp
    src/data/idx.cpp
    src/features/scattering.cpp
    src/features/scattering_filters.cpp
    src/features/scattering_simd.cpp
  PUBLIC velum::kernels
  PRIVATE PkgConfig::libhwy ZLIB::ZLIB)
