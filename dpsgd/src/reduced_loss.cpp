#include "velum/dpsgd/reduced_loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/binary_cross_entropy.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/huber_loss.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/nll_loss2d.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tape/arithmetic.h"
#include "tape/graph.h"

namespace velum::dpsgd {
namespace {

namespace generated = torch::autograd::generated;
using NodePointer = std::shared_ptr<torch::autograd::Node>;

constexpr const char* kRemedy =
    "; compute one loss per sample (reduction none) and give that vector to the engine";

[[noreturn]] void refuse(const std::string& text) {
  throw std::invalid_argument("per_sample_losses: " + text + kRemedy);
}

std::vector<std::int64_t> to_ints(const std::vector<c10::SymInt>& values) {
  std::vector<std::int64_t> result;
  result.reserve(values.size());
  for (const c10::SymInt& value : values) result.push_back(value.guard_int(__FILE__, __LINE__));
  return result;
}

/// What a node's number is of the samples of the batch.
struct Found {
  at::Tensor losses;  ///< [samples], whose mean (or sum) the number is
  LossReduction reduction;
  /// Of a sum, how many elements were added, and them, as long as nothing else was done to it: a
  /// division by their number makes it a mean.
  at::Tensor terms = {};
};

/// Whether the rows of `terms` are those of a tensor [samples, steps, ...], one sample's together,
/// as the graph shows by the view that joined the two dimensions. A number of rows that is a
/// multiple of the samples alone does not tell: a batch and its augmentations, one after the other,
/// has that, too.
bool joins_rows(const at::Tensor& terms, std::int64_t samples) {
  NodePointer node = terms.grad_fn();
  while (node != nullptr) {
    const torch::autograd::Edge* only = nullptr;
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      if (edge.function == nullptr) continue;
      if (only != nullptr) return false;
      only = &edge;
    }
    if (only == nullptr || only->function->num_outputs() == 0) return false;
    const std::string name = node->name();
    if (name == "ViewBackward0" || name == "UnsafeViewBackward0" ||
        name == "ReshapeAliasBackward0") {
      const auto sizes = only->function->input_metadata(only->input_nr).shape_as_dim_vector();
      return sizes.size() >= 2 && sizes[0] == samples && sizes[0] * sizes[1] == terms.size(0);
    }
    node = only->function;
  }
  return false;
}

class Reader {
 public:
  Reader(std::int64_t samples, at::TensorOptions options) : samples_(samples), options_(options) {}

  /// Of the number that flows along an edge.
  Found read(const torch::autograd::Edge& edge) const;

 private:
  /// [samples, rows of each]
  at::Tensor by_sample(const at::Tensor& terms, const std::string& name) const {
    if (terms.dim() == 0 || samples_ == 0 ||
        (terms.size(0) != samples_ && !joins_rows(terms, samples_))) {
      refuse(name + " reduces a tensor of sizes " + detail::to_text(terms.sizes()) +
             ", expected a first dimension of the " + std::to_string(samples_) +
             " samples of the batch, or a view of one that has it");
    }
    return terms.reshape({samples_, terms.numel() / samples_});
  }
  Found mean_of(const at::Tensor& terms, const std::string& name) const {
    return {by_sample(terms, name).mean(1), LossReduction::kMean};
  }
  Found sum_of(const at::Tensor& terms, const std::string& name) const {
    return {by_sample(terms, name).sum(1), LossReduction::kSum, terms};
  }
  Found reduced(const at::Tensor& terms, std::int64_t reduction, const std::string& name) const {
    if (reduction == at::Reduction::Mean) return mean_of(terms, name);
    if (reduction == at::Reduction::Sum) return sum_of(terms, name);
    refuse(name + " reduces nothing");
  }
  /// A stand-in for what flows along an edge: with its graph, without its values.
  at::Tensor at_edge(const torch::autograd::Edge& edge,
                     const std::vector<std::int64_t>& sizes) const {
    const at::Tensor tensor = at::zeros(sizes, options_);
    torch::autograd::impl::set_gradient_edge(tensor, edge);
    return tensor;
  }
  at::Tensor input(const NodePointer& node, const std::vector<c10::SymInt>& sizes) const {
    const torch::autograd::Edge& edge = node->next_edge(0);
    if (edge.function == nullptr) refuse(node->name() + " has no graph behind it");
    return at_edge(edge, to_ints(sizes));
  }
  /// The one operand that has a graph, and the constant beside it.
  Found scaled(const NodePointer& node, const torch::autograd::SavedVariable& constant,
               bool divides) const;
  Found scaled(const NodePointer& node, double factor, bool is_number, bool divides) const;
  Found combined(const NodePointer& node, double alpha) const;
  template <typename Node>
  std::optional<Found> elementwise(const NodePointer& node) const;
  template <typename Node>
  std::optional<Found> negative_log_likelihood(const NodePointer& node) const;

  std::int64_t samples_;
  at::TensorOptions options_;
};

/// F.mse_loss and its like expand their operands to one shape before the operation.
void require_not_broadcast(const at::Tensor& operand, const std::string& name) {
  if (operand.grad_fn() != nullptr && operand.grad_fn()->name() == "ExpandBackward0") {
    refuse(name + " was given a prediction that it had to broadcast to the target's sizes " +
           detail::to_text(operand.sizes()) +
           ", so that targets of other samples are compared with it; give both the same sizes");
  }
}

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

template <typename Node>
std::optional<Found> Reader::elementwise(const NodePointer& node) const {
  const auto* loss = dynamic_cast<const Node*>(node.get());
  if (loss == nullptr) return std::nullopt;
  const at::Tensor self = loss->self_.unpack(node);
  const at::Tensor target = loss->target_.unpack(node);
  require_not_broadcast(self, node->name());
  constexpr auto kNone = at::Reduction::None;
  at::Tensor terms;
  if constexpr (std::is_same_v<Node, generated::MseLossBackward0>) {
    terms = at::mse_loss(self, target, kNone);
  } else if constexpr (std::is_same_v<Node, generated::SmoothL1LossBackward0>) {
    terms = at::smooth_l1_loss(self, target, kNone, loss->beta);
  } else if constexpr (std::is_same_v<Node, generated::HuberLossBackward0>) {
    terms = at::huber_loss(self, target, kNone, loss->delta);
  } else if constexpr (std::is_same_v<Node, generated::BinaryCrossEntropyBackward0>) {
    terms = at::binary_cross_entropy(self, target, if_defined(loss->weight_.unpack(node)), kNone);
  } else {
    terms =
        at::binary_cross_entropy_with_logits(self, target, if_defined(loss->weight_.unpack(node)),
                                             if_defined(loss->pos_weight_.unpack(node)), kNone);
  }
  return reduced(terms, loss->reduction, node->name());
}

template <typename Node>
std::optional<Found> Reader::negative_log_likelihood(const NodePointer& node) const {
  const auto* loss = dynamic_cast<const Node*>(node.get());
  if (loss == nullptr) return std::nullopt;
  const at::Tensor self = loss->self_.unpack(node);
  const at::Tensor target = loss->target_.unpack(node);
  if (loss->weight_.unpack(node).defined() && loss->reduction == at::Reduction::Mean) {
    refuse(node->name() +
           " has class weights, whose mean divides by the weights of all targets of the batch");
  }
  const std::int64_t ignored = loss->ignore_index.guard_int(__FILE__, __LINE__);
  if (loss->reduction == at::Reduction::Mean && target.eq(ignored).any().template item<bool>()) {
    refuse(node->name() + " ignores targets (ignore_index = " + std::to_string(ignored) +
           "), and its mean divides by the number of those that are left in the batch");
  }
  const std::optional<at::Tensor> weight = if_defined(loss->weight_.unpack(node));
  at::Tensor terms;
  if constexpr (std::is_same_v<Node, generated::NllLossBackward0>) {
    if (self.dim() != 2) refuse(node->name() + " is of a single sample without a batch dimension");
    terms = at::nll_loss(self, target, weight, at::Reduction::None, ignored);
  } else {
    terms = at::nll_loss2d(self, target, weight, at::Reduction::None, ignored);
  }
  return reduced(terms, loss->reduction, node->name());
}

Found Reader::scaled(const NodePointer& node, const torch::autograd::SavedVariable& constant,
                     bool divides) const {
  if (node->next_edge(0).function == nullptr || node->next_edge(1).function != nullptr) {
    refuse(node->name() + " has a factor that is computed, expected a number");
  }
  const at::Tensor factor = constant.unpack(node);
  if (!factor.defined() || factor.dim() != 0) refuse(node->name() + " has no number for a factor");
  return scaled(node, factor.item<double>(), factor.unsafeGetTensorImpl()->is_wrapped_number(),
                divides);
}

Found Reader::scaled(const NodePointer& node, double factor, bool is_number, bool divides) const {
  Found found = read(node->next_edge(0));
  if (divides && found.terms.defined()) {
    const at::Tensor terms = std::exchange(found.terms, {});
    if (factor == static_cast<double>(samples_)) {  // of the sums of each sample
      return {by_sample(terms, node->name()).sum(1), LossReduction::kMean};
    }
    if (factor == static_cast<double>(terms.numel())) return mean_of(terms, node->name());
  }
  if (!is_number) {
    refuse(node->name() +
           " has a factor that is a tensor, which may depend on the batch, expected "
           "a number, or for a sum its number of samples or of elements");
  }
  found.terms.reset();
  found.losses = divides ? found.losses.div(factor) : found.losses.mul(factor);
  return found;
}

Found Reader::combined(const NodePointer& node, double alpha) const {
  const torch::autograd::Edge& left = node->next_edge(0);
  const torch::autograd::Edge& right = node->next_edge(1);
  if (right.function == nullptr) {  // a constant beside it
    Found found = read(left);
    found.terms.reset();
    return found;
  }
  Found other = read(right);
  other.terms.reset();
  other.losses = other.losses.mul(alpha);
  if (left.function == nullptr) return other;
  Found found = read(left);
  found.terms.reset();
  if (found.reduction != other.reduction) {
    refuse(node->name() + " adds a mean and a sum over the batch");
  }
  found.losses = found.losses.add(other.losses);
  return found;
}

bool covers_all(const c10::OptionalArray<std::int64_t>& dimensions, std::size_t of) {
  return !dimensions.list.has_value() || dimensions.list->empty() || dimensions.list->size() == of;
}

Found Reader::read(const torch::autograd::Edge& edge) const {
  const NodePointer& node = edge.function;
  const std::string name = node->name();
  if (const auto* mean = dynamic_cast<const generated::MeanBackward0*>(node.get())) {
    return mean_of(input(node, mean->self_sym_sizes), name);
  }
  if (const auto* mean = dynamic_cast<const generated::MeanBackward1*>(node.get())) {
    if (covers_all(mean->dim, mean->self_sym_sizes.size())) {
      return mean_of(input(node, mean->self_sym_sizes), name);
    }
  }
  if (const auto* sum = dynamic_cast<const generated::SumBackward0*>(node.get())) {
    return sum_of(input(node, sum->self_sym_sizes), name);
  }
  if (const auto* sum = dynamic_cast<const generated::SumBackward1*>(node.get())) {
    if (covers_all(sum->dim, sum->self_sym_sizes.size())) {
      return sum_of(input(node, sum->self_sym_sizes), name);
    }
  }
  for (const auto& read_loss :
       {&Reader::negative_log_likelihood<generated::NllLossBackward0>,
        &Reader::negative_log_likelihood<generated::NllLoss2DBackward0>,
        &Reader::elementwise<generated::MseLossBackward0>,
        &Reader::elementwise<generated::SmoothL1LossBackward0>,
        &Reader::elementwise<generated::HuberLossBackward0>,
        &Reader::elementwise<generated::BinaryCrossEntropyBackward0>,
        &Reader::elementwise<generated::BinaryCrossEntropyWithLogitsBackward0>}) {
    if (std::optional<Found> found = (this->*read_loss)(node)) return *std::move(found);
  }
  if (dynamic_cast<const generated::NegBackward0*>(node.get()) != nullptr) {
    Found found = read(node->next_edge(0));
    found.losses = found.losses.neg();
    if (found.terms.defined()) found.terms = found.terms.neg();
    return found;
  }
  if (name == "ToCopyBackward0" || name == "CloneBackward0" || name == "AliasBackward0") {
    return read(node->next_edge(0));
  }
  if (const auto* product = dynamic_cast<const generated::MulBackward0*>(node.get())) {
    return scaled(node, product->other_, false);
  }
  if (const auto* product = dynamic_cast<const generated::MulBackward1*>(node.get())) {
    return scaled(node, product->other.to<double>(), true, false);
  }
  if (const auto* quotient = dynamic_cast<const generated::DivBackward1*>(node.get())) {
    return scaled(node, quotient->other.to<double>(), true, true);
  }
  if (const auto* quotient = dynamic_cast<const generated::DivBackward0*>(node.get())) {
    return scaled(node, quotient->other_, true);
  }
  if (const auto* sum = dynamic_cast<const generated::AddBackward0*>(node.get())) {
    return combined(node, sum->alpha.to<double>());
  }
  if (const auto* difference = dynamic_cast<const generated::SubBackward0*>(node.get())) {
    return combined(node, -difference->alpha.to<double>());
  }
  refuse("the loss is not recognised as a mean or a sum over the samples: it is made by " + name);
}

}  // namespace

at::Tensor per_sample_losses(const at::Tensor& loss, LossReduction reduction,
                             std::int64_t samples) {
  if (!loss.defined()) refuse("loss is undefined");
  if (samples < 0) refuse("samples = " + std::to_string(samples) + ", expected >= 0");
  if (loss.dim() == 1) {
    if (loss.size(0) != samples) {
      refuse("loss has " + std::to_string(loss.size(0)) +
             " elements, expected one for each of the " + std::to_string(samples) + " samples");
    }
    return loss;
  }
  if (loss.dim() != 0) {
    refuse("loss has sizes " + detail::to_text(loss.sizes()) + ", expected a number or [" +
           std::to_string(samples) + "]");
  }
  if (!loss.is_floating_point() || loss.grad_fn() == nullptr) {
    refuse("loss has no autograd graph; compute it from the model with gradients enabled");
  }
  if (samples == 0) return at::zeros({0}, loss.options());
  const c10::AutoGradMode with_grad(true);
  const detail::AutocastOff no_autocast;
  const Reader reader(samples, loss.options().requires_grad(false));
  Found found = reader.read({loss.grad_fn(), static_cast<std::uint32_t>(loss.output_nr())});
  if (found.reduction != reduction) {
    refuse(
        reduction == LossReduction::kMean
            ? "the loss is a sum over the samples, expected their mean, for which a sample's share "
              "does not grow with the batch; take the mean, or say loss_reduction \"sum\""
            : "the loss is a mean over the samples, expected their sum; take the sum, or say "
              "loss_reduction \"mean\"");
  }
  return found.losses;
}

bool depends_on(const at::Tensor& loss, at::TensorList parameters) {
  if (!loss.defined() || loss.grad_fn() == nullptr) return false;
  std::unordered_set<const c10::TensorImpl*> tracked;
  for (const at::Tensor& parameter : parameters) tracked.insert(parameter.unsafeGetTensorImpl());
  std::unordered_set<const torch::autograd::Node*> seen{loss.grad_fn().get()};
  std::vector<const torch::autograd::Node*> stack{loss.grad_fn().get()};
  while (!stack.empty()) {
    const torch::autograd::Node* node = stack.back();
    stack.pop_back();
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      if (edge.function == nullptr || !seen.insert(edge.function.get()).second) continue;
      if (const auto* leaf =
              dynamic_cast<const torch::autograd::AccumulateGrad*>(edge.function.get())) {
        if (tracked.contains(leaf->variable.unsafeGetTensorImpl())) return true;
      }
      stack.push_back(edge.function.get());
    }
  }
  return false;
}

}  // namespace velum::dpsgd
