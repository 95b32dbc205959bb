#include "memory/recycled_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>

namespace velum::dpsgd::detail {
namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;  // a huge page of x86-64 and AArch64

struct Block {
  void* data;
  std::size_t size;
};

class Cache {
 public:
  /// Lives until the process ends: tensors may outlive every other static object.
  static Cache& instance() {
    static Cache* const cache = new Cache;
    return *cache;
  }

  void* take(std::size_t size) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::find_if(free_.rbegin(), free_.rend(),
                                      [size](const Block& block) { return block.size == size; });
      if (found != free_.rend()) {
        void* const data = found->data;
        kept_ -= size;
        free_.erase(std::next(found).base());
        return data;
      }
    }
    void* const data = std::aligned_alloc(kPage, size);
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    madvise(data, size, MADV_HUGEPAGE);  // a hint: refusing it changes nothing
#endif
    return data;
  }

  void give(void* data, std::size_t size) noexcept {
    const std::lock_guard lock(mutex_);
    if (size > kMostRecycledBytes) {
      std::free(data);
      return;
    }
    while (kept_ + size > kMostRecycledBytes) {
      std::free(free_.front().data);
      kept_ -= free_.front().size;
      free_.pop_front();
    }
    free_.push_back({data, size});
    kept_ += size;
  }

 private:
  std::mutex mutex_;
  std::deque<Block> free_;  // oldest first
  std::size_t kept_ = 0;
};

}  // namespace

at::Tensor recycled_empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  std::size_t bytes = options.dtype().itemsize();
  for (const std::int64_t size : sizes) bytes *= static_cast<std::size_t>(size);
  if (bytes < kPage || !options.device().is_cpu()) return at::empty(sizes, options);
  const std::size_t rounded = (bytes + kPage - 1) / kPage * kPage;
  return at::from_blob(
      Cache::instance().take(rounded), sizes,
      [rounded](void* data) { Cache::instance().give(data, rounded); }, options);
}

}  // namespace velum::dpsgd::detail
