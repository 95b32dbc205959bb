#include "norm/norm_cpu_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "norm/norm_cpu_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
HWY_INLINE void group_norm_planes(const T* HWY_RESTRICT x, const T* HWY_RESTRICT g,
                                  const T* HWY_RESTRICT mean, const T* HWY_RESTRICT rstd,
                                  std::int64_t planes_per_statistic, std::int64_t size,
                                  std::int64_t begin, std::int64_t end, T* HWY_RESTRICT scale,
                                  T* HWY_RESTRICT shift) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t plane = begin; plane < end; ++plane) {
    const std::int64_t statistic = plane / planes_per_statistic;
    const auto m = hn::Set(d, mean[statistic]);
    const T* const xs = x + plane * size;
    const T* const gs = g + plane * size;
    auto a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0;  // of g * (x - mean)
    auto b0 = a0, b1 = a0, b2 = a0, b3 = a0;           // of g
    std::int64_t i = 0;
    for (; i + 4 * n <= size; i += 4 * n) {
      const auto g0 = hn::LoadU(d, gs + i), g1 = hn::LoadU(d, gs + i + n);
      const auto g2 = hn::LoadU(d, gs + i + 2 * n), g3 = hn::LoadU(d, gs + i + 3 * n);
      a0 = hn::MulAdd(g0, hn::Sub(hn::LoadU(d, xs + i), m), a0);
      a1 = hn::MulAdd(g1, hn::Sub(hn::LoadU(d, xs + i + n), m), a1);
      a2 = hn::MulAdd(g2, hn::Sub(hn::LoadU(d, xs + i + 2 * n), m), a2);
      a3 = hn::MulAdd(g3, hn::Sub(hn::LoadU(d, xs + i + 3 * n), m), a3);
      b0 = hn::Add(b0, g0);
      b1 = hn::Add(b1, g1);
      b2 = hn::Add(b2, g2);
      b3 = hn::Add(b3, g3);
    }
    for (; i + n <= size; i += n) {
      const auto g0 = hn::LoadU(d, gs + i);
      a0 = hn::MulAdd(g0, hn::Sub(hn::LoadU(d, xs + i), m), a0);
      b0 = hn::Add(b0, g0);
    }
    auto a =
        hn::Set(one, hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)))));
    T b = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(b0, b1), hn::Add(b2, b3))));
    for (; i < size; ++i) {
      a = hn::MulAdd(hn::Set(one, gs[i]), hn::Set(one, xs[i] - mean[statistic]), a);
      b += gs[i];
    }
    scale[plane] = hn::GetLane(a) * rstd[statistic];
    shift[plane] = b;
  }
}

template <typename T>
HWY_INLINE void layer_norm_sample(const T* HWY_RESTRICT x, const T* HWY_RESTRICT g,
                                  const T* HWY_RESTRICT mean, const T* HWY_RESTRICT rstd,
                                  std::int64_t rows, std::int64_t columns, T* HWY_RESTRICT scale,
                                  T* HWY_RESTRICT shift) {
  constexpr std::int64_t kBlock = 1024;  // sums of both kinds that stay in the first-level cache
  const auto add = [&](auto d, std::int64_t row, std::int64_t column) HWY_ATTR {
    const auto gs = hn::LoadU(d, g + row * columns + column);
    const auto xs = hn::LoadU(d, x + row * columns + column);
    const auto normalized = hn::Mul(hn::Sub(xs, hn::Set(d, mean[row])), hn::Set(d, rstd[row]));
    hn::StoreU(hn::MulAdd(gs, normalized, hn::LoadU(d, scale + column)), d, scale + column);
    hn::StoreU(hn::Add(gs, hn::LoadU(d, shift + column)), d, shift + column);
  };
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  std::fill_n(scale, columns, T{0});
  std::fill_n(shift, columns, T{0});
  for (std::int64_t first = 0; first < columns; first += kBlock) {
    const std::int64_t last = std::min(columns, first + kBlock);
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t column = first;
      for (; column + n <= last; column += n) add(d, row, column);
      for (; column < last; ++column) add(one, row, column);
    }
  }
}

void group_norm_float(const float* x, const float* g, const float* mean, const float* rstd,
                      std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                      std::int64_t end, float* scale, float* shift) {
  group_norm_planes(x, g, mean, rstd, planes_per_statistic, size, begin, end, scale, shift);
}
void group_norm_double(const double* x, const double* g, const double* mean, const double* rstd,
                       std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                       std::int64_t end, double* scale, double* shift) {
  group_norm_planes(x, g, mean, rstd, planes_per_statistic, size, begin, end, scale, shift);
}
void layer_norm_float(const float* x, const float* g, const float* mean, const float* rstd,
                      std::int64_t rows, std::int64_t columns, float* scale, float* shift) {
  layer_norm_sample(x, g, mean, rstd, rows, columns, scale, shift);
}
void layer_norm_double(const double* x, const double* g, const double* mean, const double* rstd,
                       std::int64_t rows, std::int64_t columns, double* scale, double* shift) {
  layer_norm_sample(x, g, mean, rstd, rows, columns, scale, shift);
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(group_norm_float);
HWY_EXPORT(group_norm_double);
HWY_EXPORT(layer_norm_float);
HWY_EXPORT(layer_norm_double);

void group_norm_planes_cpu(const float* x, const float* g, const float* mean, const float* rstd,
                           std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                           std::int64_t end, float* scale, float* shift) {
  HWY_DYNAMIC_DISPATCH(group_norm_float)
  (x, g, mean, rstd, planes_per_statistic, size, begin, end, scale, shift);
}
void group_norm_planes_cpu(const double* x, const double* g, const double* mean, const double* rstd,
                           std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                           std::int64_t end, double* scale, double* shift) {
  HWY_DYNAMIC_DISPATCH(group_norm_double)
  (x, g, mean, rstd, planes_per_statistic, size, begin, end, scale, shift);
}
void layer_norm_sample_cpu(const float* x, const float* g, const float* mean, const float* rstd,
                           std::int64_t rows, std::int64_t columns, float* scale, float* shift) {
  HWY_DYNAMIC_DISPATCH(layer_norm_float)(x, g, mean, rstd, rows, columns, scale, shift);
}
void layer_norm_sample_cpu(const double* x, const double* g, const double* mean, const double* rstd,
                           std::int64_t rows, std::int64_t columns, double* scale, double* shift) {
  HWY_DYNAMIC_DISPATCH(layer_norm_double)(x, g, mean, rstd, rows, columns, scale, shift);
}

}  // namespace velum::dpsgd::detail
#endif
