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

/// Coordinates whose draws come from one keystream block. Index i is the block, counted from the
/// first one of GaussianBlocks.
template <typename In, typename Out>
struct AddGaussianNoiseBody {
  NoiseAndScale noise;
  Span<const In> sum;              // [params]
  Span<Out> out;                   // [params]; may be `sum`
  std::int64_t first_element = 0;  // the draw of out[0]

  VELUM_HOST_DEVICE constexpr GaussianBlocks blocks() const { return {first_element, out.size()}; }
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t block = blocks().first() + i;
    double draws[GaussianLayout::kDrawsPerBlock];
    normals_of_block(chacha20_block(noise.stream, static_cast<std::uint32_t>(block)), draws);
    for (int slot = 0; slot < GaussianLayout::kDrawsPerBlock; ++slot) {
      const std::int64_t index = GaussianLayout::element_of(block, slot) - first_element;
      if (index >= 0 && index < out.size()) {
        out[index] = static_cast<Out>(noise(static_cast<double>(sum[index]), draws[slot]));
      }
    }
  }
};

}  // namespace velum::kernels
