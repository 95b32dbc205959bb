#include "velum/kernels/random/small_polynomial.h"

#include <string>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "random/element_range.h"
#include "random/small_polynomial_halves.h"

namespace velum::kernels {
namespace {

static_assert(DiscreteGaussian::kBound == kDiscreteGaussianCut);

template <typename Word, typename Coefficient>
void to_residues(Span<const Coefficient> coefficients, const RnsView<Word>& out,
                 const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream) {
  constexpr const char* kFunction = "small_to_residues";
  check_view(kFunction, {"out", out});
  check_chain(kFunction, limbs, {"out", out}, chain, stream);
  check_count(kFunction, "coefficients.size()", coefficients.size(), "out.polys * out.degree",
              out.polys * out.degree);
  if constexpr (sizeof(Coefficient) == 1) {
    for (std::int32_t limb = 0; limb < limbs.count; ++limb) {
      if (chain[limbs[limb]].value <= 128) {
        refuse(kFunction, "the modulus of limb " + std::to_string(limb),
               static_cast<std::int64_t>(chain[limbs[limb]].value),
               "above 128 for 8-bit coefficients");
      }
    }
  }
  const SmallToResiduesBody<Word, Coefficient> body{coefficients, out, limbs, chain.data()};
  VELUM_DISPATCH(stream, small_to_residues_cpu(body, stream), small_to_residues_cuda(body, stream));
}

}  // namespace

void ternary_fill(Span<std::int8_t> out, const RandomKey& key, const RandomPosition& position,
                  const Stream& stream) {
  using Body = SmallFillBody<TernaryDraw>;
  check_element_range("ternary_fill", 0, out.size(), Body::kMaxSize);
  const Body body{stream_state(key, position, DrawKind::kBits), out};
  VELUM_DISPATCH(stream, small_fill_cpu(body, stream), small_fill_cuda(body, stream));
}

void discrete_gaussian_fill(Span<std::int8_t> out, const RandomKey& key,
                            const RandomPosition& position, const Stream& stream) {
  using Body = SmallFillBody<DiscreteGaussianDraw>;
  check_element_range("discrete_gaussian_fill", 0, out.size(), Body::kMaxSize);
  const Body body{stream_state(key, position, DrawKind::kGaussian), out};
  VELUM_DISPATCH(stream, small_fill_cpu(body, stream), small_fill_cuda(body, stream));
}

void fixed_weight_ternary_fill_insecure(std::int64_t weight, Span<std::int8_t> out,
                                        const RandomKey& key, const RandomPosition& position,
                                        const Stream& stream) {
  check_element_range("fixed_weight_ternary_fill_insecure", 0, out.size(),
                      FixedWeightTask::kMaxSize);
  if (weight < 0 || weight > out.size()) {
    refuse("fixed_weight_ternary_fill_insecure", "weight", weight,
           "0 to out.size() = " + std::to_string(out.size()));
  }
  const FixedWeightTask task{stream_state(key, position, DrawKind::kSelection),
                             static_cast<std::uint64_t>(weight), out};
  VELUM_DISPATCH(stream, fixed_weight_ternary_fill_cpu(task, stream),
                 fixed_weight_ternary_fill_cuda(task, stream));
}

template <typename Word>
void small_to_residues(Span<const std::int8_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream) {
  to_residues(coefficients, out, limbs, chain, stream);
}
template <typename Word>
void small_to_residues(Span<const std::int32_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream) {
  to_residues(coefficients, out, limbs, chain, stream);
}
template <typename Word>
void small_to_residues(Span<const std::int64_t> coefficients, RnsView<Word> out,
                       const LimbIndices& limbs, const ModulusChain<Word>& chain,
                       const Stream& stream) {
  to_residues(coefficients, out, limbs, chain, stream);
}

#define VELUM_INSTANTIATE(Word, Coefficient)                                                  \
  template void small_to_residues(Span<const Coefficient>, RnsView<Word>, const LimbIndices&, \
                                  const ModulusChain<Word>&, const Stream&)
VELUM_SMALL_TO_RESIDUES(VELUM_INSTANTIATE);
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
