# Moduli, and polynomials in residues.
target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/modular/modular_arithmetic.h
    include/velum/kernels/modular/modulus.h
    include/velum/kernels/polynomial/modulus_chain.h
    include/velum/kernels/polynomial/rns_view.h
  PRIVATE
    src/polynomial/modulus_chain.cpp)
# Operations on residues.
target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/polynomial/automorphism.h
    include/velum/kernels/polynomial/base_conversion.h
    include/velum/kernels/polynomial/division.h
    include/velum/kernels/polynomial/elementwise.h
    include/velum/kernels/polynomial/inner_product.h
    include/velum/kernels/polynomial/modulus_raise.h
  PRIVATE
    src/polynomial/automorphism.cpp
    src/polynomial/automorphism_cpu.cpp
    src/polynomial/base_conversion.cpp
    src/polynomial/base_conversion_cpu.cpp
    src/polynomial/check_rns.cpp
    src/polynomial/division.cpp
    src/polynomial/elementwise.cpp
    src/polynomial/elementwise_cpu.cpp
    src/polynomial/inner_product.cpp
    src/polynomial/inner_product_cpu.cpp
    src/polynomial/modulus_raise.cpp)
if(VELUM_WITH_CUDA)
  target_sources(velum_kernels PRIVATE
    src/polynomial/automorphism_cuda.cu
    src/polynomial/base_conversion_cuda.cu
    src/polynomial/elementwise_cuda.cu
    src/polynomial/inner_product_cuda.cu)
endif()

# Number-theoretic transforms.
target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/polynomial/ntt.h
    include/velum/kernels/polynomial/ntt_tables.h
  PRIVATE
    src/polynomial/ntt.cpp
    src/polynomial/ntt_cpu.cpp
    src/polynomial/ntt_tables.cpp)
if(VELUM_WITH_CUDA)
  target_sources(velum_kernels PRIVATE
    src/polynomial/ntt_forward_cuda.cu
    src/polynomial/ntt_forward_wide_cuda.cu
    src/polynomial/ntt_inverse_cuda.cu)
endif()
# All passes are unrolled into registers.
set_source_files_properties(src/polynomial/ntt_cpu.cpp
  PROPERTIES COMPILE_OPTIONS "$<$<NOT:$<CONFIG:Debug>>:-O3>")
# Integers into residues, and back.
target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/polynomial/digit_packing.h
    include/velum/kernels/polynomial/integers_to_residues.h
    include/velum/kernels/polynomial/modulus_ratio.h
    include/velum/kernels/polynomial/residues_to_doubles.h
  PRIVATE
    src/polynomial/digit_packing.cpp
    src/polynomial/digit_packing_cpu.cpp
    src/polynomial/integers_to_residues.cpp
    src/polynomial/integers_to_residues_cpu.cpp
    src/polynomial/modulus_ratio.cpp
    src/polynomial/modulus_ratio_cpu.cpp
    src/polynomial/residues_to_doubles.cpp
    src/polynomial/residues_to_doubles_cpu.cpp)
if(VELUM_WITH_CUDA)
  target_sources(velum_kernels PRIVATE
    src/polynomial/digit_packing_cuda.cu
    src/polynomial/integers_to_residues_cuda.cu
    src/polynomial/modulus_ratio_cuda.cu
    src/polynomial/residues_to_doubles_cuda.cu)
endif()
