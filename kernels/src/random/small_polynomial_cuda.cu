#include <cstdint>
#include <cub/block/block_reduce.cuh>
#include <type_traits>

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

/// SmallFillBody as CUDA computes it: a block's draws by one store where all are in the output and
/// lie so. A warp's stores are then side by side.
template <typename Draw>
struct SmallFillWordsBody {
  static constexpr std::int64_t kPerBlock = SmallFillBody<Draw>::kPerBlock;
  using Word = std::conditional_t<kPerBlock == 8, std::uint64_t, std::uint32_t>;
  static_assert(sizeof(Word) == kPerBlock);

  SmallFillBody<Draw> fill;

  __device__ void operator()(std::int64_t block) const {
    const ChaCha20State words = chacha20_block(fill.state, static_cast<std::uint32_t>(block));
    Word packed = 0;
#pragma unroll
    for (int draw = 0; draw < kPerBlock; ++draw) {
      packed |= Word{static_cast<std::uint8_t>(Draw::of(words.words, draw))} << (8 * draw);
    }
    const std::int64_t first = block * kPerBlock;
    std::int8_t* const to = fill.out.data() + first;
    if (first + kPerBlock <= fill.out.size() &&
        reinterpret_cast<std::uintptr_t>(to) % sizeof(Word) == 0) {
      *reinterpret_cast<Word*>(to) = packed;
      return;
    }
#pragma unroll
    for (int draw = 0; draw < kPerBlock; ++draw) {
      if (first + draw < fill.out.size()) {
        to[draw] = static_cast<std::int8_t>(packed >> (8 * draw));
      }
    }
  }
};

template <typename Draw>
void fill_words(const SmallFillBody<Draw>& body, const Stream& stream) {
  cuda::for_each_index(blocks_that_hold(0, body.out.size(), body.kPerBlock),
                       SmallFillWordsBody<Draw>{body}, stream);
}

}  // namespace

void small_fill_cuda(const SmallFillBody<TernaryDraw>& body, const Stream& stream) {
  fill_words(body, stream);
}
void small_fill_cuda(const SmallFillBody<DiscreteGaussianDraw>& body, const Stream& stream) {
  fill_words(body, stream);
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
