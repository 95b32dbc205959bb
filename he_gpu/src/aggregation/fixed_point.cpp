#include "velum/he/aggregation/fixed_point.h"

#include <cmath>
#include <stdexcept>
#include <string>

#include "ckks/format_number.h"

namespace velum::he::aggregation {
namespace {

void check(const char* function, double step, std::int64_t numbers, std::int64_t integers) {
  if (!(step > 0.0 && std::isfinite(step) && std::isfinite(1.0 / step))) {
    throw std::invalid_argument(std::string(function) + ": step = " + format_number(step) +
                                ", expected finite and > 0");
  }
  if (numbers != integers) {
    throw std::invalid_argument(std::string(function) + ": " + std::to_string(numbers) +
                                " numbers and " + std::to_string(integers) +
                                " integers, expected as many");
  }
}

}  // namespace

void to_integers(const AggregationPlan& plan, kernels::Span<const double> numbers, double step,
                 kernels::Span<std::int32_t> integers) {
  constexpr const char* kName = "to_integers";
  check(kName, step, numbers.size(), integers.size());
  for (std::int64_t i = 0; i < numbers.size(); ++i) {
    const double multiple = std::nearbyint(numbers[i] / step);
    if (!(multiple >= plan.smallest_value() && multiple <= plan.largest_value())) {
      throw std::invalid_argument(std::string(kName) + ": number " + std::to_string(i) +
                                  " is not within " + format_number(plan.smallest_value() * step) +
                                  " to " + format_number(plan.largest_value() * step) +
                                  ": clip before, take a larger step, or plan more bits");
    }
    integers[i] = static_cast<std::int32_t>(multiple);
  }
}

void to_numbers(kernels::Span<const std::int32_t> integers, double step,
                kernels::Span<double> numbers) {
  check("to_numbers", step, numbers.size(), integers.size());
  for (std::int64_t i = 0; i < integers.size(); ++i) numbers[i] = integers[i] * step;
}

}  // namespace velum::he::aggregation
