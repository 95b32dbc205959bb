#include <bit>

#include "cuda/for_each_index.cuh"
#include "polynomial/elementwise_halves.h"

namespace velum::kernels {

// A thread takes four coefficients of one limb: a warp reads and writes whole lines, and has one
// modulus, where N is at least 128. Finding the limb costs more instructions than the operation.
template <ElementwiseOperation kOperation, typename Word>
void elementwise_cuda(const ElementwiseTask<Word>& task, const Stream& stream) {
  const ElementwiseBody<kOperation, Word> body(
      task, std::countr_zero(static_cast<std::uint64_t>(task.out.degree)));
  cuda::for_each_index(body.count(), body, stream);
}

#define VELUM_INSTANTIATE(operation, Word)                               \
  template void elementwise_cuda<ElementwiseOperation::operation, Word>( \
      const ElementwiseTask<Word>&, const Stream&);
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint32_t)
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
