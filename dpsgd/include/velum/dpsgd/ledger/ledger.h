#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/ledger/ledger_event.h"

namespace velum::dpsgd {

/// The ledger's file cannot be read or written, or is no ledger; the text names it.
class LedgerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The file is not what SQLite, or a ledger, writes.
class LedgerDamaged : public LedgerError {
 public:
  using LedgerError::LedgerError;
};

/// The accountant that enforces budgets unless another is named: "pld" where `make_accountant`
/// knows it, else "rdp".
const std::string& default_accountant();

/// Name of the user who runs this process.
std::string current_user();

struct ReservationRequest {
  std::string data_set = {};
  std::optional<std::string> run = std::nullopt;  ///< of `begin_run`
  Mechanism mechanism = GaussianMechanism{};
  std::int64_t count = 1;  ///< >= 1
  std::string label = {};
  std::string reason = {};
  std::string actor = current_user();
};

struct Reservation {
  std::int64_t id = 0;     ///< sequence number of the event
  std::int64_t count = 0;  ///< releases that may now happen
};

/// Where a data set stands.
struct DataSetStatus {
  DataSet data_set;
  Composition spent{Neighbouring::kAddOrRemoveOne};  ///< one phase a mechanism, in no special order
  PrivacyGuarantee guarantee;  ///< of `spent`, at the delta of the budget, by its accountant
  bool over_budget = false;    ///< foreign releases, or a budget that was lowered, can bring this
};

struct Verification {
  std::vector<std::string> findings;  ///< what is wrong, at most 20
  LedgerHead head;                    ///< of the events as they are
  bool ok() const { return findings.empty(); }
};

/// A crash-safe record, in an SQLite file, of every private release on some data sets. A release is
/// entered, durably, *before* it happens, and refused where the data set's budget would be
/// exceeded.
///
/// - Durable: when a function returns, what it entered survives a crash and a power cut (WAL,
///   synchronous=FULL). When it throws, nothing of it is in the ledger, but for one case: where the
///   device fails to flush, the entry may appear after a crash. The caller must count it as
///   entered if that makes the books larger.
/// - Shared: several processes may use one file; a check and the entry that it allows are one
///   transaction, so that together they never overspend. Not on network file systems.
/// - Append-only: every change is an event in one table, chained by SHA-256 (`event_hash`). The
///   other tables are sums over it.
///
/// The cost of a check grows with the number of different mechanisms on the data set, and not with
/// the number of releases; within one `Ledger` object only what is new is composed.
///
/// Not thread-safe, and not to be used in a process forked after it was made (std::logic_error).
class Ledger {
 public:
  enum class Access { kReadOnly, kReadWrite };

  /// Makes a new, empty ledger. A file that a crash in `create` left empty is used.
  /// @throws LedgerError also if a ledger, or anything else, is there.
  static Ledger create(const std::filesystem::path& path);

  /// Makes a new ledger with the events of an export: validates all of it, then writes all of it.
  /// @throws std::invalid_argument naming the line if the text is not a whole export, its chain of
  ///         hashes does not hold, or an event contradicts earlier ones; LedgerError. No ledger
  ///         is made then.
  static Ledger restore(const std::filesystem::path& path, std::string_view json_lines);

  /// @param patience  how long a function waits for other processes before it throws.
  /// @throws LedgerError if there is no ledger, it was written by a newer velum, or it is not one.
  static Ledger open(const std::filesystem::path& path, Access access = Access::kReadWrite,
                     std::chrono::milliseconds patience = std::chrono::seconds(60));

  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;
  ~Ledger();

  const std::filesystem::path& path() const;
  /// Drawn at random when the ledger was made.
  std::string id() const;
  LedgerHead head() const;

  /// @throws std::invalid_argument if a value is out of range or the id is taken; LedgerError.
  void add_data_set(const DataSet& data_set, std::string_view actor = current_user());
  /// @throws std::invalid_argument also without a reason, or if the new accountant cannot account
  ///         for what is already spent.
  void change_budget(std::string_view data_set, const Budget& budget, std::string_view reason,
                     std::string_view actor = current_user());
  /// Enters a run; one that is there already, of the same data set, is left as it is.
  /// @throws std::invalid_argument also if the id is taken by a run on another data set.
  void begin_run(std::string_view run, std::string_view data_set, std::string_view description,
                 std::string_view actor = current_user());
  void note(std::string_view text, std::string_view actor = current_user());

  /// Enters that something is made that must never be made a second time: a decryption share of one
  /// ciphertext, an encryption under one public polynomial (velum::he::threshold::OnceRegister is
  /// this function). Make it only after this returned true.
  /// @param domain  what is made: as the id of a data set.
  /// @param digest  SHA-256 of what it is about.
  /// @return false if domain and digest were entered before: nothing is entered then, and nothing
  ///         must be made.
  /// @throws std::invalid_argument if the domain is none; LedgerError.
  bool claim_once(std::string_view domain, const LedgerHash& digest,
                  std::string_view actor = current_user());

  /// Enters `request.count` releases, all or none. Release only after it returned.
  /// @throws BudgetExceeded if epsilon would exceed the budget at its delta;
  ///         std::invalid_argument if a value is out of range, data set or run are unknown, or the
  ///         accountant cannot account for the mechanism; LedgerError.
  Reservation reserve(const ReservationRequest& request);

  /// As many of `request.count` as the budget allows, at least one.
  /// @throws as `reserve`; BudgetExceeded if there is no room for one.
  Reservation reserve_up_to(const ReservationRequest& request);

  /// How many of `request.count` the budget allows at this moment. Enters nothing.
  /// @throws as `reserve`, but for BudgetExceeded.
  std::int64_t affordable(const ReservationRequest& request);

  /// Takes back releases that provably never happened.
  /// @throws std::invalid_argument if there is no such reservation, it is of foreign releases, or
  ///         it has fewer left than `count`; LedgerError.
  void give_back(std::int64_t reservation, std::int64_t count, std::string_view reason,
                 std::string_view actor = current_user());

  /// Enters releases that happened without this ledger, one event a phase, all or none. They
  /// happened, so no budget refuses them.
  /// @throws std::invalid_argument without a reason, or as `reserve`.
  void record_foreign(std::string_view data_set, const Composition& releases,
                      std::string_view reason, std::string_view actor = current_user());

  std::vector<DataSet> data_sets() const;
  /// @throws std::invalid_argument if there is no such data set.
  DataSetStatus status(std::string_view data_set) const;
  /// What a run has reserved and not given back, one phase a mechanism.
  Composition reserved_by_run(std::string_view run) const;

  /// All events in order, of one moment.
  void for_each_event(const std::function<void(const LedgerEvent&)>& visit) const;

  /// One JSON object a line: {"body":{...},"hash":"...","kind":"...","sequence":1,"time":0}.
  void export_json_lines(std::ostream& out) const;

  /// Copies the ledger, as of one moment, into a new file, and verifies the copy.
  /// @throws LedgerError also if `target` exists.
  void backup(const std::filesystem::path& target) const;

  /// Checks everything: the file, its tables and triggers, every hash, that every event makes sense
  /// after those before it, and that the other tables hold what the events say. Finds any event
  /// that was changed, removed, moved or put in. What it cannot find without `expected`: that the
  /// last events were removed, or that someone computed all hashes anew.
  /// @param expected  a head noted earlier, elsewhere: the ledger must have this event still.
  Verification verify(const std::optional<LedgerHead>& expected = std::nullopt) const;

 private:
  struct Impl;
  explicit Ledger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Reads releases that were made elsewhere: a JSON object a line, as the phases of a `Composition`:
/// {"mechanism":{"kind":"gaussian","noise_multiplier":2},"count":3,"label":"census"}. `count` and
/// `label` may be left out: 1, "". Empty lines are passed over.
/// @throws std::invalid_argument naming the line.
Composition parse_foreign_releases(std::string_view json_lines, Neighbouring neighbouring);

}  // namespace velum::dpsgd
