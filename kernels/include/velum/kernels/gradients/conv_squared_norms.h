#pragma once

#include <array>
#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Images of channels, [batch, channels, sizes[0], sizes[1], sizes[2]], with a stride for each
/// dimension: element (b, c, i, j, k) is data[b * batch_stride + c * channel_stride + i *
/// strides[0]
/// + j * strides[1] + k * strides[2]]. Strides are of elements, >= 0. Images of one or two
/// dimensions have sizes of 1 in front.
template <typename T>
struct ImageView {
  T* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t channels = 0;
  std::array<std::int64_t, 3> sizes{1, 1, 1};
  std::int64_t batch_stride = 0;
  std::int64_t channel_stride = 0;
  std::array<std::int64_t, 3> strides{0, 0, 0};
};

/// How a convolution reads its input; an entry for each dimension of its images, the values below
/// in front where these are fewer than three.
struct ConvolutionGeometry {
  std::array<std::int64_t, 3> kernel{1, 1, 1};
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
  std::array<std::int64_t, 3> dilation{1, 1, 1};
  std::int64_t groups = 1;
};

/// The squared L2 norm of every sample's gradient with respect to the weight of a convolution,
/// without the gradients and without unfolding the input.
///
///   squared_norms[b] = sum_{o, c, k} g[o][c][k]^2
///   g[o][c][k] = sum_t grads[b][o][t] * input[b][C(o) + c][stride * t + dilation * k - padding]
///
/// with C(o) the first input channel of o's group and zeros outside of the input. For a transposed
/// convolution the caller exchanges input and grads.
///
/// Guarantee: the result is within 4 `squared_norm_error(elements of g)` of the squared norm of a
/// gradient that is, for every element, within product_error<T>(positions) of g, relative to
/// sum_t |grads| |input| (linear_squared_norms.h), apart from underflow: in L2 within
/// product_error<T>(positions) (K sum_groups ||input||^2 ||grads||^2)^(1/2) for K kernel elements.
/// A sample with a NaN or an infinity in grads, or in an element of the input that g has to do
/// with, or whose products overflow, has a norm that is not finite; no other sample is touched by
/// it.
/// Papers: Rochette et al., Efficient Per-Example Gradient Computations in Convolutional Neural
/// Networks (arXiv 1912.06015) for the gradient.
///
/// @param input          [batch, channels_in, ..]: what the convolution was given.
/// @param grads          [batch, channels_out, ..]: gradients with respect to what it gave.
/// @param geometry       kernel, stride, dilation and groups >= 1, padding >= 0.
/// @param squared_norms  [batch]; overwritten; must not overlap the others.
/// @param workspace      [at least conv_squared_norms_workspace_size], on the stream's backend.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes do not fit together, a value is out of range, a padded
///         size, the features of a group or the positions exceed 2^31 - 1, or the workspace is too
///         small; BackendUnavailable, CudaError.
/// Determinism: run-to-run, and for any number of threads and any SIMD width; the order of
/// summation is a function of the shape and the kind of device, and differs between the backends.
void conv_squared_norms(const ImageView<const float>& input, const ImageView<const float>& grads,
                        const ConvolutionGeometry& geometry, Span<double> squared_norms,
                        Span<double> workspace, const Stream& stream);
void conv_squared_norms(const ImageView<const double>& input, const ImageView<const double>& grads,
                        const ConvolutionGeometry& geometry, Span<double> squared_norms,
                        Span<double> workspace, const Stream& stream);

/// Elements of workspace that `conv_squared_norms` needs on the stream's backend.
/// @throws std::invalid_argument if a value is out of range; BackendUnavailable.
std::int64_t conv_squared_norms_workspace_size(std::int64_t batch, std::int64_t channels_in,
                                               std::int64_t channels_out,
                                               const ConvolutionGeometry& geometry,
                                               const Stream& stream);

}  // namespace velum::kernels
