#include "audit/audit_support.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
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
  for (const at::Tensor& parameter : model.parameters) {
    if (parameter.scalar_type() != at::kFloat && parameter.scalar_type() != at::kDouble) {
      throw std::invalid_argument(std::string(function) + ": a parameter is " +
                                  c10::toString(parameter.scalar_type()) +
                                  ", expected float32 or float64: audit the model in one of them");
    }
  }
  if (!model.losses) {
    throw std::invalid_argument(std::string(function) + ": the model has no losses");
  }
  check_at_least(function, "dataset_size", model.dataset_size, 1);
  if (!model.user_of_example.empty() &&
      static_cast<std::int64_t>(model.user_of_example.size()) != model.dataset_size) {
    reject(function, "user_of_example.size()",
           static_cast<std::int64_t>(model.user_of_example.size()),
           "dataset_size = " + std::to_string(model.dataset_size) + ", or none");
  }
}

void check_settings(std::string_view function, double sampling_rate, double noise_multiplier) {
  if (!(sampling_rate > 0.0 && sampling_rate <= 1.0)) {
    reject(function, "sampling_rate", sampling_rate, "> 0 and <= 1");
  }
  if (!(noise_multiplier > 0.0 && std::isfinite(noise_multiplier))) {
    reject(function, "noise_multiplier", noise_multiplier, "finite and > 0");
  }
}

void check_at_least(std::string_view function, std::string_view name, std::int64_t value,
                    std::int64_t least) {
  if (value < least) reject(function, name, value, ">= " + std::to_string(least));
}

Units::Units(const AuditedModel& model) : user_of_example_(model.user_of_example) {
  if (!by_user()) {
    names_.resize(static_cast<std::size_t>(model.dataset_size));
    std::iota(names_.begin(), names_.end(), std::int64_t{0});
    return;
  }
  names_ = user_of_example_;
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
}

std::int64_t Units::of(std::int64_t example) const {
  if (!by_user()) return example;
  const std::int64_t user = user_of_example_[static_cast<std::size_t>(example)];
  return std::lower_bound(names_.begin(), names_.end(), user) - names_.begin();
}

std::vector<std::int64_t> Units::examples(std::int64_t unit) const {
  if (!by_user()) return {unit};
  std::vector<std::int64_t> examples;
  for (std::size_t i = 0; i < user_of_example_.size(); ++i) {
    if (user_of_example_[i] == name(unit)) examples.push_back(static_cast<std::int64_t>(i));
  }
  return examples;
}

std::vector<std::int64_t> Units::in(const std::vector<std::int64_t>& batch) const {
  std::vector<std::int64_t> units;
  for (const std::int64_t example : batch) units.push_back(of(example));
  std::sort(units.begin(), units.end());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  return units;
}

double sensitivity_of(const Clipping& clipping) {
  if (clipping.kind() != Clipping::Kind::kGroups) return clipping.clipping_norm();
  double squares = 0.0;
  for (const ClippingGroup& group : clipping.groups()) {
    squares += group.clipping_norm * group.clipping_norm;
  }
  return std::sqrt(squares);
}

double sum_noise_multiplier_of(const Clipping& clipping, double noise_multiplier) {
  if (clipping.kind() != Clipping::Kind::kAdaptive) return noise_multiplier;
  const double twice = 2.0 * clipping.adaptive().count_noise;
  return 1.0 / std::sqrt(1.0 / (noise_multiplier * noise_multiplier) - 1.0 / (twice * twice));
}

namespace {

/// Where the part of a batch that begins at `begin` ends: at most so many examples, or one user who
/// has more.
std::size_t end_of_part(const std::vector<std::int64_t>& batch, std::size_t begin,
                        std::int64_t physical_batch_size, const std::vector<std::int64_t>& users) {
  const auto user = [&](std::size_t i) { return users[static_cast<std::size_t>(batch[i])]; };
  std::size_t end = begin;
  while (end < batch.size()) {
    std::size_t next = end + 1;
    while (!users.empty() && next < batch.size() && user(next) == user(end)) ++next;
    if (end > begin && next - begin > static_cast<std::size_t>(physical_batch_size)) break;
    end = next;
  }
  return end;
}

}  // namespace

void accumulate_batch(AuditedEngine& engine, const AuditedModel& model,
                      const std::vector<std::int64_t>& batch, std::int64_t physical_batch_size,
                      const LossFactors& factors) {
  for (std::size_t begin = 0; begin < batch.size();) {
    const std::size_t end = end_of_part(batch, begin, physical_batch_size, model.user_of_example);
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
    std::vector<std::int64_t> users;
    if (!model.user_of_example.empty()) {
      for (const std::int64_t example : part) {
        users.push_back(model.user_of_example[static_cast<std::size_t>(example)]);
      }
    }
    engine.accumulate(losses * weights * overflow, users);
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
