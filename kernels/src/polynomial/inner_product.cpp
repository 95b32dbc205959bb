#include "velum/kernels/polynomial/inner_product.h"

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/inner_product_halves.h"

namespace velum::kernels {

template <typename Word>
void inner_product(RnsView<const std::type_identity_t<Word>> digits,
                   RnsView<const std::type_identity_t<Word>> keys,
                   RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                   const ModulusChain<Word>& chain, const Stream& stream) {
  const char* function = "inner_product";
  const RnsShape digits_shape("digits", digits);
  const RnsShape keys_shape("keys", keys);
  const RnsShape out_shape("out", out);
  check_view(function, out_shape);
  check_view(function, digits_shape);
  check_view(function, keys_shape);
  check_chain(function, limbs, out_shape, chain, stream);
  check_same_ring(function, digits_shape, out_shape);
  check_same_ring(function, keys_shape, out_shape);
  check_count(function, "keys.polys", keys.polys, "digits.polys * out.polys",
              digits.polys * out.polys);
  check_disjoint(function, out_shape, digits_shape);
  check_disjoint(function, out_shape, keys_shape);
  const InnerProductTask<Word> task{digits, keys, out, chain.data(), limbs};
  VELUM_DISPATCH(stream, inner_product_cpu(task, stream), inner_product_cuda(task, stream));
}

#define VELUM_INSTANTIATE(Word)                                                        \
  template void inner_product(RnsView<const Word>, RnsView<const Word>, RnsView<Word>, \
                              const LimbIndices&, const ModulusChain<Word>&, const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
