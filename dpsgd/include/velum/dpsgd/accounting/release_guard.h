#pragma once

#include <optional>
#include <stdexcept>
#include <string>
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

  /// What the guard's books are kept for; none where they are for any. A guard cannot tell by the
  /// mechanism: one without sampling is for either relation, with noise relative to the sensitivity
  /// under it, and every one is for any unit. Whoever releases compares (`require_books_for`).
  virtual std::optional<Neighbouring> neighbouring() const { return std::nullopt; }
  /// Unit of privacy: whose presence the books protect, "record" or "user" for example.
  virtual std::optional<std::string> unit() const { return std::nullopt; }
};

/// Whether a unit of privacy is a single example: "record", "example", "sample" or "image". Any
/// other unit may have several.
bool is_one_example(std::string_view unit);

/// Refuses a guard whose books are for another relation, or about single examples where the release
/// bounds units of several, or the other way round. Called once by whatever releases, before it
/// begins.
///
/// @param guard         null: nothing to refuse.
/// @param neighbouring  that the release's noise is made for.
/// @param unit          that the release bounds: "example", "user".
/// @param function      for the error's text.
/// @throws std::invalid_argument naming both and the remedy.
void require_books_for(const ReleaseGuard* guard, Neighbouring neighbouring, std::string_view unit,
                       std::string_view function);

}  // namespace velum::dpsgd
