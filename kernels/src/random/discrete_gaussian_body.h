#pragma once

#include <cstdint>

#include "random/coins.h"
#include "random/substream.h"
#include "random/wide_integer.h"
#include "velum/kernels/random/exact_variance.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

/// Attempts at the discrete Gaussian of parameter sigma^2 = numerator / denominator.
///
/// A Laplace proposal y of scale t is kept with probability exp(-(|y| - sigma^2 / t)^2 / (2
/// sigma^2)), so P(y) is proportional to exp(-y^2 / (2 sigma^2)) for any t. Deviation from the
/// paper: its t is floor(sigma) + 1, ours the power of two nearest to sigma by ratio, at least 1.
/// Paper: Canonne, Kamath and Steinke, Algorithm 3.
struct DiscreteGaussianSampler {
  UInt128 numerator;  ///< < 2^64
  std::uint64_t denominator;
  int log_scale;
  UInt256 divisor;  ///< 2 numerator denominator t^2, <= 2^161

  explicit DiscreteGaussianSampler(const ExactVariance& variance)
      : numerator(variance.numerator), denominator(variance.denominator), log_scale(0) {
    // The largest t = 2^k with t^2 / 2 <= sigma^2.
    while (UInt128{denominator} << (2 * log_scale + 1) <= numerator) ++log_scale;  // <= 32
    divisor = (UInt256(numerator * denominator) << log_scale) << (log_scale + 1);
  }

  template <typename Source>
  VELUM_HOST_DEVICE Attempt attempt(Source& source) const {
    const LaplaceProposal y = laplace_proposal(source, log_scale);
    if (!y.accepted) return {false, 0};
    // (|y| - sigma^2 / t)^2 / (2 sigma^2) = (|y| den t - num)^2 / divisor
    const UInt128 shifted = (UInt128{y.magnitude} * denominator) << log_scale;  // < 2^112
    const UInt128 distance =
        shifted < numerator ? numerator - shifted : shifted - numerator;  // < 2^112
    if (!exp_minus(source, wide_product(distance, distance), divisor)) return {false, 0};
    const auto magnitude = static_cast<std::int64_t>(y.magnitude);
    return {true, y.negative ? -magnitude : magnitude};
  }

  template <typename Source>
  VELUM_HOST_DEVICE std::int64_t draw(Source& source) const {
    for (;;) {
      const Attempt result = attempt(source);
      if (result.accepted) return result.value;
    }
  }
};

}  // namespace velum::kernels
