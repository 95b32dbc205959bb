#pragma once

#include <cmath>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// Between these, quotients, products and remainders are normal or 0.
inline constexpr double kLeastDividend = 0x1p-800, kMostDividend = 0x1p800;
inline constexpr double kLeastDivisor = 0x1p-100, kMostDivisor = 0x1p100;

/// a / b rounded once, from RN(1/b): q + r y with y = RN(1/b), q = RN(a y), r = RN(a - b q).
///
/// Paper: Computation of Elementary Functions on the IBM RISC System/6000 Processor, IBM Journal of
/// Research and Development 34 (1990), P. Markstein. It asks for a q that is less than an ulp off,
/// which q need not be, so here is why it holds.
///
/// Let a and b be in [1, 2); u is an ulp of a/b, and |y - 1/b| < 2^-54. Then q is less than 3u/2
/// off, and no more than u where a >= b. a/b = q + r/b is no midpoint m of two doubles, as a - b m
/// is a multiple of u 2^-53 and not 0: a/b is at least u 2^-53 / b from each. The result is wrong
/// only if r y, which is added to q, is as much off as a/b is from an m. Then a/b is near an m, and
/// |q - a/b| near u/2 or 3u/2:
///
///   u/2   r is exact, and |r| |y - 1/b| < b u/2 2^-54 <= u 2^-53 / b, as b^2 < 4. That it is u/2
///         but for 2^-52 u matters only where b >= 2 - 2^-50; there y is nearer to 1/b by as much.
///   3u/2  a |y - 1/b| is u but for 2^-49 u, so that 2 - 2^-48 <= a < b. A test makes all of these.
///
/// @param reciprocal  1 / b, rounded to nearest.
/// @param a           in magnitude in [kLeastDividend, kMostDividend].
/// @param b           in [kLeastDivisor, kMostDivisor].
VELUM_HOST_DEVICE inline double quotient_by(double reciprocal, double a, double b) {
  const double q = a * reciprocal;
  return fma(fma(-b, q, a), reciprocal, q);
}

}  // namespace velum::kernels
