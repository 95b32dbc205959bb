// Sixteen coefficients in registers and four stages of butterflies: what scripts/sass-report reads
// the arithmetic of one butterfly from. Compiled, never run. Eight instructions are what Shoup's
// product and Harvey's ranges ask for: the high word of one product, q times that, the other low
// product less it, x - 2q and a minimum, 2q + u, a sum and a difference; the rest of a figure is
// addresses.
#include <cstdint>

#include "polynomial/ntt_body.h"

namespace velum::kernels {

constexpr int kCoefficients = 16;
constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    forward_butterfly_probe_kernel(std::uint32_t* row, const ShoupFactor<std::uint32_t>* factors,
                                   std::uint32_t q) {
  std::uint32_t x[kCoefficients];
#pragma unroll
  for (int i = 0; i < kCoefficients; ++i) x[i] = row[threadIdx.x + i * kThreads];
#pragma unroll
  for (int half = kCoefficients / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < kCoefficients; ++i) {
      if ((i & half) == 0) {
        forward_butterfly(x[i], x[i + half], factors[(kCoefficients + i) / (2 * half)], q);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kCoefficients; ++i) row[threadIdx.x + i * kThreads] = x[i];
}

__global__ void __launch_bounds__(kThreads)
    inverse_butterfly_probe_kernel(std::uint32_t* row, const ShoupFactor<std::uint32_t>* factors,
                                   std::uint32_t q) {
  std::uint32_t x[kCoefficients];
#pragma unroll
  for (int i = 0; i < kCoefficients; ++i) x[i] = row[threadIdx.x + i * kThreads];
#pragma unroll
  for (int half = 1; half < kCoefficients; half *= 2) {
#pragma unroll
    for (int i = 0; i < kCoefficients; ++i) {
      if ((i & half) == 0) {
        inverse_butterfly(x[i], x[i + half], factors[(kCoefficients + i) / (2 * half)], q);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kCoefficients; ++i) row[threadIdx.x + i * kThreads] = x[i];
}

}  // namespace velum::kernels
