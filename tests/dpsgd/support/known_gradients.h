#pragma once

#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "dpsgd/support/engine_step.h"

namespace velum::testing {

/// Three parameters with known gradients: those of `a` [3] and `b` [4] are the rows themselves,
/// that of `w` [1, 2] is the product of x [steps, 2] and the sample's scale.
struct KnownGradients {
  explicit KnownGradients(at::ScalarType type)
      : a(torch::zeros({3}, type).requires_grad_()),
        b(torch::zeros({4}, type).requires_grad_()),
        w(torch::zeros({1, 2}, type).requires_grad_()) {}
  at::Tensor a, b, w;

  struct Row {
    double a, b;              // norms of the first two parts
    double x = 0, scale = 0;  // the third: x at step 0, opposite * x at step 1, times the scale
    double opposite = 0;
  };
  std::vector<at::Tensor> parameters() const { return {a, b, w}; }
  at::Tensor losses(const std::vector<Row>& rows) const {
    std::vector<at::Tensor> ga, gb, x, scale;
    for (const Row& row : rows) {
      const auto part = [&](double norm, std::int64_t size) {
        return torch::full({size}, norm / std::sqrt(static_cast<double>(size)), a.dtype());
      };
      ga.push_back(part(row.a, 3));
      gb.push_back(part(row.b, 4));
      x.push_back(torch::tensor({{row.x, row.x}, {row.opposite * row.x, row.opposite * row.x}})
                      .to(a.scalar_type()));
      scale.push_back(torch::full({}, row.scale, a.dtype()));
    }
    const at::Tensor linear = torch::linear(torch::stack(x), w).squeeze(2).sum(1);
    return (torch::stack(ga) * a).sum(1) + (torch::stack(gb) * b).sum(1) +
           linear * torch::stack(scale);
  }
  std::vector<at::Tensor> sum(const std::vector<Row>& rows, const dpsgd::Clipping& clipping) const {
    return clipped_sum_of_one_batch(parameters(), losses(rows), clipping);
  }
};
inline double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double square = 0;
  for (std::size_t p = 0; p < a.size(); ++p) {
    square += (a[p].to(torch::kDouble) - b[p].to(torch::kDouble)).square().sum().item<double>();
  }
  return std::sqrt(square);
}
inline double length(const at::Tensor& tensor) {
  return tensor.to(torch::kDouble).norm().item<double>();
}

}  // namespace velum::testing
