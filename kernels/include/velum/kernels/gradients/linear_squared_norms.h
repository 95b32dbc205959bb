#pragma once

#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// A sequence of rows for each sample, [batch, steps, width]: element (b, t, i) is
/// data[b * batch_stride + t * step_stride + i]. Strides are of elements, >= 0, and may be such
/// that steps lie in front of samples (time-major: batch_stride = width, step_stride = batch *
/// width).
template <typename T>
struct SequenceView {
  T* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t steps = 0;
  std::int64_t width = 0;
  std::int64_t batch_stride = 0;
  std::int64_t step_stride = 0;

  constexpr SequenceView() = default;
  /// Samples one after the other, without gaps.
  VELUM_HOST_DEVICE constexpr SequenceView(T* data_, std::int64_t batch_, std::int64_t steps_,
                                           std::int64_t width_)
      : data(data_),
        batch(batch_),
        steps(steps_),
        width(width_),
        batch_stride(steps_ * width_),
        step_stride(width_) {}
  VELUM_HOST_DEVICE constexpr SequenceView(T* data_, std::int64_t batch_, std::int64_t steps_,
                                           std::int64_t width_, std::int64_t batch_stride_,
                                           std::int64_t step_stride_)
      : data(data_),
        batch(batch_),
        steps(steps_),
        width(width_),
        batch_stride(batch_stride_),
        step_stride(step_stride_) {}
};

/// How the squared norm of a sample's gradient G^T A is computed. The choice is the caller's: T (p
/// + q) multiply-adds on T x T products against T p q, for T steps of p inputs and q outputs.
enum class LinearNormForm {
  kOuter,  ///< ||a||^2 ||g||^2; for one step alone
  kTile,   ///< tiles of G^T A, squared and discarded
  kGram,   ///< sum over t, s of (a_t . a_s) (g_t . g_s), in double
};

/// The squared L2 norm of every sample's gradient with respect to the weight of a linear map,
/// without the gradients.
///
///   squared_norms[b] = || sum_t grads[b][t]^T activations[b][t] ||^2
///
/// Guarantee, with A and G the rows of sample b and g its gradient, of n = outputs * inputs
/// elements (docs/numerics.md, "Squared norms of products"):
///   kOuter  within 2 `squared_norm_error(max(inputs, outputs), 2)` of the true value, relative to
///   it
///           (doubles: where ||a|| and ||g|| are at least 2^-480, or all zeros).
///   kTile   the squared norm, within 4 `squared_norm_error(n)` of it, of a gradient that is within
///           product_error<T>(steps) ||A|| ||G|| of g in L2, apart from underflow.
///   kGram   within 1.01 (inputs + outputs + steps^2 + 1) 2^-53 ||A||^2 ||G||^2 of the true value,
///           and never negative.
/// A sample with a NaN or an infinity in A or G, or whose products overflow, has a norm that is
/// not finite, unless its gradient has no elements; no other sample is touched by it. No steps give
/// zeros.
/// Papers: Goodfellow, Efficient Per-Example Gradient Computations (arXiv 1510.01799) for kOuter;
/// Li et al., Large Language Models Can Be Strong Differentially Private Learners, ICLR 2022,
/// section 4, for kGram.
///
/// @param form           see LinearNormForm.
/// @param activations    [batch, steps, inputs]: what the linear map was given.
/// @param grads          [batch, steps, outputs]: gradients with respect to what it gave.
/// @param squared_norms  [batch]; overwritten; must not overlap the others.
/// @param workspace      [at least linear_squared_norms_workspace_size], on the stream's backend.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ, a size or a stride is negative, the workspace is
///         too small, or kOuter is asked for of more than one step; BackendUnavailable, CudaError.
/// Determinism: run-to-run, and for any number of threads and any SIMD width; the order of
/// summation is a function of the shape and the kind of device, and differs between the backends.
void linear_squared_norms(LinearNormForm form, const SequenceView<const float>& activations,
                          const SequenceView<const float>& grads, Span<double> squared_norms,
                          Span<double> workspace, const Stream& stream);
void linear_squared_norms(LinearNormForm form, const SequenceView<const double>& activations,
                          const SequenceView<const double>& grads, Span<double> squared_norms,
                          Span<double> workspace, const Stream& stream);

/// Elements of workspace that `linear_squared_norms` needs on the stream's backend.
/// @throws std::invalid_argument if a size is negative; BackendUnavailable.
std::int64_t linear_squared_norms_workspace_size(LinearNormForm form, std::int64_t batch,
                                                 std::int64_t steps, std::int64_t inputs,
                                                 std::int64_t outputs, const Stream& stream);

/// A bound e: a sum of `steps` products of T (float or double), as kTile and `conv_squared_norms`
/// compute it on either backend, is within e times the sum of the products' magnitudes of the true
/// sum. Float products are added in float in runs of at most 32, then in double: 1.01 (32 * 2^-24 +
/// (steps / 32 + 8) 2^-53). Double ones: 1.01 (steps + 8) 2^-53. Where float products underflow
/// there is an absolute error of at most 2^-150 for each, too.
/// @throws std::invalid_argument if steps < 0.
template <typename T>
double product_error(std::int64_t steps);

}  // namespace velum::kernels
