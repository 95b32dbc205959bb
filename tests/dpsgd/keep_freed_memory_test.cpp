#include "velum/dpsgd/keep_freed_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace velum::testing {
namespace {

long faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

/// Allocates blocks, writes to each page of them, and frees them.
void use_memory(std::size_t bytes_of_block, std::size_t blocks, long page) {
  std::vector<std::unique_ptr<volatile char[]>> all;
  for (std::size_t i = 0; i < blocks; ++i) {
    // Not a vector: nothing but these writes touches the block.
    all.emplace_back(new volatile char[bytes_of_block]);
    for (std::size_t at = 0; at < bytes_of_block; at += static_cast<std::size_t>(page)) {
      all.back()[at] = 1;
    }
  }
}

// Blocks above and below the 32 MiB from which on glibc always maps.
TEST(KeepFreedMemory, PagesAreTakenFromTheSystemOnce) {
  const long page = sysconf(_SC_PAGESIZE);
  const auto pages_taken = [page](std::size_t bytes_of_block) {
    const long before = faults();
    use_memory(bytes_of_block, 4, page);
    return faults() - before;
  };
  constexpr std::size_t kLarge = std::size_t{40} << 20, kSmall = std::size_t{20} << 20;
  const long of_large = 4 * static_cast<long>(kLarge) / page;
  pages_taken(kLarge);
  // More pages than these come at once where the system has huge ones.
  if (pages_taken(kLarge) < of_large / 2) GTEST_SKIP() << "no pages of their own to be counted";
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
  ASSERT_TRUE(dpsgd::keep_freed_memory());
#else
  if (!dpsgd::keep_freed_memory()) GTEST_SKIP() << "not glibc's malloc";
#endif
  pages_taken(kLarge);
  EXPECT_LT(pages_taken(kLarge), of_large / 100);
  EXPECT_LT(pages_taken(kSmall), of_large / 100);
}

}  // namespace
}  // namespace velum::testing
