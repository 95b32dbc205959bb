// Clusters of blocks: what their instructions give by the definitions of the PTX manual, in any
// order of blocks and threads, and that a mistake in their use is found.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "cluster_kernels.h"
#include "device_fixture.h"

namespace velum::emulation::clusters {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

std::vector<int> counting(int size) {
  std::vector<int> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 1);
  return values;
}
/// The values of each pair of blocks, exchanged and reversed.
std::vector<int> exchanged(const std::vector<int>& values) {
  std::vector<int> out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t block = i / kThreads, thread = i % kThreads;
    out.push_back(values[(block ^ 1) * kThreads + kThreads - 1 - thread]);
  }
  return out;
}

constexpr int kBlocks = 6;

class Clusters : public EmulatedDeviceUnderSeeds {
 protected:
  /// The launch may have run at once, or runs now.
  template <typename Matcher>
  static void expect_fault(cudaError_t, const Matcher& report) {
    EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_THAT(last_report(), report);
    EXPECT_THAT(last_report(), AllOf(HasSubstr("cluster_kernels.cu:"), HasSubstr("in kernel")));
    reset();
  }
  static void expect_success(cudaError_t launched) {
    ASSERT_EQ(launched, cudaSuccess) << last_report();
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  }

  const std::vector<int> values_ = counting(kBlocks * kThreads);
  const DeviceArray<int> in_{values_};
  const DeviceArray<int> out_{values_.size()};
};

const auto kRace = HasSubstr("shared memory race");
const auto kGlobalRace = HasSubstr("global memory race");
const auto kDeadlock = HasSubstr("deadlock");
const auto kMisuse = HasSubstr("misuse of a barrier");
const auto kIllegal = HasSubstr("illegal address");
const auto kUninitialised = HasSubstr("uninitialised read");
const auto kUnwaited = HasSubstr("asynchronous copy that was not waited for");
const auto kMayHaveExited =
    AllOf(kIllegal, AnyOf(HasSubstr("which may have exited by then"), HasSubstr("has exited")));

TEST_P(Clusters, TellBlocksTheirPlaces) {
  const dim3 grid(4, 6, 2);
  for (const dim3 cluster : {dim3(0, 0, 0), dim3(1, 1, 1), dim3(2, 3, 1), dim3(4, 1, 2)}) {
    const DeviceArray<Registers> registers(grid.x * grid.y * grid.z);
    expect_success(read_registers(grid, cluster, registers.data()));
    const std::vector<Registers> found = registers.to_host();
    const dim3 of = cluster.x == 0 ? dim3(1, 1, 1) : cluster;
    std::size_t at = 0;
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x, ++at) {
          const Registers& r = found[at];
          const auto as_vector = [](dim3 e) { return std::vector<unsigned>{e.x, e.y, e.z}; };
          EXPECT_EQ(as_vector(r.block_in_cluster),
                    (std::vector<unsigned>{x % of.x, y % of.y, z % of.z}));
          EXPECT_EQ(as_vector(r.cluster_blocks), as_vector(of));
          EXPECT_EQ(as_vector(r.cluster), (std::vector<unsigned>{x / of.x, y / of.y, z / of.z}));
          EXPECT_EQ(as_vector(r.clusters),
                    (std::vector<unsigned>{grid.x / of.x, grid.y / of.y, grid.z / of.z}));
          EXPECT_EQ(r.rank, x % of.x + of.x * (y % of.y + of.y * (z % of.z)));
          EXPECT_EQ(r.blocks, of.x * of.y * of.z);
          EXPECT_EQ(r.is_explicit, cluster.x == 0 ? 0U : 1U);
        }
      }
    }
  }
}

TEST_P(Clusters, AddressesAreThoseOfABlock) {
  for (const unsigned size : {1U, 2U, 3U, 8U}) {
    constexpr unsigned kClusters = 2;
    const DeviceArray<std::uint32_t> answers(kClusters * size * size * kAnswers);
    expect_success(ask_about_addresses(kClusters, static_cast<int>(size), answers.data()));
    const std::vector<std::uint32_t> found = answers.to_host();
    for (unsigned pair = 0; pair < kClusters * size * size; ++pair) {
      const unsigned from = pair / size % size, to = pair % size;
      const std::uint32_t own = from == to ? 1 : 0;
      // The variable of the block that the last one wrote to.
      const std::uint32_t written = to == (from + 1) % size ? (from + size - 1) % size : 0;
      const std::vector<std::uint32_t> expected = {to, to, to, 1, 1, 1, own, 1, own, 1, 0, written};
      const auto at = found.begin() + pair * kAnswers;
      EXPECT_EQ(std::vector<std::uint32_t>(at, at + kAnswers), expected) << from << " to " << to;
    }
  }
}

TEST_P(Clusters, BlocksReadEachOthersSharedMemory) {
  for (const int blocks : {2, kBlocks}) {
    expect_success(exchange(blocks, in_.data(), out_.data(), Mistake::kNone));
  }
  EXPECT_EQ(out_.to_host(), exchanged(values_));
  expect_success(exchange_by_fences(kBlocks, in_.data(), out_.data(), Mistake::kNone));
  EXPECT_EQ(out_.to_host(), exchanged(values_));
}

TEST_P(Clusters, MistakesAtTheBarrierAreFound) {
  const auto run = [&](Mistake mistake) {
    return exchange(kBlocks, in_.data(), out_.data(), mistake);
  };
  const auto not_started = AllOf(kIllegal, HasSubstr("which need not have started yet"),
                                 HasSubstr("of the shared memory of block "));
  expect_fault(run(Mistake::kNoFirstBarrier), AnyOf(not_started, kMayHaveExited));
  expect_fault(run(Mistake::kBlockBarrier), not_started);
  expect_fault(run(Mistake::kNoLastBarrier), kMayHaveExited);
  expect_fault(run(Mistake::kRelaxed), AllOf(kRace, HasSubstr("of the cluster wrote there")));
  expect_fault(run(Mistake::kAccessInBetween), kRace);
  expect_fault(run(Mistake::kNoArrival), AllOf(kMisuse, HasSubstr("without having arrived")));
  expect_fault(run(Mistake::kArrivesTwice), AllOf(kMisuse, HasSubstr("for the second time")));
  expect_fault(exchange_by_fences(kBlocks, in_.data(), out_.data(), Mistake::kNoFence), kRace);
  expect_fault(exchange_by_fences(kBlocks, in_.data(), out_.data(), Mistake::kNarrowScope), kRace);
}

TEST_P(Clusters, ABlockMayNotExitBeforeItIsReadInAnyOrder) {
  expect_success(read_one_way(kBlocks, in_.data(), out_.data(), Mistake::kNone));
  const std::vector<int> found = out_.to_host();
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::size_t block = i / kThreads | 1;
    ASSERT_EQ(found[i], values_[block * kThreads + i % kThreads]);
  }
  // Here it is read long before it exits.
  expect_fault(
      read_one_way(kBlocks, in_.data(), out_.data(), Mistake::kNoLastBarrier),
      AllOf(kIllegal, HasSubstr("of the shared memory of block 1 of the cluster, which may "
                                "have exited by then")));
}

TEST_P(Clusters, ABlockThatHasExitedIsNotRead) {
  static_cast<void>(cudaLaunchKernel(kernel("read_late"), kBlocks, 1, nullptr, 0, nullptr));
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_THAT(last_report(),
              AllOf(kIllegal,
                    HasSubstr("of the shared memory of block 1 of the cluster, which has "
                              "exited"),
                    HasSubstr("cluster_kernels.ptx:")));
}

TEST_P(Clusters, AddressesOfOtherBlocksAreForInstructionsOfTheCluster) {
  expect_fault(exchange(kBlocks, in_.data(), out_.data(), Mistake::kWrongRank),
               AllOf(kIllegal, HasSubstr("mapa to block "), HasSubstr(" of a cluster of 2")));
  expect_fault(exchange(kBlocks, in_.data(), out_.data(), Mistake::kOwnSpace),
               AllOf(kIllegal, HasSubstr("by an instruction for the block's own")));
}

TEST_P(Clusters, TheBarrierOrdersDeviceMemoryToo) {
  const auto run = [&](Mistake mistake) {
    const DeviceArray<int> between(values_.size());
    const cudaError_t error =
        exchange_in_device_memory(kBlocks, in_.data(), between.data(), out_.data(), mistake);
    static_cast<void>(cudaDeviceSynchronize());
    return error;
  };
  expect_success(run(Mistake::kNone));
  EXPECT_EQ(out_.to_host(), exchanged(values_));
  expect_fault(run(Mistake::kRelaxed), kGlobalRace);
  expect_fault(run(Mistake::kBlockBarrier), AnyOf(kGlobalRace, kUninitialised));
}

TEST_P(Clusters, HandOnValuesByCooperativeGroups) {
  constexpr int kAll = 8;
  const std::vector<int> values = counting(kAll * kThreads);
  const DeviceArray<int> in(values);
  for (const bool cooperative : {false, true}) {
    for (const int size : {1, 2, 4, 8}) {
      const DeviceArray<int> out(values.size());
      expect_success(pass_around(kAll, size, in.data(), out.data(), cooperative));
      const std::vector<int> found = out.to_host();
      for (int i = 0; i < kAll * kThreads; ++i) {
        const int block = i / kThreads, thread = i % kThreads, first = block / size * size;
        const int from = first + (block - first + size * kRounds - kRounds) % size;
        const int lane = kRounds % 2 == 0 ? thread : kThreads - 1 - thread;
        ASSERT_EQ(found[static_cast<std::size_t>(i)],
                  values[static_cast<std::size_t>(from * kThreads + lane)] + kRounds)
            << i << " of clusters of " << size;
      }
    }
  }
}

TEST_P(Clusters, ThreadsArriveAtMbarriersOfOtherBlocks) {
  for (const int way : {0, 1, 2, 3}) {
    expect_success(exchange_by_mbarrier(kBlocks, in_.data(), out_.data(), way, Mistake::kNone));
    EXPECT_EQ(out_.to_host(), exchanged(values_)) << way;
  }
  const auto run = [&](Mistake mistake) {
    return exchange_by_mbarrier(kBlocks, in_.data(), out_.data(), 0, mistake);
  };
  expect_fault(run(Mistake::kNoWait), AnyOf(kRace, kUninitialised, kMayHaveExited));
  expect_fault(run(Mistake::kRelaxed), kRace);
  expect_fault(run(Mistake::kNarrowScope), kRace);
  expect_fault(run(Mistake::kNarrowWait), kRace);
  expect_fault(run(Mistake::kNoInit), AllOf(kMisuse, HasSubstr("is no mbarrier")));
  expect_fault(run(Mistake::kNoFence),
               AllOf(kRace, HasSubstr("of the cluster initialised the mbarrier at byte ")));
  expect_fault(run(Mistake::kTooManyExpected),
               AllOf(kDeadlock, HasSubstr("which waits for 1 of 65 arrivals")));
}

TEST_P(Clusters, BulkCopiesReachOtherBlocks) {
  const auto run = [&](Mistake mistake) {
    return exchange_by_bulk_copy(kBlocks, in_.data(), out_.data(), mistake);
  };
  expect_success(run(Mistake::kNone));
  EXPECT_EQ(out_.to_host(), exchanged(values_));
  expect_fault(run(Mistake::kNoWait), AnyOf(kUnwaited, kUninitialised));
  expect_fault(run(Mistake::kOwnMbarrier), AllOf(kMisuse, HasSubstr("of another block")));
  expect_fault(run(Mistake::kOverwrites), AnyOf(kUnwaited, kRace));
}

TEST_P(Clusters, ABlockStaysUntilItsCopiesAreThere) {
  // Each block waits for the other's copy alone: its own may not have read yet.
  bool found = false;
  for (std::uint64_t seed = GetParam(); seed < GetParam() + 20 && !found; ++seed) {
    set_seed(seed);
    ASSERT_EQ(exchange_by_bulk_copy(kBlocks, in_.data(), out_.data(), Mistake::kNoLastBarrier),
              cudaSuccess);
    if (cudaDeviceSynchronize() == cudaSuccess) continue;
    found = true;
    EXPECT_THAT(last_report(), AllOf(kUnwaited, HasSubstr("the block ends before this bulk copy")));
    reset();
  }
  EXPECT_TRUE(found);
}

TEST_P(Clusters, FlagsInSharedMemoryOrderByReleaseAndAcquire) {
  const DeviceArray<int> out(kBlocks);
  const auto run = [&](Mistake mistake) {
    return exchange_by_flag(kBlocks, in_.data(), out.data(), mistake);
  };
  expect_success(run(Mistake::kNone));
  const std::vector<int> found = out.to_host();
  for (std::size_t block = 0; block < kBlocks; ++block) {
    EXPECT_EQ(found[block], values_[block ^ 1]);
  }
  expect_fault(run(Mistake::kRelaxed), kRace);
  expect_fault(run(Mistake::kNarrowScope), kRace);
}

TEST_P(Clusters, CountInTheMemoryOfOneBlock) {
  for (const int size : {1, 2, 4, 8}) {
    const DeviceArray<unsigned> counts(std::vector<unsigned>(8, 0));
    expect_success(count_threads(8, size, counts.data()));
    for (int cluster = 0; cluster < 8 / size; ++cluster) {
      EXPECT_EQ(counts.to_host()[static_cast<std::size_t>(cluster)],
                static_cast<unsigned>(size * kThreads));
    }
  }
}

TEST_P(Clusters, TheBarrierIsForThoseWhoHaveNotExited) {
  const DeviceArray<int> out(std::vector<int>(8, -1));
  expect_success(wait_without_the_exited(8, 4, out.data()));
  EXPECT_EQ(out.to_host(), (std::vector<int>{0, -1, 2, 3, 4, 5, 6, 7}));
}

TEST_P(Clusters, OnlyUnalignedBarriersMayBeReachedAtDifferentPlaces) {
  expect_success(reach_at_different_places(kBlocks, false));
  expect_fault(reach_at_different_places(kBlocks, true), kDeadlock);
}

TEST_P(Clusters, ABlockThatDoesNotComeIsFound) {
  expect_fault(leave_a_block_out(),
               AllOf(kDeadlock, AnyOf(HasSubstr("at the barrier of the cluster, at which 64 of 128 "
                                                "threads have arrived"),
                                      HasSubstr("at barrier 1 for 128 threads"))));
}

TEST_P(Clusters, BlocksRunAtTheSameTime) {
  for (const int size : {2, 4}) {
    const DeviceArray<int> flags(std::vector<int>(2, 0));
    expect_success(spin_on_device_memory(size, flags.data()));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Clusters, ::testing::Values(1, 2, 3, 0xDEADBEEF));

class ClusterLaunch : public EmulatedDevice {
 protected:
  static void expect_refusal(cudaError_t launched, const std::string& report) {
    EXPECT_EQ(launched, cudaErrorInvalidClusterSize);
    EXPECT_THAT(last_report(), HasSubstr(report));
    reset();
  }
  static void expect_success(cudaError_t launched) {
    ASSERT_EQ(launched, cudaSuccess) << last_report();
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  }
};

TEST_F(ClusterLaunch, MustHaveTheExtentsThatTheKernelRequires) {
  expect_success(launch_required(4, dim3(0, 0, 0)));
  expect_success(launch_required(4, 2));
  expect_refusal(launch_required(4, 4),
                 "requires clusters of (2, 1, 1) blocks and is launched in "
                 "clusters of (4, 1, 1)");
  expect_refusal(launch_required(3, dim3(0, 0, 0)),
                 "with a grid of (3, 1, 1) blocks, expected multiples of its clusters' (2, 1, 1)");
  const cudaFuncAttributes attributes = attributes_of_required();
  EXPECT_EQ(attributes.requiredClusterWidth, 2);
  EXPECT_EQ(attributes.requiredClusterHeight, 1);
  EXPECT_EQ(attributes.requiredClusterDepth, 1);
}

TEST_F(ClusterLaunch, HasClustersThatTheDeviceTakes) {
  expect_success(launch_any(16, 8, 0));
  expect_refusal(launch_any(16, 16, 0), "in clusters of 16 blocks, expected 1 to 8");
  expect_refusal(launch_any(4, dim3(2, 0, 1), 0), "in clusters of 0 blocks, expected 1 to 8");
  ASSERT_EQ(allow_large_clusters(true), cudaSuccess);
  expect_success(launch_any(16, 16, 0));
  expect_refusal(launch_any(32, 32, 0), "in clusters of 32 blocks, expected 1 to 16");
  EXPECT_EQ(potential_cluster_size(0), 16);
  ASSERT_EQ(allow_large_clusters(false), cudaSuccess);
  EXPECT_EQ(potential_cluster_size(0), 8);
  // 228 KB hold two blocks of 100 KB, on 4 multiprocessors.
  constexpr int kShared = 100 << 10;
  expect_success(launch_any(16, 8, kShared));
  EXPECT_EQ(active_clusters(8, kShared), 1);
  EXPECT_EQ(active_clusters(2, kShared), 4);
  constexpr int kMoreShared = 200 << 10;
  expect_refusal(launch_any(16, 8, kMoreShared),
                 "in clusters of 8 blocks, of which the device holds 4");
  EXPECT_EQ(active_clusters(8, kMoreShared), 0);
  EXPECT_EQ(potential_cluster_size(kMoreShared), 4);
}

TEST_F(ClusterLaunch, IsWhatAnExplicitClusterNeeds) {
  const auto launch = [](const char* name, unsigned blocks) {
    return cudaLaunchKernel(kernel(name), blocks, 32, nullptr, 0, nullptr);
  };
  expect_refusal(launch("explicit_cluster", 2),
                 "is .explicitcluster and launched without the extents of a cluster");
  expect_success(launch("explicit_cluster_of_two", 2));
  expect_success(launch("any_cluster", 2));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = 4;
  attribute.val.clusterDim.y = 1;
  attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(4);
  config.blockDim = dim3(32);
  config.attrs = &attribute;
  config.numAttrs = 1;
  expect_success(cudaLaunchKernelExC(&config, kernel("explicit_cluster"), nullptr));
  expect_refusal(cudaLaunchKernelExC(&config, kernel("at_most_two"), nullptr),
                 "in clusters of 4 blocks, expected 1 to 2");
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidClusterSize), "cudaErrorInvalidClusterSize");
}

}  // namespace
}  // namespace velum::emulation::clusters
