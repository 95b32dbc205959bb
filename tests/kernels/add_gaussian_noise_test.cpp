#include "velum/kernels/gradients/add_gaussian_noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "support/tolerance.h"
#include "velum/kernels/random/gaussian.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

const RandomKey kKey = insecure_key_from_seed(1);
constexpr RandomPosition kPosition{Purpose::kTest, 1, 2, 3};
constexpr double kDeviation = 1.7;
constexpr double kDivisor = 48.3;

const std::int64_t kSizes[] = {0, 1, 31, 32, 33, 127, 128, 129, 257, 5000, 1'000'003};

template <typename T>
std::vector<T> sums(std::int64_t size) {
  const HostMatrix<T> row = random_matrix<T>({1, size, size}, 3);
  return row.values;
}

std::vector<double> draws(std::int64_t size) {
  std::vector<double> out(static_cast<std::size_t>(size));
  gaussian_fill(Span<double>(out.data(), size), kKey, kPosition, Stream::serial());
  return out;
}

template <typename T>
std::vector<T> noised(const std::vector<T>& sum, double deviation, double divisor,
                      const Stream& stream, const RandomPosition& position = kPosition) {
  GuardedBuffer<T> memory(sum, stream);
  add_gaussian_noise(memory.span(), deviation, divisor, kKey, position, stream);
  EXPECT_TRUE(memory.margins_are_intact());
  return memory.to_host();
}

std::vector<float> noised_to_float(const std::vector<double>& sum, const Stream& stream) {
  const GuardedBuffer<double> in(sum, stream);
  GuardedBuffer<float> out(static_cast<std::int64_t>(sum.size()), stream);
  add_gaussian_noise(Span<const double>(in.span()), kDeviation, kDivisor, kKey, kPosition,
                     out.span(), stream);
  EXPECT_TRUE(in.margins_are_intact());
  EXPECT_TRUE(out.margins_are_intact());
  EXPECT_EQ(in.to_host(), sum);
  return out.to_host();
}

/// The documented formula with its roundings.
template <typename Out, typename In>
std::vector<Out> expected(const std::vector<In>& sum, double deviation, double divisor) {
  const std::vector<double> z = draws(static_cast<std::int64_t>(sum.size()));
  std::vector<Out> out(sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double product = deviation * z[i];
    const double total = static_cast<double>(sum[i]) + product;
    out[i] = static_cast<Out>(total / divisor);
  }
  return out;
}

class AddGaussianNoiseOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

// On every backend the same bits, those of the formula on the host.
TEST_P(AddGaussianNoiseOnEveryBackend, ProductSumAndQuotientAreEachRoundedToDouble) {
  for (const std::int64_t size : kSizes) {
    EXPECT_EQ(noised(sums<double>(size), kDeviation, kDivisor, stream_),
              expected<double>(sums<double>(size), kDeviation, kDivisor));
  }
}

TEST_P(AddGaussianNoiseOnEveryBackend, AFloatResultIsOneRoundingOfTheDoubleOne) {
  for (const std::int64_t size : kSizes) {
    EXPECT_EQ(noised(sums<float>(size), kDeviation, kDivisor, stream_),
              expected<float>(sums<float>(size), kDeviation, kDivisor));
    EXPECT_EQ(noised_to_float(sums<double>(size), stream_),
              expected<float>(sums<double>(size), kDeviation, kDivisor));
  }
}

TEST_P(AddGaussianNoiseOnEveryBackend, WithStandardDeviationZeroTheSumIsOnlyDivided) {
  std::vector<double> sum = sums<double>(1000);
  const std::vector<double> out = noised(sum, 0.0, kDivisor, stream_);
  for (double& value : sum) value /= kDivisor;
  EXPECT_EQ(out, sum);
}

/// Bit for bit, so that zeros differ by their sign; NaNs are equal.
template <typename T>
void expect_same_bits(const std::vector<T>& computed, const std::vector<T>& expected) {
  ASSERT_EQ(computed.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(computed[i])) << "element " << i;
    } else {
      EXPECT_EQ(computed[i], expected[i]) << "element " << i;
      EXPECT_EQ(std::signbit(computed[i]), std::signbit(expected[i])) << "element " << i;
    }
  }
}

template <typename T>
std::vector<T> rare_sums() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> rare{T(0),        Limits::denorm_min(), Limits::min(),      Limits::max(),
                      T(0x1p-100), Limits::infinity(),   Limits::quiet_NaN()};
  if constexpr (sizeof(T) == sizeof(double)) {
    for (const double power : {0x1p-800, 0x1p800}) {
      for (const double factor : {0.5, 1 - 0x1p-53, 1.0, 1 + 0x1p-20, 2.0}) {
        rare.push_back(power * factor);
      }
    }
  }
  for (std::size_t i = 0, size = rare.size(); i < size; ++i) rare.push_back(-rare[i]);
  return rare;
}

/// One rare sum among others, at each place of a keystream block and outside whole ones.
template <typename T>
void expect_the_formula_for_rare_sums(const Stream& stream) {
  const std::vector<T> rare = rare_sums<T>();
  std::vector<T> sum = sums<T>(1000);
  for (std::size_t i = 0; i < rare.size(); ++i) {
    sum[17 * i] = rare[i];
    sum[sum.size() - 1 - i] = rare[i];
  }
  for (const double deviation : {0.0, 0x1p-1022, 1.7, 0x1p1000}) {
    for (const double divisor :
         {std::numeric_limits<double>::denorm_min(), 0x1p-1022, 0x1.8p-101, 0x1p-100, 0.1, 1.0,
          2 - 0x1p-52, 0x1p100, 0x1.8p100, std::numeric_limits<double>::max()}) {
      SCOPED_TRACE(::testing::Message() << deviation << ", " << divisor);
      expect_same_bits(noised(sum, deviation, divisor, stream),
                       expected<T>(sum, deviation, divisor));
    }
  }
}

TEST_P(AddGaussianNoiseOnEveryBackend, RareSumsAndDivisorsGiveTheFormulasBits) {
  expect_the_formula_for_rare_sums<double>(stream_);
  expect_the_formula_for_rare_sums<float>(stream_);
}

TEST_P(AddGaussianNoiseOnEveryBackend, TheNoiseIsAddedBeforeTheDivision) {
  const std::vector<double> zeros(10'000, 0.0);
  const std::vector<double> whole = noised(zeros, 2.0, 1.0, stream_);
  const std::vector<double> eighth = noised(zeros, 2.0, 8.0, stream_);
  for (std::size_t i = 0; i < zeros.size(); ++i) ASSERT_EQ(eighth[i], whole[i] / 8);
}

// A sample variance of n draws has standard deviation sqrt(2 / n); 5 of them: a false alarm has
// probability 6e-7, and the seed is fixed.
TEST_P(AddGaussianNoiseOnEveryBackend, TheNoiseHasTheStandardDeviationAsked) {
  const std::vector<double> noise = noised(std::vector<double>(100'000, 0.0), 3.0, 1.0, stream_);
  double squares = 0;
  for (const double value : noise) squares += value * value;
  const auto n = static_cast<double>(noise.size());
  EXPECT_NEAR(squares / n / 9.0, 1.0, 5 * std::sqrt(2 / n));
}

TEST_P(AddGaussianNoiseOnEveryBackend, StepsTensorsEpochsAndPurposesDrawDifferentNoise) {
  const std::vector<double> zeros(1000, 0.0);
  std::vector<std::vector<double>> all{noised(zeros, 1.0, 1.0, stream_)};
  for (const RandomPosition& position :
       {RandomPosition{Purpose::kTest, 2, 2, 3}, RandomPosition{Purpose::kTest, 1, 3, 3},
        RandomPosition{Purpose::kTest, 1, 2, 4},
        RandomPosition{Purpose::kGradientNoise, 1, 2, 3}}) {
    all.push_back(noised(zeros, 1.0, 1.0, stream_, position));
  }
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      for (std::size_t i = 0; i < zeros.size(); ++i) ASSERT_NE(all[a][i], all[b][i]);
    }
  }
}

TEST_P(AddGaussianNoiseOnEveryBackend, ValuesOutOfRangeAreRefused) {
  const Buffer<float> sum(4, stream_);
  const auto call = [&](double deviation, double divisor) {
    return refusal(
        [&] { add_gaussian_noise(sum.span(), deviation, divisor, kKey, kPosition, stream_); });
  };
  EXPECT_EQ(call(-1, 1), "add_gaussian_noise: standard_deviation = -1, expected finite and >= 0");
  EXPECT_EQ(call(std::nan(""), 1),
            "add_gaussian_noise: standard_deviation = nan, expected finite and >= 0");
  EXPECT_EQ(call(std::numeric_limits<double>::infinity(), 1),
            "add_gaussian_noise: standard_deviation = inf, expected finite and >= 0");
  EXPECT_EQ(call(1, 0), "add_gaussian_noise: divisor = 0, expected finite and > 0");
  EXPECT_EQ(call(1, -3), "add_gaussian_noise: divisor = -3, expected finite and > 0");
  EXPECT_EQ(call(1, std::nan("")), "add_gaussian_noise: divisor = nan, expected finite and > 0");
  EXPECT_EQ(call(1, std::numeric_limits<double>::infinity()),
            "add_gaussian_noise: divisor = inf, expected finite and > 0");
  const Buffer<double> in(3, stream_);
  EXPECT_EQ(refusal([&] {
              add_gaussian_noise(Span<const double>(in.span()), 1, 1, kKey, kPosition, sum.span(),
                                 stream_);
            }),
            "add_gaussian_noise: out.size() = 4, expected sum.size() = 3");
  EXPECT_THROW(add_gaussian_noise(sum.span(), 1, 1, kKey,
                                  {Purpose::kTest, 0, 0, StreamLayout::kMaxTensor + 1}, stream_),
               std::out_of_range);
  EXPECT_THROW(add_gaussian_noise(Span<float>(sum.data(), (std::int64_t{1} << 35) + 1), 1, 1, kKey,
                                  kPosition, stream_),
               std::out_of_range);
}

INSTANTIATE_TEST_SUITE_P(All, AddGaussianNoiseOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(AddGaussianNoiseOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  const std::vector<double> sum = sums<double>(20'011);
  const std::vector<double> in_double = expected<double>(sum, kDeviation, kDivisor);
  const std::vector<float> to_float = expected<float>(sum, kDeviation, kDivisor);
  const std::vector<float> float_sum = sums<float>(20'011);
  const std::vector<float> in_float = expected<float>(float_sum, kDeviation, kDivisor);
  on_every_simd_target([&] {
    for (const Stream& stream : differently_threaded_streams()) {
      EXPECT_EQ(noised(sum, kDeviation, kDivisor, stream), in_double);
      EXPECT_EQ(noised_to_float(sum, stream), to_float);
      EXPECT_EQ(noised(float_sum, kDeviation, kDivisor, stream), in_float);
    }
  });
}

TEST(AddGaussianNoiseOnTheCpu, RareSumsAndDivisorsGiveTheFormulasBitsAtAnySimdWidth) {
  on_every_simd_target([] {
    expect_the_formula_for_rare_sums<double>(Stream::serial());
    expect_the_formula_for_rare_sums<float>(Stream::serial());
  });
}

TEST(AddGaussianNoiseOnTheCpu, AtTheEndsOfTheFloatRangeEverySimdWidthRoundsAlike) {
  constexpr double kMax = std::numeric_limits<float>::max();
  std::vector<double> sum;
  for (int i = 0; i < 37; ++i) {  // in vectors of any width and in what is left over
    sum.insert(sum.end(), {kMax * kDivisor, -kMax * kDivisor, 1e300, -1e300, 1e-310,
                           std::numeric_limits<double>::infinity()});
  }
  const std::vector<float> to_float = expected<float>(sum, kDeviation, kDivisor);
  EXPECT_TRUE(std::isinf(to_float[2]));
  on_every_simd_target([&] { EXPECT_EQ(noised_to_float(sum, Stream::serial()), to_float); });
}

}  // namespace
}  // namespace velum::kernels
