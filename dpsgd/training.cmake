velum_add_library(training
  HEADERS_DIR include
  HEADERS
    include/velum/dpsgd/training/checkpoint.h
    include/velum/dpsgd/training/durable_file.h
    include/velum/dpsgd/training/federated_training.h
    include/velum/dpsgd/training/image_data.h
    include/velum/dpsgd/training/models.h
    include/velum/dpsgd/training/release_journal.h
    include/velum/dpsgd/training/release_labels.h
    include/velum/dpsgd/training/scatter_features.h
    include/velum/dpsgd/training/training_plan.h
    include/velum/dpsgd/training/training_run.h
    include/velum/dpsgd/training/user_ids.h
  SOURCES
    src/training/checkpoint.cpp
    src/training/durable_file.cpp
    src/training/federated_training.cpp
    src/training/image_data.cpp
    src/training/models.cpp
    src/training/release_journal.cpp
    src/training/scatter_features.cpp
    src/training/training_plan.cpp
    src/training/training_run.cpp
    src/training/user_ids.cpp
  PUBLIC velum::dpsgd velum::features velum::accounting velum::integer_noise velum::ledger
  PRIVATE $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>)
