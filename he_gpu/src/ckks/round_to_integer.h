#pragma once

#include <cmath>
#include <cstdint>

#include "velum/he/ckks/double_double.h"
#include "velum/kernels/polynomial/integers_to_residues.h"

namespace velum::he {

/// The nearest integer, ties to even, in the default rounding mode. (std::nearbyint is a call
/// without SSE 4.1.)
inline double nearest_integer(double x) {
  const double magnitude = std::abs(x);
  if (!(magnitude < 0x1p52)) return x;
  return std::copysign((magnitude + 0x1p52) - 0x1p52, x);
}

/// The integer nearest to high + low, for |high| < 2^62 or 2^126.
template <typename Integer>
Integer nearest_integer(DoubleDouble x) {
  const double whole = nearest_integer(x.high);
  const double rest = x.high - whole;  // exact, in [-1/2, 1/2]; 0 from 2^52 on
  double correction = 0;
  if (rest == 0) {
    correction = nearest_integer(x.low);
  } else if (rest == 0.5 && x.low > 0) {
    correction = 1;
  } else if (rest == -0.5 && x.low < 0) {
    correction = -1;
  }  // else |rest| <= 1/2 - ulp(high), which the low half cannot lift to 1/2
  return static_cast<Integer>(whole) + static_cast<Integer>(correction);
}

}  // namespace velum::he
