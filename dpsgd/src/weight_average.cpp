#include "velum/dpsgd/weight_average.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "lazy_rows.h"

namespace velum::dpsgd {

WeightAverage::WeightAverage(std::vector<at::Tensor> parameters, double decay) : decay_(decay) {
  if (!(decay >= 0.0 && decay < 1.0)) {
    std::ostringstream text;
    text << "WeightAverage: decay = " << decay << ", expected >= 0 and < 1";
    throw std::invalid_argument(text.str());
  }
  for (const at::Tensor& parameter : parameters) {
    if (parameter.defined()) detail::require_released("WeightAverage", {parameter});
  }
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : parameters) {
    if (!parameter.defined()) {
      throw std::invalid_argument("WeightAverage: a parameter is undefined, expected a tensor");
    }
    const bool known = std::any_of(parameters_.begin(), parameters_.end(),
                                   [&](const at::Tensor& one) { return one.is_same(parameter); });
    if (known) continue;  // to swap it twice would be to swap it back
    values_.push_back(parameter.detach().clone());
    parameters_.push_back(std::move(parameter));
  }
}

void WeightAverage::update() {
  if (swapped_) {
    throw std::logic_error(
        "WeightAverage::update: the model holds the average; call swap() before training goes on");
  }
  detail::require_released("WeightAverage::update", parameters_);
  const c10::AutoGradMode no_grad(false);
  ++updates_;
  const auto t = static_cast<double>(updates_);
  const double decay = std::min(decay_, (1 + t) / (10 + t));
  for (std::size_t i = 0; i < values_.size(); ++i) {
    values_[i].mul_(decay).add_(parameters_[i], 1 - decay);
  }
}

void WeightAverage::swap() {
  detail::require_released("WeightAverage::swap", parameters_);
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const at::Tensor kept = parameters_[i].detach().clone();
    parameters_[i].copy_(values_[i]);
    values_[i].copy_(kept);
  }
  swapped_ = !swapped_;
}

void WeightAverage::restore(const std::vector<at::Tensor>& values, std::int64_t updates) {
  const auto refuse = [](const std::string& text) {
    throw std::invalid_argument("WeightAverage::restore: " + text);
  };
  if (values.size() != values_.size()) {
    refuse("values.size() = " + std::to_string(values.size()) + ", expected " +
           std::to_string(values_.size()));
  }
  if (updates < 0) refuse("updates = " + std::to_string(updates) + ", expected >= 0");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined() || values[i].sizes() != values_[i].sizes()) {
      refuse("values[" + std::to_string(i) + "] has not the sizes of the parameter");
    }
  }
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < values.size(); ++i) values_[i].copy_(values[i]);
  updates_ = updates;
  swapped_ = false;
}

}  // namespace velum::dpsgd
