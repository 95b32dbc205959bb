// Clipping by groups, automatically and with a norm that adapts: what each bounds, on gradients
// that are known, huge, tiny, cancelling or not finite, and what the noise has to be.
#include "velum/dpsgd/clipping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "dpsgd/support/known_gradients.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/kernels/random/gaussian.h"

namespace velum::testing {
namespace {

using at::Tensor;
using dpsgd::AdaptiveClipping;
using dpsgd::Clipping;
using dpsgd::ClippingGroup;
using dpsgd::EngineState;
using dpsgd::PoissonSampler;
using dpsgd::PrivacyEngine;
using dpsgd::PrivacyOptions;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();
const kernels::RandomKey kKey = kernels::insecure_key_from_seed(8);

using Row = KnownGradients::Row;

/// One record each that would pass a careless clip.
std::vector<Row> adversarial_rows() {
  return {{0.3, 0.2, 0.1, 1.0, 0.5},
          {1e30, 1e30, 1e20, 1e10, 1.0},
          {-1e37, 1e-30, 1e-20, 1e-10, 0.0},
          {1e-30, -1e37, 0, 0, 0},
          {0, 0, 1e25, -1e10, -1.0},      // cancels over its steps
          {0.1, 0.1, 3e30, 1e-30, -1.0},  // and here by halves
          {0, 0, 0, 0, 0},
          {1e-38, 1e-38, 1e-19, 1e-19, 1.0},
          {kNan, 0.5, 0.1, 1.0, 0.0},
          {0.5, kInfinity, 0.1, 1.0, 0.0},
          {0.5, 0.5, kNan, 1.0, 0.0},
          {0.5, -0.5, kInfinity, 0.0, 1.0},
          {5, 0, 0, 0, 0},
          {0, 5, 0, 0, 0},
          {-3, 4, 5, 1, 1}};
}

std::vector<Clipping> every_kind() {
  return {Clipping::flat(0.7),
          Clipping::per_layer({0.3, 0.5, 0.2}),
          Clipping::by_groups({{{2, 0}, 0.4}, {{1}, 3.0}}),
          Clipping::automatic(0.7),
          Clipping::automatic(20.0, 1e-3),
          Clipping::automatic(1e-3, 100.0),
          Clipping::adaptive({.initial_norm = 0.7, .count_noise = 1.0})};
}

class OneSampleUnderEveryClipping
    : public ::testing::TestWithParam<std::tuple<std::size_t, at::ScalarType>> {
 protected:
  OneSampleUnderEveryClipping() : model(std::get<1>(GetParam())) {}
  Clipping clipping = every_kind()[std::get<0>(GetParam())];
  KnownGradients model;

  /// What rounding can add to the distance of two sums of at most `rows` rows, as in
  /// neighbouring_test.cpp.
  double bound(std::size_t rows) const {
    const double b = static_cast<double>(rows);
    const double unit = std::get<1>(GetParam()) == torch::kFloat ? 0x1p-24 : 0x1p-53;
    return clipping.sensitivity() * (1 + 2 * (b * b + b * 1024) * unit);
  }
};

TEST_P(OneSampleUnderEveryClipping, MovesTheSumByAtMostTheSensitivity) {
  const std::vector<Row> rows = adversarial_rows();
  const std::vector<Tensor> all = model.sum(rows, clipping);
  for (const Tensor& part : all) ASSERT_TRUE(part.isfinite().all().item<bool>());
  for (std::size_t removed = 0; removed < rows.size(); ++removed) {
    std::vector<Row> rest = rows;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(removed));
    EXPECT_LE(distance(all, model.sum(rest, clipping)), bound(rows.size())) << removed;
  }
}

TEST_P(OneSampleUnderEveryClipping, AloneHasAtMostTheSensitivity) {
  for (const Row& row : adversarial_rows()) {
    const std::vector<Tensor> sum = model.sum({row}, clipping);
    double square = 0;
    for (const Tensor& part : sum) square += length(part) * length(part);
    EXPECT_LE(std::sqrt(square), bound(1));
  }
}

// A clip that shrinks too much would pass the tests above.
TEST_P(OneSampleUnderEveryClipping, UsesUpTheSensitivity) {
  const std::vector<Tensor> sum = model.sum({{3e4, 4e4, 1e4, 1, 1}}, clipping);
  double square = 0;
  for (const Tensor& part : sum) square += length(part) * length(part);
  EXPECT_GE(std::sqrt(square), clipping.sensitivity() * (1 - 4e-3));
}

INSTANTIATE_TEST_SUITE_P(Kinds, OneSampleUnderEveryClipping,
                         ::testing::Combine(::testing::Range(std::size_t{0}, every_kind().size()),
                                            ::testing::Values(torch::kFloat, torch::kDouble)),
                         [](const auto& instance) {
                           const std::size_t kind = std::get<0>(instance.param);
                           return std::string(to_string(every_kind()[kind].kind())) +
                                  std::to_string(kind) + c10::toString(std::get<1>(instance.param));
                         });

// Groups

TEST(ClippingByGroups, EachPartIsClippedByItsOwnNorm) {
  const KnownGradients model(torch::kDouble);
  // Norms 0.2, 5 and, with w's two columns and steps alike, 3 * 2 * sqrt(2).
  const auto sum = model.sum({{0.2, 5, 3, 1, 1}}, Clipping::per_layer({0.5, 0.25, 2.0}));
  EXPECT_NEAR(length(sum[0]), 0.2, 1e-12);  // below its bound: unchanged
  EXPECT_NEAR(length(sum[1]), 0.25, 1e-12);
  EXPECT_NEAR(length(sum[2]), 2.0, 1e-12);
  const auto joined =
      model.sum({{3, 4, 0, 0, 0}}, Clipping::by_groups({{{1, 0}, 2.5}, {{2}, 1.0}}));
  EXPECT_NEAR(length(joined[0]), 1.5, 1e-12);
  EXPECT_NEAR(length(joined[1]), 2.0, 1e-12);
  EXPECT_EQ(length(joined[2]), 0);
}

TEST(ClippingByGroups, APartThatIsNotFiniteIsZeroAndTheOthersStay) {
  const KnownGradients model(torch::kFloat);
  const auto sum = model.sum({{kNan, 0.2, 0, 0, 0}}, Clipping::per_layer({1.0, 1.0, 1.0}));
  EXPECT_EQ(length(sum[0]), 0);
  EXPECT_NEAR(length(sum[1]), 0.2, 1e-6);
}

TEST(ClippingByGroups, TheSensitivityIsTheRootOfTheSquares) {
  EXPECT_NEAR(Clipping::per_layer({3, 4, 12}).sensitivity(), 13, 1e-12);
  EXPECT_GE(Clipping::per_layer({3, 4, 12}).sensitivity(), 13);
  EXPECT_EQ(Clipping::per_layer({0.1}).sensitivity(), 0.1);
  for (const std::int64_t groups : {1, 2, 3, 7, 161, 5000}) {
    const double share = Clipping::equal_share(0.3, groups);
    const auto equal =
        Clipping::per_layer(std::vector<double>(static_cast<std::size_t>(groups), share));
    EXPECT_NEAR(equal.sensitivity(), 0.3, 1e-12) << groups;
    EXPECT_LE(static_cast<long double>(share) * share * groups, 0.3L * 0.3L) << groups;
  }
}

/// Zero gradients, so that `.grad` times the divisor is the noise itself.
struct NoiseOnly {
  static constexpr std::int64_t kSize = 40000;
  Tensor a = torch::zeros({kSize}, torch::requires_grad());
  Tensor b = torch::zeros({kSize}, torch::requires_grad());
  std::vector<Tensor> parameters() const { return {a, b}; }
};

/// The standard deviation of n normals is off by 1/sqrt(2n) relative; six of these: a false alarm
/// once in 5e8 comparisons.
void expect_standard_deviation(const Tensor& noise, double expected) {
  const double n = static_cast<double>(noise.numel());
  const double measured = std::sqrt(noise.to(torch::kDouble).square().mean().item<double>());
  EXPECT_NEAR(measured / expected, 1.0, 6 / std::sqrt(2 * n));
}

TEST(ClippingByGroups, EveryCoordinateGetsNoiseOfTheWholeSensitivity) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);  // expects 10
  PrivacyEngine engine(model.parameters(), sampler,
                       {.clipping = Clipping::per_layer({0.3, 0.4}), .noise_multiplier = 2.0});
  const auto statistics = engine.finish_step();
  EXPECT_NEAR(statistics.sensitivity, 0.5, 1e-12);
  for (const Tensor& p : model.parameters()) expect_standard_deviation(p.grad() * 10, 2.0 * 0.5);
  EXPECT_EQ(engine.mechanism(), sampler.mechanism(2.0));
}

TEST(ClippingByGroups, GroupsThatAreNoPartitionAreRefused) {
  using Groups = std::vector<ClippingGroup>;
  EXPECT_THAT(
      [] {
        Clipping::by_groups(Groups{{{0, 1}, 1.0}, {{1}, 1.0}});
      },
      ThrowsMessage<std::invalid_argument>(
          "Clipping::by_groups: groups[1] names parameter = 1, expected it in one group "
          "only"));
  EXPECT_THAT(
      [] {
        Clipping::by_groups(Groups{{{0}, 1.0}, {{2}, 1.0}});
      },
      ThrowsMessage<std::invalid_argument>(
          "Clipping::by_groups: groups[1] names parameter = 2, expected 0 to 1, each in "
          "exactly one group"));
  EXPECT_THROW(Clipping::by_groups(Groups{{{-1}, 1.0}}), std::invalid_argument);
  EXPECT_THROW(Clipping::by_groups(Groups{{{0}, 1.0}, {{}, 1.0}}), std::invalid_argument);
  EXPECT_THROW(Clipping::by_groups(Groups{}), std::invalid_argument);
  for (const double norm : {0.0, -1.0, kNan, kInfinity, 1e-130}) {
    EXPECT_THROW(Clipping::per_layer({1.0, norm}), std::invalid_argument) << norm;
  }
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);
  const auto engine = [&](const Clipping& clipping) {
    return PrivacyEngine(model.parameters(), sampler,
                         {.clipping = clipping, .noise_multiplier = 1.0});
  };
  EXPECT_THAT([&] { engine(Clipping::per_layer({1.0})); },
              ThrowsMessage<std::invalid_argument>(
                  HasSubstr("the groups of options.clipping name 1 parameters, expected 2")));
  EXPECT_THROW(engine(Clipping::per_layer({1.0, 1.0, 1.0})), std::invalid_argument);
  EXPECT_NO_THROW(engine(Clipping::per_layer({1.0, 1.0})));
}

// Automatic clipping

TEST(AutomaticClipping, IsTheQuotientOfThePaper) {
  const KnownGradients model(torch::kDouble);
  for (const double norm : {1e-6, 1e-3, 0.01, 0.5, 3.0, 1e8}) {
    for (const double gamma : {1e-4, 0.01, 2.0}) {
      const auto sum = model.sum({{norm, 0, 0, 0, 0}}, Clipping::automatic(0.3, gamma));
      EXPECT_NEAR(length(sum[0]) / (0.3 * norm / (norm + gamma)), 1.0, 1e-12);
    }
  }
}

TEST(AutomaticClipping, AFactorAboveOneOverflowsNothing) {
  const KnownGradients model(torch::kFloat);
  // ||g|| = 1e-39 * 3e38 * 2 sqrt(2) = 0.85, far from overflow; its factor of 1e6 would take 3e38
  // beyond the largest float if it met it first.
  const auto sum = model.sum({{0, 0, 1e-39, 3e38, 1}}, Clipping::automatic(1e6));
  EXPECT_NEAR(length(sum[2]) / (1e6 * 0.8485 / (0.8485 + 0.01)), 1.0, 1e-3);
}

TEST(AutomaticClipping, NoiseHasStandardDeviationSigmaC) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);  // expects 10
  PrivacyEngine engine(model.parameters(), sampler,
                       {.clipping = Clipping::automatic(0.3, 0.05), .noise_multiplier = 2.0});
  EXPECT_EQ(engine.finish_step().sensitivity, 0.3);
  for (const Tensor& p : model.parameters()) expect_standard_deviation(p.grad() * 10, 2.0 * 0.3);
}

TEST(AutomaticClipping, ValuesOutOfRangeAreRefused) {
  EXPECT_THAT([] { Clipping::automatic(1.0, 0.0); },
              ThrowsMessage<std::invalid_argument>(
                  "Clipping::automatic: stability = 0, expected 2^-60 to 2^60"));
  for (const double bad : {0.0, -1.0, kNan, kInfinity, 1e40}) {
    EXPECT_THROW(Clipping::automatic(bad), std::invalid_argument) << bad;
    EXPECT_THROW(Clipping::automatic(1.0, bad), std::invalid_argument) << bad;
  }
}

// Adaptive clipping

constexpr double kNoNoise = 1e-300;  // count_noise must be above zero

AdaptiveClipping adaptive_clipping(double initial_norm, double count_noise) {
  return {.initial_norm = initial_norm, .count_noise = count_noise};
}

/// The centred count that a step without noise had, from how it moved C.
double count_of(const PrivacyEngine& engine, double before) {
  const AdaptiveClipping& adaptive = engine.options().clipping.adaptive();
  const double share =
      adaptive.quantile - std::log(engine.sensitivity() / before) / adaptive.learning_rate;
  return (share - 0.5) * engine.expected_batch_size();
}

TEST(AdaptiveClipping, TheNormMovesTowardsTheQuantile) {
  const KnownGradients model(torch::kDouble);
  const PoissonSampler sampler(1000, 0.01);  // expects 10, whatever comes
  AdaptiveClipping adaptive = adaptive_clipping(1.0, kNoNoise);
  adaptive.quantile = 0.7;
  adaptive.learning_rate = 0.3;
  PrivacyEngine engine(model.parameters(), sampler,
                       {.clipping = Clipping::adaptive(adaptive), .noise_multiplier = 0});
  // Three of four are below C = 1, one of them by far.
  engine.accumulate(model.losses({{0.5, 0, 0, 0, 0}, {2.0, 0, 0, 0, 0}}));
  engine.accumulate(model.losses({{0.9, 0, 0, 0, 0}, {1e-9, 0, 0, 0, 0}}));
  EXPECT_EQ(engine.finish_step().sensitivity, 1.0);
  // 3 of 4: 1/2 + (3 * 1/2 - 1/2) / 10 = 0.6.
  const double second = std::exp(-0.3 * (0.6 - 0.7));
  EXPECT_NEAR(engine.sensitivity(), second, 1e-12);
  // The second step is clipped to it: a large gradient shows by how much.
  EXPECT_NEAR(engine.backward(model.losses({{1e5, 0, 0, 0, 0}})).sensitivity, second, 1e-12);
  EXPECT_NEAR(length(model.a.grad()) * 10, second, 1e-9);
  EXPECT_NEAR(engine.sensitivity(), second * std::exp(-0.3 * (0.45 - 0.7)), 1e-12);
}

TEST(AdaptiveClipping, ASampleMovesTheCountByAtMostHalf) {
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const KnownGradients model(type);
    const PoissonSampler sampler(100, 0.1);
    const auto count = [&](const std::vector<Row>& rows) {
      PrivacyEngine engine(model.parameters(), sampler,
                           {.clipping = Clipping::adaptive(adaptive_clipping(0.7, kNoNoise)),
                            .noise_multiplier = 0});
      engine.backward(model.losses(rows));
      return count_of(engine, 0.7);
    };
    const std::vector<Row> rows = adversarial_rows();
    const double all = count(rows);
    double most = 0;
    for (std::size_t removed = 0; removed < rows.size(); ++removed) {
      std::vector<Row> rest = rows;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(removed));
      most = std::max(most, std::abs(all - count(rest)));
    }
    EXPECT_LE(most, 0.5 + 1e-9);
    EXPECT_GE(most, 0.5 - 1e-9);
  }
}

// Of B samples whose norms are C up to rounding, a batch of another size may round each the other
// way: they must not all be counted differently.
TEST(AdaptiveClipping, TheRoundingOfANormDoesNotMoveTheCountByASample) {
  const KnownGradients model(torch::kDouble);
  const PoissonSampler sampler(1, 1.0);
  std::vector<double> counts;
  for (const double norm : {1 - 1e-7, 1 + 1e-7}) {
    PrivacyEngine engine(
        model.parameters(), sampler,
        {.clipping = Clipping::adaptive(adaptive_clipping(1.0, kNoNoise)), .noise_multiplier = 0});
    engine.backward(model.losses(std::vector<Row>(100, {norm, 0, 0, 0, 0})));
    counts.push_back(count_of(engine, 1.0));
  }
  EXPECT_LE(std::abs(counts[0] - counts[1]), 100 * 2e-7 * 33);
}

// The joint release: scaled to noise of deviation one, a sample moves sum and count together by
// 1 / z and no more.
TEST(AdaptiveClipping, SumAndCountTogetherCostTheNoiseMultiplier) {
  for (const double z : {1e-3, 0.1, 0.7, 1.1, 5.0, 400.0}) {
    for (const double over : {1 + 1e-9, 1.001, 1.5, 10.0, 1e6, 1e200}) {
      const double count_noise = z / 2 * over;
      const auto clipping = Clipping::adaptive(adaptive_clipping(0.1, count_noise));
      const double sum_noise = clipping.sum_noise_multiplier(z);
      EXPECT_GT(sum_noise, z);
      const auto squared_shift = [&](double of_sum) {
        const long double a = 1.0L / of_sum;
        const long double b = 0.5L / count_noise;
        return a * a + b * b;
      };
      const long double allowed = 1.0L / (static_cast<long double>(z) * z);
      EXPECT_LE(squared_shift(sum_noise), allowed * (1 + 0x1p-60L));  // long double's rounding
      EXPECT_GE(squared_shift(sum_noise * (1 - 1e-13)), allowed * (1 - 1e-12L / (over - 1)))
          << z << " " << over;
    }
  }
  EXPECT_EQ(Clipping::flat(1.0).sum_noise_multiplier(1.3), 1.3);
  EXPECT_EQ(Clipping::adaptive(adaptive_clipping(1.0, 1.0)).sum_noise_multiplier(0), 0);
}

TEST(AdaptiveClipping, NoiseOfSumAndCountIsWhatWasAccounted) {
  const NoiseOnly model;
  constexpr double kSigma = 1.2;
  constexpr double kCountNoise = 0.8;  // so that the sum's noise is 1 / sqrt(1 - 0.75^2) as large
  const PoissonSampler sampler(100, 0.1);  // expects 10
  const auto clipping = Clipping::adaptive(adaptive_clipping(0.3, kCountNoise));
  PrivacyEngine engine(
      model.parameters(), sampler,
      {.clipping = clipping, .noise_multiplier = kSigma, .insecure_test_key = kKey});
  double expected_norm = 0.3;
  for (std::uint64_t step = 0; step < 3; ++step) {
    const auto statistics = engine.finish_step();
    EXPECT_NEAR(statistics.sensitivity, expected_norm, 1e-12 * expected_norm);
    for (const Tensor& p : model.parameters()) {
      expect_standard_deviation(p.grad() * 10, kSigma / std::sqrt(1 - 0.75 * 0.75) * expected_norm);
    }
    // The count, here 0, has noise of its own place in the stream.
    double draw = 0;
    kernels::gaussian_fill(kernels::Span<double>(&draw, 1), kKey,
                           {kernels::Purpose::kClippingCount, 0, step, 0},
                           kernels::Stream::serial());
    expected_norm *= std::exp(-0.2 * (0.5 + kCountNoise * draw / 10 - 0.5));
    EXPECT_NEAR(engine.sensitivity(), expected_norm, 1e-12 * expected_norm);
  }
  dpsgd::RdpAccountant books;
  books.compose(sampler.mechanism(kSigma), 3);
  EXPECT_EQ(engine.epsilon(1e-5), books.epsilon(1e-5));
}

TEST(AdaptiveClipping, TooLittleNoiseOnTheCountIsRefused) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);
  const auto engine = [&](double count_noise) {
    return PrivacyEngine(model.parameters(), sampler,
                         {.clipping = Clipping::adaptive(adaptive_clipping(1.0, count_noise)),
                          .noise_multiplier = 1.0});
  };
  EXPECT_THAT([&] { engine(0.5); },
              ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Clipping::adaptive: count_noise = 0.5, expected above half of the "
                            "noise multiplier, 0.5")));
  EXPECT_NO_THROW(engine(0.51));
}

TEST(AdaptiveClipping, TheNormStaysWithinItsBounds) {
  const KnownGradients model(torch::kDouble);
  const PoissonSampler sampler(1, 1.0);
  AdaptiveClipping adaptive = adaptive_clipping(1.0, kNoNoise);
  adaptive.smallest_norm = 0.5;
  adaptive.largest_norm = 2.0;
  adaptive.learning_rate = 10;
  PrivacyEngine engine(model.parameters(), sampler,
                       {.clipping = Clipping::adaptive(adaptive), .noise_multiplier = 0});
  engine.backward(model.losses(std::vector<Row>(1000, {1e-3, 0, 0, 0, 0})));
  EXPECT_EQ(engine.sensitivity(), 0.5);
  engine.backward(model.losses(std::vector<Row>(1000, {1e3, 0, 0, 0, 0})));
  EXPECT_EQ(engine.sensitivity(), 2.0);
}

TEST(AdaptiveClipping, AResumedRunGoesOnFromTheSameNorm) {
  const KnownGradients model(torch::kDouble);
  const PoissonSampler sampler(100, 0.1);
  const PrivacyOptions options{.clipping = Clipping::adaptive(adaptive_clipping(1.0, 5.0)),
                               .noise_multiplier = 1.0,
                               .insecure_test_key = kKey};
  PrivacyEngine first(model.parameters(), sampler, options);
  for (int step = 0; step < 3; ++step) first.backward(model.losses({{0.1, 0, 0, 0, 0}}));
  const EngineState state = first.state();
  ASSERT_TRUE(state.clipping_norm.has_value());
  EXPECT_NE(*state.clipping_norm, 1.0);
  PrivacyEngine second(model.parameters(), sampler, options, state);
  EXPECT_EQ(second.sensitivity(), first.sensitivity());
  // Other noise from here on.
  first.finish_step();
  second.finish_step();
  EXPECT_NE(second.sensitivity(), first.sensitivity());

  EngineState bad = state;
  bad.clipping_norm.reset();
  EXPECT_THAT([&] { PrivacyEngine(model.parameters(), sampler, options, bad); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("state.clipping_norm is missing")));
  for (const double norm : {0.0, -1.0, kNan, kInfinity, 1e-30}) {
    bad.clipping_norm = norm;
    EXPECT_THROW(PrivacyEngine(model.parameters(), sampler, options, bad), std::invalid_argument)
        << norm;
  }
  PrivacyOptions flat = options;
  flat.clipping = Clipping::flat(1.0);
  EXPECT_THAT([&] { PrivacyEngine(model.parameters(), sampler, flat, state); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("state.clipping_norm is given")));
}

class RefuseSecond final : public dpsgd::ReleaseGuard {
 public:
  void before_release(const dpsgd::Mechanism& /*mechanism*/, std::string_view /*label*/) override {
    if (++asked_ == 2) throw dpsgd::BudgetExceeded("no more");
  }

 private:
  int asked_ = 0;
};

TEST(AdaptiveClipping, ARefusedStepReleasesNoCountAndLeavesNone) {
  const KnownGradients model(torch::kDouble);
  const PoissonSampler sampler(1, 1.0);
  PrivacyOptions options{.clipping = Clipping::adaptive(adaptive_clipping(1.0, kNoNoise)),
                         .noise_multiplier = 0};
  options.release_guard = std::make_shared<RefuseSecond>();
  PrivacyEngine engine(model.parameters(), sampler, options);
  engine.backward(model.losses({{0.1, 0, 0, 0, 0}}));
  const double norm = engine.sensitivity();
  EXPECT_THROW(engine.backward(model.losses(std::vector<Row>(5, {0.1, 0, 0, 0, 0}))),
               dpsgd::BudgetExceeded);
  EXPECT_EQ(engine.sensitivity(), norm);
  engine.finish_step();  // an empty batch: the count of the refused step is gone
  EXPECT_NEAR(count_of(engine, norm), 0, 1e-12);
}

TEST(AdaptiveClipping, ValuesOutOfRangeAreRefused) {
  const auto with = [](const auto& change) {
    AdaptiveClipping adaptive = adaptive_clipping(1.0, 1.0);
    change(adaptive);
    return [adaptive] { Clipping::adaptive(adaptive); };
  };
  EXPECT_THAT(with([](AdaptiveClipping& a) { a.quantile = 1.0; }),
              ThrowsMessage<std::invalid_argument>(
                  "Clipping::adaptive: quantile = 1, expected above 0 and below 1"));
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_THROW(with([&](auto& a) { a.quantile = bad; })(), std::invalid_argument);
    EXPECT_THROW(with([&](auto& a) { a.learning_rate = bad; })(), std::invalid_argument);
    EXPECT_THROW(with([&](auto& a) { a.count_noise = bad; })(), std::invalid_argument);
    EXPECT_THROW(with([&](auto& a) { a.initial_norm = bad; })(), std::invalid_argument);
    EXPECT_THROW(with([&](auto& a) { a.smallest_norm = bad; })(), std::invalid_argument);
    EXPECT_THROW(with([&](auto& a) { a.largest_norm = bad; })(), std::invalid_argument);
  }
  EXPECT_THROW(Clipping::flat(1.0).adaptive(), std::logic_error);
}

// Values

TEST(Clipping, ReadsBackFromJsonWithTheSameBits) {
  for (const Clipping& clipping : every_kind()) {
    EXPECT_EQ(Clipping::from_json(clipping.to_json()), clipping) << clipping.to_json();
    for (const Clipping& other : every_kind()) {
      EXPECT_EQ(clipping == other, clipping.to_json() == other.to_json());
    }
  }
  EXPECT_EQ(Clipping::flat(0.1).to_json(), R"({"kind":"flat","clipping_norm":0.1})");
  EXPECT_EQ(Clipping::per_layer({0.5}).to_json(),
            R"({"kind":"groups","groups":[{"parameters":[0],"clipping_norm":0.5}]})");
}

TEST(Clipping, TextThatIsNoClippingIsRefused) {
  for (const char* text :
       {"", "{}", "[]", R"({"kind":"none","clipping_norm":1})", R"({"kind":"flat"})",
        R"({"kind":"flat","clipping_norm":-1})", R"({"kind":"flat","clipping_norm":"1"})",
        R"({"kind":"flat","clipping_norm":1,"more":2})", R"({"kind":"groups","groups":[]})",
        R"({"kind":"groups","groups":[{"parameters":[1],"clipping_norm":1}]})",
        R"({"kind":"automatic","clipping_norm":1})"}) {
    EXPECT_THROW(Clipping::from_json(text), std::invalid_argument) << text;
  }
}

TEST(Clipping, IsToldInWords) {
  EXPECT_EQ(Clipping::flat(0.1).to_text(), "flat: gradients are clipped to norm 0.1");
  EXPECT_EQ(Clipping::per_layer({3, 4}).to_text(),
            "by groups: the parts of a gradient in 2 groups of parameters are clipped to 3, 4; "
            "together norm 5");
  EXPECT_EQ(Clipping::automatic(0.1, 0.01).to_text(),
            "automatic (AUTO-S): a gradient g is multiplied by 0.1 / (||g|| + 0.01)");
  EXPECT_THAT(Clipping::adaptive(adaptive_clipping(0.1, 3.0)).to_text(),
              HasSubstr("adaptive: gradients are clipped to a norm that begins at 0.1"));
}

}  // namespace
}  // namespace velum::testing
