#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

namespace velum::testing {

/// Losses [batch] of inputs [batch, ..].
using LossFunction = std::function<torch::Tensor(const torch::Tensor&)>;

/// The gradient of every sample by a forward and a backward of its own, on a batch of one: shares
/// nothing with the tape but torch.
inline std::vector<torch::Tensor> single_sample_gradients(
    const LossFunction& losses, const torch::Tensor& inputs,
    const std::vector<torch::Tensor>& parameters) {
  std::vector<std::vector<torch::Tensor>> rows(parameters.size());
  for (std::int64_t i = 0; i < inputs.size(0); ++i) {
    const torch::Tensor loss = losses(inputs.slice(0, i, i + 1)).sum();
    const auto gradients = torch::autograd::grad({loss}, parameters, {}, /*retain_graph=*/false,
                                                 /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      rows[p].push_back(!gradients[p].defined()    ? torch::zeros_like(parameters[p])
                        : gradients[p].is_sparse() ? gradients[p].to_dense()
                                                   : gradients[p]);
    }
  }
  std::vector<torch::Tensor> result;
  for (const auto& row : rows) result.push_back(torch::stack(row).detach());
  return result;
}

/// ||a - b|| / ||b||, or ||a|| where b is zero.
inline double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  const double norm = b.to(torch::kDouble).norm().item<double>();
  const double difference = (a.to(torch::kDouble) - b.to(torch::kDouble)).norm().item<double>();
  return norm == 0 ? difference : difference / norm;
}

}  // namespace velum::testing
