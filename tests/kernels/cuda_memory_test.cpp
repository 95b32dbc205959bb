// The device memory that Buffers leave, for Buffers to come: when a block may be used again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/every_backend.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/gradients/clip_factors.h"

namespace velum::kernels {
namespace {

using ::velum::testing::make_stream;
using ::velum::testing::to_backend;
using ::velum::testing::to_host;

constexpr std::int64_t kMebibyte = 1 << 20;

// Before the first Buffer: half of it is what may be left before the device is waited for.
[[maybe_unused]] const int kept = setenv("VELUM_CUDA_CACHE_MIB", "8", 1);

class CudaMemory : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(Backend::kCuda); }
};

TEST_F(CudaMemory, ServesAgainOnceTheDeviceWasWaitedFor) {
  const Stream stream = make_stream(Backend::kCuda);
  std::set<const char*> left;
  for (int i = 0; i < 6; ++i) left.insert(Buffer<char>(kMebibyte, stream).data());
  EXPECT_TRUE(left.contains(Buffer<char>(kMebibyte, stream).data()));
}

TEST_F(CudaMemory, IsNotUsedAgainWhileWorkMayRun) {
  const Stream stream = make_stream(Backend::kCuda);
  const Buffer<double> factors(1, stream);
  const double* left = nullptr;
  {
    const Buffer<double> squared_norms = to_backend(std::vector<double>{4.0}, stream);
    left = squared_norms.data();
    clip_factors(squared_norms.span(), {1.0, 0.0}, factors.span(), stream);
  }
  std::vector<Buffer<double>> others;
  for (int i = 0; i < 8; ++i) {
    others.push_back(to_backend(std::vector<double>{100.0}, stream));
    EXPECT_NE(others.back().data(), left);
  }
  EXPECT_EQ(to_host(Span<const double>(factors.data(), 1), stream), std::vector<double>{0.5});
}

TEST_F(CudaMemory, OfBuffersInUseIsNeverShared) {
  const Stream stream = make_stream(Backend::kCuda);
  std::vector<Buffer<std::int64_t>> live;
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::int64_t size = 1 + (i * 7919) % 100'000;
    live.push_back(
        to_backend(std::vector<std::int64_t>(static_cast<std::size_t>(size), i), stream));
    if (i % 3 == 2) live.erase(live.begin() + (i * 31) % static_cast<std::int64_t>(live.size()));
  }
  for (const Buffer<std::int64_t>& buffer : live) {
    const std::vector<std::int64_t> values =
        to_host(Span<const std::int64_t>(buffer.data(), buffer.size()), stream);
    EXPECT_EQ(values, std::vector<std::int64_t>(values.size(), values.front()));
  }
}

/// Allocates where VELUM_CUDA_CACHE_MIB has this value, twice, and ends the process.
[[noreturn]] void allocate_with(const char* mebibytes) {
  setenv("VELUM_CUDA_CACHE_MIB", mebibytes, 1);
  int refused = 0;
  for (int i = 0; i < 2; ++i) {
    try {
      const Buffer<char> buffer(kMebibyte, make_stream(Backend::kCuda));
    } catch (const std::invalid_argument& error) {
      static_cast<void>(std::fputs(error.what(), stderr));
      ++refused;
    }
  }
  std::_Exit(refused);
}

// In processes of their own: the variable is read once.
TEST_F(CudaMemory, ALimitThatIsNoNumberOfTheRangeIsRefusedAtEachAllocation) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const std::string value : {"", "-1", "+8", " 8", "8 MiB", "0x8", "1e3", "none", "1073741825",
                                  "18446744073709551616"}) {
    const std::string message = "VELUM_CUDA_CACHE_MIB = \"" + value +
                                "\", expected a whole number of MiB in [0, 1073741824]; unset it "
                                "for 512";
    EXPECT_EXIT(allocate_with(value.c_str()), ::testing::ExitedWithCode(2),
                ::testing::HasSubstr(message))
        << value;
  }
  for (const char* const value : {"0", "8", "007", "1073741824"}) {
    EXPECT_EXIT(allocate_with(value), ::testing::ExitedWithCode(0), "") << value;
  }
}

}  // namespace
}  // namespace velum::kernels
