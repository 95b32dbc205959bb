#include "velum/dpsgd/audit/epsilon_lower_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accounting/range_check.h"
#include "audit/tail_bounds.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kMostTrials = std::int64_t{1} << 40;
constexpr double kUnit = 0x1p-53;

void check_error_probability(const char* function, double value) {
  if (!(value > 0.0 && value < 1.0)) {
    reject(function, "error_probability", value, "> 0 and < 1");
  }
}

void check_confidence(const char* function, double confidence) {
  if (!(confidence > 0.0 && confidence < 1.0)) {
    reject(function, "confidence", confidence, "> 0 and < 1");
  }
}

void check_trials(const char* function, std::int64_t trials, std::int64_t successes) {
  if (trials < 1 || trials > kMostTrials) reject(function, "trials", trials, ">= 1 and <= 2^40");
  if (successes < 0 || successes > trials) {
    reject(function, "successes", successes, ">= 0 and <= " + number_text(trials));
  }
}

void check_guesses(const char* function, const OneRunGuesses& guesses) {
  if (guesses.canaries < 1 || guesses.canaries > kMostTrials) {
    reject(function, "canaries", guesses.canaries, ">= 1 and <= 2^40");
  }
  if (guesses.guesses < 0 || guesses.guesses > guesses.canaries) {
    reject(function, "guesses", guesses.guesses, ">= 0 and <= " + number_text(guesses.canaries));
  }
  if (guesses.correct < 0 || guesses.correct > guesses.guesses) {
    reject(function, "correct", guesses.correct, ">= 0 and <= " + number_text(guesses.guesses));
  }
}

/// 1 - confidence, rounded down.
double error_of(double confidence) { return std::nextafter(1.0 - confidence, 0.0); }

/// log((a - delta) / b), rounded down; -infinity if a <= delta.
double log_ratio(double a, double delta, double b) {
  const double excess = std::nextafter(a - delta, -1.0);
  if (!(excess > 0.0)) return -std::numeric_limits<double>::infinity();
  const double log = std::log(excess / b);
  return log - 8.0 * kUnit * (1.0 + std::abs(log));
}

/// e^epsilon / (e^epsilon + 1), rounded up.
double truth_probability(double epsilon) {
  return std::min(1.0, 1.0 / (1.0 + std::exp(-epsilon)) * (1.0 + 8.0 * kUnit));
}

/// The largest (P[W < v] - P[W < v - i]) / i over 1 <= i <= v for W binomial of `trials` with odds
/// e^epsilon, rounded up: the largest mean of the masses at v - 1, v - 2, ..., v - i.
///
/// The masses rise down to the mode and fall below it. So the mean rises as long as they do, and
/// never again once the next mass, below the mode, is no larger. What lies more than 9 standard
/// deviations over the mode is taken as a whole, with all from v upwards in it: too much by a share
/// of exp(-40) at most, as P[W >= n q + t] <= exp(-t^2 / (2 n q (1 - q))) for q >= 1/2 (Some
/// Inequalities Relating to the Partial Sum of Binomial Probabilities, Okamoto 1958). So a call
/// walks over some 15 standard deviations at most, whatever v.
double largest_slope(std::int64_t trials, std::int64_t v, double epsilon) {
  if (v < 1) return 0.0;
  const auto n = static_cast<double>(trials);
  const double log_other = -epsilon - std::log1p(std::exp(-epsilon));  // of 1 - q
  const double log_q = -std::log1p(std::exp(-epsilon));
  const double q = std::exp(log_q);
  const double deviation = std::sqrt(n * q * std::exp(log_other));
  const double mode = (n + 1.0) * q;  // the masses fall from here upwards
  const double highest = std::ceil(mode + 9.0 * deviation) + 1.0;
  auto k = std::min(static_cast<double>(v - 1), highest);
  const double log_factorial = std::lgamma(n + 1.0);
  double log_mass = log_factorial - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) + k * log_q +
                    (n - k) * log_other;
  // Every addend is below its share of this; a few units in the last place of each.
  double allowance = 16.0 * kUnit * (1.0 + 3.0 * log_factorial + k * -log_q + (n - k) * -log_other);
  auto steps = static_cast<double>(v) - k;
  double sum = 0.0;
  if (steps > 1.0) {
    sum = detail::binomial_upper_tail(trials, truth_probability(epsilon),
                                      static_cast<std::int64_t>(k) + 1);
  }
  double slope = 0.0;
  while (true) {
    sum = std::min(1.0, (sum + std::exp(log_mass + allowance)) * (1.0 + 8.0 * kUnit) + 0x1p-1022);
    slope = std::max(slope, sum / steps * (1.0 + 4.0 * kUnit));
    if (k < 1.0 || slope * (steps + 1.0) >= 1.0) return slope;  // the sum is at most 1
    // The mass at k - 1 from that at k.
    const double step = std::log(k / (n - k + 1.0)) - epsilon;
    log_mass += step;
    allowance += 8.0 * kUnit * (1.0 + std::abs(step) + std::abs(log_mass));
    const bool falling = step < -8.0 * kUnit * (1.0 + epsilon);
    if (falling && std::exp(log_mass + allowance) <= slope) return slope;
    k -= 1.0;
    steps += 1.0;
  }
}

double p_value(const OneRunGuesses& guesses, double epsilon, double delta) {
  double p =
      detail::binomial_upper_tail(guesses.guesses, truth_probability(epsilon), guesses.correct);
  if (delta > 0.0) {
    const double slope = largest_slope(guesses.guesses, guesses.correct, epsilon);
    p += 2.0 * static_cast<double>(guesses.canaries) * delta * slope * (1.0 + 8.0 * kUnit);
  }
  return std::min(1.0, p * (1.0 + 4.0 * kUnit));
}

}  // namespace

double clopper_pearson_lower(std::int64_t trials, std::int64_t successes,
                             double error_probability) {
  constexpr char kFunction[] = "clopper_pearson_lower";
  check_trials(kFunction, trials, successes);
  check_error_probability(kFunction, error_probability);
  if (successes == 0) return 0.0;
  // The tail grows with p: bisection, and the end whose tail was seen to be small.
  double low = 0.0;
  double high = 1.0;
  for (int step = 0; step < 2000 && std::nextafter(low, 1.0) < high; ++step) {
    const double middle = low + (high - low) / 2.0;
    const bool refuted =
        detail::binomial_upper_tail(trials, middle, successes) <= error_probability;
    (refuted ? low : high) = middle;
    if (high - low <= 1e-13 * low) break;
  }
  return low;
}

double clopper_pearson_upper(std::int64_t trials, std::int64_t successes,
                             double error_probability) {
  constexpr char kFunction[] = "clopper_pearson_upper";
  check_trials(kFunction, trials, successes);
  check_error_probability(kFunction, error_probability);
  if (successes == trials) return 1.0;
  double low = 0.0;
  double high = 1.0;
  for (int step = 0; step < 2000 && std::nextafter(low, 1.0) < high; ++step) {
    const double middle = low + (high - low) / 2.0;
    const bool refuted =
        detail::binomial_lower_tail(trials, middle, successes) <= error_probability;
    (refuted ? high : low) = middle;
    if (high - low <= 1e-13 * low) break;
  }
  return high;
}

double epsilon_lower_bound_of_runs(const MembershipCounts& counts, double delta,
                                   double confidence) {
  constexpr char kFunction[] = "epsilon_lower_bound_of_runs";
  const auto check = [&](const char* all, std::int64_t runs, const char* some,
                         std::int64_t positive) {
    if (runs < 1 || runs > kMostTrials) reject(kFunction, all, runs, ">= 1 and <= 2^40");
    if (positive < 0 || positive > runs) {
      reject(kFunction, some, positive, ">= 0 and <= " + number_text(runs));
    }
  };
  check("members", counts.members, "members_recognised", counts.members_recognised);
  check("non_members", counts.non_members, "non_members_accused", counts.non_members_accused);
  if (!(delta >= 0.0 && delta < 1.0)) reject(kFunction, "delta", delta, ">= 0 and < 1");
  check_confidence(kFunction, confidence);
  const double error = error_of(confidence) / 2.0;
  const double true_positives =
      clopper_pearson_lower(counts.members, counts.members_recognised, error);
  const double false_positives =
      clopper_pearson_upper(counts.non_members, counts.non_members_accused, error);
  // Each complement rounded against the claim.
  const double true_negatives = std::nextafter(1.0 - false_positives, 0.0);
  const double false_negatives = std::nextafter(1.0 - true_positives, 2.0);
  return std::max({0.0, log_ratio(true_positives, delta, false_positives),
                   log_ratio(true_negatives, delta, false_negatives)});
}

double one_run_p_value(const OneRunGuesses& guesses, double epsilon, double delta) {
  constexpr char kFunction[] = "one_run_p_value";
  check_guesses(kFunction, guesses);
  if (!(epsilon >= 0.0 && std::isfinite(epsilon))) {
    reject(kFunction, "epsilon", epsilon, "finite and >= 0");
  }
  if (!(delta >= 0.0 && delta <= 1.0)) reject(kFunction, "delta", delta, "in [0, 1]");
  return p_value(guesses, epsilon, delta);
}

double epsilon_lower_bound_of_one_run(const OneRunGuesses& guesses, double delta,
                                      double confidence) {
  constexpr char kFunction[] = "epsilon_lower_bound_of_one_run";
  check_guesses(kFunction, guesses);
  if (!(delta >= 0.0 && delta <= 1.0)) reject(kFunction, "delta", delta, "in [0, 1]");
  check_confidence(kFunction, confidence);
  const double error = error_of(confidence);
  const auto refuted = [&](double epsilon) { return p_value(guesses, epsilon, delta) < error; };
  if (!refuted(0.0)) return 0.0;
  double low = 0.0;
  double high = 1.0;
  while (refuted(high)) {  // ends: the binomial has all its mass above any count at last
    low = high;
    high *= 2.0;
  }
  while (high - low > 1e-12 * high) {
    const double middle = low + (high - low) / 2.0;
    (refuted(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace velum::dpsgd
