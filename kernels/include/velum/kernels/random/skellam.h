#pragma once

#include <cstdint>

#include "velum/kernels/random/exact_variance.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills `out` with independent Skellam draws: the difference of two Poisson variables of mean
/// variance / 2 each. out[j] is draw number `first_element + j` at `position`. Sums of independent
/// draws are Skellam, of the sum of the variances.
///
/// Guarantee: exact, as `exact_discrete_gaussian_fill`, and at the same remark on time. Each
/// Poisson variable is the sum of one of integer mean m and of others of means below 1. The first
/// is proposed by a discrete Laplace distribution around m and kept with probability exp(-rational)
/// times the probability of a coin that stands for the rest of the logarithms of the factorials:
/// constant expected time at any variance, 20 to 350 random bits in the mean (docs/numerics.md,
/// "Integer noise").
///
/// Paper: the distribution, Agarwal, Kairouz and Liu 2021 (arXiv 2110.04995); coins of analytic
/// probability, Flajolet, Pelletier and Soria 2011 (arXiv 0906.5560); rejection from a Laplace
/// distribution, Canonne, Kamath and Steinke 2020 (arXiv 2004.00010).
///
/// @param out            [any size]: overwritten; |values| < 2^49.
/// @param variance       at most kMaxSkellamVariance.
/// @param key            secret; `secure_random_key()` where privacy is claimed.
/// @param position       used for one tensor of one release only.
/// @param first_element  >= 0; first_element + out.size() <= 2^32.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if the variance is out of range; std::out_of_range if the position
///         or the elements are; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends, threads and shards.
void skellam_fill(Span<std::int64_t> out, const ExactVariance& variance, const RandomKey& key,
                  const RandomPosition& position, std::int64_t first_element, const Stream& stream);

/// 2^60.
inline constexpr std::uint64_t kMaxSkellamVariance = std::uint64_t{1} << 60;

}  // namespace velum::kernels
