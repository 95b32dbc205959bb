#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::kernels {

/// The lowest `bits` bits of x, in reverse; bits from 0 to 32.
VELUM_HOST_DEVICE constexpr std::uint32_t reverse_bits(std::uint32_t x, int bits) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  x = (x >> 8 & 0x00ff00ffu) | (x & 0x00ff00ffu) << 8;
  x = x >> 16 | x << 16;
  return bits == 0 ? 0 : x >> (32 - bits);
}
static_assert(reverse_bits(0b1011, 4) == 0b1101 && reverse_bits(1, 17) == 1 << 16);

/// `reverse_bits` as a type, in whose place a backend may put an instruction of its own.
struct ReverseBits {
  VELUM_HOST_DEVICE constexpr std::uint32_t operator()(std::uint32_t x, int bits) const {
    return reverse_bits(x, bits);
  }
};

/// X -> X^g for N = 2^log_degree. Numbers are modulo 2N <= 2^18, their products modulo 2^32.
struct Automorphism {
  std::int32_t log_degree;
  std::uint32_t element;  // g
  std::uint32_t inverse;  // g^-1 modulo 2N

  VELUM_HOST_DEVICE constexpr std::uint32_t degree() const {
    return std::uint32_t{1} << log_degree;
  }
  /// Where coefficient i comes from: index s + N n with n = 1 where the sign changes.
  VELUM_HOST_DEVICE constexpr std::uint32_t source_of_coefficient(std::uint32_t i) const {
    // X^k = -X^(k-N): i = g s modulo 2N, or g (s + N) = i + N g = i + N modulo 2N with the sign.
    return i * inverse & (2 * degree() - 1);
  }
  /// Where NTT value j comes from.
  template <typename Reverse = ReverseBits>
  VELUM_HOST_DEVICE constexpr std::uint32_t source_of_value(std::uint32_t j,
                                                            const Reverse& reverse = {}) const {
    const std::uint32_t exponent = element * (2 * reverse(j, log_degree) + 1);
    return reverse((exponent & (2 * degree() - 1)) >> 1, log_degree);
  }
};

enum class AutomorphismForm { kCoefficient, kNtt };

template <typename Word>
struct AutomorphismTask {
  RnsView<const Word> in;
  RnsView<Word> out;
  Automorphism automorphism;
  const Modulus<Word>* moduli;  // null in NTT form
  LimbIndices limbs;
};

/// One coefficient of kRows consecutive limbs, counted over all polynomials: the index is computed
/// once for them.
template <AutomorphismForm kForm, typename Word, typename Reverse = ReverseBits>
struct AutomorphismBody {
  static constexpr std::uint32_t kRows = 4;

  AutomorphismTask<Word> task;

  constexpr std::int64_t count() const {
    return (task.out.polys * task.out.limbs + kRows - 1) / kRows * task.out.degree;
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t index) const {
    const Automorphism& map = task.automorphism;
    const auto i = static_cast<std::uint32_t>(index) & (map.degree() - 1);
    const std::uint32_t source = kForm == AutomorphismForm::kNtt ? map.source_of_value(i, Reverse{})
                                                                 : map.source_of_coefficient(i);
    const bool negative = kForm == AutomorphismForm::kCoefficient && source >> map.log_degree != 0;
    const auto limbs = static_cast<std::uint32_t>(task.out.limbs);
    const auto rows = static_cast<std::uint32_t>(task.out.polys) * limbs;
    const auto first = static_cast<std::uint32_t>(index >> map.log_degree) * kRows;
    std::uint32_t limb = first % limbs;
    const Word* in = task.in.limb(first / limbs, limb) + (source & (map.degree() - 1));
    Word* out = task.out.limb(first / limbs, limb) + i;
    // All are read before one is written: the reads are on their way together.
    Word values[kRows];
    Word* targets[kRows];
    for (std::uint32_t k = 0; k < kRows; ++k) {
      if (first + k >= rows) break;
      values[k] = negative ? negate_mod(*in, task.moduli[task.limbs[limb]].value) : *in;
      targets[k] = out;
      in += task.in.degree;
      out += task.out.degree;
      if (++limb == limbs) {  // the next polynomial
        limb = 0;
        in += task.in.poly_stride - limbs * task.in.degree;
        out += task.out.poly_stride - limbs * task.out.degree;
      }
    }
    for (std::uint32_t k = 0; k < kRows && first + k < rows; ++k) *targets[k] = values[k];
  }
};

}  // namespace velum::kernels
