#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/privacy_loss_distribution.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Composition composed(const Mechanism& mechanism, std::int64_t count = 1,
                     Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne) {
  Composition composition(neighbouring);
  composition.append(mechanism, count);
  return composition;
}

double normal_tail(double z) { return 0.5 * std::erfc(z * M_SQRT1_2); }

void expect_contains(const CertifiedInterval& interval, double exact, const std::string& what) {
  // The closed forms below are exact to a few units of their own.
  EXPECT_LE(interval.lower, exact * (1.0 + 1e-12)) << what;
  EXPECT_GE(interval.upper, exact * (1.0 - 1e-12)) << what;
}

// ---- Closed forms --------------------------------------------------------------------------

TEST(PrivacyLossDistribution, GaussianIntervalsContainTheClosedForm) {
  for (const double sigma : {0.1, 0.5, 1.0, 4.0, 30.0, 1000.0}) {
    for (const std::int64_t count : {1, 7, 1000}) {
      const double mu = std::sqrt(static_cast<double>(count)) / sigma;
      for (const double delta : {0.3, 1e-3, 1e-5, 1e-10, 1e-15}) {
        const std::string what = std::to_string(sigma) + " " + std::to_string(count) + " " +
                                 std::to_string(std::log10(delta));
        const double epsilon = gaussian_epsilon(mu, delta);
        const CertifiedInterval interval =
            pld_epsilon(composed(GaussianMechanism{sigma}, count), delta);
        expect_contains(interval, epsilon, what);
        EXPECT_LE(interval.upper - interval.lower, std::max(1e-3 * interval.upper, 1e-6)) << what;
        if (epsilon > 0.0) {
          const CertifiedInterval at =
              pld_delta(composed(GaussianMechanism{sigma}, count), epsilon);
          // d log(delta) / d epsilon < (b + 1) / mu, b = epsilon / mu + mu / 2; epsilon is within
          // 1e-12 of the exact one.
          const double b = epsilon / mu + 0.5 * mu;
          EXPECT_LE(at.lower, delta * (1.0 + 2e-12 * epsilon * (b + 1.0) / mu)) << what;
          EXPECT_GE(at.upper, delta * (1.0 - 2e-12 * epsilon * (b + 1.0) / mu)) << what;
          EXPECT_LE(at.upper - at.lower, 1e-3 * at.upper) << what;
        }
      }
    }
  }
}

// One release of ((1 - q) N(0) + q N(1), N(0)): the loss exceeds epsilon right of x.
double sampled_delta_remove(double q, double sigma, double epsilon) {
  const double gamma = std::expm1(epsilon) / q;  // e^u - 1
  const double x = 0.5 + sigma * sigma * std::log1p(gamma);
  return q * normal_tail((x - 1.0) / sigma) - (std::expm1(epsilon) + q) * normal_tail(x / sigma);
}

TEST(PrivacyLossDistribution, OnePoissonSampledReleaseContainsTheClosedForm) {
  for (const double q : {1e-6, 1e-3, 0.1, 0.7}) {
    for (const double sigma : {0.2, 1.0, 5.0}) {
      for (const double epsilon : {1e-4, 0.03, 0.5, 2.0}) {
        const double exact = sampled_delta_remove(q, sigma, epsilon);
        if (!(exact > 1e-25)) continue;
        const CertifiedInterval interval =
            pld_delta(composed(PoissonSampledGaussianMechanism{q, sigma}), epsilon);
        const std::string what =
            std::to_string(q) + " " + std::to_string(sigma) + " " + std::to_string(epsilon);
        // The closed form subtracts: its own error is that of its first term.
        const double error = 1e-14 * q;
        EXPECT_LE(interval.lower, exact + error) << what;
        EXPECT_GE(interval.upper, exact - error) << what;
        EXPECT_LE(interval.upper - interval.lower, std::max(1e-3 * interval.upper, 1e-18)) << what;
      }
    }
  }
}

TEST(PrivacyLossDistribution, OneLaplaceReleaseContainsTheClosedForm) {
  for (const double scale : {0.3, 1.0, 8.0}) {
    for (const double part : {0.0, 0.2, 0.7, 0.99}) {
      const double epsilon = part / scale;
      const double exact = -std::expm1(0.5 * (epsilon - 1.0 / scale));
      const CertifiedInterval interval = pld_delta(composed(LaplaceMechanism{scale}), epsilon);
      expect_contains(interval, exact, std::to_string(scale) + " " + std::to_string(part));
      EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper);
    }
    const CertifiedInterval pure = pld_epsilon(composed(LaplaceMechanism{scale}), 1e-9);
    EXPECT_NEAR(pure.upper, 1.0 / scale, 1e-3 / scale);
    EXPECT_LE(pure.upper, (1.0 + 1e-11) / scale);
  }
}

TEST(PrivacyLossDistribution, RandomizedResponseIsABinomialSum) {
  const double truth = 0.7;
  const std::int64_t count = 25;
  const double loss = std::log(truth / (1.0 - truth));
  for (const double epsilon : {0.0, 1.0, 5.0, 12.0}) {
    double exact = 0.0;
    for (std::int64_t yes = 0; yes <= count; ++yes) {
      const double l = loss * static_cast<double>(2 * yes - count);
      if (l <= epsilon) continue;
      const double log_p = std::lgamma(26.0) - std::lgamma(1.0 + static_cast<double>(yes)) -
                           std::lgamma(26.0 - static_cast<double>(yes)) +
                           static_cast<double>(yes) * std::log(truth) +
                           static_cast<double>(count - yes) * std::log1p(-truth);
      exact += std::exp(log_p) * -std::expm1(epsilon - l);
    }
    const CertifiedInterval interval =
        pld_delta(composed(RandomizedResponseMechanism{2, truth}, count), epsilon);
    expect_contains(interval, exact, std::to_string(epsilon));
    EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper);
  }
}

TEST(PrivacyLossDistribution, ApproximateDpComposesLikeItsWorstCase) {
  // Kairouz, Oh and Viswanath, Theorem 3.3, for two releases: at epsilon the only loss above is
  // 2 epsilon.
  const double e = 0.8;
  const double d = 1e-4;
  const double both = (1.0 - d) / (1.0 + std::exp(-e));
  const double exact = 1.0 - (1.0 - d) * (1.0 - d) + both * both * -std::expm1(e - 2.0 * e);
  expect_contains(pld_delta(composed(ApproximateDpMechanism{e, d}, 2), e), exact, "two");
  const CertifiedInterval out_of_reach = pld_epsilon(composed(ApproximateDpMechanism{e, d}, 2), d);
  EXPECT_EQ(out_of_reach.lower, kInfinity);
  EXPECT_EQ(out_of_reach.upper, kInfinity);
}

TEST(PrivacyLossDistribution, DominatingPairTakesTheWorseOrder) {
  const std::vector<double> p{0.5, 0.3, 0.2};
  const std::vector<double> q{0.1, 0.3, 0.6};
  const double epsilon = 0.2;
  const auto hockey_stick = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      sum += std::max(0.0, a[i] - std::exp(epsilon) * b[i]);
    }
    return sum;
  };
  const double exact = std::max(hockey_stick(p, q), hockey_stick(q, p));
  EXPECT_NE(hockey_stick(p, q), hockey_stick(q, p));
  expect_contains(pld_delta(composed(DominatingPairMechanism{p, q, "pq"}), epsilon), exact, "pq");
  expect_contains(pld_delta(composed(DominatingPairMechanism{q, p, "qp"}), epsilon), exact, "qp");
}

TEST(PrivacyLossDistribution, PairsWithTwoOrdersAreRefusedUnderReplaceOne) {
  // Two releases may have opposite orders: at gamma = 3 that is 0.5 * 0.9 - 3 * 0.1 * 0.5 = 0.3,
  // and 0.25 - 3 * 0.01 = 0.22 where both go the same way.
  const DominatingPairMechanism pair{{0.5, 0.5}, {0.1, 0.9}, "coin"};
  try {
    pld_epsilon(composed(pair, 2, Neighbouring::kReplaceOne), 1e-5);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("the same in both orders"));
  }
  PldAccountant accountant(Neighbouring::kReplaceOne);
  EXPECT_THROW(accountant.compose(pair), std::invalid_argument);
  EXPECT_TRUE(accountant.composition().empty());
  const DominatingPairMechanism same{{0.1, 0.6, 0.3}, {0.3, 0.6, 0.1}, "same"};
  EXPECT_GT(pld_epsilon(composed(same, 2, Neighbouring::kReplaceOne), 1e-5).lower, 1.0);
  EXPECT_GT(pld_epsilon(composed(pair, 2), 1e-5).lower, 1.0);
}

TEST(PrivacyLossDistribution, DiscreteGaussianOfManySigmaIsTheGaussian) {
  // Canonne, Kamath and Steinke, Theorem 7: delta(epsilon) = Pr[Y > e s / D - D / 2] - e^e Pr[Y >
  // e s / D + D / 2], summed here directly.
  const double sigma = 3.5;
  const std::int64_t sensitivity = 2;
  double sum = 0.0;
  for (int k = -200; k <= 200; ++k) sum += std::exp(-k * k / (2.0 * sigma * sigma));
  for (const double epsilon : {0.1, 1.0, 3.0}) {
    double exact = 0.0;
    for (int k = -200; k <= 200; ++k) {
      const double moved = static_cast<double>(k) - static_cast<double>(sensitivity);
      exact += std::max(0.0, std::exp(-k * k / (2.0 * sigma * sigma)) -
                                 std::exp(epsilon - moved * moved / (2.0 * sigma * sigma))) /
               sum;
    }
    expect_contains(pld_delta(composed(DiscreteGaussianMechanism{sigma, sensitivity}), epsilon),
                    exact, std::to_string(epsilon));
  }
}

TEST(PrivacyLossDistribution, SamplingWithoutReplacementIsTheSampledPairAboveZero) {
  const double q = 0.2;
  const double sigma = 0.9;
  for (const double epsilon : {0.01, 0.4, 1.5}) {
    const CertifiedInterval interval =
        pld_delta(composed(WithoutReplacementSampledGaussianMechanism{q, sigma}, 1,
                           Neighbouring::kReplaceOne),
                  epsilon);
    expect_contains(interval, sampled_delta_remove(q, sigma, epsilon), std::to_string(epsilon));
    EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper);
  }
}

TEST(PrivacyLossDistribution, TruncatedBatchesAddTheirShareOfDelta) {
  const PoissonSampledGaussianMechanism poisson{0.01, 1.0};
  const TruncatedPoissonSampledGaussianMechanism truncated{0.01, 1.0, 60000, 760};
  const double tau = batch_overflow_probability(60000, 0.01, 760);
  ASSERT_GT(tau, 1e-12);
  ASSERT_LT(tau, 1e-8);
  const double epsilon = 1.5;
  const CertifiedInterval without = pld_delta(composed(poisson, 1000), epsilon);
  PldOptions wide;
  wide.accept_wider = true;
  const CertifiedInterval with = pld_delta(composed(truncated, 1000), epsilon, wide);
  const double added = 1000.0 * tau * (1.0 + std::exp(epsilon));
  EXPECT_NEAR(with.upper, without.upper + added, 2e-3 * without.upper);
  EXPECT_GE(with.upper, without.lower + added);
  EXPECT_LE(with.lower, without.upper);
  const CertifiedInterval at = pld_epsilon(composed(truncated, 1000), with.upper, wide);
  EXPECT_NEAR(at.upper, epsilon, 1e-2);
  // A batch that is cut in every step promises nothing at all.
  EXPECT_EQ(
      pld_epsilon(composed(TruncatedPoissonSampledGaussianMechanism{0.01, 1.0, 60000, 600}, 1000),
                  1e-5)
          .upper,
      kInfinity);
}

// ---- Composition ---------------------------------------------------------------------------

TEST(PrivacyLossDistribution, OrderAndDivisionOfPhasesDoNotMatterToTheLastBit) {
  const PoissonSampledGaussianMechanism a{0.01, 1.0};
  const PoissonSampledGaussianMechanism b{0.02, 1.3};
  const GaussianMechanism c{20.0};
  Composition one;
  one.append(a, 300);
  one.append(b, 200);
  one.append(c, 2);
  Composition other;
  other.append(c, 1);
  other.append(b, 50);
  other.append(a, 120);
  other.append(c, 1, "again");
  other.append(b, 150);
  other.append(a, 180, "more");
  const CertifiedInterval x = pld_epsilon(one, 1e-5);
  const CertifiedInterval y = pld_epsilon(other, 1e-5);
  EXPECT_EQ(x.lower, y.lower);
  EXPECT_EQ(x.upper, y.upper);
  const CertifiedInterval u = pld_delta(one, 1.0);
  const CertifiedInterval v = pld_delta(other, 1.0);
  EXPECT_EQ(u.lower, v.lower);
  EXPECT_EQ(u.upper, v.upper);
}

TEST(PrivacyLossDistribution, ManyPhasesAgreeWithOneWhereTheyAreTheSame) {
  // 40 mechanisms that differ in the twelfth digit are one mechanism for the interval's width.
  Composition many;
  for (int i = 0; i < 40; ++i) {
    many.append(PoissonSampledGaussianMechanism{0.01, 1.0 + 1e-12 * i}, 25);
  }
  const CertifiedInterval x = pld_epsilon(many, 1e-6);
  const CertifiedInterval y =
      pld_epsilon(composed(PoissonSampledGaussianMechanism{0.01, 1.0}, 1000), 1e-6);
  EXPECT_LE(std::max(x.lower, y.lower), std::min(x.upper, y.upper));
}

TEST(PrivacyLossDistribution, ReleasesThatReadNothingCostNothing) {
  Composition nothing;
  EXPECT_EQ(pld_epsilon(nothing, 1e-5).upper, 0.0);
  nothing.append(PoissonSampledGaussianMechanism{0.0, 1.0}, 100);
  EXPECT_EQ(pld_epsilon(nothing, 1e-5).upper, 0.0);
  EXPECT_EQ(pld_delta(nothing, 0.0).upper, 0.0);
}

TEST(PrivacyLossDistribution, ReleasesWithoutNoisePromiseNothing) {
  EXPECT_EQ(pld_epsilon(composed(GaussianMechanism{0.0}), 1e-5).upper, kInfinity);
  EXPECT_EQ(pld_delta(composed(PoissonSampledGaussianMechanism{0.1, 0.0}), 1.0).upper, 1.0);
}

TEST(PrivacyLossDistribution, SamplesWithoutNoiseMayFitIntoDelta) {
  // Nobody's example is in the sample with probability 1 - 1e-6: (0, 1e-6)-DP.
  EXPECT_EQ(pld_epsilon(composed(PoissonSampledGaussianMechanism{1e-6, 0.0}), 1e-3).lower, 0.0);
  EXPECT_EQ(pld_epsilon(composed(GaussianMechanism{0.0}), 1e-3).lower, kInfinity);
}

TEST(PrivacyLossDistribution, DeltaThatIsSpentToTheLastBitIsNotCertifiedAway) {
  // Exactly (0.5, delta)-DP, so that epsilon is 0.5 although rounding may tip it over.
  for (const double delta : {1e-5, 0.0039014285714285717, 0.7}) {
    const CertifiedInterval epsilon =
        pld_epsilon(composed(ApproximateDpMechanism{0.5, delta}), delta);
    EXPECT_LE(epsilon.lower, 0.5) << delta;
    EXPECT_GE(epsilon.upper, 0.5) << delta;
  }
}

TEST(PldAccountant, ManyGaussianReleasesOfLittleNoiseHaveAnAnswer) {
  // Together like one release of sigma = 1 / sqrt(2e6) = 7e-4.
  const std::int64_t count = 2'000'000;
  const double exact = gaussian_epsilon(std::sqrt(static_cast<double>(count)), 1e-5);
  expect_contains(pld_epsilon(composed(GaussianMechanism{1.0}, count), 1e-5), exact, "epsilon");
  PldAccountant accountant;
  accountant.compose(GaussianMechanism{1.0}, count);
  accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 10);
  EXPECT_GT(accountant.guarantee(1e-5).epsilon, exact);
  EXPECT_LT(accountant.guarantee(1e-5).epsilon, 1.01 * exact);
}

TEST(PrivacyLossDistribution, TinyDeltaIsCertifiedOverManySteps) {
  // dp.md's hazard: transforms without a tilt lose 1e-17 T of delta, here 1e-13.
  const Composition run = composed(PoissonSampledGaussianMechanism{0.01, 1.0}, 10000);
  const CertifiedInterval epsilon = pld_epsilon(run, 1e-15);
  EXPECT_LE(epsilon.upper - epsilon.lower, 1e-3 * epsilon.upper);
  const CertifiedInterval delta = pld_delta(run, epsilon.upper);
  EXPECT_LE(delta.lower, 1e-15);
  // The interval of epsilon is 7e-4 wide, and delta falls there by exp(-5 epsilon).
  EXPECT_GT(delta.lower, 0.96e-15);
}

TEST(PrivacyLossDistribution, NarrowerWidthsAreReachedAndNested) {
  const Composition run = composed(PoissonSampledGaussianMechanism{0.02, 0.9}, 500);
  double lower = 0.0;
  double upper = kInfinity;
  for (const double width : {1e-1, 1e-2, 1e-3, 1e-4, 1e-5}) {
    PldOptions options;
    options.relative_width = width;
    const CertifiedInterval interval = pld_epsilon(run, 1e-5, options);
    EXPECT_LE(interval.upper - interval.lower, width * interval.upper);
    lower = std::max(lower, interval.lower);
    upper = std::min(upper, interval.upper);
    EXPECT_LE(lower, upper) << width;
  }
}

TEST(PrivacyLossDistribution, WideWidthsDoNotForgetTheWorseDirection) {
  // The two directions are close here: one is known well enough when the other still is refined.
  struct Case {
    double q, sigma, delta, width;
  };
  for (const Case& c :
       {Case{0.8175, 22.91, 9.6855e-5, 0.0216}, Case{0.9211, 24.88, 1.004e-6, 0.0119},
        Case{0.8067, 26.08, 6.227e-5, 0.00568}, Case{0.9108, 16.21, 9.34e-4, 0.00346}}) {
    PldOptions options;
    options.relative_width = c.width;
    const CertifiedInterval epsilon =
        pld_epsilon(composed(PoissonSampledGaussianMechanism{c.q, c.sigma}), c.delta, options);
    EXPECT_LE(sampled_delta_remove(c.q, c.sigma, epsilon.upper), c.delta * (1.0 + 1e-9)) << c.q;
    EXPECT_GE(sampled_delta_remove(c.q, c.sigma, epsilon.lower), c.delta * (1.0 - 1e-9)) << c.q;
  }
}

TEST(PrivacyLossDistribution, RatesNextToOneAreNotNone) {
  // Losses reach log(1 - q) on one side; sampling at such rates changes nothing else.
  const double sigma = 0.15;
  for (const double q : {1.0 - 1e-6, 1.0 - 1e-10, 1.0 - 1e-14, 1.0 - 0x1p-53}) {
    for (const double epsilon : {0.3, 5.0, 12.0}) {
      const double exact = sampled_delta_remove(q, sigma, epsilon);
      const CertifiedInterval interval =
          pld_delta(composed(PoissonSampledGaussianMechanism{q, sigma}), epsilon);
      expect_contains(interval, exact, std::to_string(1.0 - q) + " " + std::to_string(epsilon));
      EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper) << q;
    }
  }
}

TEST(PrivacyLossDistribution, SamplesWithoutReplacementAndLittleNoiseAreAccounted) {
  // The least losses have probabilities that are 0 in floating point.
  for (const double sigma : {0.01, 0.02, 0.03, 0.05}) {
    for (const double epsilon : {0.02, 0.5, 20.0}) {
      const double q = 0.9;
      const CertifiedInterval interval =
          pld_delta(composed(WithoutReplacementSampledGaussianMechanism{q, sigma}, 1,
                             Neighbouring::kReplaceOne),
                    epsilon);
      const std::string what = std::to_string(sigma) + " " + std::to_string(epsilon);
      expect_contains(interval, sampled_delta_remove(q, sigma, epsilon), what);
      EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper) << what;
    }
  }
}

TEST(PrivacyLossDistribution, AGaussianOfLittleNoiseIsTheSameInBothDirections) {
  // Losses beyond 745, where the mass on the other side is 0 in floating point, and a pair that
  // makes "add" the worse direction.
  const std::vector<double> p{1e-6, 1.0 - 1e-6};
  const std::vector<double> q{0.5, 0.5};
  for (const double sigma : {0.05, 0.03, 0.02}) {
    for (const double delta : {1e-3, 1e-9}) {
      Composition both = composed(GaussianMechanism{sigma});
      both.append(DominatingPairMechanism{p, q, "pair"});
      const CertifiedInterval epsilon = pld_epsilon(both, delta);
      const auto exact = [&](double at) {
        double sum = 0.0;
        for (int i = 0; i < 2; ++i)
          sum += q[i] * gaussian_delta(1.0 / sigma, at - std::log(q[i] / p[i]));
        return sum;
      };
      EXPECT_LE(exact(epsilon.upper), delta) << sigma << " " << delta;
      EXPECT_GE(exact(epsilon.lower), delta) << sigma << " " << delta;
      EXPECT_LE(epsilon.upper - epsilon.lower, 1e-3 * epsilon.upper) << sigma << " " << delta;
    }
  }
}

TEST(PrivacyLossDistribution, LatticesMayBeCoarserThanTheLossesThemselves) {
  // Some 10^7 different losses, 10^-6 apart: to so much of it this is the Gaussian's epsilon.
  const double sigma = 1000.0;
  const std::int64_t count = 400'000;
  const double mu = std::sqrt(static_cast<double>(count)) / sigma;
  for (const double delta : {1e-2, 1e-6}) {
    const CertifiedInterval epsilon =
        pld_epsilon(composed(DiscreteGaussianMechanism{sigma, 1}, count), delta);
    const double exact = gaussian_epsilon(mu, delta);
    EXPECT_LE(epsilon.lower, exact + 2e-6) << delta;
    EXPECT_GE(epsilon.upper, exact - 2e-6) << delta;
    EXPECT_LE(epsilon.upper - epsilon.lower, 1e-3 * epsilon.upper) << delta;
  }
}

TEST(PrivacyLossDistribution, WhatCannotBeReachedIsAnErrorThatSaysWhatCan) {
  PldOptions options;
  options.largest_lattice = 1 << 10;
  options.relative_width = 1e-6;
  const Composition run = composed(PoissonSampledGaussianMechanism{0.01, 1.0}, 1000);
  try {
    pld_epsilon(run, 1e-5, options);
    FAIL() << "expected AccuracyNotReached";
  } catch (const AccuracyNotReached& error) {
    EXPECT_THAT(error.what(), HasSubstr("largest_lattice = 1024"));
    EXPECT_THAT(error.what(), HasSubstr("relative_width = 1e-06"));
    const CertifiedInterval good = pld_epsilon(run, 1e-5);
    EXPECT_LE(error.reached().lower, good.upper);
    EXPECT_GE(error.reached().upper, good.lower);
    options.accept_wider = true;
    EXPECT_EQ(pld_epsilon(run, 1e-5, options).upper, error.reached().upper);
  }
}

TEST(PrivacyLossDistribution, ArgumentsOutOfRangeAreNamed) {
  const Composition run = composed(PoissonSampledGaussianMechanism{0.01, 1.0}, 10);
  const auto error_of = [](const auto& call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_of([&] { pld_epsilon(run, 0.0); }),
            "pld_epsilon: delta = 0, expected > 0 and < 1");
  EXPECT_EQ(error_of([&] { pld_delta(run, -1.0); }),
            "pld_delta: epsilon = -1, expected finite and >= 0");
  PldOptions options;
  options.relative_width = 0.0;
  EXPECT_EQ(error_of([&] { pld_epsilon(run, 1e-5, options); }),
            "pld_epsilon: relative_width = 0, expected in (0, 1)");
  options = {};
  options.largest_lattice = 10;
  EXPECT_EQ(error_of([&] { pld_epsilon(run, 1e-5, options); }),
            "pld_epsilon: largest_lattice = 10, expected in 2^10..2^26");
  EXPECT_THAT(error_of([&] { pld_epsilon(composed(ZeroConcentratedMechanism{0.1}), 1e-5); }),
              HasSubstr("the Renyi accountant takes it"));
  EXPECT_THAT(error_of([&] { pld_epsilon(composed(GaussianMechanism{1e-4}), 1e-5); }),
              HasSubstr("noise_multiplier"));
}

// The worse direction has a far tail, the other a loss of at most -log(1 - q): the saddle point
// says nothing of it, and its bound must not be taken for the answer's.
TEST(PrivacyLossDistribution, AnInfiniteBoundOfTheLesserDirectionIsNoAnswer) {
  const struct {
    double q, sigma;
    std::int64_t steps;
    double delta;
  } runs[] = {{4.7e-8, 0.21, 17133, 1.5e-12}, {6.3e-4, 0.16, 381197, 1.9e-14}};
  for (const auto& run : runs) {
    const PoissonSampledGaussianMechanism mechanism{run.q, run.sigma};
    const CertifiedInterval interval = pld_epsilon(composed(mechanism, run.steps), run.delta);
    EXPECT_TRUE(std::isfinite(interval.upper)) << run.q;
    EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper) << run.q;
    RdpAccountant renyi;
    renyi.compose(mechanism, run.steps);
    EXPECT_LE(interval.lower, renyi.epsilon(run.delta)) << run.q;
    EXPECT_GT(renyi.epsilon(run.delta), interval.upper) << run.q;
  }
}

TEST(PrivacyLossDistribution, AnInfiniteBoundIsRefusedAndSaysSo) {
  // 4.5e8 steps: beyond what rounding allows.
  Composition run;
  run.append(PoissonSampledGaussianMechanism{2.6e-5, 0.11}, 450'000'000);
  PldOptions options;
  options.largest_lattice = 1 << 14;
  try {
    const CertifiedInterval interval = pld_epsilon(run, 3.4e-12, options);
    EXPECT_TRUE(std::isfinite(interval.upper));
    EXPECT_LE(interval.upper - interval.lower, 1e-3 * interval.upper);
  } catch (const AccuracyNotReached& error) {
    EXPECT_THAT(error.what(), HasSubstr("allow a larger lattice"));
    EXPECT_EQ(std::string(error.what()).find("nan"), std::string::npos);
    EXPECT_LE(error.reached().lower, error.reached().upper);
  }
}

// Before work was counted by mechanism, 1,000 of these took minutes.
TEST(PrivacyLossDistribution, ManyDifferentHeavyTailsEndWithBounds) {
  std::mt19937_64 generator(11);
  std::uniform_real_distribution<double> uniform(-0.75, 0.75);
  Composition run;
  RdpAccountant renyi;
  for (int i = 0; i < 100; ++i) {
    const PoissonSampledGaussianMechanism mechanism{3e-9 * std::pow(10.0, uniform(generator)),
                                                    0.2 * std::pow(10.0, 0.3 * uniform(generator))};
    const auto steps = static_cast<std::int64_t>(4e4 * std::pow(10.0, uniform(generator)));
    run.append(mechanism, steps);
    renyi.compose(mechanism, steps);
  }
  PldOptions options;
  options.largest_lattice = 1 << 14;
  options.accept_wider = true;
  const CertifiedInterval interval = pld_epsilon(run, 7.6e-9, options);
  EXPECT_LE(interval.lower, interval.upper);
  EXPECT_LE(interval.lower, renyi.epsilon(7.6e-9));
}

// ---- The accountant ------------------------------------------------------------------------

TEST(PldAccountant, IsNeverAboveTheRenyiAccountantAndStatesBothEnds) {
  for (const double q : {0.001, 0.05, 1.0}) {
    for (const double sigma : {0.6, 1.5}) {
      for (const std::int64_t steps : {1, 50, 5000}) {
        PldAccountant tight;
        RdpAccountant renyi;
        tight.compose(PoissonSampledGaussianMechanism{q, sigma}, steps);
        renyi.compose(PoissonSampledGaussianMechanism{q, sigma}, steps);
        const PrivacyGuarantee guarantee = tight.guarantee(1e-5);
        EXPECT_LE(guarantee.epsilon, renyi.epsilon(1e-5) + 1e-12);
        ASSERT_TRUE(guarantee.lower.has_value());
        EXPECT_LE(*guarantee.lower, guarantee.epsilon);
        EXPECT_GE(*guarantee.lower, 0.998 * guarantee.epsilon - 1e-6);
        const double epsilon = guarantee.epsilon;
        if (epsilon > 0.0) {
          const PrivacyGuarantee at = tight.guarantee_at_epsilon(epsilon);
          EXPECT_LE(at.delta, renyi.delta(epsilon) * (1.0 + 1e-12));
          EXPECT_LE(*at.lower, at.delta);
        }
      }
    }
  }
}

TEST(PldAccountant, CopiesGoTheirOwnWay) {
  PldAccountant accountant;
  accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 100);
  const auto copy = accountant.clone();
  copy->compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 100);
  EXPECT_EQ(accountant.composition().total_count(), 100);
  EXPECT_GT(copy->epsilon(1e-5), accountant.epsilon(1e-5));
  EXPECT_EQ(copy->name(), "pld");
}

TEST(PldAccountant, RefusesWhatItCannotComposeAndChangesNothing) {
  PldAccountant accountant;
  EXPECT_THROW(accountant.compose(ZeroConcentratedMechanism{0.1}), std::invalid_argument);
  EXPECT_THROW(accountant.compose(WithoutReplacementSampledGaussianMechanism{0.1, 1.0}),
               std::invalid_argument);
  EXPECT_TRUE(accountant.composition().empty());
  EXPECT_EQ(accountant.epsilon(1e-5), 0.0);
}

// ---- The box -------------------------------------------------------------------------------

// q, sigma, T and delta over all that people use and far beyond. Every point answers with true
// bounds, or refuses with them; the box at full size is benchmarks/accounting_box.cpp.
TEST(PrivacyLossDistribution, EveryPointOfTheBoxAnswersOrRefuses) {
  // An eighth of the default lattice: the same claims in an eighth of the time.
  PldOptions options;
  options.largest_lattice = 1 << 17;
  std::mt19937_64 generator(20250131);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  int answered = 0;
  for (int point = 0; point < 200; ++point) {
    const double q = std::pow(10.0, -9.0 * uniform(generator));
    const double sigma = std::pow(10.0, -1.0 + 4.0 * uniform(generator));
    const auto steps = static_cast<std::int64_t>(std::pow(10.0, 7.0 * uniform(generator)));
    const double delta = std::pow(10.0, -1.0 - 14.0 * uniform(generator));
    const Composition run = composed(PoissonSampledGaussianMechanism{q, sigma}, steps);
    CertifiedInterval interval{};
    try {
      interval = pld_epsilon(run, delta, options);
      ++answered;
      EXPECT_TRUE(std::isfinite(interval.upper));
      EXPECT_LE(interval.upper - interval.lower, std::max(1e-3 * interval.upper, 1e-6));
    } catch (const AccuracyNotReached& error) {
      interval = error.reached();
    }
    const std::string what = "q " + std::to_string(q) + " sigma " + std::to_string(sigma) + " T " +
                             std::to_string(steps) + " log delta " +
                             std::to_string(std::log10(delta));
    EXPECT_LE(interval.lower, interval.upper) << what;
    RdpAccountant renyi;
    renyi.compose(PoissonSampledGaussianMechanism{q, sigma}, steps);
    EXPECT_LE(interval.lower, renyi.epsilon(delta)) << what;
  }
  EXPECT_GE(answered, 165);
}

}  // namespace
}  // namespace velum::dpsgd
