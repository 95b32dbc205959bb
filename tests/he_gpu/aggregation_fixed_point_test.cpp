#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "aggregation_fixture.h"
#include "velum/he/aggregation/fixed_point.h"

namespace velum::he::aggregation {
namespace {

using namespace ::velum::testing;
using ::testing::HasSubstr;

Values integers_of(const std::vector<double>& numbers, double step) {
  const AggregationPlan plan = small_insecure_plan(6, 4, 2, 0);  // -8 to 7
  Values integers(numbers.size());
  to_integers(plan, Span<const double>(numbers), step, Span<std::int32_t>(integers));
  return integers;
}

TEST(FixedPoint, NumbersBecomeTheNearestMultiplesTiesToEven) {
  EXPECT_EQ(integers_of({0.3, -0.26, 0.125, 0.375, -2.0, 1.75}, 0.25),
            (Values{1, -1, 0, 2, -8, 7}));
  const Values integers{1, -8, 7};
  std::vector<double> numbers(3);
  to_numbers(Span<const std::int32_t>(integers), 0.25, Span<double>(numbers));
  EXPECT_EQ(numbers, (std::vector<double>{0.25, -2.0, 1.75}));
}

TEST(FixedPoint, WhatIsOutOfRangeIsNamedByItsPositionAlone) {
  const double infinite = std::numeric_limits<double>::infinity();
  for (const double bad : {1.9, -2.2, infinite, std::numeric_limits<double>::quiet_NaN()}) {
    const std::string text = refusal_of([&] { integers_of({0.0, bad}, 0.25); });
    EXPECT_THAT(text, HasSubstr("number 1 is not within -2 to 1.75: clip before"));
  }
  for (const double step : {0.0, -1.0, infinite, 1e-320})
    EXPECT_THAT(refusal_of([&] { integers_of({0.0}, step); }),
                HasSubstr("expected finite and > 0"));
  const Values integers(2);
  std::vector<double> numbers(3);
  EXPECT_THAT(refusal_of([&] {
                to_numbers(Span<const std::int32_t>(integers), 1.0, Span<double>(numbers));
              }),
              HasSubstr("3 numbers and 2 integers, expected as many"));
}

}  // namespace
}  // namespace velum::he::aggregation
