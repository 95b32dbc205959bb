#pragma once

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace velum::testing {

/// Nodes and weights of Gauss and Legendre's rule on [-1, 1], by Newton's method.
inline std::vector<std::pair<long double, long double>> gauss_legendre(int n) {
  std::vector<std::pair<long double, long double>> rule;
  for (int i = 0; i < n; ++i) {
    long double x = std::cos(std::numbers::pi_v<long double> * (i + 0.75L) / (n + 0.5L));
    long double slope = 0.0L;
    for (int iteration = 0; iteration < 100; ++iteration) {
      long double before = 1.0L, value = x;
      for (int k = 2; k <= n; ++k) {
        before = std::exchange(value, ((2 * k - 1) * x * value - (k - 1) * before) / k);
      }
      slope = n * (x * value - before) / (x * x - 1.0L);
      const long double change = value / slope;
      x -= change;
      if (std::abs(change) < 1e-18L) break;
    }
    rule.emplace_back(x, 2.0L / ((1.0L - x * x) * slope * slope));
  }
  return rule;
}

/// E[r(x)^power], r = 1 - q + q exp((2 x - 1) / (2 sigma^2)), x ~ N(0, sigma^2), by composite
/// Gauss-Legendre quadrature in long double. r is the density of "the example may be in" over "it
/// is out", so Renyi divergences of order alpha are log(E[r^alpha]) / (alpha - 1) in one direction
/// and log(E[r^(1 - alpha)]) / (alpha - 1) in the other.
inline long double likelihood_ratio_moment(double q, double sigma, double power) {
  static const auto rule = gauss_legendre(24);
  const long double c = 1.0L / sigma;
  const long double low = -14.0L + (power < 0.0 ? power * c : 0.0L);
  const long double high = 14.0L + (power > 0.0 ? power * c : 0.0L);
  const int panels = static_cast<int>((high - low) / std::min(0.5L, 0.5L / c)) + 1;
  const long double half = 0.5L * (high - low) / panels;
  long double sum = 0.0L;
  for (int panel = 0; panel < panels; ++panel) {
    const long double middle = low + (2 * panel + 1) * half;
    for (const auto& [node, weight] : rule) {
      const long double t = middle + half * node;
      const long double r = (1.0L - q) + q * std::exp(c * t - 0.5L * c * c);
      sum += weight * std::exp(power * std::log(r) - 0.5L * t * t);
    }
  }
  return half * sum / std::sqrt(2.0L * std::numbers::pi_v<long double>);
}

}  // namespace velum::testing
