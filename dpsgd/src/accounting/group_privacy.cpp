#include "velum/dpsgd/accounting/group_privacy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "accounting/range_check.h"

namespace velum::dpsgd {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_size(const char* function, std::int64_t group_size) {
  // Up to 2^53 every size is a double.
  if (group_size < 1 || group_size > (std::int64_t{1} << 53)) {
    reject(function, "group_size", group_size, ">= 1 and <= 2^53");
  }
}

/// value / group_size, rounded down.
double divided(double value, std::int64_t group_size) {
  if (group_size == 1 || value == 0.0) return value;
  return std::nextafter(value / static_cast<double>(group_size), 0.0);
}

/// log of (exp(size epsilon) - 1) / (exp(epsilon) - 1), rounded up.
double log_chain(double epsilon, double size) {
  if (size == 1.0) return 0.0;
  if (epsilon == 0.0) return std::log(size) * (1.0 + 0x1p-50);
  // exp((size - 1) epsilon) (1 - exp(-size epsilon)) / (1 - exp(-epsilon))
  const double exponent = (size - 1.0) * epsilon;
  const double ratio = std::log(-std::expm1(-size * epsilon)) - std::log(-std::expm1(-epsilon));
  return exponent + ratio + 0x1p-49 * (1.0 + exponent + std::abs(std::log(epsilon)) + ratio);
}

}  // namespace

PrivacyGuarantee group_guarantee(const PrivacyGuarantee& one, std::int64_t group_size) {
  constexpr char kFunction[] = "group_guarantee";
  check_size(kFunction, group_size);
  if (!(one.epsilon >= 0.0)) reject(kFunction, "epsilon", one.epsilon, ">= 0");
  if (!(one.delta >= 0.0 && one.delta <= 1.0)) reject(kFunction, "delta", one.delta, "in [0, 1]");
  PrivacyGuarantee group = one;
  group.lower.reset();
  if (group_size == 1) return group;
  const auto size = static_cast<double>(group_size);
  group.epsilon = one.epsilon == 0.0 ? 0.0 : std::nextafter(size * one.epsilon, kInfinity);
  if (one.delta > 0.0) {
    const double log_delta = std::log(one.delta) + log_chain(one.epsilon, size);
    group.delta =
        log_delta < 0.0
            ? std::min(1.0,
                       std::nextafter(std::exp(log_delta) *
                                          (1.0 + 0x1p-49 * (1.0 - log_delta - std::log(one.delta))),
                                      1.0))
            : 1.0;
  }
  group.method += "; " + number_text(group_size) + " examples by group privacy";
  return group;
}

PrivacyGuarantee group_guarantee(const Accountant& one, std::int64_t group_size, double delta) {
  constexpr char kFunction[] = "group_guarantee";
  check_size(kFunction, group_size);
  check_delta(kFunction, delta);
  if (group_size == 1) return one.guarantee(delta);
  // A smaller delta for one costs a larger epsilon, and that a larger factor on delta: the largest
  // delta that fits is the best. Bisection in its logarithm; the end that fits is returned.
  const auto at = [&](double log_delta) {
    return group_guarantee(one.guarantee(std::exp(log_delta)), group_size);
  };
  double too_large = std::log(delta);
  double fits = too_large;
  PrivacyGuarantee best{kInfinity, delta, "none", std::nullopt};
  constexpr double kSmallest = -690.0;  // delta 1e-300
  for (double step = 1.0; fits > kSmallest; step *= 2.0) {
    fits = std::max(kSmallest, fits - step);
    const PrivacyGuarantee group = at(fits);
    if (group.delta <= delta && std::isfinite(group.epsilon)) {
      best = group;
      break;
    }
    too_large = fits;
  }
  if (!std::isfinite(best.epsilon)) return best;
  for (int i = 0; i < 40 && too_large - fits > 1e-9; ++i) {
    const double middle = 0.5 * (fits + too_large);
    PrivacyGuarantee group = at(middle);
    if (group.delta <= delta) {
      fits = middle;
      if (group.epsilon <= best.epsilon) best = std::move(group);
    } else {
      too_large = middle;
    }
  }
  best.delta = delta;
  return best;
}

PrivacyGuarantee group_guarantee(const Accountant& empty, const Composition& releases,
                                 std::int64_t group_size, double delta) {
  constexpr char kFunction[] = "group_guarantee";
  check_size(kFunction, group_size);
  check_delta(kFunction, delta);
  if (!empty.composition().empty()) {
    reject(kFunction, "empty.composition().total_count()", empty.composition().total_count(), "0");
  }
  const auto one = empty.clone();
  one->compose(releases);
  PrivacyGuarantee smallest = group_guarantee(*one, group_size, delta);
  smallest.lower.reset();
  const bool all =
      std::all_of(releases.phases().begin(), releases.phases().end(),
                  [](const Phase& phase) { return has_group_mechanism(phase.mechanism); });
  if (group_size == 1 || !all) return smallest;
  const auto group = empty.clone();
  try {
    group->compose(group_composition(releases, group_size));
  } catch (const std::invalid_argument&) {
    return smallest;  // such as noise below what the accountant covers: the chain holds
  }
  PrivacyGuarantee whole = group->guarantee(delta);
  if (!(whole.epsilon < smallest.epsilon)) return smallest;
  whole.lower.reset();
  whole.method += "; " + number_text(group_size) + " examples as one contribution";
  return whole;
}

bool has_group_mechanism(const Mechanism& mechanism) {
  return std::holds_alternative<GaussianMechanism>(mechanism) ||
         std::holds_alternative<PoissonSampledGaussianMechanism>(mechanism) ||
         std::holds_alternative<LaplaceMechanism>(mechanism) ||
         std::holds_alternative<DiscreteGaussianMechanism>(mechanism) ||
         std::holds_alternative<ZeroConcentratedMechanism>(mechanism);
}

Mechanism group_mechanism(const Mechanism& mechanism, std::int64_t group_size) {
  constexpr char kFunction[] = "group_mechanism";
  check_size(kFunction, group_size);
  validate(mechanism, kFunction);
  if (group_size == 1) return mechanism;
  const auto size = static_cast<double>(group_size);
  return std::visit(
      Overloaded{
          [&](const GaussianMechanism& m) -> Mechanism {
            return GaussianMechanism{divided(m.noise_multiplier, group_size)};
          },
          [&](const PoissonSampledGaussianMechanism& m) -> Mechanism {
            const double q = m.sampling_rate;
            const double any =
                q == 0.0 ? 0.0
                         : std::min(1.0, -std::expm1(size * std::log1p(-q)) * (1.0 + 0x1p-48));
            return PoissonSampledGaussianMechanism{any, divided(m.noise_multiplier, group_size)};
          },
          [&](const LaplaceMechanism& m) -> Mechanism {
            return LaplaceMechanism{divided(m.noise_multiplier, group_size)};
          },
          [&](const DiscreteGaussianMechanism& m) -> Mechanism {
            if (m.sensitivity > std::numeric_limits<std::int64_t>::max() / group_size) {
              reject(kFunction, "group_size", group_size, "a product with the sensitivity < 2^63");
            }
            return DiscreteGaussianMechanism{m.standard_deviation, m.sensitivity * group_size};
          },
          [&](const ZeroConcentratedMechanism& m) -> Mechanism {
            return ZeroConcentratedMechanism{m.rho * size * size * (1.0 + 0x1p-50)};
          },
          [&](const auto& m) -> Mechanism {
            throw std::invalid_argument(
                std::string(kFunction) + ": " + describe(m) +
                ": no mechanism for a group is known; group_guarantee covers every mechanism");
          }},
      mechanism);
}

Composition group_composition(const Composition& composition, std::int64_t group_size) {
  Composition group(composition.neighbouring());
  for (const Phase& phase : composition.phases()) {
    group.append(group_mechanism(phase.mechanism, group_size), phase.count, phase.label);
  }
  return group;
}

}  // namespace velum::dpsgd
