#include "tape/graph.h"

#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <sstream>
#include <stdexcept>
#include <unordered_map>

#include "tape/node_arguments.h"
#include "tape/node_views.h"

namespace velum::dpsgd::detail {
namespace {

template <typename Integer>
void append(std::string& signature, Integer value) {
  signature.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string to_text(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

std::string describe_parameter(std::size_t index, const at::Tensor& parameter) {
  return "parameter " + std::to_string(index) + " " + to_text(parameter.sizes());
}

Graph::Graph(const at::Tensor& losses, const std::vector<at::Tensor>& parameters)
    : leaf_nodes_(parameters.size(), -1) {
  std::unordered_map<const c10::TensorImpl*, std::int32_t> leaves;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    leaves.emplace(parameters[i].unsafeGetTensorImpl(), static_cast<std::int32_t>(i));
  }

  // Depth first without recursion: unrolled recurrent graphs are deep. -1 marks a node on the way.
  std::unordered_map<const AutogradNode*, std::int32_t> index_of;
  struct Frame {
    std::shared_ptr<AutogradNode> function;
    std::size_t next = 0;
  };
  std::vector<Frame> stack;
  std::vector<bool> views_parameter;  // of each finished node
  const std::shared_ptr<AutogradNode>& root = losses.grad_fn();
  index_of.emplace(root.get(), -1);
  stack.push_back({root});
  while (!stack.empty()) {
    Frame& frame = stack.back();
    const AutogradNode& function = *frame.function;
    if (frame.next < function.num_outputs()) {
      const std::shared_ptr<AutogradNode>& next = function.next_edge(frame.next++).function;
      if (next != nullptr && index_of.emplace(next.get(), -1).second) stack.push_back({next});
      continue;
    }
    GraphNode node{frame.function, function.name(), {}, -1};
    stack.pop_back();
    if (node.function->num_outputs() == 0) {
      if (const auto* leaf =
              dynamic_cast<const torch::autograd::AccumulateGrad*>(node.function.get())) {
        const auto found = leaves.find(leaf->variable.unsafeGetTensorImpl());
        if (found == leaves.end()) {
          throw std::invalid_argument(
              "tape: the losses depend on a trainable leaf " + to_text(leaf->variable.sizes()) +
              " that is not among the parameters; add it to them, or call requires_grad_(false) "
              "or detach() on it, else it would be trained without privacy");
        }
        node.leaf = found->second;
      }
    }
    if (node.name == "CheckpointFunctionBackward") {
      throw std::invalid_argument(
          "tape: CheckpointFunctionBackward hides the parameters inside it from the graph; use "
          "checkpointing with use_reentrant=False");
    }
    node.edges.reserve(node.function->num_outputs());
    for (const torch::autograd::Edge& edge : node.function->next_edges()) {
      node.edges.push_back(edge.function == nullptr
                               ? GraphEdge{}
                               : GraphEdge{index_of.at(edge.function.get()), edge.input_nr});
    }
    const auto index = static_cast<std::int32_t>(nodes_.size());
    index_of[node.function.get()] = index;
    if (node.leaf >= 0) leaf_nodes_[static_cast<std::size_t>(node.leaf)] = index;

    signature_ += node.name;
    signature_ += '\0';
    append(signature_, node.leaf);
    append(signature_, static_cast<std::uint32_t>(node.edges.size()));
    for (const GraphEdge& edge : node.edges) {
      append(signature_, edge.node);
      append(signature_, edge.input_nr);
    }
    append_arguments(node, signature_, extents_);
    // Views of parameters also say which elements they take; an operation with several outputs says
    // it for each.
    const bool view = node.leaf < 0 && is_view(node.name) && node.edges.front().node >= 0 &&
                      views_parameter[static_cast<std::size_t>(node.edges.front().node)];
    views_parameter.push_back(view || node.leaf >= 0);
    if (view) {
      for (std::uint32_t nr = 0; nr < node.function->num_inputs(); ++nr) {
        const ViewStep step = read_view(node, nr).value();
        for (const std::int64_t argument : step.arguments) append(signature_, argument);
      }
    }
    nodes_.push_back(std::move(node));
  }
  append(signature_, static_cast<std::uint32_t>(losses.output_nr()));
}

std::vector<std::int64_t> Graph::sizes(GraphEdge edge) const {
  const AutogradNode& function = *node(edge.node).function;
  if (const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(&function)) {
    return leaf->variable.sizes().vec();
  }
  const torch::autograd::InputMetadata& metadata = function.input_metadata(edge.input_nr);
  std::vector<std::int64_t> sizes;
  for (const c10::SymInt& size : metadata.shape_as_dim_vector()) {
    sizes.push_back(size.guard_int(__FILE__, __LINE__));
  }
  return sizes;
}

}  // namespace velum::dpsgd::detail
