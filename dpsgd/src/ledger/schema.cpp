#include "ledger/schema.h"

#include <map>

#include "velum/dpsgd/ledger/ledger.h"

namespace velum::dpsgd::detail {
namespace {

struct Object {
  const char* name;
  const char* sql;
  std::int64_t since = 1;  // the version that made it
};

// The ledger is the table `event`; the others are sums over it (Books). The triggers keep accidents
// out; whoever means harm can drop them, which `verify` sees.
constexpr Object kObjects[] = {
    {"event",
     "CREATE TABLE event (\n"
     "  sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),\n"
     "  time INTEGER NOT NULL,\n"
     "  kind TEXT NOT NULL,\n"
     "  body TEXT NOT NULL,\n"
     "  hash BLOB NOT NULL CHECK (length(hash) = 32)\n"
     ") STRICT"},
    {"data_set",
     "CREATE TABLE data_set (\n"
     "  id TEXT PRIMARY KEY,\n"
     "  accountant TEXT NOT NULL,\n"
     "  epsilon REAL NOT NULL CHECK (epsilon > 0),\n"
     "  delta REAL NOT NULL CHECK (delta > 0 AND delta < 1),\n"
     "  added INTEGER NOT NULL REFERENCES event,\n"
     "  revised INTEGER NOT NULL REFERENCES event\n"
     ") STRICT, WITHOUT ROWID"},
    {"run",
     "CREATE TABLE run (\n"
     "  id TEXT PRIMARY KEY,\n"
     "  data_set TEXT NOT NULL REFERENCES data_set,\n"
     "  begun INTEGER NOT NULL REFERENCES event\n"
     ") STRICT, WITHOUT ROWID"},
    {"reservation",
     "CREATE TABLE reservation (\n"
     "  event INTEGER PRIMARY KEY REFERENCES event,\n"
     "  data_set TEXT NOT NULL REFERENCES data_set,\n"
     "  run TEXT REFERENCES run,\n"
     "  mechanism TEXT NOT NULL,\n"
     "  label TEXT NOT NULL,\n"
     "  happened_elsewhere INTEGER NOT NULL CHECK (happened_elsewhere IN (0, 1)),\n"
     "  count INTEGER NOT NULL CHECK (count >= 1),\n"
     "  returned INTEGER NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND count)\n"
     ") STRICT"},
    {"spent",
     "CREATE TABLE spent (\n"
     "  data_set TEXT NOT NULL REFERENCES data_set,\n"
     "  mechanism TEXT NOT NULL,\n"
     "  count INTEGER NOT NULL CHECK (count >= 0),\n"
     "  PRIMARY KEY (data_set, mechanism)\n"
     ") STRICT, WITHOUT ROWID"},
    {"reservation_of_data_set",
     "CREATE INDEX reservation_of_data_set ON reservation (data_set, event)"},
    {"reservation_of_run", "CREATE INDEX reservation_of_run ON reservation (run)"},
    {"event_follows_the_last",
     "CREATE TRIGGER event_follows_the_last BEFORE INSERT ON event\n"
     "WHEN NEW.sequence IS NOT (SELECT ifnull(max(sequence), 0) + 1 FROM event)\n"
     "BEGIN SELECT RAISE(ABORT, 'an event of a ledger follows the last one'); END"},
    {"event_is_never_changed",
     "CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event\n"
     "BEGIN SELECT RAISE(ABORT, 'an event of a ledger is never changed'); END"},
    {"event_is_never_removed",
     "CREATE TRIGGER event_is_never_removed BEFORE DELETE ON event\n"
     "BEGIN SELECT RAISE(ABORT, 'an event of a ledger is never removed'); END"},
    {"data_set_is_never_removed",
     "CREATE TRIGGER data_set_is_never_removed BEFORE DELETE ON data_set\n"
     "BEGIN SELECT RAISE(ABORT, 'a data set of a ledger is never removed'); END"},
    {"run_is_never_removed",
     "CREATE TRIGGER run_is_never_removed BEFORE DELETE ON run\n"
     "BEGIN SELECT RAISE(ABORT, 'a run of a ledger is never removed'); END"},
    {"reservation_is_never_removed",
     "CREATE TRIGGER reservation_is_never_removed BEFORE DELETE ON reservation\n"
     "BEGIN SELECT RAISE(ABORT, 'a reservation of a ledger is never removed'); END"},
    {"spent_is_never_removed",
     "CREATE TRIGGER spent_is_never_removed BEFORE DELETE ON spent\n"
     "BEGIN SELECT RAISE(ABORT, 'what was spent is never removed from a ledger'); END"},
    {"claim",
     "CREATE TABLE claim (\n"
     "  domain TEXT NOT NULL,\n"
     "  digest BLOB NOT NULL CHECK (length(digest) = 32),\n"
     "  event INTEGER NOT NULL REFERENCES event,\n"
     "  PRIMARY KEY (domain, digest)\n"
     ") STRICT, WITHOUT ROWID",
     2},
    {"claim_is_never_changed",
     "CREATE TRIGGER claim_is_never_changed BEFORE UPDATE ON claim\n"
     "BEGIN SELECT RAISE(ABORT, 'a claim of a ledger is never changed'); END",
     2},
    {"claim_is_never_removed",
     "CREATE TRIGGER claim_is_never_removed BEFORE DELETE ON claim\n"
     "BEGIN SELECT RAISE(ABORT, 'a claim of a ledger is never removed'); END",
     2},
};
constexpr std::int64_t kVersion = 2;

/// Makes what versions after `from` have; version 0 has no tables.
void migrate(const Database& database, std::int64_t from) {
  for (const Object& object : kObjects)
    if (object.since > from) database.execute(object.sql);
  database.execute(("PRAGMA user_version = " + std::to_string(kVersion)).c_str());
}

}  // namespace

void create_schema(const Database& database) {
  if (database.integer("SELECT count(*) FROM sqlite_schema") != 0) {
    throw LedgerError(database.path().string() + " exists already");
  }
  database.execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
  migrate(database, 0);
}

void require_schema(const Database& database, bool may_migrate) {
  const std::string where = database.path().string();
  if (database.integer("PRAGMA application_id") != kApplicationId) {
    throw LedgerDamaged(where + " is not a ledger");
  }
  const std::int64_t version = database.integer("PRAGMA user_version");
  if (version > kVersion) {
    throw LedgerError("the ledger " + where +
                      " was written by a newer velum: its schema has version " +
                      std::to_string(version) + ", this velum knows " + std::to_string(kVersion));
  }
  if (version < 1)
    throw LedgerDamaged("the ledger " + where + " is damaged: it has no schema version");
  if (version == kVersion) return;
  if (!may_migrate) {
    throw LedgerError("the ledger " + where + " has schema version " + std::to_string(version) +
                      ": open it once for writing, which brings it to version " +
                      std::to_string(kVersion));
  }
  Transaction transaction(database, Transaction::Kind::kWrite);
  // Another process may have been first.
  migrate(database, database.integer("PRAGMA user_version"));
  transaction.commit();
}

std::vector<std::string> schema_findings(const Database& database) {
  std::map<std::string, std::string> there;
  Statement statement(database,
                      "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' "
                      "ESCAPE '\\'");
  while (statement.step()) there[statement.text(0)] = statement.text(1);
  std::vector<std::string> findings;
  for (const Object& object : kObjects) {
    const auto found = there.find(object.name);
    if (found == there.end()) {
      findings.push_back(std::string("schema: ") + object.name + " is missing");
    } else if (found->second != object.sql) {
      findings.push_back(std::string("schema: ") + object.name + " was changed");
    }
    if (found != there.end()) there.erase(found);
  }
  for (const auto& [name, sql] : there) findings.push_back("schema: " + name + " was added");
  return findings;
}

}  // namespace velum::dpsgd::detail
