#include "velum/dpsgd/accounting/rdp_to_dp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "velum/dpsgd/accounting/gaussian_dp.h"

namespace velum::dpsgd {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> integers(int first, int last) {
  std::vector<double> orders(static_cast<std::size_t>(last - first + 1));
  std::iota(orders.begin(), orders.end(), first);
  return orders;
}

std::vector<double> gaussian_rdps(const std::vector<double>& orders, double mu) {
  std::vector<double> rdps;
  for (const double order : orders) rdps.push_back(0.5 * order * mu * mu);
  return rdps;
}

// Google's dp_accounting 0.6, rdp_privacy_accountant_test.py.
TEST(RdpToDp, GivesTheEpsilonOfAConstantRdp) {
  const std::vector<double> orders = integers(2, 32);
  const RdpConversion result = rdp_to_epsilon(orders, std::vector(orders.size(), 1.1), 1e-5);
  EXPECT_NEAR(result.value, 1.32783806176, 5.1e-12);
  EXPECT_EQ(result.order, 32.0);
}

TEST(RdpToDp, EqualsTheFormulaInLongDoubleRoundedUp) {
  for (const double order : {1.01, 1.5, 2.0, 10.9, 64.0, 4096.0}) {
    for (const double rdp : {0.5, 1.1, 40.0}) {
      for (const double delta : {1e-2, 1e-5, 1e-15}) {
        const long double a = order;
        const long double exact =
            rdp + std::log(1.0L - 1.0L / a) -
            (std::log(static_cast<long double>(delta)) + std::log(a)) / (a - 1.0L);
        const double value = rdp_to_epsilon({order}, {rdp}, delta).value;
        if (exact <= 0.0L) continue;
        EXPECT_GE(value, exact) << order << " " << rdp << " " << delta;
        // Relative to the magnitudes that enter: near order 1 they cancel.
        EXPECT_LE(value, exact + 1e-14L * (rdp + (1.0L - std::log(delta)) / (a - 1.0L)));
      }
    }
  }
}

TEST(RdpToDp, IsNeverBelowTheExactEpsilonOfAGaussian) {
  const std::vector<double> orders = integers(2, 512);
  for (double mu = 1e-3; mu < 20.0; mu *= 1.5) {
    for (const double delta : {0.1, 1e-5, 1e-12}) {
      EXPECT_GE(rdp_to_epsilon(orders, gaussian_rdps(orders, mu), delta).value,
                gaussian_epsilon(mu, delta));
    }
    for (const double epsilon : {0.0, 0.1, 1.0, 10.0}) {
      EXPECT_GE(rdp_to_delta(orders, gaussian_rdps(orders, mu), epsilon).value,
                gaussian_delta(mu, epsilon));
    }
  }
}

TEST(RdpToDp, DeltaIsTheInverseOfEpsilon) {
  const std::vector<double> orders = integers(2, 64);
  for (const double mu : {0.3, 1.0, 3.0}) {
    const std::vector<double> rdps = gaussian_rdps(orders, mu);
    for (const double delta : {1e-3, 1e-5, 1e-9}) {
      const RdpConversion epsilon = rdp_to_epsilon(orders, rdps, delta);
      const RdpConversion back = rdp_to_delta(orders, rdps, epsilon.value);
      EXPECT_NEAR(back.value, delta, 1e-11 * delta);
      EXPECT_EQ(back.order, epsilon.order);
    }
  }
}

TEST(RdpToDp, PassesOverInfiniteOrders) {
  EXPECT_EQ(rdp_to_epsilon({2.0, 4.0}, {1.0, kInfinity}, 1e-5).order, 2.0);
  EXPECT_EQ(rdp_to_delta({2.0, 4.0}, {1.0, kInfinity}, 20.0).order, 2.0);
}

TEST(RdpToDp, PromisesNothingWithoutAFiniteOrder) {
  EXPECT_EQ(rdp_to_epsilon({2.0}, {kInfinity}, 1e-5).value, kInfinity);
  EXPECT_FALSE(rdp_to_epsilon({2.0}, {kInfinity}, 1e-5).order);
  EXPECT_EQ(rdp_to_delta({2.0}, {kInfinity}, 1.0).value, 1.0);
}

TEST(RdpToDp, EpsilonIsZeroWhereDeltaCoversTheTotalVariation) {
  // total variation <= sqrt(1 - exp(-1e-12)) = 1e-6
  EXPECT_EQ(rdp_to_epsilon({2.0}, {1e-12}, 1.001e-6).value, 0.0);
  EXPECT_GT(rdp_to_epsilon({2.0}, {1e-12}, 0.999e-6).value, 0.0);
  EXPECT_NEAR(rdp_to_delta({2.0}, {1e-12}, 0.0).value, 1e-6, 1e-12);
}

TEST(RdpToDp, IsNeverNegative) { EXPECT_EQ(rdp_to_epsilon({2.0}, {0.01}, 0.9).value, 0.0); }

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no std::invalid_argument";
}

TEST(RdpToDp, NamesTheValueThatIsOutOfRange) {
  EXPECT_EQ(error_of([] { rdp_to_epsilon({2.0}, {}, 0.1); }),
            "rdp_to_epsilon: rdps.size() = 0, expected orders.size() = 1");
  EXPECT_EQ(error_of([] { rdp_to_epsilon({1.0}, {0.1}, 0.1); }),
            "rdp_to_epsilon: order = 1, expected finite and > 1");
  EXPECT_EQ(error_of([] { rdp_to_epsilon({2.0}, {-0.1}, 0.1); }),
            "rdp_to_epsilon: rdp = -0.1, expected >= 0");
  EXPECT_EQ(error_of([] { rdp_to_epsilon({2.0}, {0.1}, 1.5); }),
            "rdp_to_epsilon: delta = 1.5, expected > 0 and < 1");
  EXPECT_EQ(error_of([] { rdp_to_delta({2.0}, {0.1}, -1.0); }),
            "rdp_to_delta: epsilon = -1, expected finite and >= 0");
}

}  // namespace
}  // namespace velum::dpsgd
