// The device memory that Buffers leave, for Buffers to come: when a block may be used again.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <set>
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

}  // namespace
}  // namespace velum::kernels
