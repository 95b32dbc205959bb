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
/// left in `.grad` is the clipped sum of the logical batch. One engine for all steps: what it has
/// proved of a graph serves the next ones.
class ClippedSums {
 public:
  ClippedSums(const std::vector<at::Tensor>& parameters, const dpsgd::Clipping& clipping,
              bool allow_slow_rules = false)
      : parameters_(parameters),
        engine_(
            parameters, dpsgd::PoissonSampler(1, 1.0),
            {.clipping = clipping, .noise_multiplier = 0.0, .allow_slow_rules = allow_slow_rules}) {
  }
  void accumulate(const at::Tensor& losses) { engine_.accumulate(losses); }
  std::vector<at::Tensor> finish_step() {
    engine_.finish_step();
    std::vector<at::Tensor> sum;
    for (const at::Tensor& parameter : parameters_) sum.push_back(parameter.grad().clone());
    return sum;
  }
  std::vector<at::Tensor> of(const at::Tensor& losses) {
    accumulate(losses);
    return finish_step();
  }

 private:
  std::vector<at::Tensor> parameters_;
  dpsgd::PrivacyEngine engine_;
};

/// The same of a new engine, which proves the graph.
inline std::vector<at::Tensor> clipped_sum_of_micro_batches(
    const std::vector<at::Tensor>& parameters,
    const std::function<at::Tensor(const at::Tensor&)>& losses,
    const std::vector<at::Tensor>& batches, const dpsgd::Clipping& clipping,
    bool allow_slow_rules = false) {
  ClippedSums sums(parameters, clipping, allow_slow_rules);
  for (const at::Tensor& batch : batches) sums.accumulate(losses(batch));
  return sums.finish_step();
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
