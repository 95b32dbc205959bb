#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// Counts all coefficients of [polys, limbs, N] in one index, for `for_each_index`.
struct CoefficientIndex {
  std::int32_t log_degree;
  std::int32_t limbs;

  struct Position {
    std::int64_t poly, limb, coefficient;
  };
  /// polys * limbs < 2^32, as the callers check by the memory that it takes.
  VELUM_HOST_DEVICE constexpr Position operator()(std::int64_t index) const {
    const auto row = static_cast<std::uint32_t>(index >> log_degree);
    const auto count = static_cast<std::uint32_t>(limbs);
    return {row / count, row % count, index & ((std::int64_t{1} << log_degree) - 1)};
  }
};

}  // namespace velum::kernels
