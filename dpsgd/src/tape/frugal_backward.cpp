#include "tape/frugal_backward.h"

#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <stdexcept>
#include <utility>

#include "tape/saved_variables.h"

namespace velum::dpsgd::detail {
namespace {

namespace generated = torch::autograd::generated;

const generated::SoftmaxBackward0* softmax_node(const GraphNode& node) {
  return dynamic_cast<const generated::SoftmaxBackward0*>(node.function.get());
}

const generated::ReluBackward0* relu_node(const GraphNode& node) {
  return dynamic_cast<const generated::ReluBackward0*>(node.function.get());
}

generated::BmmBackward0* bmm_node(const GraphNode& node) {
  return dynamic_cast<generated::BmmBackward0*>(node.function.get());
}

/// Whether nobody but `tensor` holds its memory. A view holds what it is of.
bool is_last(const at::Tensor& tensor) {
  if (tensor.use_count() != 1 || !tensor.has_storage()) return false;
  std::size_t holders = 1;
  if (tensor.is_view()) {
    if (tensor._base().use_count() != 1) return false;
    ++holders;
  }
  return tensor.storage().use_count() == holders;
}

/// Whether a gradient like `output` may be written over `grad`.
bool may_overwrite(const at::Tensor& grad, const at::Tensor& output) {
  return is_last(grad) && grad.is_contiguous() && output.is_contiguous() &&
         grad.scalar_type() == output.scalar_type() && grad.sizes() == output.sizes();
}

at::Tensor relu_backward(const at::Tensor& grad, const at::Tensor& output) {
  if (!may_overwrite(grad, output)) return at::threshold_backward(grad, output, 0);
  at::Tensor result = grad;
  return at::threshold_backward_out(result, grad, output, 0);
}

at::Tensor softmax_backward(const at::Tensor& grad, const at::Tensor& output, std::int64_t dim,
                            at::ScalarType input_type) {
  if (!may_overwrite(grad, output) || output.scalar_type() != input_type) {
    return at::_softmax_backward_data(grad, output, dim, input_type);
  }
  // Row by row: the sum of grad * output first, then each element from those of its own place.
  at::Tensor result = grad;
  return at::_softmax_backward_data_out(result, grad, output, dim, input_type);
}

}  // namespace

bool has_frugal_backward(const GraphNode& node) {
  if (softmax_node(node) == nullptr && relu_node(node) == nullptr && bmm_node(node) == nullptr) {
    return false;
  }
  AutogradNode& function = *node.function;
  return function.input_metadata(0).device().is_cpu() && function.pre_hooks().empty() &&
         function.post_hooks().empty() && function.tensor_pre_hooks().empty() &&
         function.retains_grad_hooks().empty() && !has_saved_hooks(function);
}

std::vector<at::Tensor> frugal_backward(const GraphNode& node, const std::vector<at::Tensor>& grads,
                                        const std::vector<bool>& wanted) {
  std::vector<at::Tensor> result(node.edges.size());
  const at::Tensor& grad = grads.front();
  if (!grad.defined()) return result;
  if (const auto* const relu = relu_node(node)) {
    if (wanted[0]) result[0] = relu_backward(grad, relu->result_.unpack(node.function));
    return result;
  }
  if (const auto* const softmax = softmax_node(node)) {
    if (wanted[0]) {
      const at::Tensor output = softmax->result_.unpack(node.function);
      result[0] = softmax_backward(grad, output, softmax->dim, softmax->self_scalar_type);
    }
    return result;
  }
  auto* const product = bmm_node(node);
  if (product == nullptr) throw std::logic_error("frugal_backward: unknown operation " + node.name);
  if (wanted[0]) {
    result[0] = at::bmm(grad, product->mat2_.unpack(node.function).transpose(1, 2).conj());
  }
  // Of which its own backward, into which nothing flows, makes nothing.
  product->mat2_ = torch::autograd::SavedVariable();
  if (wanted[1]) {
    result[1] = at::bmm(product->self_.unpack(node.function).transpose(1, 2).conj(), grad);
  }
  return result;
}

}  // namespace velum::dpsgd::detail
