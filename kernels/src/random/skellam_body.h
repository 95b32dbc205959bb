#pragma once

#include <cstdint>

#include "random/coins.h"
#include "random/wide_integer.h"
#include "velum/kernels/random/exact_variance.h"

namespace velum::kernels {

/// i of {1, ..., n} with probability proportional to i, 1 <= n < 2^49: of the pairs (a, b) in {0,
/// ..., n} x {0, ..., n - 1}, i belongs to a = i, b < a and to n - a = i, b >= a, i pairs each.
template <typename Source>
VELUM_HOST_DEVICE std::uint64_t proportional_index(Source& source, std::uint64_t n) {
  const std::uint64_t a = source.below(n + 1);
  const std::uint64_t b = source.below(n);
  return b < a ? a : n - a;
}

/// Attempts at a Poisson variable of integer mean m, 1 <= m <= 2^61, as m + y.
///
/// y is a Laplace proposal of scale t = 2^k; it is kept with probability exp(y / t - c) P(m + y) /
/// P(m), in expected constant time: with x_i = i / m,
///
///   y > 0:  log P(m) / P(m + y) = sum_(i = 1 .. y)     log(1 + x_i)
///   y < 0:  log P(m) / P(m - y) = sum_(i = 0 .. y - 1) -log(1 - x_i)
///
/// log(1 + x) >= x - x^2 / 2 and -log(1 - x) >= x. The sums of these bounds are rationals; with the
/// constant c the exponent that they give is not negative, so `exp_minus` tosses it. What is left
/// of each logarithm is the probability of a coin, so `exp_minus_coin` tosses it. Beyond x = 1 / 2,
/// where the sums stop, single factors exp(1 / t) / (1 + x_i) and exp(1 / t) (1 - x_i) are coins.
/// The proofs are in docs/numerics.md, "Integer noise".
struct PoissonSampler {
  static constexpr std::uint64_t kMaxMean = std::uint64_t{1} << 61;
  static constexpr int kConstantBits = 16;

  std::uint64_t mean;      ///< m
  int log_scale;           ///< k, 2 to 31
  int log_steps;           ///< s: the exponent has the denominator 12 m^2 2^s
  std::uint64_t constant;  ///< 2^16 c, <= 2^18
  UInt256 divisor;         ///< 12 m^2 2^s

  explicit PoissonSampler(std::uint64_t integer_mean) : mean(integer_mean), log_scale(2) {
    // The largest t with t^2 / 2 <= m, at least 4.
    while (UInt128{1} << (2 * log_scale + 1) <= UInt128{mean}) ++log_scale;
    log_steps = log_scale > kConstantBits ? log_scale : kConstantBits;
    // c >= m / 2t^2 + max(m / 2t^3, 1 / 2t + 1 / 8m), each term rounded up to a multiple of 2^-16.
    const std::uint64_t right = rounded_up_shift(mean, 3 * log_scale + 1);
    const std::uint64_t left = rounded_up_shift(1, log_scale + 1) +
                               ((std::uint64_t{1} << (kConstantBits - 3)) + mean - 1) / mean;
    constant = rounded_up_shift(mean, 2 * log_scale + 1) + (right > left ? right : left);
    divisor = (UInt256(UInt128{mean} * mean) * 12) << log_steps;
  }

  template <typename Source>
  VELUM_HOST_DEVICE Attempt attempt(Source& source) const {
    const LaplaceProposal y = laplace_proposal(source, log_scale);
    if (!y.accepted) return {false, 0};
    const std::uint64_t size = y.magnitude;  // < 2^47
    if (y.negative) {
      if (size > mean) return {false, 0};
      const std::uint64_t half = (mean + 1) / 2;  // i < half: x_i < 1 / 2
      const std::uint64_t summed = size < half ? size : half;
      if (!exp_minus(source, left_exponent(summed), divisor) || !left_remainder(source, summed)) {
        return {false, 0};
      }
      for (std::uint64_t i = summed; i < size; ++i) {
        if (!tail_factor(source, mean - i, mean)) return {false, 0};
      }
      return {true, static_cast<std::int64_t>(mean - size)};
    }
    const std::uint64_t summed = size < mean / 2 ? size : mean / 2;  // i <= summed: x_i <= 1 / 2
    if (!exp_minus(source, right_exponent(summed), divisor) || !right_remainder(source, summed)) {
      return {false, 0};
    }
    for (std::uint64_t i = summed + 1; i <= size; ++i) {
      if (!tail_factor(source, mean, UInt128{mean} + i)) return {false, 0};
    }
    return {true, static_cast<std::int64_t>(mean + size)};
  }

  // The exponents times `divisor`; n < 2^47.

  /// sum_(i <= n) (x_i - x_i^2 / 2) - n / t + c
  ///   = n (n + 1) / 2m - n (n + 1) (2n + 1) / 12m^2 - n / t + c
  VELUM_HOST_DEVICE UInt256 right_exponent(std::uint64_t n) const {
    const UInt256 pairs = UInt256(UInt128{n} * (n + 1)) << log_steps;
    return pairs * mean * 6 + constant_part() - pairs * (2 * n + 1) - proposal_part(n);
  }
  /// sum_(i < n) x_i - n / t + c = n (n - 1) / 2m - n / t + c
  VELUM_HOST_DEVICE UInt256 left_exponent(std::uint64_t n) const {
    const UInt256 pairs = UInt256(UInt128{n} * (n == 0 ? 0 : n - 1)) << log_steps;
    return pairs * mean * 6 + constant_part() - proposal_part(n);
  }

 private:
  /// ceil(2^16 x / 2^shift)
  static constexpr std::uint64_t rounded_up_shift(std::uint64_t x, int shift) {
    const UInt128 scaled = UInt128{x} << kConstantBits;
    return static_cast<std::uint64_t>((scaled + ((UInt128{1} << shift) - 1)) >> shift);
  }
  /// 12 m^2 2^s c, and 12 m^2 2^s n / t
  VELUM_HOST_DEVICE UInt256 constant_part() const {
    return (UInt256(UInt128{mean} * mean) * (12 * constant)) << (log_steps - kConstantBits);
  }
  VELUM_HOST_DEVICE UInt256 proposal_part(std::uint64_t n) const {
    return (UInt256(UInt128{mean} * mean) * 12 * n) << (log_steps - log_scale);
  }

  /// True with probability exp(-r), r = sum_(i <= n) (log(1 + x_i) - x_i + x_i^2 / 2), n <= m / 2:
  /// the logarithm's rest is x (x^2 / 3 - x^3 / 4 + ...). With i proportional to x_i, r is
  ///
  ///   n (n + 1) / 2m E[x_i^2 (1 / 3 - x_i / 4 + ...)]
  ///     = n^2 (n + 1) / 6m^2 E[(i / n) x_i (1 - 3 x_i / 4 + 3 x_i^2 / 5 - ...)]
  ///
  /// and the last series is the probability that successes in a row, the j-th of probability x_i (j
  /// + 2) / (j + 3), are even in number.
  template <typename Source>
  VELUM_HOST_DEVICE bool right_remainder(Source& source, std::uint64_t n) const {
    if (n == 0) return true;
    const auto coin = [&] {
      const std::uint64_t i = proportional_index(source, n);
      if (!source.bernoulli(i, n) || !source.bernoulli(UInt128{i}, UInt128{mean})) return false;
      bool even = true;
      for (std::uint64_t j = 1; source.bernoulli(UInt128{i} * (j + 2), UInt128{mean} * (j + 3));
           ++j) {
        even = !even;
      }
      return even;
    };
    return exp_minus_coin(source, UInt256(UInt128{n} * n) * (n + 1),
                          UInt256(UInt128{mean} * mean) * 6, coin);
  }

  /// True with probability exp(-r), r = sum_(i < n) (-log(1 - x_i) - x_i), x_i < 1 / 2: the
  /// logarithm's rest is x (x / 2 + x^2 / 3 + ...). With i proportional to x_i, r is
  ///
  ///   n (n - 1) / 2m E[x_i (1 / 2 + x_i / 3 + ...)]
  ///     = n^2 (n - 1) / 2m^2 E[(i / n) sum_(l >= 0) 2^-(l + 1) (2 x_i)^l 2 / (l + 2)]
  ///
  /// where l is geometric and the l-th term is the probability of l successes, the j-th of 2 x_i (j
  /// + 1) / (j + 2).
  template <typename Source>
  VELUM_HOST_DEVICE bool left_remainder(Source& source, std::uint64_t n) const {
    if (n < 2) return true;
    const auto coin = [&] {
      const std::uint64_t i = proportional_index(source, n - 1);
      if (!source.bernoulli(i, n)) return false;
      for (std::uint64_t j = 1; source.bits(1) != 0; ++j) {
        if (!source.bernoulli(UInt128{i} * (2 * (j + 1)), UInt128{mean} * (j + 2))) return false;
      }
      return true;
    };
    return exp_minus_coin(source, UInt256(UInt128{n} * n) * (n - 1),
                          UInt256(UInt128{mean} * mean) * 2, coin);
  }

  /// True with probability exp(1 / t) a / b, 3 a <= 2 b, t >= 4: sum_l 3/4 4^-l (4 a / 3 b) (4 /
  /// t)^l / l!.
  template <typename Source>
  VELUM_HOST_DEVICE bool tail_factor(Source& source, UInt128 a, UInt128 b) const {
    for (std::uint64_t l = 1; source.bits(2) == 0; ++l) {
      if (!source.bernoulli(std::uint64_t{4}, l << log_scale)) return false;
    }
    return source.bernoulli(4 * a, 3 * b);
  }
};

/// An attempt at a Poisson variable of mean n / d <= 1 / 2: k successes in a row have probability
/// (n / d)^k (1 - n / d), and are kept with probability 1 / k!.
/// Paper: Flajolet, Pelletier and Soria, On Buffon Machines and Numbers (arXiv 0906.5560), section
/// 2.2.
template <typename Source>
VELUM_HOST_DEVICE Attempt small_poisson_attempt(Source& source, std::uint64_t n, std::uint64_t d) {
  std::int64_t k = 0;
  bool kept = true;
  while (source.bernoulli(n, d)) {
    ++k;
    kept = kept && source.bernoulli(std::uint64_t{1}, static_cast<std::uint64_t>(k));
  }
  return {kept, k};
}

/// The difference of two Poisson variables of mean variance / 2 each. Such a variable is the sum of
/// one of the mean's integer part and of two of half of the rest; where the mean is below 3, of as
/// few equal ones of a mean of at most 1 / 2 as there can be.
struct SkellamSampler {
  std::uint64_t denominator;  ///< of means, < 2^33
  std::uint64_t integer;      ///< the mean of `poisson`; 0: none
  std::uint64_t rest;         ///< over `denominator`: what all pieces have together
  std::uint64_t pieces;       ///< 0 to 6
  PoissonSampler poisson;

  explicit SkellamSampler(const ExactVariance& variance)
      : denominator(2 * variance.denominator),
        integer(variance.numerator < 3 * denominator ? 0 : variance.numerator / denominator),
        rest(variance.numerator - integer * denominator),
        pieces(integer == 0 ? (2 * rest + denominator - 1) / denominator
               : rest == 0  ? 0
                            : 2),
        poisson(integer == 0 ? 1 : integer) {}

  template <typename Source>
  VELUM_HOST_DEVICE std::int64_t draw(Source& source) const {
    std::int64_t difference = 0;
    for (int side = 0; side < 2; ++side) difference = poisson_draw(source) - difference;
    return -difference;  // the first less the second
  }

 private:
  template <typename Attempts>
  VELUM_HOST_DEVICE static std::int64_t first_accepted(const Attempts& attempts) {
    for (;;) {
      const Attempt attempt = attempts();
      if (attempt.accepted) return attempt.value;
    }
  }
  template <typename Source>
  VELUM_HOST_DEVICE std::int64_t poisson_draw(Source& source) const {
    std::int64_t sum = 0;
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
      sum +=
          first_accepted([&] { return small_poisson_attempt(source, rest, pieces * denominator); });
    }
    if (integer != 0) sum += first_accepted([&] { return poisson.attempt(source); });
    return sum;
  }
};

}  // namespace velum::kernels
