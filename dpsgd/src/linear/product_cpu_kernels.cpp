#include "linear/product_cpu_kernels.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "linear/product_cpu_kernels.cpp"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "linear/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of the left side at a time, so that kTilePositions terms of them stay in the second-level
// cache: 96 KiB of floats.
constexpr std::int64_t kRowBlock = 32 * kTileFeatures;

/// Multiplies `count` rows of `width` numbers, a whole number of vectors, each by its factor.
template <typename T>
HWY_INLINE void scale_rows(const T* HWY_RESTRICT factors, std::int64_t count, std::int64_t width,
                           T* HWY_RESTRICT rows) {
  const hn::ScalableTag<T> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t t = 0; t < count; ++t) {
    const auto factor = hn::Set(d, factors[t]);
    for (std::int64_t i = 0; i < width; i += n) {
      T* const at = rows + t * width + i;
      hn::Store(hn::Mul(hn::Load(d, at), factor), d, at);
    }
  }
}

/// Rows of unit stride as tiles [tile][term][kTileFeatures]; the last tile may hold less.
template <typename T>
HWY_INLINE void pack_left(const T* HWY_RESTRICT left, std::int64_t term_stride, std::int64_t rows,
                          std::int64_t terms, T* HWY_RESTRICT packed) {
  for (std::int64_t r = 0; r < rows; r += kTileFeatures) {
    T* to = packed + r * kTilePositions;
    const T* from = left + r;
    if (r + kTileFeatures <= rows) {
      for (std::int64_t t = 0; t < terms; ++t, from += term_stride, to += kTileFeatures) {
        for (std::int64_t i = 0; i < kTileFeatures; ++i) to[i] = from[i];
      }
    } else {
      for (std::int64_t t = 0; t < terms; ++t, from += term_stride, to += kTileFeatures) {
        for (std::int64_t i = 0; i < rows - r; ++i) to[i] = from[i];
      }
    }
  }
}

template <typename T>
HWY_INLINE void product(const ProductCpuTask<T>& task) {
  if (task.rows == 0 || task.columns == 0) return;
  const hn::ScalableTag<T> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t vectors = (task.columns + n - 1) / n;
  const bool packs = task.left_term_stride != 1;
  const auto numbers = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const auto right = hwy::AllocateAligned<T>(numbers(kTilePositions * vectors * n));
  const auto left = hwy::AllocateAligned<T>(numbers(packs ? kTilePositions * kRowBlock : 1));
  std::vector<std::int64_t> row_offsets, term_offsets;
  for (std::int64_t i = 0; i < kTileFeatures; ++i) {
    row_offsets.push_back(packs ? i : i * task.left_row_stride);
  }
  for (std::int64_t t = 0; t < kTilePositions; ++t) {
    term_offsets.push_back(packs ? t * kTileFeatures : t);
  }
  HWY_ALIGN T tail[kTileFeatures * hn::MaxLanes(d)];  // of a vector beyond the last column

  if (task.terms == 0 && !task.add) {
    for (std::int64_t r = 0; r < task.rows; ++r) {
      std::fill_n(task.out + r * task.out_row_stride, task.columns, T{0});
    }
  }
  for (std::int64_t t = 0; t < task.terms; t += kTilePositions) {
    const std::int64_t terms = std::min(kTilePositions, task.terms - t);
    const bool first = t == 0 && !task.add;
    // Blocks of two vectors of columns, or of one: each is [terms][its width].
    const auto width_of = [&](std::int64_t v) {
      const bool whole = v + kTileVectors <= vectors && (v + kTileVectors) * n <= task.columns;
      return whole ? kTileVectors : 1;
    };
    for (std::int64_t v = 0; v < vectors; v += width_of(v)) {
      const std::int64_t width = width_of(v) * n;
      T* const packed = right.get() + v * n * kTilePositions;
      transpose_rows(task.right + t * task.right_term_stride + v * n * task.right_column_stride,
                     task.right_column_stride, task.right_term_stride,
                     std::min(width, task.columns - v * n), terms, width, packed);
      if (task.factors != nullptr) scale_rows(task.factors + t, terms, width, packed);
    }
    for (std::int64_t block = 0; block < task.rows; block += kRowBlock) {
      const std::int64_t rows = std::min(kRowBlock, task.rows - block);
      const T* of_left = task.left + block * task.left_row_stride + t * task.left_term_stride;
      if (packs) {
        pack_left(of_left, task.left_term_stride, rows, terms, left.get());
        of_left = left.get();
      }
      for (std::int64_t v = 0; v < vectors; v += width_of(v)) {
        const T* const g = right.get() + v * n * kTilePositions;
        for (std::int64_t r = 0; r < rows; r += kTileFeatures) {
          const std::int64_t tile = std::min(kTileFeatures, rows - r);
          const T* const image = of_left + r * (packs ? kTilePositions : task.left_row_stride);
          T* const out = task.out + (block + r) * task.out_row_stride + v * n;
          const auto accumulate = [&](auto width, T* sums, std::int64_t stride) HWY_ATTR {
            accumulate_features<decltype(width)::value>(d, tile, image, row_offsets.data(),
                                                        term_offsets.data(), terms, g, first, sums,
                                                        stride);
          };
          const std::int64_t left_columns = task.columns - v * n;
          if (width_of(v) == kTileVectors) {
            accumulate(std::integral_constant<int, 2>(), out, task.out_row_stride);
          } else if (left_columns >= n) {
            accumulate(std::integral_constant<int, 1>(), out, task.out_row_stride);
          } else {
            for (std::int64_t i = 0; i < tile && !first; ++i) {
              std::copy_n(out + i * task.out_row_stride, left_columns, tail + i * n);
            }
            accumulate(std::integral_constant<int, 1>(), tail, n);
            for (std::int64_t i = 0; i < tile; ++i) {
              std::copy_n(tail + i * n, left_columns, out + i * task.out_row_stride);
            }
          }
        }
      }
    }
  }
}

void product_float(const ProductCpuTask<float>& task) { product(task); }
void product_double(const ProductCpuTask<double>& task) { product(task); }

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(product_float);
HWY_EXPORT(product_double);

void product_cpu(const ProductCpuTask<float>& task) { HWY_DYNAMIC_DISPATCH(product_float)(task); }
void product_cpu(const ProductCpuTask<double>& task) { HWY_DYNAMIC_DISPATCH(product_double)(task); }

}  // namespace velum::dpsgd::detail
#endif
