velum_add_library(features
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/data/fashion_mnist.h
    include/velum/dpsgd/data/idx.h
    include/velum/dpsgd/features/feature_cache.h
    include/velum/dpsgd/features/preconditioner.h
    include/velum/dpsgd/features/private_moments.h
    include/velum/dpsgd/features/random_shapes.h
    include/velum/dpsgd/features/scattering.h
  SOURCES
    src/data/fashion_mnist.cpp
    src/data/idx.cpp
    src/features/feature_cache.cpp
    src/features/preconditioner.cpp
    src/features/private_moments.cpp
    src/features/random_shapes.cpp
    src/features/row_kernels.cpp
    src/features/scattering.cpp
    src/features/scattering_filters.cpp
    src/features/scattering_simd.cpp
    src/features/second_moments.cpp
  PUBLIC velum::kernels
  PRIVATE Eigen3::Eigen OpenSSL::Crypto PkgConfig::libhwy ZLIB::ZLIB)
