#pragma once

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace velum::reference {

/// A copy; the gradient of a sparse table as a tensor of its sizes.
inline at::Tensor dense(const at::Tensor& gradient) {
  return gradient.is_sparse() ? gradient.to_dense() : gradient.detach().clone();
}

/// The gradient of every parameter for each sample alone, by torch's own backward, one sample at a
/// time; a parameter that sample does not reach has a zero gradient. Slow and obviously right;
/// shares no code with velum.
///
/// @param losses  [B], with its graph.
/// @return        [sample][parameter], of the parameter's shape.
inline std::vector<std::vector<at::Tensor>> single_sample_gradients(
    const at::Tensor& losses, const std::vector<at::Tensor>& parameters) {
  std::vector<std::vector<at::Tensor>> gradients;
  for (std::int64_t sample = 0; sample < losses.size(0); ++sample) {
    std::vector<at::Tensor> of_sample =
        torch::autograd::grad({losses[sample]}, parameters, {}, /*retain_graph=*/true,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      of_sample[p] =
          of_sample[p].defined() ? dense(of_sample[p]) : torch::zeros_like(parameters[p]);
    }
    gradients.push_back(std::move(of_sample));
  }
  return gradients;
}

/// The L2 norm over all parameters together, in float64.
inline double norm(const std::vector<at::Tensor>& gradient) {
  double square = 0;
  for (const at::Tensor& tensor : gradient) {
    square += tensor.to(torch::kFloat64).square().sum().item<double>();
  }
  return std::sqrt(square);
}

/// sum_b g_b * min(1, C / |g_b|), in float64; a sample whose norm is not finite adds nothing.
inline std::vector<at::Tensor> clipped_sum(const std::vector<std::vector<at::Tensor>>& gradients,
                                           const std::vector<at::Tensor>& parameters,
                                           double clipping_norm) {
  std::vector<at::Tensor> sum;
  sum.reserve(parameters.size());
  for (const at::Tensor& parameter : parameters) {
    sum.push_back(torch::zeros(parameter.sizes(), torch::kFloat64));
  }
  for (const std::vector<at::Tensor>& gradient : gradients) {
    const double length = norm(gradient);
    if (!std::isfinite(length)) continue;
    const double factor = length > clipping_norm ? clipping_norm / length : 1.0;
    for (std::size_t p = 0; p < sum.size(); ++p) {
      sum[p] += factor * gradient[p].to(torch::kFloat64);
    }
  }
  return sum;
}

}  // namespace velum::reference
