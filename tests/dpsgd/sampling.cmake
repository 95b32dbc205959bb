velum_add_test(dpsgd_poisson_sampler_test
  SOURCES poisson_sampler_test.cpp LIBRARIES velum::sampling)
velum_add_test(dpsgd_loader_test TORCH SOURCES loader_test.cpp LIBRARIES velum::dpsgd)
velum_add_test(dpsgd_integer_noise_test
  SOURCES integer_noise_test.cpp LIBRARIES velum::integer_noise)
