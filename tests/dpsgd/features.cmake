# Tests of velum::features.
velum_add_test(dpsgd_idx_test SOURCES idx_test.cpp LIBRARIES velum::features ZLIB::ZLIB)
velum_add_test(dpsgd_scattering_test
  SOURCES scattering_test.cpp "${PROJECT_SOURCE_DIR}/tests/reference/scattering_by_convolution.cpp"
  LIBRARIES velum::features PkgConfig::libhwy)
target_compile_definitions(dpsgd_scattering_test_objects
  PRIVATE VELUM_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
velum_add_test(dpsgd_random_shapes_test SOURCES random_shapes_test.cpp LIBRARIES velum::features)
velum_add_test(dpsgd_preconditioner_test SOURCES preconditioner_test.cpp
               LIBRARIES velum::features PkgConfig::libhwy)
velum_add_test(dpsgd_private_moments_test SOURCES private_moments_test.cpp LIBRARIES velum::features)
velum_add_test(dpsgd_feature_cache_test SOURCES feature_cache_test.cpp LIBRARIES velum::features)
