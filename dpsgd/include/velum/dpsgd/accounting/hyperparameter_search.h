#pragma once

#include <string>
#include <variant>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace velum::dpsgd {

// The cost of choosing the best of a random number K of private trials: draw K, run K trials
// independently, each with settings drawn anew from one distribution that does not depend on the
// data, and release the best one alone, by a score that is part of what a trial releases. K itself,
// the other trials and their scores stay secret, and K = 0 releases a fixed answer. A fixed number
// of trials, or a K that is revealed, costs their full composition.
// Paper: Hyperparameter Tuning with Renyi Differential Privacy (arXiv 2110.03620).

/// Pr[K = k] = (1 - gamma)^k / (gamma^-shape - 1) * prod_{l < k} (l + shape) / (l + 1), k >= 1: the
/// truncated negative binomial. shape 1 is geometric with mean 1 / gamma, shape 0 (the limit)
/// logarithmic.
struct NegativeBinomialTrials {
  double shape;  ///< eta, finite and > -1
  double gamma;  ///< in (0, 1); 1 is a single trial

  friend bool operator==(const NegativeBinomialTrials&, const NegativeBinomialTrials&) = default;
};

/// Poisson, k >= 0.
struct PoissonTrials {
  double mean;  ///< finite and > 0

  friend bool operator==(const PoissonTrials&, const PoissonTrials&) = default;
};

using RandomTrials = std::variant<NegativeBinomialTrials, PoissonTrials>;

/// E[K], within 1e-9 (relative).
/// @throws std::invalid_argument if a value is out of range.
double expected_trials(const RandomTrials& trials);

/// The truncated negative binomial of that shape whose E[K] is `mean`, within 1e-9 (relative). K
/// must be drawn with the gamma that is returned.
/// @param shape  finite and > -1: 1 geometric, 0 logarithmic.
/// @param mean   in [1, 1e6].
/// @throws std::invalid_argument if a value is out of range.
NegativeBinomialTrials negative_binomial_trials(double shape, double mean);

/// "geometric, gamma 0.1, 10 trials on average" and the like, for people.
std::string describe(const RandomTrials& trials);

/// Renyi curve of the whole search, from that of a trial.
///
///   negative binomial  rdp + (1 + eta) min_b [(1 - 1 / b) rdp(b) + log(1 / gamma) / b]
///                          + log(E[K]) / (order - 1)                              (Theorem 2)
///   Poisson            rdp + mean delta(epsilon = log(1 + 1 / (order - 1)))
///                          + log(mean) / (order - 1), never below rdp             (Theorem 6)
///
/// with delta(epsilon) from the same curve. It may be added to other curves.
/// @param trial  of one trial, all of its releases together; pure RDP: no term of delta.
/// @throws std::invalid_argument if a value is out of range.
RdpFunction search_rdp(RdpFunction trial, const RandomTrials& trials);

/// Epsilon at `delta` of the search whose every trial costs what `trial` has composed.
/// @throws std::invalid_argument if a value is out of range or a release has a term of delta, for
///         which the theorems do not hold.
PrivacyGuarantee search_guarantee(const RdpAccountant& trial, const RandomTrials& trials,
                                  double delta);

}  // namespace velum::dpsgd
