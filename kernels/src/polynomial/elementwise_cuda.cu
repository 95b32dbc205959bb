#include <bit>

#include "cuda/for_each_index.cuh"
#include "polynomial/elementwise_halves.h"

namespace velum::kernels {

// One thread per coefficient: a warp reads and writes whole lines of one limb, whose modulus is the
// same for all its threads where N is at least 32.
template <ElementwiseOperation kOperation, typename Word>
void elementwise_cuda(const ElementwiseTask<Word>& task, const Stream& stream) {
  const RnsView<Word>& out = task.out;
  const ElementwiseBody<kOperation, Word> body{
      task,
      {std::countr_zero(static_cast<std::uint64_t>(out.degree)),
       static_cast<std::int32_t>(out.limbs)}};
  cuda::for_each_index(out.polys * out.limbs * out.degree, body, stream);
}

#define VELUM_INSTANTIATE(operation, Word)                               \
  template void elementwise_cuda<ElementwiseOperation::operation, Word>( \
      const ElementwiseTask<Word>&, const Stream&);
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint32_t)
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
