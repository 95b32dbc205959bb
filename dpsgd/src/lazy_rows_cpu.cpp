#include "lazy_rows_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lazy_rows_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// foreach_target.h must come first.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows lie anywhere: they are asked for so many before they are used.
constexpr std::int64_t kRowsAhead = 4;
constexpr std::int64_t kLineBytes = 64;

template <typename T>
HWY_INLINE void prefetch_row(const T* row, std::int64_t width) {
  const auto* const bytes = reinterpret_cast<const char*>(row);
  const std::int64_t size = width * static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t byte = 0; byte < size; byte += kLineBytes) hwy::Prefetch(bytes + byte);
}

/// Calls element(d, c) for vectors, and then for single elements, of a row.
template <typename Element>
HWY_INLINE void for_each_vector(std::int64_t width, const Element& element) {
  const hn::ScalableTag<double> vector;
  const hn::CappedTag<double, 1> one;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(vector));
  std::int64_t c = 0;
  for (; c + lanes <= width; c += lanes) element(vector, c);
  for (; c < width; ++c) element(one, c);
}

void add_float(const std::int64_t* HWY_RESTRICT rows, const double* HWY_RESTRICT scales,
               const double* HWY_RESTRICT values, std::int64_t begin, std::int64_t end,
               std::int64_t width, float* HWY_RESTRICT to, float* HWY_RESTRICT low) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t next = rows[std::min(i + kRowsAhead, end - 1)] * width;
    prefetch_row(to + next, width);
    prefetch_row(low + next, width);
    float* const high_row = to + rows[i] * width;
    float* const low_row = low + rows[i] * width;
    for_each_vector(width, [&](auto d, std::int64_t c) HWY_ATTR {
      const hn::Rebind<float, decltype(d)> f;
      const auto scale = hn::Set(d, scales[i]);
      const auto before = hn::Add(hn::PromoteTo(d, hn::LoadU(f, high_row + c)),
                                  hn::PromoteTo(d, hn::LoadU(f, low_row + c)));
      const auto sum = hn::Add(before, hn::Mul(scale, hn::LoadU(d, values + i * width + c)));
      const auto high = hn::DemoteTo(f, sum);
      hn::StoreU(high, f, high_row + c);
      hn::StoreU(hn::DemoteTo(f, hn::Sub(sum, hn::PromoteTo(d, high))), f, low_row + c);
    });
  }
}

void add_double(const std::int64_t* HWY_RESTRICT rows, const double* HWY_RESTRICT scales,
                const double* HWY_RESTRICT values, std::int64_t begin, std::int64_t end,
                std::int64_t width, double* HWY_RESTRICT to) {
  for (std::int64_t i = begin; i < end; ++i) {
    prefetch_row(to + rows[std::min(i + kRowsAhead, end - 1)] * width, width);
    double* const row = to + rows[i] * width;
    for_each_vector(width, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto added = hn::Mul(hn::Set(d, scales[i]), hn::LoadU(d, values + i * width + c));
      hn::StoreU(hn::Add(hn::LoadU(d, row + c), added), d, row + c);
    });
  }
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(add_float);
HWY_EXPORT(add_double);

void add_scaled_rows_of(const std::int64_t* rows, const double* scales, const double* values,
                        std::int64_t begin, std::int64_t end, std::int64_t width, float* to,
                        float* low) {
  HWY_DYNAMIC_DISPATCH(add_float)(rows, scales, values, begin, end, width, to, low);
}

void add_scaled_rows_of(const std::int64_t* rows, const double* scales, const double* values,
                        std::int64_t begin, std::int64_t end, std::int64_t width, double* to) {
  HWY_DYNAMIC_DISPATCH(add_double)(rows, scales, values, begin, end, width, to);
}

}  // namespace velum::dpsgd::detail
#endif  // HWY_ONCE
