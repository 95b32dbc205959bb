#pragma once

#include <cstdint>

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

/// Index i counts the words of `out` limb by limb.
template <typename Word, typename Integer>
struct IntegersToResiduesBody {
  Span<const Integer> integers;  // [polys * degree]
  RnsView<Word> out;             // [polys, limbs, degree]
  LimbIndices limbs;
  const Modulus<Word>* chain;
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t row = i / out.degree;
    const std::int64_t coefficient = i - row * out.degree;
    const std::int64_t poly = row / out.limbs;
    const std::int64_t limb = row - poly * out.limbs;
    out.limb(poly, limb)[coefficient] =
        residue_of(integers[poly * out.degree + coefficient], chain[limbs[limb]]);
  }
};

}  // namespace velum::kernels
