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
