#include "secret_memory.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <new>
#include <vector>

namespace velum::he {
namespace {

constexpr std::size_t kMostKept = std::size_t{64} << 20;
constexpr std::size_t kMostBlocks = 64;

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return std::max(page, (bytes + page - 1) / page * page);
}

/// Pages that were wiped and given back, in that order.
class KeptPages {
 public:
  KeptPages() { kept_.reserve(kMostBlocks); }

  /// The pages of this size that were given back last, or none.
  SecretPages take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
      if (it->bytes != bytes) continue;
      const SecretPages pages = *it;
      bytes_ -= bytes;
      kept_.erase(std::next(it).base());
      return pages;
    }
    return {};
  }

  void keep(const SecretPages& pages) noexcept {
    const std::lock_guard lock(mutex_);
    if (pages.bytes > kMostKept) {
      munmap(pages.data, pages.bytes);
      return;
    }
    drop_down_to(kMostKept - pages.bytes, kMostBlocks - 1);
    kept_.push_back(pages);  // reserved: it cannot throw
    bytes_ += pages.bytes;
  }

  void drop_all() {
    const std::lock_guard lock(mutex_);
    drop_down_to(0, 0);
  }

 private:
  void drop_down_to(std::size_t bytes, std::size_t count) {
    std::ptrdiff_t dropped = 0;
    while (bytes_ > bytes || kept_.size() - static_cast<std::size_t>(dropped) > count) {
      const SecretPages& pages = kept_[static_cast<std::size_t>(dropped++)];
      bytes_ -= pages.bytes;
      munmap(pages.data, pages.bytes);
    }
    kept_.erase(kept_.begin(), kept_.begin() + dropped);
  }

  std::mutex mutex_;
  std::vector<SecretPages> kept_;
  std::size_t bytes_ = 0;
};

/// Never destroyed: keys of static lifetime come back late.
KeptPages& kept() {
  static auto* const pages = new KeptPages;
  return *pages;
}

}  // namespace

SecretPages take_secret_pages(std::size_t bytes) {
  bytes = whole_pages(bytes);
  SecretPages pages = kept().take(bytes);
  if (pages.data == nullptr) {
    void* const mapped =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    pages = {static_cast<char*>(mapped), bytes, 0};
    static_cast<void>(madvise(mapped, bytes, MADV_DONTDUMP));
  }
  // Those that were kept may have found no room for a lock, which there is now; and a fork has
  // none.
  const pid_t process = getpid();
  if (pages.locked_by == process) return pages;
  bool locked = mlock(pages.data, bytes) == 0;
  if (!locked) {
    kept().drop_all();  // it may be they that use up RLIMIT_MEMLOCK
    locked = mlock(pages.data, bytes) == 0;
  }
  pages.locked_by = locked ? process : 0;  // not locked, they may be swapped
  return pages;
}

void give_back_secret_pages(const SecretPages& pages, const kernels::Stream& stream) noexcept {
  constexpr std::int64_t kGrain = 1 << 18;  // bytes, some ten microseconds
  try {
    stream.parallel_for().run(static_cast<std::int64_t>(pages.bytes), kGrain,
                              [&pages](std::int64_t begin, std::int64_t end) {
                                OPENSSL_cleanse(pages.data + begin,
                                                static_cast<std::size_t>(end - begin));
                              });
  } catch (...) {  // a scheduler that has no memory for its tasks
    OPENSSL_cleanse(pages.data, pages.bytes);
  }
  kept().keep(pages);
}

}  // namespace velum::he
