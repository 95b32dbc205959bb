#include <algorithm>
#include <string>
#include <vector>

#include "ledger_fixture.h"

namespace velum::dpsgd {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A ledger with events of every kind, and someone who edits its file.
class LedgerTamperTest : public LedgerFixture {
 protected:
  LedgerTamperTest() {
    Ledger ledger = make_ledger(1000);
    ledger.begin_run("run-1", "survey", "", "tester");                                  // event 3
    const Reservation block = ledger.reserve(request(9));                               // event 4
    ledger.reserve(request(1, kMean));                                                  // event 5
    ledger.give_back(block.id, 2, "never ran", "tester");                               // event 6
    ledger.change_budget("survey", {.epsilon = 900, .delta = 1e-5}, "less", "tester");  // event 7
    ledger.note("an audit", "tester");                                                  // event 8
    ledger.reserve(request(2));                                                         // event 9
    head_ = ledger.head();
  }
  /// As someone would who knows SQLite: drops the triggers and puts them back.
  void tamper(const std::string& sql) const {
    std::string restore;
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    const auto collect = [](void* out, int, char** row, char**) {
      *static_cast<std::string*>(out) += std::string(row[0]) + ";";
      return 0;
    };
    sqlite3_exec(database, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'", collect,
                 &restore, nullptr);
    std::string drop;
    sqlite3_exec(database,
                 "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'",
                 collect, &drop, nullptr);
    sqlite3_close(database);
    meddle("BEGIN;" + drop + sql + ";" + restore + "COMMIT");
  }
  std::vector<std::string> findings(const std::optional<LedgerHead>& expected = {}) const {
    return Ledger::open(path_, Ledger::Access::kReadOnly).verify(expected).findings;
  }

  LedgerHead head_;
};

TEST_F(LedgerTamperTest, AnUntouchedLedgerVerifies) {
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_THAT(findings(head_), IsEmpty());
  tamper("SELECT 1");  // the triggers come back as they were
  EXPECT_THAT(findings(head_), IsEmpty());
}

TEST_F(LedgerTamperTest, AChangedEventIsFound) {
  const std::string changes[] = {
      "UPDATE event SET body = replace(body, '\"count\":9', '\"count\":8') WHERE sequence = 4",
      "UPDATE event SET time = time + 1 WHERE sequence = 4",
      "UPDATE event SET kind = 'note' WHERE sequence = 4",
      "UPDATE event SET hash = zeroblob(32) WHERE sequence = 4",
      "UPDATE event SET body = body || ' ' WHERE sequence = 1",
      "UPDATE event SET time = 0 WHERE sequence = 9"};
  for (const std::string& change : changes) {
    std::filesystem::copy_file(path_, directory_ / "kept",
                               std::filesystem::copy_options::overwrite_existing);
    tamper(change);
    EXPECT_THAT(findings(), Contains(HasSubstr("event "))) << change;
    std::filesystem::copy_file(directory_ / "kept", path_,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

TEST_F(LedgerTamperTest, ARemovedEventIsFound) {
  tamper("DELETE FROM event WHERE sequence = 8");
  EXPECT_THAT(findings(), Contains(HasSubstr("event 9 stands where event 8 should")));
}

TEST_F(LedgerTamperTest, ARemovedEventWhoseGapWasClosedIsFound) {
  tamper(
      "DELETE FROM event WHERE sequence = 8; UPDATE event SET sequence = 8 WHERE sequence = 9;"
      "UPDATE reservation SET event = 8 WHERE event = 9");
  EXPECT_THAT(findings(), Contains(HasSubstr("the hash of event 8 does not follow")));
}

TEST_F(LedgerTamperTest, AClaimThatWasTakenBackIsFound) {
  LedgerHash digest{};
  Ledger::open(path_).claim_once("threshold.decryption", digest, "tester");
  EXPECT_THAT(findings(), IsEmpty());
  std::filesystem::copy_file(path_, directory_ / "kept");
  tamper("DELETE FROM claim");
  EXPECT_THAT(findings(), Contains(HasSubstr("table claim, number of rows")));
  std::filesystem::copy_file(directory_ / "kept", path_,
                             std::filesystem::copy_options::overwrite_existing);
  tamper("UPDATE claim SET digest = x'" + std::string(64, 'a') + "'");
  EXPECT_THAT(findings(), Contains(HasSubstr("table claim, event 10: not what the events say")));
}

TEST_F(LedgerTamperTest, ReorderedEventsAreFound) {
  tamper(
      "UPDATE event SET sequence = 100 WHERE sequence = 7;"
      "UPDATE event SET sequence = 7 WHERE sequence = 8;"
      "UPDATE event SET sequence = 8 WHERE sequence = 100;"
      "UPDATE data_set SET revised = 8");
  EXPECT_THAT(findings(), Contains(HasSubstr("the hash of event 7 does not follow")));
}

TEST_F(LedgerTamperTest, AnInsertedEventIsFound) {
  tamper("INSERT INTO event SELECT 10, time, kind, body, hash FROM event WHERE sequence = 8");
  EXPECT_THAT(findings(), Contains(HasSubstr("the hash of event 10 does not follow")));
}

// An event whose hash was computed anew breaks the next one: the hash covers the predecessor.
TEST_F(LedgerTamperTest, AnEventWithAFreshHashOfItsOwnIsFoundAtTheNext) {
  LedgerHash previous{};
  LedgerEvent changed;
  Ledger::open(path_, Ledger::Access::kReadOnly).for_each_event([&](const LedgerEvent& event) {
    if (event.sequence == 7) previous = event.hash;
    if (event.sequence == 8) changed = event;
  });
  changed.body = "{\"actor\":\"tester\",\"text\":\"no audit\"}";
  changed.hash = event_hash(previous, changed);
  std::string hex;
  for (const std::uint8_t byte : changed.hash) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    hex += digits;
  }
  tamper("UPDATE event SET body = '" + changed.body + "', hash = x'" + hex +
         "' WHERE sequence = 8");
  EXPECT_THAT(findings(), Contains(HasSubstr("the hash of event 9 does not follow")));
}

// Without a head that was noted elsewhere this cannot be seen, and the documentation says so.
TEST_F(LedgerTamperTest, ARemovedTailIsFoundAgainstANotedHeadOnly) {
  tamper(
      "DELETE FROM reservation WHERE event = 9; DELETE FROM event WHERE sequence = 9;"
      "UPDATE spent SET count = count - 2 WHERE mechanism LIKE '%poisson%'");
  EXPECT_THAT(findings(), IsEmpty());
  EXPECT_THAT(findings(head_), Contains(HasSubstr("the last ones were removed")));
}

TEST_F(LedgerTamperTest, AnotherHistoryThanTheNotedHeadsIsFound) {
  LedgerHead other = head_;
  other.hash[31] ^= 1;
  EXPECT_THAT(findings(other), Contains(HasSubstr("is not the one that the expected head names")));
  other = head_;
  --other.count;
  EXPECT_THAT(findings(other), Contains(HasSubstr("is not the one that the expected head names")));
}

TEST_F(LedgerTamperTest, TablesThatDisagreeWithTheEventsAreFound) {
  const std::pair<const char*, const char*> changes[] = {
      {"UPDATE spent SET count = count - 1 WHERE mechanism LIKE '%poisson%'", "table spent"},
      {"DELETE FROM spent WHERE mechanism LIKE '%poisson%'", "table spent"},
      {"INSERT INTO spent VALUES ('survey', 'x', 0)", "table spent"},
      {"UPDATE data_set SET epsilon = 1e9", "table data_set"},
      {"UPDATE data_set SET delta = 0.5", "table data_set"},
      {"UPDATE data_set SET accountant = 'pld'", "table data_set"},
      {"UPDATE data_set SET revised = 2", "table data_set"},
      {"UPDATE reservation SET returned = 3 WHERE event = 4", "table reservation"},
      {"UPDATE reservation SET count = 8 WHERE event = 4", "table reservation"},
      {"UPDATE reservation SET run = 'run-1' WHERE event = 4", "table reservation"},
      {"DELETE FROM reservation WHERE event = 9", "table reservation"},
      {"UPDATE run SET begun = 2", "table run"},
      {"DELETE FROM run", "table run"}};
  for (const auto& [change, finding] : changes) {
    std::filesystem::copy_file(path_, directory_ / "kept",
                               std::filesystem::copy_options::overwrite_existing);
    tamper(change);
    EXPECT_THAT(findings(), Contains(HasSubstr(finding))) << change;
    std::filesystem::copy_file(directory_ / "kept", path_,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

TEST_F(LedgerTamperTest, AChangedSchemaIsFound) {
  meddle("DROP TRIGGER event_is_never_removed; CREATE TABLE more (x)");
  EXPECT_THAT(findings(), Contains("schema: event_is_never_removed is missing"));
  EXPECT_THAT(findings(), Contains("schema: more was added"));
}

TEST_F(LedgerTamperTest, ATableThatIsGoneIsAFindingLikeOthers) {
  for (const std::string table : {"event", "data_set", "run", "reservation", "spent"}) {
    std::filesystem::copy_file(path_, directory_ / "kept",
                               std::filesystem::copy_options::overwrite_existing);
    meddle("PRAGMA foreign_keys = OFF; DROP TABLE " + table);
    EXPECT_THAT(findings(), Contains(HasSubstr(table + " is missing")));
    std::filesystem::copy_file(directory_ / "kept", path_,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

TEST_F(LedgerTamperTest, ABodyThatIsNoJsonOrTooDeepIsNotExported) {
  for (const std::string& body :
       {std::string("{\"a"), std::string(300000, '[') + std::string(300000, ']')}) {
    std::filesystem::copy_file(path_, directory_ / "kept",
                               std::filesystem::copy_options::overwrite_existing);
    tamper("UPDATE event SET body = '" + body + "' WHERE sequence = 8");
    EXPECT_THAT(findings(), Contains(HasSubstr("event 8")));
    EXPECT_THAT(
        error_of<LedgerDamaged>([&] { exported(Ledger::open(path_, Ledger::Access::kReadOnly)); }),
        HasSubstr("event 8: "));
    std::filesystem::copy_file(directory_ / "kept", path_,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

TEST_F(LedgerTamperTest, TriggersKeepAccidentsOut) {
  EXPECT_THAT(meddling_error("UPDATE event SET time = 0"), HasSubstr("never changed"));
  EXPECT_THAT(meddling_error("DELETE FROM event WHERE sequence = 9"), HasSubstr("never removed"));
  EXPECT_THAT(
      meddling_error("INSERT OR REPLACE INTO event VALUES (9, 0, 'note', '', zeroblob(32))"),
      HasSubstr("follows the last one"));
  EXPECT_THAT(meddling_error("DELETE FROM reservation"), HasSubstr("never removed"));
  EXPECT_THAT(meddling_error("DELETE FROM spent"), HasSubstr("never removed"));
  EXPECT_THAT(meddling_error("INSERT INTO spent VALUES ('survey', 'x', 'many')"),
              HasSubstr("cannot store TEXT value in INTEGER column"));
  EXPECT_THAT(findings(head_), IsEmpty());
}

// Every byte of the file, one at a time: the ledger is refused, does not verify, or reads the same.
TEST_F(LedgerTamperTest, NoFlippedByteGoesUnnoticedAndChangesWhatIsRead) {
  { Ledger::open(path_).backup(directory_ / "one-file.db"); }
  std::string whole;
  {
    std::FILE* file = std::fopen((directory_ / "one-file.db").c_str(), "rb");
    ASSERT_NE(file, nullptr);
    char block[4096];
    for (std::size_t n = 0; (n = std::fread(block, 1, sizeof block, file)) > 0;) {
      whole.append(block, n);
    }
    std::fclose(file);
  }
  const auto flipped = directory_ / "flipped.db";
  const std::string lines =
      exported(Ledger::open(directory_ / "one-file.db", Ledger::Access::kReadOnly));
  int noticed = 0;
  for (std::size_t at = 0; at < whole.size(); at += 41) {  // a prime: every kind of place
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    std::FILE* file = std::fopen(flipped.c_str(), "wb");
    ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    std::fclose(file);
    try {
      const Ledger ledger = Ledger::open(flipped, Ledger::Access::kReadOnly);
      if (ledger.verify(head_).ok()) {
        EXPECT_EQ(exported(ledger), lines) << "byte " << at;
        EXPECT_EQ(ledger.status("survey").spent.total_count(), 10) << "byte " << at;
      } else {
        ++noticed;
      }
    } catch (const LedgerError&) {
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 50);
}

}  // namespace
}  // namespace velum::dpsgd
