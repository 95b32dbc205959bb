#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

namespace detail {
/// Uninitialised, aligned to 64 bytes. Throws std::bad_alloc.
void* allocate_host(std::int64_t bytes);
/// `bytes` as they were asked for.
void free_host(void* pointer, std::int64_t bytes) noexcept;
void* allocate_cuda(std::int64_t bytes, int device);
void free_cuda(void* pointer, int device) noexcept;
/// Enqueues a copy between any two of host and device memory (unified addressing).
void copy_cuda(void* to, const void* from, std::int64_t bytes, const Stream& stream);
void synchronize_cuda(const Stream& stream);
}  // namespace detail

/// Gives the system the host memory that freed Buffers have left. A process keeps at most 512 MiB
/// of it for Buffers to come, in blocks of 64 KiB and more; what lies in it is not wiped.
void release_host_memory() noexcept;

/// Waits until the work enqueued on `stream` is done; nothing to do on the CPU.
/// @throws CudaError also for an error of earlier work.
inline void synchronize(const Stream& stream) {
  if (stream.backend() == Backend::kCuda) detail::synchronize_cuda(stream);
}

/// Owning, uninitialised memory on the backend of a stream, aligned to at least 64 bytes.
/// Move-only; the destructor waits for the device where it must and never throws.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  /// @throws std::invalid_argument if size is negative or too large; std::bad_alloc;
  ///         CudaError; BackendUnavailable.
  Buffer(std::int64_t size, const Stream& stream)
      : size_(size), backend_(stream.backend()), device_(stream.device()) {
    constexpr std::int64_t kMax =
        std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(sizeof(T));
    if (size < 0 || size > kMax) {
      throw std::invalid_argument("Buffer: size = " + std::to_string(size) + ", expected 0 to " +
                                  std::to_string(kMax));
    }
    if (size == 0) return;
    const std::int64_t bytes = size * static_cast<std::int64_t>(sizeof(T));
    data_ = static_cast<T*>(backend_ == Backend::kCuda ? detail::allocate_cuda(bytes, device_)
                                                       : detail::allocate_host(bytes));
  }
  Buffer(const Buffer&) = delete;  // copying takes a stream: copy()
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        backend_(other.backend_),
        device_(other.device_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    std::swap(backend_, taken.backend_);
    std::swap(device_, taken.device_);
    return *this;
  }
  ~Buffer() {
    if (data_ == nullptr) return;
    if (backend_ == Backend::kCuda) {
      detail::free_cuda(data_, device_);
    } else {
      detail::free_host(data_, size_ * static_cast<std::int64_t>(sizeof(T)));
    }
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  Backend backend() const { return backend_; }
  Span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
  Backend backend_;
  int device_;
};

/// Copies `from` to `to`; each side is host memory, or memory of the stream's device. On a CUDA
/// stream the copy is enqueued: host memory must live until `synchronize`.
/// @throws std::invalid_argument if the sizes differ; CudaError.
template <typename T>
void copy(Span<const T> from, Span<T> to, const Stream& stream) {
  if (from.size() != to.size()) {
    throw std::invalid_argument("copy: to.size() = " + std::to_string(to.size()) +
                                ", expected from.size() = " + std::to_string(from.size()));
  }
  if (from.empty()) return;
  const std::int64_t bytes = from.size() * static_cast<std::int64_t>(sizeof(T));
  if (stream.backend() == Backend::kCuda) {
    detail::copy_cuda(to.data(), from.data(), bytes, stream);
  } else {
    std::memmove(to.data(), from.data(), static_cast<std::size_t>(bytes));
  }
}

}  // namespace velum::kernels
