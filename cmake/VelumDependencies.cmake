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

# The Python that torch is installed for. pybind11 is the copy among torch's headers: an extension
# that takes torch's tensors must agree with torch on it.
if(NOT DEFINED Python_EXECUTABLE)
  cmake_path(SET velum_torch_python NORMALIZE "${VELUM_TORCH_DIR}/../../../../bin/python")
  if(EXISTS "${velum_torch_python}")
    set(Python_EXECUTABLE "${velum_torch_python}")
  endif()
endif()
find_package(Python 3.11 COMPONENTS Interpreter Development.Module)
set(velum_python_default OFF)
# An extension with sanitizers needs a Python that has them, too.
if(PROJECT_IS_TOP_LEVEL AND Python_Development.Module_FOUND AND NOT VELUM_SANITIZE AND NOT VELUM_FUZZ)
  set(velum_python_default ON)
endif()
option(VELUM_BUILD_PYTHON "Build the Python package (needs the headers of Python)"
       ${velum_python_default})
if(VELUM_BUILD_PYTHON)
  velum_import_torch_library(torch_python)
  add_library(velum::torch_python ALIAS velum_torch_torch_python)
endif()
