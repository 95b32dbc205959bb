#pragma once

#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "velum/kernels/modular/modular_arithmetic.h"

namespace velum::kernels {

/// An odd modulus 4 < q < 2^k, k = `WordTraits::kModulusBits`, with the constants of its
/// reductions. Plain data, made on the host by `make_modulus` and read by both compilers.
template <typename Word>
struct Modulus {
  Word value;               ///< q
  std::int32_t bits;        ///< b with 2^(b-1) < q < 2^b
  Word product_ratio;       ///< floor(2^(2b+1) / q), for `reduce_product`
  Word inverse;             ///< q^-1 modulo 2^w, for `montgomery_reduce`
  WideOf<Word> wide_ratio;  ///< floor(2^(2w) / q), for `reduce_wide`

  friend constexpr bool operator==(const Modulus&, const Modulus&) = default;
};

/// x modulo q for x in [0, 2^(2b)), such as a product of two residues: Barrett's method on words.
///
/// a = floor(x / 2^(b-2)) < 2^(b+2) and the ratio < 2^(b+2) fit a word. Both are short by less than
/// one, so h = floor(a ratio / 2^(b+3)) lies in (x/q - 2^(b-2)/q - x/2^(2b+1) - 1, x/q], that is
/// above x/q - 2.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word reduce_product(WideOf<Word> x, const Modulus<Word>& m) {
  const auto a = static_cast<Word>(x >> (m.bits - 2));
  const auto h =
      static_cast<Word>((static_cast<WideOf<Word>>(a) * m.product_ratio) >> (m.bits + 3));
  const auto r = static_cast<Word>(static_cast<Word>(x) - h * m.value);  // [0, 2q)
  return reduce_once(r, m.value);                                        // [0, q)
}

/// a b modulo q for residues a, b in [0, q).
template <typename Word>
VELUM_HOST_DEVICE constexpr Word multiply_mod(Word a, Word b, const Modulus<Word>& m) {
  return reduce_product(static_cast<WideOf<Word>>(a) * b, m);
}

namespace detail {
/// floor(a b / 2^64) and floor(a b / 2^128).
VELUM_HOST_DEVICE constexpr std::uint64_t multiply_high_wide(std::uint64_t a, std::uint64_t b) {
  return multiply_high(a, b);
}
VELUM_HOST_DEVICE constexpr WideOf<std::uint64_t> multiply_high_wide(WideOf<std::uint64_t> a,
                                                                     WideOf<std::uint64_t> b) {
  using Wide = WideOf<std::uint64_t>;
  const auto a0 = static_cast<std::uint64_t>(a), a1 = static_cast<std::uint64_t>(a >> 64);
  const auto b0 = static_cast<std::uint64_t>(b), b1 = static_cast<std::uint64_t>(b >> 64);
  const Wide low = Wide{a0} * b0;
  const Wide cross = Wide{a0} * b1 + (low >> 64);                            // < 2^128
  const Wide cross_low = Wide{a1} * b0 + static_cast<std::uint64_t>(cross);  // < 2^128
  return Wide{a1} * b1 + (cross >> 64) + (cross_low >> 64);
}
}  // namespace detail

/// x modulo q for any double word x.
///
/// The ratio is short by less than one, so h = floor(x ratio / 2^(2w)) is above x/q - 2.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word reduce_wide(WideOf<Word> x, const Modulus<Word>& m) {
  const auto h =
      static_cast<Word>(detail::multiply_high_wide(x, m.wide_ratio));    // modulo 2^w is enough
  const auto r = static_cast<Word>(static_cast<Word>(x) - h * m.value);  // [0, 2q)
  return reduce_once(r, m.value);                                        // [0, q)
}

/// t 2^-w modulo q in (0, 2q), for t in [0, q 2^w).
/// Paper: Montgomery, Modular Multiplication Without Trial Division, 1985; the form that subtracts.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word montgomery_reduce_lazy(WideOf<Word> t, const Modulus<Word>& m) {
  const auto low = static_cast<Word>(static_cast<Word>(t) * m.inverse);
  const auto high = static_cast<Word>(t >> WordTraits<Word>::kBits);       // [0, q)
  return static_cast<Word>(high + m.value - multiply_high(low, m.value));  // (0, 2q)
}

/// `shoup_factor` without a division: r = c 2^w mod q leaves c 2^w - r = q floor(c 2^w / q), and an
/// exact quotient is a product with q^-1 modulo 2^w.
template <typename Word>
VELUM_HOST_DEVICE constexpr ShoupFactor<Word> shoup_factor(Word value, const Modulus<Word>& m) {
  const Word r = reduce_wide(static_cast<WideOf<Word>>(value) << WordTraits<Word>::kBits, m);
  return {value, static_cast<Word>((Word{0} - r) * m.inverse)};  // value in [0, q)
}

/// The constants of a modulus.
/// @param value  odd, > 4 and < 2^30 (32-bit words) or 2^61 (64-bit words). Need not be prime.
/// @throws std::invalid_argument otherwise.
template <typename Word>
constexpr Modulus<Word> make_modulus(Word value) {
  using Wide = WideOf<Word>;
  constexpr int kBits = WordTraits<Word>::kBits;
  constexpr int kModulusBits = WordTraits<Word>::kModulusBits;
  if (value <= 4 || value % 2 == 0 || (value >> kModulusBits) != 0) {
    throw std::invalid_argument("make_modulus: value = " + std::to_string(value) +
                                ", expected odd, > 4 and < 2^" + std::to_string(kModulusBits));
  }
  Modulus<Word> m{};
  m.value = value;
  m.bits = static_cast<std::int32_t>(std::bit_width(value));
  m.product_ratio = static_cast<Word>((Wide{1} << (2 * m.bits + 1)) / value);
  Word inverse = value;  // right to 3 bits: x x = 1 modulo 8 for odd x; each step doubles them
  for (int right = 3; right < kBits; right *= 2)
    inverse = static_cast<Word>(inverse * (2 - value * inverse));
  m.inverse = inverse;
  m.wide_ratio = ~Wide{0} / value;  // 2^(2w) - 1 has the same quotient, as q divides no power of 2
  return m;
}

}  // namespace velum::kernels
