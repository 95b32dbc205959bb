#include "tape/parameter_path.h"

#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/engine.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "tape/arithmetic.h"
#include "tape/node_views.h"

namespace velum::dpsgd::detail {
namespace {

bool takes_constants(const std::string& name) {
  return name == "AddBackward0" || name == "SubBackward0" || name == "MulBackward0" ||
         name == "DivBackward0";
}

bool gathers(const std::string& name) {
  return name == "EmbeddingBackward0" || name == "IndexBackward0" ||
         name == "IndexSelectBackward0" || name == "GatherBackward0";
}

bool repeats(const std::string& name) {
  return name == "ExpandBackward0" || name == "RepeatBackward0";
}

}  // namespace

std::vector<Expression> classify(const Graph& graph) {
  std::vector<Expression> expressions;
  expressions.reserve(graph.nodes().size());
  for (const GraphNode& node : graph.nodes()) {  // operands first
    if (node.leaf >= 0) {
      expressions.push_back(Expression::kView);
      continue;
    }
    bool any = false, missing = false, data = false, gather = false, masked = false;
    for (const GraphEdge& edge : node.edges) {
      if (edge.node < 0) {
        missing = true;
        continue;
      }
      any = true;
      const Expression below = expressions[static_cast<std::size_t>(edge.node)];
      data |= below == Expression::kData;
      gather |= below == Expression::kGather;
      masked |= below == Expression::kMasked;
    }
    Expression result = Expression::kOpaque;
    if (!any || data || (missing && !takes_constants(node.name))) {
      result = Expression::kData;
    } else if (is_view(node.name)) {
      result = expressions[static_cast<std::size_t>(node.edges.front().node)];
    } else if (gather) {
      result = Expression::kData;
    } else if (gathers(node.name)) {
      result = Expression::kGather;
    } else if (missing || masked) {
      result = Expression::kMasked;
    }
    expressions.push_back(result);
  }
  return expressions;
}

std::vector<std::int32_t> leaves_below(const Graph& graph, GraphEdge from) {
  std::vector<std::int32_t> leaves, stack{from.node};
  std::unordered_set<std::int32_t> seen{from.node};
  while (!stack.empty()) {
    const GraphNode& node = graph.node(stack.back());
    stack.pop_back();
    if (node.leaf >= 0) leaves.push_back(node.leaf);
    for (const GraphEdge& edge : node.edges) {
      if (edge.node >= 0 && seen.insert(edge.node).second) stack.push_back(edge.node);
    }
  }
  std::sort(leaves.begin(), leaves.end());
  return leaves;
}

bool repeats_below(const Graph& graph, GraphEdge from) {
  std::vector<std::int32_t> stack{from.node};
  std::unordered_set<std::int32_t> seen{from.node};
  while (!stack.empty()) {
    const GraphNode& node = graph.node(stack.back());
    stack.pop_back();
    if (repeats(node.name)) return true;
    for (const GraphEdge& edge : node.edges) {
      if (edge.node >= 0 && seen.insert(edge.node).second) stack.push_back(edge.node);
    }
  }
  return false;
}

std::int32_t below_views(const Graph& graph, GraphEdge from) {
  std::int32_t index = from.node;
  while (is_view(graph.node(index).name)) index = graph.node(index).edges.front().node;
  return index;
}

ParameterPath::ParameterPath(const Graph& graph, GraphEdge from, std::int32_t leaf,
                             Expression expression, const at::Tensor& parameter)
    : from_(from),
      leaf_(leaf),
      leaf_sizes_(parameter.sizes().vec()),
      leaf_options_(math_options(parameter)) {
  if (expression != Expression::kView) {
    if (expression != Expression::kOpaque || !trace_weight_norm(graph, parameter)) {
      kind_ = Kind::kOpaque;
    }
    return;
  }
  trace(graph, graph.leaf_nodes()[static_cast<std::size_t>(leaf)]);
}

ParameterPath::ParameterPath(const Graph& graph, GraphEdge from, std::int32_t node)
    : from_(from),
      leaf_sizes_(graph.sizes({node, 0})),
      leaf_options_(math_options(graph.node(node).function->input_metadata(0).options())) {
  trace(graph, node);
}

bool ParameterPath::trace_weight_norm(const Graph& graph, const at::Tensor& parameter) {
  const std::int32_t index = below_views(graph, from_);
  const GraphNode& node = graph.node(index);
  if (!is_weight_norm(node.name)) return false;
  // Each operand a view of one leaf, and this leaf under one of the two.
  std::vector<std::size_t> slots;
  for (std::size_t slot = 0; slot < node.edges.size(); ++slot) {
    const GraphEdge edge = node.edges[slot];
    if (edge.node < 0 || graph.node(below_views(graph, edge)).leaf < 0) return false;
    if (graph.node(below_views(graph, edge)).leaf == leaf_) slots.push_back(slot);
  }
  if (slots.size() != 1) return false;
  kind_ = Kind::kWeightNorm;
  norm_node_ = index;
  norm_slot_ = slots.front();
  above_ = std::make_shared<const ParameterPath>(graph, from_, index);
  below_ = std::make_shared<const ParameterPath>(graph, node.edges[norm_slot_], leaf_,
                                                 Expression::kView, parameter);
  return true;
}

double ParameterPath::gain(const Graph& graph) const {
  return kind_ == Kind::kWeightNorm ? weight_norm_gain(graph.node(norm_node_), norm_slot_) : 1.0;
}

void ParameterPath::trace(const Graph& graph, std::int32_t end) {
  struct Step {
    ViewStep view;
    std::vector<std::int64_t> sizes;
  };
  std::vector<Step> steps;  // from the operand to the leaf
  bool moves = false;
  for (GraphEdge edge = from_; edge.node != end;) {
    const GraphNode& node = graph.node(edge.node);
    steps.push_back({*read_view(node, edge.input_nr), graph.sizes(edge)});
    moves |= steps.back().view.kind != ViewStep::Kind::kReshape &&
             steps.back().view.kind != ViewStep::Kind::kCast;
    edge = node.edges.front();
  }
  const std::int64_t count = c10::multiply_integers(leaf_sizes_);
  length_ = count;
  if (!moves) return;

  at::Tensor position = at::arange(count, at::TensorOptions(at::kLong)).view(leaf_sizes_);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    position = apply_view(step->view, position, step->sizes);
  }
  const at::Tensor index = position.reshape({-1}).contiguous();
  length_ = index.numel();
  start_ = length_ == 0 ? 0 : index[0].item<std::int64_t>();
  if (index.equal(at::arange(start_, start_ + length_, at::TensorOptions(at::kLong)))) {
    kind_ = length_ == count ? Kind::kIdentity : Kind::kRange;
    return;
  }
  const bool distinct = std::get<0>(at::_unique2(index)).numel() == length_;
  kind_ = distinct ? Kind::kInjective : Kind::kGeneral;
  index_ = index.to(leaf_options_.device());
}

at::Tensor ParameterPath::covered() const {
  const std::int64_t count = c10::multiply_integers(leaf_sizes_);
  const at::Tensor mask = at::zeros({count}, leaf_options_.dtype(at::kBool));
  if (index_.defined()) {
    mask.index_fill_(0, index_, true);
  } else {
    mask.narrow(0, start_, length_).fill_(true);
  }
  return mask;
}

bool ParameterPath::disjoint(const ParameterPath& other) const {
  if (!index_.defined() && !other.index_.defined()) {
    return start_ + length_ <= other.start_ || other.start_ + other.length_ <= start_;
  }
  return !covered().logical_and_(other.covered()).any().item<bool>();
}

at::Tensor ParameterPath::to_leaf(const Graph& graph, const at::Tensor& grads) const {
  const std::int64_t count = grads.size(0);
  std::vector<std::int64_t> sizes{count};
  sizes.insert(sizes.end(), leaf_sizes_.begin(), leaf_sizes_.end());
  if (kind_ == Kind::kIdentity) return grads.reshape(sizes).to(leaf_options_);

  if (kind_ == Kind::kWeightNorm) {
    const at::Tensor weights = above_->to_leaf(graph, grads);
    return below_->to_leaf(graph,
                           weight_norm_gradient(graph.node(norm_node_), norm_slot_, weights));
  }
  if (kind_ == Kind::kOpaque) {
    const at::Tensor result = at::zeros(sizes, leaf_options_);
    const std::shared_ptr<AutogradNode>& node = graph.node(from_.node).function;
    const torch::autograd::InputMetadata& metadata = node->input_metadata(from_.input_nr);
    const std::vector<std::int64_t> operand = graph.sizes(from_);
    const std::int32_t leaf_node = graph.leaf_nodes()[static_cast<std::size_t>(leaf_)];
    for (std::int64_t i = 0; i < count; ++i) {
      const torch::autograd::variable_list gradient =
          torch::autograd::Engine::get_default_engine().execute(
              {torch::autograd::Edge(node, from_.input_nr)},
              {grads.select(0, i).reshape(operand).to(metadata.options())}, /*keep_graph=*/true,
              /*create_graph=*/false, /*accumulate_grad=*/false,
              {torch::autograd::Edge(graph.node(leaf_node).function, 0)});
      if (gradient.front().defined()) result.select(0, i).copy_(gradient.front());
    }
    return result;
  }

  const at::Tensor flat = grads.reshape({count, length_}).to(leaf_options_);
  const at::Tensor result = at::zeros({count, c10::multiply_integers(leaf_sizes_)}, leaf_options_);
  if (kind_ == Kind::kRange) {
    result.narrow(1, start_, length_).copy_(flat);
  } else if (kind_ == Kind::kInjective) {
    result.index_copy_(1, index_, flat);
  } else {
    result.index_add_(1, index_, flat);
  }
  return result.view(sizes);
}

}  // namespace velum::dpsgd::detail
