#include "linear/gram_cpu_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "linear/gram_cpu_kernels.cpp"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A tile of products is two vectors of steps by kTileSteps steps: 12 sums, two vectors and one
// broadcast element fill the 16 registers of AVX2, and 12 independent sums cover the latency of two
// multiply-adds a cycle.
constexpr std::int64_t kTileSteps = 6;
// Columns at a time, so that 64 steps of them stay in the first-level cache.
constexpr std::int64_t kColumns = 64;

/// Columns [first, first + count) of the rows of a sample, transposed: packed[column][step], steps
/// beyond the last as zeros. `width` is the number of steps with those.
template <typename T>
HWY_INLINE void transpose_columns(const StepRows<T>& rows, std::int64_t sample, std::int64_t first,
                                  std::int64_t count, std::int64_t width, T* HWY_RESTRICT packed) {
  const std::int64_t steps = static_cast<std::int64_t>(rows.steps.size());
  const auto row = [&](std::int64_t t) {
    const auto& step = rows.steps[static_cast<std::size_t>(t)];
    return step.first + sample * step.sample_stride + first;
  };
  std::int64_t t = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<T, 16 / sizeof(T)> d;
  constexpr std::int64_t n = 16 / sizeof(T);
  for (; t + n <= steps; t += n) {
    const T* const from0 = row(t);
    const T* const from1 = row(t + 1);
    const T* const from2 = row(t + n - 2);
    const T* const from3 = row(t + n - 1);
    T* const to = packed + t;
    std::int64_t c = 0;
    for (; c + n <= count; c += n) {
      if constexpr (sizeof(T) == 4) {
        const auto r0 = hn::LoadU(d, from0 + c), r1 = hn::LoadU(d, from1 + c);
        const auto r2 = hn::LoadU(d, from2 + c), r3 = hn::LoadU(d, from3 + c);
        const auto low02 = hn::InterleaveLower(d, r0, r2);  // r0[0] r2[0] r0[1] r2[1]
        const auto low13 = hn::InterleaveLower(d, r1, r3);
        const auto high02 = hn::InterleaveUpper(d, r0, r2);
        const auto high13 = hn::InterleaveUpper(d, r1, r3);
        hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to + c * width);
        hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + (c + 1) * width);
        hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + (c + 2) * width);
        hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + (c + 3) * width);
      } else {
        const auto r0 = hn::LoadU(d, from0 + c), r1 = hn::LoadU(d, from1 + c);
        hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to + c * width);
        hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + (c + 1) * width);
      }
    }
    for (; c < count; ++c) {
      for (std::int64_t i = 0; i < n; ++i) to[c * width + i] = row(t + i)[c];
    }
  }
#endif
  for (; t < steps; ++t) {
    const T* const from = row(t);
    for (std::int64_t c = 0; c < count; ++c) packed[c * width + t] = from[c];
  }
  for (std::int64_t c = 0; c < count; ++c) {
    std::fill(packed + c * width + steps, packed + (c + 1) * width, T{0});
  }
}

template <typename T>
HWY_INLINE void transpose_columns(const OffsetRows<T>& rows, std::int64_t sample,
                                  std::int64_t first, std::int64_t count, std::int64_t width,
                                  T* HWY_RESTRICT packed) {
  const std::int64_t steps = static_cast<std::int64_t>(rows.steps.size());
  const std::int64_t* const offsets = rows.steps.data();
  for (std::int64_t c = 0; c < count; ++c) {
    const T* const from = rows.first + sample * rows.sample_stride +
                          rows.columns[static_cast<std::size_t>(first + c)];
    T* const to = packed + c * width;
    for (std::int64_t t = 0; t < steps; ++t) to[t] = from[offsets[t]];
    std::fill(to + steps, to + width, T{0});
  }
}

HWY_INLINE void promote(const float* HWY_RESTRICT from, std::int64_t count,
                        double* HWY_RESTRICT to) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < count; i += n) {  // a whole number of vectors
    hn::Store(hn::PromoteTo(d, hn::LoadU(df, from + i)), d, to + i);
  }
}

/// products[i][s] (+)= sum_c y[c][i] * x[c][s] for D rows i and one or two vectors of s.
template <int Vectors, int D, class Tag>
HWY_INLINE void add_tile(Tag d, const double* HWY_RESTRICT x, const double* HWY_RESTRICT y,
                         std::int64_t width, std::int64_t count, bool first,
                         double* HWY_RESTRICT products) {
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  auto a00 = hn::Zero(d), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00;
  auto a30 = a00, a31 = a00, a40 = a00, a41 = a00, a50 = a00, a51 = a00;
#define VELUM_FOR_TILE(ACTION) \
  ACTION(0, a00, a01)          \
  ACTION(1, a10, a11)          \
  ACTION(2, a20, a21) ACTION(3, a30, a31) ACTION(4, a40, a41) ACTION(5, a50, a51)
#define VELUM_LOAD(I, LOW, HIGH)                                             \
  if constexpr (D > I) {                                                     \
    LOW = hn::Load(d, products + I * width);                                 \
    if constexpr (Vectors > 1) HIGH = hn::Load(d, products + I * width + n); \
  }
#define VELUM_ADD(I, LOW, HIGH)                                    \
  if constexpr (D > I) {                                           \
    const auto other = hn::Set(d, y[I]);                           \
    LOW = hn::MulAdd(other, x0, LOW);                              \
    if constexpr (Vectors > 1) HIGH = hn::MulAdd(other, x1, HIGH); \
  }
#define VELUM_STORE(I, LOW, HIGH)                                            \
  if constexpr (D > I) {                                                     \
    hn::Store(LOW, d, products + I * width);                                 \
    if constexpr (Vectors > 1) hn::Store(HIGH, d, products + I * width + n); \
  }
  if (!first) {
    VELUM_FOR_TILE(VELUM_LOAD)
  }
  for (std::int64_t c = 0; c < count; ++c) {
    const auto x0 = hn::Load(d, x), x1 = Vectors > 1 ? hn::Load(d, x + n) : x0;
    VELUM_FOR_TILE(VELUM_ADD)
    x += width;
    y += width;
  }
  VELUM_FOR_TILE(VELUM_STORE)
#undef VELUM_FOR_TILE
#undef VELUM_LOAD
#undef VELUM_ADD
#undef VELUM_STORE
}

template <int Vectors, class Tag, typename... Args>
HWY_INLINE void add_rows_of_tile(Tag d, std::int64_t rows, Args... args) {
  switch (rows) {
    case 1:
      return add_tile<Vectors, 1>(d, args...);
    case 2:
      return add_tile<Vectors, 2>(d, args...);
    case 3:
      return add_tile<Vectors, 3>(d, args...);
    case 4:
      return add_tile<Vectors, 4>(d, args...);
    case 5:
      return add_tile<Vectors, 5>(d, args...);
    default:
      return add_tile<Vectors, 6>(d, args...);
  }
}

/// products[t][s] = row t . row s for all s <= t, at least; [steps][width].
template <typename T, template <typename> class Rows>
HWY_INLINE void row_products(const Rows<T>& rows, std::int64_t sample, std::int64_t width,
                             T* HWY_RESTRICT transposed, double* HWY_RESTRICT packed,
                             double* HWY_RESTRICT products) {
  const hn::ScalableTag<double> d;
  const std::int64_t block = 2 * static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t steps = static_cast<std::int64_t>(rows.steps.size());
  for (std::int64_t column = 0; column < rows.width; column += kColumns) {
    const std::int64_t count = std::min(kColumns, rows.width - column);
    if constexpr (sizeof(T) == sizeof(double)) {
      transpose_columns(rows, sample, column, count, width, packed);
    } else {
      transpose_columns(rows, sample, column, count, width, transposed);
      promote(transposed, count * width, packed);
    }
    for (std::int64_t s = 0; s < steps; s += block) {
      // Rows before s + block / 2 need no product with steps of the second vector.
      const std::int64_t both = std::min(steps, s + block / 2);
      for (std::int64_t t = s; t < both; t += kTileSteps) {
        add_rows_of_tile<1>(d, std::min(kTileSteps, both - t), packed + s, packed + t, width, count,
                            column == 0, products + t * width + s);
      }
      for (std::int64_t t = both; t < steps; t += kTileSteps) {
        add_rows_of_tile<2>(d, std::min(kTileSteps, steps - t), packed + s, packed + t, width,
                            count, column == 0, products + t * width + s);
      }
    }
  }
}

template <typename T, template <typename> class Rows>
HWY_INLINE void gram_samples(const GramCpuTask<T, Rows>& task, std::int64_t begin,
                             std::int64_t end) {
  const hn::ScalableTag<double> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t steps = static_cast<std::int64_t>(task.input.steps.size());
  const std::int64_t width = (steps + 2 * n - 1) / (2 * n) * (2 * n);
  const auto numbers = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const auto transposed = hwy::AllocateAligned<T>(numbers(kColumns * width));
  const auto packed = hwy::AllocateAligned<double>(numbers(kColumns * width));
  const auto inputs = hwy::AllocateAligned<double>(numbers(steps * width));
  const auto grads = hwy::AllocateAligned<double>(numbers(steps * width));
  for (std::int64_t b = begin; b < end; ++b) {
    if (task.input.width == 0) std::fill_n(inputs.get(), steps * width, 0.0);
    if (task.grad.width == 0) std::fill_n(grads.get(), steps * width, 0.0);
    row_products(task.input, b, width, transposed.get(), packed.get(), inputs.get());
    row_products(task.grad, b, width, transposed.get(), packed.get(), grads.get());
    double norm = 0, input_magnitude = 0, grad_magnitude = 0;
    for (std::int64_t t = 0; t < steps; ++t) {
      const double* const x = inputs.get() + t * width;
      const double* const g = grads.get() + t * width;
      auto sum = hn::Zero(d);
      std::int64_t s = 0;
      for (; s + n <= t; s += n) sum = hn::MulAdd(hn::Load(d, x + s), hn::Load(d, g + s), sum);
      double crossed = hn::GetLane(hn::SumOfLanes(d, sum));
      for (; s < t; ++s) crossed += x[s] * g[s];
      norm += x[t] * g[t] + 2 * crossed;
      input_magnitude += x[t];
      grad_magnitude += g[t];
    }
    task.squared_norms[b] = norm < 0 ? 0 : norm;  // a sum of squares, up to rounding; NaN stays
    if (task.squared_magnitudes != nullptr) {
      task.squared_magnitudes[b] = input_magnitude * grad_magnitude;
    }
  }
}

void gram_samples_float(const GramCpuTask<float>& task, std::int64_t begin, std::int64_t end) {
  gram_samples(task, begin, end);
}
void gram_samples_double(const GramCpuTask<double>& task, std::int64_t begin, std::int64_t end) {
  gram_samples(task, begin, end);
}
void gram_offsets_float(const GramCpuTask<float, OffsetRows>& task, std::int64_t begin,
                        std::int64_t end) {
  gram_samples(task, begin, end);
}
void gram_offsets_double(const GramCpuTask<double, OffsetRows>& task, std::int64_t begin,
                         std::int64_t end) {
  gram_samples(task, begin, end);
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(gram_samples_float);
HWY_EXPORT(gram_samples_double);
HWY_EXPORT(gram_offsets_float);
HWY_EXPORT(gram_offsets_double);

void gram_samples_cpu(const GramCpuTask<float>& task, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(gram_samples_float)(task, begin, end);
}
void gram_samples_cpu(const GramCpuTask<double>& task, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(gram_samples_double)(task, begin, end);
}
void gram_samples_cpu(const GramCpuTask<float, OffsetRows>& task, std::int64_t begin,
                      std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(gram_offsets_float)(task, begin, end);
}
void gram_samples_cpu(const GramCpuTask<double, OffsetRows>& task, std::int64_t begin,
                      std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(gram_offsets_double)(task, begin, end);
}

}  // namespace velum::dpsgd::detail
#endif
