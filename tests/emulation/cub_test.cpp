// CUB's algorithms, as nvcc compiled them, on the emulated device: the host code that chooses a
// policy and launches, and kernels with shuffles, votes, look-back between blocks and vector loads.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "cub_kernels.h"
#include "device_fixture.h"

namespace velum::emulation {
namespace {

class Cub : public EmulatedDeviceUnderSeeds {
 protected:
  std::mt19937 random_{17};
};

constexpr std::size_t kSizes[] = {1, 31, 32, 33, 257, 20'011};

TEST_P(Cub, SegmentedSumsAreExactOnSmallIntegers) {
  for (const std::size_t size : kSizes) {
    std::vector<float> values(size);
    for (float& v : values) v = static_cast<float>(random_() % 17);
    std::vector<int> offsets{0};
    while (offsets.back() < static_cast<int>(size)) {
      const int length = static_cast<int>(random_() % 700);
      offsets.push_back(std::min(offsets.back() + length, static_cast<int>(size)));
    }
    const std::vector<float> sums = cub_kernels::segmented_sum(values, offsets);
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
      float expected = 0;
      for (int k = offsets[i]; k < offsets[i + 1]; ++k) {
        expected += values[static_cast<std::size_t>(k)];
      }
      ASSERT_EQ(sums[i], expected) << last_report();
    }
  }
}

TEST_P(Cub, SelectKeepsWhatIsFlaggedInOrder) {
  for (const std::size_t size : kSizes) {
    std::vector<std::int64_t> values(size);
    std::vector<std::uint8_t> flags(size);
    std::vector<std::int64_t> expected;
    for (std::size_t i = 0; i < size; ++i) {
      values[i] = static_cast<std::int64_t>(i) << 33;
      flags[i] = random_() % 3 == 0;
      if (flags[i] != 0) expected.push_back(values[i]);
    }
    ASSERT_EQ(cub_kernels::select_flagged(values, flags), expected) << last_report();
  }
}

TEST_P(Cub, ScanAddsWhatStandsBefore) {
  for (const std::size_t size : kSizes) {
    std::vector<std::uint32_t> values(size);
    std::vector<std::uint32_t> expected(size);
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < size; ++i) {
      values[i] = static_cast<std::uint32_t>(random_());
      expected[i] = total;
      total += values[i];
    }
    ASSERT_EQ(cub_kernels::exclusive_sum(values), expected) << last_report();
  }
}

TEST_P(Cub, ReductionsAreExactOnSmallIntegers) {
  for (const std::size_t size : kSizes) {
    std::vector<double> values(size);
    double expected = 0;
    for (double& v : values) expected += v = static_cast<double>(random_() % 1000);
    ASSERT_EQ(cub_kernels::sum(values), expected) << last_report();
  }
}

TEST_P(Cub, BlockAndWarpReductionsAreExactOnSmallIntegers) {
  std::vector<float> values(1000);
  std::vector<float> expected(4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(random_() % 100);
    expected[i / 256] += values[i];
  }
  EXPECT_EQ(cub_kernels::block_sums(values), expected) << last_report();

  std::vector<int> integers(1024);
  std::vector<int> sums(integers.size() / 16);
  for (std::size_t i = 0; i < integers.size(); ++i) {
    integers[i] = static_cast<int>(random_());
    sums[i / 16] =
        static_cast<int>(static_cast<unsigned>(sums[i / 16]) + static_cast<unsigned>(integers[i]));
  }
  EXPECT_EQ(cub_kernels::warp_sums(integers), sums) << last_report();
}

TEST_P(Cub, RadixSortSorts) {
  std::vector<std::uint32_t> values(20'011);
  for (std::uint32_t& v : values) v = static_cast<std::uint32_t>(random_());
  std::vector<std::uint32_t> expected = values;
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(cub_kernels::sort(values), expected) << last_report();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Cub, ::testing::Values(1, 2, 0xC0FFEE));

}  // namespace
}  // namespace velum::emulation
