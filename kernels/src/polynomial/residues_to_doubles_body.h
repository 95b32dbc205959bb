#pragma once

#include <cmath>
#include <cstdint>

#include "polynomial/mixed_radix_digits.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"

namespace velum::kernels {

/// From here on a double-double is given out as infinite, so that no product in between overflows
/// on a machine that splits doubles for want of fma.
constexpr double kInfiniteFrom = 0x1p960;

/// The mixed-radix digits of x + (Q - 1)/2 from the residues of x.
///
///   d_i = (x_i + (q_i - 1)/2 - sum_(j < i) d_j P_j) P_i^-1   modulo q_i
struct ResiduesToDoublesBody {
  RnsView<const std::uint32_t> in;  // [1, limbs, degree]
  std::int64_t stride;
  Span<double> high;
  Span<double> low;
  const MixedRadix::Limb* limbs;
  const std::uint32_t* products;

  VELUM_HOST_DEVICE void operator()(std::int64_t k) const {
    std::uint32_t digits[LimbIndices::kMaxLimbs];
    for (std::int64_t i = 0; i < in.limbs; ++i) {
      const Modulus<std::uint32_t>& m = limbs[i].modulus;
      const std::uint32_t sum = mixed_radix_sum(digits, products + i * (i - 1) / 2, i, m);
      const std::uint32_t x = add_mod(in.limb(0, i)[k * stride], m.value / 2, m.value);
      digits[i] = multiply_mod(subtract_mod(x, sum, m.value), limbs[i].inverse, m.value);
    }
    // Horner's rule in double-double arithmetic.
    double sum_high = 0, sum_low = 0;
    for (std::int64_t i = in.limbs - 1; i >= 0; --i) {
      const double q = limbs[i].modulus.value;
      const double half = limbs[i].modulus.value / 2;
      const double digit = digits[i] - half;
      const double product = sum_high * q;
      const double rest = fma(sum_high, q, -product) + sum_low * q;
      const double s = product + digit;  // |product| >= q > |digit|, or 0
      const double t = (digit - (s - product)) + rest;
      sum_high = s + t;
      sum_low = t - (sum_high - s);
    }
    const bool finite = sum_high < kInfiniteFrom && sum_high > -kInfiniteFrom;
    high[k] = finite ? sum_high : static_cast<double>(INFINITY);
    low[k] = finite ? sum_low : 0.0;
  }
};

}  // namespace velum::kernels
