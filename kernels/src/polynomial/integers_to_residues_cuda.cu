#include "cuda/for_each_index.cuh"
#include "polynomial/integers_to_residues_halves.h"

namespace velum::kernels {

template <typename Word, typename Integer>
void integers_to_residues_cuda(const IntegersToResiduesBody<Word, Integer>& body,
                               const Stream& stream) {
  cuda::for_each_index(body.count(), body, stream);
}

#define VELUM_INSTANTIATE(Word, Integer)                                                     \
  template void integers_to_residues_cuda(const IntegersToResiduesBody<Word, Integer>& body, \
                                          const Stream& stream);
VELUM_FOR_EACH_INTEGERS_TO_RESIDUES(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
