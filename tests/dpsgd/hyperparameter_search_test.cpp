#include "velum/dpsgd/accounting/hyperparameter_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>

namespace velum::dpsgd {
namespace {

RdpAccountant trial_of_sgd() {
  RdpAccountant trial;
  trial.compose(PoissonSampledGaussianMechanism{0.01, 1.1}, 1000);
  return trial;
}

// E[K] by summing k Pr[K = k] of the paper's definition.
TEST(HyperparameterSearch, ExpectsTheMeanOfTheDistribution) {
  for (const double shape : {-0.5, 0.0, 0.5, 1.0, 3.0}) {
    for (const double gamma : {0.05, 0.3, 0.9}) {
      double weight = 1.0;  // prod (l + shape) / (l + 1) over l < k, times (1 - gamma)^k
      double total = 0.0;
      double mean = 0.0;
      // At shape 0 the first factor vanishes from every term alike: leave it out.
      weight = (1.0 - gamma) * (shape == 0.0 ? 1.0 : shape);
      for (int k = 1; k < 3000; ++k) {
        total += weight;
        mean += k * weight;
        weight *= (1.0 - gamma) * (k + shape) / (k + 1.0);
      }
      const double expected = mean / total;
      EXPECT_NEAR(expected_trials(NegativeBinomialTrials{shape, gamma}), expected, 1e-10 * expected)
          << shape << " " << gamma;
    }
  }
  EXPECT_EQ(expected_trials(PoissonTrials{7.0}), 7.0);
  EXPECT_NEAR(expected_trials(NegativeBinomialTrials{1e-10, 0.1}),
              expected_trials(NegativeBinomialTrials{0.0, 0.1}), 1e-8);
}

// dp_accounting 0.6, RepeatAndSelectDpEvent of 1,000 steps at q = 0.01, sigma = 1.1, mean 10,
// delta = 1e-6, on orders 1.1 to 11.05 by 0.05: a minimum over a list is never below ours.
TEST(HyperparameterSearch, AgreesWithAnIndependentAccountant) {
  const RdpAccountant trial = trial_of_sgd();
  const struct {
    RandomTrials trials;
    double epsilon;
  } known[] = {{NegativeBinomialTrials{1.0, 0.1}, 3.6926891523457126},
               {NegativeBinomialTrials{0.0, 0.026918259601}, 3.1787456117955797},
               {NegativeBinomialTrials{0.5, 0.0625}, 3.451057450838891},
               {PoissonTrials{10.0}, 3.9100138654189607}};
  for (const auto& [trials, epsilon] : known) {
    const double ours = search_guarantee(trial, trials, 1e-6).epsilon;
    EXPECT_LE(ours, epsilon);
    EXPECT_GE(ours, epsilon * (1.0 - 1e-4));
  }
}

TEST(HyperparameterSearch, IsTheFormulaOfTheTheoremForAGaussian) {
  // rdp(b) = b / 50: (1 - 1/b) b / 50 + log(1/gamma) / b is smallest at b = sqrt(50 log(1/gamma)).
  const auto gaussian = [](double order) { return order / 50.0; };
  const double log_odds = std::log(10.0);
  const double b = std::sqrt(50.0 * log_odds);
  const double selection = 2.0 * ((b - 1.0) / 50.0 + log_odds / b);
  const RdpFunction search = search_rdp(gaussian, NegativeBinomialTrials{1.0, 0.1});
  for (const double order : {1.5, 8.0, 100.0}) {
    const double exact = order / 50.0 + selection + std::log(10.0) / (order - 1.0);
    EXPECT_GE(search(order), exact);
    EXPECT_NEAR(search(order), exact, 1e-8);
  }
}

TEST(HyperparameterSearch, CostsMoreThanATrialAndOneTrialCostsATrial) {
  const RdpAccountant trial = trial_of_sgd();
  EXPECT_GT(search_guarantee(trial, NegativeBinomialTrials{1.0, 0.5}, 1e-6).epsilon,
            trial.epsilon(1e-6));
  EXPECT_GE(search_guarantee(trial, NegativeBinomialTrials{1.0, 1.0}, 1e-6).epsilon,
            trial.epsilon(1e-6));
  EXPECT_EQ(search_guarantee(RdpAccountant(), PoissonTrials{10.0}, 1e-6).epsilon, 0.0);
}

TEST(HyperparameterSearch, RefusesWhatTheTheoremsDoNotCover) {
  RdpAccountant trial;
  trial.compose(ApproximateDpMechanism{0.1, 1e-7});
  EXPECT_THROW(search_guarantee(trial, PoissonTrials{10.0}, 1e-6), std::invalid_argument);
  EXPECT_THROW(expected_trials(NegativeBinomialTrials{-1.0, 0.5}), std::invalid_argument);
  EXPECT_THROW(expected_trials(NegativeBinomialTrials{1.0, 0.0}), std::invalid_argument);
  EXPECT_THROW(expected_trials(PoissonTrials{0.0}), std::invalid_argument);
}

// The gammas that dp_accounting 0.6 takes for mean 10 at shape 0; 1/16 is exact at shape 1/2:
// E[K] = (1 - g) / g / 2 / (1 - sqrt(g)) = 15 / 2 / (3 / 4).
TEST(NegativeBinomialTrials, HaveTheMeanThatWasAsked) {
  EXPECT_EQ(negative_binomial_trials(1.0, 10.0), (NegativeBinomialTrials{1.0, 0.1}));
  EXPECT_NEAR(negative_binomial_trials(0.0, 10.0).gamma, 0.026918259601, 1e-11);
  EXPECT_NEAR(negative_binomial_trials(0.5, 10.0).gamma, 0.0625, 1e-10);
  EXPECT_EQ(negative_binomial_trials(0.5, 1.0).gamma, 1.0);
  for (const double shape : {-0.9, -0.5, 0.0, 0.5, 1.0, 7.0}) {
    for (const double mean : {1.001, 2.0, 100.0, 1e6}) {
      const NegativeBinomialTrials found = negative_binomial_trials(shape, mean);
      EXPECT_EQ(found.shape, shape);
      EXPECT_NEAR(expected_trials(found), mean, 1e-9 * mean) << shape << " " << mean;
    }
  }
}

TEST(NegativeBinomialTrials, NamesTheValueThatIsOutOfRange) {
  const auto error_of = [](double shape, double mean) -> std::string {
    try {
      negative_binomial_trials(shape, mean);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no std::invalid_argument";
  };
  EXPECT_EQ(error_of(1.0, 0.5), "negative_binomial_trials: mean = 0.5, expected >= 1 and <= 1e6");
  EXPECT_EQ(error_of(-1.0, 2.0), "negative_binomial_trials: shape = -1, expected finite and > -1");
}

TEST(RandomTrials, AreDescribed) {
  EXPECT_EQ(describe(NegativeBinomialTrials{1.0, 0.1}),
            "geometric, gamma 0.1, 10 trials on average");
  EXPECT_EQ(describe(NegativeBinomialTrials{0.5, 0.0625}),
            "negative binomial of shape 0.5, gamma 0.0625, 10 trials on average");
  EXPECT_EQ(describe(NegativeBinomialTrials{0.0, 0.5}),
            "logarithmic, gamma 0.5, 1.4427 trials on average");
  EXPECT_EQ(describe(PoissonTrials{7.5}), "Poisson, 7.5 trials on average");
}

}  // namespace
}  // namespace velum::dpsgd
