#include "velum/dpsgd/accounting/rdp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "reference/accounting_values.h"
#include "reference/renyi_quadrature.h"

namespace velum::dpsgd {
namespace {

using testing::kRdpValues;
using testing::likelihood_ratio_moment;
using testing::RdpValue;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double sampled_rdp(double q, double sigma, double order) {
  return rdp(PoissonSampledGaussianMechanism{q, sigma}, order);
}

std::string text_of(const RdpValue& v) {
  return "q = " + std::to_string(v.sampling_rate) +
         ", sigma = " + std::to_string(v.noise_multiplier) + ", order = " + std::to_string(v.order);
}

TEST(Rdp, IsNeverBelowTheExactValue) {
  for (const RdpValue& exact : kRdpValues) {
    const long double value = sampled_rdp(exact.sampling_rate, exact.noise_multiplier, exact.order);
    EXPECT_GE(value, exact.rdp) << text_of(exact);
  }
}

TEST(Rdp, IsWithinOneBillionthOfTheExactValue) {
  for (const RdpValue& exact : kRdpValues) {
    const long double value = sampled_rdp(exact.sampling_rate, exact.noise_multiplier, exact.order);
    EXPECT_LE(value, exact.rdp * (1.0L + 1e-9L)) << text_of(exact);
  }
}

// The quadrature computes the plain moment A near 1 in long double, so A - 1 is known to a few
// units of 2^-64 only: that is the oracle's own uncertainty.
TEST(Rdp, AgreesWithQuadratureAtRandomMechanismsAndOrders) {
  std::mt19937_64 random(7);
  const auto log_uniform = [&](double low, double high) {
    return std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(random));
  };
  for (int i = 0; i < 400; ++i) {
    const double q = log_uniform(1e-3, 0.99);
    const double sigma = log_uniform(0.5, 20.0);
    const double order = 1.0 + log_uniform(0.02, 40.0);
    const long double moment = likelihood_ratio_moment(q, sigma, order);
    const long double exact = std::log(moment) / (order - 1.0L);
    const long double uncertainty = 64.0L * 0x1p-64L * order / (order - 1.0L) + 1e-13L * exact;
    const long double value = sampled_rdp(q, sigma, order);
    EXPECT_GE(value, exact - uncertainty) << q << " " << sigma << " " << order;
    EXPECT_LE(value, exact * (1.0L + 1e-9L) + uncertainty) << q << " " << sigma << " " << order;
  }
}

TEST(Rdp, BoundsTheDirectionOfRemovingAnExampleToo) {
  for (const double q : {0.01, 0.1, 0.5, 0.9, 0.99}) {
    for (const double sigma : {0.5, 1.0, 3.0, 10.0}) {
      for (const double order : {1.1, 1.5, 2.0, 3.7, 8.0, 20.0}) {
        const long double other =
            std::log(likelihood_ratio_moment(q, sigma, 1.0 - order)) / (order - 1.0L);
        EXPECT_GE(sampled_rdp(q, sigma, order), other) << q << " " << sigma << " " << order;
      }
    }
  }
}

TEST(Rdp, OfAGaussianIsOrderOverTwiceTheVariance) {
  for (const double sigma : {0.1, 0.7, 1.0, 30.0, 1e6}) {
    for (const double order : {1.01, 2.0, 7.3, 1024.0}) {
      const long double exact = static_cast<long double>(order) / 2.0L / sigma / sigma;
      const long double value = rdp(GaussianMechanism{sigma}, order);
      EXPECT_GE(value, exact);
      EXPECT_LE(value, exact * (1.0L + 1e-14L));
      EXPECT_EQ(sampled_rdp(1.0, sigma, order), rdp(GaussianMechanism{sigma}, order));
    }
  }
}

TEST(Rdp, GrowsWithTheOrderAndTheRateAndFallsWithTheNoise) {
  // Neighbouring grid points differ by far more than the rounding that is added.
  const std::vector<double> orders{1.05, 1.5, 2.0, 2.5, 3.0, 7.9, 8.0, 8.1, 33.0, 33.3, 512.0};
  const std::vector<double> rates{1e-5, 1e-3, 0.05, 0.3, 0.7, 0.99, 1.0};
  const std::vector<double> sigmas{0.3, 0.5, 1.0, 2.0, 10.0, 100.0};
  for (std::size_t a = 0; a < orders.size(); ++a) {
    for (std::size_t b = 0; b < rates.size(); ++b) {
      for (std::size_t c = 0; c < sigmas.size(); ++c) {
        const double value = sampled_rdp(rates[b], sigmas[c], orders[a]);
        if (a > 0) {
          EXPECT_LT(sampled_rdp(rates[b], sigmas[c], orders[a - 1]), value);
        }
        if (b > 0) {
          EXPECT_LT(sampled_rdp(rates[b - 1], sigmas[c], orders[a]), value);
        }
        if (c > 0) {
          EXPECT_GT(sampled_rdp(rates[b], sigmas[c - 1], orders[a]), value);
        }
      }
    }
  }
}

TEST(Rdp, IsContinuousAcrossIntegerOrders) {
  // Integer orders are summed binomially and their neighbours by quadrature.
  for (const double order : {2.0, 3.0, 8.0, 21.0}) {
    const double at = sampled_rdp(0.02, 1.2, order);
    EXPECT_NEAR(sampled_rdp(0.02, 1.2, order * (1.0 + 1e-12)), at, 1e-9 * at);
    EXPECT_NEAR(sampled_rdp(0.02, 1.2, order * (1.0 - 1e-12)), at, 1e-9 * at);
  }
}

// The terms of A - 1 = sum C(n, i) q^i (1 - q)^(n - i) (exp(i (i - 1) / 2 sigma^2) - 1), none of
// which is negative. Of these runs all but the first hundred are nothing: the sum of C(n, i) q^i is
// below (e n q / i)^i, and log of that times exp(i^2 / 2 sigma^2) is convex or falls for i > n q,
// so that it is largest at an end, where it is below -2e4.
TEST(Rdp, IsExactAtOrdersFarBeyondWhatCanBeSummed) {
  const struct {
    double q, sigma;
    std::int64_t order;
  } points[] = {{1.03e-8, 778.0, 14'667'081},
                {1e-9, 900.0, 20'000'000},
                {1e-9, 300.0, 2'000'000},
                {3e-7, 1000.0, 10'000'000},
                {1e-6, 50.0, 40'000}};
  for (const auto& [q, sigma, order] : points) {
    const auto n = static_cast<long double>(order);
    const long double rate = q;
    const long double half = 0.5L / sigma / sigma;
    // What was left out, at both ends.
    const auto log_bound = [&](long double i) {
      return i * (1.0L + std::log(n * rate / i)) + i * i * half;
    };
    ASSERT_LT(log_bound(100.0L), -60.0L) << q;
    ASSERT_LT(log_bound(n), -2e4L) << q;
    long double sum = 0.0L;
    long double log_weight = n * std::log1p(-rate);  // of C(n, i) q^i (1 - q)^(n - i)
    for (std::int64_t i = 1; i <= 200; ++i) {
      const auto k = static_cast<long double>(i);
      log_weight += std::log((n - k + 1.0L) / k) + std::log(rate) - std::log1p(-rate);
      sum += std::exp(log_weight) * std::expm1(k * (k - 1.0L) * half);
    }
    const long double exact = std::log1p(sum) / (n - 1.0L);
    const long double value = sampled_rdp(q, sigma, static_cast<double>(order));
    EXPECT_GE(value, exact * (1.0L - 1e-15L)) << q << " " << sigma << " " << order;
    EXPECT_LE(value, exact * (1.0L + 1e-9L)) << q << " " << sigma << " " << order;
  }
}

// Where both peaks of the moment count, or only the second: the walk between them is skipped.
TEST(Rdp, IsExactWhereTheSecondPeakOfTheMomentIsAllThereIs) {
  for (const double sigma : {0.3, 1.0, 20.0, 400.0}) {
    for (const double order : {1e5, 1e7, 1e9}) {
      const double q = 1e-3;
      if (order < 100.0 * sigma * sigma * -std::log(q)) continue;
      // q^a w^a <= r^a, and Minkowski's inequality.
      const double lower =
          (order * std::log(q) + 0.5 * order * (order - 1.0) / sigma / sigma) / (order - 1.0);
      const double upper =
          order / (order - 1.0) *
          (std::log(q) + 0.5 * (order - 1.0) / sigma / sigma +
           std::log1p(std::exp(-std::log(q) - 0.5 * (order - 1.0) / sigma / sigma)));
      const double value = sampled_rdp(q, sigma, order);
      EXPECT_GE(value, lower * (1.0 - 1e-14)) << sigma << " " << order;
      EXPECT_LE(value, upper * (1.0 + 1e-9)) << sigma << " " << order;
    }
  }
}

TEST(Rdp, StaysAnUpperBoundWhereTheNoiseIsTooSmallToSum) {
  // r >= q w gives log A >= order log q + (order^2 - order) / (2 sigma^2); the (1 - q)^order that
  // is left out is nothing here.
  for (const double sigma : {0.001, 0.004, 0.01}) {
    for (const double order : {1.5, 5.5, 10.9}) {
      const double lower =
          (order * std::log(0.01) + 0.5 * order * (order - 1.0) / (sigma * sigma)) / (order - 1.0);
      const double value = sampled_rdp(0.01, sigma, order);
      EXPECT_GE(value, lower) << sigma << " " << order;
      EXPECT_LE(value, 1.4 * lower) << sigma << " " << order;
    }
  }
}

TEST(Rdp, IsZeroWithoutSampling) { EXPECT_EQ(sampled_rdp(0.0, 1.0, 2.0), 0.0); }
TEST(Rdp, IsZeroAtRateZeroWithoutNoise) { EXPECT_EQ(sampled_rdp(0.0, 0.0, 2.0), 0.0); }

TEST(Rdp, IsInfiniteWithoutNoise) {
  EXPECT_EQ(sampled_rdp(0.1, 0.0, 2.0), kInfinity);
  EXPECT_EQ(rdp(GaussianMechanism{0.0}, 1.5), kInfinity);
}

TEST(Rdp, IsPositiveAndFiniteAtExtremeRatesAndNoise) {
  for (const double q : {1e-300, 1e-90, 1e-16, 0.5, 1.0 - 0x1p-53}) {
    for (const double sigma : {0.5, 1.0, 1e8, 1e50, 1e300}) {
      for (const double order : {1.01, 1.5, 2.0, 10.9, 64.0}) {
        const double value = sampled_rdp(q, sigma, order);
        EXPECT_GT(value, 0.0) << q << " " << sigma << " " << order;
        EXPECT_LT(value, kInfinity) << q << " " << sigma << " " << order;
      }
    }
  }
  EXPECT_GT(sampled_rdp(0.1, 1e-200, 1.5), 1e300);
}

TEST(Rdp, OfAListIsTheListOfRdps) {
  const PoissonSampledGaussianMechanism mechanism{0.01, 1.1};
  const std::vector<double> values = rdp(mechanism, std::vector<double>{1.5, 2.0, 40.0});
  EXPECT_THAT(values, ::testing::ElementsAre(rdp(mechanism, 1.5), rdp(mechanism, 2.0),
                                             rdp(mechanism, 40.0)));
}

// Google's dp_accounting 0.6, rdp_privacy_accountant_test.py: sigma 2.5, q 0.01, 50 steps. At
// fractional orders it sums absolute values, which is an upper bound; the exact values are smaller.
TEST(Rdp, IsBetweenTheExactValueAndTheConservativeOneOfDpAccounting) {
  EXPECT_LT(50.0 * sampled_rdp(0.01, 2.5, 1.5), 6.70579741e-4);
  EXPECT_LE(50.0 * sampled_rdp(0.01, 2.5, 2.5), 1.085487105e-3);
  EXPECT_NEAR(50.0 * sampled_rdp(0.01, 2.5, 5.0), 2.18075656e-3, 5e-12);
  EXPECT_NEAR(50.0 * sampled_rdp(0.01, 2.5, 50.0), 2.38460375e-2, 5e-11);
  EXPECT_NEAR(50.0 * sampled_rdp(0.01, 2.5, 100.0), 167.416308, 5e-7);
}

// Opacus 1.6 is negative or zero there: the terms of its series cancel.
TEST(Rdp, IsPositiveAndNotBelowTheTruthAtTinyRatesAndSmallOrders) {
  for (const double q : {1e-9, 1e-7, 1e-5}) {
    for (const double sigma : {1.0, 4.0, 100.0}) {
      // E[(1 + u)^a] - 1 >= a (a - 1) / 2 (1 - q)^a E[u^2; u <= 0], since (1 + u)^(a - 2) >= 1
      // there for a < 2; the whole is at least half of the leading term.
      const double leading = 0.5 * q * q * std::expm1(1.0 / (sigma * sigma));
      for (const double order : {1.0001, 1.1, 1.25, 1.5, 1.75}) {
        const double value = sampled_rdp(q, sigma, order);
        EXPECT_GT(value, 0.9 * order * leading) << q << " " << sigma << " " << order;
        EXPECT_LT(value, 1.1 * order * leading) << q << " " << sigma << " " << order;
      }
    }
  }
}

// dp_accounting 0.6 adds the absolute values of an alternating series, and is up to 937 times too
// large there. A Renyi divergence grows with the order, so it lies between its neighbours.
TEST(Rdp, DoesNotAddAbsoluteValuesAtFractionalOrders) {
  for (const double sigma : {0.5, 1.0, 2.5, 12.0}) {
    for (const double q : {1e-6, 1e-3, 0.1, 0.4}) {
      for (const double order : {2.5, 8.7, 30.5, 58.7, 257.5}) {
        const double value = sampled_rdp(q, sigma, order);
        EXPECT_GT(value, sampled_rdp(q, sigma, std::floor(order))) << q << " " << sigma;
        EXPECT_LT(value, sampled_rdp(q, sigma, std::ceil(order))) << q << " " << sigma;
      }
    }
  }
}

TEST(Rdp, IsContinuousWhereTheWayOfSummingChanges) {
  // Integer orders above 64 are summed by quadrature where that is cheaper.
  for (const double sigma : {0.3, 1.0, 5.0}) {
    for (const double order : {64.0, 65.0, 300.0, 5000.0}) {
      const double at = sampled_rdp(0.02, sigma, order);
      EXPECT_NEAR(sampled_rdp(0.02, sigma, order * (1.0 + 1e-13)), at, 2e-9 * at);
      EXPECT_NEAR(sampled_rdp(0.02, sigma, order * (1.0 - 1e-13)), at, 2e-9 * at);
    }
  }
}

TEST(Rdp, DefaultOrdersIncreaseAndHoldThoseInCommonUse) {
  const std::vector<double>& orders = default_rdp_orders();
  for (std::size_t i = 1; i < orders.size(); ++i) EXPECT_LT(orders[i - 1], orders[i]);
  for (const double order : {1.1, 4.7, 10.9, 11.0, 63.0, 128.0, 256.0, 512.0, 1024.0}) {
    EXPECT_THAT(orders, ::testing::Contains(order));
  }
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

TEST(Rdp, NamesTheValueThatIsOutOfRange) {
  EXPECT_EQ(error_of([] { sampled_rdp(-0.5, 1.0, 2.0); }),
            "rdp: sampling_rate = -0.5, expected in [0, 1]");
  EXPECT_EQ(error_of([] { sampled_rdp(1.5, 1.0, 2.0); }),
            "rdp: sampling_rate = 1.5, expected in [0, 1]");
  EXPECT_EQ(error_of([] { sampled_rdp(std::nan(""), 1.0, 2.0); }),
            "rdp: sampling_rate = nan, expected in [0, 1]");
  EXPECT_EQ(error_of([] { rdp(GaussianMechanism{-1.0}, 2.0); }),
            "rdp: noise_multiplier = -1, expected finite and >= 0");
  EXPECT_EQ(error_of([] { rdp(GaussianMechanism{kInfinity}, 2.0); }),
            "rdp: noise_multiplier = inf, expected finite and >= 0");
  EXPECT_EQ(error_of([] { sampled_rdp(0.5, 1.0, 1.0); }),
            "rdp: order = 1, expected > 1 and <= 1073741824");
  EXPECT_EQ(error_of([] { sampled_rdp(0.5, 1.0, 0x1p31); }),
            "rdp: order = 2147483648, expected > 1 and <= 1073741824");
}

}  // namespace
}  // namespace velum::dpsgd
