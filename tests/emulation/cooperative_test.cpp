// Cooperative launches: blocks that wait for each other are all there at the same time, in any
// order.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cooperative_kernels.h"
#include "device_fixture.h"

namespace velum::emulation::cooperative {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

int attribute(cudaDeviceAttr which) {
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, which, 0), cudaSuccess);
  return value;
}

std::vector<int> start_of(int blocks) {
  std::vector<int> values(static_cast<std::size_t>(2 * blocks * kThreads), -1);
  for (int i = 0; i < blocks * kThreads; ++i) values[static_cast<std::size_t>(i)] = 3 * i;
  return values;
}
/// What is in the first buffer and the second one afterwards, by the definition.
std::vector<int> passed_around(int blocks) {
  std::vector<int> from = start_of(blocks);
  from.resize(static_cast<std::size_t>(blocks * kThreads));
  std::vector<int> to(from.size());
  for (int round = 0; round < kRounds; ++round) {
    for (int block = 0; block < blocks; ++block) {
      for (int i = 0; i < kThreads; ++i) {
        to[static_cast<std::size_t>(block * kThreads + i)] =
            from[static_cast<std::size_t>((block + 1) % blocks * kThreads + kThreads - 1 - i)] + 1;
      }
    }
    std::swap(from, to);
  }
  return from;
}
std::vector<int> result_of(int blocks, const DeviceArray<int>& buffers) {
  const std::vector<int> values = buffers.to_host();
  const auto start = values.begin() + (kRounds % 2 != 0 ? blocks * kThreads : 0);
  return {start, start + blocks * kThreads};
}

class Cooperative : public EmulatedDeviceUnderSeeds {};

TEST_P(Cooperative, BlocksWaitForEachOther) {
  for (const int blocks : {1, 2, 7, 33}) {
    const DeviceArray<int> buffers(start_of(blocks));
    ASSERT_EQ(pass_around(blocks, buffers.data(), true, nullptr), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
    EXPECT_EQ(result_of(blocks, buffers), passed_around(blocks));
  }
  const DeviceArray<int> buffers(start_of(4));
  ASSERT_EQ(pass_around_by_attribute(4, buffers.data()), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  EXPECT_EQ(result_of(4, buffers), passed_around(4));
}

TEST_P(Cooperative, AMissingWaitShows) {
  constexpr int kBlocks = 8;
  const DeviceArray<int> buffers(start_of(kBlocks));
  ASSERT_EQ(pass_around(kBlocks, buffers.data(), false, nullptr), cudaSuccess);
  // A race is reported where it is seen; otherwise the values tell.
  if (cudaDeviceSynchronize() == cudaSuccess) {
    EXPECT_NE(result_of(kBlocks, buffers), passed_around(kBlocks));
  }
}

TEST_P(Cooperative, ABlockThatDoesNotComeIsFound) {
  const DeviceArray<int> out(4 * kThreads);
  ASSERT_EQ(leave_a_block_out(4, out.data()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchTimeout);
  EXPECT_THAT(last_report(), AllOf(HasSubstr("deadlock"), HasSubstr("leave_a_block_out_kernel")));
}

TEST_P(Cooperative, AFaultOfOneBlockEndsAll) {
  const DeviceArray<int> out(6 * kThreads);
  ASSERT_EQ(fail_in_a_block(6, out.data()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorAssert);
  EXPECT_THAT(last_report(), AllOf(HasSubstr("blockIdx.x < gridDim.x / 2"),
                                   AnyOf(HasSubstr("block (3, 0, 0)"), HasSubstr("block (4, 0, 0)"),
                                         HasSubstr("block (5, 0, 0)"))));
  reset();
  ASSERT_EQ(launch_with_shared(2, 1024, out.data()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Cooperative, ::testing::Values(1, 2, 3, 0xDEADBEEF));

class CooperativeLaunch : public EmulatedDevice {};

TEST_F(CooperativeLaunch, MustFitOnTheDevice) {
  EXPECT_EQ(attribute(cudaDevAttrCooperativeLaunch), 1);
  constexpr int kBytes = 100 << 10;
  const int most = attribute(cudaDevAttrMultiProcessorCount) * blocks_with_shared(kBytes);
  EXPECT_EQ(most, 8);  // 228 KB hold two, on 4 multiprocessors
  const DeviceArray<int> out(static_cast<std::size_t>((most + 1) * kThreads));
  EXPECT_EQ(launch_with_shared(most + 1, kBytes, out.data()), cudaErrorCooperativeLaunchTooLarge);
  EXPECT_EQ(cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
  ASSERT_EQ(launch_with_shared(most, kBytes, out.data()), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  std::vector<int> ranks = out.to_host();
  ranks.resize(static_cast<std::size_t>(most * kThreads));
  for (int i = 0; i < most * kThreads; ++i) EXPECT_EQ(ranks[static_cast<std::size_t>(i)], i);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorCooperativeLaunchTooLarge),
               "cudaErrorCooperativeLaunchTooLarge");
}

TEST_F(CooperativeLaunch, IsNeededForABarrierOfTheGrid) {
  const DeviceArray<int> buffers(start_of(2));
  ASSERT_EQ(pass_around_ordinarily(2, buffers.data()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), HasSubstr("trap"));
}

}  // namespace
}  // namespace velum::emulation::cooperative
