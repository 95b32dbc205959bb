#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {

struct EpsilonPoint {
  std::int64_t steps;  ///< of the planned mechanism, from its start
  double epsilon;
};

/// Epsilon at `delta` in the course of a planned run: after every `steps_per_point` steps, and
/// after the last. `spent` holds what the data has already paid; it is not changed.
/// @throws std::invalid_argument if steps < 0, steps_per_point < 1, or the accountant refuses the
///         mechanism or delta.
std::vector<EpsilonPoint> epsilon_schedule(const Accountant& spent, const Mechanism& mechanism,
                                           std::int64_t steps, std::int64_t steps_per_point,
                                           double delta);

/// The schedule, a line a point (80 columns while epsilon < 1e6), with a bar that is full at the
/// largest finite epsilon. Epsilon has four decimals, rounded up.
std::string to_text(const std::vector<EpsilonPoint>& schedule);

}  // namespace velum::dpsgd
