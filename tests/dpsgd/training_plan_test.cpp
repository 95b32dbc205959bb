#include "velum/dpsgd/training/training_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;

/// delta of mu-Gaussian privacy at epsilon (arXiv 1805.06530, Theorem 8), by the C library alone.
double gaussian_delta_by_erfc(double mu, double epsilon) {
  const auto phi = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  return phi(mu / 2 - epsilon / mu) - std::exp(epsilon) * phi(-mu / 2 - epsilon / mu);
}

double epsilon_of(const TrainingPlan& plan) {
  RdpAccountant accountant;
  accountant.compose(plan.planned_releases());
  return accountant.epsilon(plan.delta);
}

TEST(TrainingPlan, DefaultIsTheMeasuredRecipe) {
  const TrainingPlan plan = make_training_plan({.epsilon = 3.0}, 60000);
  EXPECT_EQ(plan.sampling_rate, 1.0);
  EXPECT_EQ(plan.steps, 60);
  EXPECT_EQ(plan.steps_per_epoch, 1);
  EXPECT_EQ(plan.clipping_norm, 0.1);
  EXPECT_EQ(plan.momentum, 0.9);
  EXPECT_NEAR(plan.learning_rate, 960, 1e-9);
  // Noise as in the experiments: mu(3, 1e-5) = 0.71912, of which 0.12 goes to the mean.
  ASSERT_EQ(plan.preparation.size(), 1u);
  EXPECT_NEAR(plan.preparation[0].noise_multiplier, 1 / (0.12 * 0.71912), 1e-4);
  EXPECT_NEAR(plan.noise_multiplier, 10.850, 5e-4);
  EXPECT_NEAR(make_training_plan({.epsilon = 1.0}, 60000).noise_multiplier, 29.108, 2e-3);
  EXPECT_NEAR(make_training_plan({.epsilon = 2.0}, 60000).noise_multiplier, 15.556, 1e-3);
}

// Every release is counted: the mean and the steps together spend the budget and no more.
TEST(TrainingPlan, AllReleasesTogetherSpendTheBudget) {
  for (const double epsilon : {0.1, 1.0, 3.0, 8.0}) {
    for (const FeatureRecipe recipe : {FeatureRecipe::kShapes, FeatureRecipe::kMoments}) {
      const TrainingPlan plan = make_training_plan({.recipe = recipe, .epsilon = epsilon}, 60000);
      double squared_mu =
          static_cast<double>(plan.steps) / (plan.noise_multiplier * plan.noise_multiplier);
      for (const PreparatoryRelease& release : plan.preparation) {
        squared_mu += 1 / (release.noise_multiplier * release.noise_multiplier);
      }
      const double delta = gaussian_delta_by_erfc(std::sqrt(squared_mu), epsilon);
      EXPECT_NEAR(delta, 1e-5, 1e-5 * 1e-6) << epsilon;
      EXPECT_EQ(plan.preparation.size(), recipe == FeatureRecipe::kShapes ? 1u : 3u);
    }
  }
}

class TrainingPlanOverModels
    : public ::testing::TestWithParam<std::tuple<ModelKind, double, double>> {};

TEST_P(TrainingPlanOverModels, PlannedReleasesStayWithinTheBudget) {
  const auto& [model, epsilon, sampling_rate] = GetParam();
  const TrainingPlan plan = make_training_plan(
      {.model = model, .epsilon = epsilon, .steps = 50, .sampling_rate = sampling_rate}, 60000);
  EXPECT_LE(epsilon_of(plan), plan.epsilon);
  EXPECT_GT(epsilon_of(plan), plan.epsilon * (1 - 1e-4));
  EXPECT_EQ(plan.epsilon, epsilon);
}

// The budget of a run with given noise is what that noise costs.
TEST_P(TrainingPlanOverModels, GivenNoiseIsPriced) {
  const auto& [model, unused, sampling_rate] = GetParam();
  const TrainingPlan plan = make_training_plan(
      {.model = model, .noise_multiplier = 2.5, .steps = 50, .sampling_rate = sampling_rate},
      60000);
  EXPECT_EQ(plan.noise_multiplier, 2.5);
  EXPECT_EQ(plan.epsilon, epsilon_of(plan));
  EXPECT_TRUE(std::isfinite(plan.epsilon));
}

TEST_P(TrainingPlanOverModels, JsonGivesThePlanBack) {
  const auto& [model, epsilon, sampling_rate] = GetParam();
  TrainingPlan plan = make_training_plan({.data_directory = "/a \"quoted\" folder",
                                          .model = model,
                                          .epsilon = epsilon,
                                          .sampling_rate = sampling_rate},
                                         60000);
  const auto expect_same = [&plan] {
    const TrainingPlan copy = TrainingPlan::from_json(plan.to_json());
    EXPECT_EQ(copy.to_json(), plan.to_json());
    EXPECT_EQ(copy.planned_releases(), plan.planned_releases());
    EXPECT_EQ(copy.learning_rate, plan.learning_rate);
    EXPECT_EQ(copy.insecure_seed, plan.insecure_seed);
  };
  expect_same();
  plan.insecure_seed = ~std::uint64_t{0};
  expect_same();
  plan.ledger = LedgerUse{"/a/ledger", "id", "images", "run"};
  expect_same();
  plan.views = 4;
  plan.average_decay = 0.25;
  plan.held_out = 1000;
  plan.centre_pixels = true;
  expect_same();
  const TrainingPlan copy = TrainingPlan::from_json(plan.to_json());
  EXPECT_EQ(copy.views, 4);
  EXPECT_EQ(copy.average_decay, 0.25);
  EXPECT_EQ(copy.held_out, 1000);
  EXPECT_TRUE(copy.centre_pixels);
  EXPECT_EQ(copy.ledger->data_set, "images");
}

INSTANTIATE_TEST_SUITE_P(All, TrainingPlanOverModels,
                         ::testing::Combine(::testing::Values(ModelKind::kScatterLinear,
                                                              ModelKind::kCnn, ModelKind::kMlp),
                                            ::testing::Values(0.5, 3.0),
                                            ::testing::Values(0.01, 0.5, 1.0)));

TEST(TrainingPlan, PricingAndCalibrationAgree) {
  const TrainingPlan calibrated = make_training_plan({.epsilon = 3.0}, 60000);
  const TrainingPlan priced =
      make_training_plan({.noise_multiplier = calibrated.noise_multiplier}, 60000);
  EXPECT_NEAR(priced.epsilon, 3.0, 1e-6);
  EXPECT_NEAR(priced.preparation[0].noise_multiplier, calibrated.preparation[0].noise_multiplier,
              1e-6);
}

TEST(TrainingPlan, LearningRateFollowsEpsilonAndClippingNorm) {
  const auto rate = [](double epsilon, std::optional<double> clipping_norm = {}) {
    return make_training_plan({.epsilon = epsilon, .clipping_norm = clipping_norm}, 60000)
        .learning_rate;
  };
  EXPECT_NEAR(rate(1), 360, 1e-9);
  EXPECT_NEAR(rate(2), 660, 1e-9);
  EXPECT_NEAR(rate(std::sqrt(2.0)), std::sqrt(360.0 * 660.0), 1e-9);
  EXPECT_NEAR(rate(8), 1600, 1e-9);
  EXPECT_NEAR(rate(0.5), 360.0 * 360.0 / 660.0, 1e-9);
  EXPECT_NEAR(rate(2, 0.2), 330, 1e-9);
}

TEST(TrainingPlan, NetworksHaveDefaultsOfTheirOwn) {
  const TrainingPlan cnn = make_training_plan({.model = ModelKind::kCnn, .epsilon = 3.0}, 60000);
  EXPECT_EQ(cnn.sampling_rate, 2048.0 / 60000);
  EXPECT_EQ(cnn.steps, 1172);  // 40 passes
  EXPECT_EQ(cnn.learning_rate, 4);
  EXPECT_TRUE(cnn.centre_pixels);
  EXPECT_EQ(cnn.average_decay, 0.995);
  EXPECT_EQ(cnn.views, 0);
  const TrainingPlan mlp = make_training_plan({.model = ModelKind::kMlp, .epsilon = 3.0}, 60000);
  EXPECT_EQ(mlp.sampling_rate, 4096.0 / 60000);
  EXPECT_EQ(mlp.steps, 879);  // 60 passes
  EXPECT_EQ(mlp.learning_rate, 8);
  const TrainingPlan small = make_training_plan({.model = ModelKind::kMlp, .epsilon = 3.0}, 1000);
  EXPECT_EQ(small.sampling_rate, 0.25);
}

TEST(TrainingPlan, EpochsAreExpectedPasses) {
  const TrainingPlan plan = make_training_plan(
      {.model = ModelKind::kCnn, .epsilon = 3.0, .epochs = 2.5, .batch_size = 600}, 60000);
  EXPECT_EQ(plan.sampling_rate, 0.01);
  EXPECT_EQ(plan.steps_per_epoch, 100);
  EXPECT_EQ(plan.steps, 250);
}

void expect_refused(const TrainingOptions& options, const char* message) {
  try {
    make_training_plan(options, 100);
    ADD_FAILURE() << "expected: " << message;
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(TrainingPlan, OptionsThatDoNotFitAreRefused) {
  expect_refused({}, "how private? give epsilon or noise_multiplier");
  expect_refused({.epsilon = 1.0, .noise_multiplier = 1.0}, "say the same thing: give one");
  expect_refused({.epsilon = 1.0, .epochs = 1.0, .steps = 1}, "say the same thing: give one");
  expect_refused({.epsilon = 1.0, .sampling_rate = 0.1, .batch_size = 1},
                 "say the same thing: give one");
  expect_refused({.dataset = "cifar", .epsilon = 1.0},
                 "dataset = cifar, expected fashion-mnist or idx");
  expect_refused({.dataset = "idx", .epsilon = 1.0}, "needs the data directory");
  expect_refused({.epsilon = 0.0}, "epsilon = 0, expected finite and above 0");
  expect_refused({.epsilon = 1.0, .batch_size = 101},
                 "batch_size = 101, expected at most the number of examples, 100");
  expect_refused({.noise_multiplier = 1e-300}, "noise_multiplier = 1e-300");
  expect_refused({.epsilon = 1.0, .views = 2}, "views belong to a model that sees images");
  expect_refused({.model = ModelKind::kCnn, .epsilon = 1.0, .views = 1025},
                 "views = 1025, expected 0 to 1024");
  expect_refused({.epsilon = 1.0, .average_decay = 1.0}, "average_decay = 1, expected");
  expect_refused({.epsilon = 1.0, .clipping_quantile = 0.5},
                 "clipping_quantile belongs to the clipping adaptive, not to flat");
  expect_refused({.epsilon = 1.0, .clipping = ClippingKind::kAdaptive, .clipping_stability = 0.1},
                 "clipping_stability belongs to the clipping automatic, not to adaptive");
  expect_refused({.epsilon = 1.0, .clipping = ClippingKind::kAdaptive, .clipping_quantile = 1.0},
                 "quantile = 1, expected above 0 and below 1");
  expect_refused(
      {.noise_multiplier = 4.0, .clipping = ClippingKind::kAdaptive, .clipping_count_noise = 2.0},
      "count_noise = 2, expected above half of the noise multiplier, 2");
  expect_refused({.epsilon = 1.0, .held_out = -1}, "held_out = -1, expected at least 0");
  expect_refused({.epsilon = 1.0, .held_out = 1, .ledger_file = "l", .ledger_data_set = "d"},
                 "held_out does not go with a ledger");
}

TEST(TrainingPlan, ClippingIsDecidedKeptAndCostsNothingMore) {
  const auto plan_of = [](ClippingKind clipping, ModelKind model = ModelKind::kCnn) {
    return make_training_plan({.model = model,
                               .epsilon = 3.0,
                               .steps = 100,
                               .sampling_rate = 0.01,
                               .clipping = clipping,
                               .clipping_norm = 0.5},
                              60000);
  };
  const TrainingPlan flat = plan_of(ClippingKind::kFlat);
  EXPECT_EQ(flat.clipping, Clipping::flat(0.5));
  const double share = Clipping::equal_share(0.5, 4);
  EXPECT_EQ(
      plan_of(ClippingKind::kPerLayer).clipping,
      Clipping::by_groups({{{0, 1}, share}, {{2, 3}, share}, {{4, 5}, share}, {{6, 7}, share}}));
  EXPECT_EQ(plan_of(ClippingKind::kAutomatic).clipping, Clipping::automatic(0.5, 0.01));
  EXPECT_EQ(plan_of(ClippingKind::kAdaptive).clipping,
            Clipping::adaptive({.initial_norm = 0.5, .count_noise = 30}));  // of 600 expected
  // Little is expected, and much noise: the count gets no less than the sum.
  const TrainingPlan small = make_training_plan({.model = ModelKind::kMlp,
                                                 .noise_multiplier = 7.0,
                                                 .steps = 1,
                                                 .sampling_rate = 0.01,
                                                 .clipping = ClippingKind::kAdaptive},
                                                1000);
  EXPECT_EQ(small.clipping.adaptive().count_noise, 7.0);
  for (const ClippingKind kind : {ClippingKind::kFlat, ClippingKind::kPerLayer,
                                  ClippingKind::kAutomatic, ClippingKind::kAdaptive}) {
    const TrainingPlan plan = plan_of(kind);
    EXPECT_EQ(clipping_kind_from_string(to_string(kind)), kind);
    EXPECT_EQ(plan.noise_multiplier, flat.noise_multiplier);
    EXPECT_EQ(plan.step_mechanism(), flat.step_mechanism());  // sum and count together
    EXPECT_EQ(plan.clipping_norm, 0.5);
    const TrainingPlan read = TrainingPlan::from_json(plan.to_json());
    EXPECT_EQ(read.clipping, plan.clipping);
    EXPECT_EQ(read.to_json(), plan.to_json());
    // An older velum must not go on with a run that it would clip otherwise.
    EXPECT_EQ(plan.to_json().find("\"format\": 4") != std::string::npos,
              kind != ClippingKind::kFlat);
  }
  EXPECT_THROW(clipping_kind_from_string("groups"), std::invalid_argument);
}

TEST(TrainingPlan, UsersAreWhatIsCountedDrawnAndBooked) {
  const TrainingOptions options{.model = ModelKind::kMlp,
                                .users_file = "users.txt",
                                .max_samples_per_user = 700,
                                .epsilon = 3.0,
                                .batch_size = 50};
  const TrainingPlan plan = make_training_plan(options, 60000, 1000);
  EXPECT_TRUE(plan.by_user());
  EXPECT_EQ(plan.unit_count(), 1000);
  EXPECT_EQ(plan.sampling_rate, 0.05);
  EXPECT_EQ(plan.steps_per_epoch, 20);
  EXPECT_EQ(plan.physical_batch_size, 700);  // all of a user fit
  EXPECT_EQ(plan.planned_releases().phases().front().label, "training, by user");
  // As private as training on as many examples at that rate.
  TrainingOptions examples = options;
  examples.users_file.clear();
  examples.max_samples_per_user.reset();
  EXPECT_EQ(plan.noise_multiplier, make_training_plan(examples, 1000).noise_multiplier);
  EXPECT_EQ(make_training_plan(examples, 1000).planned_releases().phases().front().label,
            "training");

  const TrainingPlan read = TrainingPlan::from_json(plan.to_json());
  EXPECT_EQ(read.to_json(), plan.to_json());
  EXPECT_EQ(read.users_file, "users.txt");
  EXPECT_EQ(read.user_count, 1000);
  EXPECT_EQ(read.max_samples_per_user, 700);
  EXPECT_THAT(plan.to_json(), HasSubstr("\"format\": 5"));
}

TEST(TrainingPlan, UsersThatDoNotFitAreRefused) {
  const auto error_of = [](const auto& change, std::optional<std::int64_t> users) -> std::string {
    TrainingOptions options{.model = ModelKind::kMlp, .users_file = "users.txt", .epsilon = 3.0};
    change(options);
    try {
      make_training_plan(options, 1000, users);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  const auto nothing = [](TrainingOptions&) {};
  EXPECT_EQ(error_of(nothing, 100), "");
  EXPECT_THAT(error_of(nothing, std::nullopt), HasSubstr("go together"));
  EXPECT_THAT(error_of([](auto& o) { o.users_file.clear(); }, 100), HasSubstr("go together"));
  EXPECT_THAT(error_of(nothing, 1001), HasSubstr("user_count = 1001, expected 1 to"));
  EXPECT_THAT(error_of([](auto& o) { o.model = ModelKind::kScatterLinear; }, 100),
              HasSubstr("users go with the models cnn and mlp"));
  EXPECT_THAT(error_of([](auto& o) { o.held_out = 10; }, 100), HasSubstr("does not go with users"));
  EXPECT_THAT(error_of([](auto& o) { o.max_samples_per_user = 0; }, 100),
              HasSubstr("max_samples_per_user = 0, expected at least 1"));
  EXPECT_THAT(error_of(
                  [](auto& o) {
                    o.users_file.clear();
                    o.max_samples_per_user = 3;
                  },
                  std::nullopt),
              HasSubstr("max_samples_per_user belongs to the training of users"));
  EXPECT_THAT(error_of([](auto& o) { o.batch_size = 101; }, 100),
              HasSubstr("batch_size = 101, expected at most the number of users, 100"));
}

TEST(TrainingPlan, TextThatIsNoPlanIsRefused) {
  const std::string good = make_training_plan({.epsilon = 3.0}, 60000).to_json();
  EXPECT_THROW(TrainingPlan::from_json(""), std::invalid_argument);
  EXPECT_THROW(TrainingPlan::from_json("{}"), std::invalid_argument);
  for (const auto& [from, to] :
       {std::pair("\"format\": 1", "\"format\": 2"), std::pair("scatter-linear", "vit"),
        std::pair("\"steps\": 60", "\"steps\": \"60\""), std::pair("\"delta\"", "\"gamma\""),
        // Integers are integers, of 64 bits: nothing is cut off or wrapped.
        std::pair("\"steps\": 60", "\"steps\": 60.5"),
        std::pair("\"steps\": 60", "\"steps\": 1e36"),
        std::pair("\"steps\": 60", "\"steps\": 9223372036854775808")}) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), std::string::npos) << from;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_THROW(TrainingPlan::from_json(bad), std::invalid_argument) << to;
  }
}

}  // namespace
}  // namespace velum::dpsgd
