#pragma once

#include <algorithm>
#include <cmath>

namespace velum::he {

/// Scales that differ by no more than this are one: far below the precision of any message.
inline constexpr double kScaleTolerance = 0x1p-45;

inline bool scales_match(double a, double b) {
  return std::abs(a - b) <= kScaleTolerance * std::max(a, b);
}

}  // namespace velum::he
