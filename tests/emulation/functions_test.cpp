// Calls of functions that are not inlined, who a thread is, and how much shared memory it may have.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "device_fixture.h"
#include "function_kernels.h"

namespace velum::emulation::functions {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

cudaError_t run() { return cudaDeviceSynchronize(); }

class Functions : public EmulatedDevice {};

TEST_F(Functions, TakeAndGiveStructures) {
  const DeviceArray<Five> in({Five{{1, 2, 3, 4, 5}}});
  const DeviceArray<Five> out(1);
  pass_structures(in.data(), 10.75, out.data());
  const Five result = out.to_host()[0];
  EXPECT_EQ(std::vector<int>(result.values, result.values + 5),
            (std::vector<int>{15, 14, 13, 12, 11}));
}

TEST_F(Functions, HaveLocalMemoryOfTheirOwnInARecursion) {
  std::vector<int> depth(kThreads);
  std::iota(depth.begin(), depth.end(), 0);
  const DeviceArray<int> in(depth);
  const DeviceArray<int> out(kThreads);
  add_by_recursion(in.data(), out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  const std::vector<int> sums = out.to_host();
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], i * (i + 1) / 2);
}

TEST_F(Functions, ARecursionWithoutAnEndIsFound) {
  const DeviceArray<int> out(kThreads);
  for (const bool alone : {false, true}) {
    auto* const recurse = alone ? recurse_without_end_alone : recurse_without_end;
    recurse(-1, out.data());
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    recurse(9, out.data());
    EXPECT_EQ(run(), cudaErrorHardwareStackError);
    EXPECT_THAT(last_report(),
                AllOf(HasSubstr("stack overflow"), HasSubstr("recurse_kernel"),
                      HasSubstr("thread (9, 0, 0)"), HasSubstr("function_kernels.cu:")));
    reset();
  }
}

TEST_F(Functions, AreCalledThroughPointers) {
  std::vector<int> which(kThreads);
  for (int i = 0; i < kThreads; ++i) which[static_cast<std::size_t>(i)] = i / 2 % 3;
  const DeviceArray<int> in(which);
  const DeviceArray<int> out(kThreads);
  call_from_table(in.data(), out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  const std::vector<int> results = out.to_host();
  for (int i = 0; i < kThreads; ++i) {
    const int expected[] = {3 * i, i + 3, -i};
    EXPECT_EQ(results[static_cast<std::size_t>(i)], expected[i / 2 % 3]);
  }
}

TEST_F(Functions, MayBeVirtual) {
  std::vector<int> values(kThreads);
  std::iota(values.begin(), values.end(), 100);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  call_virtual_functions(in.data(), out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  const std::vector<int> results = out.to_host();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(results[static_cast<std::size_t>(i)], (100 + i) * (i % 2 == 0 ? 5 : 7));
  }
}

TEST_F(Functions, ACallOfWhatIsNoFunctionIsFound) {
  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{0x2000'0000'1000}}) {
    call_nothing(address);
    EXPECT_EQ(run(), cudaErrorInvalidPc);
    EXPECT_THAT(last_report(), AllOf(HasSubstr("no function"), HasSubstr("call_nothing_kernel"),
                                     HasSubstr("function_kernels.cu:")));
    reset();
  }
}

TEST_F(Functions, ACallWithTheWrongParametersIsFound) {
  const DeviceArray<int> out(std::vector<int>{0});
  call_with_wrong_parameters(out.data());
  EXPECT_EQ(run(), cudaErrorInvalidPc);
  EXPECT_THAT(last_report(), AllOf(HasSubstr("three_times"), HasSubstr("other sizes")));
}

TEST_F(Functions, TheActiveMaskHasTheCallerAndOnlyLanesThatTookTheSameWay) {
  std::vector<unsigned> values(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) values[i] = i % 3;
  unsigned allowed[2] = {};
  for (unsigned i = 0; i < kThreads; ++i) allowed[i / 32] |= (i % 3 != 0 ? 1U : 0U) << (i % 32);
  bool alone = false;
  bool together = false;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    set_seed(seed);
    const DeviceArray<unsigned> in(values);
    const DeviceArray<unsigned> out(std::vector<unsigned>(kThreads, 0));
    active_masks(in.data(), out.data());
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    const std::vector<unsigned> masks = out.to_host();
    for (unsigned i = 0; i < kThreads; ++i) {
      if (i % 3 == 0) {
        EXPECT_EQ(masks[i], 0U);
        continue;
      }
      EXPECT_NE(masks[i] & (1U << (i % 32)), 0U);
      EXPECT_EQ(masks[i] & ~allowed[i / 32], 0U);
      for (unsigned k = 0; k < 32; ++k) {  // all of a group see the same
        if ((masks[i] >> k) & 1) {
          EXPECT_EQ(masks[i / 32 * 32 + k], masks[i]);
        }
      }
      alone |= masks[i] == 1U << (i % 32);
      together |= masks[i] != 1U << (i % 32);
    }
  }
  EXPECT_TRUE(alone);
  EXPECT_TRUE(together);
}

TEST_F(Functions, GroupsOfActiveLanesWorkTogether) {
  std::vector<unsigned> values(kThreads);
  for (unsigned i = 0; i < kThreads; ++i) values[i] = i % 5 == 0 ? 0 : 1;
  const auto expected = static_cast<unsigned>(std::accumulate(values.begin(), values.end(), 0U));
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    set_seed(seed);
    const DeviceArray<unsigned> in(values);
    const DeviceArray<unsigned> count(std::vector<unsigned>{0});
    const DeviceArray<unsigned> out(std::vector<unsigned>(kThreads, ~0U));
    count_by_groups(in.data(), count.data(), out.data());
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    EXPECT_EQ(count.to_host()[0], expected);
    std::vector<unsigned> places = out.to_host();
    std::sort(places.begin(), places.end());
    for (unsigned i = 0; i < expected; ++i) EXPECT_EQ(places[i], i);
  }
}

TEST_F(Functions, ThreadsKnowTheirPlaceInThreeDimensions) {
  for (const auto& [grid, block] :
       {std::pair{dim3(7), dim3(33)}, std::pair{dim3(3, 5), dim3(4, 9)},
        std::pair{dim3(2, 3, 4), dim3(3, 5, 2)}, std::pair{dim3(1, 1, 6), dim3(1, 1, 64)},
        std::pair{dim3(1, 9, 1), dim3(1, 1024, 1)}}) {
    const std::size_t count = std::size_t{grid.x} * grid.y * grid.z * block.x * block.y * block.z;
    const DeviceArray<unsigned> out(12 * count);
    coordinates(grid, block, out.data());
    ASSERT_EQ(run(), cudaSuccess) << last_report();
    const std::vector<unsigned> all = out.to_host();
    // In the order of the numbers: x runs fastest, and blocks come after threads.
    std::size_t at = 0;
    for (unsigned bz = 0; bz < grid.z; ++bz)
      for (unsigned by = 0; by < grid.y; ++by)
        for (unsigned bx = 0; bx < grid.x; ++bx)
          for (unsigned z = 0; z < block.z; ++z)
            for (unsigned y = 0; y < block.y; ++y)
              for (unsigned x = 0; x < block.x; ++x, at += 12) {
                const std::vector<unsigned> expected = {
                    x, y, z, bx, by, bz, block.x, block.y, block.z, grid.x, grid.y, grid.z};
                ASSERT_EQ(std::vector<unsigned>(all.begin() + static_cast<std::ptrdiff_t>(at),
                                                all.begin() + static_cast<std::ptrdiff_t>(at + 12)),
                          expected);
              }
  }
}

TEST_F(Functions, DynamicSharedMemoryBesideStaticOneHasTheLimitsOfCuda) {
  constexpr int kStatic = 4096;
  constexpr int kUsual = (48 << 10) - kStatic;  // without an attribute
  constexpr int kMost = (227 << 10) - kStatic;
  std::vector<int> values(kMost / 4);
  std::iota(values.begin(), values.end(), 0);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(values.size());
  EXPECT_EQ(reverse_beside_static(in.data(), out.data(), kUsual / 4), cudaSuccess);
  EXPECT_EQ(reverse_beside_static(in.data(), out.data(), kUsual / 4 + 1), cudaErrorInvalidValue);
  reset();
  EXPECT_EQ(allow_dynamic_shared_beside_static(kMost + 1), cudaErrorInvalidValue);
  EXPECT_THAT(last_report(), HasSubstr("expected at most 232448 together"));
  reset();
  ASSERT_EQ(allow_dynamic_shared_beside_static(kMost), cudaSuccess);
  ASSERT_EQ(reverse_beside_static(in.data(), out.data(), kMost / 4), cudaSuccess);
  EXPECT_EQ(out.to_host(), std::vector<int>(values.rbegin(), values.rend()));
  // The attribute counts dynamic bytes alone.
  ASSERT_EQ(allow_dynamic_shared_beside_static(kUsual + 4096), cudaSuccess);
  EXPECT_EQ(reverse_beside_static(in.data(), out.data(), kUsual / 4 + 1024), cudaSuccess);
  EXPECT_EQ(reverse_beside_static(in.data(), out.data(), kUsual / 4 + 1025), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace velum::emulation::functions
