#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "velum/dpsgd/accounting/mechanism.h"

// Upper bounds in floating point of the moments behind `rdp`.
//
// Every error bound is a number of units of 2^-53 and assumes that exp, expm1, log and log1p of the
// C library are within 4 units; those of glibc are within 2.

namespace velum::dpsgd {

inline constexpr double kUnit = 0x1p-53;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A log and the units by which it may be off.
struct Log {
  double value;
  double units;
};

/// log of a sum of positive terms that are given by their logs, rounded up.
class LogSum {
 public:
  /// @param units  bound on the error of `log_term`, in units of 2^-53.
  void add(double log_term, double units) {
    if (log_term < reference_ - 80.0) {
      ++skipped_;
      return;
    }
    if (log_term > reference_ + 500.0) {
      sum_ *= std::exp(reference_ - log_term);
      reference_ = log_term;
    }
    units += 8.0 + 2.0 * (std::abs(log_term) + std::abs(reference_));
    sum_ += std::exp(log_term - reference_) * (1.0 + units * kUnit);
    ++terms_;
  }

  /// Upper bound of the log of the sum; -infinity without terms.
  double upper() const {
    if (terms_ == 0) return -kInfinity;
    // The term that set the reference counts 1, and each that was skipped less than exp(-79).
    const double log_sum = std::log(sum_ + static_cast<double>(skipped_) * 5e-35);
    const double units =
        static_cast<double>(terms_) + 16.0 + 4.0 * (std::abs(reference_) + std::abs(log_sum));
    return reference_ + log_sum + units * kUnit;
  }

 private:
  double reference_ = -kInfinity;
  double sum_ = 0.0;
  std::int64_t terms_ = 0;
  std::int64_t skipped_ = 0;
};

/// log(1 + exp(x)), rounded up.
inline double log_one_plus_exp(double x) {
  const double value = x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  return value * (1.0 + (32.0 + 2.0 * std::min(std::abs(x), 1000.0)) * kUnit);
}

/// log(exp(x) - 1) for x > 0. Above 40 it is x to the last bit.
inline double log_expm1(double x) { return x > 40.0 ? x : std::log(std::expm1(x)); }

/// An upper bound of the Renyi divergence from one of log(A - 1), A = exp((order - 1) divergence).
inline double divergence(double log_excess, double order) {
  return log_one_plus_exp(log_excess) / (order - 1.0) * (1.0 + 4.0 * kUnit);
}

/// log of r^order + r^(1 - order) - r - 1 = (r^order - 1) (1 - r^(1 - order)) for r = exp(l), l > 0
/// known to `units`. The two exponents' factors are positive: nothing cancels.
inline Log log_two_sided_excess(double l, double units, double order) {
  const double up = order * l;
  const double down = (order - 1.0) * l;
  const double log_down = down > 40.0 ? 0.0 : std::log(-std::expm1(-down));
  // d log(exp(x) - 1) / d log(x) <= 1 + x.
  return {log_expm1(up) + log_down,
          16.0 + (2.0 + up + 1.0) * (units + 4.0) + 4.0 * (std::abs(std::log(l)) + up)};
}

/// Both sampled Gaussians integrate f(v) = phi(v + c / 2) h(u) with u = q (exp(c v) - 1), and of
/// both h it is proved in docs/numerics.md that for u > 0
///
///   d log h / d log u <= 2 + order u / (1 + u).
///
/// A bound of d log f / dv on all of [from, to], 0 < from < to: u / (1 + u) grows with v and
/// d log u / dv = c / (1 - exp(-c v)) falls.
inline double log_slope(double q, double c, double order, double from, double to) {
  const double u = q * std::expm1(c * to);
  const double part = u < 1e16 ? u / (1.0 + u) : 1.0;
  const double rise = c / -std::expm1(-c * from) * (2.0 + order * part);
  const double fall = from + 0.5 * c;
  return rise - fall + 64.0 * kUnit * (rise + fall) * (1.0 + c * to);
}

/// log of a bound of the integral of such an f over [from, from + width], and of `spacing` times
/// its sum over the points of a lattice of that spacing in there.
inline Log log_skipped(const Log& log_at_from, double slope, double width, double spacing) {
  const double growth = std::max(slope, 0.0) * width;
  const double reach = slope < 0.0 ? std::min(width, -1.0 / slope) : width;
  return {log_at_from.value + growth + std::log(reach + spacing),
          log_at_from.units + 16.0 + 4.0 * growth};
}

/// What is skipped is below exp(this) times the largest term.
inline constexpr double kLogSkipped = -50.0;

/// Renyi divergences of order > 1, upper bounds within 1e-9 (relative) of what each header comment
/// of `rdp` names. Arguments are in range; q in (0, 1), sigma > 0.
double poisson_rdp(double q, double sigma, double order);
double without_replacement_rdp(double q, double sigma, double order);
double laplace_rdp(const LaplaceMechanism& mechanism, double order);
double discrete_gaussian_rdp(const DiscreteGaussianMechanism& mechanism, double order);
double skellam_rdp(const SkellamMechanism& mechanism, double order);
double randomized_response_rdp(const RandomizedResponseMechanism& mechanism, double order);
/// Infinity where some answer is impossible.
double randomized_response_epsilon(const RandomizedResponseMechanism& mechanism);
double pure_dp_rdp(double epsilon, double order);
double dominating_pair_rdp(const DominatingPairMechanism& mechanism, double order);

/// log of the bound (1 - q + q exp((order - 1) / (2 sigma^2)))^order of the order-th moment of
/// 1 - q + q w, w the likelihood ratio of N(1, sigma^2) and N(0, sigma^2), by Minkowski's
/// inequality, rounded up.
double log_minkowski_moment(double q, double sigma, double order);

}  // namespace velum::dpsgd
