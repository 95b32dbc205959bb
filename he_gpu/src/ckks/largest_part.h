#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "velum/kernels/span.h"

namespace velum::he {

/// The largest |x| of the doubles that the numbers consist of; infinity if one is not finite.
template <typename Number>
double largest_part(kernels::Span<const Number> numbers) {
  constexpr std::int64_t kTogether = 8;  // independent chains, for vectors
  const auto* const parts = reinterpret_cast<const double*>(numbers.data());
  const std::int64_t count =
      numbers.size() * static_cast<std::int64_t>(sizeof(Number) / sizeof(double));
  double largest[kTogether] = {}, zeros[kTogether] = {};
  std::int64_t i = 0;
  for (; i + kTogether <= count; i += kTogether) {
    for (std::int64_t j = 0; j < kTogether; ++j) {
      const double x = std::abs(parts[i + j]);
      largest[j] = largest[j] < x ? x : largest[j];
      zeros[j] += 0 * x;  // NaN once x is not finite
    }
  }
  for (; i < count; ++i) {
    const double x = std::abs(parts[i]);
    largest[0] = largest[0] < x ? x : largest[0];
    zeros[0] += 0 * x;
  }
  for (const double zero : zeros) {
    if (zero != 0) return std::numeric_limits<double>::infinity();
  }
  return *std::max_element(largest, largest + kTogether);
}

}  // namespace velum::he
