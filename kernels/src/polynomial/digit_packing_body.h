#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/polynomial/digit_packing.h"

namespace velum::kernels {

/// Index i counts (polynomial, limb, coefficient).
struct PackDigitsBody {
  Span<const std::int32_t> values;
  std::int64_t coefficients;
  std::int64_t first;
  std::uint32_t offset;
  RnsView<std::uint32_t> out;
  DigitPackingView packing;

  VELUM_HOST_DEVICE std::int64_t count() const { return out.polys * out.limbs * out.degree; }

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t row = i / out.degree;
    add_to(row / out.limbs, row % out.limbs, i % out.degree);
  }
  VELUM_HOST_DEVICE void add_to(std::int64_t poly, std::int64_t limb, std::int64_t i) const {
    const std::int64_t k = first + poly * out.degree + i;
    if (k >= coefficients) return;
    const Modulus<std::uint32_t>& m = packing.constants[limb].modulus;
    const std::uint32_t* const weights = packing.weights + limb * packing.digits;
    std::uint64_t sum = 0;  // 128 products of 24 and 30 bits
    std::int64_t index = k;
    for (std::int32_t d = 0; d < packing.digits && index < values.size();
         ++d, index += coefficients) {
      const std::uint32_t digit = static_cast<std::uint32_t>(values[index]) + offset;
      sum += static_cast<std::uint64_t>(digit) * weights[d];
    }
    std::uint32_t& residue = out.limb(poly, limb)[i];
    residue = add_mod(residue, reduce_wide(sum, m), m.value);
  }
};

/// Index i counts (polynomial, coefficient). kWords = packing.words, so that a fraction's words are
/// registers.
template <int kWords>
struct UnpackDigitsBody {
  RnsView<const std::uint32_t> in;
  std::int64_t coefficients;
  std::int64_t first;
  std::uint32_t offset;
  Span<std::int32_t> values;
  Span<std::int32_t> deviations;
  DigitPackingView packing;

  VELUM_HOST_DEVICE std::int64_t count() const { return in.polys * in.degree; }

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t k = first + i;
    if (k >= coefficients) return;
    const std::uint32_t* const residues = in.limb(i / in.degree, 0) + i % in.degree;
    std::uint32_t fraction[kWords];
    for (int w = 0; w < kWords; ++w) fraction[w] = packing.half[w];
    for (std::int64_t l = 0; l < in.limbs; ++l) {
      const DigitPackingView::Limb& limb = packing.constants[l];
      const std::uint32_t y =
          multiply_mod(residues[l * in.degree], limb.inverse, limb.modulus.value);
      const std::uint32_t* const words = packing.fractions + l * kWords;
      std::uint64_t carry = 0;  // below 2^32: (2^32 - 1)^2 + 2 (2^32 - 1) < 2^64
      for (int w = 0; w < kWords; ++w) {
        carry += static_cast<std::uint64_t>(y) * words[w] + fraction[w];
        fraction[w] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }  // modulo 1
    }
    for (std::int32_t d = packing.digits; d-- > 0;) {
      std::uint64_t carry = 0;
      for (int w = 0; w < kWords; ++w) {
        carry += static_cast<std::uint64_t>(fraction[w]) * packing.base;
        fraction[w] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
      const std::int64_t index = d * coefficients + k;
      if (index < values.size()) {
        values[index] =
            static_cast<std::int32_t>(static_cast<std::uint32_t>(carry) - offset);  // [0, B)
      }
    }
    deviations[k] = static_cast<std::int32_t>(fraction[kWords - 1] - 0x80000000u);
  }
};

}  // namespace velum::kernels
