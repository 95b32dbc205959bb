#include <algorithm>
#include <cstdint>

#include "cpu/for_each_index.h"
#include "polynomial/modulus_ratio_halves.h"

namespace velum::kernels {
namespace {

/// Steps that are worth a thread, some tens of microseconds.
constexpr std::int64_t kGrainSteps = 1 << 15;

std::int64_t grain(std::int64_t steps) {
  return std::max<std::int64_t>(1, kGrainSteps / std::max<std::int64_t>(1, steps));
}

}  // namespace

void multiply_by_ratio_cpu(const MultiplyByRatioBody& body, const Stream& stream) {
  cpu::for_each_index(body.numbers.size(), grain(body.out.limbs + 4), body, stream);
}

void divide_by_ratio_cpu(const DivideByRatioBody& body, const Stream& stream) {
  const std::int64_t limbs = body.in.limbs;
  cpu::for_each_index(body.numbers.size(), grain(limbs * (limbs + 8) / 2), body, stream);
}

}  // namespace velum::kernels
