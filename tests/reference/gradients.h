#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/exact.h"

/// What the operations of gradients/ should give, computed another way: plain loops over vectors,
/// in exact arithmetic or in long double, without any arithmetic of velum.
namespace velum::testing {

/// A [rows, cols] matrix whose rows lie `stride` apart; what lies between them is not part of it.
template <typename T>
struct HostMatrix {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;
  std::vector<T> values;

  HostMatrix(std::int64_t rows_, std::int64_t cols_, std::int64_t stride_, T padding)
      : rows(rows_),
        cols(cols_),
        stride(stride_),
        values(static_cast<std::size_t>(rows_ * stride_), padding) {}
  T& at(std::int64_t row, std::int64_t col) {
    return values[static_cast<std::size_t>(row * stride + col)];
  }
  T at(std::int64_t row, std::int64_t col) const {
    return values[static_cast<std::size_t>(row * stride + col)];
  }
};

template <typename T>
Exact exact_squared_norm(const HostMatrix<T>& matrix, std::int64_t row) {
  Exact sum;
  for (std::int64_t col = 0; col < matrix.cols; ++col) {
    const Exact value(matrix.at(row, col));
    sum += value * value;
  }
  return sum;
}

inline Exact exact_squared_norm(const std::vector<Exact>& values) {
  Exact sum;
  for (const Exact& value : values) sum += value * value;
  return sum;
}

/// Two passes in long double: the norm of each row, then the sum of rows scaled to at most C. Rows
/// whose norm is not finite are left out.
/// @param magnitudes  receives, per column, the sum of the terms' magnitudes.
template <typename T>
std::vector<long double> clipped_sum(const HostMatrix<T>& matrix, double clipping_norm,
                                     std::vector<long double>* magnitudes) {
  const auto cols = static_cast<std::size_t>(matrix.cols);
  std::vector<long double> sum(cols, 0.0L);
  magnitudes->assign(cols, 0.0L);
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    long double squared = 0;
    for (std::int64_t col = 0; col < matrix.cols; ++col) {
      const long double value = matrix.at(row, col);
      squared += value * value;
    }
    if (!std::isfinite(static_cast<double>(squared))) continue;
    const long double norm = std::sqrt(squared);
    const long double factor = norm > clipping_norm ? clipping_norm / norm : 1.0L;
    for (std::size_t col = 0; col < cols; ++col) {
      const long double term = factor * matrix.at(row, static_cast<std::int64_t>(col));
      sum[col] += term;
      (*magnitudes)[col] += std::abs(term);
    }
  }
  return sum;
}

}  // namespace velum::testing
