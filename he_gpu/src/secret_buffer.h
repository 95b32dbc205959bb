#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "secret_memory.h"
#include "velum/kernels/buffer.h"

namespace velum::he {

/// Memory for secrets on the backend of a stream, uninitialised: overwritten with zeros before it
/// is given up. In host memory it has pages of its own (secret_memory.h). Move-only. The destructor
/// of device memory enqueues its zeros on the device's default queue and waits.
template <typename T>
class SecretBuffer {
 public:
  SecretBuffer(std::int64_t size, const kernels::Stream& stream) : size_(size), stream_(stream) {
    if (stream.backend() == kernels::Backend::kCuda) {
      device_.emplace_back(size, stream);
      data_ = device_.front().data();
      return;
    }
    pages_ = take_secret_pages(static_cast<std::size_t>(size) * sizeof(T));
    data_ = reinterpret_cast<T*>(pages_.data);
  }
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  SecretBuffer(SecretBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        pages_(std::exchange(other.pages_, {})),
        stream_(std::move(other.stream_)),
        device_(std::move(other.device_)) {}
  SecretBuffer& operator=(SecretBuffer&& other) noexcept {
    SecretBuffer taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    std::swap(pages_, taken.pages_);
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
    give_back_secret_pages(pages_, stream_);
  }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  kernels::Span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
  SecretPages pages_;
  kernels::Stream stream_;
  std::vector<kernels::Buffer<T>> device_;  // none or one
};

}  // namespace velum::he
