#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "conv/conv_weight_gradients.h"

namespace velum::dpsgd::detail {

/// A convolution whose shapes have been checked; sizes are of one group.
struct ConvProblem {
  std::vector<std::int64_t> weight_sizes;
  ConvGeometry geometry;
  std::int64_t batch, groups, outputs, channels, kernel, positions;

  std::int64_t features() const { return channels * kernel; }
  std::int64_t parameters() const { return groups * outputs * features(); }
};

/// What is wanted of, or known about, the gradients of a batch.
struct ConvRows {
  at::Tensor gradients;       ///< [batch, parameters], in the order of the backend
  at::Tensor squared_norms;   ///< [batch] float64
  at::Tensor bias_gradients;  ///< [batch, channels_out]
};
struct ConvWanted {
  bool gradients = false, squared_norms = false, bias_gradients = false;
};

/// By our own kernels. Order of the parameters: [groups, features, outputs].
ConvRows conv_rows_cpu(const ConvProblem& problem, const at::Tensor& input,
                       const at::Tensor& grad_output, ConvWanted wanted);
/// sum_b factors[b] * gradient_b, [parameters], in the same order, without keeping the gradients.
at::Tensor conv_weighted_sum_cpu(const ConvProblem& problem, const at::Tensor& input,
                                 const at::Tensor& grad_output, const at::Tensor& factors);
/// By batched products of ATen, on any device. Order: [groups, outputs, features].
ConvRows conv_rows_aten(const ConvProblem& problem, const at::Tensor& input,
                        const at::Tensor& grad_output, ConvWanted wanted);
/// sum_{t,u} <input at t, input at u> <grad_output at t, grad_output at u>, in float64: by our own
/// kernels, in cache, or by batched products of ATen.
at::Tensor conv_gram_squared_norms_cpu(const ConvProblem& problem, const at::Tensor& input,
                                       const at::Tensor& grad_output);
at::Tensor conv_gram_squared_norms_aten(const ConvProblem& problem, const at::Tensor& input,
                                        const at::Tensor& grad_output);
/// `input` with its margins of zeros; itself where there are none.
at::Tensor with_padding(const ConvProblem& problem, const at::Tensor& input);

/// [batch] float64, by the kernels of velum::kernels, which neither unfold the input nor keep a
/// gradient; on any device. The method of tiles where that is CUDA.
at::Tensor conv_fused_squared_norms(const ConvProblem& problem, const at::Tensor& input,
                                    const at::Tensor& grad_output);

/// Adds sum_b factors[b] * rows[b] to `sum`; a factor of 0 selects the row away.
void add_weighted_rows_cpu(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum);
void add_weighted_rows_aten(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum);

}  // namespace velum::dpsgd::detail
