#include "audit/audit_support.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "accounting/range_check.h"
#include "velum/kernels/random/uniform.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd::detail {

double largest_power(const at::Tensor& like) {
  return like.scalar_type() == at::kDouble ? 0x1p1023 : 0x1p127;
}

void check_model(std::string_view function, const AuditedModel& model) {
  if (model.parameters.empty()) {
    throw std::invalid_argument(std::string(function) + ": the model has no parameters");
  }
  if (!model.losses) {
    throw std::invalid_argument(std::string(function) + ": the model has no losses");
  }
  check_at_least(function, "dataset_size", model.dataset_size, 1);
}

void check_settings(std::string_view function, double sampling_rate, double clipping_norm,
                    double noise_multiplier) {
  if (!(sampling_rate > 0.0 && sampling_rate <= 1.0)) {
    reject(function, "sampling_rate", sampling_rate, "> 0 and <= 1");
  }
  if (!(clipping_norm > 0.0 && std::isfinite(clipping_norm))) {
    reject(function, "clipping_norm", clipping_norm, "finite and > 0");
  }
  if (!(noise_multiplier > 0.0 && std::isfinite(noise_multiplier))) {
    reject(function, "noise_multiplier", noise_multiplier, "finite and > 0");
  }
}

void check_at_least(std::string_view function, std::string_view name, std::int64_t value,
                    std::int64_t least) {
  if (value < least) reject(function, name, value, ">= " + std::to_string(least));
}

void accumulate_batch(AuditedEngine& engine, const AuditedModel& model,
                      const std::vector<std::int64_t>& batch, std::int64_t physical_batch_size,
                      const LossFactors& factors) {
  for (std::size_t begin = 0; begin < batch.size();) {
    const std::size_t end =
        std::min(batch.size(), begin + static_cast<std::size_t>(physical_batch_size));
    const std::vector<std::int64_t> part(batch.begin() + static_cast<std::ptrdiff_t>(begin),
                                         batch.begin() + static_cast<std::ptrdiff_t>(end));
    const at::Tensor losses = model.losses(part);
    if (losses.dim() != 1 || losses.size(0) != static_cast<std::int64_t>(part.size())) {
      throw std::invalid_argument("audit: the model's losses have another shape than [" +
                                  std::to_string(part.size()) +
                                  "], one for each example that was asked for");
    }
    const at::Tensor weights = at::ones(losses.sizes(), losses.options().requires_grad(false));
    const at::Tensor overflow = weights.clone();
    for (const auto& entry : factors) {
      const auto found = std::find(part.begin(), part.end(), entry.first);
      if (found == part.end()) continue;
      if (std::isfinite(entry.second)) {
        weights[found - part.begin()].fill_(entry.second);
      } else {
        weights[found - part.begin()].fill_(largest_power(losses));
        overflow[found - part.begin()].fill_(largest_power(losses));
      }
    }
    engine.accumulate(losses * weights * overflow);
    begin = end;
  }
}

at::Tensor gradient_vector(const std::vector<at::Tensor>& parameters, double scale) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> parts;
  parts.reserve(parameters.size());
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) {
      throw std::logic_error("audit: after a step a parameter has no gradient");
    }
    parts.push_back(parameter.grad().to(at::kCPU, at::kDouble).reshape({-1}));
  }
  return at::cat(parts).mul_(scale);
}

double norm(const at::Tensor& vector) { return vector.norm().item<double>(); }

void sgd_step(const std::vector<at::Tensor>& parameters, double learning_rate) {
  const c10::AutoGradMode no_grad(false);
  for (const at::Tensor& parameter : parameters) {
    parameter.sub_(parameter.grad(), learning_rate);
  }
}

double unit_roundoff(const std::vector<at::Tensor>& parameters) {
  const bool all_double = std::all_of(parameters.begin(), parameters.end(),
                                      [](const auto& p) { return p.scalar_type() == at::kDouble; });
  return all_double ? 0x1p-53 : 0x1p-24;
}

kernels::RandomPosition Choices::next() {
  return {.purpose = kernels::Purpose::kTest, .step = step_++};
}

std::int64_t Choices::below(std::int64_t bound) {
  std::uint64_t value = 0;
  kernels::uniform_integers_fill(static_cast<std::uint64_t>(bound),
                                 kernels::Span<std::uint64_t>(&value, 1), key_, next(), 0,
                                 kernels::Stream::serial());
  return static_cast<std::int64_t>(value);
}

kernels::RandomKey Choices::key() {
  std::uint64_t values[4];
  kernels::uniform_bits_fill(kernels::Span<std::uint64_t>(values, 4), key_, next(), 0,
                             kernels::Stream::serial());
  kernels::RandomKey key{};
  for (std::size_t i = 0; i < 4; ++i) {
    key.words[2 * i] = static_cast<std::uint32_t>(values[i]);
    key.words[2 * i + 1] = static_cast<std::uint32_t>(values[i] >> 32);
  }
  return key;
}

}  // namespace velum::dpsgd::detail
