#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// Negacyclic number-theoretic transforms: between the coefficients of a polynomial a in
/// Z_q[X] / (X^N + 1) and its values at the primitive 2N-th roots of unity, where a product of
/// polynomials is a product of values.
///
///   value j = a(psi^(2 r(j) + 1)) mod q,   r(j) = the log_n bits of j in reverse,
///
/// psi = `NttTables::root`. Every function takes and gives canonical residues, in [0, q), and gives
/// the same bits on every backend, SIMD target and number of threads.
///
/// Common to all:
/// @param polys   [polys, limbs.count, N]; any alignment.
/// @param limbs   which prime of the tables each limb belongs to.
/// @param tables  in the memory of the stream's backend.
/// @throws std::invalid_argument if a shape differs, a limb names a prime that the tables do not
///         have, views overlap, or the tables are another backend's; BackendUnavailable, CudaError.
/// Paper: David Harvey, Faster arithmetic for number-theoretic transforms, 2014 (arXiv 1205.2926);
/// the negacyclic twist merged into the roots as in Longa and Naehrig, Speeding up the Number
/// Theoretic Transform, 2016 (ePrint 2016/504).
namespace velum::kernels {

/// Word, which the compiler takes from the tables alone: so views of mutable words convert.
template <typename Word>
using SameWord = std::type_identity_t<Word>;

/// Coefficients become values, in place.
template <typename Word>
void ntt_forward_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                         const NttTables<Word>& tables, const Stream& stream);

/// Values become coefficients, in place.
template <typename Word>
void ntt_inverse_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                         const NttTables<Word>& tables, const Stream& stream);

/// Values become coefficients, each multiplied by its limb's factor, in place; for no more work
/// than the transform alone.
/// @param factors  [limbs.count], in the memory of the stream's backend; value in [0, q).
template <typename Word>
void ntt_inverse_multiply_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                                  Span<const ShoupFactor<SameWord<Word>>> factors,
                                  const NttTables<Word>& tables, const Stream& stream);

/// polys <- (minuend - NTT(polys)) * factor, limb by limb: the end of a division by a modulus.
/// @param polys    in: coefficients; out: the result, values.
/// @param minuend  values, of the shape of `polys`; must not overlap it.
/// @param factors  [limbs.count], in the memory of the stream's backend; value in [0, q).
template <typename Word>
void ntt_forward_subtract_multiply(RnsView<SameWord<Word>> polys,
                                   RnsView<const SameWord<Word>> minuend, const LimbIndices& limbs,
                                   Span<const ShoupFactor<SameWord<Word>>> factors,
                                   const NttTables<Word>& tables, const Stream& stream);

/// accumulator_k <- [accumulator_k, unless `first`] + NTT(digit) * key_k for k = 0, 1: one digit of
/// a key switching.
/// @param digit        one polynomial, coefficients; afterwards it holds residues without meaning.
/// @param key          two polynomials, values.
/// @param accumulator  two polynomials, values; overwritten if `first`, and then not read.
/// The three must not overlap.
template <typename Word>
void ntt_forward_inner_product(RnsView<SameWord<Word>> digit, RnsView<const SameWord<Word>> key,
                               RnsView<SameWord<Word>> accumulator, bool first,
                               const LimbIndices& limbs, const NttTables<Word>& tables,
                               const Stream& stream);

// Of 32-bit and of 64-bit words.
#define VELUM_DECLARE_NTT(Word)                                                              \
  extern template void ntt_forward_inplace(RnsView<Word>, const LimbIndices&,                \
                                           const NttTables<Word>&, const Stream&);           \
  extern template void ntt_inverse_inplace(RnsView<Word>, const LimbIndices&,                \
                                           const NttTables<Word>&, const Stream&);           \
  extern template void ntt_inverse_multiply_inplace(RnsView<Word>, const LimbIndices&,       \
                                                    Span<const ShoupFactor<Word>>,           \
                                                    const NttTables<Word>&, const Stream&);  \
  extern template void ntt_forward_subtract_multiply(                                        \
      RnsView<Word>, RnsView<const Word>, const LimbIndices&, Span<const ShoupFactor<Word>>, \
      const NttTables<Word>&, const Stream&);                                                \
  extern template void ntt_forward_inner_product(RnsView<Word>, RnsView<const Word>,         \
                                                 RnsView<Word>, bool, const LimbIndices&,    \
                                                 const NttTables<Word>&, const Stream&);
VELUM_DECLARE_NTT(std::uint32_t)
VELUM_DECLARE_NTT(std::uint64_t)
#undef VELUM_DECLARE_NTT

}  // namespace velum::kernels
