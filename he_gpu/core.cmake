# Parameters, keys, encryption, and the arithmetic of CKKS.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS BASE_DIRS include FILES
    include/velum/he/ciphertext.h
    include/velum/he/ckks/encoder.h
    include/velum/he/ckks/evaluator.h
    include/velum/he/ckks/linear_transform.h
    include/velum/he/ckks/polynomial.h
    include/velum/he/context.h
    include/velum/he/decryptor.h
    include/velum/he/encryptor.h
    include/velum/he/key_generator.h
    include/velum/he/keys.h
    include/velum/he/parameters.h
    include/velum/he/randomness.h
    include/velum/he/security_table.h
  PRIVATE
    src/ciphertext.cpp
    src/ckks/encoder.cpp
    src/ckks/evaluator.cpp
    src/ckks/linear_transform.cpp
    src/ckks/polynomial.cpp
    src/context.cpp
    src/decryptor.cpp
    src/encryption.cpp
    src/encryptor.cpp
    src/key_generator.cpp
    src/key_switching.cpp
    src/keys.cpp
    src/parameters.cpp
    src/prime_search.cpp
    src/randomness.cpp
    src/secret_memory.cpp
    src/security_table.cpp
    src/sha256.cpp
    src/wide_gaussian.cpp)
target_link_libraries(velum_he PRIVATE OpenSSL::Crypto)
