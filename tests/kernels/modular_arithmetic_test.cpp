#include "velum/kernels/modular/modular_arithmetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "polynomial/ntt_body.h"
#include "velum/kernels/modular/modulus.h"

// The reference of every claim here is the division of the compiler's own 128-bit integers.
namespace velum::kernels {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <typename Word>
class ModularArithmetic : public ::testing::Test {};
struct WordName {
  template <typename Word>
  static std::string GetName(int) {
    return std::is_same_v<Word, std::uint32_t> ? "Words32" : "Words64";
  }
};
using WordTypes = ::testing::Types<std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(ModularArithmetic, WordTypes, WordName);

__extension__ typedef unsigned __int128 UInt128;

template <typename Word>
Word remainder_of(UInt128 x, Word q) {
  return static_cast<Word>(x % q);
}
/// x 2^-w modulo q by its definition: y is the answer iff y 2^w = x.
template <typename Word>
bool is_montgomery_quotient(Word y, WideOf<Word> x, Word q) {
  const Word power = remainder_of<Word>(UInt128{1} << WordTraits<Word>::kBits, q);
  return remainder_of<Word>(UInt128{static_cast<Word>(y % q)} * power, q) ==
         remainder_of<Word>(x, q);
}

/// The smallest moduli: everything below is tried with every value.
constexpr int kSmallEnd = 64;
/// The largest modulus, one that is just above a power of two, one below, and some in between.
template <typename Word>
std::vector<Word> large_moduli() {
  constexpr int kBits = WordTraits<Word>::kModulusBits;
  constexpr Word kEnd = Word{1} << kBits;
  std::vector<Word> moduli{static_cast<Word>(kEnd - 1), static_cast<Word>(kEnd - 3),
                           static_cast<Word>(kEnd / 2 + 1), static_cast<Word>(kEnd / 2 - 1)};
  std::mt19937_64 random(1);
  for (int bits = 4; bits < kBits; ++bits) {
    moduli.push_back(static_cast<Word>((Word{1} << bits) | 1));
    moduli.push_back(static_cast<Word>((Word{2} << bits) - 1));
    moduli.push_back(
        static_cast<Word>((Word{1} << bits) | (random() & ((Word{1} << bits) - 1)) | 1));
  }
  return moduli;
}

/// Values in [0, end): the ends and random ones.
template <typename Value>
std::vector<Value> values_below(UInt128 end, std::mt19937_64& random, int count) {
  std::vector<Value> values;
  for (const UInt128 value : {UInt128{0}, UInt128{1}, UInt128{2}, end / 2, end - 2, end - 1}) {
    if (value < end) values.push_back(static_cast<Value>(value));
  }
  for (int i = 0; i < count; ++i) {
    const UInt128 bits = UInt128{random()} << 64 | random();
    values.push_back(static_cast<Value>(end == 0 ? bits : bits % end));
  }
  return values;
}
/// The words next to multiples of q, where a quotient that is off by one shows.
template <typename Value>
void add_multiples(std::vector<Value>& values, UInt128 end, UInt128 q, std::mt19937_64& random,
                   int count) {
  for (int i = 0; i < count; ++i) {
    const UInt128 quotients = (end - 1) / q;
    const UInt128 multiple =
        i == 0 ? quotients * q : ((UInt128{random()} << 64 | random()) % (quotients + 1)) * q;
    values.push_back(static_cast<Value>(multiple));
    if (multiple > 0) values.push_back(static_cast<Value>(multiple - 1));
    if (multiple + 1 < end) values.push_back(static_cast<Value>(multiple + 1));
  }
}

// ---- What can be proved while compiling ----

template <typename Word>
constexpr bool constants_are_right(Word q) {
  const Modulus<Word> m = make_modulus(q);
  return m.value == q && (Word{1} << (m.bits - 1)) < q && q < (Word{1} << m.bits) &&
         static_cast<Word>(m.inverse * q) == 1 &&
         m.product_ratio == (static_cast<WideOf<Word>>(1) << (2 * m.bits + 1)) / q;
}
static_assert(constants_are_right<std::uint32_t>(5));
static_assert(constants_are_right<std::uint32_t>((1u << 30) - 35));
static_assert(constants_are_right<std::uint32_t>((1u << 29) + 1));
static_assert(constants_are_right<std::uint64_t>(5));
static_assert(constants_are_right<std::uint64_t>((std::uint64_t{1} << 61) - 1));
static_assert(constants_are_right<std::uint64_t>((std::uint64_t{1} << 60) + 1));
// The lazy ranges fit a word.
static_assert(4 * std::uint64_t{(1u << WordTraits<std::uint32_t>::kModulusBits) - 1} <=
              std::numeric_limits<std::uint32_t>::max());
static_assert(UInt128{4} * ((std::uint64_t{1} << WordTraits<std::uint64_t>::kModulusBits) - 1) <=
              std::numeric_limits<std::uint64_t>::max());
// Barrett's ratio and the shifted product fit a word, and their product a double word, up to the
// largest number of bits b: 2^(b + 2) each.
static_assert(WordTraits<std::uint32_t>::kModulusBits + 2 <= 32);
static_assert(WordTraits<std::uint64_t>::kModulusBits + 2 <= 64);

template <typename Word>
constexpr bool every_residue_is_right(Word q) {
  const Modulus<Word> m = make_modulus(q);
  for (Word a = 0; a < q; ++a) {
    if (negate_mod(a, q) != (q - a) % q) return false;
    for (Word b = 0; b < q; ++b) {
      if (add_mod(a, b, q) != (a + b) % q) return false;
      if (subtract_mod(a, b, q) != (a + q - b) % q) return false;
      if (multiply_mod(a, b, m) != a * b % q) return false;
      if (multiply_mod(a, shoup_factor(b, q), q) != a * b % q) return false;
    }
  }
  return true;
}
static_assert(every_residue_is_right<std::uint32_t>(5));
static_assert(every_residue_is_right<std::uint32_t>(17));
static_assert(every_residue_is_right<std::uint64_t>(5));
static_assert(every_residue_is_right<std::uint64_t>(17));

// ---- Every value of small moduli ----

TYPED_TEST(ModularArithmetic, EveryPairOfResiduesOfEverySmallModulus) {
  using Word = TypeParam;
  for (Word q = 5; q < kSmallEnd; q += 2) {
    ASSERT_TRUE(constants_are_right(q)) << q;
    ASSERT_TRUE(every_residue_is_right(q)) << q;
  }
}

TYPED_TEST(ModularArithmetic, ReduceProductOnItsWholeRange) {
  using Word = TypeParam;
  for (Word q = 5; q < kSmallEnd; q += 2) {
    const Modulus<Word> m = make_modulus(q);
    for (std::uint64_t x = 0; x < std::uint64_t{1} << (2 * m.bits); ++x) {
      ASSERT_EQ(reduce_product(static_cast<WideOf<Word>>(x), m), x % q) << x << " modulo " << q;
    }
  }
}

/// Butterflies on their whole range: the results are in the stated ranges and are what the
/// definitions say.
TYPED_TEST(ModularArithmetic, ButterfliesOnTheirWholeRange) {
  using Word = TypeParam;
  for (Word q = 5; q < 20; q += 2) {
    for (Word c = 0; c < q; ++c) {
      const ShoupFactor<Word> w = shoup_factor(c, q);
      for (Word a = 0; a < 4 * q; ++a) {
        ASSERT_LT(reduce_lazy(a, q), q);
        ASSERT_EQ(reduce_lazy(a, q), a % q);
        for (Word b = 0; b < 4 * q; ++b) {
          Word x = a, y = b;
          forward_butterfly(x, y, w, q);
          ASSERT_LT(x, 4 * q);
          ASSERT_LT(y, 4 * q);
          ASSERT_EQ(x % q, (a + c * b) % q);
          ASSERT_EQ(y % q, (a + c * (q - b % q)) % q);
          if (a >= 2 * q || b >= 2 * q) continue;
          x = a, y = b;
          inverse_butterfly(x, y, w, q);
          ASSERT_LT(x, 2 * q);
          ASSERT_LT(y, 2 * q);
          ASSERT_EQ(x % q, (a + b) % q);
          ASSERT_EQ(y % q, c * (a + 2 * q - b) % q);
          x = a, y = b;
          const auto other = static_cast<Word>((c + 1) % q);
          last_butterfly(x, y, LastStage<Word>{w, shoup_factor(other, q)}, q);
          ASSERT_EQ(x, c * (a + b) % q);
          ASSERT_EQ(y, other * (a + 2 * q - b) % q);
        }
      }
    }
  }
}

/// Calls `body(std::integral_constant<int, bound>())` for every bound that a word holds.
template <typename Word, int kBound = 1, typename Body>
void for_each_bound(const Body& body) {
  body(std::integral_constant<int, kBound>());
  if constexpr (kBound < LazyRange<Word>::kMost) for_each_bound<Word, kBound + 1>(body);
}

/// The butterflies that reduce only where they must, on x in [0, x_bound q) and y.
template <int kBound, typename Word>
void check_forward_within(Word a, Word b, ShoupFactor<Word> w, Word q) {
  const Word bc = remainder_of<Word>(UInt128{b} * w.value, q);
  const int after = LazyRange<Word>::after_forward(kBound);
  Word x = a, y = b;
  forward_butterfly_within<kBound>(x, y, w, ButterflyModulus<Word>::of(q));
  ASSERT_LT(x, UInt128{q} * after);
  ASSERT_LT(y, UInt128{q} * after);
  ASSERT_EQ(x % q, remainder_of<Word>(UInt128{a} + bc, q)) << +kBound;
  ASSERT_EQ(y % q, remainder_of<Word>(UInt128{a} + q - bc, q)) << +kBound;
}
template <typename Word>
void check_inverse_within(Word a, Word b, ShoupFactor<Word> w, Word q, int x_bound, int y_bound) {
  Word x = a, y = b;
  inverse_butterfly_within(x, y, w, ButterflyModulus<Word>::of(q), x_bound, y_bound);
  const UInt128 difference = UInt128{a} + UInt128{q} * y_bound - b;
  LazyRange<Word>::after_inverse(x_bound, y_bound);
  ASSERT_LT(x, UInt128{q} * x_bound);
  ASSERT_LT(y, UInt128{q} * y_bound);
  ASSERT_EQ(x % q, remainder_of<Word>(UInt128{a} + b, q));
  ASSERT_EQ(y % q, remainder_of<Word>(difference % q * w.value, q));
}

TYPED_TEST(ModularArithmetic, ButterfliesWithinBoundsOnTheirWholeRange) {
  using Word = TypeParam;
  constexpr int kMost = LazyRange<Word>::kMost;
  for (Word q = 5; q < 14; q += 2) {
    for (Word c = 0; c < q; ++c) {
      const ShoupFactor<Word> w = shoup_factor(c, q);
      for_each_bound<Word>([&](auto bound) {
        for (Word a = 0; a < bound * q; ++a) {
          for (Word b = 0; b < kMost * q; ++b) {
            ASSERT_NO_FATAL_FAILURE(check_forward_within<bound>(a, b, w, q));
          }
        }
      });
      for (int x_bound = 1; x_bound < kMost; ++x_bound) {
        for (int y_bound = 1; x_bound + y_bound <= kMost; ++y_bound) {
          for (Word a = 0; a < static_cast<Word>(x_bound) * q; ++a) {
            for (Word b = 0; b < static_cast<Word>(y_bound) * q; ++b) {
              ASSERT_NO_FATAL_FAILURE(check_inverse_within(a, b, w, q, x_bound, y_bound));
            }
          }
        }
      }
    }
  }
}

// ---- The ends of the ranges, and random values, of large moduli ----

TYPED_TEST(ModularArithmetic, ResiduesOfLargeModuli) {
  using Word = TypeParam;
  std::mt19937_64 random(2);
  for (const Word q : large_moduli<Word>()) {
    ASSERT_TRUE(constants_are_right(q)) << q;
    const Modulus<Word> m = make_modulus(q);
    const std::vector<Word> values = values_below<Word>(q, random, 20);
    for (const Word a : values) {
      ASSERT_EQ(negate_mod(a, q), remainder_of<Word>(UInt128{q} - a, q));
      ASSERT_EQ(shoup_factor(a, m), shoup_factor(a, q)) << a << " modulo " << q;
      for (const Word b : values) {
        ASSERT_EQ(add_mod(a, b, q), remainder_of<Word>(UInt128{a} + b, q));
        ASSERT_EQ(subtract_mod(a, b, q), remainder_of<Word>(UInt128{a} + q - b, q));
        ASSERT_EQ(multiply_mod(a, b, m), remainder_of<Word>(UInt128{a} * b, q)) << a << " " << b;
      }
    }
  }
}

TYPED_TEST(ModularArithmetic, ShoupProductsOfAnyWord) {
  using Word = TypeParam;
  constexpr UInt128 kEnd = UInt128{1} << WordTraits<Word>::kBits;
  std::mt19937_64 random(3);
  for (const Word q : large_moduli<Word>()) {
    std::vector<Word> words = values_below<Word>(kEnd, random, 20);
    add_multiples<Word>(words, kEnd, q, random, 10);
    for (const Word c : values_below<Word>(q, random, 20)) {
      const ShoupFactor<Word> factor = shoup_factor(c, q);
      ASSERT_EQ(factor.quotient, static_cast<Word>((UInt128{c} << WordTraits<Word>::kBits) / q));
      for (const Word x : words) {
        const Word lazy = multiply_lazy(x, factor, q);
        const Word expected = remainder_of<Word>(UInt128{x} * c, q);
        ASSERT_LT(lazy, 2 * q);
        ASSERT_EQ(lazy % q, expected) << x << " * " << c << " modulo " << q;
        ASSERT_EQ(multiply_mod(x, factor, q), expected);
      }
    }
  }
}

TYPED_TEST(ModularArithmetic, ReductionsOfDoubleWords) {
  using Word = TypeParam;
  using Wide = WideOf<Word>;
  constexpr int kBits = WordTraits<Word>::kBits;
  std::mt19937_64 random(4);
  std::vector<Word> moduli = large_moduli<Word>();
  for (Word q = 5; q < kSmallEnd; q += 2) moduli.push_back(q);
  for (const Word q : moduli) {
    const Modulus<Word> m = make_modulus(q);
    // 0 stands for 2^128.
    const UInt128 all = kBits == 64 ? UInt128{0} : UInt128{1} << (2 * kBits % 128);
    const UInt128 last = all - 1;
    std::vector<Wide> any = values_below<Wide>(last, random, 50);
    any.push_back(static_cast<Wide>(last));
    add_multiples<Wide>(any, last, q, random, 20);
    for (const Wide x : any) ASSERT_EQ(reduce_wide(x, m), remainder_of<Word>(x, q));

    const UInt128 square_end = UInt128{1} << (2 * m.bits);
    std::vector<Wide> products = values_below<Wide>(square_end, random, 50);
    add_multiples<Wide>(products, square_end, q, random, 20);
    for (const Wide x : products) ASSERT_EQ(reduce_product(x, m), remainder_of<Word>(x, q));

    const UInt128 montgomery_end = UInt128{q} << kBits;
    std::vector<Wide> terms = values_below<Wide>(montgomery_end, random, 50);
    add_multiples<Wide>(terms, montgomery_end, q, random, 20);
    for (const Wide x : terms) {
      const Word y = montgomery_reduce_lazy(x, m);
      ASSERT_GT(y, 0);
      ASSERT_LT(y, 2 * q);
      ASSERT_TRUE(is_montgomery_quotient(y, x, q)) << y << " modulo " << q;
    }
  }
}

TYPED_TEST(ModularArithmetic, ButterfliesAtTheEndsOfTheirRange) {
  using Word = TypeParam;
  std::mt19937_64 random(5);
  for (const Word q : large_moduli<Word>()) {
    const std::vector<Word> lazy = values_below<Word>(UInt128{4} * q, random, 6);
    for (const Word c : values_below<Word>(q, random, 4)) {
      const ShoupFactor<Word> w = shoup_factor(c, q);
      for (const Word a : lazy) {
        ASSERT_EQ(reduce_lazy(a, q), a % q);
        for (const Word b : lazy) {
          const Word bc = remainder_of<Word>(UInt128{b} * c, q);
          Word x = a, y = b;
          forward_butterfly(x, y, w, q);
          ASSERT_LT(x, 4 * q);
          ASSERT_LT(y, 4 * q);
          ASSERT_EQ(x % q, remainder_of<Word>(UInt128{a} + bc, q));
          ASSERT_EQ(y % q, remainder_of<Word>(UInt128{a} + q - bc, q));
          const Word u = a / 2, v = b / 2;  // [0, 2q)
          x = u, y = v;
          inverse_butterfly(x, y, w, q);
          ASSERT_LT(x, 2 * q);
          ASSERT_LT(y, 2 * q);
          ASSERT_EQ(x % q, remainder_of<Word>(UInt128{u} + v, q));
          ASSERT_EQ(y % q, remainder_of<Word>((UInt128{u} + 2 * UInt128{q} - v) * c, q));
        }
      }
    }
  }
}

TYPED_TEST(ModularArithmetic, ButterfliesWithinBoundsAtTheEndsOfTheirRange) {
  using Word = TypeParam;
  constexpr int kMost = LazyRange<Word>::kMost;
  std::mt19937_64 random(6);
  for (const Word q : large_moduli<Word>()) {
    const auto below = [&](int bound) { return values_below<Word>(UInt128{q} * bound, random, 2); };
    for (const Word c : values_below<Word>(q, random, 2)) {
      const ShoupFactor<Word> w = shoup_factor(c, q);
      for_each_bound<Word>([&](auto bound) {
        for (const Word a : below(bound)) {
          for (const Word b :
               values_below<Word>(UInt128{1} << WordTraits<Word>::kBits, random, 2)) {
            ASSERT_NO_FATAL_FAILURE(check_forward_within<bound>(a, b, w, q));
          }
        }
      });
      for (int x_bound = 1; x_bound < kMost; ++x_bound) {
        for (int y_bound = 1; x_bound + y_bound <= kMost; ++y_bound) {
          for (const Word a : below(x_bound)) {
            for (const Word b : below(y_bound)) {
              ASSERT_NO_FATAL_FAILURE(check_inverse_within(a, b, w, q, x_bound, y_bound));
            }
          }
        }
      }
      const LastStage<Word> last{w, shoup_factor(static_cast<Word>(q - 1), q)};
      for (const Word a : below(kMost / 2)) {
        for (const Word b : below(kMost / 2)) {
          Word x = a, y = b;
          last_butterfly(x, y, last, q, kMost / 2);
          ASSERT_EQ(x, remainder_of<Word>((UInt128{a} + b) % q * c, q));
          ASSERT_EQ(y, remainder_of<Word>((UInt128{b} + q - a % q) % q, q));
        }
      }
    }
    for (const Word a : below(kMost)) {
      const Word narrowed = ButterflyModulus<Word>::of(q).narrowed(a);
      ASSERT_LT(narrowed, UInt128{4} * q);
      ASSERT_EQ(narrowed % q, a % q);
    }
  }
}

TYPED_TEST(ModularArithmetic, ModuliOutOfRangeAreNamed) {
  using Word = TypeParam;
  constexpr int kBits = WordTraits<Word>::kModulusBits;
  const std::string range = ", expected odd, > 4 and < 2^" + std::to_string(kBits);
  for (const Word value : {Word{0}, Word{1}, Word{3}, Word{4}, Word{6}, Word{1} << (kBits - 1),
                           (Word{1} << kBits) + 1, std::numeric_limits<Word>::max()}) {
    EXPECT_THAT([value] { make_modulus(value); },
                ThrowsMessage<std::invalid_argument>(
                    HasSubstr("make_modulus: value = " + std::to_string(value) + range)));
  }
  EXPECT_NO_THROW(make_modulus(Word{5}));
  EXPECT_NO_THROW(make_modulus(static_cast<Word>((Word{1} << kBits) - 1)));
}

}  // namespace
}  // namespace velum::kernels
