#include "velum/dpsgd/accounting/pld_accountant.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace velum::dpsgd {
namespace {

constexpr char kMethod[] = "privacy loss distribution, certified upper bound";

/// The smaller of two upper bounds, and which of them it was.
struct Tighter {
  double upper;
  bool renyi;
};

Tighter tighter(double pld, double renyi) { return {std::min(pld, renyi), renyi < pld}; }

/// The interval and, where it was not narrow enough by itself, whether the other bound makes it so.
template <typename Evaluate>
CertifiedInterval evaluate_or_tighten(const PldOptions& options, double absolute_width,
                                      double renyi, const Evaluate& evaluate) {
  try {
    return evaluate();
  } catch (const AccuracyNotReached& error) {
    const CertifiedInterval reached = error.reached();
    const double upper = std::min(reached.upper, renyi);
    if (upper - reached.lower <= std::max(options.relative_width * upper, absolute_width)) {
      return {reached.lower, upper};
    }
    throw;
  }
}

}  // namespace

PldAccountant::PldAccountant(Neighbouring neighbouring, PldOptions options)
    : Accountant(neighbouring), options_(options), renyi_(neighbouring) {}

void PldAccountant::account(const Mechanism& mechanism, std::int64_t count) {
  check_dominating_pair(mechanism, composition().neighbouring(), "PldAccountant::compose");
  renyi_.compose(mechanism, count);
}

PrivacyGuarantee PldAccountant::guarantee(double delta) const {
  PrivacyGuarantee renyi = renyi_.guarantee(delta);
  const CertifiedInterval interval =
      evaluate_or_tighten(options_, options_.absolute_width, renyi.epsilon,
                          [&] { return pld_epsilon(composition(), delta, options_); });
  const Tighter tight = tighter(interval.upper, renyi.epsilon);
  if (!tight.renyi) {
    renyi.method = kMethod;
    renyi.order = std::nullopt;
  }
  renyi.epsilon = tight.upper;
  renyi.lower = std::min(interval.lower, tight.upper);
  return renyi;
}

PrivacyGuarantee PldAccountant::guarantee_at_epsilon(double epsilon) const {
  PrivacyGuarantee renyi = renyi_.guarantee_at_epsilon(epsilon);
  const CertifiedInterval interval = evaluate_or_tighten(
      options_, 0.0, renyi.delta, [&] { return pld_delta(composition(), epsilon, options_); });
  const Tighter tight = tighter(interval.upper, renyi.delta);
  if (!tight.renyi) {
    renyi.method = kMethod;
    renyi.order = std::nullopt;
  }
  renyi.delta = tight.upper;
  renyi.lower = std::min(interval.lower, tight.upper);
  return renyi;
}

std::unique_ptr<Accountant> PldAccountant::clone() const {
  return std::make_unique<PldAccountant>(*this);
}

}  // namespace velum::dpsgd
