#pragma once

#include <optional>
#include <stdexcept>
#include <string_view>

#include "velum/dpsgd/accounting/mechanism.h"

namespace velum::dpsgd {

/// The budget of a data set does not allow the release.
class BudgetExceeded : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Asked before every private release; keeps books or refuses. `PrivacyEngine` asks the guard of
/// its options before it draws the noise of a step; `LedgerGuard` (ledger/ledger_guard.h) enters
/// the release into a ledger.
class ReleaseGuard {
 public:
  virtual ~ReleaseGuard() = default;

  /// Returns when one release of `mechanism` may happen and, where books are kept, stands in them
  /// durably. Throws where it must not happen; then nothing may be released.
  /// @throws BudgetExceeded where a budget refuses it.
  virtual void before_release(const Mechanism& mechanism, std::string_view label) = 0;

  /// The relation that the guard's books are kept for; none where they are for any. A mechanism
  /// without sampling is for either, with noise relative to the sensitivity under it, so a guard
  /// cannot tell by the mechanism: whoever releases must compare.
  virtual std::optional<Neighbouring> neighbouring() const { return std::nullopt; }
};

}  // namespace velum::dpsgd
