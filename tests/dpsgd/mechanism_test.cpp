#include "velum/dpsgd/accounting/mechanism.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/composition.h"

namespace velum::dpsgd {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// One of each kind, in the order of the variant.
const std::vector<Mechanism>& one_of_each() {
  static const std::vector<Mechanism> list{
      GaussianMechanism{10.85},
      PoissonSampledGaussianMechanism{0.01, 1.1},
      TruncatedPoissonSampledGaussianMechanism{0.01, 1.1, 60000, 700},
      WithoutReplacementSampledGaussianMechanism{0.02, 0.7},
      LaplaceMechanism{2.5},
      DiscreteGaussianMechanism{4.5, 3},
      SkellamMechanism{100.0, 8.0, 3.0},
      RandomizedResponseMechanism{4, 0.7},
      ApproximateDpMechanism{0.5, 1e-9},
      ZeroConcentratedMechanism{0.125},
      DominatingPairMechanism{{0.1, 0.9}, {0.3, 0.7}, "coin"},
  };
  return list;
}

TEST(Mechanism, HasAnExampleOfEachKindHere) {
  ASSERT_EQ(one_of_each().size(), std::variant_size_v<Mechanism>);
  for (std::size_t i = 0; i < one_of_each().size(); ++i) EXPECT_EQ(one_of_each()[i].index(), i);
}

TEST(Mechanism, SaysWhatItIs) {
  const std::vector<std::string> texts{
      "Gaussian, noise multiplier 10.85",
      "Poisson-sampled Gaussian, sampling rate 0.01, noise multiplier 1.1",
      // NOLINTNEXTLINE(bugprone-suspicious-missing-comma)
      "truncated Poisson-sampled Gaussian, sampling rate 0.01, noise multiplier 1.1, at most 700 "
      "of 60000 examples",
      "without-replacement-sampled Gaussian, sampling rate 0.02, noise multiplier 0.7",
      "Laplace, noise multiplier 2.5",
      "discrete Gaussian, sigma 4.5, sensitivity 3",
      "Skellam, variance 100, L1 sensitivity 8, L2 sensitivity 3",
      "randomized response, 4 categories, truth probability 0.7",
      "release with epsilon 0.5, delta 1e-09",
      "zero-concentrated release, rho 0.125",
      "coin with a dominating pair of 2 outcomes",
  };
  ASSERT_EQ(texts.size(), one_of_each().size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(describe(one_of_each()[i]), texts[i]);
  EXPECT_EQ(to_string(Neighbouring::kAddOrRemoveOne), "add-or-remove-one");
  EXPECT_EQ(to_string(Neighbouring::kReplaceOne), "replace-one");
}

TEST(Mechanism, ComesBackFromJsonBitForBit) {
  Composition composition;
  for (const Mechanism& mechanism : one_of_each()) {
    EXPECT_EQ(mechanism_from_json(mechanism_to_json(mechanism)), mechanism) << describe(mechanism);
    composition.append(mechanism, 3, "label");
  }
  EXPECT_EQ(Composition::from_json(composition.to_json()), composition);
  const Mechanism large = DiscreteGaussianMechanism{0.1 + 0.2, 9223372036854775807};
  EXPECT_EQ(mechanism_from_json(mechanism_to_json(large)), large);
}

TEST(Mechanism, WritesTheDocumentedJson) {
  EXPECT_EQ(mechanism_to_json(DominatingPairMechanism{{0.5, 0.5}, {0.25, 0.75}, "coin"}),
            R"({"kind":"dominating_pair","name":"coin","p":[0.5,0.5],"q":[0.25,0.75]})");
  EXPECT_EQ(mechanism_to_json(SkellamMechanism{4.0, 2.0, 1.5}),
            R"({"kind":"skellam","l1_sensitivity":2.0,"l2_sensitivity":1.5,"variance":4.0})");
}

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no std::invalid_argument";
}

TEST(Mechanism, NamesTheValueThatIsOutOfRange) {
  const struct {
    Mechanism mechanism;
    std::string error;
  } cases[] = {
      {GaussianMechanism{-1.0}, "noise_multiplier = -1, expected finite and >= 0"},
      {PoissonSampledGaussianMechanism{kNan, 1.0}, "sampling_rate = nan, expected in [0, 1]"},
      {TruncatedPoissonSampledGaussianMechanism{0.1, 1.0, 0, 5},
       "dataset_size = 0, expected in [1, 2^53]"},
      {TruncatedPoissonSampledGaussianMechanism{0.1, 1.0, 9007199254740993, 5},
       "dataset_size = 9007199254740993, expected in [1, 2^53]"},
      {TruncatedPoissonSampledGaussianMechanism{0.1, 1.0, 5, 0},
       "largest_batch_size = 0, expected >= 1"},
      {TruncatedPoissonSampledGaussianMechanism{1.5, 1.0, 5, 5},
       "sampling_rate = 1.5, expected in [0, 1]"},
      {WithoutReplacementSampledGaussianMechanism{0.5, kInfinity},
       "noise_multiplier = inf, expected finite and >= 0"},
      {LaplaceMechanism{-0.5}, "noise_multiplier = -0.5, expected finite and >= 0"},
      {DiscreteGaussianMechanism{kNan, 1}, "standard_deviation = nan, expected finite and >= 0"},
      {DiscreteGaussianMechanism{1.0, 0}, "sensitivity = 0, expected >= 1"},
      {SkellamMechanism{-1.0, 1.0, 1.0}, "variance = -1, expected finite and >= 0"},
      {SkellamMechanism{1.0, kInfinity, 1.0}, "l1_sensitivity = inf, expected finite and >= 0"},
      {SkellamMechanism{1.0, 1.0, 2.0},
       "l2_sensitivity = 2, expected > 0 and <= l1_sensitivity = 1"},
      {RandomizedResponseMechanism{1, 0.5}, "categories = 1, expected in [2, 2^53]"},
      {RandomizedResponseMechanism{2, 1.5}, "truth_probability = 1.5, expected in [0, 1]"},
      {ApproximateDpMechanism{kInfinity, 0.0}, "epsilon = inf, expected finite and >= 0"},
      {ApproximateDpMechanism{1.0, 1.5}, "delta = 1.5, expected in [0, 1]"},
      {ZeroConcentratedMechanism{-1.0}, "rho = -1, expected finite and >= 0"},
      {DominatingPairMechanism{{}, {}, ""}, "p.size() = 0, expected >= 1"},
      {DominatingPairMechanism{{1.0}, {0.5, 0.5}, ""}, "q.size() = 2, expected p.size() = 1"},
      {DominatingPairMechanism{{1.5, -0.5}, {0.5, 0.5}, ""}, "p = -0.5, expected finite and >= 0"},
      {DominatingPairMechanism{{0.5, 0.5}, {0.5, 0.25}, ""},
       "sum of q = 0.75, expected 1, to within 1e-9"},
  };
  for (const auto& [mechanism, error] : cases) {
    const Mechanism& one = mechanism;  // clang 14 captures no structured binding
    EXPECT_EQ(error_of([&] { validate(one, "f"); }), "f: " + error);
  }
  for (const Mechanism& mechanism : one_of_each()) EXPECT_NO_THROW(validate(mechanism, "f"));
  EXPECT_EQ(error_of([] { noise_multiplier(ZeroConcentratedMechanism{0.5}); }),
            "noise_multiplier: zero-concentrated release, rho 0.5, expected a Gaussian or Laplace "
            "mechanism");
}

TEST(Mechanism, RefusesJsonThatItDoesNotKnow) {
  using ::testing::HasSubstr;
  const auto of = [](const char* json) { return error_of([&] { mechanism_from_json(json); }); };
  EXPECT_THAT(of("{"), HasSubstr("from_json"));
  EXPECT_THAT(of(R"({"kind":"cauchy"})"), HasSubstr("unknown mechanism \"cauchy\""));
  EXPECT_THAT(of(R"({"kind":"laplace","noise_multiplier":1,"b":2})"),
              HasSubstr("unknown key \"b\""));
  EXPECT_THAT(of(R"({"kind":"discrete_gaussian","standard_deviation":1,"sensitivity":1.5})"),
              HasSubstr("sensitivity is not an integer of 64 bits"));
  EXPECT_THAT(of(R"({"kind":"discrete_gaussian","standard_deviation":1,)"
                 R"("sensitivity":9223372036854775808})"),
              HasSubstr("sensitivity is not an integer of 64 bits"));
  EXPECT_THAT(of(R"({"kind":"dominating_pair","p":1,"q":[1],"name":""})"),
              HasSubstr("p is not an array"));
  EXPECT_THAT(of(R"({"kind":"dominating_pair","p":[1],"q":["1"],"name":""})"),
              HasSubstr("q holds what is not a number"));
  EXPECT_THAT(of(R"({"kind":"zero_concentrated","rho":-1})"),
              HasSubstr("rho = -1, expected finite and >= 0"));
}

TEST(Mechanism, GoesWithItsNeighbouringRelation) {
  for (const Mechanism& mechanism : one_of_each()) {
    const std::string name = kind(mechanism);
    EXPECT_EQ(holds_under(mechanism, Neighbouring::kAddOrRemoveOne),
              name != "without_replacement_sampled_gaussian");
    EXPECT_EQ(holds_under(mechanism, Neighbouring::kReplaceOne),
              name != "poisson_sampled_gaussian" && name != "truncated_poisson_sampled_gaussian");
  }
  for (const double q : {0.0, 1.0}) {
    EXPECT_TRUE(holds_under(PoissonSampledGaussianMechanism{q, 1.0}, Neighbouring::kReplaceOne));
  }
  RdpAccountant replace(Neighbouring::kReplaceOne);
  EXPECT_EQ(error_of([&] {
              replace.compose(PoissonSampledGaussianMechanism{0.5, 1.0});
            }),
            "Accountant::compose: Poisson-sampled Gaussian, sampling rate 0.5, noise multiplier 1 "
            "under replace-one, expected add-or-remove-one");
  RdpAccountant add;
  EXPECT_EQ(error_of([&] {
              add.compose(WithoutReplacementSampledGaussianMechanism{0.5, 1.0});
            }),
            "Accountant::compose: without-replacement-sampled Gaussian, sampling rate 0.5, noise "
            "multiplier 1 under add-or-remove-one, expected replace-one");
}

TEST(Mechanism, KnowsWhatReadsNothing) {
  for (const Mechanism& mechanism : one_of_each()) EXPECT_FALSE(reads_nothing(mechanism));
  EXPECT_TRUE(reads_nothing(PoissonSampledGaussianMechanism{0.0, 0.0}));
  EXPECT_TRUE(reads_nothing(TruncatedPoissonSampledGaussianMechanism{0.0, 0.0, 5, 1}));
  EXPECT_TRUE(reads_nothing(WithoutReplacementSampledGaussianMechanism{0.0, 0.0}));
  EXPECT_TRUE(reads_nothing(RandomizedResponseMechanism{4, 0.25}));
  EXPECT_FALSE(reads_nothing(RandomizedResponseMechanism{3, 1.0 / 3.0}));  // off by a rounding
  EXPECT_TRUE(reads_nothing(ApproximateDpMechanism{0.0, 0.0}));
  EXPECT_FALSE(reads_nothing(ApproximateDpMechanism{0.0, 1e-300}));
  EXPECT_TRUE(reads_nothing(ZeroConcentratedMechanism{0.0}));
  EXPECT_TRUE(reads_nothing(DominatingPairMechanism{{0.5, 0.5}, {0.5, 0.5}, ""}));
}

// Tails of binomial distributions, summed in 50 digits.
TEST(BatchOverflowProbability, IsTheTailOfTheBinomialRoundedUp) {
  const struct {
    std::int64_t size;
    double q;
    std::int64_t limit;
    double tail;
  } known[] = {{10, 0.3, 5, 0.047348987399999991838},
               {60000, 256.0 / 60000.0, 300, 0.0032424924805847265011},
               {60000, 256.0 / 60000.0, 400, 2.9861105644545506571e-17},
               {60000, 0.5, 30500, 0.000021881903852192521129},
               {20, 1e-9, 1, 1.899999977200000382e-16},
               {1000000, 1e-4, 200, 4.6026515195047748443e-19},
               {50, 0.2, 49, 1.125899906842627125e-35}};
  for (const auto& [size, q, limit, tail] : known) {
    const double value = batch_overflow_probability(size, q, limit);
    EXPECT_GE(value, tail * (1.0 - 1e-16)) << size << " " << q << " " << limit;
    // Robbins' bounds of Stirling's formula are off by less than 1 / (144 k^2) each.
    const double k = static_cast<double>(limit) + 1.0;
    const double rest = static_cast<double>(size) - k;
    const double slack = 1.0 / (140.0 * k * k) + (rest > 0.0 ? 1.0 / (140.0 * rest * rest) : 0.0);
    EXPECT_LE(value, tail * (1.0 + slack + 1e-9)) << size << " " << q << " " << limit;
  }
}

TEST(BatchOverflowProbability, IsZeroWhereNoBatchCanOverflowAndOneBelowTheMean) {
  EXPECT_EQ(batch_overflow_probability(10, 0.5, 10), 0.0);
  EXPECT_EQ(batch_overflow_probability(10, 0.0, 0), 0.0);
  EXPECT_EQ(batch_overflow_probability(10, 0.5, 4), 1.0);
  EXPECT_EQ(batch_overflow_probability(10, 1.0, 9), 1.0);
  EXPECT_GT(batch_overflow_probability(10, 1e-310, 5), 0.0);
}

TEST(BatchOverflowProbability, NamesTheValueThatIsOutOfRange) {
  EXPECT_EQ(error_of([] { batch_overflow_probability(-1, 0.5, 4); }),
            "batch_overflow_probability: dataset_size = -1, expected in [0, 2^53]");
  EXPECT_EQ(error_of([] { batch_overflow_probability(1, 1.5, 4); }),
            "batch_overflow_probability: sampling_rate = 1.5, expected in [0, 1]");
  EXPECT_EQ(error_of([] { batch_overflow_probability(1, 0.5, -4); }),
            "batch_overflow_probability: largest_batch_size = -4, expected >= 0");
}

}  // namespace
}  // namespace velum::dpsgd
