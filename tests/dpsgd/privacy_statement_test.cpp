#include "velum/dpsgd/accounting/privacy_statement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>

#include "velum/dpsgd/accounting/pld_accountant.h"

namespace velum::dpsgd {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using Computed = PrivacyStatement::Computed;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Composition poisson_run() {
  Composition composition;
  composition.append(GaussianMechanism{11.588}, 1, "private mean");
  composition.append(PoissonSampledGaussianMechanism{0.01, 1.1}, 12000, "training");
  return composition;
}

PrivacyGuarantee guarantee_of(double epsilon, double delta, std::optional<double> lower = {}) {
  return {epsilon, delta, "privacy loss distribution, certified upper bound", std::nullopt, lower};
}

PrivacyStatement example() {
  PrivacyStatement statement =
      make_privacy_statement(poisson_run(), guarantee_of(3.14159265, 1e-5, 3.1399), "pld");
  statement.version = "1.2.3";
  return statement;
}

TEST(PrivacyStatement, IsCompleteAndFitsIntoEightyColumns) {
  EXPECT_EQ(example().to_text(),
            R"(All releases together are (epsilon = 3.1416, delta = 1e-05)-differentially
private; epsilon is a natural logarithm.

Unit of privacy: one example.
Neighbours: data sets in which one example is present or absent
  (add-or-remove-one).
Releases:
  - private mean: 1 x Gaussian, noise multiplier 11.588. Sampling: none: every
    release may use every example.
  - training: 12,000 x Poisson-sampled Gaussian, sampling rate 0.01, noise
    multiplier 1.1. Sampling: Poisson: every example takes part with probability
    0.01, independently.
Accountant: pld: privacy loss distribution, certified upper bound; certified:
  the exact epsilon at this delta lies in [3.1399, 3.1416].
Holds if: noise and samples are random and secret.
Assumed public: the number of examples; what is listed under releases, with all
  its numbers.
Not covered: choices made by looking at the data outside of these releases, such
  as hyperparameters; several examples of one person; other releases from the
  same data; how far floating-point noise is from that of the mechanism.
Computed by: velum 1.2.3.
)");
}

TEST(PrivacyStatement, AChangeOfAnyFactChangesTheText) {
  const std::vector<std::function<void(PrivacyStatement&)>> changes = {
      [](auto& s) { s.epsilon = 3.15; },
      [](auto& s) { s.epsilon = kInfinity; },
      [](auto& s) { s.delta = 1e-6; },
      [](auto& s) { s.computed = Computed::kDelta; },
      [](auto& s) { s.certified_lower = 3.0; },
      [](auto& s) { s.certified_lower.reset(); },
      [](auto& s) { s.unit = "person"; },
      [](auto& s) { s.group_size = 2; },
      [](auto& s) { s.group_size = 3; },
      [](auto& s) { s.neighbouring = Neighbouring::kReplaceOne; },
      [](auto& s) { s.accountant = "rdp"; },
      [](auto& s) { s.method = "another"; },
      [](auto& s) { s.order = 7.0; },
      [](auto& s) { s.releases.pop_back(); },
      [](auto& s) { s.releases.clear(); },
      [](auto& s) { s.releases[1].count = 12001; },
      [](auto& s) { s.releases[1].label = "validation"; },
      [](auto& s) { s.releases[1].mechanism = "Laplace, noise multiplier 1"; },
      [](auto& s) { s.releases[1].sampling = "by hand"; },
      [](auto& s) { s.search = "geometric, gamma 0.1, 10 trials on average"; },
      [](auto& s) { s.conditions.emplace_back("something more"); },
      [](auto& s) { s.conditions.clear(); },
      [](auto& s) { s.assumed_public.clear(); },
      [](auto& s) { s.not_covered.emplace_back("something more"); },
      [](auto& s) { s.version = "1.2.4"; },
  };
  std::set<std::string> texts = {example().to_text()};
  std::set<std::string> objects = {example().to_json()};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    PrivacyStatement changed = example();
    changes[i](changed);
    EXPECT_NE(changed, example()) << i;
    EXPECT_TRUE(texts.insert(changed.to_text()).second) << i << "\n" << changed.to_text();
    EXPECT_TRUE(objects.insert(changed.to_json()).second) << i;
  }
}

TEST(PrivacyStatement, EveryLineFitsAtEveryWidth) {
  const Composition releases = poisson_run();
  StatementOptions options{
      .unit = "person", .group_size = 5, .search = RandomTrials(PoissonTrials{3.0})};
  const PrivacyStatement statement =
      make_privacy_statement(releases, guarantee_of(1.0, 1e-5), "rdp", options);
  for (const int columns : {40, 72, 80, 120}) {
    std::istringstream lines(statement.to_text(columns));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), static_cast<std::size_t>(columns)) << line;
      EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
    }
  }
  EXPECT_THROW(statement.to_text(39), std::invalid_argument);
}

TEST(PrivacyStatement, JsonHoldsTheSameFacts) {
  const PrivacyStatement statement = example();
  const json object = json::parse(statement.to_json());
  EXPECT_EQ(object.at("epsilon"), 3.14159265);
  EXPECT_EQ(object.at("delta"), 1e-5);
  EXPECT_EQ(object.at("computed"), "epsilon");
  EXPECT_EQ(object.at("certified_lower"), 3.1399);
  EXPECT_EQ(object.at("unit"), "example");
  EXPECT_EQ(object.at("group_size"), 1);
  EXPECT_EQ(object.at("neighbouring"), "add-or-remove-one");
  EXPECT_EQ(object.at("accountant"), "pld");
  EXPECT_EQ(object.at("method"), statement.method);
  EXPECT_TRUE(object.at("order").is_null());
  EXPECT_TRUE(object.at("search").is_null());
  EXPECT_EQ(object.at("releases").size(), 2u);
  EXPECT_EQ(object.at("releases").at(1).at("count"), 12000);
  EXPECT_EQ(object.at("releases").at(1).at("label"), "training");
  EXPECT_EQ(object.at("releases").at(1).at("sampling"), statement.releases[1].sampling);
  EXPECT_EQ(object.at("conditions"), json(statement.conditions));
  EXPECT_EQ(object.at("assumed_public"), json(statement.assumed_public));
  EXPECT_EQ(object.at("not_covered"), json(statement.not_covered));
  EXPECT_EQ(object.at("version"), "1.2.3");
  EXPECT_EQ(object.at("text"), statement.to_text());
}

TEST(PrivacyStatement, PromisesNothingWithoutAFiniteEpsilon) {
  Composition composition;
  composition.append(GaussianMechanism{0.0});
  const PrivacyStatement statement =
      make_privacy_statement(composition, guarantee_of(kInfinity, 1e-5, kInfinity), "pld");
  EXPECT_THAT(statement.to_text(), HasSubstr("NOT PRIVATE"));
  EXPECT_THAT(statement.to_text(), Not(HasSubstr("differentially\nprivate")));
  EXPECT_THAT(statement.to_text(), Not(HasSubstr("lies in")));
  EXPECT_TRUE(json::parse(statement.to_json()).at("epsilon").is_null());
  EXPECT_THAT(make_privacy_statement(composition, guarantee_of(1.0, 1.0), "pld").to_text(),
              HasSubstr("NOT PRIVATE"));
}

TEST(PrivacyStatement, OfAnAccountantIsItsGuarantee) {
  PldAccountant accountant;
  accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 100);
  const PrivacyGuarantee guarantee = accountant.guarantee(1e-5);
  const PrivacyStatement statement = make_privacy_statement(accountant, 1e-5);
  EXPECT_EQ(statement.epsilon, guarantee.epsilon);
  EXPECT_EQ(statement.certified_lower, guarantee.lower);
  EXPECT_EQ(statement.delta, 1e-5);
  EXPECT_EQ(statement.accountant, "pld");
  EXPECT_EQ(statement.method, guarantee.method);
  EXPECT_EQ(statement.version, velum_version());
}

TEST(PrivacyStatement, OfAComputedDeltaRoundsIt) {
  PrivacyStatement statement =
      make_privacy_statement(poisson_run(), guarantee_of(3.0, 1.23451e-6, 1.23449e-6), "pld",
                             {.computed = Computed::kDelta});
  EXPECT_THAT(statement.to_text(), HasSubstr("(epsilon = 3, delta = 1.235e-06)"));
  EXPECT_THAT(statement.to_text(),
              HasSubstr("delta at this epsilon lies in [1.234e-06, 1.235e-06]"));
}

TEST(PrivacyStatement, SaysWhatUnsampledReleasesAre) {
  Composition full;
  full.append(GaussianMechanism{2.0}, 5);
  const auto text = [&](BatchSampling batches, std::optional<double> lower = 1.0) {
    const PrivacyStatement statement = make_privacy_statement(
        full, guarantee_of(1.0005, 1e-5, lower), "pld", {.batches = batches});
    return statement.to_text(2000);
  };
  const std::string none = text(BatchSampling::kPoisson);
  EXPECT_THAT(none, HasSubstr("Sampling: none: every release may use every example."));
  EXPECT_THAT(none, Not(HasSubstr("epoch")));
  EXPECT_THAT(none, Not(HasSubstr("batch")));

  const std::string fixed = text(BatchSampling::kFixedBatches);
  EXPECT_THAT(fixed, HasSubstr("not Poisson, whose figure for the same numbers would not hold: "
                               "batches fixed beforehand, each example in at most 5 of them (once "
                               "an epoch), accounted for as that many releases without sampling"));
  EXPECT_THAT(fixed, HasSubstr("the batches do not depend on the data; every other example stays "
                               "in its batch when one is absent: its place stays empty"));
  EXPECT_THAT(fixed, HasSubstr("lies in [1.0000, 1.0005]"));

  const std::string shuffled = text(BatchSampling::kShuffledBatches);
  EXPECT_THAT(shuffled, HasSubstr("batches of a shuffled data set, each example in at most 5"));
  EXPECT_THAT(shuffled, HasSubstr("what the random order might gain is not claimed"));
  EXPECT_THAT(shuffled, HasSubstr("does not depend on the data; every other example stays"));
  // A lower bound of what stands for them is none of theirs.
  EXPECT_THAT(shuffled, Not(HasSubstr("lies in")));
  EXPECT_THAT(shuffled, HasSubstr("an upper bound."));

  Composition replaced(Neighbouring::kReplaceOne);
  replaced.append(GaussianMechanism{2.0}, 5);
  const std::string replace = make_privacy_statement(replaced, guarantee_of(1.0, 1e-5), "pld",
                                                     {.batches = BatchSampling::kFixedBatches})
                                  .to_text(2000);
  EXPECT_THAT(replace, HasSubstr("every other example stays in its batch when one is replaced"));
  EXPECT_THAT(replace, HasSubstr("2 C for sums of gradients clipped to C"));
  EXPECT_THAT(replace, Not(HasSubstr("absent")));
}

TEST(PrivacyStatement, ClaimsNoLowerBoundWhereAReleaseMayCostLess) {
  const auto lower_of = [](const Mechanism& mechanism, Neighbouring neighbouring) {
    Composition composition(neighbouring);
    composition.append(GaussianMechanism{5.0});
    composition.append(mechanism, 10);
    return make_privacy_statement(composition, guarantee_of(1.0, 1e-5, 0.9995), "pld")
        .certified_lower;
  };
  const auto both = Neighbouring::kAddOrRemoveOne;
  EXPECT_EQ(lower_of(PoissonSampledGaussianMechanism{0.1, 1.0}, both), 0.9995);
  EXPECT_EQ(lower_of(LaplaceMechanism{10.0}, both), 0.9995);
  EXPECT_FALSE(lower_of(ApproximateDpMechanism{0.01, 0.0}, both));
  EXPECT_FALSE(lower_of(ZeroConcentratedMechanism{0.01}, both));
  EXPECT_FALSE(lower_of(DominatingPairMechanism{{0.6, 0.4}, {0.4, 0.6}, ""}, both));
  EXPECT_FALSE(
      lower_of(WithoutReplacementSampledGaussianMechanism{0.1, 1.0}, Neighbouring::kReplaceOne));
}

TEST(PrivacyStatement, NamesTheUnit) {
  const auto text = [](const StatementOptions& options,
                       Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne) {
    Composition composition(neighbouring);
    composition.append(GaussianMechanism{1.0});
    return make_privacy_statement(composition, guarantee_of(1.0, 1e-5), "rdp", options)
        .to_text(2000);
  };
  const std::string record = text({.unit = "record"});
  EXPECT_THAT(record, HasSubstr("one record is present or absent"));
  EXPECT_THAT(record, HasSubstr("several records of one person"));
  const std::string person = text({.unit = "person"});
  EXPECT_THAT(person, HasSubstr("Unit of privacy: one person."));
  EXPECT_THAT(person, HasSubstr("one person is present or absent"));
  EXPECT_THAT(person, Not(HasSubstr("several")));
  EXPECT_THAT(person, HasSubstr("noise multipliers and sampling rates are relative to all that one "
                                "person contributes, such as one example"));
  EXPECT_THAT(record, Not(HasSubstr("relative to all that one")));
  const std::string group = text({.group_size = 3});
  EXPECT_THAT(group, HasSubstr("Unit of privacy: any 3 examples together."));
  EXPECT_THAT(group, HasSubstr("at most 3 examples are present or absent"));
  EXPECT_THAT(group, HasSubstr("no one has more than 3 examples, enforced before the releases"));
  EXPECT_THAT(group, HasSubstr("more than 3 examples of one person"));
  const std::string user = text({.unit = "user", .group_size = 3}, Neighbouring::kReplaceOne);
  EXPECT_THAT(user, HasSubstr("Unit of privacy: one user with at most 3 examples."));
  EXPECT_THAT(user, HasSubstr("at most 3 examples of one user are replaced by others"));
  EXPECT_THAT(user, HasSubstr("no user has more than 3 examples"));
  EXPECT_THAT(user, Not(HasSubstr("relative to all that one")));
  EXPECT_THAT(user, HasSubstr("more than 3 examples of one user"));
  EXPECT_THROW(text({.unit = ""}), std::invalid_argument);
  EXPECT_THROW(text({.group_size = 0}), std::invalid_argument);
}

TEST(PrivacyStatement, NamesTheSearch) {
  const std::string text =
      make_privacy_statement(poisson_run(), guarantee_of(1.0, 1e-5), "rdp",
                             {.search = RandomTrials(NegativeBinomialTrials{1.0, 0.1})})
          .to_text(2000);
  EXPECT_THAT(text, HasSubstr("Releasing the best trial is (epsilon = 1.0000, delta = 1e-05)"));
  EXPECT_THAT(text, HasSubstr("geometric, gamma 0.1, 10 trials on average"));
  EXPECT_THAT(text, HasSubstr("Releases of each trial:\n"));
  EXPECT_THAT(text, HasSubstr("the number of trials is drawn from this distribution and stays "
                              "secret"));
  EXPECT_THAT(text, Not(HasSubstr("such as hyperparameters")));
}

TEST(PrivacyStatement, LeavesOutASizeThatIsNotPublic) {
  const std::string text = make_privacy_statement(poisson_run(), guarantee_of(1.0, 1e-5), "rdp",
                                                  {.size_is_public = false})
                               .to_text(2000);
  EXPECT_THAT(text, Not(HasSubstr("the number of examples")));
}

TEST(PrivacyStatement, OfWholeUnitsSpeaksOfThemAndNotOfExamples) {
  Composition composition;
  composition.append(PoissonSampledGaussianMechanism{0.01, 1.0}, 3, "training, by user");
  const auto statement_of = [&](const StatementOptions& options) {
    return make_privacy_statement(composition, guarantee_of(1.0, 1e-5), "rdp", options);
  };
  const std::string text = statement_of({.unit = "user", .whole_units = true}).to_text(2000);
  EXPECT_THAT(text, HasSubstr("Unit of privacy: one user."));
  EXPECT_THAT(text, HasSubstr("every user takes part with probability 0.01, independently"));
  EXPECT_THAT(text, HasSubstr("sampling draws each user with all that it contributes"));
  EXPECT_THAT(text, HasSubstr("Assumed public: the number of users;"));
  EXPECT_THAT(text, Not(HasSubstr("every example")));
  EXPECT_THAT(text, Not(HasSubstr("several users of one person")));
  EXPECT_THROW(statement_of({.unit = "user", .group_size = 2, .whole_units = true}),
               std::invalid_argument);
  EXPECT_THROW(
      statement_of(
          {.unit = "user", .whole_units = true, .batches = BatchSampling::kShuffledBatches}),
      std::invalid_argument);
}

TEST(PrivacyStatement, OfNoRelease) {
  const std::string text =
      make_privacy_statement(Composition(), guarantee_of(0.0, 1e-5), "rdp").to_text();
  EXPECT_THAT(text, HasSubstr("Releases: none.\n"));
  EXPECT_THAT(text, Not(HasSubstr("Holds if")));
}

TEST(DescribeSampling, SaysItForEveryMechanism) {
  EXPECT_EQ(describe_sampling(Mechanism(GaussianMechanism{1.0})),
            "none: every release may use every example");
  EXPECT_EQ(describe_sampling(Mechanism(PoissonSampledGaussianMechanism{0.25, 1.0})),
            "Poisson: every example takes part with probability 0.25, independently");
  EXPECT_EQ(
      describe_sampling(Mechanism(TruncatedPoissonSampledGaussianMechanism{0.25, 1.0, 100, 40})),
      "Poisson: every example takes part with probability 0.25, independently; more than 40 "
      "of 100 are cut down to that many by uniform choice");
  EXPECT_EQ(describe_sampling(Mechanism(WithoutReplacementSampledGaussianMechanism{0.25, 1.0})),
            "without replacement: a part of 0.25 of the examples, all such parts equally likely, "
            "drawn anew each time");
  EXPECT_EQ(describe_sampling(Mechanism(LaplaceMechanism{1.0})), "");
}

TEST(EpsilonText, HasFourDecimalsAndIsNeverBelow) {
  EXPECT_EQ(epsilon_text(0.0), "0.0000");
  EXPECT_EQ(epsilon_text(3.0), "3.0000");
  EXPECT_EQ(epsilon_text(6.19), "6.1900");
  EXPECT_EQ(epsilon_text(std::nextafter(6.19, 7.0)), "6.1901");
  EXPECT_EQ(epsilon_text(0.12341), "0.1235");
  EXPECT_EQ(epsilon_text(1e-300), "0.0001");
  EXPECT_EQ(epsilon_text(1234567.5), "1234567.5");
  EXPECT_EQ(epsilon_text(kInfinity), "infinite");
  for (int i = 0; i < 100000; ++i) {
    const double epsilon = std::nextafter(1e-4 * i + 5e-5, i % 2 == 0 ? 0.0 : 100.0);
    const double read = std::stod(epsilon_text(epsilon));
    ASSERT_GE(read, epsilon);
    ASSERT_LT(read, epsilon + 1.001e-4);
  }
}

TEST(DeltaText, HasFourDigitsAndIsNeverBelow) {
  EXPECT_EQ(delta_text(0.0), "0");
  EXPECT_EQ(delta_text(1e-5), "1.000e-05");
  EXPECT_EQ(delta_text(std::nextafter(1e-5, 1.0)), "1.001e-05");
  EXPECT_EQ(delta_text(9.9991e-6), "1.000e-05");
  EXPECT_EQ(delta_text(1.23441e-300), "1.235e-300");
  for (int i = 1; i < 100000; ++i) {
    const double delta = 1.2345e-9 * i;
    const double read = std::stod(delta_text(delta));
    ASSERT_GE(read, delta);
    ASSERT_LE(read, delta * 1.0021);
  }
}

TEST(IntervalText, IsRoundedOutwards) {
  EXPECT_EQ(interval_text(1.23456, 1.23461, Computed::kEpsilon), "[1.2345, 1.2347]");
  EXPECT_EQ(interval_text(3.0, 3.0, Computed::kEpsilon), "[3.0000, 3.0000]");
  EXPECT_EQ(interval_text(0.0, 0.00001, Computed::kEpsilon), "[0.0000, 0.0001]");
  EXPECT_EQ(interval_text(2.5, kInfinity, Computed::kEpsilon), "[2.5000, infinite]");
  EXPECT_EQ(interval_text(kInfinity, kInfinity, Computed::kEpsilon), "[infinite, infinite]");
  EXPECT_EQ(interval_text(1.23456e-6, 1.23461e-6, Computed::kDelta), "[1.234e-06, 1.235e-06]");
  EXPECT_EQ(interval_text(0.0, 1e-6, Computed::kDelta), "[0, 1.000e-06]");
  for (int i = 1; i < 10000; ++i) {
    const double value = 1.2345678e-3 * i;
    const std::string text = interval_text(value, value, Computed::kEpsilon);
    ASSERT_LE(std::stod(text.substr(1)), value);
    ASSERT_GT(std::stod(text.substr(1)), value - 1.001e-4);
    const std::string delta = interval_text(1e-7 * value, 1e-7 * value, Computed::kDelta);
    ASSERT_LE(std::stod(delta.substr(1)), 1e-7 * value);
  }
}

}  // namespace
}  // namespace velum::dpsgd
