#pragma once

#include <bit>
#include <cstdint>

#include "polynomial/coefficient_index.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/integers_to_residues.h"

namespace velum::kernels {

/// |x| modulo q.
VELUM_HOST_DEVICE inline std::uint32_t residue_of_magnitude(std::uint64_t x,
                                                            const Modulus<std::uint32_t>& m) {
  return reduce_wide(x, m);
}
VELUM_HOST_DEVICE inline std::uint64_t residue_of_magnitude(std::uint64_t x,
                                                            const Modulus<std::uint64_t>& m) {
  return reduce_wide(WideOf<std::uint64_t>{x}, m);
}
VELUM_HOST_DEVICE inline std::uint64_t residue_of_magnitude(WideOf<std::uint64_t> x,
                                                            const Modulus<std::uint64_t>& m) {
  return reduce_wide(x, m);
}
VELUM_HOST_DEVICE inline std::uint32_t residue_of_magnitude(WideOf<std::uint64_t> x,
                                                            const Modulus<std::uint32_t>& m) {
  const auto low = static_cast<std::uint64_t>(x);
  std::uint64_t r = reduce_wide(static_cast<std::uint64_t>(x >> 64), m);  // [0, q)
  r = reduce_wide((r << 32) | (low >> 32), m);
  return reduce_wide((r << 32) | (low & 0xffffffffu), m);
}

VELUM_HOST_DEVICE inline std::uint64_t magnitude(std::int64_t x) {
  const auto bits = static_cast<std::uint64_t>(x);
  return x < 0 ? 0 - bits : bits;
}
VELUM_HOST_DEVICE inline WideOf<std::uint64_t> magnitude(Int128 x) {
  const auto bits = static_cast<WideOf<std::uint64_t>>(x);
  return x < 0 ? 0 - bits : bits;
}

template <typename Word, typename Integer>
VELUM_HOST_DEVICE Word residue_of(Integer x, const Modulus<Word>& m) {
  const Word r = residue_of_magnitude(magnitude(x), m);
  return x < 0 ? negate_mod(r, m.value) : r;
}

/// One coefficient of kLimbs consecutive limbs of a polynomial: the integer is read once for them.
template <typename Word, typename Integer>
struct IntegersToResiduesBody {
  static constexpr std::int64_t kLimbs = 4;

  Span<const Integer> integers;  // [polys * degree]
  RnsView<Word> out;             // [polys, limbs, degree], degree a power of two
  LimbIndices limbs;
  const Modulus<Word>* chain;
  CoefficientIndex position;  // "limbs" of kLimbs

  IntegersToResiduesBody(Span<const Integer> integers_, const RnsView<Word>& out_,
                         const LimbIndices& limbs_, const Modulus<Word>* chain_)
      : integers(integers_),
        out(out_),
        limbs(limbs_),
        chain(chain_),
        position{std::countr_zero(static_cast<std::uint64_t>(out_.degree)),
                 static_cast<std::int32_t>((out_.limbs + kLimbs - 1) / kLimbs)} {}

  constexpr std::int64_t count() const { return out.polys * position.limbs * out.degree; }
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const auto [poly, group, coefficient] = position(i);
    const Integer x = integers[poly * out.degree + coefficient];
    Word* const words = out.limb(poly, group * kLimbs) + coefficient;
    for (std::int64_t k = 0; k < kLimbs; ++k) {
      const std::int64_t limb = group * kLimbs + k;
      if (limb >= out.limbs) break;
      words[k * out.degree] = residue_of(x, chain[limbs[limb]]);
    }
  }
};

}  // namespace velum::kernels
