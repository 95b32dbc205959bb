#include "velum/dpsgd/integer_noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/distributed_noise_values.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/distributed_noise.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/integer_rounding.h"
#include "velum/kernels/random/skellam.h"
#include "velum/kernels/random/uniform.h"

namespace velum::dpsgd {
namespace {

using kernels::insecure_key_from_seed;
using kernels::Purpose;
using kernels::RandomPosition;
using kernels::Span;
using kernels::Stream;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "no error";
}

// ---- Accounting ----

long double tau_by_sum(long double variance, std::int64_t shares) {
  long double sum = 0;
  for (std::int64_t k = shares - 1; k >= 1; --k) {
    sum += std::exp(-2 * std::numbers::pi_v<long double> * std::numbers::pi_v<long double> *
                    variance * static_cast<long double>(k) / static_cast<long double>(k + 1));
  }
  return 10 * sum;
}

TEST(DiscreteGaussianSum, TauIsThePublishedSum) {
  EXPECT_EQ(discrete_gaussian_sum_tau(1.0, 1), 0.0);
  for (const double variance : {0.25, 0.7, 1.0, 4.0, 30.0}) {
    for (const std::int64_t shares : {2, 3, 10, 4096, 4097, 100000}) {
      const auto exact = static_cast<double>(tau_by_sum(variance, shares));
      const double tau = discrete_gaussian_sum_tau(variance, shares);
      EXPECT_GE(tau, exact);
      // Beyond 4097 shares each term is counted as the 4097th, within 2 pi^2 variance / 4098.
      EXPECT_LE(tau, exact * (shares <= 4097 ? 1 + 1e-11 : std::exp(19.74 * variance / 4098)));
    }
  }
}

TEST(DistributedDiscreteGaussian, RhoIsAboveTheExactDivergenceOfOneCoordinate) {
  for (const testing::DiscreteGaussianSumValue& exact : testing::kDiscreteGaussianSumValues) {
    const double shift = exact.shift;
    const double bound =
        rdp(distributed_discrete_gaussian(exact.variance, exact.shares, 1, {shift, shift}),
            exact.order);
    EXPECT_GE(bound, exact.divergence)
        << exact.variance << " " << exact.shares << " " << shift << " " << exact.order;
    // With shares this large the sum is as good as a discrete Gaussian.
    if (exact.variance == 4.0) {
      EXPECT_LT(bound, exact.divergence * (1 + 1e-12));
    }
  }
}

TEST(DistributedDiscreteGaussian, RhoIsTheSmallestOfThreePublishedBounds) {
  std::vector<int> smallest(3);
  for (const double variance : {0.25, 0.5, 1.0, 2.0}) {
    for (const std::int64_t clients : {1, 2, 50}) {
      for (const std::int64_t dimension : {1, 100, 1000000}) {
        for (const IntegerSensitivity& sensitivity :
             {IntegerSensitivity{1, 1}, IntegerSensitivity{40, 20}, IntegerSensitivity{900, 30}}) {
          const long double deviation =
              std::sqrt(static_cast<long double>(variance) * static_cast<long double>(clients));
          const long double l1 = sensitivity.l1 / deviation, l2 = sensitivity.l2 / deviation;
          const long double tau = tau_by_sum(variance, clients);
          const auto d = static_cast<long double>(dimension);
          const long double shifted = l2 + tau * std::sqrt(d);
          const std::vector<long double> bounds{l2 * l2 / 2 + tau * d,
                                                (l2 * l2 + 2 * l1 * tau + tau * tau * d) / 2,
                                                shifted * shifted / 2};
          const auto best = std::min_element(bounds.begin(), bounds.end());
          if (tau > 0) ++smallest[static_cast<std::size_t>(best - bounds.begin())];
          const double rho =
              distributed_discrete_gaussian(variance, clients, dimension, sensitivity).rho;
          EXPECT_GE(rho, static_cast<double>(*best));
          EXPECT_LE(rho, static_cast<double>(*best) * (1 + 1e-10));
        }
      }
    }
  }
  for (const int count : smallest) EXPECT_GT(count, 0);
  // One share: the discrete Gaussian's own.
  EXPECT_NEAR(distributed_discrete_gaussian(0.01, 1, 7, {2, 2}).rho, 200.0, 1e-10);
}

TEST(DistributedSkellam, IsTheMechanismOfTheSum) {
  const SkellamMechanism mechanism = distributed_skellam(0.1, 7, {9, 3});
  EXPECT_LE(mechanism.variance, 0.7);
  EXPECT_GT(mechanism.variance, 0.7 * (1 - 1e-15));
  EXPECT_EQ(mechanism.l1_sensitivity, 9);
  EXPECT_EQ(mechanism.l2_sensitivity, 3);
  EXPECT_EQ(distributed_skellam(0.1, 1, {9, 3}).variance, 0.1);
}

TEST(IntegerSensitivity, CoversEveryVectorWithinTheLimit) {
  for (const int limit : {1, 3, 7, 12}) {
    double l1 = 0, l2 = 0;
    for (int x = -4; x <= 4; ++x) {
      for (int y = -4; y <= 4; ++y) {
        for (int z = -4; z <= 4; ++z) {
          if (x * x + y * y + z * z > limit) continue;
          l1 = std::max(l1, static_cast<double>(std::abs(x) + std::abs(y) + std::abs(z)));
          l2 = std::max(l2, std::sqrt(static_cast<double>(x * x + y * y + z * z)));
        }
      }
    }
    const IntegerSensitivity added = integer_sensitivity(limit, 3, Neighbouring::kAddOrRemoveOne);
    EXPECT_GE(added.l1, l1);
    EXPECT_GE(added.l2, l2);
    EXPECT_NEAR(added.l2, std::sqrt(limit), 1e-12);
    EXPECT_NEAR(added.l1, std::min(std::sqrt(3.0 * limit), static_cast<double>(limit)), 1e-12);
    const IntegerSensitivity replaced = integer_sensitivity(limit, 3, Neighbouring::kReplaceOne);
    EXPECT_EQ(replaced.l1, 2 * added.l1);
    EXPECT_EQ(replaced.l2, 2 * added.l2);
  }
}

TEST(NearestIntegerSensitivity, CoversRoundedVectorsThatDifferByTheClippingNorm) {
  // Two vectors c apart in a direction and at offsets of which some make every rounding go apart.
  const double c = 1.5;
  for (const int d : {1, 2, 3}) {
    double l1 = 0, l2 = 0;
    for (int step = 0; step < 40000; ++step) {
      double direction[3] = {1.0, 0.0, 0.0};
      double start[3];
      double norm = 0;
      for (int i = 0; i < d; ++i) {
        direction[i] = 0.05 + std::fmod(step * (0.6180339887 + 0.1 * i), 1.0);
        start[i] = std::fmod(step * (0.7548776662 + 0.1 * i), 1.0);
        norm += direction[i] * direction[i];
      }
      double absolute = 0, squared = 0;
      for (int i = 0; i < d; ++i) {
        const double other = start[i] + c * direction[i] / std::sqrt(norm);
        const double moved = std::nearbyint(other) - std::nearbyint(start[i]);
        absolute += std::abs(moved);
        squared += moved * moved;
      }
      l1 = std::max(l1, absolute);
      l2 = std::max(l2, std::sqrt(squared));
    }
    const IntegerSensitivity added =
        nearest_integer_sensitivity(0.75, 0.5, d, Neighbouring::kAddOrRemoveOne);
    EXPECT_LE(l1, added.l1);
    EXPECT_LE(l2, added.l2);
    EXPECT_GT(l2, c);  // without the rounding it would not be enough
    EXPECT_NEAR(added.l2, c + std::sqrt(d), 1e-4);
    EXPECT_NEAR(added.l1, std::min(std::sqrt(d) * added.l2, added.l2 * added.l2), 1e-9);
    const IntegerSensitivity replaced =
        nearest_integer_sensitivity(0.75, 0.5, d, Neighbouring::kReplaceOne);
    EXPECT_NEAR(replaced.l2, 2 * c + std::sqrt(d), 1e-4);
  }
  EXPECT_EQ(
      message([] { nearest_integer_sensitivity(1.0, 2.0, 3, Neighbouring::kAddOrRemoveOne); }),
      "nearest_integer_sensitivity: granularity = 2, expected from clipping_norm / 2^30 to "
      "clipping_norm = 1");
  EXPECT_EQ(
      message([] { nearest_integer_sensitivity(1.0, 0.5, 0, Neighbouring::kAddOrRemoveOne); }),
      "nearest_integer_sensitivity: dimension = 0, expected 1 to 2^32");
}

TEST(DistributedNoise, OutOfRangeIsRefused) {
  EXPECT_EQ(message([] {
              distributed_discrete_gaussian(0.2, 2, 1, {1, 1});
            }),
            "distributed_discrete_gaussian: share_variance = 0.2, expected >= 0.25 for more than "
            "one client: use more noise, or a smaller granularity of the integers");
  EXPECT_EQ(message([] {
              distributed_discrete_gaussian(kInfinity, 2, 1, {1, 1});
            }),
            "distributed_discrete_gaussian: share_variance = inf, expected finite and > 0");
  EXPECT_EQ(message([] {
              distributed_discrete_gaussian(1, 0, 1, {1, 1});
            }),
            "distributed_discrete_gaussian: honest_clients = 0, expected 1 to 2^53");
  EXPECT_EQ(message([] {
              distributed_discrete_gaussian(1, 1, 0, {1, 1});
            }),
            "distributed_discrete_gaussian: dimension = 0, expected 1 to 2^53");
  EXPECT_EQ(message([] {
              distributed_skellam(1, 1, {1, 2});
            }),
            "distributed_skellam: sensitivity.l2 = 2, expected > 0 and <= sensitivity.l1 = 1");
  EXPECT_EQ(message([] {
              distributed_skellam(kNan, 1, {1, 1});
            }),
            "distributed_skellam: share_variance = nan, expected finite and > 0");
  EXPECT_EQ(message([] {
              distributed_skellam(1e308, 100, {1, 1});
            }),
            "distributed_skellam: share_variance = 1e+308, expected a finite variance of the sum");
  EXPECT_EQ(message([] { integer_sensitivity(0, 1, Neighbouring::kReplaceOne); }),
            "integer_sensitivity: squared_norm_limit = 0, expected 1 to 2^62");
  EXPECT_EQ(message([] { discrete_gaussian_sum_tau(1, 0); }),
            "discrete_gaussian_sum_tau: shares = 0, expected 1 to 2^53");
}

TEST(DistributedNoise, StatementsSayWhatTheyStandOn) {
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne);
  accountant.compose(distributed_skellam(2.0, 40, {3, 2}), 10, "sums over clients");
  StatementOptions options;
  options.unit = "client";
  options.whole_units = true;
  PrivacyStatement statement = make_privacy_statement(
      accountant.composition(), accountant.guarantee(1e-6), accountant.name(), options);
  statement.conditions.push_back(honest_clients_condition(40));
  const std::string text = statement.to_text(1000);
  EXPECT_NE(text.find("at least 40 clients draw their share of the noise as stated, at random and "
                      "in secret, and are in the sum"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Skellam, variance 79.99999999999999, L1 sensitivity 3, L2 sensitivity 2"),
            std::string::npos)
      << text;
  EXPECT_EQ(
      honest_clients_condition(1),
      "at least 1 client draws its share of the noise as stated, at random and in secret, and "
      "is in the sum");
  EXPECT_EQ(message([] { honest_clients_condition(0); }),
            "honest_clients_condition: honest_clients = 0, expected 1 to 2^53");
}

// ---- Plans and shares ----

TEST(IntegerNoisePlan, SharesAddUpToTheVarianceAskedFor) {
  for (const IntegerNoise noise : {IntegerNoise::kDiscreteGaussian, IntegerNoise::kSkellam}) {
    for (const double variance : {25.0, 1234.5678, 1e9, 0x1p60}) {
      for (const std::int64_t clients : {1, 3, 64, 100}) {
        const IntegerNoisePlan plan = plan_integer_noise(noise, variance, clients);
        const long double sum = static_cast<long double>(plan.share_variance.numerator) /
                                static_cast<long double>(plan.share_variance.denominator) *
                                static_cast<long double>(clients);
        EXPECT_GE(sum, variance * (1 - 1e-18L));
        EXPECT_LE(sum, variance + 1e-9L * static_cast<long double>(clients) + variance * 1e-18L);
      }
    }
  }
  EXPECT_EQ(plan_integer_noise(IntegerNoise::kSkellam, 100.0, 7).share_variance,
            (kernels::ExactVariance{100, 7}));
}

TEST(IntegerNoisePlan, ComposesAndCalibratesLikeAnyMechanism) {
  const IntegerSensitivity sensitivity =
      integer_sensitivity(QuantizationPlan{1.0, 0.001, 100000}, Neighbouring::kAddOrRemoveOne);
  for (const IntegerNoise noise : {IntegerNoise::kDiscreteGaussian, IntegerNoise::kSkellam}) {
    const auto at = [&](double multiplier) -> Mechanism {
      const double deviation = multiplier * sensitivity.l2;
      return mechanism(plan_integer_noise(noise, deviation * deviation, 40), 100000, sensitivity);
    };
    RdpAccountant accountant(Neighbouring::kAddOrRemoveOne);
    const CalibratedNoise found = calibrate_noise(accountant, at, 10, 2.0, 1e-6);
    accountant.compose(at(found.value), 10, "rounds");
    EXPECT_LE(accountant.guarantee(1e-6).epsilon, 2.0);
    // Hardly more than Gaussian noise of the same multiplier.
    RdpAccountant gaussian(Neighbouring::kAddOrRemoveOne);
    gaussian.compose(GaussianMechanism{found.value}, 10, "rounds");
    EXPECT_GT(gaussian.guarantee(1e-6).epsilon, 1.8);
  }
}

TEST(IntegerNoiseShare, SharesAddUpToTheNoiseOfTheSum) {
  // Second moments of sums over 5 clients on 10^5 coordinates: within 6 sqrt(2 / n) (and the fourth
  // cumulant of Skellam noise, below 1% of it); false alarm 2e-9, fixed seeds.
  constexpr std::int64_t kDimension = 100000;
  for (const IntegerNoise noise : {IntegerNoise::kDiscreteGaussian, IntegerNoise::kSkellam}) {
    const IntegerNoisePlan plan = plan_integer_noise(noise, 777.0, 5);
    std::vector<std::int64_t> sum(kDimension);
    for (std::uint64_t client = 0; client < 5; ++client) {
      const std::vector<std::int64_t> share =
          integer_noise_share(plan, kDimension, insecure_key_from_seed(100 + client),
                              {Purpose::kIntegerNoise, 0, 3, 0}, Stream::cpu(2));
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += share[i];
    }
    double second = 0;
    for (const std::int64_t x : sum) {
      second += static_cast<double>(x) * static_cast<double>(x) / kDimension;
    }
    EXPECT_LT(std::abs(second / 777.0 - 1), 6.1 * std::sqrt(2.0 / kDimension));
  }
}

TEST(IntegerNoiseShare, IsTheKernelsDrawWhateverTheThreads) {
  const IntegerNoisePlan plan = plan_integer_noise(IntegerNoise::kSkellam, 50.0, 3);
  const RandomPosition position{Purpose::kIntegerNoise, 0, 3, 0};
  std::vector<std::int64_t> expected(3000);
  kernels::skellam_fill(expected, {50, 3}, insecure_key_from_seed(1), position, 0,
                        Stream::serial());
  for (const int threads : {1, 2, 3}) {
    EXPECT_EQ(
        integer_noise_share(plan, 3000, insecure_key_from_seed(1), position, Stream::cpu(threads)),
        expected);
  }
}

TEST(IntegerNoisePlan, OutOfRangeIsRefused) {
  EXPECT_EQ(message([] { plan_integer_noise(IntegerNoise::kSkellam, 0, 1); }),
            "plan_integer_noise: variance = 0, expected > 0 and <= 2^60");
  EXPECT_EQ(message([] { plan_integer_noise(IntegerNoise::kSkellam, kNan, 1); }),
            "plan_integer_noise: variance = nan, expected > 0 and <= 2^60");
  EXPECT_EQ(message([] { plan_integer_noise(IntegerNoise::kSkellam, 1, 0); }),
            "plan_integer_noise: honest_clients = 0, expected 1 to 2^31");
  EXPECT_EQ(message([] { plan_integer_noise(IntegerNoise::kDiscreteGaussian, 2, 10); }),
            "plan_integer_noise: variance = 2, expected at least honest_clients / 4 for discrete "
            "Gaussian shares: use Skellam noise, or a smaller granularity of the integers");
  const IntegerNoisePlan plan = plan_integer_noise(IntegerNoise::kSkellam, 2, 10);
  const RandomPosition position{Purpose::kIntegerNoise, 0, 3, 0};
  EXPECT_EQ(message([&] {
              integer_noise_share(plan, -1, insecure_key_from_seed(1), position, Stream::serial());
            }),
            "integer_noise_share: dimension = -1, expected 0 to 2^32");
  EXPECT_EQ(message([&] {
              integer_noise_share(plan, 1, insecure_key_from_seed(1), position,
                                  Stream::cuda(nullptr, 0));
            }),
            "integer_noise_share: a CUDA stream, expected a CPU stream: for CUDA use "
            "kernels::skellam_fill or exact_discrete_gaussian_fill");
}

// ---- Rounding ----

constexpr RandomPosition kRoundingPosition{Purpose::kRounding, 0, 5, 0};

std::int64_t squared_norm(const std::vector<std::int64_t>& x) {
  std::int64_t sum = 0;
  for (const std::int64_t value : x) sum += value * value;
  return sum;
}

TEST(IntegerRounding, LimitIsTheSmallerOfThePublishedBounds) {
  const auto limit = [](double c, std::int64_t d, double beta) {
    return squared_norm_limit({c, 1.0, d, beta});
  };
  // c^2 + d / 4 + sqrt(2 log(1 / beta)) (c + sqrt(d) / 2), with sqrt(2 log(1 / beta)) = 1
  EXPECT_EQ(limit(10, 400, 0.6065306597126334), 100 + 100 + 10 + 10);
  EXPECT_EQ(limit(1, 1, 1e-300), 4);  // (c + sqrt(d))^2
  EXPECT_EQ(squared_norm_limit({5.0, 0.5, 400}), 220);
  EXPECT_EQ(integer_sensitivity(QuantizationPlan{5.0, 0.5, 400}, Neighbouring::kReplaceOne),
            integer_sensitivity(220, 400, Neighbouring::kReplaceOne));
}

TEST(IntegerRounding, TakesTheFirstAttemptWithinTheLimit) {
  // 64 values of 1/2: the squared norm is the number rounded up, above the limit of 35 in a fifth
  // of the attempts.
  const QuantizationPlan plan{4.0, 1.0, 64, 0.9};
  ASSERT_EQ(squared_norm_limit(plan), 35);
  const std::vector<double> values(64, 0.5);
  int repeated = 0;
  for (std::uint64_t step = 0; step < 500; ++step) {
    const RandomPosition position{Purpose::kRounding, 0, step, 0};
    const kernels::RandomKey key = insecure_key_from_seed(2);
    std::vector<std::int64_t> expected(64);
    std::int64_t attempt = 0;
    do {
      std::vector<std::uint64_t> bits(64);
      kernels::uniform_bits_fill(bits, key, position, 64 * attempt++, Stream::serial());
      for (std::size_t i = 0; i < 64; ++i) expected[i] = bits[i] >> 63 == 0 ? 1 : 0;
    } while (squared_norm(expected) > 35);
    repeated += attempt > 1 ? 1 : 0;
    EXPECT_EQ(round_to_integers(Span<const double>(values), plan, key, position), expected);
  }
  EXPECT_GT(repeated, 50);
}

TEST(IntegerRounding, NeighboursOfTheQuotientWithItAsTheMean) {
  // Nothing is drawn again here: (c + sqrt(d))^2 is the limit at this beta. Each mean over 20000
  // roundings is within 6 deviations, sqrt(f (1 - f) / n): false alarm 2e-9 each.
  const std::vector<double> values{0.0, 0.03, -0.03, 0.25, -1.0, 1.7, -1e-12, -0.999};
  const QuantizationPlan plan{2.5, 0.1, 8, 1e-300};
  constexpr int kRounds = 20000;
  std::vector<double> mean(8);
  for (std::uint64_t step = 0; step < kRounds; ++step) {
    const std::vector<std::int64_t> rounded =
        round_to_integers(Span<const double>(values), plan, insecure_key_from_seed(3),
                          {Purpose::kRounding, 0, step, 0});
    for (std::size_t i = 0; i < 8; ++i) {
      const double x = values[i] / 0.1;
      ASSERT_TRUE(static_cast<double>(rounded[i]) == std::floor(x) ||
                  static_cast<double>(rounded[i]) == std::ceil(x));
      mean[i] += static_cast<double>(rounded[i]) / kRounds;
    }
  }
  for (std::size_t i = 0; i < 8; ++i) {
    const double x = values[i] / 0.1;
    const double fraction = x - std::floor(x);
    EXPECT_LE(std::abs(mean[i] - x), 6 * std::sqrt(fraction * (1 - fraction) / kRounds) + 1e-9);
  }
}

TEST(IntegerRounding, ClipsWhatIsTooLong) {
  const QuantizationPlan plan{1.0, 1.0 / 1024, 5};
  const std::vector<double> values{3.0, 0.0, -4.0, 0.0, 12.0};  // norm 13
  const std::vector<std::int64_t> rounded = clip_and_round_to_integers(
      Span<const double>(values), plan, insecure_key_from_seed(4), kRoundingPosition);
  EXPECT_LE(squared_norm(rounded), squared_norm_limit(plan));
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_LE(std::abs(static_cast<double>(rounded[i]) - values[i] * 1024 / 13), 1.0);
  }
  // What is short enough is left alone, and floats are their doubles.
  const std::vector<float> small{0.5F, -0.25F, 0.0F, 0.125F, 0.001F};
  const std::vector<double> same(small.begin(), small.end());
  const auto double_result = round_to_integers(Span<const double>(same), plan,
                                               insecure_key_from_seed(4), kRoundingPosition);
  EXPECT_EQ(clip_and_round_to_integers(Span<const double>(same), plan, insecure_key_from_seed(4),
                                       kRoundingPosition),
            double_result);
  EXPECT_EQ(round_to_integers(Span<const float>(small), plan, insecure_key_from_seed(4),
                              kRoundingPosition),
            double_result);
  EXPECT_EQ(clip_and_round_to_integers(Span<const float>(small), plan, insecure_key_from_seed(4),
                                       kRoundingPosition),
            double_result);
}

TEST(IntegerRounding, LongVectorsAreReadInPieces) {
  const QuantizationPlan plan{100.0, 1.0, 10000, 1e-300};
  const std::vector<double> values(10000, 0.5);
  const std::vector<std::int64_t> rounded = round_to_integers(
      Span<const double>(values), plan, insecure_key_from_seed(5), kRoundingPosition);
  std::vector<std::uint64_t> bits(10000);
  kernels::uniform_bits_fill(bits, insecure_key_from_seed(5), kRoundingPosition, 0,
                             Stream::serial());
  for (std::size_t i = 0; i < bits.size(); ++i) ASSERT_EQ(rounded[i], bits[i] >> 63 == 0 ? 1 : 0);
}

TEST(IntegerRounding, FitsTheBitsThatWereAskedFor) {
  for (int bits = 2; bits <= 31; ++bits) {
    for (const double norm : {1.0, 0.3, 7.7e-5, 1e10}) {
      const QuantizationPlan plan{norm, granularity_of_bits(norm, bits), 2};
      const std::vector<double> values{norm, 0.0};
      const std::int64_t largest = (std::int64_t{1} << (bits - 1)) - 1;
      const auto rounded = round_to_integers(Span<const double>(values), plan,
                                             insecure_key_from_seed(6), kRoundingPosition);
      EXPECT_LE(rounded[0], largest) << bits;
      EXPECT_GE(rounded[0], largest - 1) << bits;
    }
  }
}

TEST(IntegerRounding, WhatCannotBeRoundedIsRefused) {
  const auto round = [](const std::vector<double>& values, const QuantizationPlan& plan) {
    return message([&] {
      round_to_integers(Span<const double>(values), plan, insecure_key_from_seed(7),
                        kRoundingPosition);
    });
  };
  const QuantizationPlan plan{1.0, 0.01, 2};
  EXPECT_EQ(round({0.6, 0.8}, plan), "no error");
  EXPECT_EQ(round({0.61, 0.8}, plan),
            "round_to_integers: the L2 norm of values is above clipping_norm = 1, expected at most "
            "that: clip before, or use clip_and_round_to_integers");
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_EQ(round({0.1, bad}, plan),
              "round_to_integers: a value is not finite, expected finite values");
    const std::vector<double> values{bad, 0.1};
    EXPECT_EQ(message([&] {
                clip_and_round_to_integers(Span<const double>(values), plan,
                                           insecure_key_from_seed(7), kRoundingPosition);
              }),
              "clip_and_round_to_integers: a value is not finite, expected finite values");
  }
  const std::vector<double> huge{1.5e308, 1.5e308};
  EXPECT_EQ(message([&] {
              clip_and_round_to_integers(Span<const double>(huge), plan, insecure_key_from_seed(7),
                                         kRoundingPosition);
            }),
            "clip_and_round_to_integers: the L2 norm of values is not finite, expected a finite "
            "norm");
  EXPECT_EQ(round({0.1}, plan),
            "round_to_integers: values.size() = 1, expected plan.dimension = 2");
  EXPECT_EQ(round({0, 0}, {0.0, 1.0, 2}),
            "round_to_integers: clipping_norm = 0, expected finite and > 0");
  EXPECT_EQ(round({0, 0}, {1.0, 2.0, 2}),
            "round_to_integers: granularity = 2, expected from clipping_norm / 2^30 to "
            "clipping_norm = 1");
  EXPECT_EQ(round({0, 0}, {1.0, 0x1p-31, 2}),
            "round_to_integers: granularity = 4.656612873077393e-10, expected from clipping_norm / "
            "2^30 to clipping_norm = 1");
  EXPECT_EQ(round({0, 0}, {1.0, 1.0, 0}), "round_to_integers: dimension = 0, expected 1 to 2^32");
  EXPECT_EQ(round({0, 0}, {1.0, 1.0, 2, 1.0}),
            "round_to_integers: beta = 1, expected > 0 and <= 0.9");
  EXPECT_EQ(message([] { granularity_of_bits(1.0, 1); }),
            "granularity_of_bits: bits = 1, expected 2 to 31");
  EXPECT_EQ(message([] { granularity_of_bits(kInfinity, 8); }),
            "granularity_of_bits: clipping_norm = inf, expected finite and > 0");
}

}  // namespace
}  // namespace velum::dpsgd
