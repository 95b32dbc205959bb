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

/// The coordinates whose draws come from keystream block `block`.
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
  VELUM_HOST_DEVICE void operator()(std::int64_t block) const {
    double draws[GaussianLayout::kDrawsPerBlock];
    normals_of_block(chacha20_block(noise.stream, static_cast<std::uint32_t>(block)), draws);
    for (int slot = 0; slot < GaussianLayout::kDrawsPerBlock; ++slot) {
      const std::int64_t i = GaussianLayout::element_of(block, slot);
      if (i < out.size()) {
        out[i] = static_cast<Out>(noise(static_cast<double>(sum[i]), draws[slot]));
      }
    }
  }
};

}  // namespace velum::kernels
