#include "velum/kernels/random/fork_guard.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace velum::kernels {
namespace {

/// Whether `check` holds in a forked child.
template <typename Check>
bool holds_in_a_child(const Check& check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(ForkGuard, NoticesAForkInTheChildAndNotInTheParent) {
  const ForkGuard guard;
  EXPECT_FALSE(guard.forked());
  EXPECT_TRUE(holds_in_a_child([&] { return guard.forked(); }));
  EXPECT_FALSE(guard.forked());
  EXPECT_NO_THROW(guard.require_same_process("test"));
}

TEST(ForkGuard, NoticesTheForkOfAFork) {
  const ForkGuard guard;
  EXPECT_TRUE(holds_in_a_child(
      [&] { return holds_in_a_child([&] { return guard.forked(); }) && guard.forked(); }));
}

TEST(ForkGuard, AGuardOfTheChildIsAtHomeThere) {
  EXPECT_TRUE(holds_in_a_child([] {
    const ForkGuard guard;
    return !guard.forked();
  }));
}

TEST(ForkGuard, TheErrorNamesTheFunctionAndTheRemedy) {
  const ForkGuard guard;
  EXPECT_TRUE(holds_in_a_child([&] {
    try {
      guard.require_same_process("PoissonSampler::next");
    } catch (const std::logic_error& error) {
      const std::string text = error.what();
      return text.find("PoissonSampler::next: ") == 0 &&
             text.find("Make the object in the process that uses it") != std::string::npos;
    }
    return false;
  }));
}

}  // namespace
}  // namespace velum::kernels
