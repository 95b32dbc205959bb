#include "linear/gram_cpu_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "linear/gram_cpu_kernels.cpp"
// Vectors are held in arrays, which scalable vectors cannot be.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Steps come in panels, so that the columns of a panel lie one after the other in the first-level
// cache. A tile is the products of the steps of one panel and those of up to kTilePanels: with
// AVX-512 8 steps by three vectors, 24 sums, and with AVX2 4 by three, 12; with vectors of two
// numbers 4 by two, 8. Each leaves room for the vectors and one broadcast element, and covers the
// latency of two multiply-adds a cycle.
constexpr std::int64_t kLanes = hn::MaxLanes(hn::ScalableTag<double>());
constexpr std::int64_t kPanel = std::max<std::int64_t>(4, kLanes);
constexpr int kPanelVectors = static_cast<int>(kPanel / kLanes);
constexpr int kTilePanels = kPanelVectors == 1 ? 3 : 1;
// Columns at a time: four panels are at most 16 KiB.
constexpr std::int64_t kColumns = 64;
// Numbers of a sample: a quarter of a megabyte of floats.
constexpr std::int64_t kMostFetched = std::int64_t{1} << 16;

#if HWY_TARGET != HWY_SCALAR

HWY_INLINE void store_as_doubles(hn::Vec<hn::FixedTag<float, 4>> v, double* to) {
#if HWY_MAX_BYTES >= 32
  const hn::FixedTag<double, 4> d;
  hn::StoreU(hn::PromoteTo(d, v), d, to);
#else
  const hn::FixedTag<double, 2> d;
  const hn::FixedTag<float, 2> half;
  hn::StoreU(hn::PromoteTo(d, hn::LowerHalf(half, v)), d, to);
  hn::StoreU(hn::PromoteTo(d, hn::UpperHalf(half, v)), d, to + 2);
#endif
}

/// Four columns of four steps; those of a panel are kPanel apart.
HWY_INLINE void transpose_block(const float* const (&from)[4], std::int64_t column, double* to) {
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::LoadU(d, from[0] + column), r1 = hn::LoadU(d, from[1] + column);
  const auto r2 = hn::LoadU(d, from[2] + column), r3 = hn::LoadU(d, from[3] + column);
  const auto low02 = hn::InterleaveLower(d, r0, r2);  // r0[0] r2[0] r0[1] r2[1]
  const auto low13 = hn::InterleaveLower(d, r1, r3);
  const auto high02 = hn::InterleaveUpper(d, r0, r2);
  const auto high13 = hn::InterleaveUpper(d, r1, r3);
  store_as_doubles(hn::InterleaveLower(d, low02, low13), to);
  store_as_doubles(hn::InterleaveUpper(d, low02, low13), to + kPanel);
  store_as_doubles(hn::InterleaveLower(d, high02, high13), to + 2 * kPanel);
  store_as_doubles(hn::InterleaveUpper(d, high02, high13), to + 3 * kPanel);
}

/// Two columns of two steps.
HWY_INLINE void transpose_block(const double* const (&from)[2], std::int64_t column, double* to) {
  const hn::FixedTag<double, 2> d;
  const auto r0 = hn::LoadU(d, from[0] + column), r1 = hn::LoadU(d, from[1] + column);
  hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to);
  hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + kPanel);
}

#endif

template <typename T>
HWY_INLINE const T* row_of(const StepRows<T>& rows, std::int64_t sample, std::int64_t t) {
  const auto& step = rows.steps[static_cast<std::size_t>(t)];
  return step.first + sample * step.sample_stride;
}

/// Columns [first, first + count) of the rows of a sample: packed[panel][column][step of panel],
/// steps beyond the last as zeros.
template <typename T>
HWY_INLINE void pack_columns(const StepRows<T>& rows, std::int64_t sample, std::int64_t first,
                             std::int64_t count, double* HWY_RESTRICT packed) {
  const std::int64_t steps = static_cast<std::int64_t>(rows.steps.size());
  const auto place = [&](std::int64_t t) {
    return packed + t / kPanel * kPanel * count + t % kPanel;
  };
  std::int64_t t = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr std::int64_t n = 16 / sizeof(T);
  for (; t + n <= steps; t += n) {
    const T* from[n];
    for (std::int64_t i = 0; i < n; ++i) from[i] = row_of(rows, sample, t + i) + first;
    double* const to = place(t);
    std::int64_t c = 0;
    for (; c + n <= count; c += n) transpose_block(from, c, to + c * kPanel);
    for (; c < count; ++c) {
      for (std::int64_t i = 0; i < n; ++i) to[c * kPanel + i] = from[i][c];
    }
  }
#endif
  for (; t < steps; ++t) {
    const T* const from = row_of(rows, sample, t) + first;
    double* const to = place(t);
    for (std::int64_t c = 0; c < count; ++c) to[c * kPanel] = from[c];
  }
  for (; t % kPanel != 0; ++t) {
    double* const to = place(t);
    for (std::int64_t c = 0; c < count; ++c) to[c * kPanel] = 0;
  }
}

template <typename T>
HWY_INLINE void pack_columns(const OffsetRows<T>& rows, std::int64_t sample, std::int64_t first,
                             std::int64_t count, double* HWY_RESTRICT packed) {
  const std::int64_t steps = static_cast<std::int64_t>(rows.steps.size());
  const std::int64_t* const offsets = rows.steps.data();
  for (std::int64_t c = 0; c < count; ++c) {
    const T* const from = rows.first + sample * rows.sample_stride +
                          rows.columns[static_cast<std::size_t>(first + c)];
    for (std::int64_t t = 0; t < steps; t += kPanel) {
      double* const to = packed + t * count + c * kPanel;
      const std::int64_t in_panel = std::min(kPanel, steps - t);
      for (std::int64_t i = 0; i < in_panel; ++i) to[i] = from[offsets[t + i]];
      std::fill(to + in_panel, to + kPanel, 0.0);
    }
  }
}

/// Asks for columns of the steps of a panel in the second-level cache; the first has no room.
template <typename T>
HWY_INLINE void prefetch_panel(const StepRows<T>& rows, std::int64_t sample, std::int64_t panel,
                               std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  const std::int64_t end = std::min(panel + kPanel, static_cast<std::int64_t>(rows.steps.size()));
  for (std::int64_t t = panel; t < end; ++t) {
    const T* const from = row_of(rows, sample, t) + first;
    for (std::int64_t c = 0; c < count; c += kLine) {
      __builtin_prefetch(from + c, /*rw=*/0, /*locality=*/2);
    }
  }
}

/// Numbers that are gathered do not fill lines.
template <typename T>
HWY_INLINE void prefetch_panel(const OffsetRows<T>&, std::int64_t, std::int64_t, std::int64_t,
                               std::int64_t) {}

/// products[i][s] (+)= sum_c y[c][i] * x[c][s] for the steps i of a panel and s of Panels panels.
template <int Panels>
HWY_INLINE void add_tile(const double* HWY_RESTRICT x, const double* HWY_RESTRICT y,
                         std::int64_t width, std::int64_t count, bool first,
                         double* HWY_RESTRICT products) {
  const hn::CappedTag<double, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kVectors = Panels * kPanelVectors;
  V sums[kPanel][kVectors];
  for (int i = 0; i < kPanel; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      sums[i][v] = first ? hn::Zero(d) : hn::Load(d, products + i * width + v * kLanes);
    }
  }
  for (std::int64_t c = 0; c < count; ++c) {
    V steps[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t panel = v / kPanelVectors, vector = v % kPanelVectors;
      steps[v] = hn::Load(d, x + (panel * count + c) * kPanel + vector * kLanes);
    }
    for (int i = 0; i < kPanel; ++i) {
      const V other = hn::Set(d, y[c * kPanel + i]);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::MulAdd(other, steps[v], sums[i][v]);
    }
  }
  for (int i = 0; i < kPanel; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      hn::Store(sums[i][v], d, products + i * width + v * kLanes);
    }
  }
}

/// products[t][s] = row t . row s for all s <= t, at least; [width][width]. Asks for the rows of
/// sample `next` in the meantime, unless it is `sample`.
template <typename T, template <typename> class Rows>
HWY_INLINE void row_products(const Rows<T>& rows, std::int64_t sample, std::int64_t next,
                             std::int64_t width, double* HWY_RESTRICT packed,
                             double* HWY_RESTRICT products) {
  for (std::int64_t column = 0; column < rows.width; column += kColumns) {
    const std::int64_t count = std::min(kColumns, rows.width - column);
    const bool first = column == 0;
    pack_columns(rows, sample, column, count, packed);
    for (std::int64_t t = 0; t < width; t += kPanel) {
      if (next != sample) prefetch_panel(rows, next, t, column, count);
      const double* const y = packed + t * count;
      double* const out = products + t * width;
      std::int64_t s = 0;
      if constexpr (kTilePanels == 3) {
        for (; s + 2 * kPanel <= t; s += 3 * kPanel) {
          add_tile<3>(packed + s * count, y, width, count, first, out + s);
        }
        if (s + kPanel == t) {
          add_tile<2>(packed + s * count, y, width, count, first, out + s);
          continue;
        }
      }
      for (; s <= t; s += kPanel) {
        add_tile<1>(packed + s * count, y, width, count, first, out + s);
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
  if (steps == 0) {
    std::fill(task.squared_norms + begin, task.squared_norms + end, 0.0);
    if (task.squared_magnitudes != nullptr) {
      std::fill(task.squared_magnitudes + begin, task.squared_magnitudes + end, 0.0);
    }
    return;
  }
  const std::int64_t width = (steps + kPanel - 1) / kPanel * kPanel;
  const auto numbers = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const auto packed = hwy::AllocateAligned<double>(numbers(kColumns * width));
  const auto inputs = hwy::AllocateAligned<double>(numbers(width * width));
  const auto grads = hwy::AllocateAligned<double>(numbers(width * width));
  // Of larger samples, what is fetched ahead could drive out what is still to be read.
  const bool fetches = steps * (task.input.width + task.grad.width) <= kMostFetched;
  for (std::int64_t b = begin; b < end; ++b) {
    if (task.input.width == 0) std::fill_n(inputs.get(), steps * width, 0.0);
    if (task.grad.width == 0) std::fill_n(grads.get(), steps * width, 0.0);
    const std::int64_t next = fetches ? std::min(b + 1, end - 1) : b;
    row_products(task.input, b, next, width, packed.get(), inputs.get());
    row_products(task.grad, b, next, width, packed.get(), grads.get());
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
