# The accountant: no torch, nothing of kernels.
velum_add_library(accounting
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/accounting/accountant.h
    include/velum/dpsgd/accounting/atomic_file.h
    include/velum/dpsgd/accounting/batch_sampling.h
    include/velum/dpsgd/accounting/calibration.h
    include/velum/dpsgd/accounting/central_limit_estimate.h
    include/velum/dpsgd/accounting/composition.h
    include/velum/dpsgd/accounting/distributed_noise.h
    include/velum/dpsgd/accounting/epsilon_schedule.h
    include/velum/dpsgd/accounting/gaussian_dp.h
    include/velum/dpsgd/accounting/mechanism.h
    include/velum/dpsgd/accounting/group_privacy.h
    include/velum/dpsgd/accounting/hyperparameter_search.h
    include/velum/dpsgd/accounting/pld_accountant.h
    include/velum/dpsgd/accounting/privacy_loss_distribution.h
    include/velum/dpsgd/accounting/privacy_statement.h
    include/velum/dpsgd/accounting/rdp.h
    include/velum/dpsgd/accounting/rdp_to_dp.h
    include/velum/dpsgd/accounting/release_guard.h
    include/velum/dpsgd/accounting/training_report.h
  SOURCES
    src/accounting/accountant.cpp
    src/accounting/atomic_file.cpp
    src/accounting/batch_sampling.cpp
    src/accounting/calibration.cpp
    src/accounting/central_limit_estimate.cpp
    src/accounting/composition.cpp
    src/accounting/distributed_noise.cpp
    src/accounting/epsilon_schedule.cpp
    src/accounting/gaussian_dp.cpp
    src/accounting/group_privacy.cpp
    src/accounting/hyperparameter_search.cpp
    src/accounting/mechanism.cpp
    src/accounting/pld/composed_loss.cpp
    src/accounting/pld/loss_lattice.cpp
    src/accounting/pld/loss_profile.cpp
    src/accounting/pld/pld_accountant.cpp
    src/accounting/pld/privacy_loss_distribution.cpp
    src/accounting/privacy_statement.cpp
    src/accounting/rdp.cpp
    src/accounting/rdp_mechanisms.cpp
    src/accounting/rdp_poisson.cpp
    src/accounting/rdp_without_replacement.cpp
    src/accounting/rdp_to_dp.cpp
    src/accounting/release_guard.cpp
    src/accounting/report_text.cpp
    src/accounting/training_report.cpp
  PRIVATE $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
set_source_files_properties(src/accounting/privacy_statement.cpp PROPERTIES
  COMPILE_DEFINITIONS "VELUM_VERSION=\"${PROJECT_VERSION}\"")
# Products of complex numbers are finite here: no second look for NaN, which costs a third.
target_include_directories(velum_accounting PRIVATE ${KISSFFT_INCLUDE_DIR})
set_source_files_properties(src/accounting/pld/composed_loss.cpp PROPERTIES
  COMPILE_OPTIONS "$<$<CXX_COMPILER_ID:GNU>:-fcx-limited-range>")
