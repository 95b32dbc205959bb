#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace velum::testing {

/// The largest relative error of one rounding to nearest.
template <typename T>
constexpr double unit_roundoff() {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
}

/// The largest relative error of a chain of `roundings` roundings to T: (1 + u)^n - 1, or what it
/// takes to undo that. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
template <typename T>
double gamma(std::int64_t roundings) {
  const double nu = static_cast<double>(roundings) * unit_roundoff<T>();
  return nu / (1 - nu);
}

/// Distance from |x| to the next larger T.
template <typename T>
T ulp(T x) {
  const T magnitude = std::abs(x);
  return std::nextafter(magnitude, std::numeric_limits<T>::infinity()) - magnitude;
}

}  // namespace velum::testing
