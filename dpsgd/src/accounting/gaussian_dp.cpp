#include "velum/dpsgd/accounting/gaussian_dp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "accounting/range_check.h"

namespace velum::dpsgd {
namespace {

constexpr double kUnit = 0x1p-53;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kHalfLogTwoPi = 0.91893853320467274178;

struct Mills {
  double ratio;  // R(x) = Q(x) / phi(x), Q the upper normal tail
  double slope;  // -R'(x) = 1 - x R(x)
};

/// For x >= -3, within about 100 units of 2^-53.
Mills mills(double x) {
  if (x >= 3.0) {
    // R = 1 / (x + K), K = 1 / (x + 2 / (x + 3 / ...)). Eighty levels are exact to 1e-19 at x = 3.
    double k = 0.0;
    for (int level = 80; level > 0; --level) k = level / (x + k);
    return {1.0 / (x + k), k / (x + k)};
  }
  const double ratio = std::sqrt(0.5 * std::numbers::pi) * std::erfc(x / std::numbers::sqrt2) *
                       std::exp(0.5 * x * x);
  return {ratio, 1.0 - x * ratio};
}

/// Integral of -R' over [a, a + width], width <= 1: Gauss and Legendre's rule with ten points,
/// whose error here is below 1e-20 (the 20th derivative of -R' is at most 1e10 for x >= -1/2).
double mills_difference(double a, double width) {
  constexpr double kNodes[] = {0.14887433898163121088, 0.4333953941292471908,
                               0.67940956829902440623, 0.86506336668898451073,
                               0.97390652851717172008};
  constexpr double kWeights[] = {0.29552422471475287017, 0.26926671930999635509,
                                 0.219086362515982044, 0.14945134915058059315,
                                 0.066671344308688137594};
  double sum = 0.0;
  for (int i = 0; i < 5; ++i) {
    sum += kWeights[i] * (mills(a + 0.5 * width * (1.0 - kNodes[i])).slope +
                          mills(a + 0.5 * width * (1.0 + kNodes[i])).slope);
  }
  return 0.5 * width * sum;
}

/// log of delta, rounded up, for 0 < mu < infinity and finite epsilon >= 0.
///
/// With a = epsilon / mu - mu / 2 and b = a + mu, exp(epsilon) phi(b) = phi(a), so
///   delta = Q(a) - exp(epsilon) Q(b) = phi(a) (R(a) - R(b)).
double log_delta_upper(double mu, double epsilon) {
  const double a = epsilon / mu - 0.5 * mu;
  const double b = epsilon / mu + 0.5 * mu;
  double log_delta;
  double amplification = 1.0;
  if (mu <= 1.0) {
    log_delta = -0.5 * a * a - kHalfLogTwoPi + std::log(mills_difference(a, mu));
  } else if (a < 0.0) {
    const double far = std::exp(-0.5 * a * a - kHalfLogTwoPi) * mills(b).ratio;
    log_delta = std::log(0.5 * std::erfc(a / std::numbers::sqrt2) - far);
  } else {
    const double near = mills(a).ratio;
    const double difference = near - mills(b).ratio;
    amplification = near / difference;
    log_delta = -0.5 * a * a - kHalfLogTwoPi + std::log(difference);
  }
  // a and b are off by a unit of b, which moves the log by |a| or less times that.
  const double units =
      256.0 + 128.0 * amplification + 8.0 * (1.0 + std::abs(a)) * b + 2.0 * std::abs(log_delta);
  return log_delta + units * kUnit;
}

/// log(delta), rounded down.
double log_lower(double delta) {
  const double log_delta = std::log(delta);
  return log_delta - 4.0 * kUnit * std::abs(log_delta);
}

void check_mu(const char* function, double mu) {
  if (!(mu >= 0.0)) reject(function, "mu", mu, ">= 0");
}

}  // namespace

double gaussian_delta(double mu, double epsilon) {
  check_mu("gaussian_delta", mu);
  if (!(epsilon >= 0.0)) reject("gaussian_delta", "epsilon", epsilon, ">= 0");
  if (mu == 0.0) return 0.0;
  if (mu == kInfinity) return 1.0;
  constexpr double kSmallest = std::numeric_limits<double>::denorm_min();
  if (epsilon == kInfinity) return 0.0;
  if (epsilon / mu - 0.5 * mu > 1e3) return kSmallest;  // below exp(-5e5), and a * a stays finite
  const double log_delta = log_delta_upper(mu, epsilon);
  if (!(log_delta < 0.0)) return 1.0;
  return std::min(1.0, std::nextafter(std::exp(log_delta) * (1.0 + 4.0 * kUnit), kInfinity));
}

double gaussian_epsilon(double mu, double delta) {
  check_mu("gaussian_epsilon", mu);
  check_delta("gaussian_epsilon", delta);
  if (mu == 0.0) return 0.0;
  const double target = log_lower(delta);
  // delta <= Q(a) <= exp(-a^2 / 2) gives an upper end.
  double high = 1.01 * mu * (0.5 * mu + std::sqrt(-2.0 * target));
  if (!std::isfinite(high)) return kInfinity;
  if (log_delta_upper(mu, 0.0) <= target) return 0.0;
  while (!(log_delta_upper(mu, high) <= target)) {
    high *= 2.0;
    if (!std::isfinite(high)) return kInfinity;
  }
  double low = 0.0;
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (log_delta_upper(mu, middle) <= target ? high : low) = middle;
  }
  return high;
}

double gaussian_mu(double epsilon, double delta) {
  if (!(epsilon >= 0.0 && std::isfinite(epsilon))) {
    reject("gaussian_mu", "epsilon", epsilon, "finite and >= 0");
  }
  check_delta("gaussian_mu", delta);
  const double target = log_lower(delta);
  const auto affordable = [&](double mu) {
    return std::isfinite(epsilon / mu) && log_delta_upper(mu, epsilon) <= target;
  };
  double high = 1.0;
  while (affordable(high)) high *= 2.0;
  double low = high;
  while (!affordable(low)) {
    high = low;
    low *= 0.5;
    if (low < 1e-300) return 0.0;
  }
  for (int i = 0; i < 200; ++i) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (affordable(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace velum::dpsgd
