#pragma once

#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The last micro-batch of a step in one read of its gradients: `clip_and_sum`, added to the sum of
/// the earlier micro-batches, then `add_gaussian_noise`.
///
///   out[p] = (previous[p] + sum_b factors[b] * grads[b][p] + standard_deviation * z[p]) / divisor
///
/// Guarantee: the sum stays in double until the noise is in it, so that the one rounding to float
/// is that of the released value; bit for bit what `add_clip_and_sum` into double and
/// `add_gaussian_noise` give. An empty micro-batch, and an empty batch, is noised like any other.
/// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1.
///
/// @param grads               [batch, params], row-major, any row_stride >= params.
/// @param squared_norms       [batch]: squared norm of each row over all parameters.
/// @param bound               C and the accuracy of the squared norms.
/// @param previous            [params]: the sum of the earlier micro-batches, which may be `out`
///                            itself; or of size 0: there were none.
/// @param standard_deviation  noise_multiplier * C, of the noise on the sum; finite and >= 0.
/// @param divisor             the expected batch size; finite and > 0.
/// @param key                 secret; `secure_random_key()` where privacy is claimed.
/// @param position            used for this one tensor of this one release.
/// @param out                 [params]; overwritten; must not overlap grads and squared_norms.
/// @param stream              backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ or `bound`, standard_deviation or divisor is out
///         of range; std::out_of_range if `position` or params (at most 2^35) is;
///         BackendUnavailable, CudaError.
/// Determinism: as `clip_and_sum`; the noise is the same on every machine and backend.
void clip_sum_noise_scale(MatrixView<const float> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const float> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<float> out, const Stream& stream);
void clip_sum_noise_scale(MatrixView<const float> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const double> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<float> out, const Stream& stream);
void clip_sum_noise_scale(MatrixView<const double> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const double> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<double> out, const Stream& stream);

}  // namespace velum::kernels
