#include "cuda/for_each_index.cuh"
#include "polynomial/automorphism_halves.h"

namespace velum::kernels {
namespace {

/// An instruction where the host has five steps.
struct ReverseBitsOfDevice {
  __device__ std::uint32_t operator()(std::uint32_t x, int bits) const {
    return __brev(x) >> (32 - bits);  // bits > 0, as N > 1
  }
};

}  // namespace

// Writes are in order. In NTT form 32 neighbours read one run of 32 words; in coefficient form
// reads are scattered over a limb, which the second-level cache holds.
template <AutomorphismForm kForm, typename Word>
void automorphism_cuda(const AutomorphismTask<Word>& task, const Stream& stream) {
  const AutomorphismBody<kForm, Word, ReverseBitsOfDevice> body{task};
  cuda::for_each_index(body.count(), body, stream);
}

#define VELUM_INSTANTIATE(form, Word)                                                          \
  template void automorphism_cuda<AutomorphismForm::form, Word>(const AutomorphismTask<Word>&, \
                                                                const Stream&);
VELUM_INSTANTIATE(kCoefficient, std::uint32_t)
VELUM_INSTANTIATE(kCoefficient, std::uint64_t)
VELUM_INSTANTIATE(kNtt, std::uint32_t)
VELUM_INSTANTIATE(kNtt, std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
