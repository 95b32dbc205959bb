#include "cuda/for_each_index.cuh"
#include "gradients/add_gaussian_noise_halves.h"

namespace velum::kernels {

// One thread per keystream block of 8 draws: neighbouring threads load and store neighbours.
template <typename In, typename Out>
void add_gaussian_noise_cuda(const AddGaussianNoiseBody<In, Out>& body, const Stream& stream) {
  cuda::for_each_index(body.block_count(), body, stream);
}

template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<float, float>&, const Stream&);
template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<double, double>&, const Stream&);
template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<double, float>&, const Stream&);

}  // namespace velum::kernels
