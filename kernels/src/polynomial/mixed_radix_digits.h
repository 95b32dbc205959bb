#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"

namespace velum::kernels {

/// How many products d P of 30-bit numbers and a residue below 2^32 fit 64 bits.
constexpr int kProductsPerReduction = 15;
static_assert(kProductsPerReduction <= ((~std::uint64_t{0} - 0xffffffffu) >> 60));

/// sum_(j < count) digits[j] products[j] modulo m, digits and products below 2^30: what the lower
/// digits in mixed radix make of a number.
VELUM_HOST_DEVICE inline std::uint32_t mixed_radix_sum(const std::uint32_t* digits,
                                                       const std::uint32_t* products,
                                                       std::int64_t count,
                                                       const Modulus<std::uint32_t>& m) {
  std::uint64_t sum = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    if (j % kProductsPerReduction == 0) sum = reduce_wide(sum, m);
    sum += static_cast<std::uint64_t>(digits[j]) * products[j];
  }
  return reduce_wide(sum, m);
}

}  // namespace velum::kernels
