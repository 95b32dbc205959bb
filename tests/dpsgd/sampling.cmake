velum_add_test(dpsgd_poisson_sampler_test
  SOURCES poisson_sampler_test.cpp LIBRARIES velum::sampling)
