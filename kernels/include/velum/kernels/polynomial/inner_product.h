#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Sums of products of polynomials in NTT form: the product of a decomposed polynomial with a
/// key-switching key.
///
///   out[k] = sum over d of digits[d] * keys[d * K + k]      for each of K = out.polys
///
/// coefficient by coefficient, modulo the modulus of each limb. Products are summed in two words
/// and reduced once. Paper: Han, Ki, Better Bootstrapping for Approximate Homomorphic Encryption,
/// 2019 (ePrint 2019/688), section 3: the second step of hybrid key switching.
///
/// @param digits  [D, limbs, N], residues in [0, q); none gives zeros.
/// @param keys    [D * K, limbs, N], residues in [0, q). With the special primes first in its chain
/// a
///                key serves every level by a `limb_range`.
/// @param out     [K, limbs, N], residues in [0, q); overwritten; must not touch the inputs.
/// @param limbs   the modulus of each limb.
/// @param chain   in the memory of the stream's backend.
/// @throws std::invalid_argument if shapes differ, N is no power of two from 2 to 2^17, a limb has
/// no
///         modulus, views overlap, or the chain lies elsewhere; BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
template <typename Word>
void inner_product(RnsView<const std::type_identity_t<Word>> digits,
                   RnsView<const std::type_identity_t<Word>> keys,
                   RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                   const ModulusChain<Word>& chain, const Stream& stream);

}  // namespace velum::kernels
