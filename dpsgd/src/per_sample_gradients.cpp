#include "velum/dpsgd/per_sample_gradients.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <stdexcept>

#include "tape/tape.h"

namespace velum::dpsgd {
namespace {

/// The tape's parameters must be the caller's, one for one: results are returned by position.
std::vector<at::Tensor> exactly(const char* function, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> tracked = detail::check_parameters(function, parameters);
  if (tracked.size() != parameters.size()) {
    throw std::invalid_argument(std::string(function) + ": parameters has " +
                                std::to_string(parameters.size()) + " tensors of which " +
                                std::to_string(tracked.size()) +
                                " are different ones that require grad, expected all");
  }
  return tracked;
}

}  // namespace

std::vector<at::Tensor> per_sample_gradients(const at::Tensor& losses,
                                             const std::vector<at::Tensor>& parameters,
                                             PerSampleOptions options) {
  detail::check_losses("per_sample_gradients", losses);
  const std::vector<at::Tensor> tracked = exactly("per_sample_gradients", parameters);
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> result;
  if (losses.numel() == 0) {
    for (const at::Tensor& parameter : tracked) {
      std::vector<std::int64_t> sizes{0};
      sizes.insert(sizes.end(), parameter.sizes().begin(), parameter.sizes().end());
      result.push_back(at::zeros(sizes, parameter.options().requires_grad(std::nullopt)));
    }
    return result;
  }
  detail::Tape tape(tracked, options.allow_slow_rules);
  detail::BatchGradients gradients = tape.differentiate(losses);
  for (std::size_t i = 0; i < tracked.size(); ++i) {
    result.push_back(gradients.parameter(i).per_sample(0, gradients.batch()).contiguous());
  }
  return result;
}

at::Tensor per_sample_norms(const at::Tensor& losses, const std::vector<at::Tensor>& parameters,
                            PerSampleOptions options) {
  detail::check_losses("per_sample_norms", losses);
  const std::vector<at::Tensor> tracked = exactly("per_sample_norms", parameters);
  const c10::AutoGradMode no_grad(false);
  if (losses.numel() == 0) return at::zeros({0}, at::TensorOptions(at::kDouble));
  detail::Tape tape(tracked, options.allow_slow_rules);
  detail::BatchGradients gradients = tape.differentiate(losses);
  return gradients.exact_squared_norms().sqrt().to(at::kCPU);
}

}  // namespace velum::dpsgd
