#include "velum/kernels/random/uniform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "random/uniform_body.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;

RandomKey test_key() { return insecure_key_from_seed(7); }
constexpr RandomPosition kPosition{Purpose::kTest, 1, 2, 3};

/// 64-bit draw number `draw` of a stream, from the block function.
std::uint64_t stream_bits(DrawKind kind, std::int64_t draw, const RandomKey& key = test_key(),
                          const RandomPosition& position = kPosition) {
  const ChaCha20State block =
      chacha20_block(stream_state(key, position, kind), static_cast<std::uint32_t>(draw / 8));
  return block.words[2 * (draw % 8)] + (std::uint64_t{block.words[2 * (draw % 8) + 1]} << 32);
}

/// floor((high 2^64 + low) * bound / 2^128) digit by digit, in base 2^16.
std::uint64_t product_shifted(std::uint64_t bound, std::uint64_t low, std::uint64_t high) {
  std::array<std::uint64_t, 13> digits{};
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint64_t a = ((i < 4 ? low : high) >> (16 * (i % 4))) & 0xffff;
    for (std::size_t j = 0; j < 4; ++j) digits[i + j] += a * (bound >> (16 * j) & 0xffff);
  }
  for (std::size_t i = 0; i + 1 < digits.size(); ++i) {
    digits[i + 1] += digits[i] >> 16;
    digits[i] &= 0xffff;
  }
  return digits[8] | digits[9] << 16 | digits[10] << 32 | digits[11] << 48;
}

class UniformOnEveryBackend : public ::testing::TestWithParam<Backend> {};

TEST_P(UniformOnEveryBackend, BitsAreTheKeystreamAtEverySizeAndOffset) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    for (const std::int64_t size : {0, 1, 7, 8, 31, 32, 33, 257, 3000}) {
      for (const std::int64_t first :
           {std::int64_t{0}, std::int64_t{5}, std::int64_t{1021}, UniformLayout::kMaxBits - size}) {
        GuardedBuffer<std::uint64_t> out(size, stream);
        uniform_bits_fill(out.span(), test_key(), kPosition, first, stream);
        const std::vector<std::uint64_t> host = out.to_host();
        for (std::int64_t i = 0; i < size; ++i) {
          ASSERT_EQ(host[static_cast<std::size_t>(i)], stream_bits(DrawKind::kBits, first + i))
              << "size " << size << " first " << first << " draw " << i;
        }
        EXPECT_TRUE(out.margins_are_intact());
      }
    }
  });
}

TEST_P(UniformOnEveryBackend, IntegersAreTheProductsHighWordAtEverySizeAndOffset) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    for (const std::uint64_t bound :
         {std::uint64_t{1}, std::uint64_t{10}, (std::uint64_t{1} << 63) + 1, ~std::uint64_t{0}}) {
      for (const std::int64_t size : {0, 1, 3, 31, 32, 33, 257, 1500}) {
        for (const std::int64_t first :
             {std::int64_t{0}, std::int64_t{3}, UniformLayout::kMaxIntegers - size}) {
          GuardedBuffer<std::uint64_t> out(size, stream);
          uniform_integers_fill(bound, out.span(), test_key(), kPosition, first, stream);
          const std::vector<std::uint64_t> host = out.to_host();
          for (std::int64_t i = 0; i < size; ++i) {
            const std::uint64_t value = host[static_cast<std::size_t>(i)];
            ASSERT_EQ(value,
                      product_shifted(bound, stream_bits(DrawKind::kInteger, 2 * (first + i)),
                                      stream_bits(DrawKind::kInteger, 2 * (first + i) + 1)));
            ASSERT_LT(value, bound);
          }
          EXPECT_TRUE(out.margins_are_intact());
        }
      }
    }
  });
}

TEST_P(UniformOnEveryBackend, BadArgumentsAreErrors) {
  const Stream stream = make_stream(GetParam());
  std::vector<std::uint64_t> out(2);
  EXPECT_THROW(uniform_integers_fill(0, out, test_key(), kPosition, 0, stream),
               std::invalid_argument);
  EXPECT_THROW(uniform_integers_fill(1, out, test_key(), kPosition, -1, stream), std::out_of_range);
  EXPECT_THROW(
      uniform_integers_fill(1, out, test_key(), kPosition, UniformLayout::kMaxIntegers - 1, stream),
      std::out_of_range);
  EXPECT_THROW(uniform_bits_fill(out, test_key(), kPosition, UniformLayout::kMaxBits - 1, stream),
               std::out_of_range);
  EXPECT_THROW(uniform_bits_fill(out, test_key(), {Purpose::kTest, 0, 0, 1u << 24}, 0, stream),
               std::out_of_range);
}

// ---- Selection ----

std::vector<std::int64_t> select(std::int64_t population, double sampling_rate, Backend backend,
                                 const RandomPosition& position = kPosition) {
  const Stream stream = make_stream(backend);
  GuardedBuffer<std::int64_t> indices(population, stream);
  GuardedBuffer<std::int64_t> count(1, stream);
  const Buffer<std::uint8_t> workspace(poisson_select_workspace_size(population, stream), stream);
  poisson_select(population, sampling_rate, test_key(), position, indices.span(), count.span(),
                 workspace.span(), stream);
  std::vector<std::int64_t> selected = indices.to_host();
  const std::int64_t size = count.to_host().front();
  EXPECT_GE(size, 0);
  EXPECT_LE(size, population);
  EXPECT_TRUE(indices.margins_are_intact());
  EXPECT_TRUE(count.margins_are_intact());
  selected.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(size, 0, population)));
  return selected;
}

TEST_P(UniformOnEveryBackend, SelectsTheIndicesWhoseBitsLieBelowTheRate) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for (const std::int64_t population : {0, 1, 31, 32, 33, 257, 60000}) {
    for (const double rate : {0.0, 0.004, 0.5, 0.97, 1.0}) {
      std::vector<std::int64_t> expected;
      for (std::int64_t i = 0; i < population; ++i) {
        // 64 random bits over 2^64 as a long double are exact, as is the comparison.
        if (static_cast<long double>(stream_bits(DrawKind::kSelection, i)) * 0x1p-64L <
            static_cast<long double>(rate)) {
          expected.push_back(i);
        }
      }
      for_each_simd_target(GetParam(), [&] {
        EXPECT_EQ(select(population, rate, GetParam()), expected)
            << "population " << population << " rate " << rate;
      });
    }
  }
}

TEST_P(UniformOnEveryBackend, SelectionRefusesBadArguments) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const Buffer<std::int64_t> indices(10, stream);
  const Buffer<std::int64_t> count(1, stream);
  const Buffer<std::uint8_t> workspace(poisson_select_workspace_size(10, stream), stream);
  const auto message = [&](std::int64_t population, double rate, Span<std::int64_t> to,
                           Span<std::int64_t> size, Span<std::uint8_t> bytes) -> std::string {
    try {
      poisson_select(population, rate, test_key(), kPosition, to, size, bytes, stream);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  };
  const Span<std::int64_t> to = indices.span();
  const Span<std::int64_t> size = count.span();
  const Span<std::uint8_t> bytes = workspace.span();
  EXPECT_EQ(message(10, 1.5, to, size, bytes),
            "poisson_select: sampling_rate = 1.500000, expected 0 to 1");
  EXPECT_EQ(message(10, -0.1, to, size, bytes),
            "poisson_select: sampling_rate = -0.100000, expected 0 to 1");
  EXPECT_EQ(message(10, std::numeric_limits<double>::quiet_NaN(), to, size, bytes),
            "poisson_select: sampling_rate = nan, expected 0 to 1");
  EXPECT_EQ(message(11, 0.5, to, size, bytes),
            "poisson_select: indices.size() = 10, expected at least population = 11");
  EXPECT_EQ(message(-1, 0.5, to, size, bytes),
            "poisson_select: population = -1, expected 0 to 34359738368");
  EXPECT_EQ(message(10, 0.5, to, {}, bytes), "poisson_select: count.size() = 0, expected 1");
  if (bytes.size() > 0) {
    EXPECT_EQ(
        message(10, 0.5, to, size, {}),
        "poisson_select: workspace.size() = 0, expected at least " + std::to_string(bytes.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(All, UniformOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(UniformIntegers, EveryValueHasItsShareOfAllDraws) {
  // 100 values, 10^6 draws: chi^2 with 99 degrees of freedom, made normal by Wilson and Hilferty;
  // false alarm 2e-9, fixed seed.
  constexpr int kValues = 100;
  constexpr double kDraws = 1e6;
  std::vector<std::uint64_t> draws(static_cast<std::size_t>(kDraws));
  uniform_integers_fill(kValues, draws, test_key(), kPosition, 0, Stream::serial());
  std::array<double, kValues> counts{};
  for (const std::uint64_t draw : draws) ++counts[draw];
  double chi_square = 0;
  for (const double count : counts) {
    chi_square += (count - kDraws / kValues) * (count - kDraws / kValues) / (kDraws / kValues);
  }
  const double spread = 2.0 / (9 * (kValues - 1));
  EXPECT_LT(std::abs((std::cbrt(chi_square / (kValues - 1)) - (1 - spread)) / std::sqrt(spread)),
            6);
}

TEST(UniformIntegers, NoValueHasMoreThanTheStatedBias) {
  // The draws that give value v are U in [ceil(v 2^128 / n), ceil((v + 1) 2^128 / n)): a value's
  // first U maps to it, and the one before to its predecessor.
  for (const std::uint64_t bound : {std::uint64_t{3}, std::uint64_t{1000003},
                                    (std::uint64_t{1} << 63) + 1, ~std::uint64_t{0}}) {
    std::mt19937_64 generator(11);
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t value = 1 + generator() % (bound - 1);
      // ceil(value 2^128 / bound) by long division, 2^64 at a time.
      const UInt128 numerator_high = UInt128{value} << 64;
      const auto high = static_cast<std::uint64_t>(numerator_high / bound);
      const UInt128 numerator_low = (numerator_high % bound) << 64;
      auto low = static_cast<std::uint64_t>(numerator_low / bound);
      std::uint64_t top = high;
      if (numerator_low % bound != 0 && ++low == 0) ++top;
      EXPECT_EQ(integer_below(bound, low, top), value);
      EXPECT_EQ(integer_below(bound, low - 1, low == 0 ? top - 1 : top), value - 1);
    }
  }
}

TEST(SelectionRule, SelectsRateTimesTwoToThe64ValuesRoundedDown) {
  const auto selected = [](double rate) -> long double {
    const SelectionRule rule = SelectionRule::from_rate(rate);
    return rule.empty ? 0 : static_cast<long double>(rule.last) + 1;
  };
  EXPECT_EQ(selected(0.0), 0);
  EXPECT_EQ(selected(-0.0), 0);
  EXPECT_EQ(selected(1.0), 0x1p64L);
  EXPECT_EQ(selected(0.5), 0x1p63L);
  EXPECT_EQ(selected(0x1p-64), 1);
  EXPECT_EQ(selected(0x1.8p-64), 1);
  EXPECT_EQ(selected(std::nextafter(0x1p-64, 0.0)), 0);
  EXPECT_EQ(selected(std::numeric_limits<double>::denorm_min()), 0);
  std::mt19937_64 generator(13);
  std::uniform_real_distribution<double> exponent(-70, 0);
  for (int i = 0; i < 100000; ++i) {
    const double rate = std::exp2(exponent(generator));
    const long double exact = static_cast<long double>(rate) * 0x1p64L;
    EXPECT_EQ(selected(rate), std::floor(exact));
    if (rate >= 0x1p-12) {
      EXPECT_EQ(selected(rate), exact) << "rate " << rate;
    }
  }
}

TEST(SelectionRule, SelectsExactlyTheValuesBelowItsThreshold) {
  EXPECT_FALSE(SelectionRule::from_rate(0.0).selects(0));
  EXPECT_TRUE(SelectionRule::from_rate(1.0).selects(~std::uint64_t{0}));
  EXPECT_TRUE(SelectionRule::from_rate(0.25).selects((std::uint64_t{1} << 62) - 1));
  EXPECT_FALSE(SelectionRule::from_rate(0.25).selects(std::uint64_t{1} << 62));
}

TEST(PoissonSelect, BatchSizesAreBinomial) {
  // 2000 steps, q = 0.01, n = 2000: the total is binomial, its deviation sqrt(T n q (1 - q)); the
  // sum of squared standardised sizes has mean T and variance T (2 + (1 - 6 q (1 - q)) / (n q (1 -
  // q))). Six deviations each: false alarm 2e-9, fixed seed.
  constexpr int kSteps = 2000;
  constexpr double kPopulation = 2000;
  constexpr double kRate = 0.01;
  const double variance = kPopulation * kRate * (1 - kRate);
  double total = 0;
  double squares = 0;
  for (std::uint64_t step = 0; step < kSteps; ++step) {
    const auto size = static_cast<double>(select(static_cast<std::int64_t>(kPopulation), kRate,
                                                 Backend::kCpu, {Purpose::kTest, 0, step, 0})
                                              .size());
    total += size - kPopulation * kRate;
    squares += (size - kPopulation * kRate) * (size - kPopulation * kRate) / variance;
  }
  EXPECT_LT(std::abs(total) / std::sqrt(kSteps * variance), 6);
  EXPECT_LT(std::abs(squares - kSteps) /
                std::sqrt(kSteps * (2 + (1 - 6 * kRate * (1 - kRate)) / variance)),
            6);
}

TEST(PoissonSelect, DistinctStepsSelectDifferently) {
  EXPECT_NE(select(1000, 0.5, Backend::kCpu, {Purpose::kPoissonSampling, 0, 0, 0}),
            select(1000, 0.5, Backend::kCpu, {Purpose::kPoissonSampling, 0, 1, 0}));
}

TEST(DrawKinds, ShareNoKeystream) {
  for (std::int64_t i = 0; i < 1000; ++i) {
    EXPECT_NE(stream_bits(DrawKind::kBits, i), stream_bits(DrawKind::kInteger, i));
    EXPECT_NE(stream_bits(DrawKind::kBits, i), stream_bits(DrawKind::kSelection, i));
    EXPECT_NE(stream_bits(DrawKind::kInteger, i), stream_bits(DrawKind::kSelection, i));
    EXPECT_NE(stream_bits(DrawKind::kGaussian, i), stream_bits(DrawKind::kBits, i));
  }
}

}  // namespace
}  // namespace velum::kernels
