#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velum/dpsgd/ledger/ledger_event.h"

namespace velum::dpsgd::detail {

/// What a sequence of events adds up to. It is the meaning of a ledger, in memory: the tables of
/// the file are held to it.
class Books {
 public:
  struct DataSetBooks {
    DataSet data_set;
    std::int64_t added = 0;                     // event
    std::int64_t revised = 0;                   // the last event that was not just one more release
    std::map<std::string, std::int64_t> spent;  // releases by mechanism
    friend bool operator==(const DataSetBooks&, const DataSetBooks&) = default;
  };
  struct RunBooks {
    std::string data_set;
    std::int64_t begun = 0;
    friend bool operator==(const RunBooks&, const RunBooks&) = default;
  };
  struct ReservationBooks {
    std::string data_set;
    std::optional<std::string> run;
    std::string mechanism;
    std::string label;
    bool foreign = false;
    std::int64_t count = 0;
    std::int64_t returned = 0;
    friend bool operator==(const ReservationBooks&, const ReservationBooks&) = default;
  };

  /// The next event.
  /// @throws std::invalid_argument if its number or hash do not follow, or it makes no sense here;
  ///         nothing is changed then.
  void apply(const LedgerEvent& event);

  const LedgerHead& head() const { return head_; }
  const std::map<std::string, DataSetBooks>& data_sets() const { return data_sets_; }
  const std::map<std::string, RunBooks>& runs() const { return runs_; }
  const std::map<std::int64_t, ReservationBooks>& reservations() const { return reservations_; }
  /// Events by domain and digest.
  const std::map<std::pair<std::string, LedgerHash>, std::int64_t>& claims() const {
    return claims_;
  }

 private:
  void enter(const LedgerEvent& event, const LedgerCreated& entry);
  void enter(const LedgerEvent& event, const DataSetAdded& entry);
  void enter(const LedgerEvent& event, const BudgetChanged& entry);
  void enter(const LedgerEvent& event, const RunBegun& entry);
  void enter(const LedgerEvent& event, const ReleasesReserved& entry);
  void enter(const LedgerEvent& event, const ReleasesGivenBack& entry);
  void enter(const LedgerEvent& event, const Noted& entry);
  void enter(const LedgerEvent& event, const Claimed& entry);
  DataSetBooks& data_set(const std::string& id);

  LedgerHead head_;
  std::map<std::string, DataSetBooks> data_sets_;
  std::map<std::string, RunBooks> runs_;
  std::map<std::int64_t, ReservationBooks> reservations_;
  std::map<std::pair<std::string, LedgerHash>, std::int64_t> claims_;
};

/// The mechanism of a "reserve" event's body, as text that is equal for equal mechanisms: the
/// composition of one release without a label. Made from the body and not from the value that was
/// read of it, so that a ledger means the same to later versions.
std::string mechanism_key(std::string_view body);

/// @throws std::invalid_argument if the sum does not fit.
std::int64_t add_counts(std::int64_t spent, std::int64_t count);

/// Reads an export of a ledger and replays it.
/// @throws std::invalid_argument naming the line.
std::vector<LedgerEvent> parse_export(std::string_view json_lines);

/// One line of an export, without newline.
std::string export_line(const LedgerEvent& event);

}  // namespace velum::dpsgd::detail
