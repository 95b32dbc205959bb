#include "cuda/launch.cuh"
#include "polynomial/base_conversion_halves.h"

namespace velum::kernels {
namespace {

template <typename Word>
struct BaseConversionConfig {
  static constexpr int kThreads = 128;
  /// Coefficients per thread, kThreads apart: each constant that is read from shared memory serves
  /// two products.
  static constexpr int kCoefficients = 2;
  static constexpr int kTile = kThreads * kCoefficients;
  /// Targets per thread: 16 sums of two words in registers for 32-bit words, the same in bytes for
  /// 64-bit ones. A y_i is loaded once for them, and the grid is wide enough for a device from N =
  /// 2^14 and eight targets on.
  static constexpr int kTargets = 32 / static_cast<int>(sizeof(Word));
  /// Eight resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 64;
};

/// A thread's residues of limb `row` of `in`; 0 beyond the last coefficient.
template <typename Word>
__device__ void load_row(const BaseConversionTask<Word>& task, std::int64_t poly, int row,
                         std::int64_t begin, Word (&x)[BaseConversionConfig<Word>::kCoefficients]) {
  const Word* const limb = task.in.limb(poly, row);
#pragma unroll
  for (int k = 0; k < BaseConversionConfig<Word>::kCoefficients; ++k) {
    const std::int64_t i = begin + k * BaseConversionConfig<Word>::kThreads;
    x[k] = i < task.out.degree ? limb[i] : 0;
  }
}

/// A block takes a tile of coefficients of one polynomial to a tile of targets: the columns of the
/// table in shared memory, the y_i and the sums in registers. Each product is one IMAD.WIDE for
/// 32-bit words.
template <typename Word>
__global__ void __launch_bounds__(BaseConversionConfig<Word>::kThreads)
    base_conversion_kernel(BaseConversionTask<Word> task, std::int64_t tiles,
                           std::int64_t coefficient_tiles, std::int32_t target_tiles) {
  using Config = BaseConversionConfig<Word>;
  using Wide = WideOf<Word>;
  using Sum = ProductSum<Word>;
  constexpr int kTargets = Config::kTargets;
  constexpr int kCoefficients = Config::kCoefficients;
  __shared__ Word table[LimbIndices::kMaxLimbs + 1][kTargets];
  const BaseConversionView<Word>& c = task.conversion;
  const int rows = task.rows();

  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const std::int64_t strip = tile / coefficient_tiles;
    const auto first = static_cast<std::int32_t>(strip % target_tiles) * kTargets;
    const std::int64_t poly = strip / target_tiles;
    const int targets = min(kTargets, c.to_count - first);
    for (int k = static_cast<int>(threadIdx.x); k < rows * kTargets; k += Config::kThreads) {
      const int row = k / kTargets;
      const int t = k % kTargets;
      table[row][t] = t < targets ? c.table[row * c.to_count + first + t] : 0;
    }
    __syncthreads();

    const std::int64_t begin = tile % coefficient_tiles * Config::kTile + threadIdx.x;
    Wide sums[kTargets][kCoefficients] = {};
    Wide fractions[kCoefficients] = {};
    Word x[kCoefficients];
    load_row(task, poly, 0, begin, x);
    int left = Sum::kFirstProducts;
    for (int row = 0; row < rows; ++row) {
      if (left == 0) {
#pragma unroll
        for (int t = 0; t < kTargets; ++t) {
          const Word p = t < targets ? c.to[first + t].value : 0;
#pragma unroll
          for (int k = 0; k < kCoefficients; ++k) sums[t][k] = fold_sum(sums[t][k], p);
        }
        left = Sum::kMoreProducts;
      }
      --left;
      Word y[kCoefficients];
#pragma unroll
      for (int k = 0; k < kCoefficients; ++k) {
        if (row == c.from_count) {
          y[k] = nearest_integer<Word>(fractions[k]);
        } else {
          y[k] = task.y(x[k], row);
          if (task.centred) fractions[k] += fraction(y[k], c.reciprocals[row]);
        }
      }
      // On its way while this row is multiplied.
      if (row + 1 < c.from_count) load_row(task, poly, row + 1, begin, x);
#pragma unroll
      for (int t = 0; t < kTargets; ++t) {
        const Word constant = table[row][t];
#pragma unroll
        for (int k = 0; k < kCoefficients; ++k) {
          sums[t][k] += static_cast<Wide>(y[k]) * constant;
        }
      }
    }
#pragma unroll
    for (int t = 0; t < kTargets; ++t) {
      if (t >= targets) break;
      const Modulus<Word> p = c.to[first + t];
      Word* const out = task.out_limb(poly, first + t);
#pragma unroll
      for (int k = 0; k < kCoefficients; ++k) {
        const std::int64_t i = begin + k * Config::kThreads;
        if (i < task.out.degree) out[i] = reduce_sum_montgomery(sums[t][k], p);
      }
    }
    __syncthreads();  // the table is replaced next
  }
}

}  // namespace

template <typename Word>
void base_conversion_cuda(const BaseConversionTask<Word>& task, const Stream& stream) {
  using Config = BaseConversionConfig<Word>;
  constexpr int kTargets = Config::kTargets;
  const std::int64_t coefficient_tiles = (task.out.degree + Config::kTile - 1) / Config::kTile;
  const std::int32_t target_tiles = (task.conversion.to_count + kTargets - 1) / kTargets;
  const std::int64_t tiles = task.out.polys * target_tiles * coefficient_tiles;
  if (tiles == 0) return;
  cuda::launch({cuda::grid_stride_blocks(tiles, 1, Config::kMaxBlocks), Config::kThreads}, stream,
               base_conversion_kernel<Word>, task, tiles, coefficient_tiles, target_tiles);
}

template void base_conversion_cuda(const BaseConversionTask<std::uint32_t>&, const Stream&);
template void base_conversion_cuda(const BaseConversionTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
