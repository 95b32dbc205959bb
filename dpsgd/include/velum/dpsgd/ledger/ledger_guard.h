#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/ledger/ledger.h"

namespace velum::dpsgd {

/// Enters the releases of one run into a ledger, in blocks: a training loop pays one transaction
/// for `block` steps.
///
///   auto ledger = std::make_shared<Ledger>(Ledger::open("ledger.db"));
///   auto guard = std::make_shared<LedgerGuard>(ledger, "survey", "run-1", steps_per_epoch);
///   PrivacyEngine engine(parameters, sampler, {..., .release_guard = guard});
///   ...                           // engine.backward throws BudgetExceeded when the budget is out
///   guard->give_back_unused();    // else the destructor does, if it can
///
/// A block is entered, durably, before its first release. What of it was never asked for never
/// happened and is given back at the end; a crash keeps all of it.
class LedgerGuard final : public ReleaseGuard {
 public:
  /// Enters the run, if it is not in the ledger.
  /// @param block  releases of a mechanism to reserve at once, >= 1. Where the budget has less, the
  ///               block is what is left.
  /// @throws std::invalid_argument if block < 1, the data set is unknown, or the run is one on
  ///         another data set; LedgerError.
  LedgerGuard(std::shared_ptr<Ledger> ledger, std::string data_set, std::string run,
              std::int64_t block = 1, std::string description = {},
              std::string actor = current_user());
  LedgerGuard(const LedgerGuard&) = delete;
  LedgerGuard& operator=(const LedgerGuard&) = delete;
  /// Gives back what was not used. Where that fails the ledger stays too large.
  ~LedgerGuard() override;

  void before_release(const Mechanism& mechanism, std::string_view label) override;
  /// The data set's.
  std::optional<Neighbouring> neighbouring() const override { return neighbouring_; }
  std::optional<std::string> unit() const override { return unit_; }

  /// Makes sure that a release of the mechanism is reserved, at most `count` with it, without using
  /// it: so that a loop finds the end of the budget before it computes a step.
  /// @throws BudgetExceeded if there is no room for one; LedgerError.
  void reserve_ahead(const Mechanism& mechanism, std::string_view label, std::int64_t count);

  /// @throws LedgerError if the file cannot be written; the ledger may then be too large, and what
  ///         could not be given back is not used any more.
  void give_back_unused();

 private:
  struct Block {
    Mechanism mechanism;
    std::string label;
    std::int64_t reservation;
    std::int64_t unused;
  };
  Block* find(const Mechanism& mechanism, std::string_view label);

  std::shared_ptr<Ledger> ledger_;
  std::string data_set_;
  std::string run_;
  Neighbouring neighbouring_ = Neighbouring::kAddOrRemoveOne;
  std::string unit_;
  std::int64_t block_;
  std::string actor_;
  std::int64_t process_;
  std::vector<Block> blocks_;  // those with releases left
};

}  // namespace velum::dpsgd
