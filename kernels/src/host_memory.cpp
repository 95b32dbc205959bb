// Host memory of Buffers. A large block is mapped anew by the system whenever it is asked for, and
// every page of it costs a fault and its zeros: as long as the arithmetic on it. So blocks that
// were freed are kept for the next Buffer of their size.
#include <sys/mman.h>

#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

#include "velum/kernels/buffer.h"

#if defined(__SANITIZE_ADDRESS__)
#define VELUM_KEEPS_MEMORY 0  // so that it sees what is used after it was freed
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VELUM_KEEPS_MEMORY 0
#endif
#endif
#ifndef VELUM_KEEPS_MEMORY
#define VELUM_KEEPS_MEMORY 1
#endif

namespace velum::kernels {
namespace {

constexpr std::size_t kAlignment = 64;
/// Smaller blocks are left to the allocator, which keeps them itself.
constexpr std::size_t kSmallestKept = std::size_t{64} << 10;
/// The freed memory of a process that is kept at most; what was freed first goes first.
constexpr std::size_t kMostKept = std::size_t{512} << 20;
constexpr std::size_t kMostBlocks = 256;
/// Pages of this size spare most of the faults, and of the misses of the table of addresses, where
/// the system gives them.
constexpr std::size_t kHugePage = std::size_t{2} << 20;

struct Block {
  void* data;
  std::size_t bytes;
};

/// Sizes an eighth apart, so that a block serves all that are about its size.
std::size_t rounded(std::size_t bytes) {
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= kHugePage ? kHugePage : kAlignment};
}

void* allocate(std::size_t bytes) {
  void* const data = ::operator new(bytes, alignment_of(bytes));
#ifdef MADV_HUGEPAGE
  if (bytes >= kHugePage) static_cast<void>(madvise(data, bytes, MADV_HUGEPAGE));
#endif
  return data;
}
void deallocate(const Block& block) { ::operator delete(block.data, alignment_of(block.bytes)); }

class KeptBlocks {
 public:
  KeptBlocks() { blocks_.reserve(kMostBlocks); }

  /// The block of this size that was freed last, or null.
  void* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
      if (it->bytes != bytes) continue;
      void* const data = it->data;
      bytes_ -= bytes;
      blocks_.erase(std::next(it).base());
      return data;
    }
    return nullptr;
  }

  void keep(const Block& block) noexcept {
    const std::lock_guard lock(mutex_);
    drop_down_to(kMostKept - block.bytes, kMostBlocks - 1);
    blocks_.push_back(block);  // reserved: it cannot throw
    bytes_ += block.bytes;
  }

  void drop_all() noexcept {
    const std::lock_guard lock(mutex_);
    drop_down_to(0, 0);
  }

 private:
  void drop_down_to(std::size_t bytes, std::size_t count) noexcept {
    std::size_t dropped = 0;
    while (bytes_ > bytes || blocks_.size() - dropped > count) {
      bytes_ -= blocks_[dropped].bytes;
      deallocate(blocks_[dropped]);
      ++dropped;
    }
    blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(dropped));
  }

  std::mutex mutex_;
  std::vector<Block> blocks_;  // in the order in which they were freed
  std::size_t bytes_ = 0;
};

/// Never destroyed: Buffers of static lifetime come back late.
KeptBlocks& kept() {
  static auto* const blocks = new KeptBlocks;
  return *blocks;
}

/// The size of the block for so many bytes, or 0 if it is left to the allocator.
std::size_t block_size(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  if (VELUM_KEEPS_MEMORY == 0 || size < kSmallestKept || size > kMostKept) return 0;
  return rounded(size);  // at most kMostKept, which is a size itself
}

}  // namespace

void* detail::allocate_host(std::int64_t bytes) {
  const std::size_t size = block_size(bytes);
  if (size == 0) {
    return ::operator new (static_cast<std::size_t>(bytes), std::align_val_t{kAlignment});
  }
  if (void* const data = kept().take(size)) return data;
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    release_host_memory();
    return allocate(size);
  }
}

void detail::free_host(void* pointer, std::int64_t bytes) noexcept {
  const std::size_t size = block_size(bytes);
  if (size == 0) {
    ::operator delete (pointer, std::align_val_t{kAlignment});
  } else {
    kept().keep({pointer, size});
  }
}

void release_host_memory() noexcept { kept().drop_all(); }

}  // namespace velum::kernels
