#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "tape/tape.h"

namespace velum::dpsgd::detail {
namespace {

at::Tensor contiguous_zeros(const at::Tensor& like, at::Tensor out) {
  if (out.defined() && out.sizes() == like.sizes() && out.is_contiguous() &&
      out.scalar_type() == like.scalar_type()) {
    return out.zero_();
  }
  return at::zeros(like.sizes(), like.options());
}

}  // namespace

ParameterGradient::ParameterGradient(std::shared_ptr<const Graph> graph, at::Tensor parameter,
                                     std::int64_t batch, std::vector<Use> uses)
    : graph_(std::move(graph)),
      parameter_(std::move(parameter)),
      batch_(batch),
      uses_(std::move(uses)) {
  if (uses_.size() <= 1) {
    separate_ = uses_.empty() || uses_.front().path->isometric();
    return;
  }
  // A weight used by several linear maps of the same layout is one linear map over all steps.
  std::vector<const LinearGradient*> linear;
  for (const Use& use : uses_) {
    const auto* gradient = dynamic_cast<const LinearGradient*>(use.operand.get());
    if (gradient == nullptr || use.path->kind() != ParameterPath::Kind::kIdentity ||
        (!linear.empty() && (gradient->inputs_first() != linear.front()->inputs_first() ||
                             gradient->options().dtype() != linear.front()->options().dtype()))) {
      break;
    }
    linear.push_back(gradient);
  }
  if (linear.size() == uses_.size()) {
    uses_ = {{LinearGradient::join(linear), uses_.front().path}};
    return;
  }
  for (std::size_t i = 0; i < uses_.size() && separate_; ++i) {
    separate_ = uses_[i].path->isometric();
    for (std::size_t j = 0; j < i && separate_; ++j) {
      separate_ = uses_[i].path->disjoint(*uses_[j].path);
    }
  }
}

at::Tensor ParameterGradient::squared_norms() {
  if (uses_.empty()) return {};
  if (separate_) {
    at::Tensor norms = uses_.front().operand->squared_norms();
    for (std::size_t i = 1; i < uses_.size(); ++i) {
      norms = norms.add(uses_[i].operand->squared_norms());
    }
    return norms;
  }
  const std::int64_t count = std::max<std::int64_t>(1, parameter_.numel());
  const auto each = count * static_cast<std::int64_t>(parameter_.element_size());
  if (each <= kKeepBytes / batch_) {
    kept_ = per_sample(0, batch_);
    return row_squared_norms(kept_.reshape({batch_, parameter_.numel()}));
  }
  const at::Tensor norms = at::empty({batch_}, parameter_.options().dtype(at::kDouble));
  const std::int64_t step = std::max<std::int64_t>(1, kChunkBytes / each);
  for (std::int64_t begin = 0; begin < batch_; begin += step) {
    const std::int64_t end = std::min(begin + step, batch_);
    norms.narrow(0, begin, end - begin)
        .copy_(
            row_squared_norms(per_sample(begin, end).reshape({end - begin, parameter_.numel()})));
  }
  return norms;
}

at::Tensor ParameterGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (kept_.defined()) return kept_.narrow(0, begin, end - begin);
  at::Tensor sum;
  for (const Use& use : uses_) {
    const at::Tensor term = use.path->to_leaf(*graph_, use.operand->per_sample(begin, end));
    sum = sum.defined() ? sum.add(term) : term;
  }
  if (sum.defined()) return sum;
  std::vector<std::int64_t> sizes{end - begin};
  sizes.insert(sizes.end(), parameter_.sizes().begin(), parameter_.sizes().end());
  return at::zeros(sizes, parameter_.options());
}

at::Tensor ParameterGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  if (uses_.empty()) return contiguous_zeros(parameter_, out);
  if (uses_.size() == 1 && uses_.front().path->kind() == ParameterPath::Kind::kIdentity) {
    OperandGradient& operand = *uses_.front().operand;
    const bool usable = out.defined() && out.is_contiguous() && out.numel() == operand.numel();
    return operand.weighted_sum(factors, usable ? out.view(operand.sizes()) : at::Tensor())
        .view(parameter_.sizes())
        .to(parameter_.scalar_type());
  }
  const at::Tensor sum = contiguous_zeros(parameter_, out);
  for (const Use& use : uses_) {
    const at::Tensor weighted = use.operand->weighted_sum(factors, {}).unsqueeze(0);
    sum.add_(use.path->to_leaf(*graph_, weighted).squeeze(0));
  }
  return sum;
}

void ParameterGradient::exclude(const at::Tensor& excluded) {
  for (const Use& use : uses_) use.operand->exclude(excluded);
  kept_ = at::Tensor();
}

bool ParameterGradient::exact_path() const {
  return std::all_of(uses_.begin(), uses_.end(), [](const Use& use) {
    return use.path->kind() != ParameterPath::Kind::kOpaque;
  });
}

double ParameterGradient::rounding_scale(std::int64_t sample) const {
  double scale = 0;
  for (const Use& use : uses_) scale += use.operand->rounding_scale(sample);
  return scale * (1 + static_cast<double>(uses_.size()));
}

BatchGradients::BatchGradients(std::shared_ptr<const Graph> graph, std::int64_t batch,
                               std::vector<ParameterGradient> parameters)
    : graph_(std::move(graph)), batch_(batch), parameters_(std::move(parameters)) {}

const at::Tensor& BatchGradients::squared_norms() {
  if (squared_norms_.defined()) return squared_norms_;
  for (ParameterGradient& parameter : parameters_) {
    const at::Tensor norms = parameter.squared_norms();
    if (!norms.defined()) continue;
    squared_norms_ = squared_norms_.defined() ? squared_norms_.add(norms) : norms;
  }
  if (!squared_norms_.defined()) {
    squared_norms_ = at::zeros({batch_}, at::TensorOptions(at::kDouble));
  }
  return squared_norms_;
}

void BatchGradients::exclude(const at::Tensor& excluded) {
  for (ParameterGradient& parameter : parameters_) parameter.exclude(excluded);
}

void BatchGradients::release_graph() {
  for (const GraphNode& node : graph_->nodes()) {
    node.function->will_release_variables();
    node.function->release_variables();
  }
}

}  // namespace velum::dpsgd::detail
