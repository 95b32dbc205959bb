// Rounds that were used stay used: in the ledger's file, after the process that used them has
// ended, in whatever way.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "aggregation_fixture.h"
#include "support/temporary_directory.h"
#include "velum/dpsgd/ledger/ledger.h"

namespace velum::he::aggregation {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture

threshold::OnceRegister register_in(dpsgd::Ledger& ledger) {
  return [&ledger](std::string_view domain, const threshold::Digest& digest) {
    return ledger.claim_once(domain, digest);
  };
}

/// Runs `body` in a process of its own.
/// @return its exit status; -1 if it was killed.
int in_a_process(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// What became of an attempt.
enum Outcome { kMade = 10, kRefused = 11, kFailed = 12 };

template <typename Attempt>
int outcome_of(const Attempt& attempt) {
  try {
    attempt();
    return kMade;
  } catch (const threshold::AlreadyUsed&) {
    return kRefused;
  } catch (...) {
    return kFailed;
  }
}

class AggregationAfterARestart : public ::testing::Test {
 protected:
  AggregationAfterARestart() { dpsgd::Ledger::create(path_); }

  /// A process that has the same secret (of the same seed) and the same register file.
  int encrypt(std::uint64_t round, bool killed = false) const {
    return in_a_process([&] {
      const Group group = group_of_secrets();
      dpsgd::Ledger ledger = dpsgd::Ledger::open(path_);
      const VectorEncryptor encryptor(group.context, group.secrets[0], 1, group.id,
                                      register_in(ledger));
      const Values values(20, 1);
      return outcome_of([&] {
        encryptor.encrypt(round, Span<const std::int32_t>(values), group.stream);
        if (killed) kill(getpid(), SIGKILL);  // before anybody got the vector
      });
    });
  }
  int share(std::uint64_t round, const std::vector<int>& owners) const {
    return in_a_process([&] {
      const Group group = group_of_secrets();
      dpsgd::Ledger ledger = dpsgd::Ledger::open(path_);
      const PartialDecryptor decryptor(group.context, group.secrets[0], 1, group.id, group.masks(1),
                                       register_in(ledger));
      return outcome_of([&] { decryptor.share(round, owners, owners, group.stream); });
    });
  }
  /// Threads do not survive a fork, so it is made in each process.
  static Group group_of_secrets() { return {small_insecure_plan(20, 8, 3, 0), Backend::kCpu, 1}; }

  const TemporaryDirectory directory_;
  const std::filesystem::path path_ = directory_ / "ledger.db";
};

TEST_F(AggregationAfterARestart, AVectorOfAUsedRoundIsRefused) {
  EXPECT_EQ(encrypt(1), kMade);
  EXPECT_EQ(encrypt(1), kRefused);
  EXPECT_EQ(encrypt(2), kMade);
  EXPECT_EQ(encrypt(1), kRefused);
  EXPECT_EQ(encrypt(2), kRefused);
}

TEST_F(AggregationAfterARestart, AVectorThatWasNeverSentHasUsedItsRoundToo) {
  EXPECT_EQ(encrypt(1, /*killed=*/true), -1);
  EXPECT_EQ(encrypt(1), kRefused);
}

TEST_F(AggregationAfterARestart, AShareOfAUsedRoundIsRefused) {
  EXPECT_EQ(share(1, {1, 2, 3}), kMade);
  EXPECT_EQ(share(1, {1, 2, 3}), kRefused);
  EXPECT_EQ(share(1, {1, 2}), kRefused);  // the one that would give a vector away
  EXPECT_EQ(share(2, {1, 2}), kMade);
}

}  // namespace
}  // namespace velum::he::aggregation
