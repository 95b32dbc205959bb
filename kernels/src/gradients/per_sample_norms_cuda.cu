#include <cub/block/block_reduce.cuh>
#include <cub/warp/warp_reduce.cuh>

#include "cuda/launch.cuh"
#include "gradients/per_sample_norms_halves.h"

namespace velum::kernels {
namespace {

struct BlockPerRowConfig {
  /// A whole block on one row: 32 rows already keep most of a device's memory pipes busy.
  static constexpr int kThreads = 1024;
  /// Additions on one thread before its sum moves on to the next level: keeps the chain of
  /// roundings short without keeping many sums.
  static constexpr int kRun = 256;
  /// Loads in flight per thread.
  static constexpr int kUnroll = 8;
  /// Two resident blocks on each of 132 SMs, in 16 waves; rows beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 2 * 16;
};

struct WarpPerRowConfig {
  /// Rows no longer than this leave most of a block without work.
  static constexpr std::int64_t kMaxCols = 1024;
  static constexpr int kThreads = 256;
  static constexpr int kRowsPerBlock = kThreads / 32;
  static constexpr int kUnroll = 4;
  /// Eight resident blocks on each of 132 SMs, in 16 waves; rows beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 16;
};

template <typename T>
__device__ void put(const SquaredNormsTask<T>& task, std::int64_t sample, double sum) {
  double& squared_norm = task.squared_norms[sample];
  squared_norm = task.output == Output::kAdd ? squared_norm + sum : sum;
}

/// Squares of row[first], row[first + kStep], ... summed in index order, in runs of kRun. Loads by
/// __ldg: with them the block-per-row kernel fits the 32 registers of two blocks per SM on sm_80
/// without a spill.
template <int kStep, int kRun, int kUnroll, typename T>
__device__ double strided_sum_of_squares(const T* row, std::int64_t first, std::int64_t cols) {
  double sum = 0.0;
  std::int64_t i = first;
  while (i < cols) {
    double run = 0.0;
#pragma unroll kUnroll
    for (int k = 0; k < kRun; ++k, i += kStep) {
      const double value = i < cols ? static_cast<double>(__ldg(row + i)) : 0.0;
      run += value * value;
    }
    sum += run;
  }
  return sum;
}

/// Order: thread t sums the squares of elements t, t + kThreads, ... in index order; then
/// cub::BlockReduce's tree, fixed by the block's size.
template <typename T>
__global__ void __launch_bounds__(BlockPerRowConfig::kThreads)
    squared_norms_block_per_row_kernel(SquaredNormsTask<T> task) {
  using Config = BlockPerRowConfig;
  using BlockReduce = cub::BlockReduce<double, Config::kThreads>;
  __shared__ typename BlockReduce::TempStorage storage;
  for (std::int64_t sample = blockIdx.x; sample < task.grads.rows; sample += gridDim.x) {
    const T* row = task.grads.data + sample * task.grads.row_stride;
    const double mine = strided_sum_of_squares<Config::kThreads, Config::kRun, Config::kUnroll>(
        row, threadIdx.x, task.grads.cols);
    const double sum = BlockReduce(storage).Sum(mine);
    if (threadIdx.x == 0) put(task, sample, sum);
    __syncthreads();  // the storage is used again
  }
}

/// Order: lane t sums the squares of elements t, t + 32, ... in index order; then
/// cub::WarpReduce's tree.
template <typename T>
__global__ void __launch_bounds__(WarpPerRowConfig::kThreads)
    squared_norms_warp_per_row_kernel(SquaredNormsTask<T> task) {
  using Config = WarpPerRowConfig;
  using WarpReduce = cub::WarpReduce<double>;
  __shared__ typename WarpReduce::TempStorage storage[Config::kRowsPerBlock];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * Config::kRowsPerBlock;
  for (std::int64_t sample = static_cast<std::int64_t>(blockIdx.x) * Config::kRowsPerBlock + warp;
       sample < task.grads.rows; sample += step) {
    const T* row = task.grads.data + sample * task.grads.row_stride;
    const double mine =
        strided_sum_of_squares<32, Config::kUnroll, Config::kUnroll>(row, lane, task.grads.cols);
    const double sum = WarpReduce(storage[warp]).Sum(mine);
    if (lane == 0) put(task, sample, sum);
    __syncwarp();  // the storage is used again
  }
}

}  // namespace

template <typename T>
void per_sample_squared_norms_cuda(const SquaredNormsTask<T>& task, const Stream& stream) {
  const std::int64_t rows = task.grads.rows;
  if (rows == 0) return;
  if (task.grads.cols <= WarpPerRowConfig::kMaxCols) {
    using Config = WarpPerRowConfig;
    cuda::launch({cuda::grid_stride_blocks(rows, Config::kRowsPerBlock, Config::kMaxBlocks),
                  Config::kThreads},
                 stream, squared_norms_warp_per_row_kernel<T>, task);
  } else {
    using Config = BlockPerRowConfig;
    cuda::launch({cuda::grid_stride_blocks(rows, 1, Config::kMaxBlocks), Config::kThreads}, stream,
                 squared_norms_block_per_row_kernel<T>, task);
  }
}

template void per_sample_squared_norms_cuda(const SquaredNormsTask<float>&, const Stream&);
template void per_sample_squared_norms_cuda(const SquaredNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
