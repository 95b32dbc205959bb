#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tape/graph.h"
#include "tape/operand_gradient.h"
#include "tape/parameter_path.h"
#include "tape/rules.h"
#include "tape/saved_variables.h"

namespace velum::dpsgd::detail {

/// The gradient of every sample with respect to one parameter: the sum over its uses.
class ParameterGradient {
 public:
  struct Use {
    std::shared_ptr<OperandGradient> operand;
    std::shared_ptr<const ParameterPath> path;
    std::string operation;  ///< the node's name
    bool shared = false;    ///< the operand is made of other parameters, too
  };
  ParameterGradient(std::shared_ptr<const Graph> graph, at::Tensor parameter, std::int64_t batch,
                    std::vector<Use> uses, MemoryLimits limits);

  struct SquaredNorms {
    at::Tensor exact;     ///< ||g_b||^2, up to the rounding of its form
    at::Tensor clipping;  ///< the same, raised to (kConditioningFloor * M_b)^2 where that is larger
  };
  /// [batch] float64 each; undefined where the parameter is not used.
  SquaredNorms squared_norms();
  /// [groups] float64: the squared norm of the sum of a group's gradients, raised to the square of
  /// kConditioningFloor times the sum of their M_b where that is larger; undefined where the
  /// parameter is not used.
  at::Tensor grouped_squared_norms(const SampleGroups& groups);
  /// [end - begin, *parameter], in the math type of the parameter.
  at::Tensor per_sample(std::int64_t begin, std::int64_t end);
  /// sum_b factors[b] * g_b, contiguous, in the math type of the parameter; in `out` where that
  /// has the right shape and type.
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out);
  /// The one use, where that is lookups of rows of the whole parameter; else null.
  const EmbeddingGradient* lookups() const;
  void exclude(const at::Tensor& excluded);
  /// Frees what the per-sample gradients take. Nothing else may be asked afterwards.
  void release();
  /// The tensors that this keeps alive, of those that may be large; some may be undefined.
  std::vector<at::Tensor> held() const;
  bool used() const { return !uses_.empty(); }
  /// Those that are computed together are one.
  const std::vector<Use>& uses() const { return uses_; }
  const at::Tensor& parameter() const { return parameter_; }
  /// The coarsest type in which gradients are measured and summed, float32 or float64.
  at::ScalarType summed_type() const;
  bool exact_path() const;  ///< no use goes through a path of kind kOpaque
  double rounding_scale(std::int64_t sample) const;
  /// As that of the one use; false for several, whose gradients autograd adds as they are stored.
  bool summed_before_rounding() const;

 private:
  at::Tensor overlapping_squared_norms();
  at::Tensor overlapping_squared_magnitudes();
  bool isometric() const;
  template <typename Form, typename Alike>
  void join_uses(const Alike& alike);
  /// Where the uses are one linear map and one lookup of the whole parameter; else null.
  std::pair<LinearGradient*, EmbeddingGradient*> tied_uses() const;

  std::shared_ptr<const Graph> graph_;
  at::Tensor parameter_;
  std::int64_t batch_;
  std::vector<Use> uses_;
  MemoryLimits limits_;
  bool separate_ = true;  ///< the uses share no element: their squared norms add
  at::Tensor kept_;       ///< [batch, *parameter], where uses overlap and it is small
};

/// The per-sample gradients of one vector of losses.
class BatchGradients {
 public:
  /// Of so many parameters; none has its gradient yet.
  BatchGradients(std::shared_ptr<const Graph> graph, std::int64_t batch, std::size_t parameters);

  std::int64_t batch() const { return batch_; }
  void set(std::size_t index, ParameterGradient gradient);
  /// [batch] float64, over these parameters together: what the samples are clipped by, that is with
  /// the floor of badly conditioned gradients (kConditioningFloor).
  at::Tensor squared_norms(const std::vector<std::size_t>& parameters);
  /// Over all parameters.
  at::Tensor squared_norms();
  /// [groups] float64: the same of the sums of the gradients of each group's samples.
  at::Tensor squared_norms(const std::vector<std::size_t>& parameters, const SampleGroups& groups);
  /// Over all parameters, without the floor: the norms of the gradients themselves.
  at::Tensor exact_squared_norms();
  /// The coarsest `summed_type` of these. Not after `ParameterGradient::release`.
  at::ScalarType summed_type(const std::vector<std::size_t>& parameters) const;
  /// The same parameters in the order in which taking their weighted sums, and releasing each one's
  /// gradients after its own, needs the least memory at any time where no two share any; those that
  /// do come one after the other.
  /// @param taken  bytes that the weighted sum of each of them takes, in the order of `parameters`.
  std::vector<std::size_t> in_order_of_release(const std::vector<std::size_t>& parameters,
                                               const std::vector<std::int64_t>& taken) const;
  /// @throws std::logic_error if it has not been `set`.
  ParameterGradient& parameter(std::size_t index);
  std::size_t size() const { return parameters_.size(); }
  void exclude(const at::Tensor& excluded);
  /// Frees what the graph has saved: no other backward through it.
  void release_graph();

 private:
  std::shared_ptr<const Graph> graph_;
  std::int64_t batch_;
  std::vector<std::optional<ParameterGradient>> parameters_;
  const ParameterGradient::SquaredNorms& squared_norms_of(std::size_t index);

  std::vector<std::optional<ParameterGradient::SquaredNorms>> squared_norms_;
};

/// Reads per-sample gradients off autograd graphs. Remembers, per graph and per-sample shapes, how
/// the samples lie in every tensor, once it has proved that.
class Tape {
 public:
  /// @param parameters  leaves that require grad, each once.
  /// @param overrides   methods of parameters, by their indices.
  Tape(std::vector<at::Tensor> parameters, bool allow_slow_rules, MemoryLimits limits = {},
       MethodOverrides overrides = {});
  ~Tape();

  /// @param losses   [batch], batch >= 1, with a graph.
  /// @param release  the graph may be used up: what it has saved may be freed as the pass goes on.
  BatchGradients differentiate(const at::Tensor& losses, bool release = false);

  /// Some of the parameters, by their indices.
  using ParameterGroups = std::vector<std::vector<std::size_t>>;
  /// @param group      index of the group whose parameters have their gradients now.
  /// @param gradients  those of other groups may not be there, or be released.
  using TakeGroup = std::function<void(std::size_t group, BatchGradients& gradients)>;
  /// The same for gradients that are taken group by group: calls `take` once for each group, in any
  /// order, where that can be while the pass goes on: what the gradients of a group take is free
  /// for the rest of the pass once `take` has released them. If the pass or `take` throws, some of
  /// the groups may have been taken.
  ///
  /// @param groups  no parameter is in two of them.
  BatchGradients differentiate(const at::Tensor& losses, bool release,
                               const ParameterGroups& groups, const TakeGroup& take);
  /// Operations of the last graph that were treated by their own backward, sorted, each once.
  const std::vector<std::string>& slow_nodes() const { return slow_nodes_; }
  /// How many graphs have been proved so far.
  std::int64_t proofs() const { return proofs_; }

 private:
  struct Plan;
  struct Captured;
  struct Located;
  class Gathering;
  /// Where the samples lie in what flows into some nodes.
  using KnownMappings = std::unordered_map<std::int32_t, RowMapping>;
  /// Of the operands of one node, in their order.
  using NodeGradients = std::vector<std::shared_ptr<OperandGradient>>;

  /// The nodes of which `make_plan` needs to know that.
  std::vector<std::int32_t> open_nodes(const Graph& graph, std::int64_t batch) const;
  std::shared_ptr<Plan> make_plan(const Graph& graph, std::int64_t batch,
                                  const KnownMappings& known) const;
  Captured capture(const Graph& graph, const Plan& plan, const at::Tensor& losses,
                   const at::Tensor& weights, bool with_leaves) const;
  BatchGradients assemble(const std::shared_ptr<const Graph>& graph, const Plan& plan,
                          const Captured& captured, std::int64_t batch) const;
  /// @param grads  what has flowed into node n of the plan.
  static NodeUse use_of(const Graph& graph, const Plan& plan, std::size_t n,
                        std::vector<at::Tensor> grads, std::int64_t batch);
  /// None where nothing has flowed in.
  NodeGradients assemble_node(const Graph& graph, const Plan& plan, std::size_t n,
                              NodeUse& use) const;
  /// @throws std::invalid_argument if a use of the parameter has no such method.
  void check_override(std::size_t index, const ParameterGradient& gradient) const;
  /// Whether the gradients of this graph may be taken while the backward pass is under way.
  bool may_stream(const Graph& graph, Plan& plan) const;
  /// Whether what flows into the plan's nodes can be seen on the way.
  static bool may_observe(const Graph& graph, const Plan& plan);
  struct PassOptions {
    bool release = false;  ///< frees what the graph has saved as the pass goes on
    /// What flows on from a node with `input_gradients` comes from these.
    bool own_input_gradients = false;
  };
  /// One backward pass: calls take(n, node n of the plan with what flows into it) for each, as soon
  /// as that is there.
  template <typename Take>
  void observe(const Graph& graph, const Plan& plan, const at::Tensor& losses,
               const at::Tensor& weights, PassOptions options, const Take& take) const;
  /// One backward pass that leaves the graph as it is: calls look(n, what flows into node n of the
  /// plan) for each, one after the other where that can be, so that not all of it is kept.
  template <typename Look>
  void look_at(const Graph& graph, const Plan& plan, const at::Tensor& losses,
               const at::Tensor& weights, const Look& look) const;
  /// The same as `capture` and `assemble`, each use as soon as its gradient is there: what flows
  /// into a use is freed where only the gradients of its samples are needed.
  /// @param check  another pass, from random signs, before: as `check_signs`.
  BatchGradients stream(const std::shared_ptr<const Graph>& graph, const Plan& plan,
                        const at::Tensor& losses, bool check, bool release,
                        const ParameterGroups& groups, const TakeGroup& take) const;
  /// Whether what has flowed has the types and shapes of the proved pass.
  static bool fits(const Plan& plan, const Captured& captured, std::int64_t batch);
  static bool node_fits(const Plan& plan, std::size_t n, const std::vector<at::Tensor>& incoming,
                        std::int64_t batch);
  /// The mappings under which no loss of a tested sample reaches another's row. Where there is
  /// none, it refuses, or leaves the candidates empty.
  Located locate(const Graph& graph, const Plan& plan, const Captured& captured,
                 const at::Tensor& losses, bool refuse) const;
  /// The mappings of the open nodes that have one, and whether this batch has decided them.
  std::pair<KnownMappings, bool> locate_open(const Graph& graph, const at::Tensor& losses) const;
  /// Finds the mappings of `plan` and checks the gradients that it gives. `for_good`: this batch
  /// has decided everything.
  BatchGradients prove(const std::shared_ptr<const Graph>& graph, Plan& plan,
                       const Captured& captured, const at::Tensor& losses, bool& for_good) const;
  /// Checks `input_gradients` against the nodes' own backward. False where that is not finite.
  bool prove_input_gradients(const Graph& graph, const Plan& plan, const Captured& captured,
                             std::int64_t batch) const;
  /// Lets what the uses' rules read be read from hooks during a pass.
  static void read_saved(const Graph& graph, const Plan& plan, SavedHookReader& reader);
  /// By how much of its norm a row may be off in a backward from random signs.
  static double allowed_by_signs(const Plan& plan, bool cuda);
  /// A backward from random signs: every row of everything must change by the sign of its own
  /// sample's loss, up to rounding. Another sample's loss that reaches it shows with probability
  /// 1/2.
  void check_signs(const Graph& graph, const Plan& plan, const Captured& captured,
                   const at::Tensor& losses) const;
  /// Whether it can have, as far as the graph shows.
  static bool may_fit(const Graph& graph, const Plan& plan, std::int64_t batch);
  [[noreturn]] void refuse_mixed(const Graph& graph, const Plan& plan, std::size_t node,
                                 const at::Tensor& grad, std::int64_t batch) const;
  std::string parameters_of(const Plan& plan, std::size_t node) const;

  std::vector<at::Tensor> parameters_;
  bool allow_slow_rules_;
  MemoryLimits limits_;
  MethodOverrides overrides_;
  std::unordered_map<std::string, std::vector<std::shared_ptr<Plan>>> plans_;
  std::vector<std::string> slow_nodes_;
  std::int64_t proofs_ = 0;
};

/// Checks that `losses` is a vector of losses with a graph.
/// @throws std::invalid_argument, naming `function`.
void check_losses(const char* function, const at::Tensor& losses);
/// The parameters that require grad, each once.
/// @throws std::invalid_argument, naming `function`.
std::vector<at::Tensor> check_parameters(const char* function,
                                         const std::vector<at::Tensor>& parameters);

}  // namespace velum::dpsgd::detail
