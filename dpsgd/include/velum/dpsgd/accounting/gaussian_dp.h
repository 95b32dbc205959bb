#pragma once

namespace velum::dpsgd {

// Exact privacy of Gaussian mechanisms without sampling. A release with noise multiplier sigma has
// mu = 1 / sigma, and releases compose, adaptively too, to mu = sqrt(sum mu_i^2)
// (Gaussian Differential Privacy, arXiv 1905.02383, Corollary 3.3). Every result is rounded towards
// less privacy and is within 1e-12 (relative) of the exact value for mu up to 100; beyond, the
// rounding that is added grows with mu.

/// Smallest delta at `epsilon`:
///
///   delta = Phi(mu / 2 - epsilon / mu) - exp(epsilon) Phi(-mu / 2 - epsilon / mu)
///
/// Paper: Improving the Gaussian Mechanism for Differential Privacy (arXiv 1805.06530), Theorem 8.
/// mu = 0 gives 0, mu = infinity gives 1. Below the smallest double the result is that double.
/// @throws std::invalid_argument if mu < 0, epsilon < 0, or either is NaN.
double gaussian_delta(double mu, double epsilon);

/// Smallest epsilon >= 0 at `delta`. mu = 0 gives 0, mu = infinity gives infinity.
/// @throws std::invalid_argument if mu < 0 or NaN, or delta is not in (0, 1).
double gaussian_epsilon(double mu, double delta);

/// Largest mu that spends no more than (epsilon, delta): the budget that releases share.
/// @throws std::invalid_argument if epsilon is not finite and >= 0, or delta is not in (0, 1).
double gaussian_mu(double epsilon, double delta);

}  // namespace velum::dpsgd
