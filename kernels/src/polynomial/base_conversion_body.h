#pragma once

#include <cstdint>

#include "modular/product_sum.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::kernels {

/// Fractions and their sums as fixed-point numbers in two words.
template <typename Word>
struct Fraction {
  static constexpr int kWordBits = WordTraits<Word>::kBits;
  /// Bits after the point; eight before it hold any sum of LimbIndices::kMaxLimbs fractions.
  static constexpr int kBits = 2 * kWordBits - 8;
  static_assert(LimbIndices::kMaxLimbs < 255);
  /// From the unit of a product with the reciprocal, 2^-(w - 1 + m), to 2^-kBits.
  static constexpr int kShift = kWordBits - 1 + WordTraits<Word>::kModulusBits - kBits;
  static constexpr WideOf<Word> kHalf = WideOf<Word>{1} << (kBits - 1);
};

/// y/q rounded down to 2^-kBits, or the multiple of it below: y in [0, q).
template <typename Word>
VELUM_HOST_DEVICE constexpr WideOf<Word> fraction(Word y, const Reciprocal<Word>& r) {
  using Wide = WideOf<Word>;
  const Word scaled = static_cast<Word>(y << r.shift);  // below q' < 2^m
  const Wide product = static_cast<Wide>(scaled) * r.high + multiply_high(scaled, r.low);
  return product >> Fraction<Word>::kShift;
}

/// The nearest integer to a sum of fractions.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word nearest_integer(WideOf<Word> sum) {
  return static_cast<Word>((sum + Fraction<Word>::kHalf) >> Fraction<Word>::kBits);
}

template <typename Word>
struct BaseConversionTask {
  RnsView<const Word> in;
  RnsView<Word> out;
  BaseConversionView<Word> conversion;
  bool centred;
  bool premultiplied;
  /// Row j of the table is for limb j of `out`, from `gap_begin` on for limb j + gap_size.
  std::int32_t gap_begin;
  std::int32_t gap_size;

  /// Rows of the sums: the y_i, and the integer that is taken off.
  VELUM_HOST_DEVICE constexpr std::int32_t rows() const {
    return conversion.from_count + (centred ? 1 : 0);
  }
  VELUM_HOST_DEVICE constexpr std::int32_t out_index(std::int32_t target) const {
    return target < gap_begin ? target : target + gap_size;
  }
  VELUM_HOST_DEVICE constexpr Word* out_limb(std::int64_t poly, std::int32_t target) const {
    return out.limb(poly, out_index(target));
  }
  /// y_i of a residue x of limb `source` of `in`, or the y_i that it is.
  VELUM_HOST_DEVICE constexpr Word y(Word x, std::int32_t source) const {
    return premultiplied
               ? x
               : multiply_mod(x, conversion.inverse_factors[source], conversion.from[source].value);
  }
};

}  // namespace velum::kernels
