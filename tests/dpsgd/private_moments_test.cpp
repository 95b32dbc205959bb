#include "velum/dpsgd/features/private_moments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "velum/kernels/random/gaussian.h"

namespace velum::dpsgd {
namespace {

using kernels::MatrixView;
using kernels::Purpose;
using kernels::RandomKey;
using kernels::RandomPosition;
using kernels::Span;
using kernels::Stream;
using ::testing::HasSubstr;

constexpr RandomPosition kPosition{
    .purpose = Purpose::kPrivateMean, .key_epoch = 3, .step = 0, .tensor = 5};

RandomKey key() { return kernels::insecure_key_from_seed(42); }

std::vector<float> draw_rows(std::size_t count, std::size_t size, double scale) {
  std::vector<float> rows(count * size);
  std::uint64_t state = 12345;
  for (float& x : rows) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<float>(scale * (static_cast<double>(state >> 40) * 0x1p-24 - 0.5));
  }
  return rows;
}

MatrixView<const float> view(const std::vector<float>& rows, std::size_t size) {
  return {rows.data(), static_cast<std::int64_t>(rows.size() / size),
          static_cast<std::int64_t>(size)};
}

std::vector<double> normals(std::size_t count, std::uint32_t tensor) {
  std::vector<double> out(count);
  RandomPosition position = kPosition;
  position.tensor = tensor;
  kernels::gaussian_fill(Span<double>(out), key(), position, Stream::serial());
  return out;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<float> mean_of(const std::vector<float>& rows, std::size_t size, double clipping_norm,
                           double noise_multiplier, std::int64_t count) {
  std::vector<float> mean(size, -5.0f);
  private_mean(view(rows, size), clipping_norm, noise_multiplier, count, key(), kPosition, mean,
               Stream::cpu(2));
  return mean;
}

TEST(PrivateMean, IsTheClippedSumPlusNoiseOverThePublicCount) {
  constexpr std::size_t kSize = 37;
  constexpr double kClip = 0.8;
  constexpr double kMultiplier = 2.5;
  std::vector<float> rows = draw_rows(300, kSize, 0.6);  // norms around 1: some clipped, some not
  std::vector<double> sum(kSize);
  int clipped = 0;
  for (std::size_t r = 0; r < 300; ++r) {
    if (r % 3 != 0) {
      for (std::size_t i = 0; i < kSize; ++i) rows[r * kSize + i] *= 0.5f;
    }
    double norm = 0.0;
    for (std::size_t i = 0; i < kSize; ++i) norm += std::pow(rows[r * kSize + i], 2);
    norm = std::sqrt(norm);
    if (norm > kClip) ++clipped;
    for (std::size_t i = 0; i < kSize; ++i) {
      sum[i] += rows[r * kSize + i] * std::min(1.0, kClip / norm);
    }
  }
  ASSERT_GT(clipped, 10);
  ASSERT_LT(clipped, 290);
  const std::vector<float> mean = mean_of(rows, kSize, kClip, kMultiplier, 1000);
  const std::vector<double> noise = normals(kSize, 5);
  for (std::size_t i = 0; i < kSize; ++i) {
    // Each of 300 factors is rounded down by at most 2^-23 of a term of at most 0.8; one rounding.
    const double expected = (sum[i] + kMultiplier * kClip * noise[i]) / 1000.0;
    EXPECT_NEAR(mean[i], expected, 300 * 0x1p-23 / 1000.0 + std::abs(expected) * 0x1p-24);
  }
}

TEST(PrivateMean, ANeighbourMovesTheSumByAtMostTheClippingNorm) {
  constexpr std::size_t kSize = 64;
  constexpr std::int64_t kCount = 1;  // the released value is then the noisy sum itself
  const std::vector<float> rows = draw_rows(20, kSize, 0.02);
  const std::vector<float> before = mean_of(rows, kSize, 1.0, 1e-3, kCount);
  for (const float garbage : {1e30f, -3.0f, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN(), 1e-30f}) {
    std::vector<float> more = rows;
    more.insert(more.end(), kSize, garbage);
    const std::vector<float> after = mean_of(more, kSize, 1.0, 1e-3, kCount);
    double moved = 0.0;
    for (std::size_t i = 0; i < kSize; ++i) {
      moved += std::pow(static_cast<double>(after[i]) - before[i], 2);
    }
    // Two outputs rounded to float, each element of magnitude at most 1.
    EXPECT_LE(std::sqrt(moved), 1.0 + 2.0 * std::sqrt(1.0 * kSize) * 0x1p-25) << garbage;
    if (!std::isfinite(garbage)) {
      EXPECT_EQ(moved, 0.0);
    }
  }
}

TEST(PrivateMean, ValuesOutOfRangeAreNamed) {
  const std::vector<float> rows(6);
  const auto call = [&](double clip, double noise, std::int64_t count, std::size_t size) {
    return error_of([&] {
      std::vector<float> mean(size);
      private_mean(view(rows, 3), clip, noise, count, key(), kPosition, mean, Stream::serial());
    });
  };
  EXPECT_EQ(call(1, 1, 2, 3), "accepted");
  EXPECT_THAT(call(1, 1, 2, 4), HasSubstr("mean.size() = 4, expected rows.cols = 3"));
  EXPECT_THAT(call(0, 1, 2, 3), HasSubstr("clipping_norm = 0.000000, expected finite and > 0"));
  EXPECT_THAT(call(1, 0, 2, 3), HasSubstr("noise_multiplier = 0.000000, expected finite and > 0"));
  EXPECT_THAT(call(1, NAN, 2, 3), HasSubstr("noise_multiplier = nan"));
  EXPECT_THAT(call(1, 1, 0, 3), HasSubstr("public_count = 0, expected at least 1"));
}

SecondMoments moments_of(const std::vector<float>& rows, const std::vector<float>& mean,
                         const SecondMomentsRelease& release) {
  return private_second_moments(view(rows, 15), mean, 5, 3, release, key(), kPosition,
                                Stream::cpu(2));
}

TEST(PrivateSecondMoments, AreTheClippedProductsPlusMirroredNoise) {
  constexpr std::size_t kCount = 600;  // more than one block of rows
  const std::vector<float> rows = draw_rows(kCount, 15, 1.0);
  const std::vector<float> mean = draw_rows(1, 15, 0.1);
  const SecondMomentsRelease release{0.9, 3.0, 7.0};
  const SecondMoments moments = moments_of(rows, mean, release);
  std::vector<double> channel(25);
  std::vector<double> spatial(9);
  for (std::size_t r = 0; r < kCount; ++r) {
    std::vector<double> y(15);
    double norm = 0.0;
    for (std::size_t i = 0; i < 15; ++i) {
      y[i] = static_cast<double>(rows[r * 15 + i] - mean[i]);
      norm += y[i] * y[i];
    }
    const double factor = std::min(1.0, 0.9 / std::sqrt(norm));
    for (double& value : y) value *= factor;
    for (std::size_t c = 0; c < 5; ++c) {
      for (std::size_t d = 0; d < 5; ++d) {
        for (std::size_t p = 0; p < 3; ++p) channel[c * 5 + d] += y[c * 3 + p] * y[d * 3 + p];
      }
    }
    for (std::size_t p = 0; p < 3; ++p) {
      for (std::size_t q = 0; q < 3; ++q) {
        for (std::size_t c = 0; c < 5; ++c) spatial[p * 3 + q] += y[c * 3 + p] * y[c * 3 + q];
      }
    }
  }
  const auto expect = [&](const std::vector<double>& actual, const std::vector<double>& exact,
                          std::size_t size, double multiplier, std::uint32_t tensor) {
    const std::vector<double> noise = normals(size * (size + 1) / 2, tensor);
    std::size_t next = 0;
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = i; j < size; ++j) {
        const double expected = exact[i * size + j] + multiplier * 0.81 * noise[next++];
        // Per row: clipped lower by 9 units of 2^-24, scaled, and a product of 5 terms: less than
        // 40 units of the clipped square 0.81.
        EXPECT_NEAR(actual[i * size + j], expected, kCount * 40 * 0x1p-24 * 0.81);
        EXPECT_EQ(actual[i * size + j], actual[j * size + i]);
      }
    }
  };
  expect(moments.channel, channel, 5, 3.0, 5);
  expect(moments.spatial, spatial, 3, 7.0, 6);
}

TEST(PrivateSecondMoments, ANeighbourMovesEachMatrixByAtMostTheSquaredClippingNorm) {
  const std::vector<float> rows = draw_rows(30, 15, 0.1);
  const std::vector<float> mean(15);
  const SecondMomentsRelease release{0.6, 1e-3, 1e-3};
  const SecondMoments before = moments_of(rows, mean, release);
  for (const float garbage : {1e30f, -1.0f, 0.1f, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> more = rows;
    for (int i = 0; i < 15; ++i) more.push_back(i % 2 == 0 ? garbage : -garbage);
    const SecondMoments after = moments_of(more, mean, release);
    const auto moved = [](const std::vector<double>& a, const std::vector<double>& b) {
      double sum = 0.0;
      for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
      return std::sqrt(sum);
    };
    // The sums are rounded to double: 31 terms of at most 0.36.
    EXPECT_LE(moved(before.channel, after.channel), 0.36 + 1e-13) << garbage;
    EXPECT_LE(moved(before.spatial, after.spatial), 0.36 + 1e-13) << garbage;
    if (std::abs(garbage) >= 1.0f && std::isfinite(garbage)) {
      EXPECT_GE(moved(before.channel, after.channel), 0.359);  // rank one: the bound is tight
    }
  }
}

TEST(PrivateSecondMoments, ValuesOutOfRangeAreNamed) {
  const std::vector<float> rows(30);
  const std::vector<float> mean(15);
  const auto call = [&](const SecondMomentsRelease& release) {
    return error_of([&] { moments_of(rows, mean, release); });
  };
  EXPECT_EQ(call({0.6, 1, 1}), "accepted");
  EXPECT_THAT(call({0, 1, 1}), HasSubstr("clipping_norm = 0.000000"));
  EXPECT_THAT(call({0.6, 0, 1}), HasSubstr("channel_noise_multiplier = 0.000000"));
  EXPECT_THAT(call({0.6, 1, -1}), HasSubstr("spatial_noise_multiplier = -1.000000"));
  EXPECT_THAT(error_of([&] {
                moments_of(rows, std::vector<float>(14), {0.6, 1, 1});
              }),
              HasSubstr("mean.size() = 14, expected rows.cols = 15"));
}

}  // namespace
}  // namespace velum::dpsgd
