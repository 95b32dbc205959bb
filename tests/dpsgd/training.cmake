velum_add_test(dpsgd_training_plan_test
  SOURCES training_plan_test.cpp LIBRARIES velum::training)
velum_add_test(dpsgd_release_journal_test
  SOURCES release_journal_test.cpp LIBRARIES velum::training)
velum_add_test(dpsgd_checkpoint_test TORCH SOURCES checkpoint_test.cpp LIBRARIES velum::training)
velum_add_test(dpsgd_train_test TORCH SOURCES train_test.cpp LIBRARIES velum::training)
velum_add_test(dpsgd_federated_training_test TORCH
  SOURCES federated_training_test.cpp LIBRARIES velum::training)
velum_add_test(dpsgd_user_ids_test SOURCES user_ids_test.cpp LIBRARIES velum::training)
