#pragma once

#include "velum/kernels/span.h"

namespace velum::he {

/// The unevaluated sum of two doubles, |low| <= ulp(high) / 2: 106 bits and more.
struct DoubleDouble {
  double high = 0;
  double low = 0;
  friend constexpr bool operator==(const DoubleDouble&, const DoubleDouble&) = default;
};

struct ComplexDoubleDouble {
  DoubleDouble real;
  DoubleDouble imag;
  friend constexpr bool operator==(const ComplexDoubleDouble&,
                                   const ComplexDoubleDouble&) = default;
};

/// Double-doubles as two arrays of the same size.
struct DoubleDoubleSpan {
  kernels::Span<double> high;
  kernels::Span<double> low;
};

}  // namespace velum::he
