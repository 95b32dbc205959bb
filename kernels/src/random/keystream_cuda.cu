#include "cuda/for_each_index.cuh"
#include "random/keystream.h"

namespace velum::kernels {

void keystream_fill_cuda(const KeystreamFillBody& body, const Stream& stream) {
  if (!body.out.empty()) cuda::for_each_index(body.block_count(), body, stream);
}

}  // namespace velum::kernels
