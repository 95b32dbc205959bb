#include <bit>
#include <cstdint>

#include "cuda/for_each_index.cuh"
#include "gradients/add_gaussian_noise_halves.h"
#include "gradients/rounded_quotient.h"
#include "random/gaussian_block.cuh"

namespace velum::kernels {
namespace {

/// The quotients of NoiseAndScale by the reciprocal of its divisor: the same bits, where neither
/// dividend nor divisor is rare (rounded_quotient.h).
struct QuotientByReciprocal {
  double divisor;
  double reciprocal;  // rounded to nearest
  /// Bounds of the upper half of a dividend's magnitude, read as a float.
  float least, most;

  explicit QuotientByReciprocal(double by)
      : divisor(by),
        reciprocal(1.0 / by),
        least(upper_half(kLeastDividend)),
        most(upper_half(kMostDividend)) {
    if (by < kLeastDivisor || by > kMostDivisor) most = -1.0f;  // every dividend is rare
  }
  static float upper_half(double x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(x) >> 32));
  }

  /// As zeros are, and what is not finite.
  __device__ bool is_rare(double dividend) const {
    const float magnitude = fabsf(__int_as_float(__double2hiint(dividend)));
    return !(magnitude >= least && magnitude <= most);
  }
  __device__ double operator()(double dividend) const {
    return quotient_by(reciprocal, dividend, divisor);
  }
};

/// AddGaussianNoiseBody as CUDA computes it.
template <typename In, typename Out>
struct AddGaussianNoiseBlocks {
  PreparedStream stream;
  double standard_deviation;
  QuotientByReciprocal quotient;
  Span<const In> sum;
  Span<Out> out;

  __device__ double dividend(std::int64_t i, double draw) const {
    return static_cast<double>(sum[i]) + standard_deviation * draw;
  }
  __device__ void operator()(std::int64_t block) const {
    constexpr int kSlots = GaussianLayout::kDrawsPerBlock;
    constexpr int kStride = GaussianLayout::kBlocksPerGroup;
    double draws[kSlots];
    cuda::normals_of_block(cuda::keystream_block(stream, static_cast<std::uint32_t>(block)), draws);
    const std::int64_t first = GaussianLayout::element_of(block, 0);
    if (first + (kSlots - 1) * kStride < out.size()) {
      Out quotients[kSlots];
      bool rare = false;
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const double of = dividend(first + slot * kStride, draws[slot]);
        rare = quotient.is_rare(of) || rare;
        quotients[slot] = static_cast<Out>(quotient(of));
      }
      if (!rare) {
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) out[first + slot * kStride] = quotients[slot];
        return;
      }
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const std::int64_t i = first + slot * kStride;
      if (i < out.size()) out[i] = static_cast<Out>(dividend(i, draws[slot]) / quotient.divisor);
    }
  }
};

}  // namespace

// One thread per keystream block of 8 draws: neighbouring threads load and store neighbours.
template <typename In, typename Out>
void add_gaussian_noise_cuda(const AddGaussianNoiseBody<In, Out>& body, const Stream& stream) {
  const NoiseAndScale& noise = body.noise;
  cuda::for_each_index(
      body.block_count(),
      AddGaussianNoiseBlocks<In, Out>{PreparedStream(noise.stream), noise.standard_deviation,
                                      QuotientByReciprocal(noise.divisor), body.sum, body.out},
      stream);
}

template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<float, float>&, const Stream&);
template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<double, double>&, const Stream&);
template void add_gaussian_noise_cuda(const AddGaussianNoiseBody<double, float>&, const Stream&);

}  // namespace velum::kernels
