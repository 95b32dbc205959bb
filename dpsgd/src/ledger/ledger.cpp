#include "velum/dpsgd/ledger/ledger.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <system_error>
#include <utility>

#include "accounting/range_check.h"
#include "ledger/books.h"
#include "ledger/database.h"
#include "ledger/event_text.h"
#include "ledger/schema.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

namespace velum::dpsgd {
namespace {

namespace fs = std::filesystem;
using detail::Database;
using detail::Statement;
using detail::Transaction;

constexpr std::chrono::seconds kPatience{60};
constexpr std::size_t kMostFindings = 20;
/// An accountant that has composed so many phases more than there are mechanisms is made anew.
constexpr std::size_t kMostExtraPhases = 256;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string random_id() {
  std::array<std::uint8_t, 16> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) {
    throw std::runtime_error("Ledger: libcrypto has no random numbers");
  }
  return detail::hexadecimal(bytes);
}

/// Makes a file, or the names in a directory, durable.
void flush(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  const bool flushed = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!flushed) {
    throw LedgerError("cannot flush " + path.string() + ": " +
                      std::generic_category().message(error));
  }
}

void flush_directory_of(const fs::path& path) { flush(path.parent_path(), O_RDONLY | O_DIRECTORY); }

void use_write_ahead_log(const Database& database) {
  const std::string mode = database.text("PRAGMA journal_mode = WAL");
  if (mode != "wal") {
    throw LedgerError("the ledger " + database.path().string() +
                      " cannot use a write-ahead log here (journal mode " + mode +
                      "): is it on a network file system?");
  }
}

LedgerEvent event_at(const Statement& row) {
  LedgerEvent event;
  event.sequence = row.integer(0);
  event.time = row.integer(1);
  event.kind = row.text(2);
  event.body = row.text(3);
  const auto hash = row.blob(4);
  if (hash.size() != event.hash.size()) {
    throw LedgerDamaged("event " + std::to_string(event.sequence) + " has no hash");
  }
  std::copy(hash.begin(), hash.end(), event.hash.begin());
  return event;
}

constexpr char kSelectEvents[] = "SELECT sequence, time, kind, body, hash FROM event";

}  // namespace

const std::string& default_accountant() {
  static const std::string name = [] {
    try {
      return make_accountant("pld")->name();
    } catch (const std::invalid_argument&) {
      return std::string("rdp");
    }
  }();
  return name;
}

std::string current_user() {
  std::array<char, 1 << 14> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const uid_t user = ::geteuid();
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return "uid " + std::to_string(user);
}

struct Ledger::Impl {
  /// A data set and the last event that was not just one more release.
  struct Entry {
    DataSet data_set;
    std::int64_t revised = 0;
  };
  /// What a data set has spent, up to an event.
  struct Spent {
    std::unique_ptr<Accountant> accountant;
    std::int64_t until = 0;
    std::size_t most_phases = 0;
  };

  Impl(const fs::path& path, Database::Access access, std::chrono::milliseconds patience)
      : database(path, access, patience) {}

  template <typename Function>
  auto write(const Function& function) {
    Transaction transaction(database, Transaction::Kind::kWrite);
    auto result = function();
    transaction.commit();
    return result;
  }

  LedgerHead head() const;
  std::int64_t append(const LedgerEntry& entry);
  void insert(const LedgerEvent& event, const LedgerEntry& entry);

  void tabulate(const LedgerEvent& event, const LedgerCreated& entry);
  void tabulate(const LedgerEvent& event, const DataSetAdded& entry);
  void tabulate(const LedgerEvent& event, const BudgetChanged& entry);
  void tabulate(const LedgerEvent& event, const RunBegun& entry);
  void tabulate(const LedgerEvent& event, const ReleasesReserved& entry);
  void tabulate(const LedgerEvent& event, const ReleasesGivenBack& entry);
  void tabulate(const LedgerEvent& event, const Noted& entry);
  void tabulate(const LedgerEvent& event, const Claimed& entry);
  void add_spent(std::string_view data_set, std::string_view mechanism, std::int64_t count);

  Entry find(std::string_view data_set) const;
  std::optional<std::string> data_set_of_run(std::string_view run) const;
  Composition spent(const DataSet& data_set) const;
  const Accountant& spent_accountant(const Entry& entry);
  std::unique_ptr<Accountant> new_accountant(const DataSet& data_set) const;
  bool fits(const ReservationRequest& request, std::int64_t count);
  std::int64_t affordable(const ReservationRequest& request, bool fewer);
  std::optional<std::int64_t> confirmed(const ReservationRequest& request, std::int64_t proposed);
  Reservation reserve(const ReservationRequest& request, bool fewer);
  std::optional<Reservation> reserve(const ReservationRequest& request, bool fewer,
                                     std::optional<std::int64_t> proposed);
  void compare_tables(const detail::Books& books, std::vector<std::string>& findings) const;

  Database database;
  std::map<std::string, Spent> cache;
};

LedgerHead Ledger::Impl::head() const {
  Statement last(database, "SELECT sequence, hash FROM event ORDER BY sequence DESC LIMIT 1");
  LedgerHead head;
  if (!last.step()) return head;
  head.count = last.integer(0);
  const auto hash = last.blob(1);
  if (hash.size() != head.hash.size()) {
    throw LedgerDamaged("the ledger " + database.path().string() + " is damaged: event " +
                        std::to_string(head.count) + " has no hash");
  }
  std::copy(hash.begin(), hash.end(), head.hash.begin());
  return head;
}

/// Within a write transaction.
std::int64_t Ledger::Impl::append(const LedgerEntry& entry) {
  const LedgerHead last = head();
  LedgerEvent event;
  event.sequence = last.count + 1;
  event.time = now();
  event.kind = event_kind(entry);
  event.body = event_body(entry);
  event.hash = event_hash(last.hash, event);
  insert(event, entry);
  return event.sequence;
}

void Ledger::Impl::insert(const LedgerEvent& event, const LedgerEntry& entry) {
  Statement(database, "INSERT INTO event VALUES (?, ?, ?, ?, ?)")
      .bind(event.sequence)
      .bind(event.time)
      .bind(std::string_view(event.kind))
      .bind(std::string_view(event.body))
      .bind(std::span<const std::uint8_t>(event.hash))
      .run();
  std::visit([&](const auto& alternative) { tabulate(event, alternative); }, entry);
}

void Ledger::Impl::tabulate(const LedgerEvent&, const LedgerCreated&) {}

void Ledger::Impl::tabulate(const LedgerEvent& event, const DataSetAdded& entry) {
  const DataSet& set = entry.data_set;
  Statement(database, "INSERT INTO data_set VALUES (?, ?, ?, ?, ?, ?)")
      .bind(std::string_view(set.id))
      .bind(std::string_view(set.budget.accountant))
      .bind(set.budget.epsilon)
      .bind(set.budget.delta)
      .bind(event.sequence)
      .bind(event.sequence)
      .run();
}

void Ledger::Impl::tabulate(const LedgerEvent& event, const BudgetChanged& entry) {
  Statement(database,
            "UPDATE data_set SET accountant = ?, epsilon = ?, delta = ?, revised = ? WHERE id = ?")
      .bind(std::string_view(entry.budget.accountant))
      .bind(entry.budget.epsilon)
      .bind(entry.budget.delta)
      .bind(event.sequence)
      .bind(std::string_view(entry.data_set))
      .run();
}

void Ledger::Impl::tabulate(const LedgerEvent& event, const RunBegun& entry) {
  Statement(database, "INSERT INTO run VALUES (?, ?, ?)")
      .bind(std::string_view(entry.run))
      .bind(std::string_view(entry.data_set))
      .bind(event.sequence)
      .run();
}

void Ledger::Impl::tabulate(const LedgerEvent& event, const ReleasesReserved& entry) {
  const Phase& phase = entry.release.phases().front();
  const std::string mechanism = detail::mechanism_key(event.body);
  Statement(database, "INSERT INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, 0)")
      .bind(event.sequence)
      .bind(std::string_view(entry.data_set))
      .bind(entry.run)
      .bind(std::string_view(mechanism))
      .bind(std::string_view(phase.label))
      .bind(std::int64_t{entry.foreign})
      .bind(phase.count)
      .run();
  add_spent(entry.data_set, mechanism, phase.count);
}

void Ledger::Impl::tabulate(const LedgerEvent& event, const ReleasesGivenBack& entry) {
  Statement(database, "UPDATE reservation SET returned = returned + ? WHERE event = ?")
      .bind(entry.count)
      .bind(entry.reservation)
      .run();
  Statement reservation(database, "SELECT data_set, mechanism FROM reservation WHERE event = ?");
  reservation.bind(entry.reservation).step();
  const std::string data_set = reservation.text(0);
  add_spent(data_set, reservation.text(1), -entry.count);
  Statement(database, "UPDATE data_set SET revised = ? WHERE id = ?")
      .bind(event.sequence)
      .bind(std::string_view(data_set))
      .run();
}

void Ledger::Impl::tabulate(const LedgerEvent&, const Noted&) {}

void Ledger::Impl::tabulate(const LedgerEvent& event, const Claimed& entry) {
  Statement(database, "INSERT INTO claim VALUES (?, ?, ?)")
      .bind(std::string_view(entry.domain))
      .bind(std::span<const std::uint8_t>(entry.digest))
      .bind(event.sequence)
      .run();
}

void Ledger::Impl::add_spent(std::string_view data_set, std::string_view mechanism,
                             std::int64_t count) {
  Statement row(database, "SELECT count FROM spent WHERE data_set = ? AND mechanism = ?");
  const bool there = row.bind(data_set).bind(mechanism).step();
  const std::int64_t total = detail::add_counts(there ? row.integer(0) : 0, count);
  Statement(database,
            "INSERT INTO spent VALUES (?1, ?2, ?3) "
            "ON CONFLICT (data_set, mechanism) DO UPDATE SET count = ?3")
      .bind(data_set)
      .bind(mechanism)
      .bind(total)
      .run();
}

Ledger::Impl::Entry Ledger::Impl::find(std::string_view data_set) const {
  Statement row(database,
                "SELECT body, accountant, epsilon, delta, revised FROM data_set "
                "JOIN event ON added = sequence WHERE id = ?");
  if (!row.bind(data_set).step()) {
    detail::check_id("data set", data_set);  // a name that cannot be one is told as that
    throw std::invalid_argument("the ledger " + database.path().string() + " has no data set " +
                                std::string(data_set));
  }
  DataSet set = std::get<DataSetAdded>(parse_entry("data_set", row.text(0))).data_set;
  set.budget = {row.real(2), row.real(3), row.text(1)};
  return {std::move(set), row.integer(4)};
}

std::optional<std::string> Ledger::Impl::data_set_of_run(std::string_view run) const {
  Statement row(database, "SELECT data_set FROM run WHERE id = ?");
  if (!row.bind(run).step()) return std::nullopt;
  return row.text(0);
}

std::unique_ptr<Accountant> Ledger::Impl::new_accountant(const DataSet& data_set) const {
  return make_accountant(data_set.budget.accountant, data_set.neighbouring);
}

Composition Ledger::Impl::spent(const DataSet& data_set) const {
  Composition total(data_set.neighbouring);
  Statement row(database, "SELECT mechanism, count FROM spent WHERE data_set = ? AND count > 0");
  row.bind(std::string_view(data_set.id));
  while (row.step()) {
    const Composition one = Composition::from_json(row.text(0));
    total.append(one.phases().front().mechanism, row.integer(1));
  }
  return total;
}

/// The accountant of what is committed. Only what is new is composed, unless something was taken
/// back or the budget's terms changed.
const Accountant& Ledger::Impl::spent_accountant(const Entry& entry) {
  Spent& known = cache[entry.data_set.id];
  const std::int64_t last = head().count;
  const bool grown_only = known.accountant != nullptr && known.until >= entry.revised &&
                          known.until <= last &&
                          known.accountant->composition().phases().size() <= known.most_phases;
  if (grown_only) {
    Statement row(database,
                  "SELECT mechanism, count FROM reservation WHERE data_set = ? AND event > ? "
                  "ORDER BY event");
    row.bind(std::string_view(entry.data_set.id)).bind(known.until);
    try {
      while (row.step()) {
        const Composition one = Composition::from_json(row.text(0));
        known.accountant->compose(one.phases().front().mechanism, row.integer(1));
      }
    } catch (...) {
      known = {};  // it may hold half of what is new
      throw;
    }
  } else {
    known = {};
    const Composition total = spent(entry.data_set);
    auto accountant = new_accountant(entry.data_set);
    accountant->compose(total);
    known.accountant = std::move(accountant);
    known.most_phases = total.phases().size() + kMostExtraPhases;
  }
  known.until = last;
  return *known.accountant;
}

/// Within a transaction. Whether so many of the requested releases fit.
bool Ledger::Impl::fits(const ReservationRequest& request, std::int64_t count) {
  if (request.count < 1) reject("Ledger::reserve", "count", request.count, ">= 1");
  const Entry entry = find(request.data_set);
  if (request.run && data_set_of_run(*request.run) != request.data_set) {
    throw std::invalid_argument("Ledger::reserve: run = " + *request.run +
                                ", expected a run on the data set " + request.data_set);
  }
  const auto accountant = spent_accountant(entry).clone();
  const Budget& budget = entry.data_set.budget;
  accountant->compose(request.mechanism, count);
  // Not "> epsilon": what is not a number is refused.
  return accountant->epsilon(budget.delta) <= budget.epsilon;
}

/// Within a transaction. The number of the releases that fit, 0 or all unless fewer will do.
std::int64_t Ledger::Impl::affordable(const ReservationRequest& request, bool fewer) {
  if (fits(request, request.count)) return request.count;
  std::int64_t low = 0;  // fits, or there is no room at all
  for (std::int64_t high = request.count; fewer && high - low > 1;) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(request, middle) ? low : high) = middle;
  }
  return low;
}

/// Within a transaction. The same with two checks at most, where `proposed` was its answer a moment
/// ago; nothing if it no longer is.
std::optional<std::int64_t> Ledger::Impl::confirmed(const ReservationRequest& request,
                                                    std::int64_t proposed) {
  if (proposed > 0 && fits(request, proposed)) return proposed;
  if (proposed == 0 && !fits(request, 1)) return 0;
  return std::nullopt;
}

/// A search asks the accountant some twenty times, which takes seconds where thousands of different
/// mechanisms were composed. So it is made beside the others, and its answer is checked under the
/// lock; where they were faster every time, it is made under the lock.
Reservation Ledger::Impl::reserve(const ReservationRequest& request, bool fewer) {
  constexpr int kSearchesBesideOthers = 3;
  for (int i = 0; fewer && i < kSearchesBesideOthers; ++i) {
    const std::int64_t proposed = [&] {
      const Transaction transaction(database, Transaction::Kind::kRead);
      return affordable(request, true);
    }();
    if (const auto done = reserve(request, fewer, proposed)) return *done;
  }
  return *reserve(request, fewer, std::nullopt);
}

/// Nothing if a number is proposed and is no longer right.
std::optional<Reservation> Ledger::Impl::reserve(const ReservationRequest& request, bool fewer,
                                                 std::optional<std::int64_t> proposed) {
  return write([&]() -> std::optional<Reservation> {
    const std::optional<std::int64_t> found =
        proposed ? confirmed(request, *proposed) : affordable(request, fewer);
    if (!found) return std::nullopt;
    const std::int64_t count = *found;
    const Entry entry = find(request.data_set);
    const DataSet& set = entry.data_set;
    if (count == 0) {
      const Accountant& spent = spent_accountant(entry);
      const auto after = spent.clone();
      const std::int64_t refused = fewer ? 1 : request.count;
      after->compose(request.mechanism, refused);
      throw BudgetExceeded(
          "the budget of data set " + set.id + " is epsilon " + number_text(set.budget.epsilon) +
          " at delta " + number_text(set.budget.delta) + "; " +
          (refused == 1 ? "one more release" : number_text(refused) + " more releases") + " (" +
          describe(request.mechanism) + ") would bring it from " +
          epsilon_text(spent.epsilon(set.budget.delta)) + " to " +
          epsilon_text(after->epsilon(set.budget.delta)));
    }
    Composition release(set.neighbouring);
    release.append(request.mechanism, count, request.label);
    const std::int64_t id = append(ReleasesReserved{.data_set = set.id,
                                                    .run = request.run,
                                                    .release = std::move(release),
                                                    .foreign = false,
                                                    .reason = request.reason,
                                                    .actor = request.actor});
    return Reservation{id, count};
  });
}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;
Ledger::~Ledger() = default;

Ledger Ledger::create(const fs::path& path) {
  Ledger ledger(std::make_unique<Impl>(path, Database::Access::kCreate, kPatience));
  Impl& impl = *ledger.impl_;
  if (impl.database.integer("SELECT count(*) FROM sqlite_schema") != 0) {
    throw LedgerError(impl.database.path().string() + " exists already");
  }
  use_write_ahead_log(impl.database);
  impl.write([&] {
    detail::create_schema(impl.database);
    return impl.append(LedgerCreated{random_id()});
  });
  flush_directory_of(impl.database.path());
  return ledger;
}

Ledger Ledger::restore(const fs::path& path, std::string_view json_lines) {
  const std::vector<LedgerEvent> events = detail::parse_export(json_lines);
  Ledger ledger(std::make_unique<Impl>(path, Database::Access::kCreate, kPatience));
  Impl& impl = *ledger.impl_;
  if (impl.database.integer("SELECT count(*) FROM sqlite_schema") != 0) {
    throw LedgerError(impl.database.path().string() + " exists already");
  }
  use_write_ahead_log(impl.database);
  impl.write([&] {
    detail::create_schema(impl.database);
    for (const LedgerEvent& event : events) {
      impl.insert(event, parse_entry(event.kind, event.body));
    }
    return events.size();
  });
  flush_directory_of(impl.database.path());
  return ledger;
}

Ledger Ledger::open(const fs::path& path, Access access, std::chrono::milliseconds patience) {
  const bool writes = access == Access::kReadWrite;
  Ledger ledger(std::make_unique<Impl>(
      path, writes ? Database::Access::kReadWrite : Database::Access::kReadOnly, patience));
  detail::require_schema(ledger.impl_->database, writes);
  if (writes) use_write_ahead_log(ledger.impl_->database);
  return ledger;
}

const fs::path& Ledger::path() const { return impl_->database.path(); }

std::string Ledger::id() const {
  Statement first(impl_->database, "SELECT body FROM event WHERE sequence = 1");
  if (!first.step()) throw LedgerDamaged("the ledger " + path().string() + " is empty");
  return std::get<LedgerCreated>(parse_entry("ledger", first.text(0))).ledger_id;
}

LedgerHead Ledger::head() const { return impl_->head(); }

void Ledger::add_data_set(const DataSet& data_set, std::string_view actor) {
  DataSetAdded entry{data_set, std::string(actor)};
  Budget& budget = entry.data_set.budget;
  if (budget.accountant.empty()) budget.accountant = default_accountant();
  event_body(entry);  // checks the ranges
  make_accountant(budget.accountant, data_set.neighbouring);
  impl_->write([&] {
    Statement row(impl_->database, "SELECT 1 FROM data_set WHERE id = ?");
    if (row.bind(std::string_view(data_set.id)).step()) {
      throw std::invalid_argument("the ledger " + path().string() + " has a data set " +
                                  data_set.id + " already");
    }
    return impl_->append(entry);
  });
}

void Ledger::change_budget(std::string_view data_set, const Budget& budget, std::string_view reason,
                           std::string_view actor) {
  BudgetChanged entry{std::string(data_set), budget, std::string(reason), std::string(actor)};
  impl_->write([&] {
    DataSet set = impl_->find(data_set).data_set;
    if (entry.budget.accountant.empty()) entry.budget.accountant = set.budget.accountant;
    event_body(entry);
    set.budget = entry.budget;
    impl_->new_accountant(set)->compose(impl_->spent(set));
    return impl_->append(entry);
  });
}

void Ledger::begin_run(std::string_view run, std::string_view data_set,
                       std::string_view description, std::string_view actor) {
  const RunBegun entry{std::string(run), std::string(data_set), std::string(description),
                       std::string(actor)};
  event_body(entry);
  impl_->write([&]() -> std::int64_t {
    impl_->find(data_set);
    const auto other = impl_->data_set_of_run(run);
    if (!other) return impl_->append(entry);
    if (*other != data_set) {
      throw std::invalid_argument("Ledger::begin_run: run = " + std::string(run) +
                                  " is on the data set " + *other + ", expected " +
                                  std::string(data_set));
    }
    return 0;
  });
}

void Ledger::note(std::string_view text, std::string_view actor) {
  impl_->write([&] { return impl_->append(Noted{std::string(text), std::string(actor)}); });
}

bool Ledger::claim_once(std::string_view domain, const LedgerHash& digest, std::string_view actor) {
  const Claimed entry{std::string(domain), digest, std::string(actor)};
  event_body(entry);  // checks the ranges
  return impl_->write([&] {
    Statement row(impl_->database, "SELECT 1 FROM claim WHERE domain = ? AND digest = ?");
    if (row.bind(domain).bind(std::span<const std::uint8_t>(digest)).step()) return false;
    impl_->append(entry);
    return true;
  });
}

Reservation Ledger::reserve(const ReservationRequest& request) {
  return impl_->reserve(request, /*fewer=*/false);
}

Reservation Ledger::reserve_up_to(const ReservationRequest& request) {
  return impl_->reserve(request, /*fewer=*/true);
}

std::int64_t Ledger::affordable(const ReservationRequest& request) {
  const Transaction transaction(impl_->database, Transaction::Kind::kRead);
  return impl_->affordable(request, /*fewer=*/true);
}

void Ledger::give_back(std::int64_t reservation, std::int64_t count, std::string_view reason,
                       std::string_view actor) {
  const ReleasesGivenBack entry{reservation, count, std::string(reason), std::string(actor)};
  event_body(entry);
  impl_->write([&] {
    Statement row(impl_->database,
                  "SELECT count - returned FROM reservation "
                  "WHERE event = ? AND happened_elsewhere = 0");
    if (!row.bind(reservation).step()) {
      reject("Ledger::give_back", "reservation", reservation, "one of this ledger");
    }
    if (count > row.integer(0)) {
      reject("Ledger::give_back", "count", count,
             "at most " + std::to_string(row.integer(0)) + ", which is left of it");
    }
    return impl_->append(entry);
  });
}

void Ledger::record_foreign(std::string_view data_set, const Composition& releases,
                            std::string_view reason, std::string_view actor) {
  impl_->write([&] {
    const DataSet set = impl_->find(data_set).data_set;
    if (releases.neighbouring() != set.neighbouring) {
      throw std::invalid_argument(
          "Ledger::record_foreign: neighbouring = " + to_string(releases.neighbouring()) +
          ", expected " + to_string(set.neighbouring));
    }
    // What the accountant cannot treat would stop every later check.
    impl_->new_accountant(set)->compose(releases);
    for (const Phase& phase : releases.phases()) {
      Composition release(set.neighbouring);
      release.append(phase.mechanism, phase.count, phase.label);
      impl_->append(ReleasesReserved{.data_set = set.id,
                                     .run = std::nullopt,
                                     .release = std::move(release),
                                     .foreign = true,
                                     .reason = std::string(reason),
                                     .actor = std::string(actor)});
    }
    return 0;
  });
}

std::vector<DataSet> Ledger::data_sets() const {
  const Transaction transaction(impl_->database, Transaction::Kind::kRead);
  std::vector<DataSet> sets;
  Statement row(impl_->database, "SELECT id FROM data_set ORDER BY added");
  while (row.step()) sets.push_back(impl_->find(row.text(0)).data_set);
  return sets;
}

DataSetStatus Ledger::status(std::string_view data_set) const {
  const Transaction transaction(impl_->database, Transaction::Kind::kRead);
  DataSetStatus status;
  status.data_set = impl_->find(data_set).data_set;
  status.spent = impl_->spent(status.data_set);
  const auto accountant = impl_->new_accountant(status.data_set);
  accountant->compose(status.spent);
  status.guarantee = accountant->guarantee(status.data_set.budget.delta);
  status.over_budget = !(status.guarantee.epsilon <= status.data_set.budget.epsilon);
  return status;
}

Composition Ledger::reserved_by_run(std::string_view run) const {
  const Transaction transaction(impl_->database, Transaction::Kind::kRead);
  const auto data_set = impl_->data_set_of_run(run);
  if (!data_set) {
    throw std::invalid_argument("the ledger " + path().string() + " has no run " +
                                std::string(run));
  }
  Composition total(impl_->find(*data_set).data_set.neighbouring);
  Statement row(impl_->database,
                "SELECT mechanism, sum(count - returned) FROM reservation WHERE run = ? "
                "GROUP BY mechanism ORDER BY min(event)");
  row.bind(run);
  while (row.step()) {
    const Composition one = Composition::from_json(row.text(0));
    total.append(one.phases().front().mechanism, row.integer(1));
  }
  return total;
}

void Ledger::for_each_event(const std::function<void(const LedgerEvent&)>& visit) const {
  const Transaction transaction(impl_->database, Transaction::Kind::kRead);
  Statement row(impl_->database, std::string(kSelectEvents) + " ORDER BY sequence");
  while (row.step()) visit(event_at(row));
}

void Ledger::export_json_lines(std::ostream& out) const {
  for_each_event([&](const LedgerEvent& event) {
    try {
      out << detail::export_line(event) << '\n';
    } catch (const std::invalid_argument& error) {
      throw LedgerDamaged("the ledger " + path().string() + " is damaged: event " +
                          std::to_string(event.sequence) + ": " + error.what());
    }
  });
}

void Ledger::backup(const fs::path& target) const {
  impl_->database.check_process();
  const fs::path path = fs::absolute(target);
  const fs::path partial = path.string() + ".partial";
  if (fs::exists(path)) throw LedgerError(path.string() + " exists already");
  fs::remove(partial);  // of a backup that was killed
  try {
    const LedgerHead expected = head();
    {
      const Database copy(partial, Database::Access::kCreate, kPatience);
      sqlite3_backup* const work =
          sqlite3_backup_init(copy.handle(), "main", impl_->database.handle(), "main");
      if (work == nullptr) copy.fail(sqlite3_errcode(copy.handle()));
      sqlite3_backup_step(work, -1);
      const int code = sqlite3_backup_finish(work);
      if (code != SQLITE_OK) copy.fail(code);
      // One file, which can be read where nothing can be written.
      copy.execute("PRAGMA journal_mode = DELETE");
    }
    const Verification verification = open(partial, Access::kReadOnly).verify(expected);
    if (!verification.ok()) {
      throw LedgerDamaged("the copy of the ledger " + this->path().string() +
                          " does not verify: " + verification.findings.front());
    }
    flush(partial, O_RDONLY);
    fs::rename(partial, path);
    flush_directory_of(path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(partial, ignored);
    throw;
  }
}

Verification Ledger::verify(const std::optional<LedgerHead>& expected) const {
  Verification result;
  std::vector<std::string>& findings = result.findings;
  try {
    const Transaction transaction(impl_->database, Transaction::Kind::kRead);
    Statement integrity(impl_->database, "PRAGMA integrity_check(20)");
    while (integrity.step()) {
      if (integrity.text(0) != "ok") findings.push_back("file: " + integrity.text(0));
    }
    for (const std::string& finding : detail::schema_findings(impl_->database)) {
      findings.push_back(finding);
    }
    Statement foreign(impl_->database, "PRAGMA foreign_key_check");
    while (foreign.step()) {
      findings.push_back("table " + foreign.text(0) + ": a row refers to one that is not there");
    }

    detail::Books books;
    bool chained = true;
    Statement row(impl_->database, std::string(kSelectEvents) + " ORDER BY sequence");
    while (row.step()) {
      const LedgerEvent event = event_at(row);
      result.head = {event.sequence, event.hash};
      if (expected && expected->count == event.sequence && expected->hash != event.hash) {
        findings.push_back("event " + std::to_string(event.sequence) +
                           " is not the one that the expected head names");
      }
      if (!chained) continue;
      try {
        books.apply(event);
      } catch (const std::exception& error) {
        findings.push_back("event " + std::to_string(event.sequence) + ": " + error.what());
        chained = false;  // nothing after it can be judged
      }
    }
    if (result.head.count == 0) findings.push_back("there is no event");
    if (expected && expected->count > result.head.count) {
      findings.push_back("there are " + std::to_string(result.head.count) +
                         " events, but the expected head names event " +
                         std::to_string(expected->count) + ": the last ones were removed");
    }
    if (chained) impl_->compare_tables(books, findings);
  } catch (const LedgerDamaged& error) {
    findings.push_back(error.what());
  }
  if (findings.size() > kMostFindings) findings.resize(kMostFindings);
  return result;
}

/// The tables other than `event` hold what the events say, and nothing else.
void Ledger::Impl::compare_tables(const detail::Books& books,
                                  std::vector<std::string>& findings) const {
  const auto finding = [&](const std::string& table, const std::string& key) {
    findings.push_back("table " + table + ", " + key + ": not what the events say");
  };
  std::size_t rows = 0;
  std::size_t mechanisms = 0;
  Statement set(database, "SELECT id, accountant, epsilon, delta, added, revised FROM data_set");
  while (set.step()) {
    ++rows;
    const auto found = books.data_sets().find(set.text(0));
    const Budget budget{set.real(2), set.real(3), set.text(1)};
    if (found == books.data_sets().end() || found->second.data_set.budget != budget ||
        found->second.added != set.integer(4) || found->second.revised != set.integer(5)) {
      finding("data_set", set.text(0));
    }
  }
  if (rows != books.data_sets().size()) finding("data_set", "number of rows");
  for (const auto& [id, data_set] : books.data_sets()) mechanisms += data_set.spent.size();

  rows = 0;
  Statement run(database, "SELECT id, data_set, begun FROM run");
  while (run.step()) {
    ++rows;
    const auto found = books.runs().find(run.text(0));
    if (found == books.runs().end() ||
        found->second != detail::Books::RunBooks{run.text(1), run.integer(2)}) {
      finding("run", run.text(0));
    }
  }
  if (rows != books.runs().size()) finding("run", "number of rows");

  rows = 0;
  Statement reservation(database,
                        "SELECT event, data_set, run, mechanism, label, happened_elsewhere, count, "
                        "returned FROM reservation");
  while (reservation.step()) {
    ++rows;
    const auto found = books.reservations().find(reservation.integer(0));
    const detail::Books::ReservationBooks there{
        reservation.text(1),   reservation.optional_text(2), reservation.text(3),
        reservation.text(4),   reservation.integer(5) != 0,  reservation.integer(6),
        reservation.integer(7)};
    if (found == books.reservations().end() || found->second != there) {
      finding("reservation", "event " + reservation.text(0));
    }
  }
  if (rows != books.reservations().size()) finding("reservation", "number of rows");

  rows = 0;
  Statement claim(database, "SELECT domain, digest, event FROM claim");
  while (claim.step()) {
    ++rows;
    LedgerHash digest{};
    const auto bytes = claim.blob(1);
    std::copy_n(bytes.begin(), std::min(bytes.size(), digest.size()), digest.begin());
    const auto found = books.claims().find({claim.text(0), digest});
    if (found == books.claims().end() || found->second != claim.integer(2))
      finding("claim", "event " + claim.text(2));
  }
  if (rows != books.claims().size()) finding("claim", "number of rows");

  rows = 0;
  Statement spent_row(database, "SELECT data_set, mechanism, count FROM spent");
  while (spent_row.step()) {
    ++rows;
    const auto found = books.data_sets().find(spent_row.text(0));
    const bool known = found != books.data_sets().end();
    const auto count =
        known ? found->second.spent.find(spent_row.text(1)) : decltype(found->second.spent.end()){};
    if (!known || count == found->second.spent.end() || count->second != spent_row.integer(2)) {
      finding("spent", spent_row.text(0) + ", " + spent_row.text(1));
    }
  }
  if (rows != mechanisms) finding("spent", "number of rows");
}

}  // namespace velum::dpsgd
