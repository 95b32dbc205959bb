#include "velum/dpsgd/accounting/epsilon_schedule.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <stdexcept>

#include "velum/dpsgd/accounting/pld_accountant.h"

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

TEST(EpsilonSchedule, CountsThroughAllPhases) {
  const GaussianMechanism mean{9.0};
  const PoissonSampledGaussianMechanism first{0.02, 1.2};
  const PoissonSampledGaussianMechanism second{0.05, 2.0};
  Composition planned;
  planned.append(mean, 1);
  planned.append(first, 25);
  planned.append(second, 12);
  RdpAccountant spent;
  spent.compose(GaussianMechanism{20.0});
  const auto schedule = epsilon_schedule(spent, planned, 10, 1e-5);
  ASSERT_EQ(schedule.size(), 4u);
  const std::int64_t firsts[] = {9, 19, 25, 25};
  const std::int64_t seconds[] = {0, 0, 4, 12};
  const std::int64_t steps[] = {10, 20, 30, 38};
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    RdpAccountant direct = spent;
    direct.compose(mean);
    direct.compose(first, firsts[i]);
    direct.compose(second, seconds[i]);
    EXPECT_EQ(schedule[i].steps, steps[i]);
    EXPECT_EQ(schedule[i].epsilon, direct.epsilon(1e-5));
    EXPECT_FALSE(schedule[i].lower);
  }
  EXPECT_TRUE(epsilon_schedule(spent, Composition(), 10, 1e-5).empty());
  EXPECT_EQ(epsilon_schedule(spent, planned, 19, 1e-5).size(), 2u);  // the last one once
}

TEST(EpsilonSchedule, HasLowerBoundsWhereTheAccountantHas) {
  const PoissonSampledGaussianMechanism mechanism{0.02, 1.2};
  PldAccountant direct;
  direct.compose(mechanism, 100);
  const auto schedule = epsilon_schedule(PldAccountant(), mechanism, 100, 100, 1e-5);
  ASSERT_EQ(schedule.size(), 1u);
  EXPECT_EQ(schedule[0].epsilon, direct.epsilon(1e-5));
  EXPECT_EQ(schedule[0].lower, direct.guarantee(1e-5).lower);
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
