#include <cub/block/block_reduce.cuh>

#include "cuda/for_each_index.cuh"
#include "random/small_polynomial_halves.h"

namespace velum::kernels {
namespace {

struct FixedWeightConfig {
  /// One block, so that a pass over all draws ends at a barrier instead of a launch. At 2^17
  /// coefficients a thread has 16 keystream blocks a pass, in 84 passes: milliseconds, once a key.
  static constexpr int kThreads = 1024;
};

__global__ void __launch_bounds__(FixedWeightConfig::kThreads)
    fixed_weight_ternary_kernel(FixedWeightTask task) {
  using BlockReduce = cub::BlockReduce<std::uint64_t, FixedWeightConfig::kThreads>;
  __shared__ typename BlockReduce::TempStorage storage;
  __shared__ std::uint64_t total;
  const std::int64_t blocks = task.block_count();
  SelectionBorder border{0, 0};
  for (int step = 0; step < FixedWeightTask::kSteps; ++step) {
    const SelectionBorder next = FixedWeightTask::with_bit(border, step);
    std::uint64_t mine = 0;
    for (std::int64_t b = threadIdx.x; b < blocks; b += FixedWeightConfig::kThreads) {
      mine += task.count(b, next);
    }
    const std::uint64_t selected = BlockReduce(storage).Sum(mine);
    if (threadIdx.x == 0) total = selected;
    __syncthreads();
    border = task.narrowed(border, step, total);
    __syncthreads();  // storage and total are used again
  }
  for (std::int64_t b = threadIdx.x; b < blocks; b += FixedWeightConfig::kThreads) {
    task.put(b, border);
  }
}

}  // namespace

void small_fill_cuda(const SmallFillBody<TernaryDraw>& body, const Stream& stream) {
  cuda::for_each_index(blocks_that_hold(0, body.out.size(), body.kPerBlock), body, stream);
}
void small_fill_cuda(const SmallFillBody<DiscreteGaussianDraw>& body, const Stream& stream) {
  cuda::for_each_index(blocks_that_hold(0, body.out.size(), body.kPerBlock), body, stream);
}

void fixed_weight_ternary_fill_cuda(const FixedWeightTask& task, const Stream& stream) {
  if (task.out.empty()) return;
  cuda::launch({1, FixedWeightConfig::kThreads}, stream, fixed_weight_ternary_kernel, task);
}

template <typename Word, typename Coefficient>
void small_to_residues_cuda(const SmallToResiduesBody<Word, Coefficient>& body,
                            const Stream& stream) {
  cuda::for_each_index(body.count(), body, stream);
}

#define VELUM_INSTANTIATE(Word, Coefficient) \
  template void small_to_residues_cuda(const SmallToResiduesBody<Word, Coefficient>&, const Stream&)
VELUM_SMALL_TO_RESIDUES(VELUM_INSTANTIATE);
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
