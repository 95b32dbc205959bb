#pragma once

#include <cstdint>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills polynomials with independent uniform residues: coefficient i of a limb with modulus q is
///
///   floor(U q / 2^b),  U uniform of [0, 2^b),  b = 96 for 32-bit words, 128 for 64-bit words
///
/// from the keystream at
///
///   (position.purpose, position.key_epoch, step = position.step + polynomial, tensor = the index
///   of the limb's modulus in the chain),
///
/// so that a residue depends on (key, that position, i) alone: neither on the other limbs of the
/// view nor on its degree. Words of 32 and of 64 bits draw from one stream: at one position draw
/// one of them.
///
/// Guarantee: each value of [0, q) has the probability (1 + d) / q with |d| <= q / 2^b, which is
/// below 2^-66 for both words; so n draws together are within 2^-66 sqrt(n / 2) of uniform in total
/// variation (the Kullback-Leibler divergence of one is at most d^2, that of n is n times as much;
/// Pinsker). Nothing is rejected, no branch is taken and no address formed from what was drawn.
/// Paper: Fast Random Integer Generation in an Interval, Lemire 2019 (arXiv 1805.10941), section
/// 4, with more random bits in place of the rejection.
///
/// @param out       [polys, limbs, degree], degree a power of two from 2 to 2^17: overwritten.
/// @param limbs     out.limbs indices into `chain`.
/// @param chain     on the stream's backend.
/// @param key       secret, unless the residues need not be: a public seed gives public residues.
/// @param position  of polynomial 0; its tensor must be 0.
/// @param stream    backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes or backends differ; std::out_of_range if a position is
///         out of range; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends and threads.
void uniform_residues_fill(RnsView<std::uint32_t> out, const LimbIndices& limbs,
                           const ModulusChain<std::uint32_t>& chain, const RandomKey& key,
                           const RandomPosition& position, const Stream& stream);
void uniform_residues_fill(RnsView<std::uint64_t> out, const LimbIndices& limbs,
                           const ModulusChain<std::uint64_t>& chain, const RandomKey& key,
                           const RandomPosition& position, const Stream& stream);

}  // namespace velum::kernels
