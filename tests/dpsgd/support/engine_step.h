#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/per_sample_gradients.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::testing {

/// The real step over micro-batches, without noise and with an expected batch size of 1: what is
/// left in `.grad` is the clipped sum of the logical batch.
inline std::vector<at::Tensor> clipped_sum_of_micro_batches(
    const std::vector<at::Tensor>& parameters,
    const std::function<at::Tensor(const at::Tensor&)>& losses,
    const std::vector<at::Tensor>& batches, const dpsgd::Clipping& clipping,
    bool allow_slow_rules = false) {
  const dpsgd::PoissonSampler sampler(1, 1.0);
  const dpsgd::PrivacyOptions options{
      .clipping = clipping, .noise_multiplier = 0.0, .allow_slow_rules = allow_slow_rules};
  dpsgd::PrivacyEngine engine(parameters, sampler, options);
  for (const at::Tensor& batch : batches) engine.accumulate(losses(batch));
  engine.finish_step();
  std::vector<at::Tensor> sum;
  for (const at::Tensor& parameter : parameters) sum.push_back(parameter.grad().clone());
  return sum;
}

inline std::vector<at::Tensor> clipped_sum_of_micro_batches(
    const std::vector<at::Tensor>& parameters,
    const std::function<at::Tensor(const at::Tensor&)>& losses,
    const std::vector<at::Tensor>& batches, double clipping_norm, bool allow_slow_rules = false) {
  return clipped_sum_of_micro_batches(parameters, losses, batches,
                                      dpsgd::Clipping::flat(clipping_norm), allow_slow_rules);
}

inline std::vector<at::Tensor> clipped_sum_of_one_batch(const std::vector<at::Tensor>& parameters,
                                                        const at::Tensor& losses,
                                                        const dpsgd::Clipping& clipping,
                                                        bool allow_slow_rules = false) {
  return clipped_sum_of_micro_batches(
      parameters, [&](const at::Tensor&) { return losses; }, {at::Tensor()}, clipping,
      allow_slow_rules);
}

inline std::vector<at::Tensor> clipped_sum_of_one_batch(const std::vector<at::Tensor>& parameters,
                                                        const at::Tensor& losses,
                                                        double clipping_norm,
                                                        bool allow_slow_rules = false) {
  return clipped_sum_of_one_batch(parameters, losses, dpsgd::Clipping::flat(clipping_norm),
                                  allow_slow_rules);
}

}  // namespace velum::testing
