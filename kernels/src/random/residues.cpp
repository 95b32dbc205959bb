#include "velum/kernels/random/residues.h"

#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "random/residues_halves.h"

namespace velum::kernels {
namespace {

template <typename Word>
void fill(const RnsView<Word>& out, const LimbIndices& limbs, const ModulusChain<Word>& chain,
          const RandomKey& key, const RandomPosition& position, const Stream& stream) {
  check_view("uniform_residues_fill", {"out", out});
  check_chain("uniform_residues_fill", limbs, {"out", out}, chain, stream);
  if (position.tensor != 0) {
    throw std::out_of_range(
        "uniform_residues_fill: position.tensor = " + std::to_string(position.tensor) +
        ", expected 0: a limb's tensor is its modulus' index in the chain");
  }
  const UniformResiduesTask<Word> task{stream_state(key, position, DrawKind::kInteger),
                                       position.step, out, limbs, chain.data()};
  constexpr std::uint64_t kSteps = StreamLayout::kMaxStep + 1;
  if (static_cast<std::uint64_t>(out.polys) > kSteps - position.step) {
    throw std::out_of_range(
        "uniform_residues_fill: position.step = " + std::to_string(position.step) +
        " and out.polys = " + std::to_string(out.polys) + ", expected steps of [0, " +
        std::to_string(kSteps) + ")");
  }
  VELUM_DISPATCH(stream, uniform_residues_fill_cpu(task, stream),
                 uniform_residues_fill_cuda(task, stream));
}

}  // namespace

void uniform_residues_fill(RnsView<std::uint32_t> out, const LimbIndices& limbs,
                           const ModulusChain<std::uint32_t>& chain, const RandomKey& key,
                           const RandomPosition& position, const Stream& stream) {
  fill(out, limbs, chain, key, position, stream);
}
void uniform_residues_fill(RnsView<std::uint64_t> out, const LimbIndices& limbs,
                           const ModulusChain<std::uint64_t>& chain, const RandomKey& key,
                           const RandomPosition& position, const Stream& stream) {
  fill(out, limbs, chain, key, position, stream);
}

}  // namespace velum::kernels
