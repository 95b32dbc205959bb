#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// Per-sample products: for every sample and group the matrix of `outputs` x `features` sums over
/// `steps` of an output's gradient times a feature. A linear map's features are its inputs; a
/// convolution's the elements of its kernel, for each channel, and its steps the positions.
struct ProductSizes {
  std::int64_t batch;
  std::int64_t groups;
  std::int64_t outputs;   // of one group
  std::int64_t features;  // of one group
  std::int64_t steps;
};

/// Float products are added in float for no more than this many steps.
constexpr int kFloatRun = 32;

VELUM_HOST_DEVICE constexpr std::int64_t divide_up(std::int64_t count, std::int64_t by) {
  return (count + by - 1) / by;
}

}  // namespace velum::kernels
