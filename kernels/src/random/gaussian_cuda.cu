#include "cuda/for_each_index.cuh"
#include "random/gaussian_halves.h"

namespace velum::kernels {

// One thread per block of 8 draws: neighbouring threads store neighbouring elements.
void gaussian_fill_cuda(const GaussianFillBody<float>& body, const Stream& stream) {
  if (!body.out.empty()) cuda::for_each_index(body.block_count(), body, stream);
}
void gaussian_fill_cuda(const GaussianFillBody<double>& body, const Stream& stream) {
  if (!body.out.empty()) cuda::for_each_index(body.block_count(), body, stream);
}

}  // namespace velum::kernels
