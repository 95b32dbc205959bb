#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// What a machine word holds modulo a prime. `std::uint32_t` is the word of all schemes;
/// `std::uint64_t` serves as an oracle and for moduli of up to 61 bits.
template <typename Word>
struct WordTraits;

template <>
struct WordTraits<std::uint32_t> {
  using Wide = std::uint64_t;  ///< holds the product of two words
  static constexpr int kBits = 32;
  static constexpr int kModulusBits = 30;  ///< q < 2^30, so that [0, 4q) fits a word
};

template <>
struct WordTraits<std::uint64_t> {
  __extension__ typedef unsigned __int128 Wide;
  static constexpr int kBits = 64;
  static constexpr int kModulusBits = 61;  ///< q < 2^61: [0, 4q) fits a word, with a bit to spare
};

template <typename Word>
using WideOf = typename WordTraits<Word>::Wide;

/// The high word of a product.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word multiply_high(Word a, Word b) {
  return static_cast<Word>((static_cast<WideOf<Word>>(a) * b) >> WordTraits<Word>::kBits);
}

/// min(x, x - q) with x - q wrapped: subtracts q where x >= q, without a comparison.
/// x in [0, 2q) with 2q < 2^w gives [0, q); x in [0, 2^w) and q <= 2^(w-1) never grows.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word reduce_once(Word x, Word q) {
  const Word y = static_cast<Word>(x - q);
  return y < x ? y : x;
}

template <typename Word>
VELUM_HOST_DEVICE constexpr Word add_mod(Word a, Word b, Word q) {  // a, b in [0, q)
  return reduce_once(static_cast<Word>(a + b), q);                  // [0, 2q) -> [0, q)
}

template <typename Word>
VELUM_HOST_DEVICE constexpr Word subtract_mod(Word a, Word b, Word q) {  // a, b in [0, q)
  const Word d = static_cast<Word>(a - b);                               // wrapped where a < b
  const Word e = static_cast<Word>(d + q);                               // then this is in [0, q)
  return e < d ? e : d;  // the smaller one, as q < 2^(w-2)
}

template <typename Word>
VELUM_HOST_DEVICE constexpr Word negate_mod(Word a, Word q) {  // a in [0, q)
  return reduce_once(static_cast<Word>(q - a), q);             // (0, q] -> [0, q)
}

/// A constant factor c in [0, q) with floor(c 2^w / q): products with it need no division.
/// Paper: NTL's method, in David Harvey, Faster arithmetic for number-theoretic transforms, 2014
/// (arXiv 1205.2926), section 2.
template <typename Word>
struct ShoupFactor {
  Word value;
  Word quotient;
  friend constexpr bool operator==(const ShoupFactor&, const ShoupFactor&) = default;
};

template <typename Word>
VELUM_HOST_DEVICE constexpr ShoupFactor<Word> shoup_factor(Word value, Word q) {  // value in [0, q)
  return {value,
          static_cast<Word>((static_cast<WideOf<Word>>(value) << WordTraits<Word>::kBits) / q)};
}

/// x c mod q in [0, 2q), for any word x.
///
/// With c' = floor(c 2^w / q) = (c 2^w - r)/q, 0 <= r < q, and h = floor(x c' / 2^w):
/// x c / q - h = x c / q - x c' / 2^w + {..} = x r / (q 2^w) + {..} < 1 + 1.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word multiply_lazy(Word x, ShoupFactor<Word> c, Word q) {
  const Word h = multiply_high(x, c.quotient);
  return static_cast<Word>(x * c.value - h * q);  // modulo 2^w: the true value is in [0, 2q)
}

/// x c mod q in [0, q), for any word x.
template <typename Word>
VELUM_HOST_DEVICE constexpr Word multiply_mod(Word x, ShoupFactor<Word> c, Word q) {
  return reduce_once(multiply_lazy(x, c, q), q);
}

}  // namespace velum::kernels
