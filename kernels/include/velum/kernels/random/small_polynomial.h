#pragma once

#include <cstdint>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills `out` with independent uniform draws from {-1, 0, 1}: draw i spends bits 64 i .. 64 i + 63
/// of the keystream at `position`, as an integer U, low word first.
///
///   -1 if U <= a,  0 if a < U <= 2 a,  1 if 2 a < U,  a = (2^64 - 1) / 3
///
/// Guarantee: -1 has the probability 1/3 + 2^-64 2/3, the others 1/3 - 2^-64 / 3 each, so a draw is
/// within 2^-64.5 of uniform in total variation, and n draws together within 2^-64 sqrt(n). The
/// draws decide no branch and no address.
///
/// @param out       [any size up to 2^35]: overwritten.
/// @param key       secret.
/// @param position  of one polynomial, or of one batch of them; use each once.
/// @param stream    backend and queue; a CUDA call returns before the work is done.
/// @throws std::out_of_range if the position or the size is out of range; BackendUnavailable,
///         CudaError.
/// Determinism: bit for bit, across backends and threads; draw i does not depend on the size.
void ternary_fill(Span<std::int8_t> out, const RandomKey& key, const RandomPosition& position,
                  const Stream& stream);

/// What `discrete_gaussian_fill` draws from.
struct DiscreteGaussian {
  static constexpr double kSigma = 3.19;
  /// The variance of a draw: sigma^2 to within 10^-83.
  static constexpr double kVariance = 10.1761;
  /// The largest magnitude of a draw.
  static constexpr int kBound = 41;
};

/// Fills `out` with independent draws of the discrete Gaussian of parameter sigma = 3.19 centred at
/// 0, P(X = x) proportional to exp(-x^2 / (2 sigma^2)) over the integers.
///
/// Draw i spends words 4i .. 4i + 3 of the keystream at `position`. The upper 31 bits of each, the
/// last word's uppermost, form U uniform of [0, 2^124); X is positive if the last one is odd:
///
///   |X| = the number of k in 1 .. 41 with U < round(2^124 P(|X| >= k))
///
/// Guarantee: within 2^-120 of that distribution in total variation, the cut tail included (it has
/// less than 2^-125); 2^40 draws together are within 2^-80. Symmetric exactly. Every draw compares
/// U with all 41 thresholds, by subtractions: it decides no branch and no address. Paper: inversion
/// of a cumulative table, as in Frodo (ePrint 2016/659), section 4, with 124 bits.
///
/// @param out       [any size up to 2^34]: overwritten; values in [-41, 41].
/// @param key       secret.
/// @param position  of one polynomial, or of one batch of them; use each once.
/// @param stream    backend and queue; a CUDA call returns before the work is done.
/// @throws std::out_of_range if the position or the size is out of range; BackendUnavailable,
///         CudaError.
/// Determinism: bit for bit, across backends and threads; draw i does not depend on the size.
void discrete_gaussian_fill(Span<std::int8_t> out, const RandomKey& key,
                            const RandomPosition& position, const Stream& stream);

/// Fills `out` with a polynomial that has exactly `weight` coefficients of {-1, 1} and zeros
/// elsewhere. Insecure, because sparse secrets are easier to attack than the security tables for
/// uniform ternary ones say: estimate the parameters on their own.
///
/// Draw i has 64 bits, those of `ternary_fill` in a stream of their own: 63 are its tag, the lowest
/// is its sign (1: negative). Nonzero are the `weight` draws with the smallest (tag, i).
///
/// Guarantee: within size / 2^63 of the uniform distribution over such polynomials in total
/// variation. (If each tag is extended by infinitely many random bits, the smallest are a uniform
/// set. It is another one only if both sides of its border share a tag; of n uniform points on [0,
/// 2^63) two neighbours in order at a given place are closer than 1 with probability at most n /
/// 2^63.) The threshold is found by bisection over all tags: the draws decide no branch and no
/// address. That takes 85 passes over the keystream: for keys, not for each encryption.
///
/// @param weight    0 to out.size().
/// @param out       [any size up to 2^20]: overwritten.
/// @param key       secret.
/// @param position  of this polynomial; use each once.
/// @param stream    backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if weight is out of range; std::out_of_range if the position or
///         the size is; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends and threads.
void fixed_weight_ternary_fill_insecure(std::int64_t weight, Span<std::int8_t> out,
                                        const RandomKey& key, const RandomPosition& position,
                                        const Stream& stream);

/// The residues of small signed coefficients: every limb of polynomial p holds coefficients
/// [p degree, (p + 1) degree) modulo its modulus. The coefficients, which are secret, decide no
/// branch and no address.
///
/// @param coefficients  [out.polys * out.degree]; any values. Must not overlap `out`.
/// @param out           [polys, limbs, degree], degree a power of two from 2 to 2^17: overwritten.
/// @param limbs         out.limbs indices into `chain`. For 8-bit coefficients their moduli must
///                      be above 128.
/// @param chain         on the stream's backend.
/// @param stream        backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes or backends differ, or a modulus is too small;
///         BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends and threads.
template <typename Word>
void small_to_residues(Span<const std::int8_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream);
template <typename Word>
void small_to_residues(Span<const std::int32_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream);
template <typename Word>
void small_to_residues(Span<const std::int64_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream);

}  // namespace velum::kernels
