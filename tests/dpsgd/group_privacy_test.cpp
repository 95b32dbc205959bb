#include "velum/dpsgd/accounting/group_privacy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace velum::dpsgd {
namespace {

// tensorflow/privacy, compute_dp_sgd_privacy_test.py: 10^4 examples, batches of 64, noise
// multiplier 2 with the sensitivity doubled by micro-batching, 5 epochs, delta 1e-6; a user has 3
// examples.
RdpAccountant each_example_once_per_epoch() {
  RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, default_rdp_orders());
  accountant.compose(GaussianMechanism{1.0}, 5);
  return accountant;
}

TEST(GroupPrivacy, AgreesWithPublishedStatementsOnceAnEpoch) {
  const RdpAccountant one = each_example_once_per_epoch();
  EXPECT_NEAR(rdp_to_epsilon(one.orders(), one.rdp(), 1e-6).value, 13.376, 5e-4);
  RdpAccountant three(Neighbouring::kAddOrRemoveOne, default_rdp_orders());
  three.compose(group_composition(one.composition(), 3));
  EXPECT_NEAR(rdp_to_epsilon(three.orders(), three.rdp(), 1e-6).value, 56.224, 5e-4);
}

// Theirs is 6.425 with 3 exp(2 epsilon) in place of the geometric sum: never below ours.
TEST(GroupPrivacy, IsJustBelowThePublishedStatementOfPoissonSamples) {
  RdpAccountant one;
  one.compose(PoissonSampledGaussianMechanism{64.0 / 1e4, 1.0}, 782);
  EXPECT_NEAR(one.epsilon(1e-6), 1.616, 5e-4);
  const PrivacyGuarantee three = group_guarantee(one, 3, 1e-6);
  EXPECT_EQ(three.delta, 1e-6);
  EXPECT_LE(three.epsilon, 6.4255);
  EXPECT_GT(three.epsilon, 6.40);
}

TEST(GroupPrivacy, IsTheChainOfNeighbours) {
  const double e = std::exp(1.0);
  const PrivacyGuarantee group = group_guarantee({1.0, 1e-6, "", {}}, 4);
  EXPECT_GE(group.epsilon, 4.0);
  EXPECT_NEAR(group.epsilon, 4.0, 1e-14);
  const double exact = 1e-6 * (1.0 + e + e * e + e * e * e);
  EXPECT_GE(group.delta, exact * (1.0 - 1e-15));
  EXPECT_NEAR(group.delta, exact, 1e-12 * exact);
  EXPECT_NEAR(group_guarantee({0.0, 1e-6, "", {}}, 4).delta, 4e-6, 1e-18);
  EXPECT_EQ(group_guarantee({2.0, 0.0, "", {}}, 4).delta, 0.0);
  EXPECT_EQ(group_guarantee({50.0, 1e-6, "", {}}, 4).delta, 1.0);
  EXPECT_EQ(group_guarantee({1.5, 1e-6, "", {}}, 1).epsilon, 1.5);
}

TEST(GroupPrivacy, OfGaussiansIsThatOfTheirSensitivity) {
  RdpAccountant group;
  group.compose(group_mechanism(GaussianMechanism{6.0}, 3), 2);
  const double exact = gaussian_epsilon(std::sqrt(2.0) / 2.0, 1e-5);
  EXPECT_GE(group.epsilon(1e-5), exact * (1.0 - 1e-14));
  EXPECT_NEAR(group.epsilon(1e-5), exact, 1e-11);
  RdpAccountant one;
  one.compose(GaussianMechanism{6.0}, 2);
  EXPECT_GE(group_guarantee(one, 3, 1e-5).epsilon, exact);
}

// Two of a group: none, one or both are in the sample. The mixture of three Gaussians has the
// divergence below, by quadrature here.
TEST(GroupPrivacy, OfPoissonSamplesIsAboveTheMixtureOfAll) {
  const double q = 0.2;
  const double sigma = 2.0;
  for (const double gamma : {1.0, 1.2, 1.5}) {
    double remove = 0.0;
    double add = 0.0;
    double bound_remove = 0.0;
    double bound_add = 0.0;
    const auto group = std::get<PoissonSampledGaussianMechanism>(
        group_mechanism(PoissonSampledGaussianMechanism{q, sigma}, 2));
    const auto normal = [](double x, double s) {
      return std::exp(-0.5 * x * x / (s * s)) / (s * std::sqrt(2.0 * M_PI));
    };
    constexpr double kStep = 1e-3;
    for (double x = -40.0; x < 44.0; x += kStep) {
      const double none = normal(x, sigma);
      const double mixed = (1 - q) * (1 - q) * none + 2 * q * (1 - q) * normal(x - 1.0, sigma) +
                           q * q * normal(x - 2.0, sigma);
      remove += kStep * std::max(0.0, mixed - gamma * none);
      add += kStep * std::max(0.0, none - gamma * mixed);
      const double p = group.sampling_rate;
      const double far = (1 - p) * none + p * normal(x - sigma / group.noise_multiplier, sigma);
      bound_remove += kStep * std::max(0.0, far - gamma * none);
      bound_add += kStep * std::max(0.0, none - gamma * far);
    }
    EXPECT_GT(bound_remove, remove);
    EXPECT_GT(bound_add, add);
  }
  const auto group = std::get<PoissonSampledGaussianMechanism>(
      group_mechanism(PoissonSampledGaussianMechanism{q, sigma}, 2));
  EXPECT_NEAR(group.sampling_rate, 0.36, 1e-13);
  EXPECT_GE(group.sampling_rate, 0.36);
  EXPECT_LE(group.noise_multiplier, 1.0);
}

TEST(GroupPrivacy, OfOtherMechanisms) {
  EXPECT_LE(std::get<LaplaceMechanism>(group_mechanism(LaplaceMechanism{3.0}, 3)).noise_multiplier,
            1.0);
  EXPECT_EQ(group_mechanism(DiscreteGaussianMechanism{3.0, 2}, 3),
            Mechanism(DiscreteGaussianMechanism{3.0, 6}));
  EXPECT_GE(
      std::get<ZeroConcentratedMechanism>(group_mechanism(ZeroConcentratedMechanism{0.5}, 3)).rho,
      4.5);
  EXPECT_THROW(group_mechanism(RandomizedResponseMechanism{2, 0.75}, 2), std::invalid_argument);
  EXPECT_THROW(group_mechanism(GaussianMechanism{1.0}, 0), std::invalid_argument);
  EXPECT_THROW(group_guarantee({1.0, 1e-6, "", {}}, 0), std::invalid_argument);
}

TEST(GroupPrivacy, TheSmallerOfBothIsTaken) {
  const RdpAccountant empty;
  const RdpAccountant full = each_example_once_per_epoch();
  RdpAccountant sensitive;
  sensitive.compose(group_composition(full.composition(), 3));
  const PrivacyGuarantee once = group_guarantee(empty, full.composition(), 3, 1e-6);
  EXPECT_EQ(once.epsilon, sensitive.epsilon(1e-6));
  EXPECT_LT(once.epsilon, group_guarantee(RdpAccountant(full), 3, 1e-6).epsilon);
  EXPECT_NE(once.method.find("3 examples as one contribution"), std::string::npos);

  RdpAccountant sampled;
  sampled.compose(PoissonSampledGaussianMechanism{64.0 / 1e4, 1.0}, 782);
  const PrivacyGuarantee rarely = group_guarantee(empty, sampled.composition(), 3, 1e-6);
  EXPECT_EQ(rarely.epsilon, group_guarantee(sampled, 3, 1e-6).epsilon);
  EXPECT_LE(rarely.epsilon, 6.4255);
  EXPECT_NE(rarely.method.find("3 examples by group privacy"), std::string::npos);

  // No mechanism for a group of one release: the chain alone.
  Composition mixed = full.composition();
  mixed.append(RandomizedResponseMechanism{2, 0.75});
  RdpAccountant one;
  one.compose(mixed);
  EXPECT_EQ(group_guarantee(empty, mixed, 3, 1e-6).epsilon, group_guarantee(one, 3, 1e-6).epsilon);
}

TEST(GroupPrivacy, OfOneIsThatOfOneAndHasNoLowerBound) {
  Composition releases;
  releases.append(PoissonSampledGaussianMechanism{0.01, 1.0}, 100);
  PldAccountant accountant;
  accountant.compose(releases);
  const PrivacyGuarantee one = group_guarantee(PldAccountant(), releases, 1, 1e-5);
  EXPECT_EQ(one.epsilon, accountant.epsilon(1e-5));
  EXPECT_FALSE(one.lower);
  EXPECT_FALSE(group_guarantee(PldAccountant(), releases, 2, 1e-5).lower);
  EXPECT_THROW(group_guarantee(accountant, releases, 2, 1e-5), std::invalid_argument);
}

}  // namespace
}  // namespace velum::dpsgd
