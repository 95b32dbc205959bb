#include "velum/dpsgd/accounting/hyperparameter_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "accounting/range_check.h"
#include "accounting/report_text.h"
#include "velum/dpsgd/accounting/rdp.h"

namespace velum::dpsgd {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Of sums of logarithms and of E[K]: added where a result would be too small.
constexpr double kSlack = 1e-9;

void check(const char* function, const RandomTrials& trials) {
  std::visit(Overloaded{[&](const NegativeBinomialTrials& t) {
                          if (!(t.shape > -1.0 && std::isfinite(t.shape))) {
                            reject(function, "shape", t.shape, "finite and > -1");
                          }
                          if (!(t.gamma > 0.0 && t.gamma <= 1.0)) {
                            reject(function, "gamma", t.gamma, "> 0 and <= 1");
                          }
                        },
                        [&](const PoissonTrials& t) {
                          if (!(t.mean > 0.0 && std::isfinite(t.mean))) {
                            reject(function, "mean", t.mean, "finite and > 0");
                          }
                        }},
             trials);
}

/// (1 + eta) times the smallest of (1 - 1/b) rdp(b) + log(1/gamma) / b over orders b. Every value
/// is a bound, so a coarse grid refined around its smallest point loses nothing but tightness.
double selection_term(const RdpFunction& trial, const NegativeBinomialTrials& trials) {
  const double log_odds = -std::log(trials.gamma);
  const auto at = [&](double log_excess) {
    const double order = std::min(1.0 + std::exp(log_excess), kLargestRdpOrder);
    const double rdp = trial(order);
    return rdp < kInfinity ? (1.0 - 1.0 / order) * rdp + log_odds / order : kInfinity;
  };
  constexpr double kLow = -14.0;
  constexpr double kHigh = 20.0;
  double centre = kLow;
  double best = kInfinity;
  for (double x = kLow; x <= kHigh; x += 0.5) {
    const double value = at(x);
    if (value < best) {
      best = value;
      centre = x;
    } else if (value == kInfinity) {
      break;
    }
  }
  for (double step = 0.25; step > 1e-6 && best < kInfinity; step *= 0.5) {
    for (const double x : {centre - step, centre + step}) {
      const double value = at(x);
      if (value < best) {
        best = value;
        centre = x;
      }
    }
  }
  return (1.0 + trials.shape) * best;
}

}  // namespace

double expected_trials(const RandomTrials& trials) {
  check("expected_trials", trials);
  return std::visit(Overloaded{[](const NegativeBinomialTrials& t) {
                                 if (t.gamma == 1.0) return 1.0;
                                 const double log_gamma = std::log(t.gamma);
                                 const double odds = (1.0 - t.gamma) / t.gamma;
                                 // eta / (1 - gamma^eta), which is 1 / log(1 / gamma) at eta = 0
                                 const double x = t.shape * log_gamma;
                                 if (std::abs(x) < 1e-9) return odds / -log_gamma * (1.0 - 0.5 * x);
                                 return odds * t.shape / -std::expm1(x);
                               },
                               [](const PoissonTrials& t) { return t.mean; }},
                    trials);
}

NegativeBinomialTrials negative_binomial_trials(double shape, double mean) {
  constexpr char kFunction[] = "negative_binomial_trials";
  check(kFunction, NegativeBinomialTrials{shape, 0.5});
  if (!(mean >= 1.0 && mean <= 1e6)) reject(kFunction, "mean", mean, ">= 1 and <= 1e6");
  if (mean == 1.0) return {shape, 1.0};
  if (shape == 1.0) return {shape, 1.0 / mean};
  // E[K] falls from infinity to 1 as gamma goes from 0 to 1. Bisection in the logit of gamma: it is
  // precise at either end.
  const auto gamma_of = [](double logit) { return 1.0 / (1.0 + std::exp(-logit)); };
  double low = -700.0;
  double high = 36.0;  // the last gamma below 1
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    (expected_trials(NegativeBinomialTrials{shape, gamma_of(middle)}) > mean ? low : high) = middle;
  }
  const NegativeBinomialTrials found{shape, gamma_of(low)};
  if (!(std::abs(expected_trials(found) - mean) <= 1e-9 * mean)) {
    reject(kFunction, "shape", shape, "one for which a gamma gives mean " + number_text(mean));
  }
  return found;
}

std::string describe(const RandomTrials& trials) {
  check("describe", trials);
  return std::visit(Overloaded{[](const NegativeBinomialTrials& t) {
                                 const std::string name =
                                     t.shape == 1.0 ? "geometric"
                                     : t.shape == 0.0
                                         ? "logarithmic"
                                         : "negative binomial of shape " + number_text(t.shape);
                                 return name + ", gamma " + number_text(t.gamma) + ", " +
                                        short_text(expected_trials(t)) + " trials on average";
                               },
                               [](const PoissonTrials& t) {
                                 return "Poisson, " + number_text(t.mean) + " trials on average";
                               }},
                    trials);
}

RdpFunction search_rdp(RdpFunction trial, const RandomTrials& trials) {
  check("search_rdp", trials);
  const double log_mean = std::log(expected_trials(trials));
  if (const auto* binomial = std::get_if<NegativeBinomialTrials>(&trials)) {
    if (binomial->gamma == 1.0) return trial;
    const double selection = selection_term(trial, *binomial);
    return [trial = std::move(trial), selection, log_mean](double order) {
      const double rdp = trial(order);
      const double tilt = (std::max(0.0, log_mean) + kSlack) / (order - 1.0);
      return (rdp + selection + tilt) * (1.0 + 1e-13);
    };
  }
  const double mean = std::get<PoissonTrials>(trials).mean;
  return [trial = std::move(trial), mean, log_mean](double order) {
    const double rdp = trial(order);
    if (!(rdp < kInfinity)) return kInfinity;
    // A smaller epsilon has the larger delta.
    const double epsilon = std::log1p(1.0 / (order - 1.0)) * (1.0 - 1e-14);
    const double delta = rdp_to_delta(trial, epsilon).value;
    const double whole = rdp + mean * delta + (log_mean + kSlack) / (order - 1.0);
    // Below rdp only for a mean below 1, where the theorem still holds; kept above it all the same.
    return std::max(rdp, whole) * (1.0 + 1e-13);
  };
}

PrivacyGuarantee search_guarantee(const RdpAccountant& trial, const RandomTrials& trials,
                                  double delta) {
  constexpr char kFunction[] = "search_guarantee";
  check(kFunction, trials);
  check_delta(kFunction, delta);
  for (const Phase& phase : trial.composition().phases()) {
    if (additive_delta(phase.mechanism) > 0.0 || coupling_delta(phase.mechanism) > 0.0) {
      throw std::invalid_argument(std::string(kFunction) + ": " + describe(phase.mechanism) +
                                  " has a term of delta, expected pure Renyi bounds");
    }
  }
  const auto of_trial = [&trial](double order) { return trial.rdp(order); };
  // A trial that reads nothing stays so, however many there are.
  const bool nothing =
      std::all_of(trial.composition().phases().begin(), trial.composition().phases().end(),
                  [](const Phase& phase) { return reads_nothing(phase.mechanism); });
  if (nothing) return {0.0, delta, "no release reads the data", std::nullopt};
  const RdpConversion best = rdp_to_epsilon(search_rdp(of_trial, trials), delta);
  return {
      best.value, delta,
      "Renyi differential privacy of a search with a random number of trials (arXiv 2110.03620)",
      best.order};
}

}  // namespace velum::dpsgd
