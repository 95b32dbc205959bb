#include "velum/dpsgd/training/release_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/temporary_directory.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;
using ::velum::testing::TemporaryDirectory;

const GaussianMechanism kMean{11.5};
const PoissonSampledGaussianMechanism kStep{0.03, 1.1};

class ReleaseJournalTest : public ::testing::Test {
 protected:
  std::string content() const { return read_file(path_); }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  std::string error_of_opening() const {
    try {
      ReleaseJournal journal(path_);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "no error";
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "releases.jsonl";
};

// The record is in the file, whole, when `record` returns: before the release.
TEST_F(ReleaseJournalTest, RecordsAreInTheFileBeforeTheReleaseTheyAnnounce) {
  ReleaseJournal journal(path_);
  for (int step = 1; step <= 5; ++step) {
    journal.record(kStep, "step");
    const std::string text = content();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), step + 1);
    EXPECT_EQ(text.back(), '\n');
    EXPECT_EQ(journal.history().total_count(), step);
  }
}

TEST_F(ReleaseJournalTest, LaterSessionsSeeAllReleasesAndTakeANewKeyEpoch) {
  for (std::uint32_t session = 0; session < 4; ++session) {
    ReleaseJournal journal(path_);
    EXPECT_EQ(journal.key_epoch(), session);
    EXPECT_EQ(journal.history().total_count(), 3 * session);
    journal.record(kMean, "mean");
    journal.record(kStep, "step");
    journal.record(kStep, "step");
  }
  const ReleaseJournal journal(path_);
  Composition expected;
  for (int session = 0; session < 4; ++session) {
    expected.append(kMean, 1, "mean");
    expected.append(kStep, 2, "step");
  }
  EXPECT_EQ(journal.history(), expected);
}

TEST_F(ReleaseJournalTest, ASessionWithoutReleasesStillUsesUpItsKeyEpoch) {
  { ReleaseJournal journal(path_); }
  EXPECT_EQ(ReleaseJournal(path_).key_epoch(), 1u);
}

// A crash inside `record` leaves a beginning of the line: the release was not made.
TEST_F(ReleaseJournalTest, ALineThatACrashCutOffIsDropped) {
  {
    ReleaseJournal journal(path_);
    journal.record(kStep, "step");
    journal.record(kStep, "step");
  }
  const std::string whole = content();
  const std::size_t last_line = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t size = last_line; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    const ReleaseJournal journal(path_);
    EXPECT_EQ(journal.history().total_count(), 1) << size;
    EXPECT_EQ(journal.key_epoch(), 1u);
  }
  EXPECT_EQ(ReleaseJournal(path_).history().total_count(), 1);
}

TEST_F(ReleaseJournalTest, DamageIsAnErrorThatNamesTheLine) {
  {
    ReleaseJournal journal(path_);
    journal.record(kStep, "step");
  }
  const std::string good = content();
  for (const std::string& line :
       {std::string("{}"), std::string("release"), std::string("{\"key_epoch\":7}"),
        std::string("{\"key_epoch\":\"0\"}")}) {
    write(good + line + "\n");
    EXPECT_THAT(error_of_opening(), HasSubstr("the record of releases is damaged"));
    EXPECT_THAT(error_of_opening(), HasSubstr("line 3"));
  }
  write(good.substr(good.find('\n') + 1));
  EXPECT_THAT(error_of_opening(), HasSubstr("a release before the first key_epoch"));
}

// Where the record cannot be written, `record` throws and nothing is left of the attempt.
TEST_F(ReleaseJournalTest, AFullDiskRefusesTheRelease) {
  ReleaseJournal journal(path_);
  journal.record(kStep, "step");
  const std::string before = content();
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{before.size() + 10, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(journal.record(kStep, "step"), std::system_error);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(content(), before);
  EXPECT_EQ(journal.history().total_count(), 1);
  journal.record(kStep, "step");
  EXPECT_EQ(ReleaseJournal(path_).history().total_count(), 2);
}

TEST(DirectoryLock, ASecondHolderIsRefused) {
  const TemporaryDirectory directory;
  {
    const DirectoryLock lock(directory.path());
    EXPECT_THROW(DirectoryLock second(directory.path()), std::runtime_error);
  }
  const DirectoryLock again(directory.path());
}

TEST(RequireWritableDirectory, CreatesTheDirectoryAndLeavesNothingInIt) {
  const TemporaryDirectory directory;
  require_writable_directory(directory.path() / "a" / "b", (1 << 20) + 1);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path() / "a" / "b"));
}

TEST(RequireWritableDirectory, WhatCannotBeWrittenIsAnError) {
  const TemporaryDirectory directory;
  std::ofstream(directory.path() / "file") << "x";
  EXPECT_THROW(require_writable_directory(directory.path() / "file", 1), std::system_error);
  EXPECT_THROW(require_writable_directory(directory.path() / "file" / "a", 1), std::system_error);
  EXPECT_THROW(require_writable_directory("/proc/velum", 1), std::system_error);
}

}  // namespace
}  // namespace velum::dpsgd
