#pragma once

#include <cstdint>
#include <vector>

#include "velum/kernels/span.h"

namespace velum::dpsgd::detail {

/// The largest number of columns that `MatrixScratch` pads to.
inline constexpr std::int64_t kMaxLanes = 16;

inline std::int64_t padded_columns(std::int64_t columns) {
  return (columns + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
}

/// A row-major matrix whose rows begin at a multiple of `kMaxLanes`; the padding is zero.
struct PaddedMatrix {
  PaddedMatrix(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count),
        columns(column_count),
        stride(padded_columns(column_count)),
        values(static_cast<std::size_t>(row_count * stride)) {}
  float* row(std::int64_t i) { return values.data() + i * stride; }
  const float* row(std::int64_t i) const { return values.data() + i * stride; }

  std::int64_t rows;
  std::int64_t columns;
  std::int64_t stride;
  std::vector<float> values;
};

/// x -> sqrt(max(x, 0)) / norm as `sqrt_to_unit_rows` promises.
void sqrt_to_unit_row(float* row, std::int64_t columns);

/// sum x^2, each square and the sums in double.
double squared_norm(const float* row, std::int64_t columns);

/// x -> factor * x
void scale_row(float* row, std::int64_t columns, float factor);

/// c = a b; padding of c included, so it stays zero. a.columns = b.rows, c as they demand.
void multiply(const PaddedMatrix& a, const PaddedMatrix& b, PaddedMatrix& c);

}  // namespace velum::dpsgd::detail
