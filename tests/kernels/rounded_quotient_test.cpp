#include "gradients/rounded_quotient.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>

namespace velum::kernels {
namespace {

__extension__ typedef unsigned __int128 Wide;

/// As integers of 53 bits, which no power of two changes; against the processor's division.
void expect_rounded_once(std::uint64_t a, std::uint64_t b) {
  const auto dividend = static_cast<double>(a);
  const auto divisor = static_cast<double>(b);
  ASSERT_EQ(quotient_by(1.0 / divisor, dividend, divisor), dividend / divisor) << a << " / " << b;
}

constexpr std::uint64_t kOne = std::uint64_t{1} << 52;

// The pairs that the proof leaves: 2 - 2^-48 <= a < b < 2; and those around them.
TEST(RoundedQuotient, OfPairsJustBelowTwoIsTheProcessors) {
  for (std::uint64_t a = 1; a <= 256; ++a) {
    for (std::uint64_t b = 1; b <= 256; ++b) expect_rounded_once(2 * kOne - a, 2 * kOne - b);
  }
}

/// 1 / m modulo 2^bits, for an odd m.
std::uint64_t inverse(std::uint64_t m, int bits) {
  std::uint64_t x = m;  // right modulo 8, and in each step twice as many bits
  for (int known = 3; known < 64; known *= 2) x *= 2 - m * x;
  return x & ((std::uint64_t{1} << bits) - 1);
}

// a 2^k - m b = c, for a midpoint m of doubles and a small c: no quotient is nearer to a midpoint.
TEST(RoundedQuotient, NextToAMidpointIsTheProcessors) {
  std::mt19937_64 generator(1);
  int pairs = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t m = (2 * kOne) | (generator() & (2 * kOne - 1)) | 1;
    for (const int k : {53, 54}) {
      for (const std::int64_t c : {-5, -3, -1, 1, 3, 5}) {
        const std::uint64_t modulus = std::uint64_t{1} << k;
        const std::uint64_t b = (static_cast<std::uint64_t>(-c) * inverse(m, k)) & (modulus - 1);
        const Wide multiple = Wide{m} * b + static_cast<Wide>(c);
        ASSERT_EQ(static_cast<std::uint64_t>(multiple) & (modulus - 1), 0U);
        const auto a = static_cast<std::uint64_t>(multiple >> k);
        if (b < kOne || b >= 2 * kOne || a < kOne || a >= 2 * kOne) continue;
        ++pairs;
        expect_rounded_once(a, b);
      }
    }
  }
  EXPECT_GT(pairs, 100'000);
}

TEST(RoundedQuotient, AtTheEndsOfItsRangeIsTheProcessors) {
  std::mt19937_64 generator(2);
  std::uniform_real_distribution<double> mantissa(1.0, 2.0);
  for (int i = 0; i < 100'000; ++i) {
    for (const double power : {0x1p-100, 0x1p-3, 1.0, 0x1p99}) {
      const double b = power * mantissa(generator);
      for (const double other : {0x1p-800, 1.0, 0x1p799}) {
        const double a = (i % 2 == 0 ? other : -other) * mantissa(generator);
        ASSERT_EQ(quotient_by(1.0 / b, a, b), a / b) << a << " / " << b;
      }
    }
  }
}

}  // namespace
}  // namespace velum::kernels
