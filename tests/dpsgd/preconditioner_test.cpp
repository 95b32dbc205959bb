#include "velum/dpsgd/features/preconditioner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/simd_targets.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

using kernels::MatrixView;
using kernels::Stream;
using ::testing::HasSubstr;
using ::velum::testing::for_each_simd_target;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Plain pseudorandom numbers in [0, 1): a multiplicative congruence, independent of velum.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
  double operator()() {
    state_ *= 6364136223846793005u;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

// The norm as exactly as long double has it: 64 bits of mantissa.
long double norm_of(const float* row, std::size_t size) {
  long double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += static_cast<long double>(row[i]) * row[i];
  return std::sqrt(sum);
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SqrtToUnitRows, NormsAreAtMostOneAndNearlyOne) {
  Numbers numbers(3);
  for (const std::size_t size : {1u, 3u, 31u, 32u, 33u, 257u, 3969u}) {
    for (const float scale : {1e-38f, 1e-6f, 1.0f, 3e38f}) {
      std::vector<float> drawn(size);
      for (float& x : drawn) x = scale * static_cast<float>(numbers());
      for_each_simd_target(kernels::Backend::kCpu, [&] {
        std::vector<float> row = drawn;
        sqrt_to_unit_rows(MatrixView<float>(row.data(), 1, static_cast<std::int64_t>(size)),
                          Stream::serial());
        const long double norm = norm_of(row.data(), size);
        EXPECT_LE(norm, 1.0L) << size << " " << scale;
        EXPECT_GE(norm, 1.0L - 0x1p-21L) << size << " " << scale;
      });
    }
  }
}

TEST(SqrtToUnitRows, ElementsAreSquareRootsOverTheNorm) {
  std::vector<float> rows{4.0f, -1.0f, 9.0f, 0.0f, 3.0f, 99.0f};  // sqrt: 2 0 3 0 sqrt(3), norm 4
  sqrt_to_unit_rows(MatrixView<float>(rows.data(), 1, 5, 6), Stream::serial());
  const std::vector<double> expected{0.5, 0.0, 0.75, 0.0, std::sqrt(3.0) / 4.0};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(rows[i], expected[i], 0x1p-21 * expected[i]);
  }
  EXPECT_EQ(rows[5], 99.0f);  // beyond the columns
}

TEST(SqrtToUnitRows, RowsWithoutPositiveOrWithNonFiniteElementsBecomeZero) {
  for (const std::size_t size : {5u, 40u}) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      for (const float bad : {kNan, kInfinity, -kInfinity}) {
        std::vector<float> row(size, 0.5f);
        row[at] = bad;
        sqrt_to_unit_rows(MatrixView<float>(row.data(), 1, static_cast<std::int64_t>(size)),
                          Stream::serial());
        EXPECT_EQ(row, std::vector<float>(size)) << bad << " at " << at;
      }
    }
    std::vector<float> negative(size, -1.0f);
    sqrt_to_unit_rows(MatrixView<float>(negative.data(), 1, static_cast<std::int64_t>(size)),
                      Stream::serial());
    EXPECT_EQ(negative, std::vector<float>(size));
  }
}

// Q diag(values) Q with the reflection Q = I - 2 v v^T / |v|^2, which is its own inverse.
std::vector<double> reflected_diagonal(const std::vector<double>& values) {
  const std::size_t n = values.size();
  const auto v = [](std::size_t i) { return 1.0 + std::sin(static_cast<double>(i) * 1.7); };
  double square = 0.0;
  for (std::size_t i = 0; i < n; ++i) square += v(i) * v(i);
  const auto q = [&](std::size_t i, std::size_t j) {
    return (i == j ? 1.0 : 0.0) - 2.0 * v(i) * v(j) / square;
  };
  std::vector<double> out;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (std::size_t k = 0; k < n; ++k) sum += q(i, k) * values[k] * q(k, j);
      out.push_back(sum);
    }
  }
  return out;
}

TEST(Preconditioner, IsTheInversePowerOfTheNormalisedMoments) {
  // Known eigenvalues over six decades; one negative, as noise makes them: it counts as zero.
  std::vector<double> channel_values;
  for (int i = 0; i < 81; ++i) channel_values.push_back(1e4 * std::pow(10.0, -i / 13.5));
  channel_values[40] = -0.5;
  const std::vector<double> spatial_values{3.0, 1.0, 0.25, 0.0};
  const PreconditionerOptions options{0.35, 0.25, 1e-3};
  const Preconditioner result = make_preconditioner(
      {81, 4, reflected_diagonal(channel_values), reflected_diagonal(spatial_values)}, options);
  const auto expect = [&](const std::vector<float>& actual, std::vector<double> values,
                          double power) {
    double trace = 0.0;
    for (double& value : values) trace += value = std::max(value, 0.0);
    double largest = 0.0;
    for (double& value : values) {
      value = std::pow(value / trace + options.floor, -power);
      largest = std::max(largest, value);
    }
    const std::vector<double> expected = reflected_diagonal(values);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Rounding to float, and the eigenvalues' error of about 81 units of 2^-53 of the largest,
      // which the floor magnifies at most a thousandfold.
      EXPECT_NEAR(actual[i], expected[i], largest * (0x1p-24 + 81 * 1000 * 0x1p-52)) << i;
    }
  };
  expect(result.channel, channel_values, 0.35);
  expect(result.spatial, spatial_values, 0.25);
  for (std::size_t i = 0; i < 81; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      ASSERT_EQ(result.channel[i * 81 + j], result.channel[j * 81 + i]);
    }
  }
}

TEST(Preconditioner, BadMomentsAreRefused) {
  const PreconditionerOptions options;
  const std::vector<double> one{1.0};
  EXPECT_THAT(error_of([&] {
                make_preconditioner({2, 1, {1, 0, 0}, one}, options);
              }),
              HasSubstr("moments.channel has 3 elements, expected the square of 2"));
  EXPECT_THAT(error_of([&] {
                make_preconditioner({1, 1, one, {NAN}}, options);
              }),
              HasSubstr("moments.spatial has an element that is not finite"));
  EXPECT_THAT(error_of([&] {
                make_preconditioner({1, 1, {-1.0}, one}, options);
              }),
              HasSubstr("moments.channel has no positive eigenvalue"));
  EXPECT_THAT(error_of([&] {
                make_preconditioner({1, 1, one, one}, {0.35, 0.25, 0.0});
              }),
              HasSubstr("floor = 0.000000, expected finite and > 0"));
}

// A X B by the definition, in double.
std::vector<double> product(const std::vector<float>& a, const std::vector<double>& x,
                            const std::vector<float>& b, std::size_t rows, std::size_t columns) {
  std::vector<double> half(rows * columns);
  std::vector<double> out(rows * columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < rows; ++k) {
      for (std::size_t j = 0; j < columns; ++j) {
        half[i * columns + j] += static_cast<double>(a[i * rows + k]) * x[k * columns + j];
      }
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t k = 0; k < columns; ++k) {
        out[i * columns + j] += half[i * columns + k] * static_cast<double>(b[k * columns + j]);
      }
    }
  }
  return out;
}

TEST(PreconditionRows, IsTheProductByDefinitionScaledToNormOneWithTheBias) {
  Numbers numbers(5);
  for (const auto& shape :
       std::vector<std::pair<std::size_t, std::size_t>>{{1, 1}, {2, 3}, {7, 33}, {81, 49}}) {
    const auto channels = shape.first;  // clang 14 captures no structured binding
    const auto positions = shape.second;
    SCOPED_TRACE(std::to_string(channels) + " x " + std::to_string(positions));
    const std::size_t size = channels * positions;
    Preconditioner preconditioner{
        static_cast<std::int64_t>(channels), static_cast<std::int64_t>(positions),
        std::vector<float>(channels * channels), std::vector<float>(positions * positions)};
    for (float& value : preconditioner.channel) value = static_cast<float>(numbers() - 0.4);
    for (float& value : preconditioner.spatial) value = static_cast<float>(numbers() - 0.4);
    std::vector<float> mean(size);
    for (float& value : mean) value = static_cast<float>(numbers());
    const std::size_t stride = size + 3;
    constexpr std::size_t kRows = 70;  // more than one range
    std::vector<float> rows(kRows * stride);
    for (float& value : rows) value = static_cast<float>(numbers());
    const std::vector<float> before = rows;
    const auto expect_rows = [&] {
      for (std::size_t r = 0; r < kRows; ++r) {
        std::vector<double> x(size);
        std::vector<double> magnitude(size);
        for (std::size_t i = 0; i < size; ++i) {
          x[i] = static_cast<double>(before[r * stride + i]) - mean[i];
          magnitude[i] = std::abs(x[i]);
        }
        std::vector<double> expected =
            product(preconditioner.channel, x, preconditioner.spatial, channels, positions);
        std::vector<float> absolute_channel = preconditioner.channel;
        std::vector<float> absolute_spatial = preconditioner.spatial;
        for (float& value : absolute_channel) value = std::abs(value);
        for (float& value : absolute_spatial) value = std::abs(value);
        magnitude = product(absolute_channel, magnitude, absolute_spatial, channels, positions);
        double norm = 0.0;
        double bound = 0.0;  // on the error of the product's norm
        const double unit = static_cast<double>(channels + positions + 2) * 0x1p-24;
        for (std::size_t i = 0; i < size; ++i) {
          norm += expected[i] * expected[i];
          bound += magnitude[i] * magnitude[i];
        }
        norm = std::sqrt(norm);
        bound = std::sqrt(bound) * unit / norm;
        for (std::size_t i = 0; i < size; ++i) {
          ASSERT_NEAR(rows[r * stride + i], expected[i] / norm,
                      magnitude[i] * unit / norm +
                          std::abs(expected[i]) / norm * (bound + 3 * 0x1p-24) + 1e-12)
              << "row " << r << " element " << i;
        }
        EXPECT_EQ(rows[r * stride + size], 0.3f);
        EXPECT_EQ(rows[r * stride + size + 1], before[r * stride + size + 1]);
      }
    };
    for_each_simd_target(kernels::Backend::kCpu, [&] {
      rows = before;
      precondition_rows(MatrixView<float>(rows.data(), kRows, static_cast<std::int64_t>(size + 1),
                                          static_cast<std::int64_t>(stride)),
                        mean, preconditioner, 0.3f, Stream::cpu(2));
      expect_rows();
    });
  }
}

TEST(PreconditionRows, ARowAtTheMeanStaysZero) {
  std::vector<float> rows{0.25f, 0.5f, 7.0f};
  precondition_rows(MatrixView<float>(rows.data(), 1, 3), std::vector<float>{0.25f, 0.5f},
                    {1, 2, {2.0f}, {1.0f, 0.0f, 0.0f, 1.0f}}, 0.3f, Stream::serial());
  EXPECT_EQ(rows, (std::vector<float>{0.0f, 0.0f, 0.3f}));
}

TEST(PreconditionRows, WrongSizesAreNamed) {
  std::vector<float> rows(6);
  const std::vector<float> mean(2);
  const Preconditioner good{1, 2, {1.0f}, {1.0f, 0.0f, 0.0f, 1.0f}};
  const auto call = [&](std::int64_t columns, const std::vector<float>& m,
                        const Preconditioner& p) {
    return error_of([&] {
      precondition_rows(MatrixView<float>(rows.data(), 1, columns), m, p, 0.3f, Stream::serial());
    });
  };
  EXPECT_EQ(call(3, mean, good), "accepted");
  EXPECT_THAT(call(2, mean, good), HasSubstr("rows.cols = 2, expected"));
  EXPECT_THAT(call(3, std::vector<float>(3), good), HasSubstr("mean.size() = 3, expected"));
  EXPECT_THAT(call(3, mean, {1, 2, {}, good.spatial}),
              HasSubstr("preconditioner.channel.size() = 0, expected"));
  EXPECT_THAT(call(3, mean, {1, 2, {1.0f}, {1.0f}}),
              HasSubstr("preconditioner.spatial.size() = 1, expected"));
}

TEST(RandomShapesPreconditioner, IsAConstantThatEvensOutScatteringFeatures) {
  const ScatteringTransform transform({16, 16, 2, 4});  // small, so that the test is quick
  const Preconditioner first = random_shapes_preconditioner(transform, {}, Stream::serial());
  EXPECT_EQ(first.channels, 25);
  EXPECT_EQ(first.positions, 16);
  const Preconditioner second = random_shapes_preconditioner(transform, {}, Stream::cpu(3));
  EXPECT_EQ(first.channel, second.channel);
  EXPECT_EQ(first.spatial, second.spatial);
  // (lambda + 1e-3)^-p with eigenvalues lambda in [0, 1]: between 1 and 1000^p on the diagonal.
  for (std::size_t i = 0; i < 25; ++i) {
    EXPECT_GT(first.channel[i * 26], 0.99f);
    EXPECT_LT(first.channel[i * 26], std::pow(1000.0f, 0.35f));
  }
  // Something was learnt: the map is not near a multiple of the identity.
  EXPECT_GT(*std::max_element(first.channel.begin(), first.channel.end()), 2.0f * first.channel[0]);
}

}  // namespace
}  // namespace velum::dpsgd
