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

}  // namespace velum::dpsgd::detail
