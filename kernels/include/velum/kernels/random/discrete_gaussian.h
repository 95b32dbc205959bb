#pragma once

#include <cstdint>

#include "velum/kernels/random/exact_variance.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills `out` with independent draws of the discrete Gaussian over all integers,
///
///   P(X = x) proportional to exp(-x^2 / (2 sigma^2)),  sigma^2 = variance,
///
/// out[j] being draw number `first_element + j` at `position`. (Sigma^2 is the parameter; the
/// variance of X is a little less, by 2e-7 of it at sigma = 1, and by still less above.)
///
/// Guarantee: exact. Random bits are compared with rationals in integer arithmetic, nothing is
/// rounded; only proposals beyond 2^16 scales, of probability below exp(-2^16), are refused. Draw i
/// reads bits of its own, as many as it needs, so it depends on (key, position, i, variance) alone.
/// It spends 60 to 150 random bits in the mean (docs/numerics.md, "Integer noise").
///
/// Not in constant time: how long a draw takes depends on its bits, and tells something of its
/// magnitude. No exact sampler of this distribution can be: a bounded number of bits gives only
/// probabilities with a power of two below, and these are irrational. Noise does not depend on
/// data, so draw it before its message is due and the time of the message tells nothing. Where
/// constant time matters more, `small_polynomial.h` has a table for sigma = 3.19.
/// Paper: The Discrete Gaussian for Differential Privacy, Canonne, Kamath and Steinke 2020 (arXiv
/// 2004.00010), Algorithms 1 to 3.
///
/// @param out            [any size]: overwritten; |values| < 2^48.
/// @param variance       sigma^2, below 2^64.
/// @param key            secret; `secure_random_key()` where privacy is claimed.
/// @param position       used for one tensor of one release only.
/// @param first_element  >= 0; first_element + out.size() <= 2^32.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if the variance is out of range; std::out_of_range if the position
///         or the elements are; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends, threads and shards.
void exact_discrete_gaussian_fill(Span<std::int64_t> out, const ExactVariance& variance,
                                  const RandomKey& key, const RandomPosition& position,
                                  std::int64_t first_element, const Stream& stream);

}  // namespace velum::kernels
