#include <bit>

#include "cuda/for_each_index.cuh"
#include "polynomial/inner_product_halves.h"

namespace velum::kernels {

// One thread per coefficient of a limb, for two outputs at a time: of D digits it reads 3 D words,
// each once and beside its neighbours', and computes 2 D products, one IMAD.WIDE each. Memory is
// the bound, so nothing is kept in shared memory.
template <typename Word>
void inner_product_cuda(const InnerProductTask<Word>& task, const Stream& stream) {
  const RnsView<Word>& out = task.out;
  if (out.polys == 0) return;
  const InnerProductBody<Word> body{task,
                                    {std::countr_zero(static_cast<std::uint64_t>(out.degree)),
                                     static_cast<std::int32_t>(out.limbs)}};
  cuda::for_each_index(out.limbs * out.degree, body, stream);
}

template void inner_product_cuda(const InnerProductTask<std::uint32_t>&, const Stream&);
template void inner_product_cuda(const InnerProductTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
