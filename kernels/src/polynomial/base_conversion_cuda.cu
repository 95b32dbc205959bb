#include <algorithm>
#include <bit>

#include "cuda/launch.cuh"
#include "polynomial/base_conversion_halves.h"

namespace velum::kernels {
namespace {

template <typename Word>
struct BaseConversionConfig {
  static constexpr int kThreads = 64;
  /// Coefficients per thread, kThreads apart: what is read from shared memory serves two products.
  static constexpr int kCoefficients = 2;
  /// Of a block, for all targets: N = 2^14 gives a block to nearly each of 132 SMs.
  static constexpr int kTile = kThreads * kCoefficients;
  /// Targets at a time: 24 sums of two 32-bit words in registers, the same in bytes for 64-bit
  /// ones. A row of the table is read from shared memory 16 bytes at a time.
  static constexpr int kTargets = 48 / static_cast<int>(sizeof(Word));
  /// Rows whose y_i are in shared memory: computed once for all targets if there are no more.
  static constexpr int kRows = sizeof(Word) == 4 ? 16 : 12;
  static_assert(kRows <= ProductSum<Word>::kFirstProducts);
  /// More rows are taken so many at a time, after the sums are folded.
  static constexpr int kMoreRows = std::min(kRows, ProductSum<Word>::kMoreProducts);
  /// Rows of products written out: 96 products of 32-bit words, 12 of 64-bit ones, of which each is
  /// several instructions.
  static constexpr int kUnrolledRows = sizeof(Word) == 4 ? 4 : 1;
  /// Eight resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 64;
};

/// What a block has in shared memory.
template <typename Word>
struct BaseConversionShared {
  using Config = BaseConversionConfig<Word>;
  alignas(16) Word y[Config::kRows][Config::kThreads][Config::kCoefficients];  // each thread's own
  alignas(16) Word table[Config::kRows][Config::kTargets];
  Modulus<Word> to[Config::kTargets];
};

/// Columns [first, first + kTargets) of rows [begin, begin + count) of the table, and the moduli of
/// these columns; 0 beyond the last.
template <typename Word>
__device__ void load_columns(const BaseConversionView<Word>& c, int first, int begin, int count,
                             BaseConversionShared<Word>& shared) {
  using Config = BaseConversionConfig<Word>;
  constexpr int kTargets = Config::kTargets;
  const int targets = min(kTargets, c.to_count - first);
  const auto thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int k = thread; k < count * kTargets; k += Config::kThreads) {
    const int row = k / kTargets;
    const int t = k % kTargets;
    shared.table[row][t] = t < targets ? c.table[(begin + row) * c.to_count + first + t] : 0;
  }
  if (thread < kTargets) {
    shared.to[thread] = thread < targets ? c.to[first + thread] : Modulus<Word>{};
  }
}

/// The y_i of rows [begin, begin + count) for the coefficients i, and the integers to take off if
/// they are among them; `fractions` sums over all rows before.
template <typename Word>
__device__ void make_rows(const BaseConversionTask<Word>& task, std::int64_t poly,
                          const std::uint32_t (&i)[BaseConversionConfig<Word>::kCoefficients],
                          int begin, int count,
                          WideOf<Word> (&fractions)[BaseConversionConfig<Word>::kCoefficients],
                          BaseConversionShared<Word>& shared) {
  const BaseConversionView<Word>& c = task.conversion;
  const auto thread = static_cast<int>(threadIdx.x);
  const int sources = min(count, c.from_count - begin);
#pragma unroll
  for (int k = 0; k < BaseConversionConfig<Word>::kCoefficients; ++k) {
    // `begin` is the number of sources where the integers are alone.
    const Word* const x = task.in.data + poly * task.in.poly_stride + begin * task.in.degree + i[k];
    if (task.premultiplied) {
#pragma unroll 4
      for (int r = 0; r < sources; ++r) shared.y[r][thread][k] = x[r * task.in.degree];
    } else {
#pragma unroll 4
      for (int r = 0; r < sources; ++r) {
        shared.y[r][thread][k] = task.y(x[r * task.in.degree], begin + r);
      }
    }
    if (task.centred) {
#pragma unroll 2
      for (int r = 0; r < sources; ++r) {
        fractions[k] += fraction(shared.y[r][thread][k], c.reciprocals[begin + r]);
      }
      if (sources < count) shared.y[sources][thread][k] = nearest_integer<Word>(fractions[k]);
    }
  }
}

/// A block takes a tile of coefficients of one polynomial to all targets, kTargets at a time. Each
/// product is one IMAD.WIDE for 32-bit words.
template <typename Word>
__global__ void __launch_bounds__(BaseConversionConfig<Word>::kThreads)
    base_conversion_kernel(BaseConversionTask<Word> task, std::int64_t tiles,
                           std::int32_t log_coefficient_tiles) {
  using Config = BaseConversionConfig<Word>;
  using Wide = WideOf<Word>;
  constexpr int kTargets = Config::kTargets;
  constexpr int kCoefficients = Config::kCoefficients;
  __shared__ BaseConversionShared<Word> shared;
  const BaseConversionView<Word>& c = task.conversion;
  const int rows = task.rows();
  const auto degree = static_cast<std::uint32_t>(task.out.degree);

  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const std::int64_t poly = tile >> log_coefficient_tiles;
    const auto first_coefficient =
        static_cast<std::uint32_t>(tile - (poly << log_coefficient_tiles)) * Config::kTile +
        threadIdx.x;
    std::uint32_t i[kCoefficients];  // coefficient 0 again beyond the last
    for (int k = 0; k < kCoefficients; ++k) {
      i[k] = first_coefficient + k * Config::kThreads;
      if (i[k] >= degree) i[k] = 0;
    }
    Word* const out = task.out.limb(poly, 0) + first_coefficient;
    for (int first = 0; first < c.to_count; first += kTargets) {
      Wide sums[kTargets][kCoefficients] = {};
      Wide fractions[kCoefficients] = {};
      int count = Config::kRows;
      for (int begin = 0; begin < rows; begin += count, count = Config::kMoreRows) {
        count = min(count, rows - begin);
        if (first == 0 || rows > Config::kRows) {
          make_rows(task, poly, i, begin, count, fractions, shared);
        }
        __syncthreads();  // the columns before have been read
        load_columns(c, first, begin, count, shared);
        __syncthreads();
        if (begin > 0) {
#pragma unroll
          for (int t = 0; t < kTargets; ++t) {
#pragma unroll
            for (int k = 0; k < kCoefficients; ++k) {
              sums[t][k] = fold_sum(sums[t][k], shared.to[t].value);
            }
          }
        }
#pragma unroll Config::kUnrolledRows
        for (int r = 0; r < count; ++r) {
          Word y[kCoefficients];
#pragma unroll
          for (int k = 0; k < kCoefficients; ++k) y[k] = shared.y[r][threadIdx.x][k];
#pragma unroll
          for (int t = 0; t < kTargets; ++t) {
            const Word constant = shared.table[r][t];
#pragma unroll
            for (int k = 0; k < kCoefficients; ++k) {
              sums[t][k] += static_cast<Wide>(y[k]) * constant;
            }
          }
        }
      }
#pragma unroll
      for (int t = 0; t < kTargets; ++t) {
        const int target = first + t;
        if (target >= c.to_count) break;
        const Modulus<Word> p = shared.to[t];
        const std::uint32_t limb = static_cast<std::uint32_t>(task.out_index(target)) * degree;
#pragma unroll
        for (int k = 0; k < kCoefficients; ++k) {
          const Word result = reduce_sum_montgomery(sums[t][k], p);
          if (first_coefficient + k * Config::kThreads < degree) {
            out[limb + k * Config::kThreads] = result;
          }
        }
      }
    }
  }
}

}  // namespace

template <typename Word>
void base_conversion_cuda(const BaseConversionTask<Word>& task, const Stream& stream) {
  using Config = BaseConversionConfig<Word>;
  // Both are powers of two.
  const std::int64_t coefficient_tiles = std::max<std::int64_t>(1, task.out.degree / Config::kTile);
  const std::int64_t tiles = task.out.polys * coefficient_tiles;
  if (tiles == 0 || task.conversion.to_count == 0) return;
  const int log_coefficient_tiles = std::countr_zero(static_cast<std::uint64_t>(coefficient_tiles));
  cuda::launch({cuda::grid_stride_blocks(tiles, 1, Config::kMaxBlocks), Config::kThreads}, stream,
               base_conversion_kernel<Word>, task, tiles, log_coefficient_tiles);
}

template void base_conversion_cuda(const BaseConversionTask<std::uint32_t>&, const Stream&);
template void base_conversion_cuda(const BaseConversionTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
