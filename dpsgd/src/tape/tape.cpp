#include "tape/tape.h"

#include <ATen/Context.h>
#include <ATen/ExpandUtils.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function_hook.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "tape/arithmetic.h"
#include "tape/frugal_backward.h"
#include "tape/node_arguments.h"
#include "tape/row_sketch.h"
#include "tape/saved_variables.h"

namespace velum::dpsgd::detail {

using torch::autograd::Edge;
using torch::autograd::Engine;
using torch::autograd::variable_list;

namespace {

__extension__ using Wide = __int128;

}  // namespace

/// How one graph is treated: which operands of which nodes are parameters, and how the samples lie
/// in what flows into these nodes.
struct Tape::Plan {
  enum class Growth : std::uint8_t {
    kUnknown,    ///< seen with one size of batch only
    kNone,       ///< the same for every batch
    kWithBatch,  ///< proportional to it
  };
  struct Operand {
    std::size_t slot = 0;
    GraphEdge target;
    std::vector<std::int64_t> sizes;
    bool transposed = false;   // the operand is the transpose of what the paths start from
    bool generic = false;      // no rule: by the node's own backward
    std::int32_t lookup = -1;  // the node that looked the operand up, and the views from there
    std::shared_ptr<const ParameterPath> looked_up;
    std::vector<std::shared_ptr<const ParameterPath>> paths;
  };
  struct Incoming {
    std::vector<std::int64_t> sizes;  // with `mapping`, those of any batch
    at::ScalarType type = at::kFloat;
    RowMapping mapping;
    bool defined = false;

    bool has_sizes(at::IntArrayRef found, std::int64_t batch) const {
      if (found.size() != sizes.size()) return false;
      for (std::size_t d = 0; d < sizes.size(); ++d) {
        const std::int64_t size =
            static_cast<std::int64_t>(d) == mapping.dim ? mapping.steps() * batch : sizes[d];
        if (found[d] != size) return false;
      }
      return true;
    }
  };
  struct Node {
    std::int32_t index = -1;
    std::vector<Operand> operands;
    std::vector<Incoming> incoming;  // one per output of the operation
  };
  std::vector<Node> nodes;
  std::vector<std::string> slow_nodes;
  std::int64_t batch = 0;  // on which it was proved
  std::vector<std::int64_t> extents;
  std::vector<Growth> growth;  // of each
  std::int64_t uses = 0;       // since it was proved
  std::optional<bool> may_stream;

  /// How the extents grow if this graph is the proved one with another batch; nothing if it is not.
  std::optional<std::vector<Growth>> growth_in(const Graph& graph, std::int64_t to_batch) const;

  bool captures_as(const Plan& other) const {
    return std::equal(nodes.begin(), nodes.end(), other.nodes.begin(), other.nodes.end(),
                      [](const Node& a, const Node& b) {
                        return a.index == b.index && a.incoming.size() == b.incoming.size();
                      });
  }
};

std::optional<std::vector<Tape::Plan::Growth>> Tape::Plan::growth_in(const Graph& graph,
                                                                     std::int64_t to_batch) const {
  const std::vector<std::int64_t>& found = graph.extents();
  if (to_batch == batch) {
    if (found != extents) return std::nullopt;
    return growth;
  }
  if (found.size() != extents.size() || batch == 1 || to_batch == 1) return std::nullopt;
  std::vector<Growth> result = growth;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const bool same = found[i] == extents[i];
    // In integers of twice the length: the end of a slice may be the largest number of its type.
    const bool grows =
        static_cast<Wide>(found[i]) * batch == static_cast<Wide>(extents[i]) * to_batch;
    if (same && grows) continue;  // 0
    const Growth seen = same ? Growth::kNone : Growth::kWithBatch;
    if (!same && !grows) return std::nullopt;
    if (result[i] == Growth::kUnknown) result[i] = seen;
    if (result[i] != seen) return std::nullopt;
  }
  return result;
}

/// What flowed in one backward pass: into the nodes of a plan, and into the leaves.
struct Tape::Captured {
  std::vector<std::vector<at::Tensor>> incoming;
  std::vector<at::Tensor> leaves;
};

/// Where the samples may lie in everything that flows, in the order of the nodes.
struct Tape::Located {
  struct Candidates {
    std::size_t node, nr;
    std::vector<RowMapping> mappings;
    std::vector<std::vector<bool>> live;  // of the whole batch, per dimension
    bool seen_live = false;
    bool any_live = false;

    bool decided() const { return mappings.size() == 1 && seen_live; }
  };
  std::vector<Candidates> all;
  std::vector<std::int64_t> tested;  // samples, by one-hot backwards
};

namespace {

constexpr std::size_t kMaxPlansPerGraph = 64;
constexpr std::size_t kMaxGraphs = 256;
/// One-hot backwards of a proof: so many samples at random, and those that are needed to see every
/// use alive and every mapping decided; at most all.
constexpr std::size_t kRandomSamples = 2;
/// Backwards from random signs of a proof: each lets a mixing of two samples anywhere in the batch
/// through with probability 1/2.
constexpr std::size_t kSignChecks = 8;
/// How many uses of a proved plan go, on average, to one more check by random signs.
constexpr unsigned kUsesPerCheck = 32;

constexpr const char* kSlowRemedy =
    "set allow_slow_rules to let its own backward be called once per sample, or write a rule "
    "(dpsgd/README.md)";

/// What an operand of parameters is to its operation.
enum class Role {
  kUse,    ///< a weight: this node is its use
  kBelow,  ///< what is below it has samples of its own, and uses
  kOpen,   ///< either: kBelow if the samples' dimension of the output is one of its own
};

/// Whether the operand is missing dimension `dim` of the output or copied along it.
bool broadcasts_along(at::IntArrayRef operand, at::IntArrayRef output, std::int64_t dim) {
  const std::int64_t own =
      dim - static_cast<std::int64_t>(output.size()) + static_cast<std::int64_t>(operand.size());
  return own < 0 || operand[static_cast<std::size_t>(own)] == 1;
}

bool is_matrix_product(const std::string& name) {
  return name == "MmBackward0" || name == "AddmmBackward0" || name == "MvBackward0";
}

bool is_batched_product(const std::string& name) {
  return name == "BmmBackward0" || name == "BaddbmmBackward0";
}

/// The dimension of a matrix product that a factor brings in: the rows of the left one, the columns
/// of the right one; a vector on the right brings none.
std::int64_t dimension_of_factor(const std::string& name, std::size_t slot) {
  if (name == "MvBackward0") return slot == 0 ? 0 : -1;
  return slot == other_factor(name) ? 1 : 0;
}

/// The roles of operands, from the expressions and never from a number that the size of a batch
/// might happen to equal or to divide.
class Roles {
 public:
  Roles(const Graph& graph, std::int64_t batch)
      : graph_(graph), batch_(batch), expressions_(classify(graph)) {}

  Expression expression(GraphEdge edge) const {
    return edge.node < 0 ? Expression::kData : expressions_[static_cast<std::size_t>(edge.node)];
  }

  Role of(std::int32_t index, std::size_t slot) const {
    const GraphNode& node = graph_.node(index);
    const GraphEdge target = node.edges[slot];
    if (graph_.node(target.node).leaf >= 0) return Role::kUse;
    switch (slot_kind(node.name, slot)) {
      case SlotKind::kLeft:
        if (of_parameters(node.edges[other_factor(node.name)])) return Role::kBelow;
        [[fallthrough]];
      case SlotKind::kWeight:
        if (!of_parameters(target)) return Role::kBelow;
        if (takes_copies(node.name) && repeats_below(graph_, target)) return Role::kBelow;
        // A constant in it may be data that met only frozen weights before: an activation.
        if (is_matrix_product(node.name) && expression(target) == Expression::kMasked) {
          return unless_single(Role::kBelow);
        }
        if (!is_batched_product(node.name)) return Role::kUse;
        return of_fixed_size(target) ? Role::kUse : unless_single(Role::kBelow);
      case SlotKind::kBroadcast:
        return of_broadcast(index, target);
      case SlotKind::kData:
        return only_moves(target) ? Role::kUse : Role::kBelow;
    }
    return Role::kBelow;
  }

 private:
  bool of_parameters(GraphEdge edge) const {
    const Expression e = expression(edge);
    return e == Expression::kView || e == Expression::kOpaque || e == Expression::kMasked;
  }
  // A view that repeats or picks elements at data positions is itself the use (expand of a class
  // token); one that only moves them is followed.
  bool only_moves(GraphEdge edge) const {
    return expression(edge) == Expression::kView && !repeats_below(graph_, edge);
  }
  // Computed from parameters alone and from no number of copies: it cannot hold samples.
  bool of_fixed_size(GraphEdge edge) const {
    const Expression e = expression(edge);
    return (e == Expression::kView || e == Expression::kOpaque) && !repeats_below(graph_, edge);
  }
  // With one sample the proof cannot tell the two apart. Both are exact then.
  Role unless_single(Role single) const { return batch_ == 1 ? single : Role::kOpen; }

  Role of_broadcast(std::int32_t index, GraphEdge target) const {
    const Expression e = expression(target);
    if (e == Expression::kData) return Role::kBelow;
    if (of_fixed_size(target)) return Role::kUse;
    if (graph_.sizes(target) == graph_.sizes({index, 0})) return Role::kBelow;
    const bool lookup =
        e == Expression::kGather && is_lookup(graph_.node(below_views(graph_, target)).name);
    return unless_single(lookup ? Role::kUse : Role::kBelow);
  }

  const Graph& graph_;
  std::int64_t batch_;
  std::vector<Expression> expressions_;
};

/// Rows of `dim` with a finite nonzero element, on the CPU; rows with others do not count.
std::vector<bool> live_rows(const at::Tensor& grad, std::int64_t dim) {
  at::Tensor live = grad.ne(0).logical_and_(at::isfinite(grad));
  live = live.movedim(dim, 0).reshape({grad.size(dim), -1}).any(1).to(at::kCPU);
  const auto* data = live.const_data_ptr<bool>();
  return std::vector<bool>(data, data + live.numel());
}

/// In float64; what is not finite gives no finite norm.
double norm_of(const at::Tensor& tensor) {
  return row_squared_norms(tensor.reshape({1, tensor.numel()})).sqrt().item<double>();
}

/// Whether what is computed from the gradients that flow into `function` would be computed on the
/// stream that the caller goes on with.
bool on_current_stream(AutogradNode& function) {
  const std::optional<c10::Stream> stream = function.stream();
  if (!stream.has_value()) return true;
  return *stream == c10::impl::VirtualGuardImpl(stream->device_type()).getStream(stream->device());
}

/// Products of half precision are added in float32 on the CPU.
constexpr double kFloatRoundoff = 0x1p-24;

double unit_roundoff(at::ScalarType type, bool cuda) {
  switch (type) {
    case at::kDouble:
      return 0x1p-53;
    case at::kFloat:
      return cuda ? 0x1p-11 : kFloatRoundoff;  // CUDA products may be TF32
    case at::kHalf:
      return 0x1p-11;
    default:
      return 0x1p-8;
  }
}

double unit_roundoff(const at::Tensor& tensor) {
  return unit_roundoff(tensor.scalar_type(), tensor.is_cuda());
}

}  // namespace

void check_losses(const char* function, const at::Tensor& losses) {
  const auto refuse = [&](const std::string& text) {
    throw std::invalid_argument(std::string(function) + ": " + text);
  };
  if (!losses.defined()) refuse("losses is undefined, expected one loss per sample, [batch]");
  if (losses.dim() != 1) {
    refuse("losses has sizes " + to_text(losses.sizes()) +
           ", expected one loss per sample, [batch]; compute the loss with reduction none" +
           (losses.dim() == 0 ? "" : " and sum what belongs to one sample"));
  }
  if (losses.numel() == 0) return;
  if (!losses.is_floating_point()) {
    refuse("losses is of type " + std::string(c10::toString(losses.scalar_type())) +
           ", expected a floating-point type");
  }
  if (losses.grad_fn() == nullptr) {
    refuse("losses has no autograd graph; compute it from the model with gradients enabled");
  }
}

std::vector<at::Tensor> check_parameters(const char* function,
                                         const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> tracked;
  std::unordered_set<const c10::TensorImpl*> seen;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    const auto refuse = [&](const std::string& text) {
      throw std::invalid_argument(std::string(function) + ": parameters[" + std::to_string(i) +
                                  "] " + text);
    };
    if (!parameter.defined()) refuse("is undefined");
    if (!parameter.requires_grad() || !seen.insert(parameter.unsafeGetTensorImpl()).second) {
      continue;
    }
    if (!parameter.is_leaf()) refuse("is not a leaf of the graph");
    if (parameter.layout() != at::kStrided) refuse("is not a dense tensor");
    const at::ScalarType type = parameter.scalar_type();
    if (type != at::kFloat && type != at::kDouble && type != at::kBFloat16 && type != at::kHalf) {
      refuse("is of type " + std::string(c10::toString(type)) +
             ", expected float32, float64, bfloat16 or float16; keep the parameters in one of "
             "these and cast where they are used");
    }
    if (!tracked.empty() && parameter.device() != tracked.front().device()) {
      refuse("is on " + parameter.device().str() + ", expected one device for all, " +
             tracked.front().device().str());
    }
    tracked.push_back(parameter);
  }
  if (tracked.empty()) {
    throw std::invalid_argument(std::string(function) + ": parameters has " +
                                std::to_string(parameters.size()) +
                                " tensors of which none requires grad, expected at least one");
  }
  return tracked;
}

Tape::Tape(std::vector<at::Tensor> parameters, bool allow_slow_rules, MemoryLimits limits,
           MethodOverrides overrides)
    : parameters_(std::move(parameters)),
      allow_slow_rules_(allow_slow_rules),
      limits_(limits),
      overrides_(std::move(overrides)) {
  if (!overrides_.empty() && overrides_.rbegin()->first >= parameters_.size()) {
    throw std::invalid_argument("tape: a method is given for parameter " +
                                std::to_string(overrides_.rbegin()->first) + " of " +
                                std::to_string(parameters_.size()));
  }
}

Tape::~Tape() = default;

std::string Tape::parameters_of(const Plan& plan, std::size_t node) const {
  std::set<std::int32_t> leaves;
  for (const Plan::Operand& operand : plan.nodes[node].operands) {
    for (const auto& path : operand.paths) leaves.insert(path->leaf());
  }
  std::string text;
  for (const std::int32_t leaf : leaves) {
    if (!text.empty()) text += ", ";
    const auto index = static_cast<std::size_t>(leaf);
    text += describe_parameter(index, parameters_[index]);
  }
  return text;
}

std::vector<std::int32_t> Tape::open_nodes(const Graph& graph, std::int64_t batch) const {
  const Roles roles(graph, batch);
  std::vector<std::int32_t> open;
  for (std::int32_t index = 0; index <= graph.root(); ++index) {
    const GraphNode& node = graph.node(index);
    for (std::size_t slot = 0; slot < node.edges.size(); ++slot) {
      if (node.edges[slot].node < 0 || roles.of(index, slot) != Role::kOpen) continue;
      open.push_back(index);
      break;
    }
  }
  return open;
}

std::shared_ptr<Tape::Plan> Tape::make_plan(const Graph& graph, std::int64_t batch,
                                            const KnownMappings& known) const {
  const Roles roles(graph, batch);
  auto plan = std::make_shared<Plan>();
  plan->batch = batch;
  plan->extents = graph.extents();
  plan->growth.resize(plan->extents.size(), Plan::Growth::kUnknown);
  std::vector<std::int32_t> stack{graph.root()};
  std::vector<bool> seen(graph.nodes().size(), false);
  seen[static_cast<std::size_t>(graph.root())] = true;
  while (!stack.empty()) {
    const std::int32_t index = stack.back();
    stack.pop_back();
    const GraphNode& node = graph.node(index);
    refuse_mixing(node);
    Plan::Node planned;
    planned.index = index;
    for (std::size_t slot = 0; slot < node.edges.size(); ++slot) {
      const GraphEdge target = node.edges[slot];
      if (target.node < 0) continue;
      const Role role = roles.of(index, slot);
      bool use = role == Role::kUse;
      if (role == Role::kOpen) {
        // No mapping: the samples are mixed here already, and what is below is refused by name.
        const auto mapping = known.find(index);
        use = mapping != known.end() &&
              (is_matrix_product(node.name) && slot_kind(node.name, slot) != SlotKind::kBroadcast
                   ? mapping->second.dim != dimension_of_factor(node.name, slot)
                   : broadcasts_along(graph.sizes(target), graph.sizes({index, 0}),
                                      mapping->second.dim));
      }
      if (!use) {
        if (!seen[static_cast<std::size_t>(target.node)]) {
          seen[static_cast<std::size_t>(target.node)] = true;
          stack.push_back(target.node);
        }
        continue;
      }
      Plan::Operand operand;
      operand.slot = slot;
      operand.target = target;
      operand.sizes = graph.sizes(target);
      GraphEdge start = target;
      const GraphNode& below = graph.node(target.node);
      if (operand.sizes.size() == 2 && below.name == "TBackward0" &&
          slot_kind(node.name, slot) != SlotKind::kBroadcast &&
          slot_kind(node.name, slot) != SlotKind::kData) {
        operand.transposed = true;
        start = below.edges.front();
      }
      Expression expression = roles.expression(start);
      if (expression == Expression::kGather) {
        const std::int32_t lookup = below_views(graph, start);
        if (is_lookup(graph.node(lookup).name)) {
          operand.lookup = lookup;
          operand.looked_up = std::make_shared<const ParameterPath>(graph, start, lookup);
          start = graph.node(lookup).edges.front();
          expression = roles.expression(start);
        }
      }
      for (const std::int32_t leaf : leaves_below(graph, start)) {
        operand.paths.push_back(std::make_shared<const ParameterPath>(
            graph, start, leaf, expression, parameters_[static_cast<std::size_t>(leaf)]));
      }
      if (operand.paths.front()->kind() == ParameterPath::Kind::kOpaque) {
        const std::string& computing = graph.node(below_views(graph, start)).name;
        if (!allow_slow_rules_) {
          const auto leaf = static_cast<std::size_t>(operand.paths.front()->leaf());
          throw std::invalid_argument("tape: " + computing + " computes from " +
                                      describe_parameter(leaf, parameters_[leaf]) + " what " +
                                      node.name + " uses, and has no rule; " + kSlowRemedy);
        }
        plan->slow_nodes.push_back(computing);
      }
      planned.operands.push_back(std::move(operand));
    }
    if (!planned.operands.empty()) {
      planned.incoming.resize(node.function->num_inputs());
      plan->nodes.push_back(std::move(planned));
    }
  }
  return plan;
}

void Tape::read_saved(const Graph& graph, const Plan& plan, SavedHookReader& reader) {
  for (const Plan::Node& planned : plan.nodes) {
    const std::shared_ptr<AutogradNode>& function = graph.node(planned.index).function;
    const auto read = [&](std::int32_t index) {
      reader.read_with(function, graph.node(index).function);
    };
    read(planned.index);
    for (const Plan::Operand& operand : planned.operands) {
      if (operand.lookup >= 0) read(operand.lookup);
      for (const auto& path : operand.paths) {
        if (path->norm_node() >= 0) read(path->norm_node());
      }
    }
  }
}

Tape::Captured Tape::capture(const Graph& graph, const Plan& plan, const at::Tensor& losses,
                             const at::Tensor& weights, bool with_leaves) const {
  torch::autograd::edge_list outputs;
  for (const Plan::Node& node : plan.nodes) {
    for (std::uint32_t nr = 0; nr < node.incoming.size(); ++nr) {
      outputs.emplace_back(graph.node(node.index).function, nr);
    }
  }
  std::vector<std::size_t> leaves;
  if (with_leaves) {
    for (std::size_t leaf = 0; leaf < parameters_.size(); ++leaf) {
      if (graph.leaf_nodes()[leaf] < 0) continue;
      leaves.push_back(leaf);
      outputs.emplace_back(graph.node(graph.leaf_nodes()[leaf]).function, 0U);
    }
  }
  Captured captured;
  captured.incoming.resize(plan.nodes.size());
  captured.leaves.resize(parameters_.size());
  if (outputs.empty()) return captured;
  SavedHookReader reader;
  read_saved(graph, plan, reader);
  const variable_list grads = Engine::get_default_engine().execute(
      {Edge(losses.grad_fn(), static_cast<std::uint32_t>(losses.output_nr()))}, {weights},
      /*keep_graph=*/true,
      /*create_graph=*/false, /*accumulate_grad=*/false, outputs);
  std::size_t next = 0;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    for (std::size_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
      captured.incoming[n].push_back(grads[next++]);
    }
  }
  for (const std::size_t leaf : leaves) captured.leaves[leaf] = grads[next++];
  return captured;
}

bool Tape::node_fits(const Plan& plan, std::size_t n, const std::vector<at::Tensor>& incoming,
                     std::int64_t batch) {
  const Plan::Node& node = plan.nodes[n];
  for (std::size_t nr = 0; nr < node.incoming.size(); ++nr) {
    const at::Tensor& grad = incoming[nr];
    if (grad.defined() != node.incoming[nr].defined) return false;
    if (!grad.defined()) continue;
    if (grad.scalar_type() != node.incoming[nr].type ||
        !node.incoming[nr].has_sizes(grad.sizes(), batch)) {
      return false;
    }
  }
  return true;
}

bool Tape::fits(const Plan& plan, const Captured& captured, std::int64_t batch) {
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    if (!node_fits(plan, n, captured.incoming[n], batch)) return false;
  }
  return true;
}

bool Tape::may_fit(const Graph& graph, const Plan& plan, std::int64_t batch) {
  for (const Plan::Node& node : plan.nodes) {
    for (std::uint32_t nr = 0; nr < node.incoming.size(); ++nr) {
      const Plan::Incoming& expected = node.incoming[nr];
      if (!expected.defined) continue;
      const auto& metadata = graph.node(node.index).function->input_metadata(nr);
      if (c10::typeMetaToScalarType(metadata.options().dtype()) != expected.type ||
          !expected.has_sizes(graph.sizes({node.index, nr}), batch)) {
        return false;
      }
    }
  }
  return true;
}

NodeUse Tape::use_of(const Graph& graph, const Plan& plan, std::size_t n,
                     std::vector<at::Tensor> grads, std::int64_t batch) {
  NodeUse use;
  use.node = &graph.node(plan.nodes[n].index);
  use.grads = std::move(grads);
  for (const Plan::Incoming& incoming : plan.nodes[n].incoming) {
    RowMapping mapping = incoming.mapping;
    mapping.batch = batch;
    use.mappings.push_back(mapping);
  }
  return use;
}

Tape::NodeGradients Tape::assemble_node(const Graph& graph, const Plan& plan, std::size_t n,
                                        NodeUse& use) const {
  NodeGradients found;
  const Plan::Node& planned = plan.nodes[n];
  const GraphNode& node = graph.node(planned.index);
  use.limits = limits_;
  const bool any = std::any_of(planned.incoming.begin(), planned.incoming.end(),
                               [](const Plan::Incoming& incoming) { return incoming.defined; });
  if (!any) return found;
  for (const Plan::Operand& operand : planned.operands) {
    std::shared_ptr<OperandGradient> gradient;
    const auto given = overrides_.find(static_cast<std::size_t>(operand.paths.front()->leaf()));
    use.limits.method = given == overrides_.end() ? limits_.method : given->second;
    if (operand.generic) {
      const auto function = node.function;
      const std::size_t slot = operand.slot;
      const GraphEdge start =
          operand.transposed ? graph.node(operand.target.node).edges.front() : operand.target;
      const at::Tensor& leaf = parameters_[static_cast<std::size_t>(operand.paths.front()->leaf())];
      const bool transposed = operand.transposed;
      const std::vector<std::int64_t> sizes = graph.sizes(operand.target);
      gradient = std::make_shared<NodeGradient>(
          node.name, use.grads, use.mappings, graph.sizes(start), math_options(leaf),
          [function, slot, transposed, sizes](const std::vector<at::Tensor>& incoming) {
            const c10::AutoGradMode no_grad(false);
            at::Tensor result = (*function)(variable_list(incoming.begin(), incoming.end()))[slot];
            if (!result.defined()) return result;
            // As the engine does behind a node whose operands were broadcast.
            if (result.sizes() != sizes) result = at::sum_to(result, sizes);
            return transposed ? result.t() : result;
          },
          limits_);
    } else {
      gradient = rule_gradient(use, operand.slot, operand.sizes, operand.transposed);
    }
    if (operand.lookup >= 0) {
      gradient = lookup_gradient(graph, graph.node(operand.lookup), *operand.looked_up, gradient);
    }
    found.push_back(std::move(gradient));
  }
  return found;
}

void Tape::check_override(std::size_t index, const ParameterGradient& gradient) const {
  const GradientMethod method = overrides_.at(index);
  for (const ParameterGradient::Use& use : gradient.uses()) {
    const std::vector<GradientMethod> all = use.operand->methods();
    if (std::find(all.begin(), all.end(), method) != all.end()) continue;
    std::string names;
    for (const GradientMethod one : all) names += (names.empty() ? "" : ", ") + to_text(one);
    throw std::invalid_argument("tape: " + describe_parameter(index, parameters_[index]) + " in " +
                                use.operation + " (" + use.operand->shape() + ") has no method " +
                                to_text(method) + ", expected one of: " + names);
  }
}

/// The gradients of the parameters in one pass, from what it finds in its nodes.
class Tape::Gathering {
 public:
  /// @param groups  of which it says when their parameters have all of their uses.
  Gathering(const Tape& tape, const std::shared_ptr<const Graph>& graph, const Plan& plan,
            std::int64_t batch, const ParameterGroups& groups)
      : tape_(tape),
        graph_(graph),
        plan_(plan),
        batch_(batch),
        gradients_(graph, batch, tape.parameters_.size()),
        found_(plan.nodes.size()),
        users_(plan.nodes.size()),
        uses_(tape.parameters_.size()),
        made_(tape.parameters_.size(), false),
        group_of_(tape.parameters_.size(), kNoGroup),
        to_come_(groups.size(), 0) {
    for (std::size_t group = 0; group < groups.size(); ++group) {
      for (const std::size_t parameter : groups[group]) group_of_[parameter] = group;
    }
    for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
      const std::vector<Plan::Operand>& operands = plan.nodes[n].operands;
      for (std::size_t i = 0; i < operands.size(); ++i) {
        users_[n].push_back(operands[i].paths.size());
        for (const auto& path : operands[i].paths) {
          const auto leaf = static_cast<std::size_t>(path->leaf());
          uses_[leaf].push_back({n, i, path});
          if (group_of_[leaf] != kNoGroup) ++to_come_[group_of_[leaf]];
        }
      }
    }
    for (std::size_t group = 0; group < groups.size(); ++group) {
      if (to_come_[group] == 0) complete_.push_back(group);
    }
  }

  /// Node n of the plan has been seen, and these are the gradients of its operands.
  void add(std::size_t n, NodeGradients found) {
    found_[n] = std::move(found);
    for (const Plan::Operand& operand : plan_.nodes[n].operands) {
      for (const auto& path : operand.paths) {
        const std::size_t group = group_of_[static_cast<std::size_t>(path->leaf())];
        if (group != kNoGroup && --to_come_[group] == 0) complete_.push_back(group);
      }
    }
  }
  /// The groups whose parameters have all of their uses since this was asked last.
  std::vector<std::size_t> newly_complete() { return std::exchange(complete_, {}); }
  std::size_t group_of(std::size_t parameter) const { return group_of_[parameter]; }
  /// Of a parameter, in the whole plan.
  std::size_t uses_of(std::size_t parameter) const { return uses_[parameter].size(); }

  /// Makes the gradients of parameters that have all of their uses. What no other parameter needs
  /// is theirs alone from then on.
  BatchGradients& make(const std::vector<std::size_t>& parameters) {
    for (const std::size_t parameter : parameters) {
      std::vector<ParameterGradient::Use> uses;
      for (const Use& use : uses_[parameter]) {
        if (found_[use.node].empty()) continue;  // nothing has flowed into it
        std::shared_ptr<OperandGradient>& operand = found_[use.node][use.operand];
        const Plan::Node& node = plan_.nodes[use.node];
        uses.push_back({operand, use.path, graph_->node(node.index).name,
                        node.operands[use.operand].paths.size() > 1});
        if (--users_[use.node][use.operand] == 0) operand.reset();
      }
      ParameterGradient gradient(graph_, tape_.parameters_[parameter], batch_, std::move(uses),
                                 tape_.limits_);
      if (tape_.overrides_.contains(parameter)) tape_.check_override(parameter, gradient);
      gradients_.set(parameter, std::move(gradient));
      made_[parameter] = true;
    }
    return gradients_;
  }
  /// All nodes have been seen: makes those that are left.
  BatchGradients finish() && {
    std::vector<std::size_t> left;
    for (std::size_t parameter = 0; parameter < made_.size(); ++parameter) {
      if (!made_[parameter]) left.push_back(parameter);
    }
    make(left);
    return std::move(gradients_);
  }

 private:
  struct Use {
    std::size_t node, operand;
    std::shared_ptr<const ParameterPath> path;
  };
  static constexpr std::size_t kNoGroup = std::numeric_limits<std::size_t>::max();

  const Tape& tape_;
  const std::shared_ptr<const Graph>& graph_;
  const Plan& plan_;
  std::int64_t batch_;
  BatchGradients gradients_;
  std::vector<NodeGradients> found_;
  std::vector<std::vector<std::size_t>> users_;  // parameters still to be made of each operand
  std::vector<std::vector<Use>> uses_;           // of each parameter, in the order of the nodes
  std::vector<bool> made_;
  std::vector<std::size_t> group_of_;
  std::vector<std::size_t> to_come_;  // uses of each group that no node has shown yet
  std::vector<std::size_t> complete_;
};

BatchGradients Tape::assemble(const std::shared_ptr<const Graph>& graph, const Plan& plan,
                              const Captured& captured, std::int64_t batch) const {
  const ParameterGroups no_groups;
  Gathering gathering(*this, graph, plan, batch, no_groups);
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    NodeUse use = use_of(*graph, plan, n, captured.incoming[n], batch);
    gathering.add(n, assemble_node(*graph, plan, n, use));
  }
  return std::move(gathering).finish();
}

bool Tape::may_stream(const Graph& graph, Plan& plan) const {
  if (!plan.may_stream.has_value()) {
    // Names and edges are part of what a plan is for, so this holds for all of its graphs. What a
    // custom function leaves undefined may change from step to step; and a backward that is called
    // again later needs what the pass would free.
    bool may = std::all_of(graph.nodes().begin(), graph.nodes().end(), [](const GraphNode& node) {
      return node.leaf >= 0 || is_operation(node.name);
    });
    for (const Plan::Node& node : plan.nodes) {
      for (const Plan::Operand& operand : node.operands) {
        may &= !operand.generic;
        for (const auto& path : operand.paths) may &= path->kind() != ParameterPath::Kind::kOpaque;
      }
    }
    plan.may_stream = may;
  }
  return *plan.may_stream && may_observe(graph, plan);
}

bool Tape::may_observe(const Graph& graph, const Plan& plan) {
  // A tensor's own hooks change what flows.
  return std::all_of(plan.nodes.begin(), plan.nodes.end(), [&](const Plan::Node& node) {
    const auto& function = graph.node(node.index).function;
    return std::as_const(*function).pre_hooks().empty() && function->tensor_pre_hooks().empty() &&
           on_current_stream(*function);
  });
}

namespace {

/// Shows what flows into a node, right before the node is executed, as long as this object lives.
class IncomingObserver {
 public:
  using See = std::function<void(const variable_list&)>;
  /// Gives what flows on to each of the node's edges.
  using Replace = std::function<variable_list(const variable_list&)>;

  IncomingObserver(std::shared_ptr<AutogradNode> node, See see)
      : IncomingObserver(
            std::move(node),
            [see = std::move(see)](const variable_list& grads) {
              see(grads);
              return grads;
            },
            nullptr) {}
  /// The node's own backward sees nothing flow in and computes nothing.
  static std::unique_ptr<IncomingObserver> replacing(std::shared_ptr<AutogradNode> node,
                                                     Replace replace) {
    const auto flowing_on = std::make_shared<variable_list>();
    auto before = [replace = std::move(replace), flowing_on](const variable_list& grads) {
      *flowing_on = replace(grads);
      return variable_list(grads.size());
    };
    auto after = std::make_unique<PostHook>();
    after->flowing_on = flowing_on;
    return std::unique_ptr<IncomingObserver>(
        new IncomingObserver(std::move(node), std::move(before), std::move(after)));
  }
  ~IncomingObserver() {
    std::erase_if(node_->pre_hooks(), [this](const auto& hook) { return hook.get() == before_; });
    std::erase_if(node_->post_hooks(), [this](const auto& hook) { return hook.get() == after_; });
  }
  IncomingObserver(const IncomingObserver&) = delete;
  IncomingObserver& operator=(const IncomingObserver&) = delete;

 private:
  struct PreHook final : torch::autograd::FunctionPreHook {
    variable_list operator()(const variable_list& grads) override { return before(grads); }
    std::function<variable_list(const variable_list&)> before;
  };
  struct PostHook final : torch::autograd::FunctionPostHook {
    variable_list operator()(const variable_list& /*outputs*/,
                             const variable_list& /*inputs*/) override {
      return std::move(*flowing_on);
    }
    std::shared_ptr<variable_list> flowing_on;
  };

  IncomingObserver(std::shared_ptr<AutogradNode> node,
                   std::function<variable_list(const variable_list&)> before,
                   std::unique_ptr<PostHook> after)
      : node_(std::move(node)), after_(after.get()) {
    auto hook = std::make_unique<PreHook>();
    hook->before = std::move(before);
    before_ = hook.get();
    node_->add_pre_hook(std::move(hook));
    if (after != nullptr) node_->add_post_hook(std::move(after));
  }

  std::shared_ptr<AutogradNode> node_;
  const torch::autograd::FunctionPreHook* before_ = nullptr;
  const torch::autograd::FunctionPostHook* after_ = nullptr;
};

/// The edges of a node that something flows on to in the pass that executes it.
std::vector<bool> wanted_from(const AutogradNode& node) {
  std::vector<bool> wanted(node.num_outputs());
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = node.task_should_compute_output(i);
  return wanted;
}

}  // namespace

namespace {

at::Tensor random_signs(const at::Tensor& losses) {
  std::random_device random;
  std::vector<double> signs(static_cast<std::size_t>(losses.numel()));
  constexpr std::size_t kBits = 32;  // of a draw, which costs about a microsecond
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < signs.size(); ++i, bits >>= 1) {
    if (i % kBits == 0) bits = random();
    signs[i] = (bits & 1U) != 0 ? 1.0 : -1.0;
  }
  return at::from_blob(signs.data(), {losses.numel()}, at::TensorOptions(at::kDouble))
      .to(losses.options().requires_grad(std::nullopt), /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

template <typename Take>
void Tape::observe(const Graph& graph, const Plan& plan, const at::Tensor& losses,
                   const at::Tensor& weights, PassOptions options, const Take& take) const {
  // A node with another use below it is executed, and shows what flows into it before it is; what
  // flows into the lowest uses is asked for.
  std::vector<bool> is_use(graph.nodes().size(), false), above_use = is_use;
  for (const Plan::Node& node : plan.nodes) is_use[static_cast<std::size_t>(node.index)] = true;
  for (std::size_t index = 0; index < graph.nodes().size(); ++index) {  // operands first
    for (const GraphEdge& edge : graph.nodes()[index].edges) {
      if (edge.node < 0) continue;
      const auto below = static_cast<std::size_t>(edge.node);
      above_use[index] = above_use[index] || is_use[below] || above_use[below];
    }
  }
  std::vector<bool> seen(plan.nodes.size(), false);
  const auto see = [&](std::size_t n, std::vector<at::Tensor> grads) {
    seen[n] = true;
    NodeUse use = use_of(graph, plan, n, std::move(grads), losses.numel());
    take(n, use);
    return use;
  };
  torch::autograd::edge_list outputs;
  std::vector<std::size_t> lowest;
  std::vector<std::unique_ptr<IncomingObserver>> observers;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const auto& function = graph.node(plan.nodes[n].index).function;
    if (above_use[static_cast<std::size_t>(plan.nodes[n].index)]) {
      if (!options.own_input_gradients || !gives_input_gradients(graph.node(plan.nodes[n].index)) ||
          !std::as_const(*function).post_hooks().empty()) {
        observers.push_back(std::make_unique<IncomingObserver>(
            function, [&see, n](const variable_list& grads) { see(n, grads); }));
        continue;
      }
      observers.push_back(IncomingObserver::replacing(
          function, [&see, n, node = function.get()](const variable_list& grads) {
            NodeUse use = see(n, grads);
            return input_gradients(use, wanted_from(*node));
          }));
      continue;
    }
    lowest.push_back(n);
    for (std::uint32_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
      outputs.emplace_back(function, nr);
    }
  }
  for (std::size_t index = 0; options.release && index < graph.nodes().size(); ++index) {
    const GraphNode& node = graph.nodes()[index];
    if (is_use[index] || !above_use[index] || !has_frugal_backward(node)) continue;
    observers.push_back(
        IncomingObserver::replacing(node.function, [&node](const variable_list& grads) {
          return frugal_backward(node, grads, wanted_from(*node.function));
        }));
  }
  SavedHookReader reader;
  read_saved(graph, plan, reader);
  variable_list grads;
  if (!outputs.empty()) {
    grads = Engine::get_default_engine().execute(
        {Edge(losses.grad_fn(), static_cast<std::uint32_t>(losses.output_nr()))}, {weights},
        /*keep_graph=*/!options.release, /*create_graph=*/false, /*accumulate_grad=*/false,
        outputs);
  }
  std::size_t next = 0;
  for (const std::size_t n : lowest) {
    if (options.release) release_unread(graph.node(plan.nodes[n].index));
    std::vector<at::Tensor> incoming;
    for (std::size_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
      incoming.push_back(std::move(grads[next++]));
    }
    see(n, std::move(incoming));
  }
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    // A node that nothing flowed into.
    if (!seen[n]) see(n, std::vector<at::Tensor>(plan.nodes[n].incoming.size()));
  }
}

template <typename Look>
void Tape::look_at(const Graph& graph, const Plan& plan, const at::Tensor& losses,
                   const at::Tensor& weights, const Look& look) const {
  if (may_observe(graph, plan)) {
    observe(graph, plan, losses, weights, {.release = false, .own_input_gradients = false},
            [&](std::size_t n, const NodeUse& use) { look(n, use.grads); });
    return;
  }
  const Captured captured = capture(graph, plan, losses, weights, /*with_leaves=*/false);
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) look(n, captured.incoming[n]);
}

BatchGradients Tape::stream(const std::shared_ptr<const Graph>& graph, const Plan& plan,
                            const at::Tensor& losses, bool check, bool release,
                            const ParameterGroups& groups, const TakeGroup& take) const {
  const std::int64_t batch = losses.numel();
  const auto mapping_of = [&](std::size_t n, std::size_t nr) {
    RowMapping mapping = plan.nodes[n].incoming[nr].mapping;
    mapping.batch = batch;
    return mapping;
  };
  const auto require_fit = [&](std::size_t n, const std::vector<at::Tensor>& grads) {
    if (node_fits(plan, n, grads, batch)) return;
    throw std::logic_error("tape: what flows into " + graph->node(plan.nodes[n].index).name +
                           " is not what it was in the proved pass, though the graph is the "
                           "same; compute the losses again");
  };

  // As check_signs, but of either pass only a sketch stays.
  RowSketch sketch;
  at::Tensor signs;
  std::vector<std::vector<RowSketch::Rows>> of_signs(plan.nodes.size());
  if (check && batch > 1) {
    const at::Tensor weights = random_signs(losses);
    signs = weights.to(at::kDouble).unsqueeze(1);
    observe(*graph, plan, losses, weights, {.release = false, .own_input_gradients = true},
            [&](std::size_t n, const NodeUse& use) {
              const std::vector<at::Tensor>& grads = use.grads;
              require_fit(n, grads);
              for (std::size_t nr = 0; nr < grads.size(); ++nr) {
                of_signs[n].push_back(grads[nr].defined() ? sketch.of(grads[nr], mapping_of(n, nr))
                                                          : RowSketch::Rows());
              }
            });
  }
  const double allowed = allowed_by_signs(plan, losses.is_cuda());
  const auto check_node = [&](std::size_t n, const std::vector<at::Tensor>& grads) {
    for (std::size_t nr = 0; nr < grads.size(); ++nr) {
      if (!grads[nr].defined()) continue;
      const RowSketch::Rows plain = sketch.of(grads[nr], mapping_of(n, nr));
      const at::Tensor difference = of_signs[n][nr].sums.sub(plain.sums.mul(signs)).abs().amax({1});
      const at::Tensor apart = difference.le(plain.norms.mul(allowed))
                                   .logical_or(at::isfinite(plain.norms).logical_not());
      if (!apart.all().item<bool>()) refuse_mixed(*graph, plan, n, grads[nr], batch);
    }
    of_signs[n].clear();
  };

  Gathering gathering(*this, graph, plan, batch, groups);
  struct Waiting {
    std::shared_ptr<OperandGradient> gradient;
    std::size_t parameter;
  };
  std::vector<Waiting> waiting;
  const auto settle_where = [&](const auto& ready) {
    std::erase_if(waiting, [&](const Waiting& one) {
      const bool settles = ready(one);
      if (settles) one.gradient->settle(/*alone=*/true);
      return settles;
    });
  };
  const auto take_complete = [&] {
    for (const std::size_t group : gathering.newly_complete()) {
      settle_where([&](const Waiting& one) { return gathering.group_of(one.parameter) == group; });
      take(group, gathering.make(groups[group]));
    }
  };
  observe(*graph, plan, losses, at::ones_like(losses),
          {.release = release, .own_input_gradients = true}, [&](std::size_t n, NodeUse& use) {
            // On a device this is another thread than the caller's.
            const c10::AutoGradMode no_grad(false);
            const at::NoTF32Guard no_tf32;
            const AutocastOff no_autocast;
            require_fit(n, use.grads);
            if (signs.defined()) check_node(n, use.grads);
            settle_where(
                [](const Waiting& one) { return one.gradient->settling_frees(/*passing=*/false); });
            // Not in the visit of its last node, of which the pass holds what it is about to free.
            take_complete();
            NodeGradients found = assemble_node(*graph, plan, n, use);
            for (std::size_t i = 0; i < found.size(); ++i) {
              const auto& paths = plan.nodes[n].operands[i].paths;
              const auto parameter = static_cast<std::size_t>(paths.front()->leaf());
              const bool alone = paths.size() == 1 && gathering.uses_of(parameter) == 1;
              if (alone && release && !found[i]->settling_frees(/*passing=*/true)) {
                waiting.push_back({found[i], parameter});
              } else {
                found[i]->settle(alone);
              }
            }
            gathering.add(n, std::move(found));
          });
  settle_where([](const Waiting&) { return true; });
  take_complete();
  return std::move(gathering).finish();
}

void Tape::refuse_mixed(const Graph& graph, const Plan& plan, std::size_t node,
                        const at::Tensor& grad, std::int64_t batch) const {
  throw std::invalid_argument(
      "tape: " + graph.node(plan.nodes[node].index).name + " with " + parameters_of(plan, node) +
      ": no dimension of the gradient " + to_text(grad.sizes()) + " that flows into it keeps the " +
      std::to_string(batch) +
      " samples apart: the loss of one sample reaches what belongs to others. Remove the "
      "operation between it and the losses that mixes samples (a mean, a normalisation or an "
      "attention over the batch; GroupNorm instead of BatchNorm), or give the parameter to the "
      "model through an operation that has a rule");
}

double Tape::allowed_by_signs(const Plan& plan, bool cuda) {
  double roundoff = 0;
  for (const Plan::Node& node : plan.nodes) {
    for (const Plan::Incoming& incoming : node.incoming) {
      if (incoming.defined) roundoff = std::max(roundoff, unit_roundoff(incoming.type, cuda));
    }
  }
  // A backward pass is linear and a sign changes no rounding: on the CPU the rows agree to the bit,
  // in half precision too. The rest is for kernels that add in no fixed order.
  return 16 * (cuda ? roundoff : std::min(roundoff, kFloatRoundoff));
}

void Tape::check_signs(const Graph& graph, const Plan& plan, const Captured& captured,
                       const at::Tensor& losses) const {
  const std::int64_t batch = losses.numel();
  if (batch == 1) return;
  const at::Tensor per_sample = random_signs(losses);
  const at::Tensor signs = per_sample.to(at::kDouble).unsqueeze(1);
  const double allowed = allowed_by_signs(plan, losses.is_cuda());
  const auto follow_the_signs = [&](const RowMapping& mapping, const at::Tensor& plain,
                                    const at::Tensor& other) {
    const at::Tensor expected_rows = mapping.samples_first(plain);
    const at::Tensor found_rows = other.defined() ? mapping.samples_first(other) : other;
    const std::int64_t each = plain.numel() / batch, chunk = samples_at_a_time(each);
    for (std::int64_t begin = 0; begin < batch; begin += chunk) {
      const std::int64_t count = std::min(chunk, batch - begin);
      const auto rows = [&](const at::Tensor& samples) {
        return samples.narrow(0, begin, count).reshape({count, each}).to(at::kDouble);
      };
      const at::Tensor expected = rows(expected_rows).mul(signs.narrow(0, begin, count));
      const at::Tensor size = expected.square().sum(1).sqrt();
      const at::Tensor finite = at::isfinite(size);  // other samples' garbage decides nothing
      const at::Tensor difference =
          other.defined() ? rows(found_rows).sub(expected).square().sum(1).sqrt() : size;
      const at::Tensor apart = difference.le(size.mul(allowed)).logical_or(finite.logical_not());
      if (!apart.all().item<bool>()) return false;
    }
    return true;
  };
  std::vector<at::Tensor> mixed(plan.nodes.size());
  look_at(graph, plan, losses, per_sample,
          [&](std::size_t n, const std::vector<at::Tensor>& grads) {
            for (std::size_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
              const at::Tensor& plain = captured.incoming[n][nr];
              if (!plain.defined()) continue;
              RowMapping mapping = plan.nodes[n].incoming[nr].mapping;
              mapping.batch = batch;
              if (!follow_the_signs(mapping, plain, grads[nr])) mixed[n] = plain;
            }
          });
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    if (mixed[n].defined()) refuse_mixed(graph, plan, n, mixed[n], batch);
  }
}

Tape::Located Tape::locate(const Graph& graph, const Plan& plan, const Captured& captured,
                           const at::Tensor& losses, bool refuse) const {
  const std::int64_t batch = losses.numel();
  Located located;
  std::vector<Located::Candidates>& all = located.all;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    for (std::size_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
      const at::Tensor& grad = captured.incoming[n][nr];
      if (!grad.defined()) continue;
      Located::Candidates candidates{n, nr, candidate_mappings(grad.sizes(), batch), {}};
      for (std::int64_t d = 0; d < grad.dim(); ++d) {
        candidates.live.push_back(live_rows(grad, d));
        const std::vector<bool>& rows = candidates.live.back();
        candidates.any_live |= std::find(rows.begin(), rows.end(), true) != rows.end();
      }
      all.push_back(std::move(candidates));
    }
  }

  const auto mixes = [&](const Located::Candidates& candidates) {
    if (!refuse) return;
    refuse_mixed(graph, plan, candidates.node, captured.incoming[candidates.node][candidates.nr],
                 batch);
  };

  // One-hot backwards: which rows of everything does the loss of one sample reach?
  auto& tested = located.tested;
  std::vector<bool> was_tested(static_cast<std::size_t>(batch), false);
  const auto test = [&](std::int64_t sample) {
    was_tested[static_cast<std::size_t>(sample)] = true;
    at::Tensor weights = at::zeros_like(losses);
    weights.select(0, sample).fill_(1);
    tested.push_back(sample);
    const auto narrow_down = [&](Located::Candidates& candidates, const at::Tensor& grad) {
      const at::Tensor& total = captured.incoming[candidates.node][candidates.nr];
      std::vector<std::vector<bool>> live(static_cast<std::size_t>(total.dim()));
      if (grad.defined()) {
        for (std::int64_t d = 0; d < total.dim(); ++d) {
          live[static_cast<std::size_t>(d)] = live_rows(grad, d);
        }
      } else {
        for (std::int64_t d = 0; d < total.dim(); ++d) {
          live[static_cast<std::size_t>(d)].resize(static_cast<std::size_t>(total.size(d)));
        }
      }
      for (const std::vector<bool>& rows : live) {
        candidates.seen_live |= std::find(rows.begin(), rows.end(), true) != rows.end();
      }
      std::erase_if(candidates.mappings, [&](const RowMapping& mapping) {
        const auto d = static_cast<std::size_t>(mapping.dim);
        for (std::size_t row = 0; row < live[d].size(); ++row) {
          const bool own = mapping.sample_of(static_cast<std::int64_t>(row)) == sample;
          if (!own && live[d][row]) return true;  // reaches another's row
          if (own && candidates.live[d][row] && !live[d][row]) return true;  // others reach its row
        }
        return false;
      });
    };
    look_at(graph, plan, losses, weights, [&](std::size_t n, const std::vector<at::Tensor>& grads) {
      for (Located::Candidates& candidates : all) {
        if (candidates.node == n) narrow_down(candidates, grads[candidates.nr]);
      }
    });
    for (const Located::Candidates& candidates : all) {
      if (candidates.mappings.empty()) mixes(candidates);
    }
  };
  for (const Located::Candidates& candidates : all) {
    if (candidates.mappings.empty()) mixes(candidates);
  }
  std::random_device random;
  for (std::size_t k = 0; k < kRandomSamples && tested.size() < static_cast<std::size_t>(batch);) {
    const auto sample = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(batch));
    if (was_tested[static_cast<std::size_t>(sample)]) continue;
    test(sample);
    ++k;
  }
  // Then those that decide what is left open: a row that is alive belongs to different samples
  // under two candidates, or no tested sample was alive in it.
  for (std::size_t c = 0; c < all.size(); ++c) {
    while (batch > 1) {
      const Located::Candidates& candidates = all[c];
      std::int64_t next = -1;
      for (std::size_t m = 0; m < candidates.mappings.size() && next < 0; ++m) {
        const RowMapping& first = candidates.mappings.front();  // not reached where there is none
        const RowMapping& mapping = candidates.mappings[m];
        if (m > 0 && mapping.dim != first.dim) {
          // Different dimensions: any untested live sample of the other one decides.
          const std::vector<bool>& rows = candidates.live[static_cast<std::size_t>(mapping.dim)];
          for (std::size_t row = 0; row < rows.size() && next < 0; ++row) {
            const std::int64_t sample = mapping.sample_of(static_cast<std::int64_t>(row));
            if (rows[row] && !was_tested[static_cast<std::size_t>(sample)]) next = sample;
          }
          continue;
        }
        const std::vector<bool>& rows = candidates.live[static_cast<std::size_t>(first.dim)];
        for (std::size_t row = 0; row < rows.size() && next < 0; ++row) {
          const std::int64_t a = first.sample_of(static_cast<std::int64_t>(row));
          const std::int64_t b = mapping.sample_of(static_cast<std::int64_t>(row));
          const bool open = m == 0 ? !candidates.seen_live : a != b;
          if (rows[row] && open && !was_tested[static_cast<std::size_t>(a)]) next = a;
        }
      }
      if (next < 0) break;
      test(next);
    }
  }
  return located;
}

std::pair<Tape::KnownMappings, bool> Tape::locate_open(const Graph& graph,
                                                       const at::Tensor& losses) const {
  KnownMappings known;
  bool decided = true;
  Plan questions;
  for (const std::int32_t index : open_nodes(graph, losses.numel())) {
    Plan::Node node;
    node.index = index;
    node.incoming.resize(graph.node(index).function->num_inputs());
    questions.nodes.push_back(std::move(node));
  }
  if (questions.nodes.empty()) return {known, decided};
  const Captured captured =
      capture(graph, questions, losses, at::ones_like(losses), /*with_leaves=*/false);
  for (const Located::Candidates& candidates :
       locate(graph, questions, captured, losses, /*refuse=*/false).all) {
    if (candidates.mappings.empty()) continue;
    known.emplace(questions.nodes[candidates.node].index, candidates.mappings.front());
    decided &= candidates.decided();
  }
  return {known, decided};
}

bool Tape::prove_input_gradients(const Graph& graph, const Plan& plan, const Captured& captured,
                                 std::int64_t batch) const {
  bool finite = true;
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const GraphNode& node = graph.node(plan.nodes[n].index);
    const std::vector<Plan::Operand>& operands = plan.nodes[n].operands;
    if (!gives_input_gradients(node) ||
        std::any_of(operands.begin(), operands.end(),
                    [](const Plan::Operand& operand) { return operand.generic; })) {
      continue;
    }
    const std::vector<at::Tensor>& grads = captured.incoming[n];
    NodeUse use = use_of(graph, plan, n, grads, batch);
    const std::optional<bool> agree = input_gradients_agree(
        use, (*node.function)(variable_list(grads.begin(), grads.end())), kFloatRoundoff);
    finite &= agree.has_value();
    if (agree.value_or(true)) continue;
    throw std::logic_error("tape: what flows on from " + node.name + " with " +
                           parameters_of(plan, n) +
                           " differs from its own backward's by more than rounding allows");
  }
  return finite;
}

BatchGradients Tape::prove(const std::shared_ptr<const Graph>& graph, Plan& plan,
                           const Captured& captured, const at::Tensor& losses,
                           bool& for_good) const {
  const std::int64_t batch = losses.numel();
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    for (std::size_t nr = 0; nr < plan.nodes[n].incoming.size(); ++nr) {
      const at::Tensor& grad = captured.incoming[n][nr];
      Plan::Incoming& incoming = plan.nodes[n].incoming[nr];
      incoming.defined = grad.defined();
      if (!grad.defined()) continue;
      incoming.sizes = grad.sizes().vec();
      incoming.type = grad.scalar_type();
    }
  }
  const Located located = locate(*graph, plan, captured, losses, /*refuse=*/true);
  const auto& all = located.all;
  const auto& tested = located.tested;
  // With one sample every row is that sample's; such plans are kept apart from other batches.
  for_good =
      batch == 1 || std::all_of(all.begin(), all.end(), [](const auto& c) { return c.decided(); });

  // Choose; check that with this choice all rows of the batch follow the sign of their own loss;
  // and take the node's own backward where a node has no rule for what was found.
  for (const Located::Candidates& candidates : all) {
    plan.nodes[candidates.node].incoming[candidates.nr].mapping = candidates.mappings.front();
  }
  for (std::size_t k = 0; k < kSignChecks; ++k) check_signs(*graph, plan, captured, losses);
  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    Plan::Node& planned = plan.nodes[n];
    const GraphNode& node = graph->node(planned.index);
    const bool any = std::any_of(planned.incoming.begin(), planned.incoming.end(),
                                 [](const Plan::Incoming& incoming) { return incoming.defined; });
    if (!any) continue;
    const auto first = std::find_if(all.begin(), all.end(),
                                    [&](const Located::Candidates& c) { return c.node == n; });
    const auto missing_rules = [&] {
      std::size_t missing = 0;
      NodeUse use;
      use.node = &node;
      use.grads = captured.incoming[n];
      for (const Plan::Incoming& incoming : planned.incoming) {
        use.mappings.push_back(incoming.mapping);
      }
      for (Plan::Operand& operand : planned.operands) {
        operand.generic =
            rule_gradient(use, operand.slot, operand.sizes, operand.transposed) == nullptr;
        missing += operand.generic;
      }
      return missing;
    };
    // Among mappings that the whole batch cannot tell apart, one that the rules know.
    if (missing_rules() > 0 && planned.incoming.size() == 1) {
      for (const RowMapping& mapping : first->mappings) {
        planned.incoming.front().mapping = mapping;
        if (missing_rules() == 0) break;
      }
      if (missing_rules() > 0) {
        planned.incoming.front().mapping = first->mappings.front();
        missing_rules();
      }
    }
    for (const Plan::Operand& operand : planned.operands) {
      if (!operand.generic) continue;
      if (!allow_slow_rules_) {
        throw std::invalid_argument("tape: " + node.name + " has no rule for " +
                                    parameters_of(plan, n) + " with samples in " +
                                    to_text(planned.incoming.front().mapping) + "; " + kSlowRemedy);
      }
      plan.slow_nodes.push_back(node.name);
    }
  }
  std::sort(plan.slow_nodes.begin(), plan.slow_nodes.end());
  plan.slow_nodes.erase(std::unique(plan.slow_nodes.begin(), plan.slow_nodes.end()),
                        plan.slow_nodes.end());

  // The gradients that the rules give for the tested samples are autograd's.
  BatchGradients gradients = assemble(graph, plan, captured, batch);
  const at::Tensor norms = gradients.exact_squared_norms().to(at::kCPU);
  if (!at::isfinite(norms).all().item<bool>()) {
    for_good = false;  // autograd's own sums over the batch would be spoiled by that sample
    return gradients;
  }
  for_good &= prove_input_gradients(*graph, plan, captured, batch);
  double roundoff = 0;
  for (const auto& incoming : captured.incoming) {
    for (const at::Tensor& grad : incoming) {
      if (grad.defined()) roundoff = std::max(roundoff, unit_roundoff(grad));
    }
  }
  // What flows into a use for a tested sample is the same in both backwards but for kernels that
  // add in no fixed order.
  const double upstream = 16 * roundoff;
  for (const std::int64_t sample : tested) {
    at::Tensor weights = at::zeros({batch}, at::TensorOptions(at::kDouble));
    weights.select(0, sample).fill_(1);
    const SampleFactors factors(weights.to(parameters_.front().device()));
    // One sample's gradients at a time: each is as large as the model.
    const Captured one_hot =
        capture(*graph, Plan(), losses, weights.to(losses.options().requires_grad(std::nullopt)),
                /*with_leaves=*/true);
    double true_squared = 0, allowed_squared = 0;
    bool comparable = true;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      ParameterGradient& parameter = gradients.parameter(p);
      const at::Tensor& expected = one_hot.leaves[p];
      if (!parameter.used() && !expected.defined()) continue;
      at::Tensor difference = parameter.weighted_sum(factors, {});
      const double own_norm = norm_of(difference);
      double norm = 0;
      double stored = roundoff;  // a cast on the way rounds what autograd leaves to the leaf's type
      if (expected.defined()) {
        const at::Tensor truth = expected.is_sparse() ? expected.to_dense() : expected;
        norm = norm_of(truth.to(difference.scalar_type()));
        stored = std::max(stored, unit_roundoff(truth));
        difference = difference.sub_(truth);
      }
      if (!std::isfinite(norm)) {
        // Overflow in autograd's own type, where the rule's norm may still be finite: this sample
        // can prove nothing. The next batch is asked again.
        for_good = false;
        comparable = false;
        break;
      }
      double allowed = (4 * stored + upstream) * parameter.rounding_scale(sample);
      if (!losses.is_cuda() && parameter.summed_before_rounding()) {
        allowed = 20 * std::min(stored, kFloatRoundoff) * parameter.rounding_scale(sample) +
                  4 * stored * own_norm;
      }
      // A path through operations of unknown condition: half of the digits.
      if (!parameter.exact_path()) allowed += std::sqrt(roundoff) * norm;
      if (!(norm_of(difference) <= allowed)) {
        throw std::logic_error(
            "tape: the per-sample gradient of " + describe_parameter(p, parameters_[p]) +
            " differs from autograd's by more than rounding allows: an operation mixes samples in "
            "a way that leaves no rows apart, is not deterministic, or has a rule that does not "
            "hold here");
      }
      true_squared += norm * norm;
      allowed_squared += allowed * allowed;
    }
    if (!comparable) continue;
    const double rule_norm = std::sqrt(norms[sample].item<double>());
    if (!(std::abs(rule_norm - std::sqrt(true_squared)) <=
          std::sqrt(allowed_squared) + 16 * roundoff * std::sqrt(true_squared))) {
      throw std::logic_error(
          "tape: the norm of a per-sample gradient differs from that of autograd's gradient by "
          "more "
          "than rounding allows");
    }
  }
  return gradients;
}

BatchGradients Tape::differentiate(const at::Tensor& losses, bool release) {
  return differentiate(losses, release, {}, nullptr);
}

BatchGradients Tape::differentiate(const at::Tensor& losses, bool release,
                                   const ParameterGroups& groups, const TakeGroup& take) {
  const c10::AutoGradMode no_grad(false);
  const std::int64_t batch = losses.numel();
  const auto graph = std::make_shared<const Graph>(losses, parameters_);
  // Of every graph, known or not: training or evaluation mode shows in no edge and in no size.
  for (const GraphNode& node : graph->nodes()) refuse_mixing(node);
  const at::Tensor ones = at::ones_like(losses);

  // Plans of one graph differ in shapes, seldom in what they capture: mostly one pass serves all.
  std::shared_ptr<Plan> of_captured;
  Captured captured;
  const auto capture_for = [&](const std::shared_ptr<Plan>& plan) {
    if (of_captured == nullptr || !of_captured->captures_as(*plan)) {
      captured = capture(*graph, *plan, losses, ones, /*with_leaves=*/false);
    }
    of_captured = plan;
  };
  const auto taken = [&](BatchGradients gradients) {
    captured = {};  // the gradients hold what they need of it
    for (std::size_t group = 0; group < groups.size(); ++group) take(group, gradients);
    return gradients;
  };
  if (const auto known = plans_.find(graph->signature()); known != plans_.end()) {
    for (auto plan = known->second.rbegin(); plan != known->second.rend(); ++plan) {
      if (((*plan)->batch == 1) != (batch == 1)) continue;
      std::optional<std::vector<Plan::Growth>> growth = (*plan)->growth_in(*graph, batch);
      if (!growth.has_value()) continue;
      // Which extents are the batch's is known from two sizes of batch; from then on for good.
      const bool learns = *growth != (*plan)->growth;
      // Which samples an index joins may differ between batches: looked at again after 1, 2, 4, 8,
      // ... uses, and by chance at any other.
      const bool checks = std::has_single_bit(static_cast<std::uint64_t>((*plan)->uses + 1)) ||
                          std::random_device()() % kUsesPerCheck == 0;
      if (!learns && of_captured == nullptr && may_fit(*graph, **plan, batch) &&
          may_stream(*graph, **plan)) {
        (*plan)->growth = std::move(*growth);
        ++(*plan)->uses;
        slow_nodes_ = (*plan)->slow_nodes;
        return stream(graph, **plan, losses, checks, release, groups, take);
      }
      capture_for(*plan);
      if (!fits(**plan, captured, batch)) continue;
      for (std::size_t k = 0; learns && k < kSignChecks; ++k) {
        check_signs(*graph, **plan, captured, losses);
      }
      (*plan)->growth = std::move(*growth);
      ++(*plan)->uses;
      if (checks) check_signs(*graph, **plan, captured, losses);
      slow_nodes_ = (*plan)->slow_nodes;
      return taken(assemble(graph, **plan, captured, batch));
    }
  }

  const auto [known_mappings, decided] = locate_open(*graph, losses);
  const std::shared_ptr<Plan> plan = make_plan(*graph, batch, known_mappings);
  capture_for(plan);
  bool for_good = false;
  BatchGradients gradients = prove(graph, *plan, captured, losses, for_good);
  slow_nodes_ = plan->slow_nodes;
  ++proofs_;
  if (for_good && decided) {
    if (plans_.size() > kMaxGraphs) plans_.clear();
    std::vector<std::shared_ptr<Plan>>& plans = plans_[graph->signature()];
    if (plans.size() >= kMaxPlansPerGraph) plans.erase(plans.begin());
    plans.push_back(plan);
  }
  return taken(std::move(gradients));
}

}  // namespace velum::dpsgd::detail
