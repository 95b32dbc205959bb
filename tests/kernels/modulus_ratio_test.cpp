#include "velum/kernels/polynomial/modulus_ratio.h"

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

const std::vector<std::uint64_t> kDivisors{2,
                                           3,
                                           4,
                                           5,
                                           97,
                                           65537,
                                           std::uint64_t{1} << 20,
                                           1073741823,
                                           std::uint64_t{1} << 32,
                                           (std::uint64_t{1} << 32) + 15,
                                           999999999999999989u,
                                           (std::uint64_t{1} << 60) - 1,
                                           std::uint64_t{1} << 60};

/// Pairwise coprime odd moduli, the largest one first.
std::vector<std::uint32_t> moduli_for(int count) {
  const std::vector<std::uint32_t> all{1073741823, 1073741789, 5,      536608769, 1073479681,
                                       13,         65537,      786433, 33292289};
  return {all.begin(), all.begin() + count};
}

/// round(a / b), halves away from zero, of a >= 0.
BigInteger rounded(const BigInteger& a, const BigInteger& b) {
  return floor_divide(2 * a + b, 2 * b);
}

std::vector<std::int64_t> numbers_below(std::uint64_t t, std::int64_t count) {
  const auto top = static_cast<std::int64_t>(t - 1);
  std::vector<std::int64_t> numbers{
      0, 1, -1, top, -top, top / 2, -(top / 2), (top + 1) / 2, -((top + 1) / 2)};
  SplitMix random(t);
  for (std::int64_t& number : numbers) number = std::clamp(number, -top, top);
  while (static_cast<std::int64_t>(numbers.size()) < count) {
    const auto magnitude = static_cast<std::int64_t>(random() % t);
    numbers.push_back(random() % 2 == 0 ? magnitude : -magnitude);
  }
  numbers.resize(static_cast<std::size_t>(count));
  return numbers;
}

class ModulusRatioOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(ModulusRatioOnEveryBackend, ProductsAreRoundedToTheNearestInteger) {
  const std::int64_t degree = 64;
  for (const int limbs : {1, 2, 5, 9}) {
    const std::vector<std::uint32_t> moduli = moduli_for(limbs);
    const ModulusChain<std::uint32_t> chain(moduli, stream_);
    const BigInteger q = ChineseRemainders(moduli).product();
    for (const std::uint64_t t : kDivisors) {
      const ModulusRatio ratio(chain, LimbIndices::range(0, limbs), t, stream_);
      const std::vector<std::int64_t> numbers = numbers_below(t, degree);
      const GuardedBuffer<std::int64_t> in(numbers, stream_);
      GuardedBuffer<std::uint32_t> out(limbs * degree, stream_);
      multiply_by_ratio(Span<const std::int64_t>(in.span()),
                        RnsView<std::uint32_t>(out.span().data(), 1, limbs, degree), ratio,
                        stream_);
      ASSERT_TRUE(out.margins_are_intact());
      const std::vector<std::uint32_t> host = out.to_host();
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        const BigInteger m = numbers[i];
        BigInteger expected = rounded(q * abs(m), t);
        if (m < 0) expected = -expected;
        for (std::size_t l = 0; l < moduli.size(); ++l) {
          ASSERT_EQ(BigInteger(host[l * static_cast<std::size_t>(degree) + i]),
                    modulo(expected, moduli[l]))
              << "t = " << t << ", number " << numbers[i] << ", limb " << l << " of " << limbs;
        }
      }
    }
  }
}

// Every x that is next to a border between two numbers, beside random ones.
TEST_P(ModulusRatioOnEveryBackend, QuotientsAreExactUpToTheLastIntegerBeforeAHalf) {
  const std::int64_t degree = 256;
  for (const int limbs : {1, 2, 5, 9}) {
    const std::vector<std::uint32_t> moduli = moduli_for(limbs);
    const ModulusChain<std::uint32_t> chain(moduli, stream_);
    const BigInteger q = ChineseRemainders(moduli).product();
    SplitMix random(static_cast<std::uint64_t>(limbs));
    for (const std::uint64_t t : kDivisors) {
      std::vector<BigInteger> integers{0, 1, q - 1, (q - 1) / 2, (q + 1) / 2};
      while (static_cast<std::int64_t>(integers.size()) + 4 <= degree) {
        // The border above number m, and x anywhere.
        const BigInteger border = (2 * BigInteger(random() % t) + 1) * q / (2 * BigInteger(t));
        for (const int step : {0, 1, 2}) integers.push_back(modulo(border + step - 1, q));
        BigInteger anywhere = 0;
        for (int word = 0; word < 5; ++word) anywhere = (anywhere << 64) + random();
        integers.push_back(anywhere % q);
      }
      integers.resize(static_cast<std::size_t>(degree), 0);
      HostRns<std::uint32_t> residues(1, limbs, degree);
      residues.for_each([&](auto poly, auto limb, auto i) {
        residues.at(poly, limb, i) = static_cast<std::uint32_t>(
            integers[static_cast<std::size_t>(i)] % moduli[static_cast<std::size_t>(limb)]);
      });
      const DeviceRns<std::uint32_t> in(residues, stream_);
      GuardedBuffer<std::int64_t> out(degree, stream_);
      divide_by_ratio(RnsView<const std::uint32_t>(in.view()), out.span(),
                      ModulusRatio(chain, LimbIndices::range(0, limbs), t, stream_), stream_);
      ASSERT_TRUE(out.margins_are_intact());
      const std::vector<std::int64_t> host = out.to_host();
      for (std::size_t i = 0; i < host.size(); ++i) {
        const BigInteger expected = rounded(integers[i] * t, q);
        ASSERT_EQ(modulo(BigInteger(host[i]), t), modulo(expected, t))
            << "t = " << t << ", integer " << i << ", limbs " << limbs;
        ASSERT_LE(2 * BigInteger(host[i]), BigInteger(t) - 1);
        ASSERT_LE(-2 * BigInteger(host[i]), BigInteger(t));
      }
    }
  }
}

TEST_P(ModulusRatioOnEveryBackend, DivisionUndoesMultiplicationAtEverySize) {
  const std::vector<std::uint32_t> moduli = moduli_for(5);
  const ModulusChain<std::uint32_t> chain(moduli, stream_);
  const std::uint64_t t = 999999999999999989u;
  const ModulusRatio ratio(chain, LimbIndices::range(0, 5), t, stream_);
  for (const std::int64_t degree : degrees(GetParam())) {
    const std::vector<std::int64_t> numbers = numbers_below(t, degree);
    const GuardedBuffer<std::int64_t> in(numbers, stream_);
    GuardedBuffer<std::uint32_t> residues(5 * degree, stream_);
    const RnsView<std::uint32_t> view(residues.span().data(), 1, 5, degree);
    multiply_by_ratio(Span<const std::int64_t>(in.span()), view, ratio, stream_);
    GuardedBuffer<std::int64_t> out(degree, stream_);
    divide_by_ratio(RnsView<const std::uint32_t>(view), out.span(), ratio, stream_);
    const std::vector<std::int64_t> host = out.to_host();
    ASSERT_TRUE(residues.margins_are_intact());
    ASSERT_TRUE(out.margins_are_intact());
    const auto signed_t = static_cast<std::int64_t>(t);
    for (std::size_t i = 0; i < host.size(); ++i) {
      ASSERT_EQ((numbers[i] - host[i]) % signed_t, 0) << "degree " << degree << ", number " << i;
    }
  }
}

// The longest chain that there is.
TEST_P(ModulusRatioOnEveryBackend, AsManyModuliAsThereCanBeWork) {
  const std::vector<std::uint32_t> moduli =
      find_ntt_primes<std::uint32_t>(30, 4, LimbIndices::kMaxLimbs);
  const ModulusChain<std::uint32_t> chain(moduli, stream_);
  const BigInteger q = ChineseRemainders(moduli).product();
  const std::uint64_t t = 1u << 16;
  const ModulusRatio ratio(chain, LimbIndices::range(0, LimbIndices::kMaxLimbs), t, stream_);
  HostRns<std::uint32_t> residues(1, LimbIndices::kMaxLimbs, 2);
  const std::vector<BigInteger> integers{3 * q / (2 * t), 3 * q / (2 * t) + 1};
  residues.for_each([&](auto poly, auto limb, auto i) {
    residues.at(poly, limb, i) = static_cast<std::uint32_t>(integers[static_cast<std::size_t>(i)] %
                                                            moduli[static_cast<std::size_t>(limb)]);
  });
  const DeviceRns<std::uint32_t> in(residues, stream_);
  GuardedBuffer<std::int64_t> out(2, stream_);
  divide_by_ratio(RnsView<const std::uint32_t>(in.view()), out.span(), ratio, stream_);
  EXPECT_EQ(out.to_host(), (std::vector<std::int64_t>{1, 2}));
}

TEST_P(ModulusRatioOnEveryBackend, ArgumentsThatDoNotFitAreRefused) {
  const ModulusChain<std::uint32_t> chain({65537, 786433, 15, 25}, stream_);
  const LimbIndices both = LimbIndices::range(0, 2);
  const auto made = [&](const LimbIndices& limbs, std::uint64_t t) {
    return refusal([&] { ModulusRatio(chain, limbs, t, stream_); });
  };
  EXPECT_EQ(made(both, 1), "ModulusRatio: t = 1, expected 2 to 2^60");
  EXPECT_EQ(made(both, 0), "ModulusRatio: t = 0, expected 2 to 2^60");
  EXPECT_EQ(made(both, (std::uint64_t{1} << 60) + 1),
            "ModulusRatio: t = 1152921504606846977, expected 2 to 2^60");
  EXPECT_EQ(made(LimbIndices(), 2), "MixedRadix: limbs.count = 0, expected >= 1");
  EXPECT_EQ(made(LimbIndices::range(2, 2), 2),
            "MixedRadix: the moduli 15 and 25 have a common factor, expected none");

  const ModulusRatio ratio(chain, both, 17, stream_);
  EXPECT_EQ(ratio.divisor(), 17u);
  const Buffer<std::int64_t> numbers = to_backend(std::vector<std::int64_t>(8), stream_);
  const Buffer<std::uint32_t> residues = to_backend(std::vector<std::uint32_t>(32), stream_);
  const auto call = [&](std::int64_t count, std::int64_t polys, std::int64_t limbs) {
    const RnsView<std::uint32_t> view(residues.data(), polys, limbs, 8);
    const std::string up = refusal([&] {
      multiply_by_ratio(Span<const std::int64_t>(numbers.data(), count), view, ratio, stream_);
    });
    const std::string down = refusal([&] {
      divide_by_ratio(RnsView<const std::uint32_t>(view), Span<std::int64_t>(numbers.data(), count),
                      ratio, stream_);
    });
    return up + "; " + down;
  };
  EXPECT_EQ(call(8, 1, 2), "nothing thrown; nothing thrown");
  EXPECT_EQ(call(7, 1, 2),
            "multiply_by_ratio: numbers.size() = 7, expected out.degree = 8; "
            "divide_by_ratio: numbers.size() = 7, expected in.degree = 8");
  EXPECT_EQ(call(8, 2, 2),
            "multiply_by_ratio: out.polys = 2, expected 1; "
            "divide_by_ratio: in.polys = 2, expected 1");
  EXPECT_EQ(call(8, 1, 1),
            "multiply_by_ratio: out.limbs = 1, expected ratio.limbs() = 2; "
            "divide_by_ratio: in.limbs = 1, expected ratio.limbs() = 2");
  const RnsView<std::uint32_t> inside(reinterpret_cast<std::uint32_t*>(numbers.data()) + 1, 1, 2,
                                      8);
  EXPECT_EQ(refusal([&] {
              multiply_by_ratio(Span<const std::int64_t>(numbers.span()), inside, ratio, stream_);
            }),
            "multiply_by_ratio: out overlaps numbers, expected none of its limbs");
  if (GetParam() == Backend::kCuda) {
    const ModulusChain<std::uint32_t> host_chain({65537, 786433}, Stream::serial());
    const ModulusRatio on_host(host_chain, both, 17, Stream::serial());
    EXPECT_THROW(divide_by_ratio(RnsView<const std::uint32_t>(residues.data(), 1, 2, 8),
                                 numbers.span(), on_host, stream_),
                 std::invalid_argument);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModulusRatioOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
