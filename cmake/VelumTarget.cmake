# velum_add_library, velum_add_test, velum_add_benchmark, velum_add_executable: flags live on
# targets, here, and nowhere else.

add_library(velum_flags INTERFACE)
target_compile_features(velum_flags INTERFACE cxx_std_20)
# -ffp-contract=off: a fused multiply-add happens where the source says fma, so that every
# compiler computes the same bits.
target_compile_options(velum_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off;-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion>
  $<$<AND:$<BOOL:${VELUM_WARNINGS_AS_ERRORS}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>)
# GCC 12 sees overlaps in std::string's own operator+ (GCC bug 105651).
target_compile_options(velum_flags INTERFACE
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
if(VELUM_WITH_CUDA)
  # CMake 3.25 knows no cuda_std_20 for nvcc 13, so the dialect is a flag. --fmad=false: as above.
  target_compile_options(velum_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--fmad=false;-lineinfo;-Xcompiler=-Wall,-Wextra,-ffp-contract=off>
    $<$<AND:$<BOOL:${VELUM_WARNINGS_AS_ERRORS}>,$<COMPILE_LANGUAGE:CUDA>>:-Werror=all-warnings;-Xcompiler=-Werror>)
endif()
if(VELUM_DEBUG_SYNC)
  target_compile_definitions(velum_flags INTERFACE VELUM_DEBUG_SYNC)
endif()
if(VELUM_SANITIZE)
  target_compile_options(velum_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined;-fno-sanitize-recover=all;-fno-omit-frame-pointer>)
  # Checks hide from GCC that a variable was set; in torch's headers it then warns of std::optional.
  target_compile_options(velum_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
  target_link_options(velum_flags INTERFACE -fsanitize=address,undefined)
endif()

# velum_add_library(<name> HEADERS_DIR include SOURCES ... [CUDA_SOURCES ...] [PUBLIC ...] [PRIVATE ...])
# makes velum_<name> with the alias velum::<name>. Public headers are found under HEADERS_DIR and
# each is compiled on its own by the target velum_<name>_verify_interface_header_sets.
function(velum_add_library name)
  cmake_parse_arguments(ARG "" "HEADERS_DIR" "HEADERS;SOURCES;CUDA_SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target velum_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(velum::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON VERIFY_INTERFACE_HEADER_SETS ON)
  if(ARG_HEADERS)
    target_sources(${target} PUBLIC FILE_SET HEADERS
      BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_HEADERS_DIR}" FILES ${ARG_HEADERS})
  endif()
  set_property(GLOBAL APPEND PROPERTY velum_libraries ${target})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC ${ARG_PUBLIC}
                        PRIVATE $<BUILD_INTERFACE:velum_flags> ${ARG_PRIVATE})
  if(VELUM_WITH_CUDA AND ARG_CUDA_SOURCES)
    target_sources(${target} PRIVATE ${ARG_CUDA_SOURCES})
    # Whoever links this gets CUDA's runtime, unless it is a program with the emulated one.
    set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY None)
    target_link_libraries(${target} INTERFACE
      $<$<NOT:$<BOOL:$<TARGET_PROPERTY:VELUM_EMULATED_CUDA>>>:CUDA::cudart>)
    target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  endif()
endfunction()

# velum_add_executable(<name> SOURCES ... LIBRARIES ...): a program.
function(velum_add_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE velum_flags ${ARG_LIBRARIES})
endfunction()

# velum_add_test(<name> SOURCES ... LIBRARIES ... [EMULATED] [LABELS ...] [TIMEOUT s])
# One ctest entry per program. With EMULATED, and where the build has the emulation, the same object
# files are linked a second time, against the emulated CUDA runtime and the translated kernels:
# <name>_emulated. Its CUDA cases run there; in <name> they skip unless there is a device. Each run
# lists the kernels that it executed, for the test emulated_kernels_are_all_executed.
function(velum_add_test name)
  cmake_parse_arguments(ARG "EMULATED;TORCH" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_library(${name}_objects OBJECT ${ARG_SOURCES})
  target_link_libraries(${name}_objects PUBLIC velum_flags ${ARG_LIBRARIES} GTest::gtest GTest::gmock)
  target_include_directories(${name}_objects PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  if(ARG_TORCH)
    target_precompile_headers(${name}_objects REUSE_FROM velum_torch_pch)
  endif()
  velum_add_executable(${name} SOURCES $<TARGET_OBJECTS:${name}_objects>
                       LIBRARIES ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  if(ARG_TORCH)
    # Threads that wait for work would spin on the cores of the test beside this one. Which form of a
    # gradient is taken shall not depend on the machine.
    set_tests_properties(${name} PROPERTIES
                         ENVIRONMENT "OMP_WAIT_POLICY=PASSIVE;VELUM_COST_MODEL=default")
  endif()
  if(ARG_EMULATED AND VELUM_WITH_EMULATION)
    add_executable(${name}_emulated $<TARGET_OBJECTS:${name}_objects>)
    set_target_properties(${name}_emulated PROPERTIES VELUM_EMULATED_CUDA ON)
    target_link_libraries(${name}_emulated PRIVATE velum_flags ${ARG_LIBRARIES} GTest::gtest_main
                          GTest::gmock velum_cuda_emulation)
    # A second time with a grid of three blocks, so that small cases take the loops of large ones, and in
    # another order.
    # A program in which every case skips itself, or none is selected, has shown nothing.
    add_test(NAME ${name}_emulated COMMAND ${name}_emulated --gtest_filter=*Cuda*:*cuda*)
    add_test(NAME ${name}_emulated_small_grid
             COMMAND ${name}_emulated --gtest_filter=*Cuda*:*cuda*)
    set(executed "${CMAKE_CURRENT_BINARY_DIR}/${name}_emulated.executed")
    set_property(GLOBAL APPEND PROPERTY velum_executed_kernels "${executed}")
    set_tests_properties(${name}_emulated PROPERTIES
                         ENVIRONMENT "VELUM_EMULATION_EXECUTED=${executed}"
                         FIXTURES_SETUP velum_executed_kernels)
    set_tests_properties(${name}_emulated_small_grid PROPERTIES
                         ENVIRONMENT "VELUM_CUDA_MAX_BLOCKS=3;VELUM_EMULATION_SEED=2")
    set_tests_properties(${name}_emulated ${name}_emulated_small_grid PROPERTIES
                         TIMEOUT ${ARG_TIMEOUT} LABELS "emulated;${ARG_LABELS}"
                         FAIL_REGULAR_EXPRESSION "no CUDA device;Running 0 tests")
  endif()
endfunction()

# velum_add_benchmark(<name> SOURCES ... LIBRARIES ...)
function(velum_add_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  velum_add_executable(${name} SOURCES ${ARG_SOURCES}
                       LIBRARIES ${ARG_LIBRARIES} benchmark::benchmark_main benchmark::benchmark)
endfunction()
