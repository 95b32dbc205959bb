#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "velum/dpsgd/accounting/composition.h"

namespace velum::dpsgd {

using LedgerHash = std::array<std::uint8_t, 32>;

/// What all releases from a data set may cost together, and who decides it.
struct Budget {
  double epsilon = 0.0;  ///< finite and > 0
  double delta = 0.0;    ///< in (0, 1)
  std::string accountant =
      {};  ///< a name that `make_accountant` knows; empty: `default_accountant`

  friend bool operator==(const Budget&, const Budget&) = default;
};

/// A data set as the ledger knows it. What is in it is public.
struct DataSet {
  std::string id = {};          ///< 1 to 64 of letters, digits, '.', '_', '-'
  std::string unit = "record";  ///< unit of privacy: whose presence is protected, "person"
  Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne;
  std::optional<std::int64_t> public_size = std::nullopt;  ///< none: the size is not public
  Budget budget = {};
  std::string description = {};

  friend bool operator==(const DataSet&, const DataSet&) = default;
};

// What an event says. Texts are UTF-8 of at most 4096 bytes; `actor` is who did it.

/// The first event of every ledger and of no other place.
struct LedgerCreated {
  std::string ledger_id;  ///< 32 hexadecimal digits, drawn at random
};
struct DataSetAdded {
  DataSet data_set;
  std::string actor;
};
struct BudgetChanged {
  std::string data_set;
  Budget budget;
  std::string reason;
  std::string actor;
};
struct RunBegun {
  std::string run;  ///< as the id of a data set
  std::string data_set;
  std::string description;
  std::string actor;
};
/// Releases that are about to happen (`foreign` false), or that happened elsewhere and are entered
/// with a reason (`foreign` true).
struct ReleasesReserved {
  std::string data_set;
  std::optional<std::string> run;
  Composition release;  ///< one phase: mechanism, count, label
  bool foreign = false;
  std::string reason;
  std::string actor;
};
/// Releases of a reservation that never happened.
struct ReleasesGivenBack {
  std::int64_t reservation;  ///< sequence number of its event
  std::int64_t count;
  std::string reason;
  std::string actor;
};
struct Noted {
  std::string text;
  std::string actor;
};
/// Something that may be made once was made, or is about to be.
struct Claimed {
  std::string domain;  ///< what was made, as the id of a data set
  LedgerHash digest;   ///< of what it is about
  std::string actor;
};
using LedgerEntry = std::variant<LedgerCreated, DataSetAdded, BudgetChanged, RunBegun,
                                 ReleasesReserved, ReleasesGivenBack, Noted, Claimed>;

/// One row of a ledger.
struct LedgerEvent {
  std::int64_t sequence = 0;  ///< 1, 2, 3, ...
  std::int64_t time = 0;      ///< microseconds since 1970-01-01 UTC, by the writer's clock
  std::string kind;  ///< "ledger", "data_set", "budget", "run", "reserve", "return", "note",
                     ///< "claim"
  std::string body;  ///< canonical JSON: sorted keys, no spaces, no repeated key
  LedgerHash hash{};
};

/// Hash of an event:
///
///   SHA-256( previous hash, 32 bytes  ||  sequence, 8 bytes  ||  time, 8 bytes
///            ||  length of kind, 8 bytes  ||  kind  ||  length of body, 8 bytes  ||  body )
///
/// with big-endian two's complement integers; the first event's previous hash is 32 zero bytes. The
/// encoding is injective: two different events never give the same bytes.
/// @param event  its own `hash` is not read.
LedgerHash event_hash(const LedgerHash& previous, const LedgerEvent& event);

/// Kind and canonical body of what an event says.
/// @throws std::invalid_argument naming the value that is out of range.
std::string event_kind(const LedgerEntry& entry);
std::string event_body(const LedgerEntry& entry);

/// Reads an event.
/// @throws std::invalid_argument if the kind is unknown, or the body is not canonical JSON with
///         just the keys of that kind and values in range.
LedgerEntry parse_entry(std::string_view kind, std::string_view body);

/// The whole of a ledger in 40 and some characters: how many events it has, and the hash of the
/// last, which depends on all of them.
struct LedgerHead {
  std::int64_t count = 0;
  LedgerHash hash{};

  /// "17:" and 64 hexadecimal digits.
  std::string to_string() const;
  /// @throws std::invalid_argument if the text is not what `to_string` gives.
  static LedgerHead from_string(std::string_view text);

  friend bool operator==(const LedgerHead&, const LedgerHead&) = default;
};

}  // namespace velum::dpsgd
