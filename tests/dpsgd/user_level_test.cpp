// User-level training: a user's samples are drawn together, their gradients added up and clipped
// once, and what is promised is about users.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "dpsgd/support/known_gradients.h"
#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"
#include "tape/tape.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/loader.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace velum::testing {
namespace {

using at::Tensor;
using dpsgd::Clipping;
using dpsgd::PoissonSampler;
using dpsgd::PrivacyEngine;
using dpsgd::PrivacyOptions;
using dpsgd::UserBatch;
using dpsgd::UserGradient;
using dpsgd::UserPoissonSampler;
using dpsgd::UserSamplingOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using Row = KnownGradients::Row;
using Users = std::vector<std::int64_t>;

const double kNan = std::numeric_limits<double>::quiet_NaN();
const kernels::RandomKey kKey = kernels::insecure_key_from_seed(9);

/// The real step without noise, expecting one user: the sum of the users' clipped gradients.
std::vector<Tensor> clipped_sum_of_users(const std::vector<Tensor>& parameters,
                                         const Tensor& losses, const Users& users,
                                         const Clipping& clipping, UserGradient gradient) {
  const UserPoissonSampler sampler({0}, 1.0);
  PrivacyEngine engine(parameters, sampler,
                       {.clipping = clipping, .noise_multiplier = 0, .user_gradient = gradient});
  engine.backward(losses, users);
  std::vector<Tensor> sum;
  for (const Tensor& parameter : parameters) sum.push_back(parameter.grad().clone());
  return sum;
}

// Every rule of the tape

class UsersOnEveryProblem : public ::testing::TestWithParam<ProblemFactory> {
 protected:
  UsersOnEveryProblem() { std::tie(single_, double_) = single_and_double(GetParam()); }

  /// Users of one, two and more samples, which do not stand together.
  static Users users_of(std::int64_t batch) {
    const Users pattern{5, -3, 5, 7, 7, 5, 0, -3, 8, 8, 9, 5};
    Users users;
    for (std::int64_t i = 0; i < batch; ++i) {
      users.push_back(pattern[static_cast<std::size_t>(i) % pattern.size()]);
    }
    return users;
  }

  void expect_sums(Problem& problem, double bound) {
    const std::int64_t batch = double_.inputs.size(0);
    const Users users = users_of(batch);
    const auto samples =
        reference::single_sample_gradients(double_.losses(double_.inputs), double_.parameters);
    for (const UserGradient kind : {UserGradient::kSum, UserGradient::kMean}) {
      std::map<std::int64_t, std::vector<Tensor>> of_user;
      std::map<std::int64_t, double> count;
      for (std::size_t i = 0; i < users.size(); ++i) {
        std::vector<Tensor>& sum = of_user[users[i]];
        if (sum.empty()) {
          for (const Tensor& part : samples[i]) sum.push_back(part.clone());
        } else {
          for (std::size_t p = 0; p < sum.size(); ++p) sum[p] += samples[i][p];
        }
        count[users[i]] += 1;
      }
      std::vector<std::vector<Tensor>> gradients;
      std::vector<double> norms;
      for (auto& [user, sum] : of_user) {
        if (kind == UserGradient::kMean) {
          for (Tensor& part : sum) part /= count[user];
        }
        gradients.push_back(sum);
        norms.push_back(reference::norm(sum));
      }
      std::sort(norms.begin(), norms.end());
      for (const double clipping_norm :
           {2 * norms.back() + 1, norms[norms.size() / 2] * 1.001 + 1e-6}) {
        const auto want = reference::clipped_sum(gradients, double_.parameters, clipping_norm);
        const auto got = clipped_sum_of_users(problem.parameters, problem.losses(problem.inputs),
                                              users, Clipping::flat(clipping_norm), kind);
        double scale = 0, error = 0;  // a parameter may cancel to nothing
        for (std::size_t p = 0; p < want.size(); ++p) {
          scale += want[p].square().sum().item<double>();
          error += (got[p].to(torch::kDouble) - want[p]).square().sum().item<double>();
        }
        EXPECT_LE(std::sqrt(error), bound * std::sqrt(scale)) << "C = " << clipping_norm;
      }
    }
  }

  Problem single_, double_;
};

TEST_P(UsersOnEveryProblem, AUsersGradientIsAddedUpAndClippedOnceInFloat64) {
  expect_sums(double_, 1e-11);
}

TEST_P(UsersOnEveryProblem, AUsersGradientIsAddedUpAndClippedOnceInFloat32) {
  expect_sums(single_, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Grid, UsersOnEveryProblem, ::testing::ValuesIn(every_problem()),
                         ProblemName());

// The neighbouring relation

/// Rows of several users. Some users' samples cancel one another, some are huge or not finite.
struct UsersRows {
  std::vector<Row> rows;
  Users users;
  void add(std::int64_t user, const Row& row) {
    rows.push_back(row);
    users.push_back(user);
  }
  UsersRows without(std::int64_t user) const {
    UsersRows rest;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (users[i] != user) rest.add(users[i], rows[i]);
    }
    return rest;
  }
};

UsersRows adversarial_users() {
  UsersRows all;
  all.add(1, {0.3, 0.2, 0.1, 1, 0.5});
  all.add(2, {1e6, -1e6, 1e3, 1e3, 1});  // cancel, up to what is left of 1e6
  all.add(2, {-1e6, 1e6, -1e3, 1e3, 1});
  all.add(3, {0.4, 0.4, 0.2, 1, 1});  // equal: their sum is longer than each
  for (int i = 0; i < 5; ++i) all.add(3, {0.4, 0.4, 0.2, 1, 1});
  all.add(4, {1e30, 1e30, 1e20, 1e5, 1});
  all.add(4, {-1e30, -1e30, -1e20, 1e5, 1});
  all.add(5, {kNan, 0.1, 0.1, 1, 1});
  all.add(5, {0.2, 0.1, 0.1, 1, 1});
  all.add(1, {-0.1, 0.4, 0.1, 1, 0.5});  // not beside its first one
  all.add(6, {1e-30, 1e-30, 1e-15, 1e-15, 1});
  all.add(7, {3e38, 0, 0, 0, 0});  // their sum overflows float32
  all.add(7, {3e38, 0, 0, 0, 0});
  all.add(8, {0, 0, 0, 0, 0});
  all.add(3, {0.4, 0.4, 0.2, 1, 1});
  return all;
}

std::vector<Clipping> every_kind() {
  return {Clipping::flat(0.7), Clipping::per_layer({0.3, 0.5, 0.2}), Clipping::automatic(0.7),
          Clipping::adaptive({.initial_norm = 0.7, .count_noise = 1.0})};
}

class OneUser
    : public ::testing::TestWithParam<std::tuple<std::size_t, at::ScalarType, UserGradient>> {
 protected:
  OneUser() : model(std::get<1>(GetParam())) {}
  Clipping clipping = every_kind()[std::get<0>(GetParam())];
  KnownGradients model;

  std::vector<Tensor> sum(const UsersRows& all) const {
    return clipped_sum_of_users(model.parameters(), model.losses(all.rows), all.users, clipping,
                                std::get<2>(GetParam()));
  }
  /// What rounding adds to the distance of two sums of n products each (docs/numerics.md, "The
  /// tape"): each is off by at most n u sum of f_b M_b, and f_b M_b <= 2^12 C where all cancel.
  double bound(double rows, double cancelling_users) const {
    const double unit = std::get<1>(GetParam()) == torch::kFloat ? 0x1p-24 : 0x1p-53;
    const double magnitudes = rows + cancelling_users * 0x1p12;
    return clipping.sensitivity() * (1 + 2 * 4 * rows * unit * magnitudes);
  }
};

TEST_P(OneUser, MovesTheSumByAtMostTheSensitivity) {
  const UsersRows all = adversarial_users();
  const std::vector<Tensor> with_all = sum(all);
  for (const Tensor& part : with_all) ASSERT_TRUE(part.isfinite().all().item<bool>());
  for (std::int64_t user = 1; user <= 8; ++user) {
    EXPECT_LE(distance(with_all, sum(all.without(user))),
              bound(static_cast<double>(all.rows.size()), 2))
        << user;
  }
}

// What another user's cancelling samples leave of the rounding of their own magnitude would drown
// everybody else's gradient if only the sum of theirs were measured.
TEST_P(OneUser, WhoseSamplesCancelLeavesTheOthersAlone) {
  UsersRows all;
  for (int user = 10; user < 40; ++user) all.add(user, {0.1, 0.1, 0.05, 1, 1});
  const std::vector<Tensor> alone = sum(all);
  all.add(2, {1e12, 1e12, 1e6, 1e6, 1});
  all.add(2, {-1e12, -1e12, -1e6, 1e6, 1});
  EXPECT_LE(distance(sum(all), alone), bound(32, 1));
}

TEST_P(OneUser, UsesUpTheSensitivity) {
  UsersRows one;
  for (int i = 0; i < 7; ++i) one.add(1, {3e4, 4e4, 1e4, 1, 1});
  double square = 0;
  for (const Tensor& part : sum(one)) square += length(part) * length(part);
  EXPECT_GE(std::sqrt(square), clipping.sensitivity() * (1 - 4e-3));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OneUser,
    ::testing::Combine(::testing::Range(std::size_t{0}, every_kind().size()),
                       ::testing::Values(torch::kFloat, torch::kDouble),
                       ::testing::Values(UserGradient::kSum, UserGradient::kMean)),
    [](const auto& instance) {
      return std::string(to_string(every_kind()[std::get<0>(instance.param)].kind())) +
             c10::toString(std::get<1>(instance.param)) +
             (std::get<2>(instance.param) == UserGradient::kSum ? "Sum" : "Mean");
    });

// Norms of groups, a few samples at a time

TEST(GroupedSquaredNorms, DoNotDependOnHowManySamplesAreHeldAtOnce) {
  torch::manual_seed(4);
  const Tensor rows = torch::randn({9, 5}, torch::kDouble);
  rows[6].fill_(kNan);
  const Users users{3, 3, 1, 3, 9, 9, 2, 1, 9};
  const dpsgd::detail::SampleGroups groups(users);
  ASSERT_THAT(groups.names(), ElementsAre(1, 2, 3, 9));
  for (const std::int64_t samples : {1, 2, 3, 4, 8, 9, 100}) {
    std::int64_t most = 0;
    const Tensor norms = dpsgd::detail::grouped_squared_norms(
        groups, 5, rows.options(), {.chunk_bytes = samples * 5 * 8},
        [&](std::int64_t begin, std::int64_t end) {
          most = std::max(most, end - begin);
          return rows.slice(0, begin, end);
        });
    EXPECT_LE(most, samples);
    const auto expected = [&](std::initializer_list<std::int64_t> members) {
      Tensor sum = torch::zeros({5}, torch::kDouble);
      for (const std::int64_t member : members) sum += rows[member];
      return sum.square().sum().item<double>();
    };
    EXPECT_NEAR(norms[0].item<double>(), expected({2, 7}), 1e-12);
    EXPECT_TRUE(std::isnan(norms[1].item<double>()));
    EXPECT_NEAR(norms[2].item<double>(), expected({0, 1, 3}), 1e-12);
    EXPECT_NEAR(norms[3].item<double>(), expected({4, 5, 8}), 1e-12);
  }
}

// The engine

struct UserEngine {
  KnownGradients model{torch::kDouble};
  UserPoissonSampler sampler{{4, 4, 4, 8, 8, 2, 1, 1, 1, 1}, 0.5};  // 4 users: expects 2
  PrivacyOptions options{.clipping = Clipping::flat(1.0), .noise_multiplier = 0};
  PrivacyEngine engine() const { return {model.parameters(), sampler, options}; }
};

TEST(UserLevelEngine, TheDivisorIsTheExpectedNumberOfUsers) {
  const UserEngine setup;
  PrivacyEngine engine = setup.engine();
  engine.backward(setup.model.losses({{0.1, 0, 0, 0, 0}, {0.3, 0, 0, 0, 0}, {0.5, 0, 0, 0, 0}}),
                  Users{7, 7, 1});
  // The mean of user 7 is 0.2.
  EXPECT_NEAR(length(setup.model.a.grad()), (0.2 + 0.5) / 2, 1e-12);
  EXPECT_EQ(engine.expected_batch_size(), 2);
  EXPECT_THAT(engine.unsafe_step_values().per_sample_norms,
              ElementsAre(::testing::DoubleNear(0.5, 1e-12), ::testing::DoubleNear(0.2, 1e-12)));
}

TEST(UserLevelEngine, AUserBelongsInOnePhysicalBatch) {
  const UserEngine setup;
  PrivacyEngine engine = setup.engine();
  const auto losses = [&](std::size_t rows) {
    return setup.model.losses(std::vector<Row>(rows, {0.1, 0, 0, 0, 0}));
  };
  engine.accumulate(losses(3), Users{4, 4, 8});
  EXPECT_THAT(
      [&] {
        engine.accumulate(losses(2), Users{2, 8});
      },
      ThrowsMessage<std::invalid_argument>(
          HasSubstr("a user of this physical batch was in an earlier one")));
  engine.accumulate(losses(1), Users{2});
  engine.finish_step();
  EXPECT_NEAR(length(setup.model.a.grad()), 3 * 0.1 / 2, 1e-12);  // nothing of the refused one
  EXPECT_NO_THROW(engine.backward(losses(2), Users{4, 8}));       // another step
}

TEST(UserLevelEngine, NeedsTheUserOfEveryLoss) {
  const UserEngine setup;
  PrivacyEngine engine = setup.engine();
  const auto losses = [&] { return setup.model.losses({{0.1, 0, 0, 0, 0}, {0.1, 0, 0, 0, 0}}); };
  EXPECT_THAT([&] { engine.backward(losses()); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("no users, expected the user of")));
  EXPECT_THAT([&] { engine.accumulate(losses(), Users{1}); },
              ThrowsMessage<std::invalid_argument>(
                  "PrivacyEngine::accumulate: users.size() = 1, expected losses.size(0) = 2"));
  const PoissonSampler samples(10, 0.1);
  PrivacyEngine by_sample(setup.model.parameters(), samples, setup.options);
  EXPECT_THAT(
      [&] {
        by_sample.backward(losses(), Users{1, 2});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("make the engine with a "
                                                     "UserPoissonSampler")));
  engine.accumulate(torch::zeros({0}, torch::kDouble), Users{});  // nobody was drawn
  EXPECT_NO_THROW(engine.finish_step());
}

class LabelOfRelease final : public dpsgd::ReleaseGuard {
 public:
  void before_release(const dpsgd::Mechanism& /*mechanism*/, std::string_view label) override {
    last = label;
  }
  std::string last;
};

TEST(UserLevelEngine, BooksAndStatementAreAboutUsers) {
  UserEngine setup;
  setup.options.noise_multiplier = 2.0;
  const auto guard = std::make_shared<LabelOfRelease>();
  setup.options.release_guard = guard;
  PrivacyEngine engine = setup.engine();
  engine.finish_step();
  EXPECT_EQ(guard->last, "training, by user");
  EXPECT_STREQ(engine.unit(), "user");
  dpsgd::RdpAccountant books;
  books.compose(dpsgd::PoissonSampledGaussianMechanism{0.5, 2.0}, 1);
  EXPECT_EQ(engine.epsilon(1e-5), books.epsilon(1e-5));
  const dpsgd::PrivacyStatement statement = engine.statement(1e-5);
  EXPECT_EQ(statement.unit, "user");
  const std::string text = statement.to_text(2000);
  EXPECT_THAT(text, HasSubstr("Unit of privacy: one user."));
  EXPECT_THAT(text, HasSubstr("one user is present or absent"));
  EXPECT_THAT(text, HasSubstr("every user takes part with probability 0.5, independently"));
  EXPECT_THAT(text, HasSubstr("Assumed public: the number of users;"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("every example")));
  const PoissonSampler samples(10, 0.5);
  PrivacyEngine by_sample(setup.model.parameters(), samples, setup.options);
  EXPECT_STREQ(by_sample.unit(), "example");
  EXPECT_EQ(by_sample.statement(1e-5).unit, "example");
}

TEST(UserLevelEngine, AdaptiveClippingCountsUsers) {
  UserEngine setup;
  setup.options.clipping = Clipping::adaptive({.initial_norm = 1.0, .count_noise = 1e-300});
  PrivacyEngine engine = setup.engine();
  // Users of mean norm 0.5 and 2: one of two is below.
  engine.backward(setup.model.losses({{0.5, 0, 0, 0, 0}, {0.5, 0, 0, 0, 0}, {2, 0, 0, 0, 0}}),
                  Users{1, 1, 2});
  EXPECT_NEAR(engine.sensitivity(), std::exp(-0.2 * (0.5 - 0.5)), 1e-12);
  engine.backward(setup.model.losses({{0.5, 0, 0, 0, 0}, {0.5, 0, 0, 0, 0}, {0.5, 0, 0, 0, 0}}),
                  Users{1, 1, 1});
  EXPECT_NEAR(engine.sensitivity(), std::exp(-0.2 * (0.75 - 0.5)), 1e-12);
}

TEST(UserLevelEngine, ResumesLikeAnyOther) {
  UserEngine setup;
  setup.options.noise_multiplier = 1.0;
  PrivacyEngine first = setup.engine();
  first.finish_step();
  PrivacyEngine second(setup.model.parameters(), setup.sampler, setup.options, first.state());
  EXPECT_EQ(second.epsilon(1e-5), first.epsilon(1e-5));
  EXPECT_EQ(second.finish_step().step, 2);
  EXPECT_EQ(second.state().key_epoch, 1u);
}

// The sampler

TEST(UserPoissonSampler, DrawsUsersWithAllTheirSamples) {
  const Users users{7, -1, 7, 3, -1, 7};
  UserPoissonSampler sampler(users, 0.5, {}, kKey);
  EXPECT_EQ(sampler.user_count(), 3);
  EXPECT_EQ(sampler.dataset_size(), 6);
  EXPECT_EQ(sampler.expected_batch_size(), 1.5);
  EXPECT_EQ(sampler.most_samples_of_a_user(), 3);
  std::set<std::vector<std::int64_t>> seen;
  for (int step = 0; step < 200; ++step) {
    const UserBatch batch = sampler.next();
    ASSERT_EQ(batch.samples.size(), batch.users.size());
    for (std::size_t i = 0; i < batch.samples.size(); ++i) {
      EXPECT_EQ(batch.users[i], users[static_cast<std::size_t>(batch.samples[i])]);
    }
    seen.insert(batch.samples);
  }
  // All eight sets of the three users, each user's samples together, ascending; 200 steps miss one
  // of them with probability below 1e-10.
  using Set = std::vector<std::int64_t>;
  const std::set<Set> expected{{},        {1, 4},          {3},          {0, 2, 5},
                               {1, 4, 3}, {1, 4, 0, 2, 5}, {3, 0, 2, 5}, {1, 4, 3, 0, 2, 5}};
  EXPECT_EQ(seen, expected);
}

// The users are those that a PoissonSampler of the same key draws: what is known about its rates
// and its independence holds for them.
TEST(UserPoissonSampler, DrawsUsersAsAPoissonSamplerDrawsSamples) {
  Users users;
  for (std::int64_t i = 0; i < 900; ++i) users.push_back(i / 3);
  UserPoissonSampler by_user(users, 0.1, {.max_samples_per_user = 2}, kKey, 3, 17);
  PoissonSampler by_sample(300, 0.1, kKey, 3, 17);
  EXPECT_EQ(by_user.next_step(), 17);
  EXPECT_EQ(by_user.mechanism(1.5), by_sample.mechanism(1.5));
  for (int step = 0; step < 20; ++step) {
    Users drawn;
    for (const std::int64_t user : by_user.next().users) {
      if (drawn.empty() || drawn.back() != user) drawn.push_back(user);
    }
    EXPECT_EQ(drawn, by_sample.next());
  }
}

TEST(UserPoissonSampler, TakesAtMostTheSamplesThatMay) {
  const Users users{0, 0, 0, 0, 0, 1, 1};
  UserPoissonSampler first(users, 1.0, {3, dpsgd::SampleChoice::kFirst}, kKey);
  EXPECT_THAT(first.next().samples, ElementsAre(0, 1, 2, 5, 6));
  EXPECT_EQ(first.most_samples_of_a_user(), 3);
  UserPoissonSampler uniform(users, 1.0, {3, dpsgd::SampleChoice::kUniform}, kKey);
  UserPoissonSampler again(users, 1.0, {3, dpsgd::SampleChoice::kUniform}, kKey);
  // Each of 10 subsets with probability 1/10; 6.5 standard deviations: false alarm below 1e-9.
  std::map<std::vector<std::int64_t>, int> counts;
  constexpr int kSteps = 20000;
  for (int step = 0; step < kSteps; ++step) {
    const UserBatch batch = uniform.next();
    ASSERT_THAT(batch.users, ElementsAre(0, 0, 0, 1, 1));
    ++counts[{batch.samples.begin(), batch.samples.begin() + 3}];
    ASSERT_EQ(batch.samples, again.next().samples);
  }
  EXPECT_EQ(counts.size(), 10u);
  for (const auto& [subset, count] : counts) {
    EXPECT_TRUE(std::is_sorted(subset.begin(), subset.end()));
    EXPECT_NEAR(count, kSteps * 0.1, 6.5 * std::sqrt(kSteps * 0.09));
  }
}

TEST(UserPoissonSampler, ValuesOutOfRangeAreRefused) {
  EXPECT_THAT([] { UserPoissonSampler({}, 0.1); },
              ThrowsMessage<std::invalid_argument>(
                  "UserPoissonSampler: user_of_sample.size() = 0, expected 1 to 2^35"));
  EXPECT_THAT([] { UserPoissonSampler({1}, 0.1, {.max_samples_per_user = 0}); },
              ThrowsMessage<std::invalid_argument>(
                  "UserPoissonSampler: max_samples_per_user = 0, expected at least 1"));
  for (const double rate : {0.0, -0.1, 1.1, kNan}) {
    EXPECT_THROW(UserPoissonSampler({1}, rate), std::invalid_argument) << rate;
  }
}

// The loader

TEST(UserLoader, NeverDividesAUser) {
  const Users users{0, 1, 0, 2, 1, 0, 3, 3, 2, 4};
  const Tensor inputs = torch::arange(10).view({10, 1});
  UserPoissonSampler sampler(users, 1.0);
  dpsgd::PoissonLoader loader(sampler, inputs, inputs, 4);
  std::vector<Users> parts;
  Users samples;
  for (const dpsgd::PhysicalBatch& batch : loader.steps(1)) {
    parts.push_back(batch.users);
    EXPECT_LE(batch.users.size(), 4u);
    ASSERT_EQ(batch.inputs.size(0), static_cast<std::int64_t>(batch.users.size()));
    for (std::size_t i = 0; i < batch.users.size(); ++i) {
      const auto sample = batch.inputs[static_cast<std::int64_t>(i)][0].item<std::int64_t>();
      EXPECT_EQ(sample, batch.indices[i]);
      EXPECT_EQ(users[static_cast<std::size_t>(sample)], batch.users[i]);
      samples.push_back(sample);
    }
  }
  EXPECT_THAT(parts,
              ElementsAre(ElementsAre(0, 0, 0), ElementsAre(1, 1, 2, 2), ElementsAre(3, 3, 4)));
  EXPECT_THAT(samples, ElementsAre(0, 2, 5, 1, 4, 3, 8, 6, 7, 9));
  EXPECT_THAT([&] { dpsgd::PoissonLoader(sampler, inputs, inputs, 2); },
              ThrowsMessage<std::invalid_argument>(
                  HasSubstr("physical_batch_size = 2, expected at least 3")));
}

TEST(UserLoader, AnEmptyLogicalBatchIsOneEmptyPhysicalBatch) {
  const Tensor inputs = torch::zeros({3, 2});
  UserPoissonSampler sampler({1, 1, 2}, 1e-9, {}, kKey);
  dpsgd::PoissonLoader loader(sampler, inputs, inputs, 2);
  const dpsgd::PhysicalBatch batch = loader.next();
  EXPECT_EQ(batch.inputs.sizes(), at::IntArrayRef({0, 2}));
  EXPECT_THAT(batch.users, IsEmpty());
  EXPECT_TRUE(batch.last_of_step);
}

}  // namespace
}  // namespace velum::testing
