#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "velum/dpsgd/audit/audited_engine.h"

namespace velum::testing {

/// A classifier of 387 parameters with 60 examples, for audits.
struct SmallClassifier {
  static constexpr std::int64_t kExamples = 60;

  explicit SmallClassifier(bool batch_norm = false, torch::ScalarType type = torch::kFloat32) {
    namespace nn = torch::nn;
    torch::set_num_threads(1);  // everything here is tiny
    torch::manual_seed(3);
    if (batch_norm) {
      model =
          nn::Sequential(nn::Linear(20, 16), nn::BatchNorm1d(16), nn::Tanh(), nn::Linear(16, 3));
    } else {
      model = nn::Sequential(nn::Linear(20, 16), nn::Tanh(), nn::Linear(16, 3));
    }
    model->to(type);
    inputs = torch::randn({kExamples, 20}).to(type);
    targets = torch::randint(3, {kExamples});
  }

  static at::Tensor losses_of(torch::nn::Sequential& network, const at::Tensor& x,
                              const at::Tensor& y, const std::vector<std::int64_t>& indices) {
    namespace functional = torch::nn::functional;
    const at::Tensor rows = torch::tensor(indices);
    return functional::cross_entropy(network->forward(x.index_select(0, rows)),
                                     y.index_select(0, rows),
                                     functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  }

  /// @param by_user  23 users of two or three examples each are what is protected.
  dpsgd::AuditedModel audited(bool by_user = false) const {
    auto network = model;
    const at::Tensor x = inputs;
    const at::Tensor y = targets;
    std::vector<std::int64_t> users;
    for (std::int64_t i = 0; by_user && i < kExamples; ++i) users.push_back(7 * (i % 23) - 50);
    return {.parameters = network->parameters(),
            .dataset_size = kExamples,
            .user_of_example = users,
            .losses = [network, x, y](const std::vector<std::int64_t>& indices) mutable {
              return losses_of(network, x, y, indices);
            }};
  }

  torch::nn::Sequential model{nullptr};
  at::Tensor inputs, targets;
};

}  // namespace velum::testing
