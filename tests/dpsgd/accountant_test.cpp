#include "velum/dpsgd/accounting/accountant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The orders of dp_accounting, TF-Privacy and JAX-Privacy.
std::vector<double> common_orders() {
  std::vector<double> orders;
  for (int tenths = 11; tenths < 110; ++tenths) orders.push_back(tenths / 10.0);
  for (int order = 11; order < 64; ++order) orders.push_back(order);
  orders.insert(orders.end(), {128.0, 256.0, 512.0, 1024.0});
  return orders;
}

PrivacyGuarantee sampled(double q, double sigma, std::int64_t steps, double delta) {
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, common_orders());
  accountant.compose(PoissonSampledGaussianMechanism{q, sigma}, steps);
  return accountant.guarantee(delta);
}

// Values printed in the test suites of Opacus 1.6 (accountants_test.py) and TF-Privacy
// (compute_dp_sgd_privacy_test.py).
TEST(RdpAccountant, AgreesWithPublishedValues) {
  EXPECT_NEAR(sampled(0.04, 1.5, 2250, 1e-5).epsilon, 7.32911117143, 1e-9);
  EXPECT_EQ(sampled(0.04, 1.5, 2250, 1e-5).order, 3.9);
  EXPECT_NEAR(sampled(150.0 / 6e4, 1.3, 6000, 1e-5).epsilon, 0.7242234026109595, 1e-11);
  EXPECT_EQ(sampled(150.0 / 6e4, 1.3, 6000, 1e-5).order, 19.0);
  EXPECT_NEAR(sampled(100.0 / 1e5, 1.0, 30000, 1e-7).epsilon, 1.4154988495444842, 1e-11);
  EXPECT_EQ(sampled(100.0 / 1e5, 1.0, 30000, 1e-7).order, 13.0);
  // Micro-batching doubles the sensitivity there: sigma 2 counts as 1.
  EXPECT_NEAR(sampled(64.0 / 1e4, 1.0, 782, 1e-6).epsilon, 1.616, 5.1e-4);
}

// At fractional orders dp_accounting 0.6 sums absolute values: an upper bound, a little above.
TEST(RdpAccountant, IsNotAboveTheConservativeValuesOfDpAccounting) {
  const struct {
    double q, sigma;
    std::int64_t steps;
    double delta, epsilon;
  } known[] = {{0.01, 0.7, 120, 1e-5, 3.2392676495},     {0.01, 1.0, 1000, 1e-5, 2.1013665254},
               {0.01, 1.0, 10000, 1e-5, 6.7127566645},   {0.04, 1.5, 2250, 1e-5, 7.3293347024},
               {1e-6, 1.0, 1000000, 1e-6, 0.3668962353}, {1e-4, 0.6, 100000, 1e-8, 3.1530495324}};
  for (const auto& [q, sigma, steps, delta, epsilon] : known) {
    const double value = sampled(q, sigma, steps, delta).epsilon;
    EXPECT_LE(value, epsilon);
    EXPECT_GE(value, epsilon * (1.0 - 1e-4));
  }
}

// TF-Privacy's unsampled releases, by its privacy-loss distribution, which is an upper bound too.
TEST(RdpAccountant, ExactCompositionIsJustBelowPublishedBounds) {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{0.7}, 2);
  EXPECT_LE(accountant.epsilon(1e-5), 10.1224946);
  EXPECT_GE(accountant.epsilon(1e-5), 10.1224946 * (1.0 - 1e-4));
}

// Ten-digit values of an independent evaluation (series and quadrature) with the same orders.
TEST(RdpAccountant, AgreesWithIndependentEvaluations) {
  EXPECT_NEAR(sampled(256.0 / 6e4, 1.1, 14062, 1e-5).epsilon, 2.596555869, 6e-10);
  EXPECT_EQ(sampled(256.0 / 6e4, 1.1, 14062, 1e-5).order, 8.1);
  EXPECT_NEAR(sampled(250.0 / 6e4, 1.3, 3600, 1e-5).epsilon, 0.942200218, 6e-10);
  EXPECT_NEAR(sampled(600.0 / 6e4, 1.0, 1000, 1e-5).epsilon, 2.101365272, 6e-10);
  EXPECT_NEAR(sampled(64.0 / 6e4, 1.0, 9375, 1e-5).epsilon, 0.803488585, 6e-10);
}

// Opacus 1.6, rdp.py: two kinds of steps on the orders 2 to 32.
TEST(RdpAccountant, ComposesUnequalMechanisms) {
  std::vector<double> orders;
  for (int order = 2; order <= 32; ++order) orders.push_back(order);
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, orders);
  accountant.compose(PoissonSampledGaussianMechanism{1e-5, 1.0}, 10);
  accountant.compose(PoissonSampledGaussianMechanism{1e-4, 3.0}, 4);
  EXPECT_NEAR(accountant.epsilon(1e-5), 0.336, 5.1e-4);
  EXPECT_EQ(accountant.guarantee(1e-5).order, 23.0);
}

TEST(RdpAccountant, AddsTheRdpOfAllReleases) {
  const std::vector<double> orders{1.5, 2.0, 20.0};
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, orders);
  const PoissonSampledGaussianMechanism sampled_steps{0.02, 1.3};
  const GaussianMechanism mean{9.0};
  accountant.compose(mean);
  accountant.compose(sampled_steps, 70);
  accountant.compose(mean);
  accountant.compose(sampled_steps, 30);
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const double sum = 2.0 * rdp(mean, orders[i]) + 100.0 * rdp(sampled_steps, orders[i]);
    EXPECT_GE(accountant.rdp()[i], sum * (1.0 - 1e-15));
    EXPECT_LE(accountant.rdp()[i], sum * (1.0 + 1e-14));
  }
  EXPECT_EQ(accountant.epsilon(1e-5), rdp_to_epsilon(orders, accountant.rdp(), 1e-5).value);
  EXPECT_EQ(accountant.delta(2.0), rdp_to_delta(orders, accountant.rdp(), 2.0).value);
}

TEST(RdpAccountant, ComposesGaussianMechanismsExactly) {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{11.588}, 1, "private mean");
  accountant.compose(GaussianMechanism{10.85}, 60, "training");
  const double mu = std::sqrt(1.0 / (11.588 * 11.588) + 60.0 / (10.85 * 10.85));
  const PrivacyGuarantee guarantee = accountant.guarantee(1e-5);
  EXPECT_NEAR(guarantee.epsilon, gaussian_epsilon(mu, 1e-5), 1e-13);
  EXPECT_EQ(guarantee.method, "exact composition of Gaussian mechanisms");
  EXPECT_FALSE(guarantee.order);
  EXPECT_NEAR(accountant.delta(3.0), gaussian_delta(mu, 3.0), 1e-17);
  EXPECT_LT(guarantee.epsilon,
            rdp_to_epsilon([&](double order) { return accountant.rdp(order); }, 1e-5).value);
}

TEST(RdpAccountant, TakesSamplingRateOneAsNoSampling) {
  RdpAccountant all;
  all.compose(PoissonSampledGaussianMechanism{1.0, 5.0}, 10);
  RdpAccountant gaussian;
  gaussian.compose(GaussianMechanism{5.0}, 10);
  EXPECT_EQ(all.epsilon(1e-5), gaussian.epsilon(1e-5));
  EXPECT_EQ(all.guarantee(1e-5).method, "exact composition of Gaussian mechanisms");
}

TEST(RdpAccountant, IsNeverAboveTheSameReleasesWithoutSampling) {
  for (const double q : {0.3, 0.9, 0.999}) {
    RdpAccountant accountant;
    accountant.compose(PoissonSampledGaussianMechanism{q, 4.0}, 20);
    EXPECT_LE(accountant.epsilon(1e-5),
              gaussian_epsilon(std::sqrt(20.0) / 4.0, 1e-5) * (1.0 + 1e-14));
    EXPECT_LE(accountant.delta(1.0), gaussian_delta(std::sqrt(20.0) / 4.0, 1.0) * (1.0 + 1e-13));
  }
  EXPECT_EQ(sampled(0.999, 4.0, 20, 1e-5).method,
            "exact composition of the Gaussian mechanisms without sampling");
}

TEST(RdpAccountant, OneStepAtATimeEqualsAllAtOnce) {
  RdpAccountant stepwise;
  double last = 0.0;
  for (int step = 0; step < 200; ++step) {
    stepwise.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 1, "training");
    const double epsilon = stepwise.epsilon(1e-5);
    EXPECT_GT(epsilon, last);  // every step costs
    last = epsilon;
  }
  RdpAccountant at_once;
  at_once.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 200, "training");
  EXPECT_EQ(last, at_once.epsilon(1e-5));
  EXPECT_EQ(stepwise.composition(), at_once.composition());
}

TEST(RdpAccountant, ContinuesFromAStoredComposition) {
  RdpAccountant first;
  first.compose(GaussianMechanism{9.0}, 1, "private mean");
  first.compose(PoissonSampledGaussianMechanism{0.02, 1.1}, 57, "training");
  RdpAccountant resumed;
  resumed.compose(Composition::from_json(first.composition().to_json()));
  for (RdpAccountant* accountant : {&first, &resumed}) {
    accountant->compose(PoissonSampledGaussianMechanism{0.02, 1.1}, 43, "training");
  }
  EXPECT_EQ(resumed.composition(), first.composition());
  EXPECT_EQ(resumed.epsilon(1e-5), first.epsilon(1e-5));
}

TEST(RdpAccountant, FallsWithDeltaAndDeltaFallsWithEpsilon) {
  RdpAccountant accountant;
  accountant.compose(PoissonSampledGaussianMechanism{0.02, 0.9}, 500);
  double last = kInfinity;
  for (const double delta : {1e-12, 1e-9, 1e-6, 1e-3, 0.1}) {
    EXPECT_LT(accountant.epsilon(delta), last);
    last = accountant.epsilon(delta);
  }
  last = 1.1;
  for (const double epsilon : {0.0, 1.0, 3.0, 9.0}) {
    EXPECT_LT(accountant.delta(epsilon), last);
    last = accountant.delta(epsilon);
  }
}

TEST(RdpAccountant, CostsNothingWithoutAReleaseThatReadsTheData) {
  RdpAccountant accountant;
  EXPECT_EQ(accountant.epsilon(1e-5), 0.0);
  EXPECT_EQ(accountant.delta(0.0), 0.0);
  accountant.compose(PoissonSampledGaussianMechanism{0.0, 1.0}, 1000);
  accountant.compose(PoissonSampledGaussianMechanism{0.0, 0.0}, 1000);
  EXPECT_EQ(accountant.epsilon(1e-5), 0.0);
  EXPECT_EQ(accountant.delta(0.0), 0.0);
  EXPECT_EQ(accountant.guarantee(1e-5).method, "no release depended on the data");
  accountant.compose(GaussianMechanism{1.0}, 0);
  EXPECT_EQ(accountant.epsilon(1e-5), 0.0);
}

TEST(RdpAccountant, IsInfiniteAfterAReleaseWithoutNoise) {
  for (const Mechanism& bare :
       {Mechanism(GaussianMechanism{0.0}), Mechanism(PoissonSampledGaussianMechanism{0.1, 0.0})}) {
    RdpAccountant accountant;
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 10);
    accountant.compose(bare);
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 10);
    EXPECT_EQ(accountant.epsilon(1e-5), kInfinity);
    EXPECT_EQ(accountant.delta(10.0), 1.0);
  }
}

TEST(RdpAccountant, RefusesPoissonSamplingUnderReplaceOne) {
  RdpAccountant accountant(Neighbouring::kReplaceOne);
  EXPECT_THROW(accountant.compose(PoissonSampledGaussianMechanism{0.1, 1.0}),
               std::invalid_argument);
  EXPECT_TRUE(accountant.composition().empty());
  EXPECT_EQ(accountant.epsilon(1e-5), 0.0);
  accountant.compose(GaussianMechanism{2.0});
  EXPECT_EQ(accountant.epsilon(1e-5), gaussian_epsilon(0.5 * (1.0 + 0x1p-51), 1e-5));
}

TEST(RdpAccountant, RefusesACompositionUnderTheOtherRelation) {
  RdpAccountant accountant;
  try {
    accountant.compose(Composition(Neighbouring::kReplaceOne));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "Accountant::compose: neighbouring = replace-one, expected add-or-remove-one");
  }
}

TEST(RdpAccountant, LeavesEverythingAsItWasWhenItRefuses) {
  RdpAccountant accountant;
  accountant.compose(PoissonSampledGaussianMechanism{0.1, 1.0}, 5);
  const Composition before = accountant.composition();
  const double epsilon = accountant.epsilon(1e-5);
  EXPECT_THROW(accountant.compose(PoissonSampledGaussianMechanism{1.1, 1.0}),
               std::invalid_argument);
  EXPECT_THROW(accountant.compose(GaussianMechanism{-1.0}), std::invalid_argument);
  EXPECT_THROW(accountant.compose(GaussianMechanism{1.0}, -1), std::invalid_argument);
  EXPECT_THROW(accountant.compose(PoissonSampledGaussianMechanism{0.1, 1.0},
                                  std::numeric_limits<std::int64_t>::max()),
               std::overflow_error);
  EXPECT_EQ(accountant.composition(), before);
  EXPECT_EQ(accountant.epsilon(1e-5), epsilon);
}

TEST(RdpAccountant, AcceptsNoiseThatChangesAtEveryStep) {
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, {2.0, 8.0, 32.0});
  double sum = 0.0;
  for (int step = 0; step < 1000; ++step) {
    const PoissonSampledGaussianMechanism mechanism{0.01, 1.0 + 0.001 * step};
    accountant.compose(mechanism);
    sum += rdp(mechanism, 8.0);
  }
  EXPECT_GE(accountant.rdp()[1], sum * (1.0 - 1000 * 0x1p-53));
  EXPECT_LE(accountant.rdp()[1], sum * (1.0 + 4000 * 0x1p-53));
}

TEST(RdpAccountant, SumsAlternatingReleasesByMechanism) {
  const PoissonSampledGaussianMechanism a{0.01, 1.0};
  const PoissonSampledGaussianMechanism b{0.02, 1.5};
  RdpAccountant alternating;
  for (int i = 0; i < 100; ++i) {
    alternating.compose(a);
    alternating.compose(b, 2);
  }
  RdpAccountant grouped;
  grouped.compose(b, 200);
  grouped.compose(a, 100);
  EXPECT_EQ(alternating.epsilon(1e-5), grouped.epsilon(1e-5));
  EXPECT_EQ(alternating.delta(1.0), grouped.delta(1.0));
  EXPECT_EQ(alternating.composition().phases().size(), 200u);  // the history keeps the order
}

TEST(RdpAccountant, OverAllOrdersIsNeverWorseThanAFixedList) {
  for (const double q : {1e-4, 0.01, 0.3}) {
    for (const double sigma : {0.5, 1.0, 4.0}) {
      RdpAccountant free;
      RdpAccountant fixed(Neighbouring::kAddOrRemoveOne, common_orders());
      for (RdpAccountant* accountant : {&free, &fixed}) {
        accountant->compose(PoissonSampledGaussianMechanism{q, sigma}, 1000);
        accountant->compose(LaplaceMechanism{20.0}, 3);
      }
      EXPECT_LE(free.epsilon(1e-6), fixed.epsilon(1e-6) * (1.0 + 1e-12)) << q << " " << sigma;
      EXPECT_GT(free.epsilon(1e-6), 0.5 * fixed.epsilon(1e-6));
    }
  }
}

TEST(RdpAccountant, AddsAllKindsOfMechanisms) {
  const std::vector<Mechanism> mechanisms{
      GaussianMechanism{9.0},
      PoissonSampledGaussianMechanism{0.01, 1.0},
      LaplaceMechanism{8.0},
      DiscreteGaussianMechanism{12.0, 2},
      SkellamMechanism{900.0, 3.0, 2.0},
      RandomizedResponseMechanism{4, 0.3},
      ApproximateDpMechanism{0.05, 0.0},
      ZeroConcentratedMechanism{1e-3},
      DominatingPairMechanism{{0.52, 0.48}, {0.48, 0.52}, "coin"},
  };
  RdpAccountant accountant;
  double sum = 0.0;
  double largest = 0.0;
  for (const Mechanism& mechanism : mechanisms) {
    accountant.compose(mechanism, 3);
    sum += 3.0 * rdp(mechanism, 6.5);
    RdpAccountant alone;
    alone.compose(mechanism, 3);
    largest = std::max(largest, alone.epsilon(1e-6));
  }
  EXPECT_GE(accountant.rdp(6.5), sum * (1.0 - 1e-15));
  EXPECT_LE(accountant.rdp(6.5), sum * (1.0 + 1e-13));
  const PrivacyGuarantee guarantee = accountant.guarantee(1e-6);
  EXPECT_GT(guarantee.epsilon, largest);
  EXPECT_THAT(guarantee.method, HasSubstr("Renyi differential privacy, converted by"));
  EXPECT_TRUE(guarantee.order);
  EXPECT_NEAR(accountant.delta(guarantee.epsilon), 1e-6, 1e-15);
}

TEST(RdpAccountant, ChargesTheDeltaOfForeignReleasesToDelta) {
  const PoissonSampledGaussianMechanism training{0.01, 1.0};
  RdpAccountant pure;
  pure.compose(training, 500);
  pure.compose(ApproximateDpMechanism{0.1, 0.0}, 2);
  RdpAccountant foreign;
  foreign.compose(training, 500);
  foreign.compose(ApproximateDpMechanism{0.1, 1e-6}, 2);
  EXPECT_NEAR(foreign.epsilon(1e-5), pure.epsilon(8e-6), 1e-10);
  EXPECT_GE(foreign.epsilon(1e-5), pure.epsilon(8e-6 * (1.0 + 1e-14)));
  EXPECT_NEAR(foreign.delta(2.0), pure.delta(2.0) + 2e-6, 1e-18);
  EXPECT_THAT(foreign.guarantee(1e-5).method, HasSubstr("delta includes 2"));
  EXPECT_EQ(foreign.epsilon(1e-6), kInfinity);  // the releases alone spend more
  EXPECT_EQ(foreign.guarantee(1e-5).delta, 1e-5);
}

TEST(RdpAccountant, AddsTheEpsilonsOfPureMechanismsWhereThatIsLess) {
  RdpAccountant accountant;
  accountant.compose(LaplaceMechanism{2.0}, 2);
  accountant.compose(ApproximateDpMechanism{0.25, 1e-7});
  const PrivacyGuarantee guarantee = accountant.guarantee(1e-7 * (1.0 + 1e-12));
  EXPECT_NEAR(guarantee.epsilon, 1.25, 1e-12);
  EXPECT_THAT(guarantee.method, HasSubstr("sum of the epsilons of pure mechanisms"));
  EXPECT_NEAR(accountant.delta(1.2500001), 1e-7, 1e-20);
  EXPECT_GT(accountant.delta(1.0), 1e-3);
  accountant.compose(LaplaceMechanism{2.0}, 1000);  // now advanced composition is less
  EXPECT_LT(accountant.epsilon(1e-5), 400.0);
  EXPECT_THAT(accountant.guarantee(1e-5).method, HasSubstr("Renyi"));
}

TEST(RdpAccountant, PaysForBatchesThatWereCut) {
  const PoissonSampledGaussianMechanism poisson{0.01, 1.0};
  const TruncatedPoissonSampledGaussianMechanism truncated{0.01, 1.0, 10000, 162};
  RdpAccountant whole;
  whole.compose(poisson, 1000);
  RdpAccountant cut;
  cut.compose(truncated, 1000);
  const double tau = batch_overflow_probability(10000, 0.01, 162);
  ASSERT_GT(1000.0 * tau, 1e-7);
  ASSERT_LT(1000.0 * tau, 1e-5);
  const PrivacyGuarantee guarantee = cut.guarantee(1e-4);
  const double term = (1.0 + std::exp(guarantee.epsilon)) * 1000.0 * tau;
  EXPECT_NEAR(guarantee.epsilon, whole.epsilon(1e-4 - term), 1e-8);
  EXPECT_GE(guarantee.epsilon, whole.epsilon(1e-4 - term));
  EXPECT_LE(cut.delta(guarantee.epsilon), 1e-4 * (1.0 + 1e-9));
  EXPECT_NEAR(cut.delta(1.0), whole.delta(1.0) + (1.0 + std::exp(1.0)) * 1000.0 * tau, 1e-12);
  EXPECT_THAT(guarantee.method, HasSubstr("for batches that were cut"));
  EXPECT_EQ(cut.epsilon(1e-7), kInfinity);
  RdpAccountant never_cut;
  never_cut.compose(TruncatedPoissonSampledGaussianMechanism{0.01, 1.0, 100, 100}, 1000);
  EXPECT_EQ(never_cut.epsilon(1e-5), whole.epsilon(1e-5));
}

TEST(RdpAccountant, AccountsForSamplesWithoutReplacementUnderReplaceOne) {
  RdpAccountant accountant(Neighbouring::kReplaceOne);
  accountant.compose(WithoutReplacementSampledGaussianMechanism{0.01, 1.0}, 1000);
  RdpAccountant poisson;
  poisson.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 1000);
  // The same noise over each one's sensitivity: the bound covers both tails at once.
  EXPECT_GT(accountant.epsilon(1e-5), poisson.epsilon(1e-5));
  EXPECT_LT(accountant.epsilon(1e-5), 1.5 * poisson.epsilon(1e-5));
  RdpAccountant whole(Neighbouring::kReplaceOne);
  whole.compose(WithoutReplacementSampledGaussianMechanism{1.0, 5.0}, 10);
  EXPECT_NEAR(whole.epsilon(1e-5), gaussian_epsilon(std::sqrt(10.0) / 5.0, 1e-5), 1e-13);
}

TEST(RdpAccountant, CopiesAreIndependent) {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{2.0});
  const double before = accountant.epsilon(1e-5);
  const auto copy = accountant.clone();
  copy->compose(GaussianMechanism{2.0});
  EXPECT_EQ(accountant.epsilon(1e-5), before);
  EXPECT_GT(copy->epsilon(1e-5), before);
}

TEST(RdpAccountant, NamesTheValueThatIsOutOfRange) {
  const RdpAccountant accountant;
  const auto error_of = [](auto function) -> std::string {
    try {
      function();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no std::invalid_argument";
  };
  EXPECT_EQ(error_of([&] { accountant.epsilon(0.0); }),
            "RdpAccountant::guarantee: delta = 0, expected > 0 and < 1");
  EXPECT_EQ(error_of([&] { accountant.delta(-1.0); }),
            "RdpAccountant::guarantee_at_epsilon: epsilon = -1, expected finite and >= 0");
  EXPECT_EQ(error_of([] { RdpAccountant(Neighbouring::kAddOrRemoveOne, {}); }),
            "RdpAccountant: orders.size() = 0, expected >= 1");
  EXPECT_EQ(error_of([] {
              RdpAccountant(Neighbouring::kAddOrRemoveOne, {2.0, 0.5});
            }),
            "RdpAccountant: order = 0.5, expected > 1 and <= 1073741824");
  EXPECT_EQ(error_of([] { make_accountant("clt"); }),
            "make_accountant: name = clt, expected rdp or pld");
}

TEST(MakeAccountant, GivesTheAccountantOfThatName) {
  const auto accountant = make_accountant("rdp", Neighbouring::kReplaceOne);
  EXPECT_EQ(accountant->name(), "rdp");
  EXPECT_EQ(accountant->composition().neighbouring(), Neighbouring::kReplaceOne);
}

TEST(Accountant, ComposesItsOwnHistoryOnceMore) {
  RdpAccountant accountant;
  for (int i = 0; i < 3; ++i) {
    accountant.compose(GaussianMechanism{2.0 + i}, 5, "a label that is too long to be kept inside");
  }
  Composition twice = accountant.composition();
  for (const Phase& phase : accountant.composition().phases()) {
    twice.append(phase.mechanism, phase.count, phase.label);
  }
  accountant.compose(accountant.composition());
  EXPECT_EQ(accountant.composition(), twice);
}

TEST(RdpAccountant, NoNoiseIsSoLargeThatItCostsNothing) {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{1e200});
  EXPECT_GT(accountant.delta(0.0), 0.0);
  EXPECT_GT(accountant.epsilon(1e-300), 0.0);
}

}  // namespace
}  // namespace velum::dpsgd
