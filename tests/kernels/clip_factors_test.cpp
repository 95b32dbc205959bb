#include "velum/kernels/gradients/clip_factors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
std::vector<T> factors_of(const std::vector<double>& squared_norms, const ClippingBound& bound,
                          const Stream& stream) {
  const GuardedBuffer<double> in(squared_norms, stream);
  GuardedBuffer<T> factors(static_cast<std::int64_t>(squared_norms.size()), stream);
  clip_factors(Span<const double>(in.span()), bound, factors.span(), stream);
  EXPECT_TRUE(factors.margins_are_intact());
  return factors.to_host();
}

/// Squared norms around C^2 and across the whole range of double.
std::vector<double> squared_norms_around(double clipping_norm, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::vector<double> values{0.0,
                             -0.0,
                             std::numeric_limits<double>::denorm_min(),
                             std::numeric_limits<double>::min(),
                             std::numeric_limits<double>::max(),
                             std::nextafter(std::numeric_limits<double>::max(), 0.0)};
  const double square = clipping_norm * clipping_norm;
  if (std::isfinite(square)) {
    double below = square;
    double above = square;
    for (int i = 0; i < 20; ++i) {
      values.push_back(below);
      values.push_back(above);
      below = std::nextafter(below, 0.0);
      above = std::nextafter(above, kInfinity);
    }
  }
  std::uniform_real_distribution<double> exponent(-1074, 1024);
  std::uniform_real_distribution<double> near(-60, 60);
  for (int i = 0; i < 1500; ++i) {
    values.push_back(std::exp2(exponent(generator)));
    const double close = square * std::exp2(near(generator));
    if (std::isfinite(close)) values.push_back(close);
  }
  return values;
}

const double kClippingNorms[] = {1.0,
                                 0.1,
                                 3.7e-5,
                                 1.0 / 3.0,
                                 12345.678,
                                 0x1p-400,
                                 0x1.8p-399,
                                 1e100,
                                 0x1p511,
                                 1e200,
                                 std::numeric_limits<double>::max()};

class ClipFactorsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

template <typename T>
void expect_factor_times_norm_at_most_c(double clipping_norm, double error, const Stream& stream) {
  const std::vector<double> squared_norms = squared_norms_around(clipping_norm, 1);
  const std::vector<T> factors = factors_of<T>(squared_norms, {clipping_norm, error}, stream);
  const Exact c(clipping_norm);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    ASSERT_GE(factors[i], T(0));
    ASSERT_LE(factors[i], T(1));
    const Exact factor(static_cast<double>(factors[i]));
    // factor * sqrt(s / (1 - e)) <= C, squared and without the division
    ASSERT_TRUE(factor * factor * Exact(squared_norms[i]) <= c * c * (Exact(1.0) - Exact(error)))
        << "factor " << factors[i] << ", squared norm " << squared_norms[i] << ", C "
        << clipping_norm << ", error " << error;
  }
}

TEST_P(ClipFactorsOnEveryBackend, FactorTimesNormIsAtMostCInExactArithmetic) {
  for (const double clipping_norm : kClippingNorms) {
    for (const double error : {0.0, 0x1p-60, 6.2e-14, 1.7e-7, 0.01, 0.5}) {
      expect_factor_times_norm_at_most_c<float>(clipping_norm, error, stream_);
      expect_factor_times_norm_at_most_c<double>(clipping_norm, error, stream_);
    }
  }
}

/// The least double whose square is at least `square`, found by exact comparison.
double exact_square_root_up(double square) {
  double root = std::sqrt(square);
  while (Exact(root) * Exact(root) < Exact(square)) root = std::nextafter(root, kInfinity);
  for (;;) {
    const double less = std::nextafter(root, 0.0);
    if (root == 0.0 || Exact(less) * Exact(less) < Exact(square)) return root;
    root = less;
  }
}

template <typename T>
void expect_largest_factor(double clipping_norm, const Stream& stream) {
  const std::vector<double> squared_norms = squared_norms_around(clipping_norm, 2);
  const std::vector<T> factors = factors_of<T>(squared_norms, {clipping_norm, 0.0}, stream);
  const Exact c(clipping_norm);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const Exact square(squared_norms[i]);
    ASSERT_EQ(factors[i] == T(1), square <= c * c) << squared_norms[i];
    if (factors[i] == T(1)) continue;
    const Exact norm(exact_square_root_up(squared_norms[i]));
    const T next = std::nextafter(factors[i], T(1));
    ASSERT_TRUE(Exact(static_cast<double>(factors[i])) * norm <= c);
    ASSERT_TRUE(Exact(static_cast<double>(next)) * norm > c)
        << "factor " << factors[i] << ", squared norm " << squared_norms[i] << ", C "
        << clipping_norm;
  }
}

// Together with the bound from above this names the factor's bits, on every machine and backend.
TEST_P(ClipFactorsOnEveryBackend, WithAnExactNormTheFactorIsTheLargestThatKeepsTheGuarantee) {
  for (const double clipping_norm : kClippingNorms) {
    expect_largest_factor<float>(clipping_norm, stream_);
    expect_largest_factor<double>(clipping_norm, stream_);
  }
}

TEST_P(ClipFactorsOnEveryBackend, TheMarginForTheErrorCostsNoMoreThanTheError) {
  for (const double error : {6.2e-14, 1.7e-7, 0.01, 0.5}) {
    const std::vector<double> squared_norms = squared_norms_around(1.0, 3);
    const std::vector<double> factors = factors_of<double>(squared_norms, {1.0, error}, stream_);
    const Exact slack(1.0 + 0x1p-49);  // five roundings up of one part in 2^52 each
    for (std::size_t i = 0; i < factors.size(); ++i) {
      if (factors[i] == 1.0) continue;
      const Exact next = Exact(factors[i]) * slack;
      // Once s / (1 - e) exceeds the largest double, the factor may be 0.
      if (factors[i] == 0.0) {
        EXPECT_TRUE(Exact(squared_norms[i]) * slack >=
                    Exact(std::numeric_limits<double>::max()) * (Exact(1.0) - Exact(error)));
        continue;
      }
      ASSERT_TRUE(next * next * Exact(squared_norms[i]) > Exact(1.0) - Exact(error));
    }
  }
}

TEST_P(ClipFactorsOnEveryBackend, NaNInfiniteAndNegativeSquaredNormsGiveZero) {
  const std::vector<double> bad{std::numeric_limits<double>::quiet_NaN(),
                                -std::numeric_limits<double>::quiet_NaN(),
                                kInfinity,
                                -kInfinity,
                                -1.0,
                                -std::numeric_limits<double>::denorm_min()};
  for (const double error : {0.0, 0.25}) {
    EXPECT_EQ(factors_of<float>(bad, {1.0, error}, stream_), std::vector<float>(bad.size(), 0.0f));
    EXPECT_EQ(factors_of<double>(bad, {1e300, error}, stream_),
              std::vector<double>(bad.size(), 0.0));
  }
}

TEST_P(ClipFactorsOnEveryBackend, EverySizeIsWritten) {
  for (const std::size_t size : {0u, 1u, 31u, 32u, 33u, 257u, 1000003u}) {
    EXPECT_EQ(factors_of<float>(std::vector<double>(size, 4.0), {1.0, 0.0}, stream_),
              std::vector<float>(size, 0.5f));
  }
}

template <typename T>
void expect_true_rows_clipped(const Stream& stream) {
  const HostMatrix<T> matrix = random_matrix<T>({257, 1000, 1003}, 5);
  GuardedBuffer<double> squared_norms(matrix.rows, stream);
  per_sample_squared_norms(DeviceMatrix<T>(matrix, stream).view(), squared_norms.span(), stream);
  GuardedBuffer<T> factors(matrix.rows, stream);
  clip_factors(Span<const double>(squared_norms.span()), {10.0, squared_norm_error(matrix.cols)},
               factors.span(), stream);
  const std::vector<T> host = factors.to_host();
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    const Exact factor(static_cast<double>(host[static_cast<std::size_t>(row)]));
    ASSERT_TRUE(factor * factor * exact_squared_norm(matrix, row) <= Exact(100.0));
  }
}

TEST_P(ClipFactorsOnEveryBackend, TheTrueNormOfAMeasuredRowIsAtMostCAfterScaling) {
  expect_true_rows_clipped<float>(stream_);
  expect_true_rows_clipped<double>(stream_);
}

TEST_P(ClipFactorsOnEveryBackend, ValuesOutOfRangeAreRefused) {
  const Buffer<double> norms(3, stream_);
  const Buffer<float> factors(3, stream_);
  const auto call = [&](double clipping_norm, double error) {
    return refusal([&] {
      clip_factors(Span<const double>(norms.span()), {clipping_norm, error}, factors.span(),
                   stream_);
    });
  };
  EXPECT_EQ(call(-1, 0), "clip_factors: clipping_norm = -1, expected finite and >= 2^-400");
  EXPECT_EQ(call(0, 0), "clip_factors: clipping_norm = 0, expected finite and >= 2^-400");
  EXPECT_EQ(call(1e-121, 0), "clip_factors: clipping_norm = 1e-121, expected finite and >= 2^-400");
  EXPECT_EQ(call(kInfinity, 0), "clip_factors: clipping_norm = inf, expected finite and >= 2^-400");
  EXPECT_EQ(call(std::nan(""), 0),
            "clip_factors: clipping_norm = nan, expected finite and >= 2^-400");
  EXPECT_EQ(call(1, -0.1), "clip_factors: squared_norm_error = -0.1, expected 0 to 0.5");
  EXPECT_EQ(call(1, 0.6), "clip_factors: squared_norm_error = 0.6, expected 0 to 0.5");
  EXPECT_EQ(call(1, std::nan("")), "clip_factors: squared_norm_error = nan, expected 0 to 0.5");
  EXPECT_EQ(
      refusal([&] {
        clip_factors(Span<const double>(norms.data(), 2), {1.0, 0.0}, factors.span(), stream_);
      }),
      "clip_factors: factors.size() = 3, expected squared_norms.size() = 2");
}

INSTANTIATE_TEST_SUITE_P(All, ClipFactorsOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
