#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "velum/kernels/gradients/conv_squared_norms.h"
#include "velum/kernels/gradients/linear_squared_norms.h"

namespace velum::dpsgd::detail {

/// The operations of velum::kernels that take the place of products, unfolded inputs and scatters,
/// on tensors of float32 or float64 of any device. Results are new tensors on that device, computed
/// on torch's current stream; [batch] float64 unless said otherwise. On the CPU the tape has its
/// own ways, which are faster there.

/// ||G_b^T A_b||^2; activations [batch, steps, inputs], grads [batch, steps, outputs].
at::Tensor linear_squared_norms(kernels::LinearNormForm form, const at::Tensor& activations,
                                const at::Tensor& grads);

/// Of the gradients of a convolution's weight; input [batch, channels, *sizes], any strides.
at::Tensor conv_squared_norms(const at::Tensor& input, const at::Tensor& grads,
                              const kernels::ConvolutionGeometry& geometry);

/// Of the gradients of a table [table_rows, width] of which the rows `indices` were looked up by
/// `samples`, both [rows] int64; grads [rows, width].
at::Tensor segment_squared_norms(const at::Tensor& grads, const at::Tensor& indices,
                                 const at::Tensor& samples, std::int64_t batch,
                                 std::int64_t table_rows);

/// Their sum, by factors [batch] float64, into `out` [table_rows, width], contiguous.
void segment_weighted_sum(const at::Tensor& grads, const at::Tensor& indices,
                          const at::Tensor& samples, const at::Tensor& factors,
                          const at::Tensor& out);

}  // namespace velum::dpsgd::detail
