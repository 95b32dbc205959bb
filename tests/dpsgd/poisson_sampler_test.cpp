#include "velum/dpsgd/poisson_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <variant>

namespace velum::dpsgd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Every statistic below is taken from draws with a fixed key, so a test passes always or never.
// "False alarm" is the probability, over keys, that a correct sampler would fail.
const kernels::RandomKey kKey = kernels::insecure_key_from_seed(20240607);

std::vector<std::vector<std::int64_t>> draw(PoissonSampler& sampler, int steps) {
  std::vector<std::vector<std::int64_t>> batches;
  for (int step = 0; step < steps; ++step) batches.push_back(sampler.next());
  return batches;
}

TEST(PoissonSampler, IndicesAreAscendingWithoutRepetitionAndInRange) {
  PoissonSampler sampler(1000, 0.3, kKey);
  for (const auto& batch : draw(sampler, 100)) {
    EXPECT_TRUE(std::is_sorted(batch.begin(), batch.end(), std::less_equal<>()));
    ASSERT_FALSE(batch.empty());
    EXPECT_GE(batch.front(), 0);
    EXPECT_LT(batch.back(), 1000);
  }
}

TEST(PoissonSampler, FullRateIsTheWholeDataSetInOrder) {
  PoissonSampler sampler(7, 1.0);
  EXPECT_THAT(sampler.next(), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(sampler.next(), ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

// Each sample, the first and the last included, is drawn with probability q. Two-sided bound of
// 6.5 standard deviations for 64 samples: false alarm below 64 * 1e-10.
TEST(PoissonSampler, EverySampleIsIncludedAtTheSamplingRate) {
  constexpr int kSteps = 20000;
  constexpr double kRate = 0.1;
  PoissonSampler sampler(64, kRate, kKey);
  std::vector<double> counts(64);
  for (const auto& batch : draw(sampler, kSteps)) {
    for (const std::int64_t index : batch) counts[static_cast<std::size_t>(index)] += 1;
  }
  const double deviation = std::sqrt(kSteps * kRate * (1 - kRate));
  for (const double count : counts) EXPECT_NEAR(count, kSteps * kRate, 6.5 * deviation);
}

// The sizes have the variance n q (1 - q) of independent inclusions: a shuffled fixed-size batch
// has none, a geometric one more. The sample variance of k draws deviates by about
// sqrt(2 / k) relative; 7 deviations: false alarm below 1e-11.
TEST(PoissonSampler, BatchSizesAreBinomial) {
  constexpr int kSteps = 20000;
  constexpr double kSize = 500, kRate = 0.05;
  PoissonSampler sampler(500, kRate, kKey);
  double sum = 0, squares = 0;
  for (const auto& batch : draw(sampler, kSteps)) {
    const double centred = static_cast<double>(batch.size()) - kSize * kRate;
    sum += centred;
    squares += centred * centred;
  }
  const double variance = kSize * kRate * (1 - kRate);
  EXPECT_NEAR(sum / kSteps, 0, 7 * std::sqrt(variance / kSteps));
  // Excess kurtosis (1 - 6 q (1 - q)) / variance widens the deviation slightly.
  const double kurtosis = (1 - 6 * kRate * (1 - kRate)) / variance;
  EXPECT_NEAR(squares / kSteps, variance, 7 * variance * std::sqrt((2 + kurtosis) / kSteps));
}

// Two samples are drawn together with probability q^2, in one step and across steps: no sample
// follows another, and a step does not repeat the last. False alarm below 2 * 64 * 1e-10.
TEST(PoissonSampler, InclusionsAreIndependentWithinAndBetweenSteps) {
  constexpr int kSteps = 20000, kSize = 64;
  constexpr double kRate = 0.2;
  PoissonSampler sampler(kSize, kRate, kKey);
  std::vector<char> last(kSize), now(kSize);
  std::vector<double> with_next(kSize), with_last(kSize);
  for (const auto& batch : draw(sampler, kSteps)) {
    std::fill(now.begin(), now.end(), 0);
    for (const std::int64_t index : batch) now[static_cast<std::size_t>(index)] = 1;
    for (std::size_t i = 0; i < kSize; ++i) {
      with_next[i] += now[i] * now[(i + 1) % kSize];
      with_last[i] += now[i] * last[i];
    }
    last = now;
  }
  const double both = kRate * kRate;
  // Consecutive products share a factor: the variance of their sum is at most three times that of
  // independent ones.
  const double deviation = std::sqrt(3 * kSteps * both * (1 - both));
  for (std::size_t i = 0; i < kSize; ++i) {
    EXPECT_NEAR(with_next[i], kSteps * both, 6.5 * deviation);
    EXPECT_NEAR(with_last[i], kSteps * both, 6.5 * deviation);
  }
}

// With n q = 0.5 a batch is empty with probability (1 - q)^n = 0.605; leaving such steps out would
// show as a count of zero. False alarm below 1e-10.
TEST(PoissonSampler, EmptyBatchesAreStepsLikeAnyOther) {
  constexpr int kSteps = 10000;
  PoissonSampler sampler(50, 0.01, kKey);
  const auto batches = draw(sampler, kSteps);
  const auto empty = std::count_if(batches.begin(), batches.end(),
                                   [](const auto& batch) { return batch.empty(); });
  const double probability = std::pow(0.99, 50);
  EXPECT_NEAR(static_cast<double>(empty), kSteps * probability,
              6.5 * std::sqrt(kSteps * probability * (1 - probability)));
  EXPECT_EQ(sampler.next_step(), kSteps);
}

TEST(PoissonSampler, TinyRatesAreNotRoundedUp) {
  PoissonSampler sampler(1000, std::numeric_limits<double>::min(), kKey);
  for (const auto& batch : draw(sampler, 100)) EXPECT_THAT(batch, IsEmpty());
}

TEST(PoissonSampler, SameKeyAndPositionGiveTheSameBatches) {
  PoissonSampler a(300, 0.5, kKey, 3), b(300, 0.5, kKey, 3);
  const auto batches = draw(a, 5);
  EXPECT_EQ(batches, draw(b, 5));
  PoissonSampler late(300, 0.5, kKey, 3, 4);
  EXPECT_EQ(late.next(), batches[4]);
}

// Two batches of 300 fair coins are equal with probability 2^-300.
TEST(PoissonSampler, StepsEpochsAndKeysGiveOtherBatches) {
  PoissonSampler first(300, 0.5, kKey), other_epoch(300, 0.5, kKey, 1);
  const auto batch = first.next();
  EXPECT_NE(batch, first.next());
  EXPECT_NE(batch, other_epoch.next());
  EXPECT_NE(batch, PoissonSampler(300, 0.5, kernels::insecure_key_from_seed(1)).next());
}

TEST(PoissonSampler, WithoutAKeyTheBatchesAreNotReproducible) {
  EXPECT_NE(PoissonSampler(300, 0.5).next(), PoissonSampler(300, 0.5).next());
}

TEST(PoissonSampler, ExpectedBatchSizeDoesNotDependOnTheBatch) {
  PoissonSampler sampler(1000, 0.0123, kKey);
  EXPECT_DOUBLE_EQ(sampler.expected_batch_size(), 12.3);
  (void)sampler.next();
  EXPECT_DOUBLE_EQ(sampler.expected_batch_size(), 12.3);
}

TEST(PoissonSampler, MechanismIsWhatIsDone) {
  EXPECT_EQ(PoissonSampler::neighbouring(), Neighbouring::kAddOrRemoveOne);
  const Mechanism sampled = PoissonSampler(10, 0.25, kKey).mechanism(1.5);
  ASSERT_TRUE(std::holds_alternative<PoissonSampledGaussianMechanism>(sampled));
  EXPECT_EQ(std::get<PoissonSampledGaussianMechanism>(sampled).sampling_rate, 0.25);
  EXPECT_EQ(std::get<PoissonSampledGaussianMechanism>(sampled).noise_multiplier, 1.5);
  const Mechanism full = PoissonSampler(10, 1.0, kKey).mechanism(1.5);
  ASSERT_TRUE(std::holds_alternative<GaussianMechanism>(full));
  EXPECT_EQ(std::get<GaussianMechanism>(full).noise_multiplier, 1.5);
}

void expect_refused(std::int64_t size, double rate, std::int64_t first_step, const char* message) {
  try {
    PoissonSampler sampler(size, rate, kKey, 0, first_step);
    ADD_FAILURE() << "expected: " << message;
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(PoissonSampler, ValuesOutOfRangeAreRefused) {
  expect_refused(0, 0.5, 0, "PoissonSampler: dataset_size = 0, expected 1 to 2^35");
  expect_refused((std::int64_t{1} << 35) + 1, 0.5, 0, "dataset_size = 34359738369");
  expect_refused(5, 0.0, 0, "PoissonSampler: sampling_rate = 0, expected above 0 and at most 1");
  expect_refused(5, 1.5, 0, "sampling_rate = 1.5");
  expect_refused(5, -0.1, 0, "sampling_rate = -0.1");
  expect_refused(5, std::nan(""), 0, "sampling_rate = nan");
  expect_refused(5, 0.5, -1, "PoissonSampler: first_step = -1, expected at least 0");
  EXPECT_THROW(PoissonSampler(5, 0.5, kKey).mechanism(-1.0), std::invalid_argument);
  EXPECT_THROW(PoissonSampler(5, 0.5, kKey).mechanism(std::nan("")), std::invalid_argument);
}

}  // namespace
}  // namespace velum::dpsgd
