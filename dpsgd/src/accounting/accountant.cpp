#include "velum/dpsgd/accounting/accountant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "accounting/range_check.h"
#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace velum::dpsgd {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr char kNothingMethod[] = "no release depended on the data";
constexpr char kExactMethod[] = "exact composition of Gaussian mechanisms";
constexpr char kUnsampledMethod[] = "exact composition of the Gaussian mechanisms without sampling";
constexpr char kRdpMethod[] =
    "Renyi differential privacy, converted by Proposition 12 of arXiv 2004.00010";
constexpr char kPureMethod[] = "sum of the epsilons of pure mechanisms";

double round_up(double value) { return std::nextafter(value, kInfinity); }

/// left + right and left * right of values >= 0, rounded up, where 0 stays exact.
double sum_up(double left, double right) {
  if (left == 0.0 || right == 0.0) return left + right;
  return round_up(left + right);
}
double product_up(std::int64_t count, double value) {
  return value == 0.0 ? 0.0 : round_up(static_cast<double>(count) * value * (1.0 + 0x1p-52));
}

/// Noise multiplier of a Gaussian, sampled or not.
std::optional<double> gaussian_noise(const Mechanism& mechanism) {
  if (std::holds_alternative<GaussianMechanism>(mechanism) ||
      std::holds_alternative<PoissonSampledGaussianMechanism>(mechanism) ||
      std::holds_alternative<TruncatedPoissonSampledGaussianMechanism>(mechanism) ||
      std::holds_alternative<WithoutReplacementSampledGaussianMechanism>(mechanism)) {
    return noise_multiplier(mechanism);
  }
  return std::nullopt;
}

}  // namespace

void Accountant::compose(const Mechanism& mechanism, std::int64_t count, std::string_view label) {
  validate(mechanism, "Accountant::compose");
  if (count < 0) reject("Accountant::compose", "count", count, ">= 0");
  check_neighbouring(mechanism, composition_.neighbouring(), "Accountant::compose");
  if (count == 0) return;
  account(mechanism, count);
  composition_.append(mechanism, count, label);
}

void Accountant::compose(const Composition& composition) {
  if (composition.neighbouring() != composition_.neighbouring()) {
    throw std::invalid_argument(
        "Accountant::compose: neighbouring = " + to_string(composition.neighbouring()) +
        ", expected " + to_string(composition_.neighbouring()));
  }
  // A copy: the phases may be this accountant's own.
  const std::vector<Phase> phases(composition.phases().begin(), composition.phases().end());
  for (const Phase& phase : phases) compose(phase.mechanism, phase.count, phase.label);
}

/// Sums over releases of `additive_delta` and `coupling_delta`.
struct RdpAccountant::DeltaTerms {
  double additive = 0.0;
  double coupling = 0.0;

  bool any() const { return additive > 0.0 || coupling > 0.0; }

  /// additive + (1 + exp(epsilon)) coupling, rounded up.
  double at(double epsilon) const {
    if (coupling == 0.0) return additive;
    const double factor = (1.0 + std::exp(epsilon)) * (1.0 + 0x1p-49);
    return sum_up(additive, round_up(factor * coupling));
  }

  std::string text() const {
    std::string text;
    if (additive > 0.0) text += "; delta includes " + number_text(additive) + " of the releases";
    if (coupling > 0.0) {
      text += "; delta includes (1 + exp(epsilon)) " + number_text(coupling) +
              " for batches that were cut";
    }
    return text;
  }
};

RdpAccountant::RdpAccountant(Neighbouring neighbouring) : Accountant(neighbouring) {}

RdpAccountant::RdpAccountant(Neighbouring neighbouring, std::vector<double> orders)
    : Accountant(neighbouring), orders_(std::move(orders)) {
  if (orders_.empty()) {
    throw std::invalid_argument("RdpAccountant: orders.size() = 0, expected >= 1");
  }
  for (const double order : orders_) {
    if (!(order > 1.0 && order <= kLargestRdpOrder)) {
      reject("RdpAccountant", "order", order, "> 1 and <= 1073741824");
    }
  }
}

void RdpAccountant::account(const Mechanism& mechanism, std::int64_t count) {
  if (reads_nothing(mechanism)) return;
  const auto known = sums_.find(mechanism);
  if (known == sums_.end()) {
    sums_.emplace(mechanism, Sum{count, velum::dpsgd::rdp(mechanism, orders_)});
    return;
  }
  Sum& sum = known->second;
  if (sum.count > std::numeric_limits<std::int64_t>::max() - count) {
    throw std::overflow_error("Accountant::compose: count = " + std::to_string(count) +
                              " more releases of one mechanism do not fit into 64 bits");
  }
  sum.count += count;
}

double RdpAccountant::rdp(double order) const {
  double total = 0.0;
  for (const auto& [mechanism, sum] : sums_) {
    total = sum_up(total, product_up(sum.count, velum::dpsgd::rdp(mechanism, order)));
  }
  return total;
}

std::vector<double> RdpAccountant::rdp() const {
  std::vector<double> totals(orders_.size(), 0.0);
  for (const auto& [mechanism, sum] : sums_) {
    for (std::size_t i = 0; i < totals.size(); ++i) {
      totals[i] = sum_up(totals[i], product_up(sum.count, sum.rdp[i]));
    }
  }
  return totals;
}

double RdpAccountant::unsampled_mu() const {
  double squared = 0.0;
  for (const auto& [mechanism, sum] : sums_) {
    const std::optional<double> sigma = gaussian_noise(mechanism);
    if (!sigma) return kInfinity;
    const double term = static_cast<double>(sum.count) / *sigma / *sigma * (1.0 + 0x1p-51);
    squared = sum_up(squared, std::max(term, std::numeric_limits<double>::denorm_min()));
  }
  return squared == 0.0 ? 0.0 : round_up(std::sqrt(squared * (1.0 + 0x1p-52)));
}

double RdpAccountant::pure_epsilon() const {
  double total = 0.0;
  for (const auto& [mechanism, sum] : sums_) {
    const std::optional<double> epsilon = velum::dpsgd::pure_epsilon(mechanism);
    if (!epsilon) return kInfinity;
    total = sum_up(total, product_up(sum.count, *epsilon));
  }
  return total;
}

bool RdpAccountant::sampled() const {
  for (const auto& [mechanism, sum] : sums_) {
    if (sampling_rate(mechanism) < 1.0) return true;
  }
  return false;
}

PrivacyGuarantee RdpAccountant::epsilon_without_terms(double delta) const {
  PrivacyGuarantee best{pure_epsilon(), delta, kPureMethod, std::nullopt};
  if (!(delta > 0.0)) return best;
  const double mu = unsampled_mu();
  if (mu < kInfinity) {
    const double exact = gaussian_epsilon(mu, delta);
    if (!sampled()) return {exact, delta, kExactMethod, std::nullopt};
    if (exact < best.epsilon) best = {exact, delta, kUnsampledMethod, std::nullopt};
  }
  const RdpConversion renyi =
      orders_.empty() ? rdp_to_epsilon([this](double order) { return rdp(order); }, delta)
                      : rdp_to_epsilon(orders_, rdp(), delta);
  if (renyi.value < best.epsilon || best.epsilon == kInfinity) {
    best = {renyi.value, delta, kRdpMethod, renyi.order};
  }
  return best;
}

PrivacyGuarantee RdpAccountant::delta_without_terms(double epsilon) const {
  if (pure_epsilon() <= epsilon) return {epsilon, 0.0, kPureMethod, std::nullopt};
  PrivacyGuarantee best{epsilon, kInfinity, kRdpMethod, std::nullopt};
  const double mu = unsampled_mu();
  if (mu < kInfinity) {
    const double exact = gaussian_delta(mu, epsilon);
    if (!sampled()) return {epsilon, exact, kExactMethod, std::nullopt};
    best = {epsilon, exact, kUnsampledMethod, std::nullopt};
  }
  const RdpConversion renyi =
      orders_.empty() ? rdp_to_delta([this](double order) { return rdp(order); }, epsilon)
                      : rdp_to_delta(orders_, rdp(), epsilon);
  if (renyi.value < best.delta) best = {epsilon, renyi.value, kRdpMethod, renyi.order};
  return best;
}

PrivacyGuarantee RdpAccountant::guarantee(double delta) const {
  check_delta("RdpAccountant::guarantee", delta);
  if (sums_.empty()) return {0.0, delta, kNothingMethod, std::nullopt};
  const DeltaTerms terms = delta_terms();
  if (!terms.any()) return epsilon_without_terms(delta);
  // epsilon grows with the terms and the terms with epsilon: from below to the smallest epsilon
  // that pays for its own.
  double epsilon = 0.0;
  for (int i = 0; i < 200; ++i) {
    double rest = delta - terms.at(epsilon);
    if (!(rest >= 0.0)) break;
    if (rest > 0.0) rest = std::nextafter(rest, 0.0);
    PrivacyGuarantee found = epsilon_without_terms(rest);
    found.delta = delta;
    found.method += terms.text();
    if (found.epsilon == kInfinity || terms.coupling == 0.0) return found;
    if (found.epsilon <= epsilon) {
      found.epsilon = epsilon;
      return found;
    }
    epsilon = found.epsilon * (1.0 + 0x1p-36);
  }
  return {kInfinity, delta, kRdpMethod + terms.text(), std::nullopt};
}

PrivacyGuarantee RdpAccountant::guarantee_at_epsilon(double epsilon) const {
  if (!(epsilon >= 0.0 && std::isfinite(epsilon))) {
    reject("RdpAccountant::guarantee_at_epsilon", "epsilon", epsilon, "finite and >= 0");
  }
  if (sums_.empty()) return {epsilon, 0.0, kNothingMethod, std::nullopt};
  PrivacyGuarantee found = delta_without_terms(epsilon);
  const DeltaTerms terms = delta_terms();
  if (!terms.any()) return found;
  found.delta = std::min(1.0, sum_up(found.delta, terms.at(epsilon)));
  found.method += terms.text();
  return found;
}

RdpAccountant::DeltaTerms RdpAccountant::delta_terms() const {
  DeltaTerms terms;
  for (const auto& [mechanism, sum] : sums_) {
    terms.additive = sum_up(terms.additive, product_up(sum.count, additive_delta(mechanism)));
    terms.coupling = sum_up(terms.coupling, product_up(sum.count, coupling_delta(mechanism)));
  }
  return terms;
}

std::unique_ptr<Accountant> RdpAccountant::clone() const {
  return std::make_unique<RdpAccountant>(*this);
}

std::unique_ptr<Accountant> make_accountant(std::string_view name, Neighbouring neighbouring) {
  if (name == "rdp") return std::make_unique<RdpAccountant>(neighbouring);
  if (name == "pld") {
    PldOptions options;
    options.accept_wider = true;
    return std::make_unique<PldAccountant>(neighbouring, options);
  }
  throw std::invalid_argument("make_accountant: name = " + std::string(name) +
                              ", expected rdp or pld");
}

}  // namespace velum::dpsgd
