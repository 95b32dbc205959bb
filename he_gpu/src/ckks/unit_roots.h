#pragma once

#include <cstdint>
#include <vector>

#include "velum/he/ckks/double_double.h"

namespace velum::he {

/// e^(2 pi i k / order) for a fixed power of two `order`, every k: each part as the nearest double
/// and the double nearest to what is left: together within 2^-106 of the part, and 2^-107.99
/// absolutely.
///
/// Computed in integers (128-bit fixed point, Taylor series in the first octant, symmetry
/// elsewhere), so that every machine has the same bits; sine and cosine of a C library differ.
class UnitRoots {
 public:
  /// @param log_order  3 to 19.
  explicit UnitRoots(int log_order);

  /// @param k  reduced modulo the order.
  ComplexDoubleDouble root(std::uint64_t k) const;

 private:
  std::uint64_t order_;
  std::vector<ComplexDoubleDouble> octant_;  // k = 0 .. order / 8
};

}  // namespace velum::he
