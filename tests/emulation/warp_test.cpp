// Instructions that nvcc seldom writes (warp_kernels.ptx), against the definitions of the PTX
// manual.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "device_fixture.h"

namespace velum::emulation {
namespace {

constexpr std::uint32_t kWarp = 32;
constexpr std::size_t kStride = 256;  // between words of one kind and the next
constexpr std::uint32_t kMasks[] = {0xFFFFFFFF, 0x0000FFFF, 0x80000000, 0x55555550, 0x00000001};

using Words = std::vector<std::uint32_t>;

class WarpInstructions : public EmulatedDeviceUnderSeeds {
 protected:
  /// Runs a kernel on `threads` threads; false if it ended with a fault.
  template <typename... Arguments>
  static bool run(const char* name, unsigned threads, Arguments... arguments) {
    void* pointers[] = {&arguments...};
    EXPECT_EQ(cudaLaunchKernel(kernel(name), 1, threads, pointers, 0, nullptr), cudaSuccess);
    return cudaDeviceSynchronize() == cudaSuccess;
  }
};

/// The lanes of `members` that have the value of `lane`.
std::uint32_t equal_lanes(const std::vector<std::uint64_t>& values, std::uint32_t members,
                          std::uint32_t lane) {
  std::uint32_t equal = 0;
  for (std::uint32_t i = 0; i < kWarp; ++i) {
    if (((members >> i) & 1) != 0 && values[i] == values[lane]) equal |= 1U << i;
  }
  return equal;
}

TEST_P(WarpInstructions, AMatchFindsTheLanesOfItsMaskThatHaveItsValue) {
  std::vector<std::vector<std::uint64_t>> sets(4, std::vector<std::uint64_t>(kWarp));
  for (std::uint32_t i = 0; i < kWarp; ++i) {
    sets[0][i] = 0x0123456789ABCDEF;                         // all equal
    sets[1][i] = 0x0123456700000000 | (i / GetParam() % 3);  // the low words differ
    sets[2][i] = (i / GetParam() % 3) << 32 | 5;             // the high words differ
    sets[3][i] = i == 31 ? 1 : 0;                            // one does
  }
  for (const bool is_long : {true, false}) {
    for (const std::vector<std::uint64_t>& set : sets) {
      for (const std::uint32_t mask : kMasks) {
        for (const std::uint32_t living : {32U, 16U, 1U}) {
          const std::uint32_t alive = living == 32 ? ~0U : (1U << living) - 1;
          const std::uint32_t members = mask & alive;
          std::vector<std::uint64_t> values = set;
          if (!is_long) {
            for (std::uint64_t& value : values) value &= 0xFFFFFFFF;
          }
          const DeviceArray<std::uint64_t> in(set);
          const DeviceArray<std::uint32_t> out(Words(4 * kStride, 0xAAAAAAAA));
          ASSERT_TRUE(run(is_long ? "match_longs" : "match_words", kWarp, in.data(), out.data(),
                          mask, living))
              << last_report();
          const Words results = out.to_host();
          for (std::uint32_t i = 0; i < kWarp; ++i) {
            const bool takes_part = ((members >> i) & 1) != 0;
            const std::uint32_t equal = equal_lanes(values, members, i);
            const bool all = equal == members;
            EXPECT_EQ(results[i], takes_part ? equal : 0xAAAAAAAA) << mask << " " << living;
            EXPECT_EQ(results[kStride + i], takes_part ? (all ? members : 0) : 0xAAAAAAAA);
            EXPECT_EQ(results[2 * kStride + i], takes_part ? (all ? 1 : 0) : 0xAAAAAAAA);
            EXPECT_EQ(results[3 * kStride + i], takes_part ? (all ? members : 0) : 0xAAAAAAAA);
          }
        }
      }
    }
  }
}

TEST_P(WarpInstructions, AnElectionGivesAllTheSameLaneOfTheMaskEveryTime) {
  for (const std::uint32_t mask : kMasks) {
    std::uint32_t leader = kWarp;
    for (int repetition = 0; repetition < 3; ++repetition) {
      const DeviceArray<std::uint32_t> out(Words(4 * kStride, 0xAAAAAAAA));
      ASSERT_TRUE(run("elect_leader", kWarp, out.data(), mask, kWarp)) << last_report();
      const Words results = out.to_host();
      const auto first = static_cast<std::uint32_t>(std::countr_zero(mask));
      if (leader == kWarp) leader = results[first];
      ASSERT_LT(leader, kWarp);
      EXPECT_NE(mask >> leader & 1, 0U) << leader << " of " << mask;
      for (std::uint32_t i = 0; i < kWarp; ++i) {
        const bool takes_part = ((mask >> i) & 1) != 0;
        const std::uint32_t is_leader = i == leader ? 1 : 0;
        EXPECT_EQ(results[i], takes_part ? leader : 0xAAAAAAAA);
        EXPECT_EQ(results[kStride + i], takes_part ? is_leader : 0xAAAAAAAA);
        EXPECT_EQ(results[2 * kStride + i], takes_part ? is_leader : 0xAAAAAAAA);
      }
    }
  }
}

TEST_P(WarpInstructions, AnElectionByALaneOutsideOfTheMaskIsAFault) {
  const DeviceArray<std::uint32_t> out(Words(4 * kStride));
  EXPECT_FALSE(run("elect_leader", kWarp, out.data(), 0x0000FFFFU, 20U));
  EXPECT_NE(last_report().find("misuse of a warp"), std::string::npos) << last_report();
}

TEST_P(WarpInstructions, HintsAndSleepChangeNothing) {
  constexpr unsigned kThreads = 256;
  Words values(kThreads);
  std::iota(values.begin(), values.end(), 1U);
  const DeviceArray<std::uint32_t> in(values);
  const DeviceArray<std::uint32_t> out(Words(kThreads, 0));
  const DeviceArray<std::uint32_t> never_written(64);
  ASSERT_TRUE(run("hints", kThreads, in.data(), out.data(), never_written.data())) << last_report();
  EXPECT_EQ(out.to_host(), values);
  EXPECT_EQ(in.to_host(), values);
}

TEST_P(WarpInstructions, WhoSleepsLetsTheOthersRun) {
  const DeviceArray<std::uint32_t> flag(Words(1, 0));
  const DeviceArray<std::uint32_t> out(Words(1, 0));
  ASSERT_TRUE(run("sleep_until_told", 64, flag.data(), out.data())) << last_report();
  EXPECT_EQ(out.to_host(), Words(1, 7));
}

INSTANTIATE_TEST_SUITE_P(Seeds, WarpInstructions,
                         ::testing::Range(std::uint64_t{1}, std::uint64_t{9}));

}  // namespace
}  // namespace velum::emulation
