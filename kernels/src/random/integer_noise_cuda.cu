#include "cuda/for_each_index.cuh"
#include "random/integer_noise_halves.h"

namespace velum::kernels {

void integer_noise_cuda(const ExactDiscreteGaussianBody& body, const Stream& stream) {
  cuda::for_each_index(body.out.size(), body, stream);
}
void integer_noise_cuda(const SkellamBody& body, const Stream& stream) {
  cuda::for_each_index(body.out.size(), body, stream);
}

}  // namespace velum::kernels
