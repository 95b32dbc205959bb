#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

/// The neighbours of a finite x > 0 (and, above, of 0).
VELUM_HOST_DEVICE inline double next_above(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  ++bits;
  memcpy(&x, &bits, sizeof x);
  return x;
}
VELUM_HOST_DEVICE inline double next_below(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  --bits;
  memcpy(&x, &bits, sizeof x);
  return x;
}
VELUM_HOST_DEVICE inline float next_below(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  --bits;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// The largest T that is at most x >= 0.
template <typename T>
VELUM_HOST_DEVICE T round_down(double x);
template <>
VELUM_HOST_DEVICE inline double round_down<double>(double x) {
  return x;
}
template <>
VELUM_HOST_DEVICE inline float round_down<float>(double x) {
  const float nearest = static_cast<float>(x);
  return static_cast<double>(nearest) > x ? next_below(nearest) : nearest;
}

/// A ClippingBound in the form that the arithmetic wants.
struct ClippingRule {
  double clipping_norm;  // C, [2^-400, 2^1024)
  double inflation;      // >= 1 / (1 - squared_norm_error), [1, 2 + tiny]
};

inline ClippingRule make_clipping_rule(const ClippingBound& bound) {
  if (bound.squared_norm_error == 0) return {bound.clipping_norm, 1.0};
  const double at_most_the_rest = next_below(1.0 - bound.squared_norm_error);
  return {bound.clipping_norm, next_above(1.0 / at_most_the_rest)};
}

/// The largest double f <= 1 with f * r <= C, where r is the least double whose square is at least
/// the squared norm that the rule admits. Each fma below computes a residual whose sign is exact:
/// none of them can underflow while C >= 2^-400 (docs/numerics.md, "Clip factors").
VELUM_HOST_DEVICE inline double clip_factor(double squared_norm, const ClippingRule& rule) {
  if (!(squared_norm >= 0.0)) return 0.0;  // NaN, or no square
  double largest = squared_norm * rule.inflation;
  if (!(largest < INFINITY)) return 0.0;
  if (fma(squared_norm, rule.inflation, -largest) > 0.0) largest = next_above(largest);
  if (!(largest < INFINITY)) return 0.0;
  double norm = sqrt(largest);
  if (fma(norm, norm, -largest) < 0.0) norm = next_above(norm);
  if (norm <= rule.clipping_norm) return 1.0;
  const double factor = rule.clipping_norm / norm;  // below 1, normal
  return fma(factor, norm, -rule.clipping_norm) > 0.0 ? next_below(factor) : factor;
}

template <typename T>
struct ClipFactorsBody {
  Span<const double> squared_norms;  // [batch]
  ClippingRule rule;
  Span<T> factors;  // [batch]
  VELUM_HOST_DEVICE void operator()(std::int64_t sample) const {
    factors[sample] = round_down<T>(clip_factor(squared_norms[sample], rule));
  }
};

}  // namespace velum::kernels
