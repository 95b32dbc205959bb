// Forward transforms of 64-bit words.
#include "polynomial/ntt_cuda.cuh"

namespace velum::kernels {

template void ntt_forward_cuda(const NttForwardTask<std::uint64_t, KeepValuesOfAll<std::uint64_t>>&,
                               const Stream&);
template void ntt_forward_cuda(
    const NttForwardTask<std::uint64_t, SubtractMultiplyAll<std::uint64_t>>&, const Stream&);
template void ntt_forward_cuda(
    const NttForwardTask<std::uint64_t, InnerProductOfAll<std::uint64_t>>&, const Stream&);

}  // namespace velum::kernels
