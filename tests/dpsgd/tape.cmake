velum_add_test(dpsgd_tape_rules_test TORCH
  SOURCES tape_rules_test.cpp LIBRARIES velum::dpsgd)
