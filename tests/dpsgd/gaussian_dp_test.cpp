#include "velum/dpsgd/accounting/gaussian_dp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "reference/accounting_values.h"

namespace velum::dpsgd {
namespace {

using testing::GaussianValue;
using testing::kGaussianValues;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(GaussianDp, EpsilonIsNeverBelowTheExactValueAndWithinOneTrillionth) {
  for (const GaussianValue& exact : kGaussianValues) {
    const long double value = gaussian_epsilon(exact.mu, exact.delta);
    EXPECT_GE(value, exact.epsilon) << exact.mu << " " << exact.delta;
    EXPECT_LE(value, exact.epsilon * (1.0L + 1e-12L)) << exact.mu << " " << exact.delta;
  }
}

// At the double just above the exact epsilon the exact delta is a hair smaller than in the table;
// d(log delta) / d(epsilon) = -exp(epsilon) Q(b) / delta moves it by less than (1 + b) b ulps.
TEST(GaussianDp, DeltaAtTheExactEpsilonIsTheTablesDelta) {
  for (const GaussianValue& exact : kGaussianValues) {
    if (exact.epsilon == 0.0L) continue;
    double below = static_cast<double>(exact.epsilon);
    if (below > exact.epsilon) below = std::nextafter(below, 0.0);
    const double b = below / exact.mu + 0.5 * exact.mu;
    const double value = gaussian_delta(exact.mu, below);
    EXPECT_GE(value, exact.delta) << exact.mu << " " << exact.delta;
    EXPECT_LE(value, exact.delta * (1.0 + 1e-12 + 4.0 * (1.0 + b) * b * 0x1p-52))
        << exact.mu << " " << exact.delta;
  }
}

TEST(GaussianDp, EpsilonOfKnownNoiseMultipliers) {
  // Exact values in ten digits, from an independent evaluation.
  const struct {
    double sigma, epsilon;
  } known[] = {{0.5, 9.997256146}, {1.0, 4.377178096}, {2.0, 1.993091404},
               {3.0, 1.271087767}, {5.0, 0.725521751}, {10.0, 0.340669365}};
  for (const auto& [sigma, epsilon] : known) {
    EXPECT_NEAR(gaussian_epsilon(1.0 / sigma, 1e-5), epsilon, 5.1e-10);
  }
}

TEST(GaussianDp, NoiseMultiplierOfKnownBudgets) {
  const struct {
    double epsilon, sigma;
  } known[] = {{0.5, 7.031826676}, {1.0, 3.730631635}, {2.0, 1.993812446},
               {3.0, 1.390593457}, {4.0, 1.081161850}, {8.0, 0.600229072}};
  for (const auto& [epsilon, sigma] : known) {
    EXPECT_NEAR(1.0 / gaussian_mu(epsilon, 1e-5), sigma, 5.1e-10);
  }
  // dp_accounting 0.6, pld_privacy_accountant_test.py: three releases at sigma = sqrt(3).
  EXPECT_NEAR(gaussian_delta(1.0, 1.0), 0.126936, 1e-6);
}

TEST(GaussianDp, MuIsTheLargestThatTheBudgetAllows) {
  for (const double epsilon : {0.0, 1e-6, 0.01, 0.5, 3.0, 20.0, 500.0}) {
    for (const double delta : {0.1, 1e-5, 1e-12, 1e-30}) {
      const double mu = gaussian_mu(epsilon, delta);
      EXPECT_LE(gaussian_delta(mu, epsilon), delta * (1.0 + 1e-14)) << epsilon << " " << delta;
      EXPECT_GT(gaussian_delta(mu * (1.0 + 1e-9), epsilon), delta) << epsilon << " " << delta;
      EXPECT_LE(gaussian_epsilon(mu, delta), epsilon * (1.0 + 1e-12) + 1e-300);
    }
  }
}

TEST(GaussianDp, GrowsWithMuAndFallsWithTheOtherParameter) {
  double last_mu = 0.02;  // delta(0) = 0.008: epsilon is positive at every delta below
  for (double mu = 0.03; mu < 200.0; mu *= 1.7) {
    for (const double delta : {1e-3, 1e-6, 1e-12}) {
      EXPECT_LT(gaussian_epsilon(last_mu, delta), gaussian_epsilon(mu, delta));
      EXPECT_GT(gaussian_epsilon(mu, delta / 10.0), gaussian_epsilon(mu, delta));
    }
    last_mu = mu;
  }
}

TEST(GaussianDp, IsContinuousWhereTheEvaluationChanges) {
  // mu = 1 switches from quadrature to a difference, epsilon = mu^2 / 2 from the near tail to the
  // far.
  const double around_one = gaussian_delta(1.0, 2.0);
  EXPECT_NEAR(gaussian_delta(1.0 + 1e-15, 2.0), around_one, 1e-12 * around_one);
  const double around_zero = gaussian_delta(2.0, 2.0);
  EXPECT_NEAR(gaussian_delta(2.0, 2.0 - 1e-15), around_zero, 1e-12 * around_zero);
}

TEST(GaussianDp, Limits) {
  EXPECT_EQ(gaussian_epsilon(0.0, 1e-5), 0.0);
  EXPECT_EQ(gaussian_epsilon(kInfinity, 1e-5), kInfinity);
  EXPECT_EQ(gaussian_epsilon(1e-6, 1e-5), 0.0);  // delta(0) = 4e-7 already
  EXPECT_EQ(gaussian_delta(0.0, 0.0), 0.0);
  EXPECT_EQ(gaussian_delta(kInfinity, 3.0), 1.0);
  EXPECT_EQ(gaussian_delta(1.0, kInfinity), 0.0);
  EXPECT_EQ(gaussian_delta(1e-3, 10.0), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(gaussian_delta(1e6, 1.0), 1.0);
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

TEST(GaussianDp, NamesTheValueThatIsOutOfRange) {
  EXPECT_EQ(error_of([] { gaussian_epsilon(-1.0, 0.1); }),
            "gaussian_epsilon: mu = -1, expected >= 0");
  EXPECT_EQ(error_of([] { gaussian_epsilon(1.0, 0.0); }),
            "gaussian_epsilon: delta = 0, expected > 0 and < 1");
  EXPECT_EQ(error_of([] { gaussian_epsilon(1.0, 1.0); }),
            "gaussian_epsilon: delta = 1, expected > 0 and < 1");
  EXPECT_EQ(error_of([] { gaussian_delta(1.0, -2.0); }),
            "gaussian_delta: epsilon = -2, expected >= 0");
  EXPECT_EQ(error_of([] { gaussian_mu(kInfinity, 0.1); }),
            "gaussian_mu: epsilon = inf, expected finite and >= 0");
}

}  // namespace
}  // namespace velum::dpsgd
