// Races in device memory: between the blocks of a launch, the warps of a block, and the work of two
// streams. Each is found whatever the order of blocks and streams, and the same program with the
// order that it needs is silent.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "device_fixture.h"
#include "race_kernels.h"

namespace velum::emulation {
namespace {

using races::Chain;
using races::Count;
using races::kBlocks;
using races::kThreads;
using races::LastBlock;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<int> counting(int size) {
  std::vector<int> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 1);
  return values;
}

/// Runs what is enqueued; the error is the one that a program would see at its next call.
cudaError_t run() { return cudaDeviceSynchronize(); }

auto names_race(const std::string& kernel) {
  return AllOf(HasSubstr("global memory race"), HasSubstr("in kernel"), HasSubstr(kernel));
}
auto names_race_at_its_line(const std::string& kernel) {
  return AllOf(names_race(kernel),
               HasSubstr("race_kernels.cu:" + std::to_string(races::line_of_race())));
}

class Races : public EmulatedDeviceUnderSeeds {};

TEST_P(Races, TheLastBlockMayReadWhatAllHaveReleased) {
  const int size = kBlocks * kThreads;
  const DeviceArray<int> in(counting(size));
  const DeviceArray<int> partial(static_cast<std::size_t>(size));
  const DeviceArray<unsigned> ticket(std::vector<unsigned>(1, 0));
  const DeviceArray<int> out(1);
  races::sum_in_last_block(in.data(), partial.data(), ticket.data(), out.data(), LastBlock::kRight);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], size * (size + 1) / 2);
}

TEST_P(Races, ALastBlockWithoutBarrierReleaseOrAcquireIsFound) {
  for (const LastBlock how : {LastBlock::kWithoutBarrier, LastBlock::kWithoutRelease,
                              LastBlock::kWithoutAcquire, LastBlock::kWithFenceOfBlock}) {
    const int size = kBlocks * kThreads;
    const DeviceArray<int> in(counting(size));
    const DeviceArray<int> partial(static_cast<std::size_t>(size));
    const DeviceArray<unsigned> ticket(std::vector<unsigned>(1, 0));
    const DeviceArray<int> out(1);
    races::sum_in_last_block(in.data(), partial.data(), ticket.data(), out.data(), how);
    EXPECT_EQ(run(), cudaErrorLaunchFailure) << static_cast<int>(how);
    EXPECT_THAT(last_report(), names_race_at_its_line("sum_in_last_block_kernel"));
    EXPECT_THAT(last_report(), HasSubstr("no fence with an atomic access orders the two"));
    reset();
  }
}

TEST_P(Races, ABlockMayReadWhatTheOneBeforeItHasReleased) {
  for (const Chain how : {Chain::kRight, Chain::kWithRelease}) {
    const DeviceArray<int> in(counting(kBlocks));
    const DeviceArray<int> out(kBlocks);
    const DeviceArray<int> flags(std::vector<int>(kBlocks, 0));
    races::chain_of_blocks(in.data(), out.data(), flags.data(), how);
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    EXPECT_EQ(out.to_host()[kBlocks - 1], kBlocks * (kBlocks + 1) / 2);
  }
}

TEST_P(Races, AChainWithoutFenceOrWithAPlainFlagIsFound) {
  for (const Chain how : {Chain::kWithoutFence, Chain::kWithPlainFlag}) {
    const DeviceArray<int> in(counting(kBlocks));
    const DeviceArray<int> out(kBlocks);
    const DeviceArray<int> flags(std::vector<int>(kBlocks, 0));
    races::chain_of_blocks(in.data(), out.data(), flags.data(), how);
    EXPECT_EQ(run(), cudaErrorLaunchFailure) << static_cast<int>(how);
    EXPECT_THAT(last_report(), names_race_at_its_line("chain_kernel"));
    reset();
  }
}

TEST_P(Races, AShiftInPlaceIsFound) {
  const DeviceArray<int> data(counting(kBlocks + 1));
  const DeviceArray<int> to(kBlocks);
  races::shift(data.data(), to.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(to.to_host()[1], 3);
  races::shift(data.data(), data.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names_race_at_its_line("shift_kernel"));
  EXPECT_THAT(last_report(), HasSubstr("of an allocation of 20 bytes: warp 0 of block number"));
}

TEST_P(Races, BytesSideBySideAreNoRaceAndOverlappingOnesAre) {
  for (const int size : {1, 3, 6}) {
    const DeviceArray<unsigned char> out(static_cast<std::size_t>(kBlocks * size) + 1);
    races::set_bytes(out.data(), size, false);
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    races::set_bytes(out.data(), size, true);
    EXPECT_EQ(run(), cudaErrorLaunchFailure);
    EXPECT_THAT(last_report(), names_race_at_its_line("set_bytes_kernel"));
    reset();
  }
}

TEST_P(Races, AtomicAdditionsAreNoRaceAndPlainOnesAre) {
  const DeviceArray<int> out(std::vector<int>(1, 0));
  races::count(out.data(), Count::kAtomically);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], kBlocks * kThreads);
  for (const Count how : {Count::kPlainly, Count::kAfterSetting}) {
    races::count(out.data(), how);
    EXPECT_EQ(run(), cudaErrorLaunchFailure) << static_cast<int>(how);
    EXPECT_THAT(last_report(), names_race("count_kernel"));
    reset();
  }
}

TEST_P(Races, VolatileWritesOfAFlagAreNoRaceAndPlainOnesAre) {
  const DeviceArray<int> flag(std::vector<int>(1, 0));
  races::set_flag(flag.data(), true);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  races::set_flag(flag.data(), false);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names_race_at_its_line("set_flag_kernel"));
}

TEST_P(Races, WarpsOfABlockNeedABarrier) {
  const DeviceArray<int> in(counting(kThreads));
  const DeviceArray<int> shared(kThreads);
  const DeviceArray<int> out(kThreads);
  races::rotate(in.data(), shared.data(), out.data(), true);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 2);
  // The order decides whether the write comes first, or the read.
  races::rotate(in.data(), shared.data(), out.data(), false);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), AllOf(names_race("rotate_kernel"), HasSubstr("of the same block"),
                                   HasSubstr("no barrier stands between")));
}

TEST_P(Races, BytesOfAVectorThatAreNotUsedAreNotRead) {
  const DeviceArray<int> data(counting(4));
  const DeviceArray<int> out(1);
  races::read_beside(data.data(), out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 1 + 2 + 3);
}

TEST_P(Races, AMissingEventBetweenTwoStreamsIsFound) {
  const Stream first_stream;
  const Stream second_stream;
  const EventHandle handle;
  const cudaStream_t first = first_stream.get();
  const cudaStream_t second = second_stream.get();
  const cudaEvent_t event = handle.get();
  enum class Order { kEvent, kHost, kNone };
  enum class Second { kReads, kWrites, kCopies, kSets };
  for (const Order order : {Order::kEvent, Order::kHost, Order::kNone}) {
    for (const Second what : {Second::kReads, Second::kWrites, Second::kCopies, Second::kSets}) {
      const DeviceArray<int> in(counting(kThreads));
      const DeviceArray<int> between(std::vector<int>(kThreads, 0));
      const DeviceArray<int> out(kThreads);
      races::add_one(in.data(), between.data(), first);
      if (order == Order::kEvent) {
        ASSERT_EQ(cudaEventRecord(event, first), cudaSuccess);
        ASSERT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
      } else if (order == Order::kHost) {
        ASSERT_EQ(cudaStreamSynchronize(first), cudaSuccess);
      }
      const std::size_t bytes = kThreads * sizeof(int);
      switch (what) {
        case Second::kReads:
          races::add_one(between.data(), out.data(), second);
          break;
        case Second::kWrites:
          races::add_one(in.data(), between.data(), second);
          break;
        case Second::kCopies:
          static_cast<void>(
              cudaMemcpyAsync(out.data(), between.data(), bytes, cudaMemcpyDeviceToDevice, second));
          break;
        case Second::kSets:
          static_cast<void>(cudaMemsetAsync(between.data(), 0, bytes, second));
          break;
      }
      if (order == Order::kNone) {
        EXPECT_EQ(run(), cudaErrorLaunchFailure) << static_cast<int>(what);
        EXPECT_THAT(last_report(), AllOf(HasSubstr("global memory race"),
                                         HasSubstr("no event and no wait orders the two")));
        reset();
      } else {
        ASSERT_EQ(run(), cudaSuccess) << last_report();
      }
    }
  }
}

TEST_P(Races, AnOrderOverAThirdStreamCounts) {
  cudaStream_t streams[3] = {};
  cudaEvent_t events[2] = {};
  for (cudaStream_t& stream : streams) {
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  for (cudaEvent_t& event : events) ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  const DeviceArray<int> in(counting(kThreads));
  const DeviceArray<int> between(kThreads);
  const DeviceArray<int> out(kThreads);
  races::add_one(in.data(), between.data(), streams[0]);
  ASSERT_EQ(cudaEventRecord(events[0], streams[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(streams[1], events[0], 0), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(events[1], streams[1]), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(streams[2], events[1], 0), cudaSuccess);
  races::add_one(between.data(), out.data(), streams[2]);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 3);
  for (cudaStream_t stream : streams) static_cast<void>(cudaStreamDestroy(stream));
  for (cudaEvent_t event : events) static_cast<void>(cudaEventDestroy(event));
}

class RaceCheck : public EmulatedDevice {};

TEST_F(RaceCheck, GoesOnAfterMoreFencesThanItHasNumbersFor) {
  const DeviceArray<int> out(2);
  races::fence_often(out.data(), 1'500'000);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host(), (std::vector<int>{2, 2}));
  const DeviceArray<int> data(counting(kBlocks + 1));
  races::shift(data.data(), data.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names_race_at_its_line("shift_kernel"));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Races, ::testing::Values(1, 2, 3, 4, 5));

}  // namespace
}  // namespace velum::emulation
