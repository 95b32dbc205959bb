#pragma once

#include <cstdint>
#include <vector>

#include "velum/dpsgd/accounting/distributed_noise.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"

namespace velum::dpsgd {

/// How vectors of real numbers become vectors of integers that can be summed exactly: value /
/// granularity, rounded up or down at random so that the mean is right.
struct QuantizationPlan {
  double clipping_norm;    ///< C >= |values|_2; finite, > 0
  double granularity;      ///< gamma, the value of the integer 1; C / 2^30 <= gamma <= C
  std::int64_t dimension;  ///< d; 1 to 2^32
  /// The probability that a rounding is drawn again is at most this; in (0, 0.9]. A smaller one
  /// means a larger norm.
  double beta = 0.6065306597126334;  // exp(-1 / 2)

  friend bool operator==(const QuantizationPlan&, const QuantizationPlan&) = default;
};

/// The granularity at which no rounded coordinate of a vector of norm at most C exceeds 2^(bits -
/// 1) - 1 in magnitude.
/// @param clipping_norm  finite, > 0.
/// @param bits           2 to 31.
/// @throws std::invalid_argument if out of range.
double granularity_of_bits(double clipping_norm, int bits);

/// The largest squared L2 norm of a rounded vector. With c = C / gamma,
///
///   floor(min((c + sqrt(d))^2, c^2 + d / 4 + sqrt(2 log(1 / beta)) (c + sqrt(d) / 2))).
///
/// What privacy needs is this limit alone, and `round_to_integers` compares it with every result,
/// in integers. That it is rarely exceeded is the paper's: Kairouz, Liu and Steinke 2021 (arXiv
/// 2102.06387), section 4.2.
/// @throws std::invalid_argument if a field of the plan is out of range.
std::int64_t squared_norm_limit(const QuantizationPlan& plan);

/// What a client changes in the sum of rounded vectors: `integer_sensitivity` of that limit.
IntegerSensitivity integer_sensitivity(const QuantizationPlan& plan, Neighbouring neighbouring);

/// What an example changes in a sum of vectors that every client rounds to the *nearest* multiples
/// of `granularity`, where it moves one client's vector, before that is rounded, by at most
/// `clipping_norm` in L2 (under replace-one twice as much). Rounding moves no coordinate of the
/// difference by more than 1, so with c = C / gamma
///
///   l2 = c + sqrt(d)  (2 c + sqrt(d)),   l1 = min(sqrt(d) l2, l2^2),
///
/// raised by 2^-16 for the rounding of doubles in which the vectors are computed. Clamping every
/// coordinate to an interval, before or after the rounding, changes nothing.
/// @param clipping_norm, granularity, dimension  as of a `QuantizationPlan`.
/// @throws std::invalid_argument if out of range.
IntegerSensitivity nearest_integer_sensitivity(double clipping_norm, double granularity,
                                               std::int64_t dimension, Neighbouring neighbouring);

/// Rounds each value / granularity to one of the two nearest integers, upwards with probability the
/// fraction (within 2^-53), independently; draws all of them again while the squared norm exceeds
/// `squared_norm_limit`.
///
/// Guarantee: the squared norm of the result is at most the limit, for any values. After 1024
/// roundings that exceed it, which have a probability below 0.9^1024 < 10^-46 together, all values
/// are rounded towards zero: that norm is at most c. Attempt a reads 64-bit draws a d .. a d + d -
/// 1 of the position.
///
/// @param values    [plan.dimension], finite, of L2 norm at most plan.clipping_norm.
/// @param key       secret; `kernels::secure_random_key()` where privacy is claimed.
/// @param position  used for one vector only; the purpose is kernels::Purpose::kRounding.
/// @returns [plan.dimension].
/// @throws std::invalid_argument if the plan is out of range, the size differs, a value is not
///         finite, or the norm is too large; std::out_of_range if the position is.
/// Determinism: a function of values, plan, key and position.
std::vector<std::int64_t> round_to_integers(kernels::Span<const double> values,
                                            const QuantizationPlan& plan,
                                            const kernels::RandomKey& key,
                                            const kernels::RandomPosition& position);
/// The same of float values.
std::vector<std::int64_t> round_to_integers(kernels::Span<const float> values,
                                            const QuantizationPlan& plan,
                                            const kernels::RandomKey& key,
                                            const kernels::RandomPosition& position);

/// The same, with values of a larger norm scaled down to plan.clipping_norm first.
std::vector<std::int64_t> clip_and_round_to_integers(kernels::Span<const double> values,
                                                     const QuantizationPlan& plan,
                                                     const kernels::RandomKey& key,
                                                     const kernels::RandomPosition& position);
std::vector<std::int64_t> clip_and_round_to_integers(kernels::Span<const float> values,
                                                     const QuantizationPlan& plan,
                                                     const kernels::RandomKey& key,
                                                     const kernels::RandomPosition& position);

}  // namespace velum::dpsgd
