# Every dependency becomes an imported target here; nothing else in the tree searches for one.
find_package(Threads REQUIRED)
find_package(TBB REQUIRED)

find_package(PkgConfig REQUIRED)
pkg_check_modules(libhwy REQUIRED IMPORTED_TARGET libhwy)

find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET "sqlite3>=3.37") # STRICT tables
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(Boost 1.74 REQUIRED CONFIG) # headers alone: Math; big integers of the oracles
# Header only, of the type that the user names; the compiled library is of floats.
find_path(KISSFFT_INCLUDE_DIR kissfft/kissfft.hh REQUIRED)
if(VELUM_BUILD_CLI OR VELUM_BUILD_BENCHMARKS)
  find_package(CLI11 2.0 REQUIRED)
endif()
if(VELUM_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(VELUM_BUILD_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()
if(VELUM_WITH_CUDA)
  find_package(CUDAToolkit 13.0 REQUIRED)
endif()

include(VelumTorch)
