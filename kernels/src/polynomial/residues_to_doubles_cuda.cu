#include "cuda/for_each_index.cuh"
#include "polynomial/residues_to_doubles_halves.h"

namespace velum::kernels {

void residues_to_doubles_cuda(const ResiduesToDoublesBody& body, const Stream& stream) {
  cuda::for_each_index(body.high.size(), body, stream);
}

}  // namespace velum::kernels
