#pragma once

#include <cstdint>

#include "velum/he/aggregation/plan.h"
#include "velum/kernels/span.h"

namespace velum::he::aggregation {

/// Real numbers as integers of a plan: the multiples of `step` that are nearest, ties to even. Each
/// is off by at most step / 2, a sum of K by K step / 2.
/// @param step      finite and > 0, and so is 1 / step.
/// @param integers  [numbers.size()]; overwritten.
/// @throws std::invalid_argument naming what is out of range: the step, or the first number whose
///         multiple is not in plan.smallest_value() .. plan.largest_value() or that is not finite.
///         Its position is named and not the number, which is the owner's.
void to_integers(const AggregationPlan& plan, kernels::Span<const double> numbers, double step,
                 kernels::Span<std::int32_t> integers);

/// numbers[i] = integers[i] step, rounded once.
/// @throws std::invalid_argument if sizes differ or the step is out of range.
void to_numbers(kernels::Span<const std::int32_t> integers, double step,
                kernels::Span<double> numbers);

}  // namespace velum::he::aggregation
