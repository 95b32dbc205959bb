#include "cuda/for_each_index.cuh"
#include "polynomial/modulus_ratio_halves.h"

namespace velum::kernels {

void multiply_by_ratio_cuda(const MultiplyByRatioBody& body, const Stream& stream) {
  cuda::for_each_index(body.numbers.size(), body, stream);
}

void divide_by_ratio_cuda(const DivideByRatioBody& body, const Stream& stream) {
  cuda::for_each_index(body.numbers.size(), body, stream);
}

}  // namespace velum::kernels
