#include "support/allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VELUM_SANITIZED
#endif
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(VELUM_SANITIZED)
#define VELUM_COUNTS_ALLOCATIONS
#endif

namespace velum::benchmarks {
namespace {

std::atomic<std::int64_t> allocated{0}, peak{0};

#if defined(VELUM_COUNTS_ALLOCATIONS)
void* count(void* data) {
  if (data == nullptr) return data;
  const auto size = static_cast<std::int64_t>(malloc_usable_size(data));
  const std::int64_t now = allocated.fetch_add(size, std::memory_order_relaxed) + size;
  std::int64_t most = peak.load(std::memory_order_relaxed);
  while (now > most && !peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
  return data;
}

void discount(void* data) {
  if (data == nullptr) return;
  allocated.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(data)),
                      std::memory_order_relaxed);
}
#endif

}  // namespace

std::int64_t allocated_bytes() { return allocated.load(); }
std::int64_t peak_allocated_bytes() { return peak.load(); }
void reset_peak_allocated_bytes() { peak.store(allocated.load()); }

}  // namespace velum::benchmarks

#if defined(VELUM_COUNTS_ALLOCATIONS)
// The program's own malloc family takes the place of glibc's for every shared library, too (glibc
// manual, "Replacing malloc").
using velum::benchmarks::count;
using velum::benchmarks::discount;

extern "C" {
void* __libc_malloc(std::size_t size);                           // NOLINT
void* __libc_calloc(std::size_t count, std::size_t size);        // NOLINT
void* __libc_realloc(void* data, std::size_t size);              // NOLINT
void* __libc_memalign(std::size_t alignment, std::size_t size);  // NOLINT
void __libc_free(void* data);                                    // NOLINT

void* malloc(std::size_t size) { return count(__libc_malloc(size)); }
void* calloc(std::size_t number, std::size_t size) { return count(__libc_calloc(number, size)); }
void* realloc(void* data, std::size_t size) {
  const auto old =
      data == nullptr ? std::int64_t{0} : static_cast<std::int64_t>(malloc_usable_size(data));
  void* const result = __libc_realloc(data, size);
  if (result == nullptr && size != 0) return result;  // the old block is as it was
  velum::benchmarks::allocated.fetch_sub(old, std::memory_order_relaxed);
  return count(result);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return count(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return count(__libc_memalign(alignment, size));
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void* const data = count(__libc_memalign(alignment, size));
  if (data == nullptr) return ENOMEM;
  *result = data;
  return 0;
}
void free(void* data) {
  discount(data);
  __libc_free(data);
}
}
#endif
