#pragma once

#include <cstdint>

#include "random/gaussian_body.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

/// Noise on a sum, and its division.
struct NoiseAndScale {
  ChaCha20State stream;  // of DrawKind::kGaussian; element i is for coordinate i
  double standard_deviation;
  double divisor;

  /// Three roundings and no fma: every SIMD target has these operations.
  VELUM_HOST_DEVICE double operator()(double sum, double draw) const {
    return (sum + standard_deviation * draw) / divisor;
  }
};

/// Noise on all coordinates.
template <typename In, typename Out>
struct AddGaussianNoiseBody {
  NoiseAndScale noise;
  Span<const In> sum;  // [params]
  Span<Out> out;       // [params]; may be `sum`

  VELUM_HOST_DEVICE constexpr std::int64_t block_count() const {
    const std::int64_t groups =
        (out.size() + GaussianLayout::kDrawsPerGroup - 1) / GaussianLayout::kDrawsPerGroup;
    return groups * GaussianLayout::kBlocksPerGroup;
  }
};

}  // namespace velum::kernels
