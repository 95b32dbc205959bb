#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "support/every_backend.h"
#include "velum/kernels/buffer.h"

namespace velum::testing {

/// Memory of the stream's backend between two margins. All of it starts as a byte pattern, so that
/// an element that the code under test forgets to write is seen as well as one that it writes
/// outside its output.
template <typename T>
class GuardedBuffer {
 public:
  GuardedBuffer(std::int64_t size, const Stream& stream)
      : size_(size), stream_(stream), memory_(size + 2 * kMargin, stream) {
    put(std::vector<T>(static_cast<std::size_t>(memory_.size()), pattern()), 0);
  }
  /// Between the margins, a copy of `values`.
  GuardedBuffer(const std::vector<T>& values, const Stream& stream)
      : GuardedBuffer(static_cast<std::int64_t>(values.size()), stream) {
    put(values, kMargin);
  }

  Span<T> span() const { return {memory_.data() + kMargin, size_}; }

  std::vector<T> to_host() const { return velum::testing::to_host(Span<const T>(span()), stream_); }

  /// `EXPECT_TRUE(buffer.margins_are_intact())`, after the enqueued work.
  ::testing::AssertionResult margins_are_intact() const {
    const std::vector<T> all =
        velum::testing::to_host(Span<const T>(memory_.data(), memory_.size()), stream_);
    const T expected = pattern();
    for (std::int64_t i = 0; i < memory_.size(); ++i) {
      const bool inside = i >= kMargin && i < kMargin + size_;
      // Bytes, not values. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
      if (!inside && std::memcmp(&all[static_cast<std::size_t>(i)], &expected, sizeof(T)) != 0) {
        return ::testing::AssertionFailure()
               << "element " << i - kMargin << " of " << size_ << " was overwritten";
      }
    }
    return ::testing::AssertionSuccess();
  }

 private:
  static constexpr std::int64_t kMargin = 64;

  static T pattern() {
    T value;
    std::memset(&value, 0xA5, sizeof value);
    return value;
  }
  void put(const std::vector<T>& values, std::int64_t at) {
    const auto size = static_cast<std::int64_t>(values.size());
    kernels::copy(Span<const T>(values.data(), size), Span<T>(memory_.data() + at, size), stream_);
    kernels::synchronize(stream_);
  }

  std::int64_t size_;
  Stream stream_;
  Buffer<T> memory_;
};

}  // namespace velum::testing
