#include "cuda/for_each_index.cuh"
#include "gradients/clip_factors_halves.h"

namespace velum::kernels {

template <typename T>
void clip_factors_cuda(const ClipFactorsBody<T>& body, const Stream& stream) {
  cuda::for_each_index(body.squared_norms.size(), body, stream);
}

template void clip_factors_cuda(const ClipFactorsBody<float>&, const Stream&);
template void clip_factors_cuda(const ClipFactorsBody<double>&, const Stream&);

}  // namespace velum::kernels
