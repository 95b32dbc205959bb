#include "velum/kernels/polynomial/integers_to_residues.h"

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/integers_to_residues_body.h"
#include "polynomial/integers_to_residues_halves.h"

namespace velum::kernels {
namespace {

constexpr char kFunction[] = "integers_to_residues";

template <typename Word, typename Integer>
void run(Span<const Integer> integers, RnsView<Word> out, const LimbIndices& limbs,
         const ModulusChain<Word>& chain, const Stream& stream) {
  const RnsShape shape("out", out);
  check_view(kFunction, shape);
  check_chain(kFunction, limbs, shape, chain, stream);
  check_count(kFunction, "integers.size()", integers.size(), "out.polys * out.degree",
              out.polys * out.degree);
  check_disjoint(
      kFunction, shape,
      RnsShape("integers", RnsView<const Integer>(integers.data(), out.polys, 1, out.degree)));
  const IntegersToResiduesBody<Word, Integer> body(integers, out, limbs, chain.data());
  VELUM_DISPATCH(stream, integers_to_residues_cpu(body, stream),
                 integers_to_residues_cuda(body, stream));
}

}  // namespace

template <typename Word>
void integers_to_residues(Span<const std::int64_t> integers, RnsView<Word> out,
                          const LimbIndices& limbs, const ModulusChain<Word>& chain,
                          const Stream& stream) {
  run(integers, out, limbs, chain, stream);
}
template <typename Word>
void integers_to_residues(Span<const Int128> integers, RnsView<Word> out, const LimbIndices& limbs,
                          const ModulusChain<Word>& chain, const Stream& stream) {
  run(integers, out, limbs, chain, stream);
}

#define VELUM_INSTANTIATE(Word, Integer)                                                     \
  template void integers_to_residues(Span<const Integer>, RnsView<Word>, const LimbIndices&, \
                                     const ModulusChain<Word>&, const Stream&);
VELUM_FOR_EACH_INTEGERS_TO_RESIDUES(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
