#include <array>
#include <cmath>
#include <numbers>

#include "accounting/rdp_bounds.h"

// What is integrated, and why it bounds both directions, is in docs/accounting.md ("Sampling
// without replacement"); how its error is bounded, in docs/numerics.md ("Accounting").

namespace velum::dpsgd {
namespace {

constexpr double kSmallestRate = 1e-90;
constexpr double kLargestNoiseMultiplier = 1e50;
constexpr int kNodes = 24;
constexpr double kEllipse = 4.0;  // rho of the Bernstein ellipse
constexpr double kLargestPanelCount = 4096.0;
constexpr double kSkippingPanelCount = 512.0;  // where more could only be avoided by skipping
constexpr double kRelativeError = -30.0;       // log of the largest error of a panel over its value
constexpr double kHalfLogTwoPi = 0.91893853320467274178;

struct Node {
  double position;  // in (-1, 1)
  double log_weight;
};

/// Gauss and Legendre's rule, by Newton's method in extended precision.
std::array<Node, kNodes> gauss_legendre() {
  std::array<Node, kNodes> nodes;
  for (int i = 0; i < kNodes; ++i) {
    long double x = std::cos(std::numbers::pi_v<long double> * (i + 0.75L) / (kNodes + 0.5L));
    long double slope = 1.0L;
    for (int iteration = 0; iteration < 8; ++iteration) {
      long double before = 1.0L;
      long double value = x;
      for (int k = 2; k <= kNodes; ++k) {
        const long double next = ((2 * k - 1) * x * value - (k - 1) * before) / k;
        before = value;
        value = next;
      }
      slope = kNodes * (x * value - before) / (x * x - 1.0L);
      x -= value / slope;
    }
    nodes[i] = {static_cast<double>(x),
                static_cast<double>(std::log(2.0L / ((1.0L - x * x) * slope * slope)))};
  }
  return nodes;
}

/// Integral over v >= 0 of phi(v + c / 2) (r^order - 1) (1 - r^(1 - order)), r = 1 - q + q exp(c
/// v).
class Integral {
 public:
  Integral(double sampling_rate, double sigma, double alpha)
      : q_(sampling_rate), c_(1.0 / sigma), order_(alpha), log_q_(std::log(sampling_rate)) {}

  /// log of the integral, rounded up; infinity if it would take too many panels.
  double log_upper() const {
    static const std::array<Node, kNodes> nodes = gauss_legendre();
    const double widest = std::min(0.5, 0.5 / c_);  // half a panel
    // Without skipping it would take (order c + 40) / (2 widest) panels.
    const double affordable = (order_ * c_ + 40.0) / (2.0 * widest) < kLargestPanelCount
                                  ? 4.0 * kLargestPanelCount
                                  : kSkippingPanelCount;
    LogSum sum;
    // The moments of high orders have a second peak, where exp(order c v) has its own, at least 1
    // wide. Known beforehand, it tells what can be skipped on the way there.
    double largest = log_integrand(std::max(order_ - 0.5, 0.0) * c_).value - 8.0;
    double left = 0.0;
    double half = widest;
    double stride = widest;
    for (double panels = 0.0; panels < affordable;) {
      const double middle = left + half;
      const double log_half = std::log(half);
      std::array<Log, kNodes> terms;
      double peak = -kInfinity;
      for (int i = 0; i < kNodes; ++i) {
        terms[i] = log_integrand(middle + half * nodes[i].position);
        terms[i].value += nodes[i].log_weight + log_half;
        peak = std::max(peak, terms[i].value);
      }
      const double error = log_error(middle, half);
      // The peak of the terms is below their sum.
      if (!(error < peak + kRelativeError)) {
        half *= 0.5;
        ++panels;
        continue;
      }
      for (const Log& term : terms) sum.add(term.value, term.units + 16.0);
      sum.add(error, 1024.0 * (1.0 + std::abs(error)));
      largest = std::max(largest, peak);
      left += 2.0 * half;
      half = std::min(2.0 * half, widest);
      ++panels;
      // Right of here the integrand is below r^order phi, whose log falls at least by t - order c.
      const double t = left + 0.5 * c_;
      const double slope = t - order_ * c_;
      if (slope > 0.0) {
        const Log l = log_ratio(left);
        const double tail = order_ * l.value - 0.5 * t * t - kHalfLogTwoPi - std::log(slope);
        if (tail < largest - 40.0) {
          sum.add(tail, 64.0 + order_ * l.value * (l.units + 4.0) + 16.0 * t * t);
          return sum.upper();
        }
      }
      // Far from where the integrand counts, panels are bounded together: as many as possible.
      if (!(peak < largest + kLogSkipped)) continue;
      const Log skipped = log_skipped(log_integrand(left),
                                      log_slope(q_, c_, order_, left, left + stride), stride, 0.0);
      if (skipped.value < largest + kLogSkipped) {
        sum.add(skipped.value, skipped.units);
        left += stride;
        stride *= 2.0;
      } else {
        stride = std::max(widest, 0.5 * stride);
      }
    }
    return kInfinity;
  }

 private:
  /// l = log r at v >= 0; the units are relative to l.
  Log log_ratio(double v) const {
    const double s = c_ * v;
    if (s < 600.0) return {std::log1p(q_ * std::expm1(s)), 32.0 + 8.0 * s};
    const double l = log_q_ + s + std::log1p((1.0 - q_) / q_ * std::exp(-s));
    return {l, 32.0 + 8.0 * (std::abs(log_q_) + s) / l};
  }

  Log log_integrand(double v) const {
    const double t = v + 0.5 * c_;
    const Log l = log_ratio(v);
    Log log = log_two_sided_excess(l.value, l.units, order_);
    log.value += -0.5 * t * t - kHalfLogTwoPi;
    log.units += 8.0 * (1.0 + t * t);
    return log;
  }

  /// log of a bound on the error of the rule on [middle - half, middle + half]: with |f| <= M on
  /// the Bernstein ellipse rho, 64 M half / (15 (rho^2 - 1) rho^(2 n - 2)) for n nodes (Trefethen,
  /// Approximation Theory and Approximation Practice, Theorem 19.3).
  double log_error(double middle, double half) const {
    const double reach = 0.5 * half * (kEllipse + 1.0 / kEllipse);   // of the real part
    const double height = 0.5 * half * (kEllipse - 1.0 / kEllipse);  // c height < 1
    const double low = middle - reach;
    const double high = middle + reach;
    const double m = order_ - 1.0;
    // Where |u| = q |exp(c v) - 1| <= q (exp(c |v|) - 1) < 1 / 2: |log r| <= -log(1 - |u|).
    const double u = q_ * std::expm1(c_ * std::hypot(std::max(std::abs(low), high), height));
    const double log_r = u < 0.5 ? -std::log1p(-u) : kInfinity;
    // |1 - r^-m| <= 1 + |r|^-m, Re r >= 1 - q + q exp(c low) cos(c height).
    const double real = (1.0 - q_) + q_ * std::exp(c_ * low) * std::cos(c_ * height);
    const double log_down = std::min(log_one_plus_exp(-m * std::log(real)),
                                     log_r < kInfinity ? log_expm1(m * log_r) : kInfinity);
    // |r^order - 1| <= 2 R^order, R = max(1, 1 - q + q exp(c x)) at the real part x. log R is
    // convex in x, so below its chord; chord minus (x + c / 2)^2 / 2 is largest where the chord's
    // slope is x + c / 2, or at an end.
    const double at_low = order_ * std::max(log_modulus(low), 0.0);
    const double at_high = order_ * std::max(log_modulus(high), 0.0);
    const double slope = (at_high - at_low) / (high - low);
    const double x = std::clamp(slope - 0.5 * c_, low, high);
    const double t = x + 0.5 * c_;
    double log_bound = std::numbers::ln2 + at_low + slope * (x - low) - 0.5 * t * t;
    if (log_r < kInfinity) {
      const double t_low = std::max(low + 0.5 * c_, 0.0);
      log_bound = std::min(log_bound, log_expm1(order_ * log_r) - 0.5 * t_low * t_low);
    }
    // One for the roundings of these lines themselves.
    return 1.0 + log_bound + log_down + 0.5 * height * height - kHalfLogTwoPi + std::log(half) +
           std::log(64.0 / 15.0 / (kEllipse * kEllipse - 1.0)) -
           (2 * kNodes - 2) * std::log(kEllipse);
  }

  /// log(1 - q + q exp(c x)) for any real x.
  double log_modulus(double x) const {
    const double s = c_ * x;
    return s < 600.0 ? std::log1p(q_ * std::expm1(s)) : log_one_plus_exp(log_q_ + s);
  }

  double q_;
  double c_;
  double order_;
  double log_q_;
};

}  // namespace

double without_replacement_rdp(double q, double sigma, double order) {
  const double rate = std::max(q, kSmallestRate);
  const double noise = std::min(sigma, kLargestNoiseMultiplier);
  const double by_integral = divergence(Integral(rate, noise, order).log_upper(), order);
  const double unsampled = 0.5 * order / noise / noise * (1.0 + 4.0 * kUnit);
  if (by_integral < kInfinity) return std::min(by_integral, unsampled);
  // (r^order - 1) (1 - r^(1 - order)) <= r^order - 1 for r >= 1.
  const double log_moment = log_minkowski_moment(rate, noise, order);
  const double bound = log_one_plus_exp(log_moment) / (order - 1.0) * (1.0 + 4.0 * kUnit);
  return std::isnan(bound) ? unsampled : std::min(bound, unsampled);
}

}  // namespace velum::dpsgd
