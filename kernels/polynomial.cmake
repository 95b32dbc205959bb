# Moduli, and polynomials in residues.
target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/modular/modular_arithmetic.h
    include/velum/kernels/modular/modulus.h
    include/velum/kernels/polynomial/modulus_chain.h
    include/velum/kernels/polynomial/rns_view.h
  PRIVATE
    src/polynomial/modulus_chain.cpp)
