# velum::torch: the C++ library inside the torch package.
#
# find_package(Torch) is not used: with the CUDA build of torch it insists on a CUDA toolkit, on a
# device to read an architecture from, and sets global flags. What it would tell us is four paths.
set(VELUM_TORCH_VERSION 2.11.0)

if(NOT VELUM_TORCH_DIR)
  set(velum_torch_candidates "")
  if(NOT SKBUILD) # a wheel is for the torch of the Python that builds it
    file(GLOB velum_torch_candidates
         "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  endif()
  if(NOT velum_torch_candidates)
    find_package(Python3 COMPONENTS Interpreter)
    if(Python3_FOUND)
      execute_process(
        COMMAND "${Python3_EXECUTABLE}" -c
                "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
        OUTPUT_VARIABLE velum_torch_candidates OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
  endif()
  if(velum_torch_candidates)
    list(GET velum_torch_candidates 0 velum_torch_found)
    if(SKBUILD)
      # pip makes an environment of another name for each build. Behind a link of the same name paths,
      # and so what ccache has compiled, stay.
      cmake_path(GET velum_torch_found PARENT_PATH velum_torch_packages)
      set(velum_torch_link "${PROJECT_BINARY_DIR}/torch_packages")
      file(REMOVE "${velum_torch_link}")
      file(CREATE_LINK "${velum_torch_packages}" "${velum_torch_link}" SYMBOLIC)
      set(velum_torch_found "${velum_torch_link}/torch")
    endif()
    set(VELUM_TORCH_DIR "${velum_torch_found}" CACHE PATH "" FORCE)
  endif()
endif()
if(NOT EXISTS "${VELUM_TORCH_DIR}/include/torch/csrc/autograd/generated/Functions.h")
  message(FATAL_ERROR
    "torch ${VELUM_TORCH_VERSION} was not found (VELUM_TORCH_DIR = '${VELUM_TORCH_DIR}').\n"
    "Run scripts/setup, or install torch==${VELUM_TORCH_VERSION} from the Python package index and "
    "set VELUM_TORCH_DIR to its folder (the one that holds include/ and lib/).")
endif()
file(STRINGS "${VELUM_TORCH_DIR}/version.py" velum_torch_version_line REGEX "^__version__ *= *")
if(NOT velum_torch_version_line MATCHES "'${VELUM_TORCH_VERSION}[+']")
  message(FATAL_ERROR
    "torch in ${VELUM_TORCH_DIR} says ${velum_torch_version_line}, expected "
    "${VELUM_TORCH_VERSION}: the tape reads that version's autograd nodes.")
endif()

function(velum_import_torch_library name)
  add_library(velum_torch_${name} SHARED IMPORTED GLOBAL)
  set_target_properties(velum_torch_${name} PROPERTIES
    IMPORTED_LOCATION "${VELUM_TORCH_DIR}/lib/lib${name}.so")
endfunction()
velum_import_torch_library(torch)
velum_import_torch_library(torch_cpu)
velum_import_torch_library(c10)

add_library(velum::torch INTERFACE IMPORTED GLOBAL)
set_property(TARGET velum::torch PROPERTY INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
  "${VELUM_TORCH_DIR}/include" "${VELUM_TORCH_DIR}/include/torch/csrc/api/include")
set_property(TARGET velum::torch PROPERTY INTERFACE_INCLUDE_DIRECTORIES
  "${VELUM_TORCH_DIR}/include" "${VELUM_TORCH_DIR}/include/torch/csrc/api/include")
set_property(TARGET velum::torch PROPERTY INTERFACE_LINK_LIBRARIES
  velum_torch_torch_cpu velum_torch_c10)

# The CUDA half of torch is loaded only by a build that can use it: loading it costs seconds.
if(VELUM_WITH_CUDA AND EXISTS "${VELUM_TORCH_DIR}/lib/libtorch_cuda.so")
  velum_import_torch_library(torch_cuda)
  velum_import_torch_library(c10_cuda)
  set(VELUM_TORCH_HAS_CUDA TRUE)
endif()

# velum::torch_threads: torch's own threads. at::parallel_for is a template of torch's headers and
# without OpenMP's flag runs on the calling thread alone. The run time must be the one that torch
# loads: a second one would be a second pool. Only GCC's compiler speaks to GCC's run time.
add_library(velum::torch_threads INTERFACE IMPORTED GLOBAL)
file(GLOB velum_torch_openmp "${VELUM_TORCH_DIR}/lib/libgomp*.so*"
     "${VELUM_TORCH_DIR}/../torch.libs/libgomp*.so*")
if(velum_torch_openmp AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(GET velum_torch_openmp 0 velum_torch_openmp)
  add_library(velum_torch_openmp SHARED IMPORTED GLOBAL)
  set_target_properties(velum_torch_openmp PROPERTIES IMPORTED_LOCATION "${velum_torch_openmp}")
  set_property(TARGET velum::torch_threads PROPERTY INTERFACE_COMPILE_OPTIONS
    $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  set_property(TARGET velum::torch_threads PROPERTY INTERFACE_LINK_LIBRARIES velum_torch_openmp)
else()
  message(WARNING "velum: per-sample gradients and noise will be computed on one CPU thread: "
    "OpenMP of torch's was not found, or the compiler is not GCC")
endif()
