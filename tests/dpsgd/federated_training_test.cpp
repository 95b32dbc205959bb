#include "velum/dpsgd/training/federated_training.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace velum::dpsgd {
namespace {

using kernels::Span;
using kernels::Stream;

constexpr std::int64_t kInputs = 3970;

/// Rows as `unit_scattering_rows` leaves them: not negative, of norm 1, the last column open.
at::Tensor random_rows(std::int64_t count, std::uint64_t seed) {
  at::manual_seed(seed);
  at::Tensor rows = at::zeros({count, kInputs}, at::kFloat);
  const at::Tensor features = at::rand({count, kInputs - 1}, at::kDouble).square();
  rows.narrow(1, 0, kInputs - 1).copy_(features / (features.norm(2, {1}, true) * (1.0 + 1e-6)));
  return rows;
}

at::Tensor random_labels(std::int64_t count, std::uint64_t seed) {
  at::manual_seed(seed);
  return at::randint(10, {count}, at::kLong);
}

FederatedOptions small_options() {
  return {.owners = 3, .honest = 2, .examples = 60, .epsilon = 3.0, .steps = 4};
}

std::vector<std::int32_t> sum_of(const std::vector<std::vector<std::int32_t>>& contributions) {
  std::vector<std::int32_t> sum(contributions.front().size(), 0);
  for (const auto& contribution : contributions) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += contribution[i];
  }
  return sum;
}

double distance(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
  }
  return std::sqrt(squares);
}

TEST(FederatedPlanTest, AllReleasesStayWithinTheBudgetAndUseIt) {
  for (const double epsilon : {0.7, 3.0, 8.0}) {
    FederatedOptions options = small_options();
    options.examples = 60000;
    options.steps = 60;
    options.epsilon = epsilon;
    const FederatedPlan plan = make_federated_plan(options);
    RdpAccountant accountant;
    accountant.compose(plan.releases());
    EXPECT_LE(accountant.epsilon(options.delta), epsilon);
    EXPECT_GT(accountant.epsilon(options.delta), 0.995 * epsilon);
  }
}

TEST(FederatedPlanTest, NoiseOfTheHonestOwnersAloneIsTheNoiseThatIsAccountedFor) {
  FederatedOptions options = small_options();
  options.owners = 5;
  for (const int honest : {1, 2, 5}) {
    options.honest = honest;
    const FederatedPlan plan = make_federated_plan(options);
    for (const FederatedRelease* release : {&plan.mean, &plan.step}) {
      const double deviation =
          std::sqrt(honest * kernels::double_at_most(release->noise.share_variance));
      // Of wide noise next to nothing is lost for being discrete: rho = Delta^2 / (2 sigma^2).
      const double rho = std::pow(release->sensitivity / deviation, 2) / 2;
      RdpAccountant exact, accountant;
      exact.compose(ZeroConcentratedMechanism{rho});
      accountant.compose(release->mechanism);
      EXPECT_NEAR(accountant.epsilon(1e-5), exact.epsilon(1e-5), 1e-6);
      EXPECT_GE(accountant.epsilon(1e-5), exact.epsilon(1e-5) * (1 - 1e-9));
    }
  }
}

TEST(FederatedPlanTest, RefusesWhatIsOutOfRangeByName) {
  const auto text_of = [](auto change) {
    FederatedOptions options = small_options();
    change(options);
    try {
      make_federated_plan(options);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  using Options = FederatedOptions;
  EXPECT_THAT(text_of([](Options& o) { o.owners = 1; }), testing::HasSubstr("owners = 1"));
  EXPECT_THAT(text_of([](Options& o) { o.honest = 0; }), testing::HasSubstr("honest = 0"));
  EXPECT_THAT(text_of([](Options& o) { o.honest = 4; }), testing::HasSubstr("honest = 4"));
  EXPECT_THAT(text_of([](Options& o) { o.examples = 0; }), testing::HasSubstr("examples = 0"));
  EXPECT_THAT(text_of([](Options& o) { o.bits = 25; }), testing::HasSubstr("bits = 25"));
  EXPECT_THAT(text_of([](Options& o) { o.clipping_norm = NAN; }),
              testing::HasSubstr("clipping_norm = nan"));
  EXPECT_THAT(text_of([](Options& o) { o.epsilon = 1e-4, o.bits = 16; }),
              testing::HasSubstr("leaves no room in 16 bits"));
}

/// Owners of 20 rows each and what they do.
class FederatedTrainingTest : public testing::Test {
 protected:
  std::unique_ptr<FederatedOwner> owner(int number, std::uint64_t noise_seed,
                                        std::int64_t count = 20) {
    return std::make_unique<FederatedOwner>(
        plan_, random_rows(20, static_cast<std::uint64_t>(number)).narrow(0, 0, count).clone(),
        random_labels(20, 100 + static_cast<std::uint64_t>(number)).narrow(0, 0, count).clone(),
        guard_, Stream::serial(), kernels::insecure_key_from_seed(noise_seed));
  }

  FederatedPlan plan_ = make_federated_plan(small_options());
  std::shared_ptr<ReleaseGuard> guard_ = nullptr;
};

TEST_F(FederatedTrainingTest, AnExampleMovesAnOwnersIntegersByAtMostTheSensitivity) {
  const auto with = owner(0, 7), without = owner(0, 7, 19), other = owner(1, 8);
  for (std::int64_t round = 0; round < plan_.rounds(); ++round) {
    const auto a = with->contribute(), b = without->contribute(), c = other->contribute();
    const double moved = distance(a, b);  // the noise is the same
    EXPECT_LE(moved, plan_.release(round).sensitivity);
    // A whole row of norm 1, or a gradient that is clipped to C, is moved.
    EXPECT_GE(moved, 0.9 * static_cast<double>(plan_.release(round).grid));
    const auto sum = sum_of({a, c});
    for (FederatedOwner* each : {with.get(), without.get(), other.get()}) each->apply(sum);
  }
}

TEST_F(FederatedTrainingTest, RowsThatAreNotFiniteOrTooLongMoveNothingMore) {
  at::Tensor rows = random_rows(20, 0);
  const at::Tensor labels = random_labels(20, 100);
  const auto make = [&](std::int64_t count) {
    return FederatedOwner(plan_, rows.narrow(0, 0, count).clone(), labels.narrow(0, 0, count),
                          nullptr, Stream::serial(), kernels::insecure_key_from_seed(7));
  };
  rows[19].mul_(50.0);
  EXPECT_LE(distance(make(20).contribute(), make(19).contribute()), plan_.mean.sensitivity);
  rows[19][5] = NAN;
  EXPECT_EQ(make(20).contribute(), make(19).contribute());
  rows[19][5] = INFINITY;
  EXPECT_EQ(make(20).contribute(), make(19).contribute());
}

TEST_F(FederatedTrainingTest, TheSumIsThatOfAllClippedGradientsToTheNearestInteger) {
  FederatedOptions options = small_options();
  options.epsilon = 1e9;  // noise of a few units
  options.delta = 0.5;
  plan_ = make_federated_plan(options);
  std::vector<std::unique_ptr<FederatedOwner>> owners;
  for (int i = 0; i < 3; ++i) owners.push_back(owner(i, 50 + static_cast<std::uint64_t>(i)));
  std::vector<at::Tensor> rows;
  at::Tensor weight = at::zeros({10, kInputs}, at::kDouble), momentum = at::zeros_like(weight);
  for (int i = 0; i < 3; ++i) rows.push_back(random_rows(20, static_cast<std::uint64_t>(i)));
  for (std::int64_t round = 0; round < plan_.rounds(); ++round) {
    const FederatedRelease& release = plan_.release(round);
    std::vector<std::vector<std::int32_t>> contributions;
    for (auto& each : owners) contributions.push_back(each->contribute());
    const auto sum = sum_of(contributions);
    at::Tensor expected = at::zeros({release.dimension}, at::kDouble);
    for (int i = 0; i < 3; ++i) {
      for (std::int64_t row = 0; row < 20; ++row) {
        const at::Tensor x = rows[static_cast<std::size_t>(i)][row].to(at::kDouble);
        at::Tensor gradient = x.narrow(0, 0, kInputs - 1);
        if (round > 0) {
          at::Tensor error = at::softmax(weight.mv(x), 0);
          const auto label = random_labels(20, 100 + static_cast<std::uint64_t>(i))[row];
          error[label.item<std::int64_t>()] -= 1.0;
          gradient = at::outer(error, x).reshape({-1});
        }
        const double norm = gradient.norm().item<double>();
        expected += gradient * std::min(1.0, release.clipping_norm / norm);
      }
    }
    expected *= static_cast<double>(release.grid) / release.clipping_norm;
    const double deviation =
        std::sqrt(3.0 * kernels::double_at_most(release.noise.share_variance) + 0.25);
    double squares = 0;
    for (std::int64_t i = 0; i < release.dimension; ++i) {
      const double off = sum[static_cast<std::size_t>(i)] - expected[i].item<double>();
      squares += off * off;
    }
    // 3969 or more independent errors: their mean square is within 15 % of its expectation but
    // with a probability below 1e-6; another gradient, clip or unit is off by more than that.
    const double expectation = deviation * deviation * static_cast<double>(release.dimension);
    EXPECT_LT(squares, 1.15 * expectation) << round;
    for (auto& each : owners) each->apply(sum);
    if (round == 0) {
      for (at::Tensor& each : rows) {
        apply_scatter_feature_map(owners.front()->model().features(), each, Stream::serial());
      }
    } else {
      const at::Tensor gradient =
          at::tensor(std::vector<double>(sum.begin(), sum.end())).view({10, kInputs}) *
          (release.clipping_norm / static_cast<double>(release.grid) / 60.0);
      momentum = 0.9 * momentum + gradient;
      weight = weight - plan_.learning_rate * momentum;
      EXPECT_TRUE(
          at::allclose(owners.front()->model().model()->parameters()[0], weight, 1e-9, 1e-12));
    }
  }
}

TEST_F(FederatedTrainingTest, EveryOwnerAddsItsShareOfTheNoise) {
  const auto a = owner(0, 1), b = owner(0, 2);
  const auto first = a->contribute(), second = b->contribute();
  double squares = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    squares += std::pow(static_cast<double>(first[i]) - second[i], 2);
  }
  const auto n = static_cast<double>(plan_.mean.dimension);
  const double expected = 2.0 * kernels::double_at_most(plan_.mean.noise.share_variance);
  // The mean of n squares has a relative deviation of sqrt(2 / n); 6 of them: 1e-9.
  EXPECT_NEAR(squares / n / expected, 1.0, 6.0 * std::sqrt(2.0 / n));
}

TEST_F(FederatedTrainingTest, ARoundHasOneContributionAndOneSum) {
  const auto each = owner(0, 1);
  const std::vector<std::int32_t> nothing(static_cast<std::size_t>(plan_.values()), 0);
  EXPECT_THROW(each->apply(nothing), std::logic_error);
  each->contribute();
  EXPECT_THROW(each->contribute(), std::logic_error);
  EXPECT_THROW(each->apply(Span<const std::int32_t>(nothing.data(), 7)), std::invalid_argument);
  each->apply(nothing);
  EXPECT_THROW(each->apply(nothing), std::logic_error);
}

TEST_F(FederatedTrainingTest, BooksForAnotherRelationOrUnitAreRefused) {
  struct ReplaceOne final : ReleaseGuard {
    void before_release(const Mechanism&, std::string_view) override {}
    std::optional<Neighbouring> neighbouring() const override { return Neighbouring::kReplaceOne; }
  };
  guard_ = std::make_shared<ReplaceOne>();
  EXPECT_THROW(owner(0, 1), std::invalid_argument);
  struct OfPeople final : ReleaseGuard {
    void before_release(const Mechanism&, std::string_view) override {}
    std::optional<std::string> unit() const override { return "person"; }
  };
  guard_ = std::make_shared<OfPeople>();
  EXPECT_THROW(owner(0, 1), std::invalid_argument);
}

TEST_F(FederatedTrainingTest, TheBooksAreAskedFirstAndEpsilonIsTheirs) {
  struct Refuse final : ReleaseGuard {
    void before_release(const Mechanism&, std::string_view label) override {
      asked.emplace_back(label);
      if (refuse) throw BudgetExceeded("no");
    }
    std::vector<std::string> asked;
    bool refuse = true;
  };
  const auto guard = std::make_shared<Refuse>();
  guard_ = guard;
  const auto each = owner(0, 1);
  EXPECT_THROW(each->contribute(), BudgetExceeded);
  EXPECT_EQ(each->accountant().epsilon(1e-5), 0.0);
  guard->refuse = false;
  const std::vector<std::int32_t> nothing(static_cast<std::size_t>(plan_.values()), 0);
  for (std::int64_t round = 0; round < plan_.rounds(); ++round) {
    each->contribute();
    each->apply(nothing);
  }
  EXPECT_THAT(guard->asked, testing::SizeIs(plan_.rounds() + 1));
  RdpAccountant planned;
  planned.compose(plan_.releases());
  EXPECT_EQ(each->accountant().epsilon(1e-5), planned.epsilon(1e-5));
  EXPECT_LE(planned.epsilon(1e-5), 3.0);
}

}  // namespace
}  // namespace velum::dpsgd
