#include "velum/kernels/polynomial/automorphism.h"

#include <bit>
#include <string>

#include "dispatch.h"
#include "polynomial/automorphism_halves.h"
#include "polynomial/check_rns.h"

namespace velum::kernels {
namespace {

template <AutomorphismForm kForm, typename Word>
void run(const AutomorphismTask<Word>& task, const Stream& stream) {
  VELUM_DISPATCH(stream, (automorphism_cpu<kForm>(task, stream)),
                 (automorphism_cuda<kForm>(task, stream)));
}

template <typename Word>
AutomorphismTask<Word> checked_task(const char* function, const RnsView<const Word>& in,
                                    const RnsView<Word>& out, std::int64_t galois_element) {
  const RnsShape in_shape("in", in);
  const RnsShape out_shape("out", out);
  check_view(function, out_shape);
  check_view(function, in_shape);
  check_same_ring(function, in_shape, out_shape);
  check_polys(function, in_shape, out_shape, false);
  check_disjoint(function, out_shape, in_shape);
  if (galois_element < 1 || galois_element >= 2 * out.degree || galois_element % 2 == 0) {
    refuse(function, "galois_element", galois_element,
           "odd, 1 to 2 * degree - 1 = " + std::to_string(2 * out.degree - 1));
  }
  const auto element = static_cast<std::uint32_t>(galois_element);
  std::uint32_t inverse = element;  // right to 3 bits; each step doubles them
  for (int right = 3; right < 32; right *= 2) inverse *= 2 - element * inverse;
  inverse &= static_cast<std::uint32_t>(2 * out.degree - 1);
  return {in,
          out,
          {std::countr_zero(static_cast<std::uint32_t>(out.degree)), element, inverse},
          nullptr,
          {}};
}

}  // namespace

template <typename Word>
void automorphism_coefficient(RnsView<const std::type_identity_t<Word>> in,
                              RnsView<std::type_identity_t<Word>> out, std::int64_t galois_element,
                              const LimbIndices& limbs, const ModulusChain<Word>& chain,
                              const Stream& stream) {
  const char* function = "automorphism_coefficient";
  AutomorphismTask<Word> task = checked_task<Word>(function, in, out, galois_element);
  check_chain(function, limbs, RnsShape("out", out), chain, stream);
  task.moduli = chain.data();
  task.limbs = limbs;
  run<AutomorphismForm::kCoefficient>(task, stream);
}

template <typename Word>
void automorphism_ntt(RnsView<const std::type_identity_t<Word>> in, RnsView<Word> out,
                      std::int64_t galois_element, const Stream& stream) {
  run<AutomorphismForm::kNtt>(checked_task<Word>("automorphism_ntt", in, out, galois_element),
                              stream);
}

#define VELUM_INSTANTIATE(Word)                                                            \
  template void automorphism_coefficient(RnsView<const Word>, RnsView<Word>, std::int64_t, \
                                         const LimbIndices&, const ModulusChain<Word>&,    \
                                         const Stream&);                                   \
  template void automorphism_ntt(RnsView<const Word>, RnsView<Word>, std::int64_t, const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
