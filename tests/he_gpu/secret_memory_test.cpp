#include "secret_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <sstream>
#include <string>

#include "secret_buffer.h"

namespace velum::he {
namespace {

/// The flags of the mapping that holds `address`, from /proc/self/smaps.
std::string flags_of(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream words(line);
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      return line + " ";
    }
  }
  return "";
}

bool all_zero(const char* bytes, std::size_t count) {
  return std::all_of(bytes, bytes + count, [](char byte) { return byte == 0; });
}

/// Whoever gets the pages next finds zeros, with any number of threads that wipe.
TEST(SecretMemory, IsWipedBeforeItIsUsedAgain) {
  for (const int threads : {1, 2, 3}) {
    const kernels::Stream stream = kernels::Stream::cpu(threads);
    for (const std::size_t size : {std::size_t{1}, std::size_t{5000}, std::size_t{3000001}}) {
      char* pages = nullptr;
      {
        const SecretBuffer<char> secret(static_cast<std::int64_t>(size), stream);
        pages = secret.data();
        std::fill_n(pages, size, 'x');
      }
      const SecretBuffer<char> next(static_cast<std::int64_t>(size), stream);
      ASSERT_EQ(next.data(), pages) << "the pages were not kept: this test shows nothing";
      EXPECT_TRUE(all_zero(next.data(), size)) << threads << " threads, " << size << " bytes";
    }
  }
}

/// A scheduler that fails has wiped nothing.
TEST(SecretMemory, IsWipedThoughTheSchedulerThrows) {
  class Failing final : public kernels::ParallelFor {
   public:
    int thread_count() const override { return 2; }
    void run(std::int64_t, std::int64_t,
             const std::function<void(std::int64_t, std::int64_t)>&) override {
      throw std::bad_alloc();
    }
  };
  const kernels::Stream stream = kernels::Stream::cpu(std::make_shared<Failing>());
  constexpr std::size_t kSize = 777777;
  char* pages = nullptr;
  {
    const SecretBuffer<char> secret(kSize, stream);
    pages = secret.data();
    std::fill_n(pages, kSize, 'x');
  }
  const SecretBuffer<char> next(kSize, stream);
  ASSERT_EQ(next.data(), pages);
  EXPECT_TRUE(all_zero(next.data(), kSize));
}

TEST(SecretMemory, StaysLockedAndOutOfCoreDumps) {
  const kernels::Stream stream = kernels::Stream::serial();
  for (int round = 0; round < 2; ++round) {  // new pages, then kept ones
    const SecretBuffer<char> secret(12345, stream);
    const std::string flags = flags_of(secret.data());
    ASSERT_NE(flags, "");
    EXPECT_NE(flags.find(" lo "), std::string::npos) << flags;
    EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
  }
}

/// The limit of locked memory holds for all but root: nobody, while one lives.
class AsNobody {
 public:
  AsNobody() {
    getrlimit(RLIMIT_MEMLOCK, &limit_);
    rlimit lower = limit_;
    lower.rlim_cur = std::min<rlim_t>(limit_.rlim_cur, rlim_t{8} << 20);
    setrlimit(RLIMIT_MEMLOCK, &lower);
    if (user_ == 0) is_nobody_ = seteuid(65534) == 0;
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  ~AsNobody() {
    if (is_nobody_ && seteuid(user_) != 0) ADD_FAILURE() << "the user is not root any more";
    setrlimit(RLIMIT_MEMLOCK, &limit_);
  }

 private:
  uid_t user_ = geteuid();
  bool is_nobody_ = false;
  rlimit limit_{};
};

/// Pages that are kept do not use up what may be locked.
TEST(SecretMemory, ThatIsKeptGivesWayToNewSecrets) {
  const AsNobody nobody;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  const auto most = static_cast<std::int64_t>(limit.rlim_cur);
  const kernels::Stream stream = kernels::Stream::serial();
  for (std::int64_t i = 0; i < 4; ++i) {  // in all more than the limit
    const SecretBuffer<char> secret(most / 3 + i * 4096, stream);
  }
  {
    const SecretBuffer<char> more_than_may_be_locked(most + 4096, stream);
    ASSERT_EQ(flags_of(more_than_may_be_locked.data()).find(" lo "), std::string::npos);
  }
  for (std::int64_t i = 0; i < 4; ++i) {
    const SecretBuffer<char> secret(most / 3 + i * 4096, stream);
    ASSERT_NE(flags_of(secret.data()).find(" lo "), std::string::npos) << i;
  }
}

TEST(SecretMemory, InUseIsNeverHandedOutTwice) {
  const kernels::Stream stream = kernels::Stream::serial();
  const SecretBuffer<char> first(5000, stream), second(5000, stream);
  EXPECT_NE(first.data(), second.data());
}

}  // namespace
}  // namespace velum::he
