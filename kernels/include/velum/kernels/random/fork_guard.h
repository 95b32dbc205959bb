#pragma once

#include <sys/types.h>

#include <cstdint>

namespace velum::kernels {

/// Remembers the process in which it was made: what holds a random key holds one of these, for a
/// forked child has the parent's key and would draw the parent's numbers again.
///
///     guard_.require_same_process("PoissonSampler::next");
///
/// A fork is noticed by a handler (pthread_atfork), so also where the child has got the number of a
/// process that has ended; and by the number of the process where fork() was gone around.
class ForkGuard {
 public:
  ForkGuard();

  /// Whether this process is a forked child of the one that made the guard, or of its children.
  bool forked() const;
  /// @throws std::logic_error naming `function` and the remedy if `forked()`.
  void require_same_process(const char* function) const;

 private:
  std::uint64_t generation_;
  pid_t process_;
};

}  // namespace velum::kernels
