#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {

struct EpsilonPoint {
  std::int64_t steps;  ///< of what is planned, from its start
  double epsilon;
  /// Proved lower bound, where the accountant has one.
  std::optional<double> lower = std::nullopt;
};

/// Epsilon at `delta` in the course of a planned run: after every `steps_per_point` steps, and
/// after the last. `spent` holds what the data has already paid; it is not changed.
/// @throws std::invalid_argument if steps < 0, steps_per_point < 1, or the accountant refuses the
///         mechanism or delta.
std::vector<EpsilonPoint> epsilon_schedule(const Accountant& spent, const Mechanism& mechanism,
                                           std::int64_t steps, std::int64_t steps_per_point,
                                           double delta);

/// The same for several mechanisms one after the other: after every `steps_per_point` releases,
/// counted through all phases, and after the last.
/// @throws std::invalid_argument if steps_per_point < 1, or the accountant refuses a mechanism or
///         delta; std::overflow_error if there are 2^63 releases or more.
std::vector<EpsilonPoint> epsilon_schedule(const Accountant& spent, const Composition& planned,
                                           std::int64_t steps_per_point, double delta);

/// The schedule, a line a point (80 columns while epsilon < 1e6), with a bar that is full at the
/// largest finite epsilon. Epsilon has four decimals, rounded up.
std::string to_text(const std::vector<EpsilonPoint>& schedule);

}  // namespace velum::dpsgd
