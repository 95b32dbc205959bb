# Tests of velum::accounting.
foreach(subject batch_sampling mechanism rdp rdp_mechanisms rdp_to_dp gaussian_dp pld composition accountant calibration epsilon_schedule group_privacy
        hyperparameter_search
        atomic_file)
  velum_add_test(dpsgd_${subject}_test SOURCES ${subject}_test.cpp LIBRARIES velum::accounting)
endforeach()
foreach(subject privacy_statement training_report)
  velum_add_test(dpsgd_${subject}_test SOURCES ${subject}_test.cpp
                 LIBRARIES velum::accounting nlohmann_json::nlohmann_json)
endforeach()
# The oracle also looks at one direction at a time, and at error terms one by one.
velum_add_test(dpsgd_pld_oracle_test SOURCES pld_oracle_test.cpp LIBRARIES velum::accounting)
target_include_directories(dpsgd_pld_oracle_test_objects PRIVATE "${PROJECT_SOURCE_DIR}/dpsgd/src")
velum_add_test(dpsgd_accounting_fixtures_test SOURCES accounting_fixtures_test.cpp LIBRARIES velum::accounting)
velum_add_test(dpsgd_pld_simulation_test SOURCES pld_simulation_test.cpp
               LIBRARIES velum::accounting)
