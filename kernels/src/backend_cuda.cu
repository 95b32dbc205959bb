#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "velum/kernels/buffer.h"
#include "velum/kernels/error.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

bool built_with_cuda() { return true; }

int cuda_device_count() {
  int count = 0;
  // No driver or no device is an answer here, not a failure.
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : (cudaGetLastError(), 0);
}

namespace cuda {

void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line) {
  // The runtime keeps the error of a failed call for cudaGetLastError: without this, the next good
  // launch of a caller who recovered would be blamed for it.
  static_cast<void>(cudaGetLastError());
  throw CudaError(std::string(call) + ": " + cudaGetErrorName(error) + " (" +
                  cudaGetErrorString(error) + ") at " + file + ":" + std::to_string(line));
}

}  // namespace cuda

namespace detail {
namespace {

/// Device memory that Buffers have left, for Buffers to come. cudaFree waits for all work on the
/// device, and so would every temporary of an operation; here a block that was freed waits for a
/// wait of its own: once many bytes are freed, one cudaDeviceSynchronize makes all of them free for
/// use. Right whatever streams used a block, and never the same block twice without a wait in
/// between.
///
/// VELUM_CUDA_CACHE_MIB says how much is kept of a device, 512 without it; with 0 every block goes
/// through cudaMalloc and cudaFree, so that compute-sanitizer sees what it is used for. Where it is
/// no such number, nothing is allocated.
class CachedMemory {
 public:
  static CachedMemory& of(int device) {
    // Never destroyed: Buffers of static objects are freed at the end of the program.
    static auto* const caches = new std::map<int, CachedMemory>();
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    return (*caches)[device];
  }

  /// The device is the current one, as below. @throws CudaError, std::invalid_argument.
  void* allocate(std::size_t bytes) {
    const std::size_t size = limit() == 0 ? bytes : round_up(bytes);
    const std::lock_guard lock(mutex_);
    const auto found = free_.lower_bound(size);
    void* pointer = nullptr;
    if (found != free_.end() && found->first <= size + size / 4) {
      pointer = found->second;
      sizes_[pointer] = found->first;
      free_bytes_ -= found->first;
      free_.erase(found);
      return pointer;
    }
    cudaError_t error = cudaMalloc(&pointer, size);
    if (error == cudaErrorMemoryAllocation && (!free_.empty() || !left_.empty())) {
      static_cast<void>(cudaGetLastError());
      reclaim();
      trim(0);
      error = cudaMalloc(&pointer, size);
    }
    VELUM_CUDA_CHECK(error);
    try {
      sizes_[pointer] = size;
    } catch (...) {
      static_cast<void>(cudaFree(pointer));
      throw;
    }
    return pointer;
  }

  void free(void* pointer) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(pointer);
    const std::size_t size = found->second;
    sizes_.erase(found);
    if (limit() == 0 || !leave(size, pointer)) {
      static_cast<void>(cudaFree(pointer));
      return;
    }
    if (left_bytes_ * 2 > limit()) {
      reclaim();
      trim(limit() / 2);
    }
  }

 private:
  /// Read once, before the first block; `free` finds it read.
  /// @throws std::invalid_argument, each time, if the variable is not a number of the range.
  static std::size_t limit() {
    static const std::size_t bytes = [] {
      const char* const text = std::getenv("VELUM_CUDA_CACHE_MIB");
      return (text == nullptr ? std::size_t{512} : mebibytes(text)) << 20;
    }();
    return bytes;
  }
  static std::size_t mebibytes(std::string_view text) {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // a PiB: in bytes far from 2^64
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > kMost) {
      throw std::invalid_argument("VELUM_CUDA_CACHE_MIB = \"" + std::string(text) +
                                  "\", expected a whole number of MiB in [0, " +
                                  std::to_string(kMost) + "]; unset it for 512");
    }
    return value;
  }
  /// At most an eighth more, and a multiple of 512, so that blocks of nearly one size serve each
  /// other.
  static std::size_t round_up(std::size_t bytes) {
    const std::size_t unit = std::max<std::size_t>(std::bit_floor(bytes) / 8, 512);
    return (bytes + unit - 1) / unit * unit;
  }
  /// False without host memory to note the block in.
  bool leave(std::size_t size, void* pointer) noexcept {
    try {
      left_.emplace_back(size, pointer);
    } catch (const std::bad_alloc&) {
      return false;
    }
    left_bytes_ += size;
    return true;
  }
  /// Makes what was left free for use. After an error nothing is: the work may still run. Without
  /// host memory the rest stays where it is.
  void reclaim() noexcept {
    if (cudaDeviceSynchronize() != cudaSuccess) return;
    try {
      while (!left_.empty()) {
        const auto [size, pointer] = left_.back();
        free_.emplace(size, pointer);
        free_bytes_ += size;
        left_bytes_ -= size;
        left_.pop_back();
      }
    } catch (const std::bad_alloc&) {
    }
  }
  /// Gives the largest blocks back until no more than `most` bytes are free for use.
  void trim(std::size_t most) {
    while (free_bytes_ > most) {
      const auto last = std::prev(free_.end());
      static_cast<void>(cudaFree(last->second));
      free_bytes_ -= last->first;
      free_.erase(last);
    }
  }

  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> sizes_;  // of blocks in use
  std::vector<std::pair<std::size_t, void*>> left_;
  std::size_t left_bytes_ = 0;
  std::multimap<std::size_t, void*> free_;
  std::size_t free_bytes_ = 0;
};

}  // namespace

void* allocate_cuda(std::int64_t bytes, int device) {
  const cuda::DeviceGuard guard(device);
  return CachedMemory::of(device).allocate(static_cast<std::size_t>(bytes));
}

void free_cuda(void* pointer, int device) noexcept {
  int previous = 0;
  if (cudaGetDevice(&previous) != cudaSuccess) return;
  if (cudaSetDevice(device) != cudaSuccess) return;
  CachedMemory::of(device).free(pointer);
  static_cast<void>(cudaSetDevice(previous));
}

void copy_cuda(void* to, const void* from, std::int64_t bytes, const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  VELUM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault,
                                   cuda::native(stream)));
}

void synchronize_cuda(const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  VELUM_CUDA_CHECK(cudaStreamSynchronize(cuda::native(stream)));
}

}  // namespace detail
}  // namespace velum::kernels
