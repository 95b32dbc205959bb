# Exact arithmetic on integers modulo t.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS BASE_DIRS include FILES
    include/velum/he/bfv/batch_encoder.h
    include/velum/he/bfv/ciphertext.h
    include/velum/he/bfv/coefficient_encoder.h
    include/velum/he/bfv/decryptor.h
    include/velum/he/bfv/encryptor.h
    include/velum/he/bfv/evaluator.h
    include/velum/he/bfv/serialization.h
    include/velum/he/bfv/vector_evaluator.h
  PRIVATE
    src/bfv/auxiliary_primes.cpp
    src/bfv/batch_encoder.cpp
    src/bfv/ciphertext.cpp
    src/bfv/coefficient_encoder.cpp
    src/bfv/decryptor.cpp
    src/bfv/encryptor.cpp
    src/bfv/evaluator.cpp
    src/bfv/noise_budget.cpp
    src/bfv/tables.cpp
    src/bfv/vector_evaluator.cpp)
