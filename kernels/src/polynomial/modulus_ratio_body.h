#pragma once

#include <cstdint>

#include "polynomial/mixed_radix_digits.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/polynomial/modulus_ratio.h"

namespace velum::kernels {

/// floor(x / t) for x < 2^121 with a quotient below 2^62.
///
/// The reciprocal is above 2^128 / t - 2, so h = floor(x reciprocal / 2^128) is above
/// x/t - 2^-6 - 1: the quotient or one less.
VELUM_HOST_DEVICE constexpr std::uint64_t divide_by_divisor(WideOf<std::uint64_t> x,
                                                            std::uint64_t t,
                                                            WideOf<std::uint64_t> reciprocal) {
  const auto h = static_cast<std::uint64_t>(detail::multiply_high_wide(x, reciprocal));
  const auto r = static_cast<std::uint64_t>(x) - h * t;  // [0, 2t)
  return h + static_cast<std::uint64_t>(r >= t);
}

struct Quotient {
  std::uint64_t quotient;
  std::uint64_t remainder;
};

/// Division of a double word by a modulus of one word: `reduce_wide` with its quotient.
VELUM_HOST_DEVICE constexpr Quotient divide_by_modulus(std::uint64_t x,
                                                       const Modulus<std::uint32_t>& m) {
  const std::uint64_t h = multiply_high(x, m.wide_ratio);  // the quotient or one less
  const std::uint64_t r = x - h * m.value;                 // [0, 2q)
  const auto above = static_cast<std::uint64_t>(r >= m.value);
  return {h + above, r - above * m.value};
}

/// The same for x < 2^92: by the upper bits, and then the lowest 32. The quotient is below 2^64.
VELUM_HOST_DEVICE constexpr std::uint64_t quotient_by_modulus(WideOf<std::uint64_t> x,
                                                              const Modulus<std::uint32_t>& m) {
  const Quotient upper = divide_by_modulus(static_cast<std::uint64_t>(x >> 32), m);
  const std::uint64_t rest = (upper.remainder << 32) | static_cast<std::uint32_t>(x);  // < q 2^32
  return (upper.quotient << 32) + divide_by_modulus(rest, m).quotient;
}

struct MultiplyByRatioBody {
  Span<const std::int64_t> numbers;
  RnsView<std::uint32_t> out;  // [1, limbs, degree]
  ModulusRatioView ratio;

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const auto bits = static_cast<std::uint64_t>(numbers[i]);
    const std::uint64_t sign = 0 - (bits >> 63);           // all ones if negative
    const std::uint64_t magnitude = (bits ^ sign) - sign;  // [0, t)
    const std::uint64_t rest = divide_by_divisor(
        static_cast<WideOf<std::uint64_t>>(ratio.remainder) * magnitude + ratio.t / 2, ratio.t,
        ratio.reciprocal);  // [0, t)
    for (std::int64_t l = 0; l < out.limbs; ++l) {
      const Modulus<std::uint32_t>& m = ratio.limbs[l].modulus;
      const std::uint32_t scaled =
          multiply_mod(reduce_wide(magnitude, m), ratio.limbs[l].quotient, m.value);
      const std::uint32_t residue = add_mod(scaled, reduce_wide(rest, m), m.value);
      const auto mask = static_cast<std::uint32_t>(sign);
      out.limb(0, l)[i] = (negate_mod(residue, m.value) & mask) | (residue & ~mask);
    }
  }
};

struct DivideByRatioBody {
  RnsView<const std::uint32_t> in;  // [1, limbs, degree]
  Span<std::int64_t> numbers;
  ModulusRatioView ratio;

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    std::uint32_t digits[LimbIndices::kMaxLimbs];
    // t d + (q - 1)/2 + carry <= t (q - 1) + (q - 1)/2 + t < (t + 1) q, so no carry is above t.
    std::uint64_t carry = 0;
    for (std::int64_t l = 0; l < in.limbs; ++l) {
      const Modulus<std::uint32_t>& m = ratio.radix[l].modulus;
      const std::uint32_t sum =
          mixed_radix_sum(digits, ratio.products + l * (l - 1) / 2, l, m);  // of those below
      digits[l] = multiply_mod(subtract_mod(in.limb(0, l)[i], sum, m.value), ratio.radix[l].inverse,
                               m.value);
      carry = quotient_by_modulus(
          static_cast<WideOf<std::uint64_t>>(ratio.t) * digits[l] + m.value / 2 + carry, m);
    }
    // A number in [0, t] modulo t: t itself becomes 0.
    const auto above = static_cast<std::uint64_t>(carry > (ratio.t - 1) / 2);
    numbers[i] = static_cast<std::int64_t>(carry - above * ratio.t);
  }
};

}  // namespace velum::kernels
