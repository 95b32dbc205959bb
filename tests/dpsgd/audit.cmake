velum_add_test(dpsgd_epsilon_lower_bound_test
  SOURCES epsilon_lower_bound_test.cpp LIBRARIES velum::audit_bounds)
target_include_directories(dpsgd_epsilon_lower_bound_test_objects
  PRIVATE "${PROJECT_SOURCE_DIR}/dpsgd/src")
velum_add_test(dpsgd_audit_test TORCH SOURCES audit_test.cpp LIBRARIES velum::audit)
velum_add_test(dpsgd_canary_audit_test TORCH SOURCES canary_audit_test.cpp LIBRARIES velum::audit)
velum_add_test(dpsgd_audit_report_test TORCH SOURCES audit_report_test.cpp
               LIBRARIES velum::audit nlohmann_json::nlohmann_json)
velum_add_test(dpsgd_engine_audit_test TORCH SOURCES engine_audit_test.cpp LIBRARIES velum::audit)
