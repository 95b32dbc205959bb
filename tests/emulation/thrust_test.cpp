// Programs that use Thrust run on the emulated device: its host code, linked against the emulated
// runtime, and its kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "device_fixture.h"
#include "thrust_programs.h"

namespace velum::emulation {
namespace {

class Thrust : public EmulatedDevice, public ::testing::WithParamInterface<int> {
 protected:
  std::vector<int> random_values(unsigned seed) const {
    std::mt19937 engine(seed);
    std::uniform_int_distribution<int> any(-1'000'000, 1'000'000);
    std::vector<int> values(static_cast<std::size_t>(GetParam()));
    std::generate(values.begin(), values.end(), [&] { return any(engine); });
    return values;
  }
};

TEST_P(Thrust, Sorts) {
  const std::vector<int> values = random_values(1);
  std::vector<int> expected = values;
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(thrust_programs::sorted(values), expected);
}

TEST_P(Thrust, Reduces) {
  const std::vector<int> values = random_values(3);
  EXPECT_EQ(thrust_programs::sum(values), std::accumulate(values.begin(), values.end(), 0LL));
}

TEST_P(Thrust, Transforms) {
  const std::vector<int> a = random_values(4);
  const std::vector<int> b = random_values(5);
  std::vector<int> expected(a.size());
  std::transform(a.begin(), a.end(), b.begin(), expected.begin(),
                 [](int x, int y) { return 3 * x + y; });
  EXPECT_EQ(thrust_programs::combined(a, b), expected);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Thrust, ::testing::Values(1, 31, 1000, 20000));

}  // namespace
}  // namespace velum::emulation
