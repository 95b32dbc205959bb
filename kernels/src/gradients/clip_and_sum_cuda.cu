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

template <typename T, typename Sum>
__global__ void __launch_bounds__(ClipAndSumConfig::kThreads)
    clip_and_sum_kernel(ClipAndSumTask<T, Sum> task) {
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
#pragma unroll
      for (int c = 0; c < Config::kColsPerThread; ++c) {
        const std::int64_t col = tile + lane + c * Config::kLanes;
        if (col < cols) {
          Sum& out = task.out[col];
          const double sum = sums[0][lane + c * Config::kLanes];
          out =
              static_cast<Sum>(task.output == Output::kAdd ? static_cast<double>(out) + sum : sum);
        }
      }
    }
    __syncthreads();  // the sums are replaced next
  }
}

}  // namespace

template <typename T, typename Sum>
void clip_and_sum_cuda(const ClipAndSumTask<T, Sum>& task, const Stream& stream) {
  using Config = ClipAndSumConfig;
  if (task.out.empty()) return;
  cuda::launch({cuda::grid_stride_blocks(task.out.size(), Config::kCols, Config::kMaxBlocks),
                Config::kThreads},
               stream, clip_and_sum_kernel<T, Sum>, task);
}

template void clip_and_sum_cuda(const ClipAndSumTask<float, float>&, const Stream&);
template void clip_and_sum_cuda(const ClipAndSumTask<float, double>&, const Stream&);
template void clip_and_sum_cuda(const ClipAndSumTask<double, double>&, const Stream&);

}  // namespace velum::kernels
