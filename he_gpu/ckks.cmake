# What CKKS needs before there are keys: slots and coefficients, coefficients and residues.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS FILES
    include/velum/he/ckks/canonical_embedding.h
    include/velum/he/ckks/double_double.h
    include/velum/he/ckks/slot_codec.h
  PRIVATE
    src/ckks/canonical_embedding.cpp
    src/ckks/slot_codec.cpp
    src/ckks/special_fft.cpp
    src/ckks/unit_roots.cpp)
