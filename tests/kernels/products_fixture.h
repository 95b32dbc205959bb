#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "reference/per_sample_products.h"
#include "support/tolerance.h"
#include "velum/kernels/gradients/linear_squared_norms.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::testing {

/// A tensor of normal draws, NaN between them.
template <typename T>
HostTensor<T> random_tensor(const std::vector<std::int64_t>& sizes,
                            const std::vector<std::size_t>& order, std::int64_t gap,
                            unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  HostTensor<T> tensor(sizes, order, gap, std::numeric_limits<T>::quiet_NaN());
  tensor.for_each([&](const std::vector<std::int64_t>& index) {
    tensor.at(index) = static_cast<T>(normal(generator));
  });
  return tensor;
}

/// That a computed squared norm is one of a gradient whose elements are within `error` of the
/// reference's, relative to the sums of their terms' magnitudes, of `elements` elements.
inline void expect_norm_within(double computed, const ReferenceNorm& reference, double error,
                               std::int64_t elements) {
  const double of_squares = 4 * kernels::squared_norm_error(elements);
  const long double norm = std::sqrt(reference.squared_norm);
  // The oracle's own roundings, in long double, are of the order of 2^-60.
  const long double away = (error + 0x1p-58) * std::sqrt(reference.squared_magnitude);
  const long double computed_norm = std::sqrt(static_cast<long double>(computed));
  EXPECT_LE(computed_norm, (norm + away) * (1 + of_squares)) << "exactly " << norm;
  EXPECT_GE(computed_norm, (norm - away) * (1 - of_squares)) << "exactly " << norm;
}

}  // namespace velum::testing
