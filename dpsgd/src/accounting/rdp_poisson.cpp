#include <algorithm>
#include <cmath>
#include <numbers>

#include "accounting/rdp_bounds.h"

namespace velum::dpsgd {
namespace {

constexpr double kSmallestRate = 1e-90;           // rdp grows with q ...
constexpr double kLargestNoiseMultiplier = 1e50;  // ... and falls with sigma
constexpr double kLargestPointCount = 0x1p18;
constexpr double kSkippingPointCount = 4096;   // where more could only be avoided by skipping
constexpr double kLargestCheapOrder = 64.0;    // up to here an integer order is simply summed ...
constexpr double kLargestSummedOrder = 65536;  // ... and up to here if nothing else is exact

/// log(A - 1) at an integer order, rounded up:
///
///   A - 1 = sum over i >= 2 of  C(order, i) q^i (1 - q)^(order - i) (exp(e_i) - 1)
///   e_i = i (i - 1) / (2 sigma^2)
///
/// since the binomial weights sum to 1 and the terms 0 and 1 vanish. No term is negative.
double log_excess_integer(double q, double sigma, int order) {
  const double log_q = std::log(q);
  const double log_rest = std::log1p(-q);
  const double inverse_variance = 1.0 / (sigma * sigma);
  double log_binomial = std::log(order);
  double compensation = 0.0;  // of the rounding of the running sum
  double binomial_magnitude = log_binomial;
  LogSum sum;
  for (int i = 2; i <= order; ++i) {
    const double step = std::log(static_cast<double>(order - i + 1) / i);
    const double next = log_binomial + step;
    compensation += std::abs(log_binomial) >= std::abs(step) ? (log_binomial - next) + step
                                                             : (step - next) + log_binomial;
    log_binomial = next;
    binomial_magnitude += std::abs(step) + 1.0;
    const double exponent = 0.5 * i * (i - 1.0) * inverse_variance;
    const double from_q = i * log_q;
    const double from_rest = (order - i) * log_rest;
    const double term = (log_binomial + compensation) + from_q + from_rest + log_expm1(exponent);
    const double units =
        8.0 * (std::abs(from_q) + std::abs(from_rest) + exponent + binomial_magnitude + 2.0);
    sum.add(term, units);
  }
  return sum.upper();
}

/// Data of one fractional order: m = order - 1, c = 1 / sigma.
struct Fractional {
  Fractional(double sampling_rate, double sigma, double alpha)
      : q(sampling_rate), c(1.0 / sigma), order(alpha), m(alpha - 1.0) {}

  double q;
  double c;
  double order;
  double m;
  double log_q = std::log(q);
  double log_quadratic = std::log(0.5 * order * m) + 2.0 * log_q;
  double log_phi_0 = -0.5 * std::log(2.0 * std::numbers::pi);

  /// log of g(u) = (1 + u)^order - 1 - order u >= 0 at u = q (exp(s) - 1).
  Log log_remainder(double s) const {
    const double w_minus_1 = std::expm1(s);
    const double u = q * w_minus_1;
    // The binomial series from its quadratic term on. With order |u| < 1 / 2 an error of u moves it
    // by about twice as much, whatever the order.
    if (order * std::abs(u) < 0.5) {
      double term = 1.0;
      double series = 1.0;
      int k = 2;
      for (; std::abs(term) > 0.25 * kUnit; ++k) {
        term *= u * (order - k) / (k + 1.0);
        series += term;
      }
      return {
          log_quadratic + std::log(w_minus_1 * w_minus_1 * series),
          200.0 + 12.0 * k + 4.0 * (std::abs(s) + 2.0 * std::abs(log_q) + 2.0 * std::log(order))};
    }
    double log_1_plus_u;
    double magnitude = 4.0 + 4.0 * std::abs(s);
    if (u > 1e8) {  // u may be infinite; the log is not
      log_1_plus_u = log_q + s + std::log1p((1.0 - q) / q * std::exp(-s));
      magnitude += 4.0 * std::abs(log_q);
    } else if (u > -0.5) {
      log_1_plus_u = std::log1p(u);
    } else {
      log_1_plus_u = std::log((1.0 - q) + q * std::exp(s));
    }
    const double log_units = magnitude + 4.0 * std::abs(log_1_plus_u);
    // g = (1 + u) (exp(m l) - 1 + m (exp(-l) - 1)) with l = log(1 + u).
    const double growth = m * log_1_plus_u;
    const double decay = m * std::expm1(-log_1_plus_u);
    if (growth > 40.0) {
      return {log_1_plus_u + growth + std::log1p((decay - 1.0) * std::exp(-growth)),
              (2.0 + m) * log_units + 16.0};
    }
    const double raised = std::expm1(growth);
    const double factor = raised + decay;
    const double units = log_units + 16.0 +
                         (6.0 * (std::abs(raised) + std::abs(decay)) +
                          (m * (raised + 1.0) + decay + m) * (log_units + 2.0 * std::abs(growth))) /
                             factor;
    return {log_1_plus_u + std::log(factor), units};
  }

  /// log of the integrand phi(v + c / 2) g(q (exp(c v) - 1)).
  Log log_integrand(double v) const {
    const double t = v + 0.5 * c;
    Log log = log_remainder(c * v);
    log.value += log_phi_0 - 0.5 * t * t;
    log.units += 4.0 + 4.0 * t * t + 2.0 * std::abs(t) * (std::abs(v) + c);
    return log;
  }

  /// log of a bound on the integral of |integrand| along any line v + i y with c |y| <= pi / 2,
  /// without the factor exp(y^2 / 2). With |w| = exp(c v) and Re w >= 0 there, |1 + u| <= 1 + q |w|
  /// and
  ///   order >= 2:  |g| <= order m |u|^2 / 2 (1 + q |w|)^(order - 2)
  ///   order <  2:  |g| <= m |u|^2
  ///   always:      |g| <= (1 + q |w|)^order + 1 + order |u|
  /// whose Gaussian means follow from E[w^j f(w)] = exp(j (j - 1) c^2 / 2) E[f(w exp(j c^2))] and
  /// Minkowski's inequality.
  double log_line_bound() const {
    const double cc = c * c;
    // log of (1 + q exp(x))^p
    const auto log_power = [&](double x, double p) { return p * log_one_plus_exp(log_q + x); };
    const auto log_add = [](double a, double b) {
      return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
    };
    double quadratic;
    if (order >= 2.0) {
      const double p = order - 2.0;
      const double spread = 0.5 * std::max(p - 1.0, 0.0) * cc;
      quadratic = std::log(order * m) + 2.0 * log_q +
                  log_add(log_power(spread, p), cc + log_power(2.0 * cc + spread, p));
    } else {
      quadratic = std::log(2.0 * m) + 2.0 * log_q + log_add(0.0, cc);
    }
    const double plain = log_add(log_power(0.5 * m * cc, order), std::log(1.0 + 2.0 * order * q));
    return std::min(quadratic, plain);
  }
};

/// Spacing of the trapezoidal rule and the log of the factor of `log_line_bound` in its error.
struct Spacing {
  double eta;
  double log_error_factor;
};

/// The widest spacing whose error factor is at most exp(-gap). On a strip |y| < b the error is at
/// most 2 M / (exp(2 pi b / eta) - 1) (Trefethen and Weideman, SIAM Review 56 (2014), Theorem 5.1)
/// with M <= line bound * exp(b^2 / 2).
Spacing choose_spacing(double c, double gap) {
  const double widest = 0.5 * std::numbers::pi / c;
  const double b = std::min(widest, std::sqrt(2.0 * gap));
  double eta = 2.0 * std::numbers::pi * b / (gap + 0.5 * b * b);
  // Twelve significant bits: multiples of eta are then exact.
  int exponent;
  const double mantissa = std::frexp(eta, &exponent);
  eta = std::ldexp(std::floor(mantissa * 4096.0), exponent - 12);
  const double decay = 2.0 * std::numbers::pi * b / eta;
  return {eta, std::numbers::ln2 + 0.5 * b * b - decay - std::log1p(-std::exp(-decay)) +
                   16.0 * kUnit * (decay + b * b)};
}

/// log(A - 1) at any order, rounded up; infinity if it would take more than `largest_point_count`.
///
///   A - 1 = E[g(q (w - 1))],  w = exp(c v),  v + c / 2 standard normal
///
/// as E[w] = 1. The integrand is not negative and analytic, so the trapezoidal rule converges
/// exponentially. Its error and the two tails that are cut off are bounded and added.
double log_excess_by_quadrature(double q, double sigma, double order, double largest_point_count) {
  const Fractional f(q, sigma, order);
  const double line_bound = f.log_line_bound();
  const double steepest = std::max(order, 2.0) * f.c;  // of log g in v, far to the right
  const double log_remainder_left = f.log_remainder(-kInfinity).value;
  // A first guess at what separates the bound from the sum: the chord between the integer orders,
  // where that is cheap. Where it is not, a first sum on a coarse lattice tells.
  double gap = 40.0;
  if (order > 2.0 && order < kLargestCheapOrder) {
    const int below = static_cast<int>(order);
    const double weight = order - below;
    const double chord = (1.0 - weight) * log_excess_integer(q, sigma, below) +
                         weight * log_excess_integer(q, sigma, below + 1);
    gap = line_bound - chord + 36.0 + 0.125 * f.c * f.c;
  }
  for (int attempt = 0; attempt < 8; ++attempt) {
    const Spacing spacing = choose_spacing(f.c, gap);
    const double eta = spacing.eta;
    const double log_eta = std::log(eta);
    // Without skipping it would take (steepest + 40) / eta points.
    const double affordable = (steepest + 40.0) / eta < largest_point_count
                                  ? largest_point_count
                                  : std::min(largest_point_count, kSkippingPointCount);
    LogSum sum;
    // The moments of high orders have a second peak, where w^order has its own. Known beforehand,
    // it tells what can be skipped on the way there.
    const double peak = std::nearbyint((order - 0.5) * f.c / eta);
    double largest = peak < 1.0 ? -kInfinity : f.log_integrand(peak * eta).value + log_eta;
    double points = 0.0;
    std::int64_t stride = 1;
    // Right of the last point, d log f / dv <= -slope: u g'(u) <= max(order, 2) g(u) for u > 0.
    for (std::int64_t k = 1;; ++k) {
      if (++points > affordable) return kInfinity;
      const double v = static_cast<double>(k) * eta;
      const auto log = f.log_integrand(v);
      sum.add(log.value + log_eta, log.units + 8.0);
      largest = std::max(largest, log.value + log_eta);
      const double slope = v + 0.5 * f.c + steepest / std::expm1(-f.c * v);
      if (slope > 0.0) {
        const double tail = log.value - std::log(slope);
        if (tail < largest - 40.0) {
          sum.add(tail, 2.0 * log.units + 64.0);
          break;
        }
      }
      // Far from where the integrand counts, points are bounded together: as many as possible.
      if (!(log.value < largest + kLogSkipped)) continue;
      const double to = static_cast<double>(k + stride) * eta;
      const Log skipped = log_skipped(log, log_slope(q, f.c, order, v, to), to - v, eta);
      if (skipped.value < largest + kLogSkipped) {
        sum.add(skipped.value, skipped.units);
        k += stride;
        stride *= 2;
      } else {
        stride = std::max<std::int64_t>(1, stride / 2);
      }
    }
    // Left of the last point, g <= g(-q) and the normal tail is at most phi(t) / |t|.
    for (std::int64_t k = 1;; ++k) {
      const double v = -static_cast<double>(k) * eta;
      const auto log = f.log_integrand(v);
      sum.add(log.value + log_eta, log.units + 8.0);
      largest = std::max(largest, log.value + log_eta);
      const double t = v + 0.5 * f.c;
      if (t >= 0.0) continue;
      const double tail = log_remainder_left - 0.5 * t * t - std::log(-t);
      if (tail < largest - 40.0) {
        sum.add(tail, 8.0 * t * t + 256.0);
        break;
      }
    }
    const double error = line_bound + spacing.log_error_factor;
    if (error < sum.upper() - 32.0) {  // exp(-32) = 1.3e-14
      sum.add(error, 64.0 + 16.0 * std::abs(line_bound));
      return sum.upper();
    }
    gap = line_bound - sum.upper() + 36.0;
  }
  return kInfinity;
}

/// log(A - 1), rounded up.
double log_excess(double q, double sigma, double order) {
  const double below = std::floor(order);
  const bool is_integer = order == below;
  if (is_integer && order <= kLargestCheapOrder) {
    return log_excess_integer(q, sigma, static_cast<int>(order));
  }
  // A point of the lattice costs about as much as a term of the sum.
  const bool can_sum = order <= kLargestSummedOrder;
  const double by_quadrature = log_excess_by_quadrature(
      q, sigma, order,
      is_integer && can_sum ? std::min(order, kLargestPointCount) : kLargestPointCount);
  if (by_quadrature < kInfinity) return by_quadrature;
  if (is_integer && can_sum) return log_excess_integer(q, sigma, static_cast<int>(order));
  // Bounds of log A, here those of large orders and of little noise: nearly all of A is the term
  // q^order w^order. Between integers log A is below its chord, being convex in the order.
  double log_moment = log_minkowski_moment(q, sigma, order);
  if (can_sum && order < kLargestSummedOrder - 1.0) {
    const int n = static_cast<int>(below);
    const double weight = order - below;
    const double low = n == 1 ? 0.0 : log_one_plus_exp(log_excess_integer(q, sigma, n));
    const double high = log_one_plus_exp(log_excess_integer(q, sigma, n + 1));
    log_moment = std::min(log_moment, ((1.0 - weight) * low + weight * high) * (1.0 + 8.0 * kUnit));
  }
  const double log_excess = log_expm1(log_moment * (1.0 + 4.0 * kUnit));
  return log_excess + 16.0 * kUnit * (1.0 + std::abs(log_excess));
}

}  // namespace

double log_minkowski_moment(double q, double sigma, double order) {
  const double x = 0.5 * (order - 1.0) / sigma / sigma;
  if (x < 600.0) return order * std::log1p(q * std::expm1(x)) * (1.0 + (32.0 + 8.0 * x) * kUnit);
  const double log_q = std::log(q);
  const double sum = log_one_plus_exp(log_q + x);  // 1 - q <= 1
  return order * sum * (1.0 + 16.0 * kUnit) +
         order * 16.0 * kUnit * (std::abs(log_q) + std::abs(x));
}

double poisson_rdp(double q, double sigma, double order) {
  const double rate = std::max(q, kSmallestRate);
  const double noise = std::min(sigma, kLargestNoiseMultiplier);
  const double value = divergence(log_excess(rate, noise, order), order);
  // Sampling never makes it less private than the Gaussian itself.
  const double unsampled = 0.5 * order / noise / noise * (1.0 + 4.0 * kUnit);
  return std::isnan(value) ? unsampled : std::min(value, unsampled);
}

}  // namespace velum::dpsgd
