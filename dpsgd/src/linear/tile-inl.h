// Tiles of sums of products, which the gradients of samples and matrix products are made of. For
// foreach_target: included once per SIMD target.
#if defined(VELUM_DPSGD_LINEAR_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VELUM_DPSGD_LINEAR_TILE_INL_H
#undef VELUM_DPSGD_LINEAR_TILE_INL_H
#else
#define VELUM_DPSGD_LINEAR_TILE_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A tile is kTileVectors vectors of outputs by kTileFeatures features: 12 sums, two vectors of `g`
// and one broadcast element of the image fill the 16 registers of AVX2, and 12 independent sums
// cover the latency of two multiply-adds a cycle.
constexpr std::int64_t kTileVectors = 2;
constexpr std::int64_t kTileFeatures = 6;
// Positions at a time, so that the vectors of one tile stay in the first-level cache: 8 KiB.
constexpr std::int64_t kTilePositions = 128;

/// D x V vectors of sums over `count` positions, image[features[i] + positions[t]] * g[t], added to
/// `sums` unless `first`; `g` holds V vectors for each position. Vectors are named one by one:
/// arrays of them are not allowed everywhere.
template <int V, int D, class Tag, typename T = hn::TFromD<Tag>>
HWY_INLINE void accumulate_tile(Tag d, const T* HWY_RESTRICT image,
                                const std::int64_t* HWY_RESTRICT features,
                                const std::int64_t* HWY_RESTRICT positions, std::int64_t count,
                                const T* HWY_RESTRICT g, bool first, T* HWY_RESTRICT sums,
                                std::int64_t sums_stride) {
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const T* const x0 = image + features[0];
  const T* const x1 = image + features[D > 1 ? 1 : 0];
  const T* const x2 = image + features[D > 2 ? 2 : 0];
  const T* const x3 = image + features[D > 3 ? 3 : 0];
  const T* const x4 = image + features[D > 4 ? 4 : 0];
  const T* const x5 = image + features[D > 5 ? 5 : 0];
  auto a00 = hn::Zero(d), a01 = a00, a10 = a00, a11 = a00, a20 = a00, a21 = a00;
  auto a30 = a00, a31 = a00, a40 = a00, a41 = a00, a50 = a00, a51 = a00;
#define VELUM_FOR_TILE(ACTION) \
  ACTION(0, a00, a01, x0)      \
  ACTION(1, a10, a11, x1)      \
  ACTION(2, a20, a21, x2) ACTION(3, a30, a31, x3) ACTION(4, a40, a41, x4) ACTION(5, a50, a51, x5)
#define VELUM_LOAD(I, LOW, HIGH, X)                                       \
  if constexpr (D > I) {                                                  \
    LOW = hn::LoadU(d, sums + I * sums_stride);                           \
    if constexpr (V > 1) HIGH = hn::LoadU(d, sums + I * sums_stride + n); \
  }
#define VELUM_ADD(I, LOW, HIGH, X)                       \
  if constexpr (D > I) {                                 \
    const auto x = hn::Set(d, X[position]);              \
    LOW = hn::MulAdd(x, g0, LOW);                        \
    if constexpr (V > 1) HIGH = hn::MulAdd(x, g1, HIGH); \
  }
#define VELUM_STORE(I, LOW, HIGH, X)                                      \
  if constexpr (D > I) {                                                  \
    hn::StoreU(LOW, d, sums + I * sums_stride);                           \
    if constexpr (V > 1) hn::StoreU(HIGH, d, sums + I * sums_stride + n); \
  }
  if (!first) {
    VELUM_FOR_TILE(VELUM_LOAD)
  }
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t position = positions[t];
    const auto g0 = hn::Load(d, g);
    const auto g1 = V > 1 ? hn::Load(d, g + n) : g0;
    VELUM_FOR_TILE(VELUM_ADD)
    g += V * n;
  }
  VELUM_FOR_TILE(VELUM_STORE)
#undef VELUM_FOR_TILE
#undef VELUM_LOAD
#undef VELUM_ADD
#undef VELUM_STORE
}

template <int V, class Tag, typename... Args>
HWY_INLINE void accumulate_features(Tag d, std::int64_t count, Args... args) {
  switch (count) {
    case 1:
      return accumulate_tile<V, 1>(d, args...);
    case 2:
      return accumulate_tile<V, 2>(d, args...);
    case 3:
      return accumulate_tile<V, 3>(d, args...);
    case 4:
      return accumulate_tile<V, 4>(d, args...);
    case 5:
      return accumulate_tile<V, 5>(d, args...);
    default:
      return accumulate_tile<V, 6>(d, args...);
  }
}

/// Rows [rows][positions] to [positions][width], rows beyond the last as zeros.
template <typename T>
HWY_INLINE void transpose_rows(const T* HWY_RESTRICT source, std::int64_t row_stride,
                               std::int64_t position_stride, std::int64_t rows,
                               std::int64_t positions, std::int64_t width, T* HWY_RESTRICT packed) {
  if (row_stride == 1 && rows == width) {
    for (std::int64_t t = 0; t < positions; ++t) {
      std::memcpy(packed + t * width, source + t * position_stride,
                  static_cast<std::size_t>(width) * sizeof(T));
    }
    return;
  }
  if (rows < width) {
    std::memset(packed, 0, static_cast<std::size_t>(positions * width) * sizeof(T));
  }
  std::int64_t row = 0;
#if HWY_TARGET != HWY_SCALAR
  if (position_stride == 1) {
    const hn::FixedTag<T, 16 / sizeof(T)> d;
    constexpr std::int64_t n = 16 / sizeof(T);
    for (; row + n <= rows; row += n) {
      const T* const from = source + row * row_stride;
      T* const column = packed + row;
      std::int64_t t = 0;
      for (; t + n <= positions; t += n) {
        if constexpr (sizeof(T) == 4) {
          const auto r0 = hn::LoadU(d, from + t), r1 = hn::LoadU(d, from + row_stride + t);
          const auto r2 = hn::LoadU(d, from + 2 * row_stride + t);
          const auto r3 = hn::LoadU(d, from + 3 * row_stride + t);
          const auto low02 = hn::InterleaveLower(d, r0, r2);  // r0[0] r2[0] r0[1] r2[1]
          const auto low13 = hn::InterleaveLower(d, r1, r3);
          const auto high02 = hn::InterleaveUpper(d, r0, r2);
          const auto high13 = hn::InterleaveUpper(d, r1, r3);
          hn::StoreU(hn::InterleaveLower(d, low02, low13), d, column + t * width);
          hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, column + (t + 1) * width);
          hn::StoreU(hn::InterleaveLower(d, high02, high13), d, column + (t + 2) * width);
          hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, column + (t + 3) * width);
        } else {
          const auto r0 = hn::LoadU(d, from + t), r1 = hn::LoadU(d, from + row_stride + t);
          hn::StoreU(hn::InterleaveLower(d, r0, r1), d, column + t * width);
          hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, column + (t + 1) * width);
        }
      }
      for (; t < positions; ++t) {
        for (std::int64_t i = 0; i < n; ++i) column[t * width + i] = from[i * row_stride + t];
      }
    }
  }
#endif
  for (; row < rows; ++row) {
    for (std::int64_t t = 0; t < positions; ++t) {
      packed[t * width + row] = source[row * row_stride + t * position_stride];
    }
  }
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
