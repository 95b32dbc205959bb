include(CheckLanguage)

option(VELUM_BUILD_TESTS "Build the test suites" ${PROJECT_IS_TOP_LEVEL})
option(VELUM_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(VELUM_BUILD_CLI "Build the command-line program" ${PROJECT_IS_TOP_LEVEL})
option(VELUM_BUILD_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(VELUM_WARNINGS_AS_ERRORS "Treat compiler warnings as errors" ${PROJECT_IS_TOP_LEVEL})
option(VELUM_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(VELUM_FUZZ "Build the fuzz targets with libFuzzer (needs clang)" OFF)
option(VELUM_DEBUG_SYNC "Synchronise after every CUDA launch, to find the kernel that failed" OFF)

if(NOT DEFINED VELUM_WITH_CUDA)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(velum_cuda_default ON)
  else()
    set(velum_cuda_default OFF)
  endif()
endif()
option(VELUM_WITH_CUDA "Build the CUDA backend (needs nvcc)" ${velum_cuda_default})
option(VELUM_WITH_EMULATION
       "Run the compiled CUDA kernels on the CPU, translated from their PTX, in the tests"
       ${VELUM_WITH_CUDA})
if(VELUM_WITH_EMULATION AND NOT VELUM_WITH_CUDA)
  message(FATAL_ERROR "VELUM_WITH_EMULATION=ON needs VELUM_WITH_CUDA=ON: it runs what nvcc compiled")
endif()

set(VELUM_TORCH_DIR "" CACHE PATH
    "Folder of the torch package (the one that holds include/ and lib/); empty: .venv, then python3")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# ccache keeps its store outside the tree, so a fresh clone builds from it. The sloppiness is what
# precompiled headers need (ccache manual, "Precompiled headers").
find_program(VELUM_CCACHE ccache)
mark_as_advanced(VELUM_CCACHE)
if(VELUM_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(velum_launcher ${CMAKE_COMMAND} -E env
      "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime"
      "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" "CCACHE_NOHASHDIR=1" ${VELUM_CCACHE})
  foreach(lang CXX CUDA)
    if(NOT CMAKE_${lang}_COMPILER_LAUNCHER)
      set(CMAKE_${lang}_COMPILER_LAUNCHER ${velum_launcher})
    endif()
  endforeach()
endif()

# pip says no number of jobs, and ninja would take the cores and two more. A source with torch's headers
# needs 2 GiB. CMAKE_BUILD_PARALLEL_LEVEL asks for less.
if(SKBUILD)
  cmake_host_system_information(RESULT velum_cores QUERY NUMBER_OF_LOGICAL_CORES)
  cmake_host_system_information(RESULT velum_mib QUERY AVAILABLE_PHYSICAL_MEMORY)
  math(EXPR velum_jobs "${velum_mib} / 2048")
  if(velum_jobs GREATER velum_cores)
    set(velum_jobs ${velum_cores})
  elseif(velum_jobs LESS 1)
    set(velum_jobs 1)
  endif()
  set_property(GLOBAL PROPERTY JOB_POOLS velum_compile=${velum_jobs})
  set(CMAKE_JOB_POOL_COMPILE velum_compile)
endif()

if(VELUM_WITH_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    # Machine code for A100 and H100; PTX of the newest for everything later.
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;90-virtual")
  endif()
  enable_language(CUDA)
  # Nothing gets a runtime library by itself: a program links CUDA's shared one, or the emulated one.
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
endif()
