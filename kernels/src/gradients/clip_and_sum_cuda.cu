#include "cuda/launch.cuh"
#include "gradients/clip_and_sum_halves.h"

namespace velum::kernels {
namespace {

struct ClipAndSumConfig {
  /// Threads side by side on a row: a warp reads whole 128-byte lines.
  static constexpr int kLanes = 32;
  /// Columns per thread, kLanes apart: the factors of a block serve 64 columns.
  static constexpr int kColsPerThread = 2;
  static constexpr int kCols = kLanes * kColsPerThread;
  /// Warps of a block, each on the samples of one residue class: a narrow matrix of many rows still
  /// fills the device. Part of the contract: it fixes the order of summation.
  static constexpr int kClasses = 16;
  static constexpr int kThreads = kLanes * kClasses;
  /// Samples whose factors are held in shared memory at once: one per thread.
  static constexpr int kSamples = kThreads;
  /// Rows in flight per thread, so 8 loads.
  static constexpr int kUnroll = 4;
  /// Four resident blocks on each of 132 SMs, in 64 waves; columns beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 4 * 64;
};

/// Writes a tile of sums, from shared memory. One warp; the others have nothing left to do.
template <typename T, typename Previous, typename Out>
__device__ void write_tile(const ClipAndSumTask<T, Previous, Out, KeepSum>& task, std::int64_t tile,
                           int lane, const double* sums) {
  for (int c = lane; c < ClipAndSumConfig::kCols; c += ClipAndSumConfig::kLanes) {
    const std::int64_t col = tile + c;
    if (col < task.out.size()) {
      const double previous = task.previous.empty() ? 0.0 : static_cast<double>(task.previous[col]);
      task.out[col] = static_cast<Out>(previous + sums[c]);
    }
  }
}

/// The same with noise. A tile is half a group of draws (GaussianLayout): four draws of each of 16
/// keystream blocks, so two threads share a block and each takes a pair of draws, 16 columns apart.
template <typename T, typename Previous, typename Out>
__device__ void write_tile(const ClipAndSumTask<T, Previous, Out, NoiseAndScale>& task,
                           std::int64_t tile, int lane, const double* sums) {
  constexpr int kBlocks = static_cast<int>(GaussianLayout::kBlocksPerGroup);
  static_assert(2 * ClipAndSumConfig::kCols == GaussianLayout::kDrawsPerGroup);
  static_assert(2 * kBlocks == ClipAndSumConfig::kLanes);
  const int pair_in_tile = lane / kBlocks;
  const std::int64_t first_col = tile + pair_in_tile * 2 * kBlocks + lane % kBlocks;
  const std::int64_t block = GaussianLayout::block_of(first_col);
  const int pair = static_cast<int>(GaussianLayout::slot_of(first_col)) / 2;
  const ChaCha20State keystream =
      chacha20_block(task.finish.stream, static_cast<std::uint32_t>(block));
  std::uint32_t words[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) {  // selected, so that the keystream stays in registers
    const std::uint32_t low = pair & 1 ? keystream.words[4 + w] : keystream.words[w];
    const std::uint32_t high = pair & 1 ? keystream.words[12 + w] : keystream.words[8 + w];
    words[w] = pair & 2 ? high : low;
  }
  double draws[2];
  normal_pair(words, draws[0], draws[1]);
#pragma unroll
  for (int d = 0; d < 2; ++d) {
    const std::int64_t col = first_col + d * kBlocks;
    if (col < task.out.size()) {
      const double previous = task.previous.empty() ? 0.0 : static_cast<double>(task.previous[col]);
      task.out[col] = static_cast<Out>(task.finish(previous + sums[col - tile], draws[d]));
    }
  }
}

template <typename T, typename Previous, typename Out, typename Finish>
__global__ void __launch_bounds__(ClipAndSumConfig::kThreads)
    clip_and_sum_kernel(ClipAndSumTask<T, Previous, Out, Finish> task) {
  using Config = ClipAndSumConfig;
  __shared__ T factors[Config::kSamples];
  __shared__ double sums[Config::kClasses][Config::kCols];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % Config::kLanes;
  const int sample_class = thread / Config::kLanes;
  const std::int64_t rows = task.grads.rows;
  const std::int64_t cols = task.grads.cols;

  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * Config::kCols;
  for (std::int64_t tile = static_cast<std::int64_t>(blockIdx.x) * Config::kCols; tile < cols;
       tile += step) {
    double mine[Config::kColsPerThread] = {};
    for (std::int64_t chunk = 0; chunk < rows; chunk += Config::kSamples) {
      const std::int64_t sample = chunk + thread;
      factors[thread] =
          sample < rows ? round_down<T>(clip_factor(task.squared_norms[sample], task.rule)) : T(0);
      __syncthreads();
      const int count = static_cast<int>(min(rows - chunk, std::int64_t{Config::kSamples}));
#pragma unroll Config::kUnroll
      for (int s = sample_class; s < count; s += Config::kClasses) {
        const T factor = factors[s];
        const T* row = task.grads.data + (chunk + s) * task.grads.row_stride;
#pragma unroll
        for (int c = 0; c < Config::kColsPerThread; ++c) {
          const std::int64_t col = tile + lane + c * Config::kLanes;
          const double value = col < cols ? static_cast<double>(row[col]) : 0.0;
          // Selected, never multiplied: 0 * infinity would be NaN.
          if (factor > T(0)) mine[c] = fma(static_cast<double>(factor), value, mine[c]);
        }
      }
      __syncthreads();  // the factors are replaced next
    }
#pragma unroll
    for (int c = 0; c < Config::kColsPerThread; ++c) {
      sums[sample_class][lane + c * Config::kLanes] = mine[c];
    }
    for (int half = Config::kClasses / 2; half > 0; half /= 2) {
      __syncthreads();
      if (sample_class < half) {
#pragma unroll
        for (int c = 0; c < Config::kColsPerThread; ++c) {
          const int col = lane + c * Config::kLanes;
          sums[sample_class][col] += sums[sample_class + half][col];
        }
      }
    }
    if (sample_class == 0) {
      __syncwarp();
      write_tile(task, tile, lane, sums[0]);
    }
    __syncthreads();  // the sums are replaced next
  }
}

}  // namespace

template <typename T, typename Previous, typename Out, typename Finish>
void clip_and_sum_cuda(const ClipAndSumTask<T, Previous, Out, Finish>& task, const Stream& stream) {
  using Config = ClipAndSumConfig;
  if (task.out.empty()) return;
  cuda::launch({cuda::grid_stride_blocks(task.out.size(), Config::kCols, Config::kMaxBlocks),
                Config::kThreads},
               stream, clip_and_sum_kernel<T, Previous, Out, Finish>, task);
}

#define VELUM_INSTANTIATE(T, Previous, Out, Finish) \
  template void clip_and_sum_cuda(const ClipAndSumTask<T, Previous, Out, Finish>&, const Stream&);
VELUM_FOR_EACH_CLIP_AND_SUM_TASK(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
