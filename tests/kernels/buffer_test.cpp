#include "velum/kernels/buffer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "support/every_backend.h"
#include "velum/kernels/gradients/clip_factors.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::make_stream;
using ::velum::testing::to_backend;
using ::velum::testing::to_host;

class BufferOnEveryBackend : public ::testing::TestWithParam<Backend> {};

TEST_P(BufferOnEveryBackend, CopiesThereAndBackUnchanged) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  for (const std::size_t size : {0u, 1u, 31u, 32u, 33u, 1000003u}) {
    std::vector<double> values(size);
    std::iota(values.begin(), values.end(), 1.5);
    const Buffer<double> buffer = to_backend(values, stream);
    EXPECT_EQ(to_host(Span<const double>(buffer.data(), buffer.size()), stream), values);
  }
}

TEST_P(BufferOnEveryBackend, MovingLeavesTheSourceEmpty) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  Buffer<float> a(7, stream);
  float* const data = a.data();
  Buffer<float> b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.size(), 0);  // NOLINT(bugprone-use-after-move): the claim of this test
  a = std::move(b);
  EXPECT_EQ(a.data(), data);
  EXPECT_EQ(a.size(), 7);
}

TEST_P(BufferOnEveryBackend, NegativeSizeIsRefused) {
  EXPECT_THROW(Buffer<float>(-1, make_stream(GetParam())), std::invalid_argument);
}

TEST_P(BufferOnEveryBackend, AnErrorThatWasHandledDoesNotMeetTheNextCall) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  constexpr std::int64_t kTooLarge = std::int64_t{1} << 56;
  EXPECT_ANY_THROW(Buffer<char>(kTooLarge, stream));
  const Buffer<double> squared_norms = to_backend(std::vector<double>{4.0}, stream);
  const Buffer<double> factors(1, stream);
  EXPECT_NO_THROW(clip_factors(squared_norms.span(), {1.0, 0.0}, factors.span(), stream));
  EXPECT_EQ(to_host(Span<const double>(factors.data(), 1), stream), std::vector<double>{0.5});
}

TEST_P(BufferOnEveryBackend, MemoryIsThereUntilTheWorkEnqueuedBeforeItsEndIsDone) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const Buffer<double> factors(1, stream);
  {
    const Buffer<double> squared_norms = to_backend(std::vector<double>{4.0}, stream);
    clip_factors(squared_norms.span(), {1.0, 0.0}, factors.span(), stream);
  }
  for (int i = 0; i < 3; ++i) const Buffer<double> next(1, stream);
  EXPECT_EQ(to_host(Span<const double>(factors.data(), 1), stream), std::vector<double>{0.5});
}

INSTANTIATE_TEST_SUITE_P(All, BufferOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

/// Blocks of this process's Buffers that are all in use at once do not touch, whatever was freed in
/// between, and are as large as was asked for.
TEST(HostMemory, IsNeverHandedOutTwice) {
  const Stream stream = Stream::serial();
  std::vector<std::pair<Buffer<std::uint64_t>, std::uint64_t>> live;
  std::mt19937_64 bits(1);
  for (std::uint64_t i = 1; i <= 2000; ++i) {
    if (live.size() > 20 || (!live.empty() && bits() % 2 == 0)) {
      const std::size_t at = bits() % live.size();
      const auto& [buffer, mark] = live[at];
      for (std::int64_t j = 0; j < buffer.size(); j += 100) ASSERT_EQ(buffer.data()[j], mark);
      ASSERT_EQ(buffer.data()[buffer.size() - 1], mark);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      // 32 KiB to 4 MiB: on both sides of the sizes that are kept, and of huge pages.
      const auto size =
          static_cast<std::int64_t>(4096 + bits() % (std::size_t{1} << (12 + bits() % 8)));
      Buffer<std::uint64_t> buffer(size, stream);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
      std::fill_n(buffer.data(), size, i);
      live.emplace_back(std::move(buffer), i);
    }
    if (i % 500 == 0) release_host_memory();
  }
}

#if !defined(__SANITIZE_ADDRESS__)  // with it, freed memory is not used again
TEST(HostMemory, OfAFreedBufferServesTheNextOfAboutItsSize) {
  const Stream stream = Stream::serial();
  constexpr std::int64_t kSize = 3 << 20;
  void* pages = nullptr;
  {
    const Buffer<char> first(kSize, stream);
    std::fill_n(first.data(), kSize, 'x');
    pages = first.data();
  }
  {
    const Buffer<char> second(kSize - 1000, stream);  // about the size
    EXPECT_EQ(second.data(), pages);
    EXPECT_EQ(second.data()[kSize / 2], 'x');
  }
}

/// Resident memory of this process in bytes.
std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(HostMemory, IsKeptUpToALimitAndReleased) {
  const Stream stream = Stream::serial();
  release_host_memory();
  const std::int64_t before = resident_bytes();
  constexpr std::int64_t kSize = std::int64_t{200} << 20, kMost = std::int64_t{512} << 20;
  {
    std::vector<Buffer<char>> three;
    for (int i = 0; i < 3; ++i) {
      three.emplace_back(kSize, stream);
      for (std::int64_t j = 0; j < kSize; j += 4096) three.back().data()[j] = 1;
    }
    EXPECT_GE(resident_bytes() - before, 3 * kSize - (std::int64_t{1} << 20));
  }
  EXPECT_LE(resident_bytes() - before, kMost);
  EXPECT_GE(resident_bytes() - before, 2 * kSize - (std::int64_t{1} << 20));
  release_host_memory();
  EXPECT_LE(resident_bytes() - before, std::int64_t{16} << 20);
}
#endif

TEST(Stream, ZeroThreadsAreRefused) { EXPECT_THROW(Stream::cpu(0), std::invalid_argument); }

TEST(Stream, ParallelForCoversEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 5, 1000}) {
    for (const std::int64_t grain : {0, 1, 7, 5000}) {
      std::vector<int> visits(static_cast<std::size_t>(count));
      Stream::cpu(2).parallel_for().run(count, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<std::size_t>(count), 1));
    }
  }
}

}  // namespace
}  // namespace velum::kernels
