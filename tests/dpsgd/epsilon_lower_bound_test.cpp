// Lower bounds of epsilon, held to exact enumeration: how often they are wrong is computed from
// binomial probabilities of the test's own, not simulated.
#include "velum/dpsgd/audit/epsilon_lower_bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "audit/tail_bounds.h"

namespace velum::testing {
namespace {

using dpsgd::clopper_pearson_lower;
using dpsgd::clopper_pearson_upper;
using dpsgd::epsilon_lower_bound_of_one_run;
using dpsgd::epsilon_lower_bound_of_runs;
using dpsgd::MembershipCounts;
using dpsgd::one_run_p_value;
using dpsgd::OneRunGuesses;

/// P[Binomial(n, p) = k] for k = 0 .. n: one trial after the other, all terms >= 0.
std::vector<long double> binomial(int n, long double p) {
  std::vector<long double> mass(static_cast<std::size_t>(n) + 1, 0.0L);
  mass[0] = 1.0L;
  for (int trial = 0; trial < n; ++trial) {
    for (std::size_t k = static_cast<std::size_t>(trial) + 1; k > 0; --k) {
      mass[k] = mass[k] * (1.0L - p) + mass[k - 1] * p;
    }
    mass[0] *= 1.0L - p;
  }
  return mass;
}

long double upper_tail(const std::vector<long double>& mass, int count) {
  long double sum = 0.0L;
  for (int k = static_cast<int>(mass.size()) - 1; k >= std::max(count, 0); --k) {
    sum += mass[static_cast<std::size_t>(k)];
  }
  return sum;
}

long double truth_probability(double epsilon) {
  return 1.0L / (1.0L + std::exp(-static_cast<long double>(epsilon)));
}

TEST(TailBounds, AreTheExactSumsRoundedUp) {
  for (const int n : {1, 7, 40, 300}) {
    for (const double p : {1e-6, 0.1, 0.5, 0.93, 1.0 - 1e-6}) {
      const std::vector<long double> mass = binomial(n, p);
      for (int count = 0; count <= n; ++count) {
        const long double above = upper_tail(mass, count);
        const long double below = 1.0L - upper_tail(mass, count + 1);
        const double upper = dpsgd::detail::binomial_upper_tail(n, p, count);
        EXPECT_GE(upper, above * (1.0L - 1e-15L)) << n << ' ' << p << ' ' << count;
        EXPECT_LE(upper, above * (1.0L + 3e-9L) + 1e-300L) << n << ' ' << p << ' ' << count;
        const double lower = dpsgd::detail::binomial_lower_tail(n, p, count);
        EXPECT_NEAR(lower, static_cast<double>(below), 3e-9) << n << ' ' << p << ' ' << count;
      }
    }
  }
}

/// The masses of a binomial of many trials within 16 standard deviations of its mode, by their
/// ratios alone: what lies beyond is below 1e-50 of all.
class ManyTrials {
 public:
  ManyTrials(std::int64_t n, long double p) : n_(n), odds_(p / (1 - p)) {
    const long double mean = static_cast<long double>(n) * p;
    const auto reach = static_cast<std::int64_t>(16 * std::sqrt(mean * (1 - p))) + 10;
    mode_ = std::min(n, static_cast<std::int64_t>(mean + p));
    lowest_ = std::max<std::int64_t>(0, mode_ - reach);
    highest_ = std::min(n, mode_ + reach);
    highest_mass_ = 1.0L;
    for (std::int64_t k = mode_; k < highest_; ++k) highest_mass_ /= step(k + 1);
    walk([&](std::int64_t, long double mass) { total_ += mass; });
  }
  std::int64_t mode() const { return mode_; }
  /// visit(k, P[W = k]) for falling k.
  template <typename Visit>
  void masses(Visit visit) const {
    walk([&](std::int64_t k, long double mass) { visit(k, mass / total_); });
  }
  long double tail(std::int64_t count) const {
    long double sum = 0.0L;
    masses([&](std::int64_t k, long double mass) { sum += k >= count ? mass : 0.0L; });
    return sum;
  }

 private:
  /// P[W = k - 1] / P[W = k].
  long double step(std::int64_t k) const {
    return static_cast<long double>(k) / static_cast<long double>(n_ - k + 1) / odds_;
  }
  template <typename Visit>
  void walk(Visit visit) const {
    long double mass = highest_mass_;
    for (std::int64_t k = highest_; k >= lowest_; --k) {
      visit(k, mass);
      mass *= step(k);
    }
  }

  std::int64_t n_, mode_ = 0, lowest_ = 0, highest_ = 0;
  long double odds_, highest_mass_ = 0.0L, total_ = 0.0L;
};

TEST(TailBounds, OfManyTrialsAreSumsRoundedUp) {
  for (const int power : {24, 32, 40}) {
    const std::int64_t n = (std::int64_t{1} << power) - 3;
    const long double error = 3e-9L + 2 * std::ldexp(1.0L, power - 61);
    for (const double p : {0.5, 0.731}) {
      const ManyTrials binomial(n, p);
      const auto deviation =
          static_cast<std::int64_t>(std::sqrt(static_cast<double>(n) * p * (1 - p)));
      for (const int distance : {-2, 0, 5}) {
        const std::int64_t count = binomial.mode() + distance * deviation;
        const long double above = binomial.tail(count);
        const double upper = dpsgd::detail::binomial_upper_tail(n, p, count);
        EXPECT_GE(upper, above) << power << ' ' << p << ' ' << distance;
        EXPECT_LE(upper, above * (1 + error)) << power << ' ' << p << ' ' << distance;
        const long double below = 1 - binomial.tail(count + 1);
        const double lower = dpsgd::detail::binomial_lower_tail(n, p, count);
        EXPECT_GE(lower, below) << power << ' ' << p << ' ' << distance;
        EXPECT_LE(lower, below * (1 + error)) << power << ' ' << p << ' ' << distance;
      }
    }
  }
}

TEST(TailBounds, OfTheChiSquaredVariableAreThoseOfTheExponential) {
  // With two degrees of freedom: P[X > x] = exp(-x / 2).
  for (const double x : {0.001, 0.5, 3.0, 80.0, 1200.0}) {
    const double above = std::exp(-x / 2);
    const double expected = 2 * std::min(above, -std::expm1(-x / 2));
    EXPECT_NEAR(dpsgd::detail::chi_squared_p_value(2, x) / expected, 1.0, 1e-8) << x;
  }
  EXPECT_EQ(dpsgd::detail::chi_squared_p_value(2, std::nan("")), 0.0);
}

TEST(TailBounds, OfInnerProductsAreChernoffs) {
  // One pair: P[|x y| >= t] = integral; a numerical sum over x is the oracle. The bound is above.
  for (const double t : {0.5, 2.0, 6.0, 12.0}) {
    long double exact = 0.0L;
    const double step = 1e-4;
    for (double x = step / 2; x < 12.0; x += step) {
      exact += 2.0L * std::exp(-x * x / 2) / std::sqrt(2 * M_PI) * step *
               std::erfc(t / x / std::sqrt(2.0));
    }
    const double bound = dpsgd::detail::inner_product_p_value(1, t);
    EXPECT_GE(bound, exact) << t;
    EXPECT_LE(bound, std::min(1.0L, 100 * exact)) << t;
  }
  // Equal vectors are caught: n = 100 draws, inner product about 100.
  EXPECT_LT(dpsgd::detail::inner_product_p_value(100, 100), 1e-15);
  // Many pairs: the Gaussian limit exp(-t^2 / 2 n).
  EXPECT_NEAR(std::log(dpsgd::detail::inner_product_p_value(1000000, 6000) / 2), -18.0, 0.01);
}

TEST(ClopperPearson, HasItsClosedFormsAtTheEnds) {
  for (const std::int64_t n : {1, 10, 1000, 1000000}) {
    for (const double error : {0.5, 0.05, 1e-6}) {
      const auto trials = static_cast<double>(n);
      EXPECT_EQ(clopper_pearson_lower(n, 0, error), 0.0);
      EXPECT_EQ(clopper_pearson_upper(n, n, error), 1.0);
      const double all = std::pow(error, 1 / trials);
      EXPECT_LE(clopper_pearson_lower(n, n, error), all);
      EXPECT_NEAR(clopper_pearson_lower(n, n, error), all, 2e-9);
      const double none = -std::expm1(std::log(error) / trials);
      EXPECT_GE(clopper_pearson_upper(n, 0, error), none);
      EXPECT_NEAR(clopper_pearson_upper(n, 0, error) / none, 1.0, 1e-8);
    }
  }
}

TEST(ClopperPearson, IsExceededWithAtMostTheErrorProbability) {
  const int n = 30;
  for (const double error : {0.2, 0.01}) {
    double closest = 0.0;
    for (int i = 1; i < 200; ++i) {
      const double p = i / 200.0;
      const std::vector<long double> mass = binomial(n, p);
      long double above = 0.0L;
      long double below = 0.0L;
      for (int k = 0; k <= n; ++k) {
        if (clopper_pearson_lower(n, k, error) > p) above += mass[static_cast<std::size_t>(k)];
        if (clopper_pearson_upper(n, k, error) < p) below += mass[static_cast<std::size_t>(k)];
      }
      EXPECT_LE(above, error) << p;
      EXPECT_LE(below, error) << p;
      closest = std::max(closest, static_cast<double>(above));
    }
    EXPECT_GE(closest, 0.7 * error);  // and nothing is given away
  }
}

TEST(EpsilonLowerBoundOfRuns, IsWrongWithAtMostTheErrorProbability) {
  // The truth: randomised response, which is (epsilon, delta)-DP with equality in both directions:
  // the true answer leaks with probability delta, and otherwise at the odds e^epsilon.
  const int n = 25;
  for (const double delta : {0.0, 0.05}) {
    for (const double epsilon : {0.0, 0.7, 2.0}) {
      const long double q = delta + (1 - delta) * truth_probability(epsilon);
      const std::vector<long double> in = binomial(n, q);
      const std::vector<long double> out = binomial(n, 1 - q);
      for (const double confidence : {0.5, 0.95}) {
        long double wrong = 0.0L;
        for (int tp = 0; tp <= n; ++tp) {
          for (int fp = 0; fp <= n; ++fp) {
            const double bound = epsilon_lower_bound_of_runs({n, tp, n, fp}, delta, confidence);
            if (bound > epsilon) {
              wrong += in[static_cast<std::size_t>(tp)] * out[static_cast<std::size_t>(fp)];
            }
          }
        }
        EXPECT_LE(wrong, 1 - confidence) << delta << ' ' << epsilon << ' ' << confidence;
      }
    }
  }
}

TEST(EpsilonLowerBoundOfRuns, IsTheFormulaOfItsTwoRates) {
  const MembershipCounts counts{400, 390, 500, 3};
  const double tpr = clopper_pearson_lower(400, 390, 0.025);
  const double fpr = clopper_pearson_upper(500, 3, 0.025);
  const double delta = 1e-3;
  EXPECT_NEAR(epsilon_lower_bound_of_runs(counts, delta, 0.95), std::log((tpr - delta) / fpr),
              1e-9);
  // The other direction: who is not accused was not there.
  const MembershipCounts mirrored{500, 497, 400, 10};
  EXPECT_NEAR(epsilon_lower_bound_of_runs(mirrored, delta, 0.95),
              std::log((1 - clopper_pearson_upper(400, 10, 0.025) - delta) /
                       (1 - clopper_pearson_lower(500, 497, 0.025))),
              1e-9);
  EXPECT_EQ(epsilon_lower_bound_of_runs({400, 3, 500, 490}, delta, 0.95),
            0.0);  // worse than chance
  EXPECT_EQ(epsilon_lower_bound_of_runs(counts, 0.999, 0.95), 0.0);
}

/// Calls `visit(number of right guesses)` for every outcome of m coins and m answers, of which the
/// first `guesses` count, with its probability when each answer is true with probability q.
void enumerate(int m, int guesses, long double q,
               const std::function<void(int, long double)>& visit) {
  for (unsigned coins = 0; coins < (1u << m); ++coins) {
    for (unsigned answers = 0; answers < (1u << m); ++answers) {
      const unsigned right = ~(coins ^ answers) & ((1u << m) - 1);
      long double probability = std::ldexp(1.0L, -m);
      for (int i = 0; i < m; ++i) probability *= (right >> i & 1u) != 0 ? q : 1 - q;
      visit(std::popcount(right & ((1u << guesses) - 1)), probability);
    }
  }
}

TEST(OneRunPValue, IsReachedByRandomisedResponse) {
  // Theorem 5.2 without delta is an equality for this mechanism, abstentions or not.
  const int m = 6;
  for (const double epsilon : {0.0, 0.4, 1.5, 5.0}) {
    for (const int r : {2, 5, 6}) {
      std::vector<long double> mass(static_cast<std::size_t>(r) + 1, 0.0L);
      enumerate(m, r, truth_probability(epsilon),
                [&](int v, long double p) { mass[static_cast<std::size_t>(v)] += p; });
      for (int v = 0; v <= r; ++v) {
        const long double exact = upper_tail(mass, v);
        const double bound = one_run_p_value({m, r, v}, epsilon, 0.0);
        EXPECT_GE(bound, exact * (1 - 1e-15L)) << epsilon << ' ' << r << ' ' << v;
        EXPECT_LE(bound, exact * (1 + 3e-9L)) << epsilon << ' ' << r << ' ' << v;
      }
    }
  }
}

TEST(OneRunPValue, PaysForDelta) {
  // Three ways to use delta up, each (epsilon, delta)-DP: every answer on its own is true for
  // sure with probability delta; all answers together are; one answer, drawn at random, is with
  // probability m delta.
  const int m = 8;
  for (const double epsilon : {0.0, 0.8, 3.0}) {
    for (const double delta : {1e-4, 0.02, 0.1}) {
      const long double q = truth_probability(epsilon);
      const std::vector<long double> plain = binomial(m, q);
      const std::vector<long double> each = binomial(m, delta + (1 - delta) * q);
      const std::vector<long double> others = binomial(m - 1, q);
      bool needed = false;
      for (int v = 0; v <= m; ++v) {
        const double bound = one_run_p_value({m, m, v}, epsilon, delta);
        const long double together = delta + (1 - delta) * upper_tail(plain, v);
        const long double one =
            m * delta * upper_tail(others, v - 1) + (1 - m * delta) * upper_tail(plain, v);
        for (const long double truth : {upper_tail(each, v), together, one}) {
          EXPECT_GE(bound, truth * (1 - 1e-15L)) << epsilon << ' ' << delta << ' ' << v;
          needed = needed || one_run_p_value({m, m, v}, epsilon, 0.0) < truth * (1 - 1e-6L);
        }
      }
      EXPECT_TRUE(needed);
    }
  }
}

TEST(OneRunPValue, IsTheFormulaOfTheTheorem) {
  // Written out in long double with sums of the test's own.
  const int m = 120;
  for (const int r : {30, 120}) {
    for (const double epsilon : {0.0, 0.5, 2.0, 8.0}) {
      const std::vector<long double> mass = binomial(r, truth_probability(epsilon));
      for (const double delta : {1e-5, 1e-3}) {
        for (int v = 0; v <= r; ++v) {
          long double slope = 0.0L;
          for (int i = 1; i <= v; ++i) {
            const long double between = upper_tail(mass, v - i) - upper_tail(mass, v);
            slope = std::max(slope, between / i);
          }
          const long double exact = std::min(1.0L, upper_tail(mass, v) + 2 * m * delta * slope);
          const double bound = one_run_p_value({m, r, v}, epsilon, delta);
          EXPECT_GE(bound, exact * (1 - 1e-14L)) << r << ' ' << epsilon << ' ' << v;
          EXPECT_LE(bound, exact * (1 + 1e-8L) + 1e-300L) << r << ' ' << epsilon << ' ' << v;
        }
      }
    }
  }
}

TEST(OneRunPValue, OfManyCanariesIsTheFormulaInTimeThatDoesNotGrowWithThem) {
  // Walked over one by one, 2^40 right guesses would take hours.
  for (const int power : {20, 32, 40}) {
    const std::int64_t n = std::int64_t{1} << power;
    // The logarithm of a mass is a difference of terms of n log n, of 53 bits each.
    const long double error = power == 20 ? 1e-6L : power == 32 ? 2e-3L : 0.5L;
    for (const double epsilon : {0.0, 1.0}) {
      const ManyTrials binomial(n, truth_probability(epsilon));
      const double q = static_cast<double>(truth_probability(epsilon));
      const auto deviation =
          static_cast<std::int64_t>(std::sqrt(static_cast<double>(n) * q * (1 - q)));
      const double delta = 1e-3 * static_cast<double>(deviation) / static_cast<double>(n);
      for (const std::int64_t v :
           {binomial.mode() - deviation, binomial.mode(), binomial.mode() + 3 * deviation,
            binomial.mode() + 12 * deviation, n - 5, n}) {
        long double slope = 0.0L;
        long double sum = 0.0L;
        binomial.masses([&](std::int64_t k, long double mass) {
          if (k >= v) return;
          sum += mass;
          slope = std::max(slope, sum / static_cast<long double>(v - k));
        });
        const long double exact =
            binomial.tail(v) + 2 * static_cast<long double>(n) * delta * slope;
        const double bound = one_run_p_value({n, n, v}, epsilon, delta);
        EXPECT_GE(bound, std::min(1.0L, exact)) << power << ' ' << epsilon << ' ' << v;
        EXPECT_LE(bound, exact * (1 + error)) << power << ' ' << epsilon << ' ' << v;
      }
    }
  }
  const std::int64_t most = std::int64_t{1} << 40;
  for (const double epsilon : {1e3, 1e300}) {
    EXPECT_LE(one_run_p_value({most, most, most / 2}, epsilon, 1e-15), 1.0);
    EXPECT_EQ(one_run_p_value({most, most, most}, epsilon, 1e-15), 1.0);
  }
}

TEST(EpsilonLowerBoundOfOneRun, IsWrongWithAtMostTheErrorProbability) {
  for (const int m : {20, 200}) {
    for (const double delta : {0.0, 1e-3}) {
      for (const double epsilon : {0.3, 1.0, 3.0}) {
        const long double q = delta + (1 - delta) * truth_probability(epsilon);
        const std::vector<long double> mass = binomial(m, q);
        for (const double confidence : {0.8, 0.95, 0.999}) {
          long double wrong = 0.0L;
          long double next = 0.0L;  // had one guess less been enough
          for (int v = m; v >= 0; --v) {
            next = wrong + mass[static_cast<std::size_t>(v)];
            if (epsilon_lower_bound_of_one_run({m, m, v}, delta, confidence) <= epsilon) break;
            wrong = next;
          }
          EXPECT_LE(wrong, 1 - confidence) << m << ' ' << epsilon << ' ' << confidence;
          // Without delta nothing is given away but the steps of the binomial.
          if (delta == 0.0) {
            EXPECT_GT(next, 1 - confidence) << m << ' ' << epsilon;
          }
        }
      }
    }
  }
}

TEST(EpsilonLowerBoundOfOneRun, EqualsThePublishedValues) {
  // arXiv 2305.08846v1: Appendix D (page 46), and section 7 (page 28, figure 11): three decimals,
  // of which the last may be rounded or cut. The long ones are the same formula in Python's floats.
  const double first = epsilon_lower_bound_of_one_run({1000, 100, 75}, 1e-4, 0.95);
  EXPECT_NEAR(first, 0.673, 1e-3);
  EXPECT_NEAR(first, 0.6729846641028416, 1e-8);
  EXPECT_LE(first, 0.6729846641028416);
  const double second = epsilon_lower_bound_of_one_run({100000, 1510, 1439}, 1e-5, 0.95);
  EXPECT_NEAR(second, 2.675, 1e-3);
  EXPECT_NEAR(second, 2.6758510076761013, 1e-8);
  EXPECT_LE(second, 2.6758510076761013);
}

TEST(EpsilonLowerBoundOfOneRun, IsWhatTheTableInTheDocumentationSays) {
  // docs/auditing.md, "Canaries".
  const auto cut = [](std::int64_t guesses, std::int64_t correct) {
    const double bound = epsilon_lower_bound_of_one_run({1000, guesses, correct}, 1e-5, 0.95);
    return static_cast<int>(100 * bound);
  };
  EXPECT_EQ(cut(1000, 553), 10);
  EXPECT_EQ(cut(1000, 640), 46);
  EXPECT_EQ(cut(1000, 798), 124);
  EXPECT_EQ(cut(100, 64), 21);
  EXPECT_EQ(cut(100, 82), 106);
  EXPECT_EQ(cut(100, 98), 271);
  EXPECT_GT(cut(1000, 1000), 500);
}

TEST(EpsilonLowerBoundOfOneRun, LiesBetweenWhatIsRefutedAndWhatIsNot) {
  for (const OneRunGuesses guesses :
       {OneRunGuesses{50, 50, 50}, OneRunGuesses{1000, 100, 90}, OneRunGuesses{5000, 5000, 2700},
        OneRunGuesses{100000, 100000, 100000}}) {
    const double bound = epsilon_lower_bound_of_one_run(guesses, 1e-6, 0.95);
    EXPECT_GT(bound, 0.0);
    EXPECT_LT(one_run_p_value(guesses, bound, 1e-6), 0.05);
    EXPECT_GE(one_run_p_value(guesses, bound * (1 + 1e-11), 1e-6), 0.05 * (1 - 1e-12));
  }
  EXPECT_EQ(epsilon_lower_bound_of_one_run({1000, 1000, 500}, 0.0, 0.95), 0.0);
  EXPECT_EQ(epsilon_lower_bound_of_one_run({1000, 0, 0}, 0.0, 0.95), 0.0);
  // All right, no delta: q^m = 0.05.
  const double q = std::pow(0.05, 1e-3);
  EXPECT_NEAR(epsilon_lower_bound_of_one_run({1000, 1000, 1000}, 0.0, 0.95), std::log(q / (1 - q)),
              1e-6);
}

TEST(EpsilonLowerBoundOfOneRun, GrowsWithRightGuessesAndShrinksWithConfidenceAndDelta) {
  double last = 0.0;
  for (int v = 0; v <= 300; v += 5) {
    const double bound = epsilon_lower_bound_of_one_run({400, 300, v}, 1e-5, 0.9);
    EXPECT_GE(bound, last);
    EXPECT_LE(epsilon_lower_bound_of_one_run({400, 300, v}, 1e-5, 0.99), bound);
    EXPECT_LE(epsilon_lower_bound_of_one_run({400, 300, v}, 1e-3, 0.9), bound);
    EXPECT_LE(epsilon_lower_bound_of_one_run({800, 300, v}, 1e-5, 0.9), bound);
    last = bound;
  }
  EXPECT_GT(last, 2.0);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(EpsilonLowerBound, NamesWhatIsOutOfRange) {
  const auto expect = [](const std::string& text, const std::function<void()>& action) {
    EXPECT_EQ(error_of(action), text);
  };
  expect("clopper_pearson_lower: trials = 0, expected >= 1 and <= 2^40",
         [] { clopper_pearson_lower(0, 0, 0.05); });
  expect("clopper_pearson_upper: successes = 4, expected >= 0 and <= 3",
         [] { clopper_pearson_upper(3, 4, 0.05); });
  expect("clopper_pearson_lower: error_probability = 1, expected > 0 and < 1",
         [] { clopper_pearson_lower(3, 2, 1.0); });
  expect("epsilon_lower_bound_of_runs: non_members = 0, expected >= 1 and <= 2^40", [] {
    epsilon_lower_bound_of_runs({5, 2, 0, 0}, 0.0, 0.95);
  });
  expect("epsilon_lower_bound_of_runs: members_recognised = 6, expected >= 0 and <= 5", [] {
    epsilon_lower_bound_of_runs({5, 6, 5, 0}, 0.0, 0.95);
  });
  expect("epsilon_lower_bound_of_runs: delta = 1, expected >= 0 and < 1", [] {
    epsilon_lower_bound_of_runs({5, 5, 5, 0}, 1.0, 0.95);
  });
  expect("one_run_p_value: guesses = 11, expected >= 0 and <= 10", [] {
    one_run_p_value({10, 11, 0}, 1.0, 0.0);
  });
  expect("one_run_p_value: correct = -1, expected >= 0 and <= 5", [] {
    one_run_p_value({10, 5, -1}, 1.0, 0.0);
  });
  expect("one_run_p_value: epsilon = -1, expected finite and >= 0", [] {
    one_run_p_value({10, 5, 5}, -1.0, 0.0);
  });
  expect("one_run_p_value: delta = 2, expected in [0, 1]", [] {
    one_run_p_value({10, 5, 5}, 1.0, 2.0);
  });
  expect("epsilon_lower_bound_of_one_run: canaries = 0, expected >= 1 and <= 2^40", [] {
    epsilon_lower_bound_of_one_run({0, 0, 0}, 0.0, 0.95);
  });
  expect("epsilon_lower_bound_of_one_run: confidence = 0, expected > 0 and < 1", [] {
    epsilon_lower_bound_of_one_run({10, 5, 5}, 0.0, 0.0);
  });
}

}  // namespace
}  // namespace velum::testing
