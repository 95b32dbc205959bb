#include "velum/kernels/polynomial/residues_to_doubles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "reference/exact.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixtures

/// Moduli without common factors: odd ones from 2^30 downwards, and small ones between.
std::vector<std::uint32_t> coprime_moduli(std::size_t count) {
  std::vector<std::uint32_t> moduli;
  std::uint32_t large = (1u << 30) - 1, small = 5;
  while (moduli.size() < count) {
    std::uint32_t& next = moduli.size() % 7 == 3 ? small : large;
    bool fits = true;
    for (const std::uint32_t m : moduli) fits = fits && std::gcd(m, next) == 1;
    if (fits) moduli.push_back(next);
    next = &next == &small ? small + 2 : large - 2;
  }
  return moduli;
}

/// A signed integer as words of 32 bits, the lowest first.
struct BigInteger {
  std::vector<std::uint32_t> words;
  bool negative = false;

  Exact exact() const {
    Exact sum(0.0);
    for (std::size_t i = words.size(); i-- > 0;) {
      sum = sum * Exact(0x1p32) + Exact(static_cast<double>(words[i]));
    }
    return negative ? -sum : sum;
  }
  std::uint32_t modulo(std::uint32_t q) const {
    std::uint64_t r = 0;
    for (std::size_t i = words.size(); i-- > 0;) r = ((r << 32) | words[i]) % q;
    return static_cast<std::uint32_t>(negative && r != 0 ? q - r : r);
  }
  std::size_t bits() const {
    for (std::size_t i = words.size(); i-- > 0;) {
      if (words[i] != 0) return 32 * i + static_cast<std::size_t>(std::bit_width(words[i]));
    }
    return 0;
  }
};

/// (Q - 1) / 2: half the product of the moduli, by words.
BigInteger half_modulus(const std::vector<std::uint32_t>& moduli) {
  BigInteger x{{1}};
  for (const std::uint32_t q : moduli) {
    std::uint64_t carry = 0;
    for (std::uint32_t& word : x.words) {
      carry += std::uint64_t{word} * q;
      word = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    x.words.push_back(static_cast<std::uint32_t>(carry));
  }
  for (std::size_t i = 0; i < x.words.size(); ++i) {
    const std::uint32_t above = i + 1 < x.words.size() ? x.words[i + 1] : 0;
    x.words[i] = (x.words[i] >> 1) | (above << 31);
  }
  return x;
}

std::vector<BigInteger> test_integers(const std::vector<std::uint32_t>& moduli, std::size_t count) {
  const BigInteger half = half_modulus(moduli);
  BigInteger minus_half = half;
  minus_half.negative = true;
  std::vector<BigInteger> all{{{0}, false}, {{1}, false}, {{1}, true}, half, minus_half};
  std::mt19937_64 generator(moduli.size());
  const std::size_t bits = half.bits() - 1;
  while (all.size() < count) {
    // Every length, and with it doubles at and near a tie.
    const std::size_t length = bits == 0 ? 0 : generator() % (bits + 1);
    BigInteger x{std::vector<std::uint32_t>(length / 32 + 1), (generator() & 1) != 0};
    const bool sparse = generator() % 4 == 0;
    for (std::uint32_t& word : x.words) {
      word = sparse ? 0 : static_cast<std::uint32_t>(generator());
    }
    if (sparse) {
      x.words[0] = 1;
      if (length > 54) x.words[(length - 54) / 32] |= 1u << ((length - 54) % 32);
    }
    if (length % 32 == 0) {
      x.words.back() = 0;
    } else {
      x.words.back() &= (1u << (length % 32)) - 1;
      x.words.back() |= 1u << (length % 32 - 1);
    }
    all.push_back(x);
  }
  all.resize(count);
  return all;
}

void expect_integers(std::size_t limb_count, std::int64_t count, std::int64_t stride,
                     const Stream& stream) {
  SCOPED_TRACE(std::to_string(limb_count) + " limbs, " + std::to_string(count) + " of " +
               std::to_string(count * stride));
  const std::vector<std::uint32_t> moduli = coprime_moduli(limb_count);
  const ModulusChain<std::uint32_t> chain(moduli, stream);
  const MixedRadix radix(chain, LimbIndices::range(0, static_cast<int>(limb_count)), stream);
  const std::vector<BigInteger> integers = test_integers(moduli, static_cast<std::size_t>(count));
  const std::int64_t degree = count * stride;
  std::vector<std::uint32_t> residues(limb_count * static_cast<std::size_t>(degree));
  for (std::size_t limb = 0; limb < limb_count; ++limb) {
    for (std::int64_t k = 0; k < degree; ++k) {
      residues[limb * static_cast<std::size_t>(degree) + static_cast<std::size_t>(k)] =
          k % stride == 0 ? integers[static_cast<std::size_t>(k / stride)].modulo(moduli[limb])
                          : moduli[limb] - 1;
    }
  }
  const GuardedBuffer<std::uint32_t> in(residues, stream);
  GuardedBuffer<double> high(count, stream), low(count, stream);
  residues_to_doubles(RnsView<const std::uint32_t>(in.span().data(), 1,
                                                   static_cast<std::int64_t>(limb_count), degree),
                      high.span(), low.span(), radix, stream);
  ASSERT_TRUE(high.margins_are_intact());
  ASSERT_TRUE(low.margins_are_intact());
  const std::vector<double> highs = high.to_host(), lows = low.to_host();
  for (std::size_t k = 0; k < highs.size(); ++k) {
    const BigInteger& x = integers[k];
    if (x.bits() > 960) {
      ASSERT_EQ(highs[k], std::numeric_limits<double>::infinity()) << "integer " << k;
      ASSERT_EQ(lows[k], 0.0);
      continue;
    }
    const Exact error = abs(Exact(highs[k]) + Exact(lows[k]) - x.exact());
    if (x.bits() <= 104) {
      ASSERT_TRUE(error <= Exact(0.0)) << "integer " << k << " of " << x.bits() << " bits";
      ASSERT_EQ(highs[k] + lows[k], highs[k]) << "not the nearest double";
    } else {
      const Exact bound = abs(x.exact()) * Exact(7.0 * double(limb_count - 1) * 0x1p-106);
      ASSERT_TRUE(error <= bound) << "integer " << k << " of " << x.bits() << " bits";
    }
  }
}

class ResiduesToDoublesOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(ResiduesToDoublesOnEveryBackend, AreTheIntegersOfLeastMagnitude) {
  for_each_simd_target(GetParam(), [&] {
    for (const std::size_t limbs : {1u, 2u, 3u, 4u, 5u, 15u, 16u, 17u, 31u, 37u}) {
      expect_integers(limbs, 512, 1, stream_);
    }
    expect_integers(LimbIndices::kMaxLimbs, 128, 1, stream_);
  });
}

TEST_P(ResiduesToDoublesOnEveryBackend, EverySizeAndStrideIsWritten) {
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t count : {2, 4, 32, 64, 128, 256, 2048}) {
      for (const std::int64_t stride : {1, 2, 8}) expect_integers(4, count, stride, stream_);
    }
    expect_integers(4, 1, 8, stream_);
  });
}

TEST_P(ResiduesToDoublesOnEveryBackend, EverySimdTargetAndBackendHasTheBitsOfTheSerialHost) {
  const std::vector<std::uint32_t> moduli = coprime_moduli(20);
  const LimbIndices limbs = LimbIndices::range(0, 20);
  std::mt19937_64 generator(3);
  std::vector<std::uint32_t> residues;
  for (const std::uint32_t q : moduli) {
    for (int k = 0; k < 512; ++k) residues.push_back(static_cast<std::uint32_t>(generator() % q));
  }
  const auto bits_on = [&](const Stream& stream) {
    const ModulusChain<std::uint32_t> chain(moduli, stream);
    const MixedRadix radix(chain, limbs, stream);
    const Buffer<std::uint32_t> in = to_backend(residues, stream);
    const Buffer<double> high(512, stream), low(512, stream);
    residues_to_doubles(RnsView<const std::uint32_t>(in.data(), 1, 20, 512), high.span(),
                        low.span(), radix, stream);
    std::vector<double> both = to_host(Span<const double>(high.span()), stream);
    for (const double x : to_host(Span<const double>(low.span()), stream)) both.push_back(x);
    return both;
  };
  const std::vector<double> expected = bits_on(Stream::serial());
  for_each_simd_target(GetParam(), [&] { EXPECT_EQ(bits_on(stream_), expected); });
}

template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST_P(ResiduesToDoublesOnEveryBackend, ArgumentsThatDoNotFitAreRefused) {
  const ModulusChain<std::uint32_t> chain({65537, 786433, 15, 25}, stream_);
  const LimbIndices both = LimbIndices::range(0, 2);
  const MixedRadix radix(chain, both, stream_);
  EXPECT_NEAR(radix.log2_modulus(), std::log2(65537.0 * 786433.0), 0x1p-40);
  EXPECT_EQ(refusal([&] { MixedRadix(chain, LimbIndices(), stream_); }),
            "MixedRadix: limbs.count = 0, expected >= 1");
  EXPECT_EQ(refusal([&] { MixedRadix(chain, LimbIndices::range(3, 2), stream_); }),
            "MixedRadix: limbs[1] = 4, expected below chain.size() = 4");
  EXPECT_EQ(refusal([&] { MixedRadix(chain, LimbIndices::range(2, 2), stream_); }),
            "MixedRadix: the moduli 15 and 25 have a common factor, expected none");
  LimbIndices twice = both;
  twice.append(0);
  EXPECT_EQ(refusal([&] { MixedRadix(chain, twice, stream_); }),
            "MixedRadix: the moduli 65537 and 65537 have a common factor, expected none");

  const Buffer<std::uint32_t> in = to_backend(std::vector<std::uint32_t>(16), stream_);
  const Buffer<double> high(8, stream_), low(8, stream_);
  const auto call = [&](std::int64_t polys, std::int64_t limbs, std::int64_t highs,
                        std::int64_t lows) {
    return refusal([&] {
      residues_to_doubles(RnsView<const std::uint32_t>(in.data(), polys, limbs, 8),
                          Span<double>(high.data(), highs), Span<double>(low.data(), lows), radix,
                          stream_);
    });
  };
  EXPECT_EQ(call(1, 2, 8, 8), "accepted");
  EXPECT_EQ(call(1, 2, 4, 4), "accepted");
  EXPECT_EQ(call(2, 2, 8, 8), "residues_to_doubles: in.polys = 2, expected 1");
  EXPECT_EQ(call(1, 1, 8, 8), "residues_to_doubles: in.limbs = 1, expected radix.limbs() = 2");
  EXPECT_EQ(call(1, 2, 3, 3),
            "residues_to_doubles: high.size() = 3, expected a divisor of in.degree = 8");
  EXPECT_EQ(call(1, 2, 0, 0),
            "residues_to_doubles: high.size() = 0, expected a divisor of in.degree = 8");
  EXPECT_EQ(call(1, 2, 8, 4), "residues_to_doubles: low.size() = 4, expected high.size() = 8");
  if (GetParam() == Backend::kCuda) {
    const ModulusChain<std::uint32_t> host_chain({65537, 786433}, Stream::serial());
    const MixedRadix on_host(host_chain, both, Stream::serial());
    EXPECT_THROW(residues_to_doubles(RnsView<const std::uint32_t>(in.data(), 1, 2, 8), high.span(),
                                     low.span(), on_host, stream_),
                 std::invalid_argument);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ResiduesToDoublesOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
