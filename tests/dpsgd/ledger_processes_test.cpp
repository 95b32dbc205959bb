// Several processes, and processes that are killed. Children are this very program: fork() without
// exec, while no ledger is open and no thread runs.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

#include "ledger_fixture.h"
#include "velum/dpsgd/ledger/ledger_guard.h"

namespace velum::dpsgd {
namespace {

class LedgerProcesses : public LedgerFixture {
 protected:
  /// Runs `work` in a child; what it writes is read from `pipe`.
  template <typename Work>
  static pid_t start(const Work& work) {
    const pid_t child = fork();
    if (child == 0) {
      int code = 0;
      try {
        work();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
        code = 1;
      }
      std::_Exit(code);
    }
    return child;
  }
};

// Eight processes take releases until the budget refuses each of them, singly, in blocks, and
// giving back. Together they get exactly what one process gets alone.
TEST_F(LedgerProcesses, EightOfThemNeverOverspendTogether) {
  const Mechanism query = GaussianMechanism{30.0};
  std::int64_t room = 0;
  {
    Ledger alone = make_ledger();
    const Reservation all = alone.reserve_up_to(request(1'000'000, query));
    room = all.count;
    alone.give_back(all.id, room, "never ran");
  }
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::array<pid_t, 8> children{};
  for (std::size_t number = 0; number < children.size(); ++number) {
    children[number] = start([&] {
      const auto release = [&](std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (write(ends[1], "r", 1) != 1) std::_Exit(2);
        }
      };
      auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
      try {
        if (number % 2 == 0) {
          for (;;) release(ledger->reserve(request(1, query)).count);
        }
        for (;;) {
          LedgerGuard guard(ledger, "survey", "run-" + std::to_string(number), 4);
          for (int i = 0; i < 3; ++i) {
            guard.before_release(query, "mean");
            release(1);
          }
        }
      } catch (const BudgetExceeded&) {
      }
    });
  }
  close(ends[1]);
  std::int64_t released = 0;
  char byte = 0;
  while (read(ends[0], &byte, 1) == 1) ++released;
  close(ends[0]);
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  Ledger ledger = Ledger::open(path_);
  const DataSetStatus status = ledger.status("survey");
  EXPECT_EQ(status.spent.total_count(), released);
  EXPECT_FALSE(status.over_budget);
  EXPECT_EQ(released, room);
  EXPECT_GT(room, 300);
  EXPECT_TRUE(ledger.verify().ok());
}

// Eight processes claim the same hundred things; each is had by one of them.
TEST_F(LedgerProcesses, EachThingIsClaimedByOneProcess) {
  make_ledger();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::array<pid_t, 8> children{};
  for (pid_t& child : children) {
    child = start([&] {
      Ledger ledger = Ledger::open(path_);
      for (std::uint8_t i = 0; i < 100; ++i) {
        LedgerHash digest{};
        digest[31] = i;
        if (ledger.claim_once("share", digest) && write(ends[1], &i, 1) != 1) std::_Exit(2);
      }
    });
  }
  close(ends[1]);
  std::array<int, 100> had{};
  for (std::uint8_t i = 0; read(ends[0], &i, 1) == 1;) ++had.at(i);
  close(ends[0]);
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  for (const int times : had) EXPECT_EQ(times, 1);
  EXPECT_TRUE(Ledger::open(path_).verify().ok());
}

// A process that waits for the lock decides by what stands there when it has it. (The pause only
// makes sure that the child waits by then; without it the test still holds.)
// What fits is searched without the lock. The child finds room for 20 while the parent, which holds
// the lock, takes most of it.
TEST_F(LedgerProcesses, ASearchBesideOthersIsCheckedUnderTheLock) {
  make_ledger(1000);
  sqlite3* other = nullptr;
  const pid_t child = start([&] {
    Ledger ledger = Ledger::open(path_);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until the parent has the lock
    try {
      ledger.reserve_up_to(request(20, kMean));
    } catch (const BudgetExceeded&) {
      std::_Exit(7);
    }
  });
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 10'000);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE; UPDATE data_set SET epsilon = 1e-9", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(LedgerProcesses, ACheckSeesWhatWasEnteredWhileItWaited) {
  make_ledger(1000);
  sqlite3* other = nullptr;
  const pid_t child = start([&] {
    Ledger ledger = Ledger::open(path_);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until the parent has the lock
    try {
      ledger.reserve(request(1, kMean));
    } catch (const BudgetExceeded&) {
      std::_Exit(7);
    }
  });
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 10'000);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE; UPDATE data_set SET epsilon = 1e-9", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

/// How often to kill: 50 in every test run, VELUM_LEDGER_KILLS in a long one.
int kills() {
  const char* text = std::getenv("VELUM_LEDGER_KILLS");
  return text != nullptr ? std::atoi(text) : 50;
}

// A child reserves in blocks, "releases" by writing to a pipe, gives back, begins runs, adds notes,
// and is killed (SIGKILL) at a random moment. Whatever was released is in the ledger, and the
// ledger verifies, every time; and it is not larger by more than the blocks that were open.
TEST_F(LedgerProcesses, KilledAtRandomMomentsTheBooksAreNeverTooSmall) {
  constexpr std::int64_t kBlock = 5;
  make_ledger(1e9);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::int64_t released = 0;
  std::int64_t longest_silence = 0;
  LedgerHead head;
  for (int kill_number = 0; kill_number < kills(); ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = start([&] {
      close(ends[0]);
      auto ledger = std::make_shared<Ledger>(Ledger::open(path_));
      for (int round = 0;; ++round) {
        LedgerGuard guard(ledger, "survey",
                          "run-" + std::to_string(kill_number) + "-" + std::to_string(round % 3),
                          kBlock);
        for (int i = 0; i < 7; ++i) {
          guard.before_release(kStep, "training");
          if (write(ends[1], "r", 1) != 1) std::_Exit(2);
        }
        if (round % 4 == 3) ledger->note("still here");
      }  // three of the second block are given back
    });
    close(ends[1]);
    // Half of the kills fall into the opening, half into the work that follows.
    const int longest = kill_number % 2 == 0 ? 6'000 : 60'000;
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::uniform_int_distribution<int>(0, longest)(random)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    std::array<char, 4096> bytes{};
    for (ssize_t count = 0; (count = read(ends[0], bytes.data(), bytes.size())) > 0;) {
      released += count;
    }
    close(ends[0]);
    longest_silence += kBlock;

    Ledger ledger = Ledger::open(path_);
    const Verification verification =
        ledger.verify(head.count > 0 ? std::optional(head) : std::nullopt);
    ASSERT_TRUE(verification.ok()) << verification.findings.front() << ", kill " << kill_number;
    head = verification.head;
    const std::int64_t spent = ledger.status("survey").spent.total_count();
    ASSERT_GE(spent, released) << "kill " << kill_number;
    ASSERT_LE(spent, released + longest_silence) << "kill " << kill_number;
  }
  EXPECT_GT(released, kills());  // they did get somewhere
  RecordProperty("released", std::to_string(released));
}

// The same while the ledger is being made: it is there, whole, or it can be made.
TEST_F(LedgerProcesses, KilledWhileItIsMadeItIsThereOrCanBeMade) {
  std::mt19937 random(std::random_device{}());
  int made = 0;
  for (int kill_number = 0; kill_number < kills(); ++kill_number) {
    const std::filesystem::path path = directory_ / ("ledger-" + std::to_string(kill_number));
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = start([&] {
      Ledger::create(path).add_data_set(survey());
      if (write(ends[1], "m", 1) != 1) std::_Exit(2);
    });
    close(ends[1]);
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::uniform_int_distribution<int>(0, 20'000)(random)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    char byte = 0;
    const bool promised = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    bool there = false;
    try {
      const Ledger ledger = Ledger::open(path);
      EXPECT_TRUE(ledger.verify().ok());
      there = ledger.data_sets().size() == 1;
    } catch (const LedgerError&) {
      EXPECT_TRUE(Ledger::create(path).verify().ok());
    }
    EXPECT_TRUE(there || !promised);
    made += there;
  }
  RecordProperty("made", made);
}

}  // namespace
}  // namespace velum::dpsgd
