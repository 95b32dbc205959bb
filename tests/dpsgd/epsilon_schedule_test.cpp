#include "velum/dpsgd/accounting/epsilon_schedule.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <stdexcept>

namespace velum::dpsgd {
namespace {

TEST(EpsilonSchedule, EndsWithTheWholeRunAndStartsFromWhatWasSpent) {
  RdpAccountant spent;
  spent.compose(GaussianMechanism{9.0}, 1, "private mean");
  const PoissonSampledGaussianMechanism mechanism{0.02, 1.2};
  const auto schedule = epsilon_schedule(spent, mechanism, 250, 100, 1e-5);
  ASSERT_EQ(schedule.size(), 3u);
  for (const EpsilonPoint& point : schedule) {
    RdpAccountant direct = spent;
    direct.compose(mechanism, point.steps);
    EXPECT_EQ(point.epsilon, direct.epsilon(1e-5));
  }
  EXPECT_EQ(schedule[0].steps, 100);
  EXPECT_EQ(schedule[2].steps, 250);
  EXPECT_EQ(spent.composition().total_count(), 1);
}

TEST(EpsilonSchedule, OfNoStepIsEmpty) {
  EXPECT_TRUE(epsilon_schedule(RdpAccountant(), GaussianMechanism{1.0}, 0, 10, 1e-5).empty());
}

TEST(EpsilonSchedule, TextRoundsUpAndFitsIntoEightyColumns) {
  const std::string text = to_text({{100, 1.00001}, {123456789, 2.0}});
  EXPECT_EQ(text, "    steps  epsilon\n      100   1.0001  " + std::string(24, '#') +
                      "\n123456789   2.0000  " + std::string(48, '#') + "\n");
  std::istringstream lines(to_text({{std::numeric_limits<std::int64_t>::max(), 1.0},
                                    {1, std::numeric_limits<double>::infinity()}}));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST(EpsilonSchedule, NamesTheValueThatIsOutOfRange) {
  const auto error_of = [](std::int64_t steps, std::int64_t steps_per_point) -> std::string {
    try {
      epsilon_schedule(RdpAccountant(), GaussianMechanism{1.0}, steps, steps_per_point, 1e-5);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no std::invalid_argument";
  };
  EXPECT_EQ(error_of(-1, 1), "epsilon_schedule: steps = -1, expected >= 0");
  EXPECT_EQ(error_of(1, 0), "epsilon_schedule: steps_per_point = 0, expected >= 1");
}

}  // namespace
}  // namespace velum::dpsgd
