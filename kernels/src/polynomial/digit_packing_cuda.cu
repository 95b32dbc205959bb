#include "cuda/for_each_index.cuh"
#include "polynomial/digit_packing_halves.h"

namespace velum::kernels {

void pack_digits_cuda(const PackDigitsBody& body, const Stream& stream) {
  cuda::for_each_index(body.count(), body, stream);
}

template <int kWords>
void unpack_digits_cuda(const UnpackDigitsBody<kWords>& body, const Stream& stream) {
  cuda::for_each_index(body.count(), body, stream);
}

template void unpack_digits_cuda(const UnpackDigitsBody<4>&, const Stream&);
template void unpack_digits_cuda(const UnpackDigitsBody<8>&, const Stream&);
template void unpack_digits_cuda(const UnpackDigitsBody<16>&, const Stream&);

}  // namespace velum::kernels
