# Exact sums of vectors that nobody shows.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS BASE_DIRS include FILES
    include/velum/he/aggregation/context.h
    include/velum/he/aggregation/decryption.h
    include/velum/he/aggregation/encrypted_vector.h
    include/velum/he/aggregation/encryptor.h
    include/velum/he/aggregation/fixed_point.h
    include/velum/he/aggregation/plan.h
    include/velum/he/aggregation/protocol.h
    include/velum/he/aggregation/serialization.h
  PRIVATE
    src/aggregation/context.cpp
    src/aggregation/decryption.cpp
    src/aggregation/encrypted_vector.cpp
    src/aggregation/encryptor.cpp
    src/aggregation/fixed_point.cpp
    src/aggregation/plan.cpp
    src/aggregation/protocol/aggregator.cpp
    src/aggregation/protocol/crypto.cpp
    src/aggregation/protocol/messages.cpp
    src/aggregation/protocol/owner.cpp
    src/aggregation/serialization.cpp)
