#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {

/// Smallest noise multiplier, up to `tolerance` (relative), at which `steps` releases with Poisson
/// sampling rate `sampling_rate` (1: no sampling), after all that `spent` has composed, stay within
/// (epsilon, delta).
///
/// Guarantee: with the result composed, `spent`'s epsilon at delta is <= epsilon. Found by
/// bisection; the end that satisfies the budget is returned, and what is returned was evaluated.
///
/// No step or a sampling rate of 0 costs nothing: the result is 0.
///
/// @param spent      the accountant to calibrate with, holding what the data has already paid.
///                   Not changed.
/// @param epsilon    finite and > 0.
/// @param delta      in (0, 1).
/// @param tolerance  relative, in (0, 1).
/// @throws std::invalid_argument if a value is out of range or `spent` alone leaves no budget.
double calibrate_noise_multiplier(const Accountant& spent, double epsilon, double delta,
                                  double sampling_rate, std::int64_t steps,
                                  double tolerance = 1e-6);

/// The same with an empty `RdpAccountant`, add-or-remove-one.
double calibrate_noise_multiplier(double epsilon, double delta, double sampling_rate,
                                  std::int64_t steps, double tolerance = 1e-6);

/// Some of several unsampled Gaussian releases that share one budget.
struct PlannedRelease {
  std::string label;
  std::int64_t count;  ///< >= 1
  /// Part of the budget's mu that all `count` together take, in (0, 1]; the squares of all parts
  /// sum to at most 1. One release may leave it open and gets what the others leave.
  std::optional<double> share;
};

/// Noise multipliers, one per release: sqrt(count) / (share mu), mu = `gaussian_mu(epsilon,
/// delta)`, rounded up so that the exact epsilon of the whole is <= epsilon.
///
/// Example: {{"private mean", 1, 0.12}, {"training", 60, std::nullopt}} at (3, 1e-5).
///
/// @throws std::invalid_argument if a value is out of range, the shares exceed the budget, leave
///         nothing for the open one, or two are open.
std::vector<double> calibrate_gaussian_releases(double epsilon, double delta,
                                                const std::vector<PlannedRelease>& releases);

}  // namespace velum::dpsgd
