#pragma once

#include <cstdint>

#include "gradients/add_gaussian_noise_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename In, typename Out>
void add_gaussian_noise_cpu(const AddGaussianNoiseBody<In, Out>& body, const Stream& stream);
template <typename In, typename Out>
void add_gaussian_noise_cuda(const AddGaussianNoiseBody<In, Out>& body, const Stream& stream);

namespace cpu {

/// Coordinates that a thread noises at a time: whole groups of draws, and with their draws in half
/// of a first-level cache.
inline constexpr std::int64_t kNoiseTile = 8 * GaussianLayout::kDrawsPerGroup;

/// sums[j] becomes noise(sums[j], draw first_element + j), on the calling thread. first_element is
/// a multiple of kNoiseTile.
void add_noise_and_divide(const NoiseAndScale& noise, std::int64_t first_element,
                          Span<double> sums);

}  // namespace cpu
}  // namespace velum::kernels
