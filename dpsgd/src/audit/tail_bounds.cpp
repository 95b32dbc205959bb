#include "audit/tail_bounds.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

namespace velum::dpsgd::detail {
namespace {

double rounded_up(double probability, double error = kTailError) {
  // A function that underflows is worth less than the smallest normal double.
  return std::min(1.0, probability * (1.0 + error) + 0x1p-1022);
}

double error_of_binomial(std::int64_t trials) {
  return kTailError + kTailErrorPerTrial * static_cast<double>(trials);
}

}  // namespace

double binomial_upper_tail(std::int64_t trials, double probability, std::int64_t count) {
  if (count <= 0) return 1.0;
  if (count > trials || probability <= 0.0) return 0.0;
  if (probability >= 1.0) return 1.0;
  const auto k = static_cast<double>(count);
  return rounded_up(boost::math::ibeta(k, static_cast<double>(trials - count) + 1.0, probability),
                    error_of_binomial(trials));
}

double binomial_lower_tail(std::int64_t trials, double probability, std::int64_t count) {
  if (count >= trials) return 1.0;
  if (count < 0 || probability >= 1.0) return 0.0;
  if (probability <= 0.0) return 1.0;
  const auto k = static_cast<double>(count);
  return rounded_up(boost::math::ibetac(k + 1.0, static_cast<double>(trials) - k, probability),
                    error_of_binomial(trials));
}

double binomial_p_value(std::int64_t trials, double probability, std::int64_t count) {
  return std::min(1.0, 2.0 * std::min(binomial_lower_tail(trials, probability, count),
                                      binomial_upper_tail(trials, probability, count)));
}

double chi_squared_p_value(double degrees, double value) {
  if (!(value >= 0.0)) return 0.0;
  if (std::isinf(value)) return 0.0;
  const double below = boost::math::gamma_p(degrees / 2.0, value / 2.0);
  const double above = boost::math::gamma_q(degrees / 2.0, value / 2.0);
  return std::min(1.0, 2.0 * rounded_up(std::min(below, above)));
}

double inner_product_p_value(std::int64_t count, double value) {
  const auto n = static_cast<double>(count);
  const double t = std::abs(value);
  if (!std::isfinite(t)) return 0.0;
  if (t == 0.0 || count == 0) return 1.0;
  // The best s solves n s = t (1 - s^2); any s in (0, 1) gives a bound.
  const double s = 2.0 * t / (n + std::hypot(n, 2.0 * t));
  return rounded_up(std::min(1.0, 2.0 * std::exp(-s * t - 0.5 * n * std::log1p(-s * s))));
}

double empirical_distribution_p_value(std::int64_t count, double distance) {
  if (!std::isfinite(distance)) return 0.0;
  return rounded_up(
      std::min(1.0, 2.0 * std::exp(-2.0 * static_cast<double>(count) * distance * distance)));
}

}  // namespace velum::dpsgd::detail
