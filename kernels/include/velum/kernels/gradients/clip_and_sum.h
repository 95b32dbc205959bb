#pragma once

#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Scales each row to an L2 norm of at most C, then sums the rows, in one read of the gradients.
///
///   out[p] = sum_b factors[b] * grads[b][p],  factors as from `clip_factors` in the type of grads
///
/// Guarantee: adding or removing a row moves the exact sum of the scaled rows by at most C in L2.
/// The sum is computed in double and rounded once to the type of `out`; docs/numerics.md,
/// "Clipped sums", bounds both, and says why a float gradient is best summed into double. A row
/// whose factor is 0, so every row whose squared norm is not finite, is left out by selection and
/// may hold anything. An empty batch gives zeros.
/// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1.
///
/// @param grads          [batch, params], row-major, any row_stride >= params: per-sample
/// gradients.
/// @param squared_norms  [batch]: squared norm of each row, over all parameters where these are
/// some.
/// @param bound          C and the accuracy of the squared norms.
/// @param out            [params]; overwritten; must not overlap the inputs.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ or `bound` is out of range; BackendUnavailable,
///         CudaError.
/// Determinism: run-to-run, and for any number of threads and any SIMD width. The CPU sums samples
/// in index order; CUDA sums those with equal index modulo 16 in index order, then the 16 sums by
/// a fixed tree.
void clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<float> out, const Stream& stream);
void clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<double> out, const Stream& stream);
void clip_and_sum(MatrixView<const double> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<double> out, const Stream& stream);

/// As `clip_and_sum`, added to what `out` holds: the micro-batches of one logical batch.
///
///   out[p] = round(out[p] + sum_b factors[b] * grads[b][p])
void add_clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<float> out, const Stream& stream);
void add_clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<double> out, const Stream& stream);
void add_clip_and_sum(MatrixView<const double> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<double> out, const Stream& stream);

/// `per_sample_squared_norms`, then `clip_and_sum`, with the error bound of the former: for
/// gradients that are one matrix. A row's factor must be known before its first element is added,
/// so this reads the gradients twice; no form that reads them once exists without keeping them.
///
/// @param grads          [batch, params], row-major: per-sample gradients.
/// @param clipping_norm  C, in units of the gradient; finite and >= 2^-400.
/// @param squared_norms  [batch]; overwritten with the squared norms; must not overlap the others.
/// @param out            [params]; overwritten; must not overlap the inputs.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ or clipping_norm is out of range;
///         BackendUnavailable, CudaError.
/// Determinism: run-to-run, as the two operations.
void measure_clip_and_sum(MatrixView<const float> grads, double clipping_norm,
                          Span<double> squared_norms, Span<float> out, const Stream& stream);
void measure_clip_and_sum(MatrixView<const float> grads, double clipping_norm,
                          Span<double> squared_norms, Span<double> out, const Stream& stream);
void measure_clip_and_sum(MatrixView<const double> grads, double clipping_norm,
                          Span<double> squared_norms, Span<double> out, const Stream& stream);

}  // namespace velum::kernels
