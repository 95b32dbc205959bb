#include "velum/kernels/random/fork_guard.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <system_error>

namespace velum::kernels {
namespace {

/// How many forks lie between this process and the first that asked.
std::atomic<std::uint64_t>& generation() {
  static std::atomic<std::uint64_t> value{0};
  static const int registered = [] {
    const int error = ::pthread_atfork(nullptr, nullptr, [] { ++value; });
    if (error != 0) {
      throw std::system_error(error, std::generic_category(), "ForkGuard: pthread_atfork");
    }
    return 0;
  }();
  static_cast<void>(registered);
  return value;
}

}  // namespace

ForkGuard::ForkGuard() : generation_(generation()), process_(::getpid()) {}

bool ForkGuard::forked() const { return generation() != generation_ || ::getpid() != process_; }

void ForkGuard::require_same_process(const char* function) const {
  if (!forked()) return;
  throw std::logic_error(
      std::string(function) +
      ": this process was forked from the one that made the object, whose random "
      "key it shares: it would repeat the other's numbers. Make the object in "
      "the process that uses it");
}

}  // namespace velum::kernels
