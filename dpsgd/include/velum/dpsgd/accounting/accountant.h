#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velum/dpsgd/accounting/composition.h"

namespace velum::dpsgd {

/// What an accountant states: (epsilon, delta) and how it was found.
struct PrivacyGuarantee {
  double epsilon;  ///< natural log; infinite if nothing can be promised
  double delta;
  std::string method;           ///< for people: "exact composition of Gaussian mechanisms"
  std::optional<double> order;  ///< Renyi order, where the method has one
  /// Proved lower bound, where the accountant has one: of epsilon at `delta` from `guarantee`, of
  /// delta at `epsilon` from `guarantee_at_epsilon`. The dominating pairs of the releases cost at
  /// least this much (`CertifiedInterval`).
  std::optional<double> lower = std::nullopt;
};

/// Composes mechanisms and says what they cost together. `compose` before the release: a crash in
/// between then makes the books too large and never too small.
///
/// With no release, or with sampling rate 0 only, epsilon and delta are 0: nothing depended on the
/// data.
class Accountant {
 public:
  virtual ~Accountant() = default;

  /// Short name in reports and checkpoints, such as "rdp".
  virtual std::string name() const = 0;

  /// Adds `count` releases of `mechanism`.
  /// @throws std::invalid_argument or std::overflow_error as `Composition::append`, or if the
  ///         mechanism does not hold under the neighbouring relation (`holds_under`) or this
  ///         accountant does not cover it; nothing is added then.
  void compose(const Mechanism& mechanism, std::int64_t count = 1, std::string_view label = {});

  /// Adds all phases of a composition, such as one read from a checkpoint.
  /// @throws std::invalid_argument also if its neighbouring relation is another one.
  void compose(const Composition& composition);

  /// Smallest epsilon known at `delta`, rounded up.
  /// @throws std::invalid_argument if delta is not in (0, 1).
  virtual PrivacyGuarantee guarantee(double delta) const = 0;

  /// Smallest delta known at `epsilon`, rounded up.
  /// @throws std::invalid_argument if epsilon is not finite and >= 0.
  virtual PrivacyGuarantee guarantee_at_epsilon(double epsilon) const = 0;

  double epsilon(double delta) const { return guarantee(delta).epsilon; }
  double delta(double epsilon) const { return guarantee_at_epsilon(epsilon).delta; }

  const Composition& composition() const { return composition_; }

  /// An independent copy with the same history: for "what would it cost if".
  virtual std::unique_ptr<Accountant> clone() const = 0;

 protected:
  explicit Accountant(Neighbouring neighbouring) : composition_(neighbouring) {}
  Accountant(const Accountant&) = default;
  Accountant& operator=(const Accountant&) = default;

 private:
  /// Called with a valid mechanism and count > 0 before the phase is appended; may throw to refuse
  /// it, and must then change nothing.
  virtual void account(const Mechanism& mechanism, std::int64_t count) = 0;

  Composition composition_;
};

/// Renyi accountant, exact where every mechanism is an unsampled Gaussian. Covers every mechanism.
///
/// The smallest of what applies, named in the result's `method`:
///
/// - Renyi: the sum of `rdp` over all releases, converted by `rdp_to_epsilon` at the best order of
///   all (or of a given list).
/// - Gaussian mechanisms only, sampled or not: `gaussian_epsilon` of mu^2 = sum count / sigma^2,
/// exact
///   where none is sampled (sampling never makes a Gaussian mechanism less private).
/// - Mechanisms with a `pure_epsilon` only: their sum.
///
/// `additive_delta` and `coupling_delta` of the releases are added to delta.
///
/// Releases are kept as a sum by mechanism, whatever their order: the cost of an answer depends on
/// the number of different mechanisms and not on that of releases. (`composition()` keeps the
/// order, so it grows where mechanisms alternate.)
class RdpAccountant final : public Accountant {
 public:
  /// Minimises over all orders.
  explicit RdpAccountant(Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne);

  /// Minimises over a list, as other programs do.
  /// @param orders  each > 1 and at most `kLargestRdpOrder`.
  /// @throws std::invalid_argument if there is none or one is out of range.
  RdpAccountant(Neighbouring neighbouring, std::vector<double> orders);

  std::string name() const override { return "rdp"; }
  PrivacyGuarantee guarantee(double delta) const override;
  PrivacyGuarantee guarantee_at_epsilon(double epsilon) const override;
  std::unique_ptr<Accountant> clone() const override;

  /// The list; empty if all orders are considered.
  const std::vector<double>& orders() const { return orders_; }

  /// Sum over all releases at one order.
  double rdp(double order) const;

  /// Sum over all releases at each of `orders()`.
  std::vector<double> rdp() const;

 private:
  struct Sum {
    std::int64_t count = 0;
    std::vector<double> rdp;  // of one release, [orders]
  };

  struct DeltaTerms;

  void account(const Mechanism& mechanism, std::int64_t count) override;
  /// mu of all releases as if none were sampled; infinite if one is not Gaussian.
  double unsampled_mu() const;
  bool sampled() const;
  /// Sum of the pure epsilons; infinite if one has none.
  double pure_epsilon() const;
  DeltaTerms delta_terms() const;
  /// Guarantees without the terms of delta; `delta` may be 0.
  PrivacyGuarantee epsilon_without_terms(double delta) const;
  PrivacyGuarantee delta_without_terms(double epsilon) const;

  std::vector<double> orders_;
  std::map<Mechanism, Sum> sums_;  // of what reads the data
};

/// The accountant of that name, "rdp" or "pld", empty. A "pld" made here gives the interval that it
/// reaches where it cannot reach `PldOptions::relative_width`: its upper end holds all the same.
/// @throws std::invalid_argument if there is none of that name.
std::unique_ptr<Accountant> make_accountant(
    std::string_view name, Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne);

}  // namespace velum::dpsgd
