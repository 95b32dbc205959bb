#include "velum/dpsgd/accounting/rdp_to_dp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accounting/range_check.h"

namespace velum::dpsgd {
namespace {

constexpr double kUnit = 0x1p-53;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check(const char* function, const std::vector<double>& orders,
           const std::vector<double>& rdps) {
  if (orders.size() != rdps.size()) {
    reject(function, "rdps.size()", static_cast<std::int64_t>(rdps.size()),
           "orders.size() = " + std::to_string(orders.size()));
  }
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (!(orders[i] > 1.0 && std::isfinite(orders[i]))) {
      reject(function, "order", orders[i], "finite and > 1");
    }
    if (!(rdps[i] >= 0.0)) reject(function, "rdp", rdps[i], ">= 0");
  }
}

/// sqrt(1 - exp(-rdp)), rounded up: bounds the total variation distance.
double total_variation(double rdp) { return std::sqrt(-std::expm1(-rdp)) * (1.0 + 16.0 * kUnit); }

}  // namespace

RdpConversion rdp_to_epsilon(const std::vector<double>& orders, const std::vector<double>& rdps,
                             double delta) {
  check("rdp_to_epsilon", orders, rdps);
  check_delta("rdp_to_epsilon", delta);
  const double log_delta = std::log(delta);
  RdpConversion best{kInfinity, std::nullopt};
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const double order = orders[i];
    const double rdp = rdps[i];
    if (rdp == kInfinity) continue;
    if (total_variation(rdp) <= delta) return {0.0, std::nullopt};
    const double shift = std::log1p(-1.0 / order);
    const double log_order = std::log(order);
    double epsilon = rdp + shift - (log_delta + log_order) / (order - 1.0);
    epsilon +=
        8.0 * kUnit * (rdp + (1.0 - log_delta + log_order) / (order - 1.0) + 1.0 / (order - 1.0));
    if (epsilon < best.value) best = {epsilon, order};
  }
  if (best.value <= 0.0) return {0.0, std::nullopt};
  return best;
}

RdpConversion rdp_to_delta(const std::vector<double>& orders, const std::vector<double>& rdps,
                           double epsilon) {
  check("rdp_to_delta", orders, rdps);
  if (!(epsilon >= 0.0 && std::isfinite(epsilon))) {
    reject("rdp_to_delta", "epsilon", epsilon, "finite and >= 0");
  }
  RdpConversion best{1.0, std::nullopt};
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const double order = orders[i];
    const double rdp = rdps[i];
    if (rdp == kInfinity) continue;
    const double m = order - 1.0;
    double log_delta = m * (rdp - epsilon + std::log1p(-1.0 / order)) - std::log(order);
    log_delta += 8.0 * kUnit * (m * (rdp + epsilon) + 2.0 + std::log(order));
    double delta = total_variation(rdp);
    if (log_delta < 0.0) {
      delta = std::min(delta, std::nextafter(std::exp(log_delta) * (1.0 + 8.0 * kUnit), 1.0));
    }
    if (delta < best.value) best = {delta, order};
  }
  return best;
}

}  // namespace velum::dpsgd
