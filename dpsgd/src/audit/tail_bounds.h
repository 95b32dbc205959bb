#pragma once

#include <cstdint>

namespace velum::dpsgd::detail {

// Tail probabilities of the statistics that audits look at, rounded up: a p-value made of them is
// never too small.

/// Allowance for the rounding of the incomplete beta and gamma functions (relative).
inline constexpr double kTailError = 1e-9;
/// What is added to it for each of a binomial's trials. The error of Boost's incomplete beta
/// function was measured against sums in extended precision as 1e-13 at 2^24 trials, 1e-9 at 2^36
/// and 3e-8 at 2^40, where this is 5e-7.
inline constexpr double kTailErrorPerTrial = 0x1p-61;

/// P[Binomial(trials, probability) >= count], at most 1. For up to 2^40 trials.
double binomial_upper_tail(std::int64_t trials, double probability, std::int64_t count);
/// P[Binomial(trials, probability) <= count], at most 1. For up to 2^40 trials.
double binomial_lower_tail(std::int64_t trials, double probability, std::int64_t count);
/// Twice the smaller tail at `count`, at most 1.
double binomial_p_value(std::int64_t trials, double probability, std::int64_t count);

/// Twice the smaller tail of a chi-squared variable of `degrees` degrees of freedom, at most 1; 0
/// for a NaN.
double chi_squared_p_value(double degrees, double value);

/// At most P[|sum_i x_i y_i| >= |value|] for `count` independent pairs of independent standard
/// normals: Chernoff's bound with E exp(s x y) = (1 - s^2)^(-1/2). 0 for a NaN.
double inner_product_p_value(std::int64_t count, double value);

/// At most P[sup |F_n - F| >= distance] for the empirical distribution of `count` draws:
/// 2 exp(-2 n d^2) (Dvoretzky, Kiefer and Wolfowitz 1956, with Massart's constant of 1990).
double empirical_distribution_p_value(std::int64_t count, double distance);

}  // namespace velum::dpsgd::detail
