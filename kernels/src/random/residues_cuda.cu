#include <cstdint>

#include "cuda/launch.cuh"
#include "random/keystream_block.cuh"
#include "random/residues_halves.h"

namespace velum::kernels {
namespace {

struct ResiduesConfig {
  /// Few, so that each of 132 SMs has nearly as many threads: 72 limbs of 2^14 are 1152 blocks.
  static constexpr int kThreads = 128;
  /// Keystream blocks of a thread: its state and its limb are found once.
  static constexpr int kWideBlocksPerThread = 2;
  /// More only adds launch work: 16 resident blocks on each of 132 SMs, in 64 waves.
  static constexpr std::int64_t kMaxBlocks = 132 * 16 * 64;
  /// Of a grid's y and z.
  static constexpr std::int64_t kMaxRows = 65535;
};

/// The residues of a lane. A thread's blocks are made one after the other, and half a warp stores
/// 64 bytes side by side.
__device__ void fill_lane(const PreparedStream& stream, std::uint32_t number, std::uint32_t q,
                          std::uint32_t* to, std::int64_t degree) {
  using Layout = ResidueLayout;
  const std::int64_t group = number / Layout::kLanesPerGroup;
  const std::int64_t lane = number % Layout::kLanesPerGroup;
  std::uint32_t residues[Layout::kSlots];
  std::uint32_t last[Layout::kBlocksPerLane];
#pragma unroll
  for (int b = 0; b < Layout::kBlocksPerLane; ++b) {
    const ChaCha20State block =
        cuda::keystream_block(stream, static_cast<std::uint32_t>(Layout::block_of(group, lane, b)));
#pragma unroll
    for (int s = 0; s < Layout::kSlotsPerBlock; ++s) {
      const std::uint32_t* const u = block.words + 3 * s;
      residues[Layout::kSlotsPerBlock * b + s] = residue_below(q, u[0], u[1], u[2]);
    }
    last[b] = block.words[15];
  }
  residues[15] = residue_below(q, last[0], last[1], last[2]);
  cuda::for_each_slot<Layout::kSlots, Layout::kLanesPerGroup>(
      group * Layout::kDrawsPerGroup + lane, degree,
      [&](int slot, std::int64_t element) { to[element] = residues[slot]; });
}

/// The residues of a block, by stores of 16 bytes where the limb lies so.
__device__ void fill_block(const PreparedStream& stream, std::uint32_t number, std::uint64_t q,
                           std::uint64_t* to, std::int64_t degree) {
  constexpr int kDraws = WideResidueLayout::kDraws;
  const ChaCha20State block = cuda::keystream_block(stream, number);
  std::uint64_t residues[kDraws];
#pragma unroll
  for (int draw = 0; draw < kDraws; ++draw) {
    residues[draw] = integer_below(q, bits_of_words(block.words, 2 * draw),
                                   bits_of_words(block.words, 2 * draw + 1));
  }
  cuda::store_pairs(residues, std::int64_t{number} * kDraws, to, degree);
}

__device__ void fill(const PreparedStream& stream, std::uint32_t number, std::uint32_t q,
                     std::uint32_t* to, std::int64_t degree) {
  fill_lane(stream, number, q, to, degree);
}
__device__ void fill(const PreparedStream& stream, std::uint32_t number, std::uint64_t q,
                     std::uint64_t* to, std::int64_t degree) {
  fill_block(stream, number, q, to, degree);
}

/// @param count  of lanes, or of keystream blocks, of a limb.
template <typename Word>
__global__ void __launch_bounds__(ResiduesConfig::kThreads)
    uniform_residues_kernel(UniformResiduesTask<Word> task, std::uint32_t count) {
  for (std::int64_t poly = blockIdx.z; poly < task.out.polys; poly += gridDim.z) {
    for (std::int64_t limb = blockIdx.y; limb < task.out.limbs; limb += gridDim.y) {
      const PreparedStream stream(task.stream(poly, limb));
      const Word q = task.moduli[task.limbs[limb]].value;
      Word* const to = task.out.limb(poly, limb);
      for (std::uint32_t i = blockIdx.x * ResiduesConfig::kThreads + threadIdx.x; i < count;
           i += gridDim.x * ResiduesConfig::kThreads) {
        fill(stream, i, q, to, task.out.degree);
      }
    }
  }
}

/// @param threads  that share the `count` lanes or blocks of a limb.
template <typename Word>
void fill_limbs(const UniformResiduesTask<Word>& task, std::int64_t count, std::int64_t threads,
                const Stream& stream) {
  using Config = ResiduesConfig;
  if (count == 0 || task.out.limbs == 0 || task.out.polys == 0) return;
  const dim3 grid(cuda::grid_stride_blocks(threads, Config::kThreads, Config::kMaxBlocks),
                  cuda::grid_stride_blocks(task.out.limbs, 1, Config::kMaxRows),
                  cuda::grid_stride_blocks(task.out.polys, 1, Config::kMaxRows));
  cuda::launch({grid, Config::kThreads}, stream, uniform_residues_kernel<Word>, task,
               static_cast<std::uint32_t>(count));
}

}  // namespace

void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint32_t>& task,
                                const Stream& stream) {
  using Layout = ResidueLayout;
  const std::int64_t lanes = Layout::groups_of(task.out.degree) * Layout::kLanesPerGroup;
  fill_limbs(task, lanes, lanes, stream);
}
void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint64_t>& task,
                                const Stream& stream) {
  constexpr std::int64_t kEach = ResiduesConfig::kWideBlocksPerThread;
  const std::int64_t blocks = WideResidueLayout::blocks_of(task.out.degree);
  fill_limbs(task, blocks, (blocks + kEach - 1) / kEach, stream);
}

}  // namespace velum::kernels
