#include <cstdint>

#include "cuda/launch.cuh"
#include "polynomial/ntt_halves.h"

namespace velum::kernels {
namespace {

struct NttStagesConfig {
  /// Full warps; a block's threads share out the butterflies of a stage.
  static constexpr int kThreads = 256;
  /// Blocks take limbs by grid stride: eight resident blocks on each of 132 SMs, in four waves.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 4;
};

/// Calls `body(poly, limb, prime)` for the limbs of a block.
template <typename Task, typename Body>
__device__ void for_each_limb_of_block(const Task& task, const Body& body) {
  const std::int64_t limbs = task.limbs.count;
  for (std::int64_t i = blockIdx.x; i < task.polys.polys * limbs; i += gridDim.x) {
    const std::int64_t limb = i % limbs;
    body(i / limbs, limb, task.limbs[limb]);
  }
}

/// Butterfly `i` of a stage: its node within the stage, and its first coefficient.
struct Butterfly {
  std::int64_t node;
  std::int64_t x;
  std::int64_t half;
  __device__ Butterfly(std::int64_t i, int log_n, int depth)
      : node(i >> (log_n - 1 - depth)),
        x(i + (node << (log_n - 1 - depth))),
        half(std::int64_t{1} << (log_n - 1 - depth)) {}
};

template <typename Word, typename Finish>
struct ForwardStages {
  const NttForwardTask<Word, Finish>& task;
  __device__ void operator()(std::int64_t poly, std::int64_t limb, int prime) const {
    const int log_n = task.tables.log_n;
    const Modulus<Word> m = task.tables.constants[prime].modulus;
    const Word* const table = task.tables.forward + prime * NttLayout::table_words(log_n);
    Word* const row = task.polys.limb(poly, limb);
    for (int depth = 0; depth < log_n; ++depth) {
      for (std::int64_t i = threadIdx.x; i < std::int64_t{1} << (log_n - 1); i += blockDim.x) {
        const Butterfly b(i, log_n, depth);
        forward_butterfly(row[b.x], row[b.x + b.half],
                          ntt_factor(table, log_n, depth, (std::int64_t{1} << depth) + b.node),
                          m.value);
      }
      __syncthreads();
    }
    const auto finish = task.finish.row(task.polys, poly, limb);
    for (std::int64_t i = threadIdx.x; i < std::int64_t{1} << log_n; i += blockDim.x) {
      finish(i, row[i], m);
    }
  }
};

template <typename Word, typename Finish>
__global__ void __launch_bounds__(NttStagesConfig::kThreads)
    ntt_forward_stages_kernel(NttForwardTask<Word, Finish> task) {
  for_each_limb_of_block(task, ForwardStages<Word, Finish>{task});
}

template <typename Word>
struct InverseStages {
  const NttInverseTask<Word>& task;
  __device__ void operator()(std::int64_t poly, std::int64_t limb, int prime) const {
    const int log_n = task.tables.log_n;
    const NttConstants<Word> constants = task.tables.constants[prime];
    const Word q = constants.modulus.value;
    const Word* const table = task.tables.inverse + prime * NttLayout::table_words(log_n);
    Word* const row = task.polys.limb(poly, limb);
    for (int depth = log_n - 1; depth > 0; --depth) {
      for (std::int64_t i = threadIdx.x; i < std::int64_t{1} << (log_n - 1); i += blockDim.x) {
        const Butterfly b(i, log_n, depth);
        inverse_butterfly(row[b.x], row[b.x + b.half],
                          ntt_factor(table, log_n, depth, (std::int64_t{1} << depth) + b.node), q);
      }
      __syncthreads();
    }
    const LastStage<Word> last =
        task.factors == nullptr ? last_stage(constants) : last_stage(constants, task.factors[limb]);
    for (std::int64_t i = threadIdx.x; i < std::int64_t{1} << (log_n - 1); i += blockDim.x) {
      const Butterfly b(i, log_n, 0);
      last_butterfly(row[b.x], row[b.x + b.half], last, q);
    }
  }
};

template <typename Word>
__global__ void __launch_bounds__(NttStagesConfig::kThreads)
    ntt_inverse_stages_kernel(NttInverseTask<Word> task) {
  for_each_limb_of_block(task, InverseStages<Word>{task});
}

template <typename Task>
cuda::LaunchConfig block_per_limb(const Task& task) {
  return {
      cuda::grid_stride_blocks(task.polys.polys * task.limbs.count, 1, NttStagesConfig::kMaxBlocks),
      NttStagesConfig::kThreads};
}

}  // namespace

template <typename Word, typename Finish>
void ntt_forward_cuda(const NttForwardTask<Word, Finish>& task, const Stream& stream) {
  if (task.polys.polys == 0 || task.limbs.count == 0) return;
  cuda::launch(block_per_limb(task), stream, ntt_forward_stages_kernel<Word, Finish>, task);
}

template <typename Word>
void ntt_inverse_cuda(const NttInverseTask<Word>& task, const Stream& stream) {
  if (task.polys.polys == 0 || task.limbs.count == 0) return;
  cuda::launch(block_per_limb(task), stream, ntt_inverse_stages_kernel<Word>, task);
}

#define VELUM_INSTANTIATE(Word, Finish) \
  template void ntt_forward_cuda(const NttForwardTask<Word, Finish<Word>>&, const Stream&);
VELUM_FOR_EACH_NTT_FORWARD(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE
template void ntt_inverse_cuda(const NttInverseTask<std::uint32_t>&, const Stream&);
template void ntt_inverse_cuda(const NttInverseTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
