# cmake --install: the libraries and headers for find_package(velum), component "development"; the
# program, component "program" (its rule stands in cli/).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

get_property(velum_libraries GLOBAL PROPERTY velum_libraries)
install(TARGETS ${velum_libraries} EXPORT velumTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)

set(velum_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/velum")
install(EXPORT velumTargets NAMESPACE velum:: DESTINATION "${velum_package_dir}"
        COMPONENT development)
configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/velumConfig.cmake.in" "${PROJECT_BINARY_DIR}/velumConfig.cmake"
  INSTALL_DESTINATION "${velum_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/velumConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/velumConfig.cmake"
              "${PROJECT_BINARY_DIR}/velumConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/VelumTorch.cmake"
        DESTINATION "${velum_package_dir}" COMPONENT development)
