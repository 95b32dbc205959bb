#pragma once

#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Adds Gaussian noise to a sum, then divides: what a step releases. In place.
///
///   sum[i] = (sum[i] + standard_deviation * z[i]) / divisor
///
/// z is `gaussian_fill` in double at `position`, whatever the type of `sum`. Product, sum and
/// quotient are each rounded to double, then the result once to the type of `sum`: what is released
/// in float is a rounding of what would have been released in double. With standard_deviation 0 the
/// sum is only divided.
/// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1.
///
/// @param sum                 [params]; finite; at most 2^35 elements.
/// @param standard_deviation  noise_multiplier * C, of the noise on the sum, before the division;
///                            finite and >= 0.
/// @param divisor             the expected batch size; finite and > 0.
/// @param key                 secret; `secure_random_key()` where privacy is claimed.
/// @param position            used for this one tensor of this one release.
/// @param stream              backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if standard_deviation or divisor is out of range;
///         std::out_of_range if `position` or the size is; BackendUnavailable, CudaError.
/// Determinism: the same bits on every machine and backend, for any number of threads.
void add_gaussian_noise(Span<float> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position, const Stream& stream);
void add_gaussian_noise(Span<double> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position, const Stream& stream);

/// As above, from a sum in double into `out` [params], which must not overlap it: for float
/// gradients whose micro-batches were summed in double.
/// @throws std::invalid_argument also if the sizes differ.
void add_gaussian_noise(Span<const double> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position, Span<float> out,
                        const Stream& stream);

}  // namespace velum::kernels
