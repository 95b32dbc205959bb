#include "velum/dpsgd/accounting/distributed_noise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "accounting/range_check.h"
#include "accounting/rdp_bounds.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kLargestCount = std::int64_t{1} << 53;

void check_count(const char* function, const char* name, std::int64_t count) {
  if (count < 1 || count > kLargestCount) reject(function, name, count, "1 to 2^53");
}

void check_positive(const char* function, const char* name, double value) {
  if (!(value > 0.0 && std::isfinite(value))) reject(function, name, value, "finite and > 0");
}

void check_sensitivity(const char* function, const IntegerSensitivity& sensitivity) {
  check_positive(function, "sensitivity.l1", sensitivity.l1);
  if (!(sensitivity.l2 > 0.0 && sensitivity.l2 <= sensitivity.l1)) {
    reject(function, "sensitivity.l2", sensitivity.l2,
           "> 0 and <= sensitivity.l1 = " + number_text(sensitivity.l1));
  }
}

double rounded_up(double value) { return std::nextafter(value * (1.0 + 8.0 * kUnit), kInfinity); }

}  // namespace

IntegerSensitivity integer_sensitivity(std::int64_t squared_norm_limit, std::int64_t dimension,
                                       Neighbouring neighbouring) {
  constexpr char kFunction[] = "integer_sensitivity";
  if (squared_norm_limit < 1 || squared_norm_limit > std::int64_t{1} << 62) {
    reject(kFunction, "squared_norm_limit", squared_norm_limit, "1 to 2^62");
  }
  check_count(kFunction, "dimension", dimension);
  const double squared = rounded_up(static_cast<double>(squared_norm_limit));
  const double l2 = rounded_up(std::sqrt(squared));
  const double l1 = std::min(rounded_up(std::sqrt(static_cast<double>(dimension)) * l2), squared);
  const double vectors = neighbouring == Neighbouring::kReplaceOne ? 2.0 : 1.0;
  return {vectors * std::max(l1, l2), vectors * l2};  // l1 < l2 only by rounding
}

double discrete_gaussian_sum_tau(double share_variance, std::int64_t shares) {
  constexpr char kFunction[] = "discrete_gaussian_sum_tau";
  check_positive(kFunction, "share_variance", share_variance);
  check_count(kFunction, "shares", shares);
  const double scale = 2.0 * std::numbers::pi * std::numbers::pi * share_variance;
  const auto term = [&](double k) {
    const double exponent = scale * (k / (k + 1.0));
    return std::exp(-exponent) * (1.0 + (16.0 + 16.0 * exponent) * kUnit);
  };
  constexpr std::int64_t kSummed = 4096;  // terms fall: the rest is at most the next one each
  const std::int64_t summed = std::min(shares - 1, kSummed);
  double sum = 0.0;
  for (std::int64_t k = 1; k <= summed; ++k) sum += term(static_cast<double>(k));
  if (shares - 1 > summed) {
    sum += static_cast<double>(shares - 1 - summed) * term(static_cast<double>(summed + 1));
  }
  return shares == 1 ? 0.0
                     : std::nextafter(10.0 * sum * (1.0 + (16.0 + kSummed) * kUnit), kInfinity);
}

ZeroConcentratedMechanism distributed_discrete_gaussian(double share_variance,
                                                        std::int64_t honest_clients,
                                                        std::int64_t dimension,
                                                        const IntegerSensitivity& sensitivity) {
  constexpr char kFunction[] = "distributed_discrete_gaussian";
  check_positive(kFunction, "share_variance", share_variance);
  check_count(kFunction, "honest_clients", honest_clients);
  check_count(kFunction, "dimension", dimension);
  check_sensitivity(kFunction, sensitivity);
  if (honest_clients > 1 && share_variance < 0.25) {
    reject(kFunction, "share_variance", share_variance,
           ">= 0.25 for more than one client: use more noise, or a smaller granularity of the "
           "integers");
  }
  const double tau = discrete_gaussian_sum_tau(share_variance, honest_clients);
  const auto d = static_cast<double>(dimension);
  const double deviation =
      std::sqrt(share_variance * static_cast<double>(honest_clients)) * (1.0 - 8.0 * kUnit);
  const double l1 = sensitivity.l1 / deviation;
  const double l2 = sensitivity.l2 / deviation;
  const double shifted = l2 + tau * std::sqrt(d);
  const double rho =
      std::min({0.5 * l2 * l2 + tau * d, 0.5 * (l2 * l2 + 2.0 * l1 * tau + tau * tau * d),
                0.5 * shifted * shifted});
  // Every factor and term is positive and off by a few units.
  return {std::nextafter(rho * (1.0 + 64.0 * kUnit), kInfinity)};
}

SkellamMechanism distributed_skellam(double share_variance, std::int64_t honest_clients,
                                     const IntegerSensitivity& sensitivity) {
  constexpr char kFunction[] = "distributed_skellam";
  check_positive(kFunction, "share_variance", share_variance);
  check_count(kFunction, "honest_clients", honest_clients);
  check_sensitivity(kFunction, sensitivity);
  const double variance = share_variance * static_cast<double>(honest_clients);
  if (!std::isfinite(variance)) {
    reject(kFunction, "share_variance", share_variance, "a finite variance of the sum");
  }
  return {honest_clients == 1 ? variance : std::nextafter(variance, 0.0), sensitivity.l1,
          sensitivity.l2};
}

std::string honest_clients_condition(std::int64_t honest_clients) {
  check_count("honest_clients_condition", "honest_clients", honest_clients);
  return "at least " + number_text(honest_clients) +
         (honest_clients == 1 ? " client draws its" : " clients draw their") +
         " share of the noise as stated, at random and in secret, and " +
         (honest_clients == 1 ? "is" : "are") + " in the sum";
}

}  // namespace velum::dpsgd
