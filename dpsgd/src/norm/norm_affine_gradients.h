#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

namespace velum::dpsgd::detail {

/// Gradients of each sample with respect to the scale and shift of a group normalisation:
///
///   scale[b][c] = sum_t grad_output[b][c][t] * (input[b][c][t] - mean[b][g(c)]) * rstd[b][g(c)]
///   shift[b][c] = sum_t grad_output[b][c][t]
///
/// @param input, grad_output  [batch, channels, *spatial], float32 or float64, any strides.
/// @param mean, rstd          batch * groups elements, as the forward pass saved them.
/// @return                    {scale, shift}, each [batch, channels].
/// @throws std::invalid_argument if shapes or types do not fit together.
/// Determinism: run-to-run; on the CPU also for any number of threads.
std::pair<at::Tensor, at::Tensor> per_sample_group_norm_gradients(const at::Tensor& input,
                                                                  const at::Tensor& mean,
                                                                  const at::Tensor& rstd,
                                                                  const at::Tensor& grad_output,
                                                                  std::int64_t groups);

/// The same for a layer normalisation over the last `normalized_dims` dimensions, a sample being
/// one index of the first:
///
///   scale[b][j] = sum_r grad_output[b][r][j] * (input[b][r][j] - mean[b][r]) * rstd[b][r]
///   shift[b][j] = sum_r grad_output[b][r][j]
///
/// @param input, grad_output  [batch, *rows, *normalized].
/// @param mean, rstd          batch * rows elements.
/// @return                    {scale, shift}, each [batch, *normalized].
std::pair<at::Tensor, at::Tensor> per_sample_layer_norm_gradients(const at::Tensor& input,
                                                                  const at::Tensor& mean,
                                                                  const at::Tensor& rstd,
                                                                  const at::Tensor& grad_output,
                                                                  std::int64_t normalized_dims);

}  // namespace velum::dpsgd::detail
