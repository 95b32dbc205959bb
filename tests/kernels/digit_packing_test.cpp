#include "velum/kernels/polynomial/digit_packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "reference/big_integer.h"
#include "rns_fixture.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/simd_targets.h"
#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixtures

struct Case {
  int limbs;
  std::uint32_t base;
  int digits;
};
/// One word of message and many, fractions of 4, 8 and 16 words, bases at both ends.
const std::vector<Case> kCases{{2, 2, 1},    {2, 10, 5},          {3, 655351, 2},
                               {3, 3, 30},   {7, 655351, 8},      {14, 655351, 19},
                               {15, 2, 128}, {4, 4294967295u, 1}, {5, 4294967295u, 3}};

std::vector<std::uint32_t> moduli_for(int count) {
  return find_ntt_primes<std::uint32_t>(30, 10, count);
}

BigInteger power(const BigInteger& base, int exponent) {
  BigInteger result = 1;
  for (int i = 0; i < exponent; ++i) result *= base;
  return result;
}

/// floor(Q / B^(v - i)).
BigInteger weight(const BigInteger& q, const Case& c, int digit) {
  return q / power(c.base, c.digits - digit);
}

class DigitPackingOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(DigitPackingOnEveryBackend, DigitsAreAddedWithTheWeightsOfTheDefinition) {
  for_each_simd_target(GetParam(), [&] {
    for (const Case& c : kCases) {
      const std::vector<std::uint32_t> moduli = moduli_for(c.limbs);
      const BigInteger q = ChineseRemainders(moduli).product();
      const ModulusChain<std::uint32_t> chain(moduli, stream_);
      const LimbIndices limbs = LimbIndices::range(0, c.limbs);
      const DigitPacking packing(chain, limbs, c.base, c.digits, stream_);
      const std::int64_t degree = 32;
      // Whole and partial planes, a first coefficient in the middle, a last polynomial that is
      // used in part.
      for (const std::int64_t size :
           {std::int64_t{1}, std::int64_t{31}, c.digits * std::int64_t{50},
            c.digits * std::int64_t{50} - 1, std::int64_t{75}}) {
        const std::int64_t coefficients = (size + c.digits - 1) / c.digits;
        for (const std::int64_t first : {std::int64_t{0}, coefficients / 2}) {
          const std::uint32_t offset = c.base < 20 ? 1 : 32768;
          SplitMix random(static_cast<std::uint64_t>(size));
          std::vector<std::int32_t> values(static_cast<std::size_t>(size));
          for (auto& value : values)
            value = static_cast<std::int32_t>(random() % (2 * offset)) -
                    static_cast<std::int32_t>(offset);
          const HostRns<std::uint32_t> before = random_residues(2, moduli, degree, 7);
          HostRns<std::uint32_t> expected = before;
          expected.for_each([&](auto poly, auto limb, auto i) {
            const std::int64_t k = first + poly * degree + i;
            if (k >= coefficients) return;
            BigInteger x = before.at(poly, limb, i);
            for (int d = 0; d < c.digits; ++d) {
              const std::int64_t index = d * coefficients + k;
              if (index < size)
                x += (BigInteger(values[static_cast<std::size_t>(index)]) + offset) *
                     weight(q, c, d);
            }
            expected.at(poly, limb, i) =
                static_cast<std::uint32_t>(modulo(x, moduli[static_cast<std::size_t>(limb)]));
          });
          const DeviceRns<std::uint32_t> out(before, stream_);
          const GuardedBuffer<std::int32_t> in(values, stream_);
          pack_digits_accumulate(Span<const std::int32_t>(in.span()), coefficients, first, offset,
                                 out.view(), packing, stream_);
          expect_equal(out.to_host(), expected,
                       "base " + std::to_string(c.base) + ", digits " + std::to_string(c.digits) +
                           ", values " + std::to_string(size));
          ASSERT_TRUE(out.is_intact_outside());
        }
      }
    }
  });
}

/// x modulo Q for messages with all digits at their borders or random, and noise up to the last
/// that is promised.
TEST_P(DigitPackingOnEveryBackend, DigitsComeOutExactlyUpToTheLargestNoise) {
  for_each_simd_target(GetParam(), [&] {
    for (const Case& c : kCases) {
      const std::vector<std::uint32_t> moduli = moduli_for(c.limbs);
      const BigInteger q = ChineseRemainders(moduli).product();
      const ModulusChain<std::uint32_t> chain(moduli, stream_);
      const LimbIndices limbs = LimbIndices::range(0, c.limbs);
      const DigitPacking packing(chain, limbs, c.base, c.digits, stream_);
      const BigInteger message_modulus = power(c.base, c.digits);
      const BigInteger rounding = c.digits * (BigInteger(c.base) - 1);
      const BigInteger noise =
          (BigInteger(static_cast<std::uint64_t>(packing.largest_noise() >> 64)) << 64) +
          static_cast<std::uint64_t>(packing.largest_noise());
      // What the header says of it, and no room for one more.
      ASSERT_LE(2 * message_modulus * (noise + rounding) * 65536, q * 65535);
      if (noise < BigInteger(1) << 126) {
        ASSERT_GT(2 * message_modulus * (noise + 1 + rounding) * 65536, q * 65535);
      }
      const std::int64_t degree = 64, coefficients = 100, first = 3;
      const std::int64_t size = coefficients * c.digits - 5 % c.digits;
      SplitMix random(11);
      std::vector<std::vector<std::uint32_t>> digits(static_cast<std::size_t>(coefficients));
      std::vector<BigInteger> x(static_cast<std::size_t>(coefficients));
      std::vector<BigInteger> errors(x.size());
      for (std::size_t k = 0; k < x.size(); ++k) {
        const std::uint64_t choice = random() % 6;
        for (int d = 0; d < c.digits; ++d) {
          digits[k].push_back(choice == 0   ? 0
                              : choice == 1 ? c.base - 1
                              : choice == 2 ? (d % 2 == 0 ? c.base - 1 : 0)
                                            : static_cast<std::uint32_t>(random() % c.base));
        }
        const BigInteger any =
            modulo((BigInteger(random()) << 64) + random(), 2 * noise + 1) - noise;
        const std::uint64_t sign = random() % 3;
        errors[k] = sign == 0 ? noise : sign == 1 ? BigInteger(-noise) : any;
        x[k] = errors[k];
        for (int d = 0; d < c.digits; ++d)
          x[k] += digits[k][static_cast<std::size_t>(d)] * weight(q, c, d);
        x[k] = modulo(x[k], q);
      }
      HostRns<std::uint32_t> residues(2, c.limbs, degree);
      residues.for_each([&](auto poly, auto limb, auto i) {
        const std::int64_t k = first + poly * degree + i;
        residues.at(poly, limb, i) =
            k < coefficients ? static_cast<std::uint32_t>(x[static_cast<std::size_t>(k)] %
                                                          moduli[static_cast<std::size_t>(limb)])
                             : 1;
      });
      const std::uint32_t offset = c.base / 2;
      const DeviceRns<std::uint32_t> in(residues, stream_);
      GuardedBuffer<std::int32_t> values(
          std::vector<std::int32_t>(static_cast<std::size_t>(size), 77), stream_);
      GuardedBuffer<std::int32_t> deviations(
          std::vector<std::int32_t>(static_cast<std::size_t>(coefficients), 78), stream_);
      unpack_digits(RnsView<const std::uint32_t>(in.view()), coefficients, first, offset,
                    values.span(), deviations.span(), packing, stream_);
      ASSERT_TRUE(values.margins_are_intact());
      ASSERT_TRUE(deviations.margins_are_intact());
      const std::vector<std::int32_t> found = values.to_host(), far = deviations.to_host();
      const std::uint32_t most =
          packing.largest_deviation(static_cast<double>(packing.largest_noise()));
      for (std::int64_t k = 0; k < coefficients; ++k) {
        const auto at = static_cast<std::size_t>(k);
        for (int d = 0; d < c.digits; ++d) {
          const std::int64_t index = d * coefficients + k;
          if (index >= size) continue;
          const std::int32_t expected =
              k < first
                  ? 77
                  : static_cast<std::int32_t>(digits[at][static_cast<std::size_t>(d)] - offset);
          ASSERT_EQ(found[static_cast<std::size_t>(index)], expected)
              << "base " << c.base << ", digits " << c.digits << ", coefficient " << k << ", digit "
              << d;
        }
        if (k < first) {
          ASSERT_EQ(far[at], 78);
          continue;
        }
        BigInteger exact = errors[at];  // less d, of the definition, times B^v
        exact *= message_modulus;
        for (int d = 0; d < c.digits; ++d) {
          exact += digits[at][static_cast<std::size_t>(d)] *
                   (message_modulus * weight(q, c, d) - q * power(c.base, d));
        }
        const BigInteger expected = floor_divide(exact << 32, q);
        ASSERT_LE(abs(BigInteger(far[at]) - expected), BigInteger(1) << 15);  // 2^-17 of 2^32
        ASSERT_LE(abs(BigInteger(far[at])), BigInteger(most));
      }
    }
  });
}

// Every sum of three values of two bits in two digits: none is carried into the other one.
TEST_P(DigitPackingOnEveryBackend, EverySumOfThreeTwoBitValuesIsFreeOfCarries) {
  const std::vector<std::uint32_t> moduli = moduli_for(1);
  const ModulusChain<std::uint32_t> chain(moduli, stream_);
  const DigitPacking packing(chain, LimbIndices::range(0, 1), 3 * 3 + 1, 2, stream_);
  const std::int64_t coefficients = 4096;  // (2 bits x 2 digits) x 3 clients
  std::vector<std::vector<std::int32_t>> clients(3, std::vector<std::int32_t>(2 * 4096));
  for (std::size_t k = 0; k < 4096; ++k) {
    for (std::size_t client = 0; client < 3; ++client) {
      clients[client][k] = static_cast<std::int32_t>(k >> (4 * client) & 3) - 2;
      clients[client][4096 + k] = static_cast<std::int32_t>(k >> (4 * client + 2) & 3) - 2;
    }
  }
  GuardedBuffer<std::uint32_t> sum(std::vector<std::uint32_t>(4096), stream_);
  const RnsView<std::uint32_t> view(sum.span().data(), 1, 1, coefficients);
  for (const auto& values : clients) {
    const GuardedBuffer<std::int32_t> in(values, stream_);
    pack_digits_accumulate(Span<const std::int32_t>(in.span()), coefficients, 0, 2, view, packing,
                           stream_);
  }
  GuardedBuffer<std::int32_t> out(2 * coefficients, stream_), deviations(coefficients, stream_);
  unpack_digits(RnsView<const std::uint32_t>(view), coefficients, 0, 6, out.span(),
                deviations.span(), packing, stream_);
  const std::vector<std::int32_t> host = out.to_host();
  for (std::size_t i = 0; i < host.size(); ++i)
    ASSERT_EQ(host[i], clients[0][i] + clients[1][i] + clients[2][i]) << i;
}

TEST_P(DigitPackingOnEveryBackend, ArgumentsThatDoNotFitAreRefused) {
  const ModulusChain<std::uint32_t> chain({1073479681, 1068236801, 15, 25}, stream_);
  const LimbIndices both = LimbIndices::range(0, 2);
  const auto made = [&](const LimbIndices& limbs, std::uint32_t base, int digits) {
    return refusal([&] { DigitPacking(chain, limbs, base, digits, stream_); });
  };
  EXPECT_EQ(made(both, 1, 2), "DigitPacking: base = 1, expected 2 to 2^32 - 1");
  EXPECT_EQ(made(both, 2, 0), "DigitPacking: digits = 0, expected 1 to 128");
  EXPECT_EQ(made(both, 2, 129), "DigitPacking: digits = 129, expected 1 to 128");
  EXPECT_EQ(made(both, 1u << 31, 15),
            "DigitPacking: bits of base^digits = 466, expected at most 455");
  EXPECT_EQ(made(both, 65536, 4),
            "DigitPacking: base = 65536 and digits = 4 leave no room in a modulus of 60 bits, "
            "expected about 84 bits or more");
  EXPECT_EQ(made(LimbIndices(), 2, 2), "DigitPacking: limbs.count = 0, expected at least 1");
  EXPECT_EQ(made(LimbIndices::range(2, 2), 2, 1),
            "DigitPacking: the moduli 15 and 25 have a common factor, expected none");

  const DigitPacking packing(chain, both, 10, 3, stream_);
  const Buffer<std::int32_t> values = to_backend(std::vector<std::int32_t>(64), stream_);
  const Buffer<std::int32_t> deviations = to_backend(std::vector<std::int32_t>(64), stream_);
  const Buffer<std::uint32_t> residues = to_backend(std::vector<std::uint32_t>(64), stream_);
  const auto call = [&](std::int64_t count, std::int64_t coefficients, std::int64_t first,
                        std::int64_t limbs, std::int64_t deviation_count, std::uint32_t offset) {
    const RnsView<std::uint32_t> view(residues.data(), 1, limbs, 8);
    const std::string in = refusal([&] {
      pack_digits_accumulate(Span<const std::int32_t>(values.data(), count), coefficients, first,
                             offset, view, packing, stream_);
    });
    const std::string out = refusal([&] {
      unpack_digits(RnsView<const std::uint32_t>(view), coefficients, first, offset,
                    Span<std::int32_t>(values.data(), count),
                    Span<std::int32_t>(deviations.data(), deviation_count), packing, stream_);
    });
    return in + "; " + out;
  };
  EXPECT_EQ(call(24, 8, 0, 2, 8, 1), "nothing thrown; nothing thrown");
  EXPECT_EQ(call(25, 8, 0, 2, 8, 1),
            "pack_digits_accumulate: values.size() = 25, expected at most coefficients * "
            "packing.digits() = 24; unpack_digits: values.size() = 25, expected at most "
            "coefficients * packing.digits() = 24");
  EXPECT_EQ(call(24, 8, 9, 2, 8, 1),
            "pack_digits_accumulate: first = 9, expected 0 to coefficients = 8; "
            "unpack_digits: first = 9, expected 0 to coefficients = 8");
  EXPECT_EQ(call(24, 8, 0, 1, 8, 1),
            "pack_digits_accumulate: out.limbs = 1, expected packing.limbs() = 2; "
            "unpack_digits: in.limbs = 1, expected packing.limbs() = 2");
  EXPECT_EQ(call(24, 8, 0, 2, 7, 1),
            "nothing thrown; unpack_digits: deviations.size() = 7, expected coefficients = 8");
  EXPECT_EQ(call(24, 8, 0, 2, 8, (1u << 24) + 1),
            "pack_digits_accumulate: offset = 16777217, expected 0 to 2^24; nothing thrown");
}

INSTANTIATE_TEST_SUITE_P(All, DigitPackingOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
