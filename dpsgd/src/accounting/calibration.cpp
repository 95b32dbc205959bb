#include "velum/dpsgd/accounting/calibration.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "accounting/range_check.h"
#include "velum/dpsgd/accounting/gaussian_dp.h"

namespace velum::dpsgd {
namespace {

constexpr double kLargestNoiseMultiplier = 1e12;

void check_budget(const char* function, double epsilon, double delta) {
  if (!(epsilon > 0.0 && std::isfinite(epsilon))) {
    reject(function, "epsilon", epsilon, "finite and > 0");
  }
  check_delta(function, delta);
}

}  // namespace

double calibrate_noise_multiplier(const Accountant& spent, double epsilon, double delta,
                                  double sampling_rate, std::int64_t steps, double tolerance) {
  constexpr char kFunction[] = "calibrate_noise_multiplier";
  check_budget(kFunction, epsilon, delta);
  if (!(sampling_rate >= 0.0 && sampling_rate <= 1.0)) {
    reject(kFunction, "sampling_rate", sampling_rate, "in [0, 1]");
  }
  if (steps < 0) reject(kFunction, "steps", steps, ">= 0");
  if (!(tolerance > 0.0 && tolerance < 1.0))
    reject(kFunction, "tolerance", tolerance, "> 0 and < 1");
  const double already = spent.epsilon(delta);
  if (already > epsilon) reject(kFunction, "spent epsilon", already, "<= " + number_text(epsilon));
  if (steps == 0 || sampling_rate == 0.0) return 0.0;

  const auto affordable = [&](double noise_multiplier) {
    const auto planned = spent.clone();
    if (sampling_rate == 1.0) {
      planned->compose(GaussianMechanism{noise_multiplier}, steps);
    } else {
      planned->compose(PoissonSampledGaussianMechanism{sampling_rate, noise_multiplier}, steps);
    }
    return planned->epsilon(delta) <= epsilon;
  };
  double high = 1.0;
  double low = 1.0;
  if (affordable(high)) {
    do {
      high = low;
      low *= 0.5;
    } while (affordable(low));
  } else {
    do {
      low = high;
      high *= 2.0;
      if (high > kLargestNoiseMultiplier) {
        reject(kFunction, "spent epsilon", already,
               "< " + number_text(epsilon) + " by enough for " + number_text(steps) + " steps");
      }
    } while (!affordable(high));
  }
  while (high - low > tolerance * high) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (affordable(middle) ? high : low) = middle;
  }
  return high;
}

double calibrate_noise_multiplier(double epsilon, double delta, double sampling_rate,
                                  std::int64_t steps, double tolerance) {
  return calibrate_noise_multiplier(RdpAccountant(), epsilon, delta, sampling_rate, steps,
                                    tolerance);
}

std::vector<double> calibrate_gaussian_releases(double epsilon, double delta,
                                                const std::vector<PlannedRelease>& releases) {
  constexpr char kFunction[] = "calibrate_gaussian_releases";
  check_budget(kFunction, epsilon, delta);
  double taken = 0.0;  // sum of squared shares
  bool one_is_open = false;
  for (const PlannedRelease& release : releases) {
    if (release.count < 1) reject(kFunction, "count", release.count, ">= 1");
    if (!release.share) {
      if (one_is_open) {
        throw std::invalid_argument(
            "calibrate_gaussian_releases: two releases without share, expected at most one");
      }
      one_is_open = true;
    } else if (!(*release.share > 0.0 && *release.share <= 1.0)) {
      reject(kFunction, "share", *release.share, "> 0 and <= 1");
    } else {
      taken += *release.share * *release.share;
    }
  }
  // Shares such as 0.6 and 0.8 may sum to a little more than 1 in floating point.
  if (taken > 1.0 + 1e-12 || (one_is_open && taken > 1.0 - 1e-12)) {
    reject(kFunction, "sum of squared shares", taken, one_is_open ? "< 1" : "<= 1");
  }
  const double mu = gaussian_mu(epsilon, delta);
  // Scaling all multipliers by the same hair keeps the proportions; the loop ends because epsilon
  // falls continuously.
  for (double scale = 1.0;; scale *= 1.0 + 0x1p-50) {
    std::vector<double> multipliers;
    RdpAccountant accountant;
    for (const PlannedRelease& release : releases) {
      const double share = release.share ? *release.share : std::sqrt(1.0 - taken);
      const double sigma = scale * std::sqrt(static_cast<double>(release.count)) / (share * mu);
      multipliers.push_back(sigma);
      accountant.compose(GaussianMechanism{sigma}, release.count, release.label);
    }
    if (accountant.epsilon(delta) <= epsilon) return multipliers;
  }
}

}  // namespace velum::dpsgd
