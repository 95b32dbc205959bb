#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The automorphism X -> X^g of Z[X]/(X^N + 1), g the Galois element, on coefficients.
///
///   out(X) = in(X^g):  coefficient i goes to i g mod 2N, negated where that is N or more
///
/// computed from the side of `out`, which is written in order. g = 1 copies; g = 2N - 1 conjugates;
/// applying g after h is applying g h mod 2N.
///
/// @param in              [polys, limbs, N], residues in [0, q), coefficient form.
/// @param out             the same shape; overwritten; must not touch `in`.
/// @param galois_element  odd, 1 to 2N - 1.
/// @param limbs           the modulus of each limb.
/// @param chain           in the memory of the stream's backend.
/// @throws std::invalid_argument if shapes differ, N is no power of two from 2 to 2^17, the element
///         is out of range, a limb has no modulus, views overlap, or the chain lies elsewhere;
///         BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
template <typename Word>
void automorphism_coefficient(RnsView<const std::type_identity_t<Word>> in,
                              RnsView<std::type_identity_t<Word>> out, std::int64_t galois_element,
                              const LimbIndices& limbs, const ModulusChain<Word>& chain,
                              const Stream& stream);

/// The same automorphism on polynomials in NTT form (ntt.h): value j, which is the one at
/// psi^(2 r(j) + 1) with r the reversal of log2(N) bits, comes from the value at psi^(g (2 r(j) +
/// 1)). A permutation, the same for all limbs. It maps each aligned run of 2^k values onto such a
/// run.
///
/// @param in, out, galois_element, stream  as above, with values instead of coefficients.
/// @throws as above.
template <typename Word>
void automorphism_ntt(RnsView<const std::type_identity_t<Word>> in, RnsView<Word> out,
                      std::int64_t galois_element, const Stream& stream);

}  // namespace velum::kernels
