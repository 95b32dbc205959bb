#pragma once

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "velum/kernels/buffer.h"

namespace velum::he {

/// Memory for secrets on the backend of a stream, uninitialised: overwritten with zeros before it
/// is given up. In host memory it has pages of its own, kept out of core dumps, and locked as far
/// as the system allows. Move-only. The destructor of device memory enqueues its zeros on the
/// device's default queue and waits.
template <typename T>
class SecretBuffer {
 public:
  SecretBuffer(std::int64_t size, const kernels::Stream& stream) : size_(size), stream_(stream) {
    if (stream.backend() == kernels::Backend::kCuda) {
      device_.emplace_back(size, stream);
      data_ = device_.front().data();
      return;
    }
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = (static_cast<std::size_t>(size) * sizeof(T) + page) / page * page;  // never 0
    void* const pages =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    static_cast<void>(madvise(pages, bytes_, MADV_DONTDUMP));
    static_cast<void>(mlock(pages, bytes_));  // fails beyond RLIMIT_MEMLOCK: then it may be swapped
    data_ = static_cast<T*>(pages);
  }
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  SecretBuffer(SecretBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        bytes_(std::exchange(other.bytes_, 0)),
        stream_(std::move(other.stream_)),
        device_(std::move(other.device_)) {}
  SecretBuffer& operator=(SecretBuffer&& other) noexcept {
    SecretBuffer taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    std::swap(bytes_, taken.bytes_);
    std::swap(stream_, taken.stream_);
    std::swap(device_, taken.device_);
    return *this;
  }
  ~SecretBuffer() {
    if (data_ == nullptr) return;
    if (stream_.backend() == kernels::Backend::kCuda) {
      try {  // a device that fails to take the zeros has failed altogether
        const std::vector<T> zeros(static_cast<std::size_t>(size_));
        kernels::copy(kernels::Span<const T>(zeros), span(), stream_);
        kernels::synchronize(stream_);
      } catch (...) {  // NOLINT(bugprone-empty-catch)
      }
      return;
    }
    OPENSSL_cleanse(data_, bytes_);
    munmap(data_, bytes_);
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  kernels::Span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
  std::size_t bytes_ = 0;
  kernels::Stream stream_;
  std::vector<kernels::Buffer<T>> device_;  // none or one
};

}  // namespace velum::he
