#include "velum/dpsgd/ledger/ledger.h"

#include <openssl/sha.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "ledger_fixture.h"
#include "velum/dpsgd/ledger/ledger_guard.h"

namespace velum::dpsgd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using LedgerTest = LedgerFixture;
using LedgerGuardTest = LedgerFixture;

/// epsilon of count Gaussian releases, by the C library alone.
double gaussian_delta_oracle(double mu, double epsilon) {
  const auto phi = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  return phi(mu / 2 - epsilon / mu) - std::exp(epsilon) * phi(-mu / 2 - epsilon / mu);
}

TEST_F(LedgerTest, WhatWasEnteredIsThereWhenTheFileIsOpenedAgain) {
  LedgerHead head;
  std::string id;
  {
    Ledger ledger = make_ledger();
    ledger.begin_run("run-1", "survey", "first", "tester");
    ReservationRequest of_run = request(7);
    of_run.run = "run-1";
    ledger.reserve(of_run);
    ledger.reserve(request(1, kMean));
    head = ledger.head();
    id = ledger.id();
  }
  const Ledger ledger = Ledger::open(path_, Ledger::Access::kReadOnly);
  EXPECT_EQ(ledger.head(), head);
  EXPECT_EQ(ledger.id(), id);
  EXPECT_EQ(ledger.data_sets(), std::vector<DataSet>{survey()});
  const DataSetStatus status = ledger.status("survey");
  EXPECT_EQ(status.spent.total_count(), 8);
  Composition of_run;
  of_run.append(kStep, 7);
  EXPECT_EQ(ledger.reserved_by_run("run-1"), of_run);
  EXPECT_TRUE(ledger.verify(head).ok());
}

// sigma = 10, budget epsilon 3 at 1e-5: the number of releases that fit follows from the exact
// delta of mu = sqrt(n) / 10, computed here by erfc alone.
TEST_F(LedgerTest, TheBudgetRefusesTheReleaseThatWouldExceedIt) {
  std::int64_t room = 0;
  while (gaussian_delta_oracle(std::sqrt(static_cast<double>(room + 1)) / 10, 3.0) <= 1e-5) ++room;
  ASSERT_GT(room, 10);
  Ledger ledger = make_ledger();
  EXPECT_THROW(ledger.reserve(request(room + 1, kMean)), BudgetExceeded);
  for (std::int64_t i = 0; i < room; ++i) ledger.reserve(request(1, kMean));
  const std::string before = exported(ledger);
  EXPECT_THAT(error_of<BudgetExceeded>([&] { ledger.reserve(request(1, kMean)); }),
              AllOf(HasSubstr("the budget of data set survey is epsilon 3 at delta 1e-05"),
                    HasSubstr("one more release (Gaussian, noise multiplier 10)")));
  EXPECT_THROW(ledger.reserve_up_to(request(5, kMean)), BudgetExceeded);
  EXPECT_EQ(exported(ledger), before);  // a refusal leaves nothing
  EXPECT_EQ(ledger.status("survey").spent.total_count(), room);
  EXPECT_FALSE(ledger.status("survey").over_budget);
}

TEST_F(LedgerTest, ReserveUpToGivesTheLargestNumberThatFits) {
  Ledger ledger = make_ledger();
  const Reservation all = ledger.reserve_up_to(request(1'000'000, kMean));
  EXPECT_LT(all.count, 1'000'000);
  EXPECT_LE(gaussian_delta_oracle(std::sqrt(static_cast<double>(all.count)) / 10, 3.0), 1e-5);
  EXPECT_GT(gaussian_delta_oracle(std::sqrt(static_cast<double>(all.count + 1)) / 10, 3.0), 1e-5);
}

TEST_F(LedgerTest, ANoiseMultiplierOfZeroIsAlwaysRefused) {
  Ledger ledger = make_ledger(1e300);
  EXPECT_THROW(ledger.reserve(request(1, GaussianMechanism{0.0})), BudgetExceeded);
}

TEST_F(LedgerTest, ReleasesOfOneDataSetDoNotChargeAnother) {
  Ledger ledger = make_ledger();
  DataSet other = survey();
  other.id = "other";
  ledger.add_data_set(other);
  ledger.reserve_up_to(request(1'000'000, kMean));
  EXPECT_EQ(ledger.status("other").guarantee.epsilon, 0.0);
  EXPECT_THROW(ledger.reserve(request(1, kMean)), BudgetExceeded);
  ReservationRequest elsewhere = request(1, kMean);
  elsewhere.data_set = "other";
  EXPECT_EQ(ledger.reserve(elsewhere).count, 1);
}

TEST_F(LedgerTest, WhatIsGivenBackCanBeSpentAgainAndNoMore) {
  Ledger ledger = make_ledger();
  const Reservation all = ledger.reserve_up_to(request(1'000'000, kMean));
  EXPECT_THROW(ledger.give_back(all.id, all.count + 1, "never ran"), std::invalid_argument);
  ledger.give_back(all.id, 3, "never ran");
  EXPECT_THROW(ledger.give_back(all.id, all.count - 2, "never ran"), std::invalid_argument);
  EXPECT_EQ(ledger.reserve_up_to(request(1'000'000, kMean)).count, 3);
  EXPECT_THROW(ledger.reserve(request(1, kMean)), BudgetExceeded);
  EXPECT_TRUE(ledger.verify().ok());
}

// Two objects, as two processes would have: each sees what the other entered and gave back.
TEST_F(LedgerTest, TheRememberedAccountantFollowsWhatOthersDo) {
  Ledger one = make_ledger();
  Ledger two = Ledger::open(path_);
  one.reserve(request(1, kMean));
  const Reservation of_two = two.reserve_up_to(request(1'000'000, kMean));
  EXPECT_THROW(one.reserve(request(1, kMean)), BudgetExceeded);
  two.give_back(of_two.id, 5, "never ran");
  EXPECT_EQ(one.reserve_up_to(request(9, kMean)).count, 5);
  EXPECT_THROW(two.reserve(request(1, kMean)), BudgetExceeded);
  one.change_budget("survey", {.epsilon = 4.0, .delta = 1e-5}, "the board said so");
  EXPECT_EQ(two.reserve(request(1, kMean)).count, 1);
  two.change_budget("survey", {.epsilon = 0.5, .delta = 1e-5}, "the board changed its mind");
  EXPECT_THROW(one.reserve(request(1, kMean)), BudgetExceeded);
  EXPECT_TRUE(one.status("survey").over_budget);
}

TEST_F(LedgerTest, ForeignReleasesAreEnteredEvenOverTheBudgetAndNeverGivenBack) {
  Ledger ledger = make_ledger(0.1);
  Composition releases;
  releases.append(GaussianMechanism{2.0}, 3, "census");
  releases.append(ApproximateDpMechanism{0.5, 1e-9}, 1, "counts");
  EXPECT_THROW(ledger.record_foreign("survey", releases, ""), std::invalid_argument);
  Composition gaussians;
  gaussians.append(GaussianMechanism{2.0}, 3, "census");
  gaussians.append(kStep, 10, "a model");
  ledger.record_foreign("survey", gaussians, "published by the statistics office", "tester");
  const DataSetStatus status = ledger.status("survey");
  EXPECT_TRUE(status.over_budget);
  EXPECT_EQ(status.spent.total_count(), 13);
  EXPECT_THROW(ledger.reserve(request(1, GaussianMechanism{1e6})), BudgetExceeded);
  EXPECT_THROW(ledger.give_back(ledger.head().count, 1, "no"), std::invalid_argument);
  EXPECT_TRUE(ledger.verify().ok());
}

TEST_F(LedgerTest, ValuesOutOfRangeAreNamedAndLeaveNothing) {
  Ledger ledger = make_ledger();
  const std::string before = exported(ledger);
  const auto adding = [&](const auto& change) {
    DataSet set = survey();
    set.id = "next";
    change(set);
    return error_of<std::invalid_argument>([&] { ledger.add_data_set(set); });
  };
  EXPECT_THAT(adding([](DataSet& s) { s.id = "a b"; }),
              HasSubstr("data set = a b, expected 1 to 64 of letters"));
  EXPECT_THAT(adding([](DataSet& s) { s.id = std::string(65, 'a'); }), HasSubstr("1 to 64"));
  EXPECT_THAT(adding([](DataSet& s) { s.id = "survey"; }), HasSubstr("a data set survey already"));
  EXPECT_THAT(adding([](DataSet& s) { s.unit = ""; }), HasSubstr("unit"));
  EXPECT_THAT(adding([](DataSet& s) { s.unit = "\xff"; }), HasSubstr("expected UTF-8"));
  EXPECT_THAT(adding([](DataSet& s) { s.description = std::string(4097, 'x'); }),
              HasSubstr("length of description = 4097, expected at most 4096"));
  EXPECT_THAT(adding([](DataSet& s) { s.public_size = 0; }), HasSubstr("public_size = 0"));
  for (const double epsilon : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_THAT(adding([&](DataSet& s) { s.budget.epsilon = epsilon; }),
                HasSubstr("expected finite and > 0"));
  }
  for (const double delta : {0.0, 1.0, std::nan("")}) {
    EXPECT_THAT(adding([&](DataSet& s) { s.budget.delta = delta; }),
                HasSubstr("expected > 0 and < 1"));
  }
  EXPECT_THAT(adding([](DataSet& s) { s.budget.accountant = "moments"; }),
              HasSubstr("make_accountant: name = moments"));

  const auto reserving = [&](const auto& change) {
    ReservationRequest wanted = request(1);
    change(wanted);
    return error_of<std::invalid_argument>([&] { ledger.reserve(wanted); });
  };
  EXPECT_THAT(reserving([](auto& r) { r.count = 0; }), HasSubstr("count = 0, expected >= 1"));
  EXPECT_THAT(reserving([](auto& r) { r.data_set = "none"; }), HasSubstr("no data set none"));
  EXPECT_THAT(reserving([](auto& r) { r.run = "none"; }), HasSubstr("run = none"));
  EXPECT_THAT(reserving([](auto& r) { r.label = "\xc0\xaf"; }), HasSubstr("expected UTF-8"));
  EXPECT_THAT(reserving([](auto& r) { r.mechanism = GaussianMechanism{-1}; }),
              HasSubstr("noise_multiplier = -1"));
  EXPECT_THAT(reserving([](auto& r) {
                r.mechanism = PoissonSampledGaussianMechanism{2, 1};
              }),
              HasSubstr("sampling_rate = 2"));
  EXPECT_THROW(ledger.note(""), std::invalid_argument);
  EXPECT_THROW(ledger.change_budget("survey", {.epsilon = 1, .delta = 0.1}, ""),
               std::invalid_argument);
  EXPECT_THROW(ledger.give_back(1, 1, "no reservation"), std::invalid_argument);
  EXPECT_EQ(exported(ledger), before);
}

TEST_F(LedgerTest, CountsThatDoNotFitAreRefused) {
  Ledger ledger = make_ledger();
  Composition nothing;  // sampling rate 0 costs nothing, however often
  nothing.append(PoissonSampledGaussianMechanism{0, 1}, std::numeric_limits<std::int64_t>::max());
  ledger.record_foreign("survey", nothing, "free");
  EXPECT_THROW(ledger.record_foreign("survey", nothing, "free"), std::invalid_argument);
  EXPECT_TRUE(ledger.verify().ok());
}

TEST_F(LedgerTest, ARunBelongsToOneDataSet) {
  Ledger ledger = make_ledger();
  DataSet other = survey();
  other.id = "other";
  ledger.add_data_set(other);
  ledger.begin_run("run-1", "survey", "");
  const std::string before = exported(ledger);
  ledger.begin_run("run-1", "survey", "again");
  EXPECT_EQ(exported(ledger), before);
  EXPECT_THROW(ledger.begin_run("run-1", "other", ""), std::invalid_argument);
  ReservationRequest wanted = request(1);
  wanted.run = "run-1";
  wanted.data_set = "other";
  EXPECT_THROW(ledger.reserve(wanted), std::invalid_argument);
}

TEST_F(LedgerTest, AnExportRestoresTheSameLedger) {
  Ledger ledger = make_ledger();
  ledger.begin_run("run-1", "survey", "\"quoted\" \xc3\xa9", "tester");
  const Reservation block = ledger.reserve(request(9));
  ledger.give_back(block.id, 4, "never ran");
  ledger.change_budget("survey", {.epsilon = 5, .delta = 1e-6}, "agreed");
  ledger.note("an audit");
  const std::string lines = exported(ledger);
  Ledger copy = Ledger::restore(directory_ / "copy.db", lines);
  EXPECT_EQ(copy.head(), ledger.head());
  EXPECT_EQ(exported(copy), lines);
  EXPECT_TRUE(copy.verify(ledger.head()).ok());
  EXPECT_EQ(copy.status("survey").spent, ledger.status("survey").spent);
  copy.reserve(request(1));
  EXPECT_TRUE(copy.verify(ledger.head()).ok());  // it grew from there
}

TEST_F(LedgerTest, ADamagedExportRestoresNothing) {
  Ledger ledger = make_ledger();
  ledger.reserve(request(9));
  ledger.reserve(request(1, kMean));
  const std::string lines = exported(ledger);
  const auto restoring = [&](const std::string& text) {
    const std::string error =
        error_of<std::invalid_argument>([&] { Ledger::restore(directory_ / "copy.db", text); });
    EXPECT_FALSE(std::filesystem::exists(directory_ / "copy.db"));
    return error;
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = lines;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_THAT(restoring(changed("\"count\":9", "\"count\":8")), HasSubstr("line 3: the hash"));
  EXPECT_THAT(restoring(lines.substr(lines.find('\n') + 1)), HasSubstr("line 1: event 2 stands"));
  EXPECT_THAT(restoring(lines.substr(0, lines.size() - 10)), HasSubstr("line 4"));
  EXPECT_THAT(restoring(""), HasSubstr("there is no event"));
  EXPECT_THAT(restoring("{}\n"), HasSubstr("line 1: expected an object with the keys"));
  EXPECT_THAT(restoring(std::string(100'000, '[')), HasSubstr("nested too deeply"));
  std::string twice = lines + lines.substr(lines.rfind('\n', lines.size() - 2) + 1);
  EXPECT_THAT(restoring(twice), HasSubstr("event 4 stands where event 5 should"));
}

TEST_F(LedgerTest, ABackupIsAVerifiedLedgerAndReplacesNothing) {
  Ledger ledger = make_ledger();
  ledger.reserve(request(9));
  ledger.backup(directory_ / "backup.db");
  const std::string lines = exported(ledger);
  ledger.reserve(request(1));
  {
    const Ledger copy = Ledger::open(directory_ / "backup.db", Ledger::Access::kReadOnly);
    EXPECT_EQ(exported(copy), lines);
  }
  EXPECT_THROW(ledger.backup(directory_ / "backup.db"), LedgerError);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "backup.db.partial"));
  EXPECT_EQ(Ledger::open(directory_ / "backup.db").reserve(request(1)).count, 1);
}

TEST_F(LedgerTest, OnlyALedgerOfThisVersionIsOpened) {
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::open(path_); }), HasSubstr("there is no ledger"));
  EXPECT_FALSE(std::filesystem::exists(path_));
  std::ofstream(path_) << "not a database, but long enough to be taken for one by its first bytes";
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::open(path_); }), HasSubstr("is not a ledger"));
  EXPECT_THROW(Ledger::create(path_), LedgerError);
  std::filesystem::remove(path_);
  meddle("CREATE TABLE t (x)");
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::open(path_); }), HasSubstr("is not a ledger"));
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::create(path_); }), HasSubstr("exists already"));
  std::filesystem::remove(path_);
  make_ledger();
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::create(path_); }), HasSubstr("exists already"));
  meddle("PRAGMA user_version = 9");
  EXPECT_THAT(error_of<LedgerError>([&] { Ledger::open(path_); }),
              HasSubstr("was written by a newer velum: its schema has version 9"));
}

LedgerHash digest_of(std::uint8_t first) {
  LedgerHash digest{};
  digest[0] = first;
  return digest;
}

TEST_F(LedgerTest, AClaimIsTakenOnceAndStaysTaken) {
  {
    Ledger ledger = make_ledger();
    EXPECT_TRUE(ledger.claim_once("threshold.decryption", digest_of(1), "tester"));
    const LedgerHead head = ledger.head();
    EXPECT_FALSE(ledger.claim_once("threshold.decryption", digest_of(1), "another"));
    EXPECT_EQ(ledger.head(), head);  // a refusal enters nothing
    EXPECT_TRUE(ledger.claim_once("threshold.decryption", digest_of(2)));
    EXPECT_TRUE(ledger.claim_once("threshold.galois_key", digest_of(1)));
    EXPECT_TRUE(ledger.verify().ok());
  }
  Ledger ledger = Ledger::open(path_);
  EXPECT_FALSE(ledger.claim_once("threshold.decryption", digest_of(1)));
  EXPECT_FALSE(ledger.claim_once("threshold.galois_key", digest_of(1)));
  EXPECT_TRUE(ledger.claim_once("threshold.galois_key", digest_of(2)));
  EXPECT_EQ(ledger.status("survey").spent.total_count(), 0);  // it costs nothing

  ledger.backup(directory_ / "backup.db");
  EXPECT_FALSE(
      Ledger::open(directory_ / "backup.db").claim_once("threshold.galois_key", digest_of(2)));
  Ledger restored = Ledger::restore(directory_ / "restored.db", exported(ledger));
  EXPECT_FALSE(restored.claim_once("threshold.decryption", digest_of(2)));
  EXPECT_TRUE(restored.claim_once("threshold.decryption", digest_of(3)));
  EXPECT_TRUE(restored.verify().ok());
}

TEST_F(LedgerTest, AClaimNeedsADomainAndAReaderMakesNone) {
  Ledger ledger = make_ledger();
  for (const std::string domain : {"", "two words", "a/b"}) {
    EXPECT_THAT(error_of<std::invalid_argument>([&] { ledger.claim_once(domain, digest_of(1)); }),
                HasSubstr("domain = " + domain));
  }
  Ledger reader = Ledger::open(path_, Ledger::Access::kReadOnly);
  EXPECT_THAT(error_of<LedgerError>([&] { reader.claim_once("x", digest_of(1)); }),
              HasSubstr("cannot be written"));
  EXPECT_TRUE(ledger.claim_once("x", digest_of(1)));
}

TEST_F(LedgerTest, ALedgerOfTheFirstVersionLearnsToClaim) {
  {
    Ledger ledger = make_ledger();
    ledger.reserve(request(1));
  }
  meddle("DROP TABLE claim; PRAGMA user_version = 1");
  EXPECT_THAT(
      error_of<LedgerError>([&] { Ledger::open(path_, Ledger::Access::kReadOnly); }),
      HasSubstr("has schema version 1: open it once for writing, which brings it to version 2"));
  Ledger ledger = Ledger::open(path_);
  EXPECT_TRUE(ledger.verify().ok());
  EXPECT_TRUE(ledger.claim_once("x", digest_of(1)));
  EXPECT_FALSE(ledger.claim_once("x", digest_of(1)));
  EXPECT_TRUE(ledger.verify().ok());
}

TEST_F(LedgerTest, AnEmptyFileThatACrashLeftIsUsed) {
  std::ofstream(path_).close();
  EXPECT_THROW(Ledger::open(path_), LedgerError);
  EXPECT_TRUE(make_ledger().verify().ok());
}

TEST_F(LedgerTest, AReaderWritesNothing) {
  make_ledger();
  Ledger reader = Ledger::open(path_, Ledger::Access::kReadOnly);
  EXPECT_THAT(error_of<LedgerError>([&] { reader.reserve(request(1)); }),
              HasSubstr("cannot be written"));
  EXPECT_TRUE(reader.verify().ok());
}

TEST_F(LedgerTest, AFileThatIsNotInItsPlaceAnyMoreTakesNoRelease) {
  const std::string expected = "was moved, removed or replaced while it was open";
  Ledger moved = make_ledger();
  moved.reserve(request(1));
  std::filesystem::rename(path_, directory_ / "elsewhere");
  EXPECT_THAT(error_of<LedgerError>([&] { moved.reserve(request(1)); }), HasSubstr(expected));
  EXPECT_THAT(error_of<LedgerError>([&] { moved.status("survey"); }), HasSubstr(expected));
  std::filesystem::rename(directory_ / "elsewhere", path_);
  EXPECT_EQ(moved.reserve(request(1)).id, 4);

  // An earlier copy takes its place, as when a backup is put back.
  std::filesystem::copy_file(path_, directory_ / "copy");
  std::filesystem::rename(directory_ / "copy", path_);
  EXPECT_THAT(error_of<LedgerError>([&] { moved.reserve(request(1)); }), HasSubstr(expected));
  std::filesystem::remove(path_);
  EXPECT_THAT(error_of<LedgerError>([&] { moved.reserve(request(1)); }), HasSubstr(expected));
}

TEST_F(LedgerTest, AForkedProcessMayNotUseIt) {
  Ledger ledger = make_ledger();
  const pid_t child = fork();
  if (child == 0) {
    try {
      ledger.reserve(request(1));
    } catch (const std::logic_error&) {
      std::_Exit(7);
    } catch (...) {
    }
    std::_Exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_TRUE(ledger.status("survey").spent.empty());
}

TEST_F(LedgerTest, HeadsAreTextAndBack) {
  const LedgerHead head = make_ledger().head();
  EXPECT_EQ(LedgerHead::from_string(head.to_string()), head);
  EXPECT_EQ(head.to_string().substr(0, 2), "2:");
  const std::string zeros(64, '0');
  for (const std::string& text : std::vector<std::string>{
           "", ":", "2", "2:", "0:" + zeros, "02:" + zeros, "2:" + zeros.substr(1),
           "2:" + zeros.substr(1) + "G", "-1:" + zeros, "2:" + zeros + " "}) {
    EXPECT_THROW(LedgerHead::from_string(text), std::invalid_argument) << text;
  }
}

// The bytes under the hash, put together here by hand.
TEST_F(LedgerTest, TheHashCoversPredecessorNumberTimeKindAndBody) {
  Ledger ledger = make_ledger();
  ledger.reserve(request(3));
  std::string previous(32, '\0');
  const auto number = [](std::uint64_t value) {
    std::string bytes;
    for (int i = 7; i >= 0; --i) bytes += static_cast<char>(value >> (8 * i));
    return bytes;
  };
  std::int64_t count = 0;
  ledger.for_each_event([&](const LedgerEvent& event) {
    const std::string bytes = previous + number(static_cast<std::uint64_t>(++count)) +
                              number(static_cast<std::uint64_t>(event.time)) +
                              number(event.kind.size()) + event.kind + number(event.body.size()) +
                              event.body;
    std::string hash(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
           reinterpret_cast<unsigned char*>(hash.data()));
    EXPECT_TRUE(std::equal(event.hash.begin(), event.hash.end(),
                           reinterpret_cast<const std::uint8_t*>(hash.data())));
    previous = hash;
  });
  EXPECT_EQ(count, 3);
}

TEST_F(LedgerTest, ForeignReleasesAreReadFromLines) {
  const Composition releases = parse_foreign_releases(
      "{\"mechanism\":{\"kind\":\"gaussian\",\"noise_multiplier\":2},\"count\":3,"
      "\"label\":\"census\"}\n\n{\"mechanism\":{\"kind\":\"approximate_dp\",\"epsilon\":0.5,"
      "\"delta\":0}}\n",
      Neighbouring::kReplaceOne);
  Composition expected(Neighbouring::kReplaceOne);
  expected.append(GaussianMechanism{2.0}, 3, "census");
  expected.append(ApproximateDpMechanism{0.5, 0.0});
  EXPECT_EQ(releases, expected);
  const auto reading = [](const std::string& text) {
    return error_of<std::invalid_argument>(
        [&] { parse_foreign_releases(text, Neighbouring::kAddOrRemoveOne); });
  };
  const std::string good = "{\"mechanism\":{\"kind\":\"gaussian\",\"noise_multiplier\":2}}\n";
  EXPECT_THAT(reading(good + "{\"mechanism\":{\"kind\":\"gaussian\"}}"), HasSubstr("line 2"));
  EXPECT_THAT(reading(good + good + "[]"), HasSubstr("line 3: expected an object"));
  EXPECT_THAT(reading(good + "{\"mechanism\":{\"kind\":\"gaussian\",\"noise_multiplier\":2},"
                             "\"count\":0}"),
              HasSubstr("line 2"));
  EXPECT_THAT(reading("\n"), HasSubstr("there is no release"));
}

// --- the guard ----------------------------------------------------------------------------------

TEST_F(LedgerGuardTest, ReservesInBlocksAndGivesBackWhatNeverRan) {
  make_ledger(1000);
  auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
  {
    LedgerGuard guard(ledger, "survey", "run-1", 10);
    for (int step = 1; step <= 23; ++step) {
      guard.before_release(kStep, "training");
      // What is in the ledger when a release happens is never less than what happened.
      EXPECT_EQ(ledger->status("survey").spent.total_count(), (step + 9) / 10 * 10);
    }
  }
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 23);
  EXPECT_EQ(ledger->reserved_by_run("run-1").total_count(), 23);
  EXPECT_TRUE(ledger->verify().ok());
}

TEST_F(LedgerGuardTest, SaysForWhichRelationAndUnitItsDataSetIsKept) {
  const auto ledger = std::make_shared<Ledger>(make_ledger());
  DataSet replaced = survey(3.0);
  replaced.id = "replaced";
  replaced.neighbouring = Neighbouring::kReplaceOne;
  replaced.unit = "household";
  ledger->add_data_set(replaced, "tester");
  const LedgerGuard first(ledger, "survey", "run-1"), second(ledger, "replaced", "run-2");
  EXPECT_EQ(first.neighbouring(), Neighbouring::kAddOrRemoveOne);
  EXPECT_EQ(first.unit(), survey(3.0).unit);
  EXPECT_EQ(second.neighbouring(), Neighbouring::kReplaceOne);
  EXPECT_EQ(second.unit(), "household");
}

TEST_F(LedgerGuardTest, StopsExactlyAtTheBudget) {
  Ledger first = make_ledger();
  const std::int64_t room = first.reserve_up_to(request(1'000'000, kMean)).count;
  const std::int64_t reservation = first.head().count;
  first.give_back(reservation, room, "never ran");
  auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
  LedgerGuard guard(ledger, "survey", "run-1", 7);
  std::int64_t released = 0;
  try {
    for (;; ++released) guard.before_release(kMean, "mean");
  } catch (const BudgetExceeded&) {
  }
  EXPECT_EQ(released, room);
  EXPECT_EQ(ledger->status("survey").spent.total_count(), room);
}

TEST_F(LedgerGuardTest, MechanismsAndLabelsHaveBlocksOfTheirOwn) {
  make_ledger(1000);
  auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
  LedgerGuard guard(ledger, "survey", "run-1", 10);
  guard.before_release(kStep, "training");
  guard.before_release(kMean, "mean");
  guard.reserve_ahead(kMean, "second moment", 1);
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 21);
  guard.before_release(kMean, "second moment");
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 21);
  guard.give_back_unused();
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 3);
  guard.before_release(kStep, "training");  // it may go on
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 13);
}

TEST_F(LedgerGuardTest, AForkedCopyGivesNothingBack) {
  make_ledger(1000);
  auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
  auto guard = std::make_unique<LedgerGuard>(ledger, "survey", "run-1", 10);
  guard->before_release(kStep, "training");
  const pid_t child = fork();
  if (child == 0) {
    bool refused = false;
    try {
      guard->before_release(kStep, "training");
    } catch (const std::logic_error&) {
      refused = true;
    }
    guard.reset();
    ledger.reset();
    std::_Exit(refused ? 7 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(ledger->status("survey").spent.total_count(), 10);
}

TEST_F(LedgerGuardTest, ABlockOfNothingIsRefused) {
  make_ledger();
  auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
  EXPECT_THROW(LedgerGuard(ledger, "survey", "run-1", 0), std::invalid_argument);
}

}  // namespace
}  // namespace velum::dpsgd
