// Inverse transforms.
#include "polynomial/ntt_cuda.cuh"

namespace velum::kernels {

template void ntt_inverse_cuda(const NttInverseTask<std::uint32_t>&, const Stream&);
template void ntt_inverse_cuda(const NttInverseTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
