#pragma once

#include <cstdint>

namespace velum::dpsgd {

// Lower bounds of epsilon from what an attacker has guessed right: statistics, not privacy
// guarantees. A bound L at confidence 1 - beta means: were the releases (epsilon, delta)-DP with
// epsilon < L, so many right guesses (or more) would have had a probability of at most beta.
// Everything is rounded so that less is claimed. docs/auditing.md has the derivations.

/// The smallest success probability that `successes` of `trials` do not refute:
///
///   sup { p : P[Binomial(trials, p) >= successes] <= error_probability },  0 for no success,
///
/// rounded down. Whatever the true p, the result exceeds it with probability at most
/// error_probability.
/// Paper: The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Clopper
/// and Pearson 1934.
/// @param trials             1 to 2^40.
/// @param successes          in [0, trials].
/// @param error_probability  in (0, 1).
/// @throws std::invalid_argument if a value is out of range.
double clopper_pearson_lower(std::int64_t trials, std::int64_t successes, double error_probability);

/// The largest one, rounded up: 1 - clopper_pearson_lower(trials, trials - successes, ...).
/// @throws std::invalid_argument if a value is out of range.
double clopper_pearson_upper(std::int64_t trials, std::int64_t successes, double error_probability);

/// What an attacker said over many runs of training, in each of which one example took part or did
/// not. The runs are independent, and the attack was fixed before them.
struct MembershipCounts {
  std::int64_t members = 0;              ///< runs with the example
  std::int64_t members_recognised = 0;   ///< of these: said to be with it
  std::int64_t non_members = 0;          ///< runs without it
  std::int64_t non_members_accused = 0;  ///< of these: said to be with it
};

/// Lower bound of epsilon at `delta` from many runs:
///
///   max( log((TPR - delta) / FPR), log((1 - FPR - delta) / (1 - TPR)), 0 )
///
/// with TPR the Clopper-Pearson lower bound of the rate of true positives and FPR the upper bound
/// of that of false positives, each at error probability (1 - confidence) / 2. (epsilon,
/// delta)-DP means TPR <= e^epsilon FPR + delta and 1 - FPR <= e^epsilon (1 - TPR) + delta for any
/// attack, in either direction of the neighbours (Kairouz, Oh and Viswanath, arXiv 1311.0776,
/// Theorem 2.1).
/// @param delta       in [0, 1).
/// @param confidence  in (0, 1): the bound exceeds the true epsilon with probability at most
///                    1 - confidence.
/// @throws std::invalid_argument if there is no run of either kind, or a value is out of range.
double epsilon_lower_bound_of_runs(const MembershipCounts& counts, double delta, double confidence);

/// What an attacker said after one run of training on m canaries, each of which took part by the
/// toss of a fair coin of its own.
struct OneRunGuesses {
  std::int64_t canaries = 0;  ///< m
  std::int64_t guesses = 0;   ///< r: how many the attacker decided about; the most, fixed before
  std::int64_t correct = 0;   ///< v: of these, right
};

/// Probability of `correct` or more right guesses if the run is (epsilon, delta)-DP for adding or
/// removing one canary, at most, rounded up:
///
///   f(v) + 2 m delta max_{1 <= i <= v} (f(v - i) - f(v)) / i,
///   f(k) = P[Binomial(r, e^epsilon / (e^epsilon + 1)) >= k];  at most 1.
///
/// Paper: Privacy Auditing with One (1) Training Run, Steinke, Nasr and Jagielski 2023 (arXiv
/// 2305.08846), Theorem 5.2 and Corollary 5.4, Appendix D.
/// @param epsilon  finite and >= 0.
/// @param delta    in [0, 1].
/// @throws std::invalid_argument if a value is out of range: 1 <= canaries <= 2^40,
///         0 <= correct <= guesses <= canaries.
double one_run_p_value(const OneRunGuesses& guesses, double epsilon, double delta);

/// Lower bound of epsilon at `delta` from one run: an epsilon, found by bisection, that
/// `one_run_p_value` was evaluated at and refutes (below 1 - confidence); 0 if it refutes not even
/// 0. Less than 1e-12 (relative) above it lies one that is not refuted.
///
/// It holds wherever the bisection ends, monotone or not: what is (epsilon, delta)-DP is so for
/// every larger epsilon, so that each of them, refuted, refutes the smaller ones.
/// @param confidence  in (0, 1): the bound exceeds the true epsilon with probability at most
///                    1 - confidence.
/// @throws std::invalid_argument as `one_run_p_value`, or for another confidence.
double epsilon_lower_bound_of_one_run(const OneRunGuesses& guesses, double delta,
                                      double confidence);

}  // namespace velum::dpsgd
