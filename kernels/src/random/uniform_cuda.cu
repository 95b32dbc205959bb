#include <thrust/iterator/counting_iterator.h>

#include <cub/device/device_select.cuh>

#include "cuda/check.h"
#include "cuda/for_each_index.cuh"
#include "random/keystream_block.cuh"
#include "random/uniform_halves.h"

namespace velum::kernels {
namespace {

/// Flags first, then what CUB asks for; both start at multiples of this.
constexpr std::int64_t kWorkspaceAlignment = 256;

std::int64_t flag_bytes(std::int64_t population) {
  return (population + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
}

cudaError_t select_flagged(void* temporary, std::size_t& temporary_bytes, const std::uint8_t* flags,
                           std::int64_t* indices, std::int64_t* count, std::int64_t population,
                           cudaStream_t stream) {
  return cub::DeviceSelect::Flagged(temporary, temporary_bytes,
                                    thrust::counting_iterator<std::int64_t>(0), flags, indices,
                                    count, population, stream);
}

/// UniformBitsFillBody as CUDA computes it.
struct UniformBitsPairsBody {
  UniformBitsFillBody fill;

  __device__ void operator()(std::int64_t i) const {
    constexpr std::int64_t kDraws = UniformLayout::kBitsPerBlock;
    const std::int64_t block = fill.first_element / kDraws + i;
    const ChaCha20State words = chacha20_block(fill.state, static_cast<std::uint32_t>(block));
    std::uint64_t draws[kDraws];
#pragma unroll
    for (int draw = 0; draw < kDraws; ++draw) draws[draw] = bits_of_words(words.words, draw);
    cuda::store_pairs(draws, block * kDraws - fill.first_element, fill.out.data(), fill.out.size());
  }
};

/// UniformIntegersFillBody as CUDA computes it.
struct UniformIntegersPairsBody {
  UniformIntegersFillBody fill;

  __device__ void operator()(std::int64_t i) const {
    constexpr std::int64_t kDraws = UniformLayout::kIntegersPerBlock;
    const std::int64_t block = fill.first_element / kDraws + i;
    const ChaCha20State words = chacha20_block(fill.state, static_cast<std::uint32_t>(block));
    std::uint64_t draws[kDraws];
#pragma unroll
    for (int draw = 0; draw < kDraws; ++draw) {
      draws[draw] = integer_below(fill.bound, bits_of_words(words.words, 2 * draw),
                                  bits_of_words(words.words, 2 * draw + 1));
    }
    cuda::store_pairs(draws, block * kDraws - fill.first_element, fill.out.data(), fill.out.size());
  }
};

}  // namespace

void uniform_bits_fill_cuda(const UniformBitsFillBody& body, const Stream& stream) {
  cuda::for_each_index(
      blocks_that_hold(body.first_element, body.out.size(), UniformLayout::kBitsPerBlock),
      UniformBitsPairsBody{body}, stream);
}

void uniform_integers_fill_cuda(const UniformIntegersFillBody& body, const Stream& stream) {
  cuda::for_each_index(
      blocks_that_hold(body.first_element, body.out.size(), UniformLayout::kIntegersPerBlock),
      UniformIntegersPairsBody{body}, stream);
}

std::int64_t poisson_select_workspace_size_cuda(std::int64_t population, const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  std::size_t temporary_bytes = 0;
  VELUM_CUDA_CHECK(select_flagged(nullptr, temporary_bytes, nullptr, nullptr, nullptr, population,
                                  cuda::native(stream)));
  return flag_bytes(population) + static_cast<std::int64_t>(temporary_bytes);
}

void poisson_select_cuda(const PoissonSelection& selection, Span<std::uint8_t> workspace,
                         const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  // Of the last block there are eight, too: see flag_bytes.
  std::uint8_t* const flags = workspace.data();
  cuda::for_each_index(blocks_that_hold(0, selection.population, UniformLayout::kBitsPerBlock),
                       SelectionFlagsBody{selection.state, selection.rule, selection.population,
                                          reinterpret_cast<std::uint64_t*>(flags)},
                       stream);
  const std::int64_t offset = flag_bytes(selection.population);
  auto temporary_bytes = static_cast<std::size_t>(workspace.size() - offset);
  VELUM_CUDA_CHECK(select_flagged(workspace.data() + offset, temporary_bytes, flags,
                                  selection.indices.data(), selection.count, selection.population,
                                  cuda::native(stream)));
}

}  // namespace velum::kernels
