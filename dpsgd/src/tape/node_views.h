#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace velum::dpsgd::detail {

struct GraphNode;

/// An operation that only moves, repeats, selects or casts the elements of its one input.
struct ViewStep {
  enum class Kind { kReshape, kCast, kExpand, kTranspose, kPermute, kNarrow, kSelect };
  Kind kind;
  /// kTranspose: two dimensions; kPermute: all of them; kNarrow: dimension, start, step, length;
  /// kSelect: dimension, index.
  std::vector<std::int64_t> arguments;
};

/// The step that a node is for the gradient that enters it as `input_nr` (the number of the output,
/// for operations with several); nothing if the node is no such operation. Reads no saved tensor.
std::optional<ViewStep> read_view(const GraphNode& node, std::uint32_t input_nr);

/// Whether `read_view` knows the operation, by name alone.
bool is_view(const std::string& name);

/// The output of the step, whose sizes are `output_sizes`, for an input like `input`. kCast is left
/// to the caller: the element type stays.
at::Tensor apply_view(const ViewStep& step, const at::Tensor& input, at::IntArrayRef output_sizes);

/// Whether `weight_norm_gradient` knows the operation, whose operands are v and g.
bool is_weight_norm(const std::string& name);

/// w = g v / ||v||, with the norm over all dimensions but one: the gradient with respect to operand
/// `slot`, [n, *operand], from n gradients with respect to w, [n, *w].
at::Tensor weight_norm_gradient(const GraphNode& node, std::size_t slot, const at::Tensor& grads);

/// By how much `weight_norm_gradient` multiplies roundings: those on the way of an element of w,
/// times the norm of a gradient.
double weight_norm_gain(const GraphNode& node, std::size_t slot);

}  // namespace velum::dpsgd::detail
