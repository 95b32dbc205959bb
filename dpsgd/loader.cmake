target_sources(velum_dpsgd PRIVATE src/loader.cpp)
target_sources(velum_dpsgd PUBLIC FILE_SET HEADERS
  BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/include" FILES include/velum/dpsgd/loader.h)
target_link_libraries(velum_dpsgd PUBLIC velum::sampling)
