#include "velum/dpsgd/accounting/epsilon_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "accounting/range_check.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

namespace velum::dpsgd {

std::vector<EpsilonPoint> epsilon_schedule(const Accountant& spent, const Mechanism& mechanism,
                                           std::int64_t steps, std::int64_t steps_per_point,
                                           double delta) {
  if (steps < 0) reject("epsilon_schedule", "steps", steps, ">= 0");
  Composition planned(spent.composition().neighbouring());
  planned.append(mechanism, steps);
  return epsilon_schedule(spent, planned, steps_per_point, delta);
}

std::vector<EpsilonPoint> epsilon_schedule(const Accountant& spent, const Composition& planned,
                                           std::int64_t steps_per_point, double delta) {
  if (steps_per_point < 1) reject("epsilon_schedule", "steps_per_point", steps_per_point, ">= 1");
  check_delta("epsilon_schedule", delta);
  const auto accountant = spent.clone();
  std::vector<EpsilonPoint> schedule;
  std::int64_t done = 0;
  const auto ask = [&] {
    const PrivacyGuarantee guarantee = accountant->guarantee(delta);
    schedule.push_back({done, guarantee.epsilon, guarantee.lower});
  };
  for (const Phase& phase : planned.phases()) {
    if (phase.count > std::numeric_limits<std::int64_t>::max() - done) {
      throw std::overflow_error("epsilon_schedule: 2^63 releases or more, expected fewer");
    }
    for (std::int64_t left = phase.count; left > 0;) {
      const std::int64_t more = std::min(steps_per_point - done % steps_per_point, left);
      accountant->compose(phase.mechanism, more, phase.label);
      done += more;
      left -= more;
      if (done % steps_per_point == 0) ask();
    }
  }
  if (done % steps_per_point != 0) ask();
  return schedule;
}

std::string to_text(const std::vector<EpsilonPoint>& schedule) {
  constexpr std::size_t kBarColumns = 48;
  double largest = 0.0;
  std::size_t steps_columns = 5;
  std::size_t epsilon_columns = 7;
  for (const EpsilonPoint& point : schedule) {
    if (std::isfinite(point.epsilon)) largest = std::max(largest, point.epsilon);
    steps_columns = std::max(steps_columns, number_text(point.steps).size());
    epsilon_columns = std::max(epsilon_columns, epsilon_text(point.epsilon).size());
  }
  const auto padded = [](const std::string& text, std::size_t columns) {
    return std::string(columns - text.size(), ' ') + text;
  };
  std::string out = padded("steps", steps_columns) + "  " + padded("epsilon", epsilon_columns);
  out += '\n';
  for (const EpsilonPoint& point : schedule) {
    out += padded(number_text(point.steps), steps_columns) + "  " +
           padded(epsilon_text(point.epsilon), epsilon_columns);
    const double part = !std::isfinite(point.epsilon) ? 1.0
                        : largest > 0.0               ? point.epsilon / largest
                                                      : 0.0;
    const auto bar = static_cast<std::size_t>(std::lround(part * kBarColumns));
    if (bar > 0) out += "  " + std::string(bar, '#');
    out += '\n';
  }
  return out;
}

}  // namespace velum::dpsgd
