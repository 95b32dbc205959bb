#include "cuda/for_each_index.cuh"
#include "random/gaussian_block.cuh"
#include "random/gaussian_halves.h"

namespace velum::kernels {
namespace {

/// GaussianFillBody as CUDA computes it.
template <typename T>
struct GaussianFillBlocks {
  PreparedStream stream;
  std::int64_t first_element;
  Span<T> out;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t block =
        GaussianFillBody<T>::first_group(first_element) * GaussianLayout::kBlocksPerGroup + i;
    T draws[GaussianLayout::kDrawsPerBlock];
    cuda::normals_of_block(cuda::keystream_block(stream, static_cast<std::uint32_t>(block)), draws);
    cuda::for_each_slot<GaussianLayout::kDrawsPerBlock, GaussianLayout::kBlocksPerGroup>(
        GaussianLayout::element_of(block, 0) - first_element, out.size(),
        [&](int slot, std::int64_t index) { out[index] = draws[slot]; });
  }
};

// One thread per block of 8 draws: neighbouring threads store neighbouring elements.
template <typename T>
void fill(const GaussianFillBody<T>& body, const Stream& stream) {
  if (body.out.empty()) return;
  cuda::for_each_index(
      body.block_count(),
      GaussianFillBlocks<T>{PreparedStream(body.state), body.first_element, body.out}, stream);
}

}  // namespace

void gaussian_fill_cuda(const GaussianFillBody<float>& body, const Stream& stream) {
  fill(body, stream);
}
void gaussian_fill_cuda(const GaussianFillBody<double>& body, const Stream& stream) {
  fill(body, stream);
}

}  // namespace velum::kernels
