// Forward transforms of 32-bit words.
#include "polynomial/ntt_cuda.cuh"

namespace velum::kernels {

template void ntt_forward_cuda(const NttForwardTask<std::uint32_t, KeepValuesOfAll<std::uint32_t>>&,
                               const Stream&);
template void ntt_forward_cuda(
    const NttForwardTask<std::uint32_t, SubtractMultiplyAll<std::uint32_t>>&, const Stream&);
template void ntt_forward_cuda(
    const NttForwardTask<std::uint32_t, InnerProductOfAll<std::uint32_t>>&, const Stream&);

}  // namespace velum::kernels
