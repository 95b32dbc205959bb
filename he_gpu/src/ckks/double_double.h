#pragma once

#include <cmath>

#include "velum/he/ckks/double_double.h"

namespace velum::he {

/// Scalar double-doubles, for the ends of a transform. The vectors' are in double_double-inl.h.

inline DoubleDouble fast_two_sum(double a, double b) {  // |a| >= |b| or a = 0
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

/// a b exactly, unless that underflows.
inline DoubleDouble two_product(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

/// Relative error below 5 u^2 (Joldes, Muller and Popescu 2017, algorithm 10).
inline DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble p = two_product(a.high, b.high);
  return fast_two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

/// 1 / x for a double: with r the rounded reciprocal, 1 - x r is exact and (1 - x r) r, rounded, is
/// what is left. Relative error below 2 u^2.
inline DoubleDouble reciprocal(double x) {
  const double r = 1.0 / x;
  return fast_two_sum(r, std::fma(-x, r, 1.0) * r);
}

}  // namespace velum::he
