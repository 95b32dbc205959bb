#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "features/row_kernels.cpp"
// Vectors are held in arrays, which scalable vectors cannot be.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// foreach_target.h must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "features/row_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, kMaxLanes>;
using Vector = hn::Vec<Tag>;

HWY_INLINE std::int64_t lane_count() { return static_cast<std::int64_t>(hn::Lanes(Tag())); }

void scale_row_simd(float* row, std::int64_t columns, float factor) {
  const Tag d;
  const std::int64_t lanes = lane_count();
  const Vector scale = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + i), scale), d, row + i);
  }
  for (; i < columns; ++i) row[i] *= factor;
}

// Floats as many at a time as a vector has doubles: their squares are exact in double.
using DoubleTag = hn::ScalableTag<double>;
using NarrowTag = hn::Rebind<float, DoubleTag>;

double squared_norm_simd(const float* row, std::int64_t columns) {
  const DoubleTag d;
  const NarrowTag narrow;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= columns; i += 2 * lanes) {
    const auto x = hn::PromoteTo(d, hn::LoadU(narrow, row + i));
    const auto y = hn::PromoteTo(d, hn::LoadU(narrow, row + i + lanes));
    even = hn::MulAdd(x, x, even);
    odd = hn::MulAdd(y, y, odd);
  }
  double total = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < columns; ++i) total += static_cast<double>(row[i]) * row[i];
  return total;
}

void sqrt_to_unit_row_simd(float* row, std::int64_t columns) {
  const Tag d;
  const std::int64_t lanes = lane_count();
  const Vector zero = hn::Zero(d);
  Vector spoilt = zero;  // NaN in a lane that met a NaN or an infinity
  bool tail_finite = true;
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    const Vector x = hn::LoadU(d, row + i);
    spoilt = hn::MulAdd(x, zero, spoilt);
    hn::StoreU(hn::Sqrt(hn::Max(x, zero)), d, row + i);
  }
  for (; i < columns; ++i) {
    tail_finite = tail_finite && std::isfinite(row[i]);
    row[i] = std::sqrt(std::max(row[i], 0.0f));
  }
  const double total = squared_norm_simd(row, columns);
  if (!tail_finite || !hn::AllTrue(d, hn::Eq(spoilt, zero)) || total == 0.0) {
    std::fill(row, row + columns, 0.0f);
    return;
  }
  // norm is right to 1e-12, each product below is rounded up by at most 2^-24, and the factor is
  // taken 2^-22 smaller and rounded down: the norm of the result stays below 1 - 2^-23.
  const double exact = (1.0 - 0x1p-22) / std::sqrt(total);
  float factor = static_cast<float>(exact);
  if (factor > exact) factor = std::nextafter(factor, 0.0f);
  scale_row_simd(row, columns, factor);
}

// kRows x kVectors results stay in registers.
template <int kRows, int kVectors>
HWY_INLINE void multiply_block(const PaddedMatrix& a, const PaddedMatrix& b, PaddedMatrix& c,
                               std::int64_t row, std::int64_t column) {
  const Tag d;
  const std::int64_t lanes = lane_count();
  Vector sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::Zero(d);
  }
  const float* const a_row = a.row(row);
  const float* b_row = b.row(0) + column;
  for (std::int64_t k = 0; k < a.columns; ++k, b_row += b.stride) {
    Vector x[kVectors];
    for (int v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, b_row + v * lanes);
    for (int i = 0; i < kRows; ++i) {
      const Vector weight = hn::Set(d, a_row[i * a.stride + k]);
      for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(weight, x[v], sum[i][v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sum[i][v], d, c.row(row + i) + column + v * lanes);
    }
  }
}

template <int kVectors>
HWY_INLINE void multiply_columns(const PaddedMatrix& a, const PaddedMatrix& b, PaddedMatrix& c,
                                 std::int64_t column) {
  std::int64_t row = 0;
  for (; row + 3 <= a.rows; row += 3) multiply_block<3, kVectors>(a, b, c, row, column);
  for (; row < a.rows; ++row) multiply_block<1, kVectors>(a, b, c, row, column);
}

void multiply_simd(const PaddedMatrix& a, const PaddedMatrix& b, PaddedMatrix& c) {
  const std::int64_t lanes = lane_count();
  const std::int64_t vectors = (b.columns + lanes - 1) / lanes;
  std::int64_t v = 0;
  for (; v + 4 <= vectors; v += 4) multiply_columns<4>(a, b, c, v * lanes);
  switch (vectors - v) {
    case 3:
      return multiply_columns<3>(a, b, c, v * lanes);
    case 2:
      return multiply_columns<2>(a, b, c, v * lanes);
    case 1:
      return multiply_columns<1>(a, b, c, v * lanes);
    default:
      return;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace velum::dpsgd::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(sqrt_to_unit_row_simd);
HWY_EXPORT(squared_norm_simd);
HWY_EXPORT(scale_row_simd);
HWY_EXPORT(multiply_simd);

void sqrt_to_unit_row(float* row, std::int64_t columns) {
  HWY_DYNAMIC_DISPATCH(sqrt_to_unit_row_simd)(row, columns);
}
double squared_norm(const float* row, std::int64_t columns) {
  return HWY_DYNAMIC_DISPATCH(squared_norm_simd)(row, columns);
}
void scale_row(float* row, std::int64_t columns, float factor) {
  HWY_DYNAMIC_DISPATCH(scale_row_simd)(row, columns, factor);
}
void multiply(const PaddedMatrix& a, const PaddedMatrix& b, PaddedMatrix& c) {
  HWY_DYNAMIC_DISPATCH(multiply_simd)(a, b, c);
}

}  // namespace velum::dpsgd::detail
#endif  // HWY_ONCE
