#include <cub/block/block_reduce.cuh>

#include "cuda/launch.cuh"
#include "gradients/clamp_at_zero.h"
#include "gradients/partial_sums.h"

namespace velum::kernels {
namespace {

struct PartialSumsConfig {
  /// Most samples have fewer partial sums than this, and there are as many blocks as samples.
  static constexpr int kThreads = 256;
  /// Additions on one thread before its sum moves on: keeps the chain of roundings short.
  static constexpr int kRun = 256;
  /// Eight resident blocks on each of 132 SMs, in 16 waves; samples beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 16;
};

__global__ void __launch_bounds__(PartialSumsConfig::kThreads)
    sum_partial_sums_kernel(MatrixView<const double> partial_sums, Clamp clamp, Span<double> out) {
  using Config = PartialSumsConfig;
  using BlockReduce = cub::BlockReduce<double, Config::kThreads>;
  __shared__ typename BlockReduce::TempStorage storage;
  for (std::int64_t sample = blockIdx.x; sample < partial_sums.rows; sample += gridDim.x) {
    const double* row = partial_sums.data + sample * partial_sums.row_stride;
    double mine = 0.0;
    for (std::int64_t i = threadIdx.x; i < partial_sums.cols;) {
      double run = 0.0;
      for (int k = 0; k < Config::kRun && i < partial_sums.cols; ++k, i += Config::kThreads) {
        run += row[i];
      }
      mine += run;
    }
    const double sum = BlockReduce(storage).Sum(mine);
    if (threadIdx.x == 0) out[sample] = clamp == Clamp::kAtZero ? clamp_at_zero(sum) : sum;
    __syncthreads();  // the storage is used again
  }
}

}  // namespace

void sum_partial_sums_cuda(MatrixView<const double> partial_sums, Clamp clamp, Span<double> out,
                           const Stream& stream) {
  using Config = PartialSumsConfig;
  if (partial_sums.rows == 0) return;
  cuda::launch(
      {cuda::grid_stride_blocks(partial_sums.rows, 1, Config::kMaxBlocks), Config::kThreads},
      stream, sum_partial_sums_kernel, partial_sums, clamp, out);
}

}  // namespace velum::kernels
