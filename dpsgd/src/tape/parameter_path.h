#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tape/graph.h"

namespace velum::dpsgd::detail {

/// What an edge of the graph leads to.
enum class Expression {
  kData,    ///< something that depends on a tensor that the tape cannot see: on data, maybe
  kView,    ///< a parameter, or a view or cast of one
  kGather,  ///< rows of a parameter by index, or a view of that: an activation or a position code
  kOpaque,  ///< computed from parameters alone
  kMasked,  ///< computed from parameters and, by addition or multiplication, from constants
};

/// Of every node of the graph.
std::vector<Expression> classify(const Graph& graph);

/// Whether an expression takes copies of something: its sizes may then hold the number of samples,
/// though it is computed from parameters alone.
bool repeats_below(const Graph& graph, GraphEdge from);
/// The first node on the way down that is no view.
std::int32_t below_views(const Graph& graph, GraphEdge from);

/// The way of a gradient from an operand of a node down to one leaf.
class ParameterPath {
 public:
  enum class Kind {
    kIdentity,    ///< the same elements in the same order, maybe in other sizes
    kRange,       ///< consecutive elements of the leaf, from `start`
    kInjective,   ///< each element of the leaf at most once, at `index`
    kGeneral,     ///< elements of the leaf repeatedly, at `index`
    kWeightNorm,  ///< by the chain rule of a weight norm, between views
    kOpaque,      ///< by the backwards of the nodes on the way, sample by sample
  };

  ParameterPath(const Graph& graph, GraphEdge from, std::int32_t leaf, Expression expression,
                const at::Tensor& parameter);
  /// Views alone, down to the output of `node`, which takes the place of the leaf.
  ParameterPath(const Graph& graph, GraphEdge from, std::int32_t node);

  std::int32_t leaf() const { return leaf_; }
  Kind kind() const { return kind_; }
  /// The node of a kWeightNorm path, of which `to_leaf` reads what it has saved; else -1.
  std::int32_t norm_node() const { return norm_node_; }
  /// Whether a gradient has the same norm at both ends.
  bool isometric() const { return kind_ <= Kind::kInjective; }
  /// Whether the two paths, to the same leaf, reach no common element. Only for isometric ones.
  bool disjoint(const ParameterPath& other) const;

  /// [n, *operand] to [n, *leaf], in the math type of the leaf. `graph` has the same signature as
  /// that of the constructor.
  at::Tensor to_leaf(const Graph& graph, const at::Tensor& grads) const;
  /// By how much the path multiplies the rounding of a gradient
  /// (`OperandGradient::rounding_scale`).
  double gain(const Graph& graph) const;

 private:
  bool trace_weight_norm(const Graph& graph, const at::Tensor& parameter);
  void trace(const Graph& graph, std::int32_t end);
  at::Tensor covered() const;  // [numel of the leaf] bool

  GraphEdge from_;
  std::int32_t leaf_ = -1;
  std::vector<std::int64_t> leaf_sizes_;
  at::TensorOptions leaf_options_;  // of the math type
  Kind kind_ = Kind::kIdentity;
  std::int64_t start_ = 0;
  std::int64_t length_ = 0;
  at::Tensor index_;  // [numel of the operand] int64, on the leaf's device
  // kWeightNorm: the node, its operand, and the views above and below.
  std::int32_t norm_node_ = -1;
  std::size_t norm_slot_ = 0;
  std::shared_ptr<const ParameterPath> above_, below_;
};

/// The leaves that are reached from an edge.
std::vector<std::int32_t> leaves_below(const Graph& graph, GraphEdge from);

}  // namespace velum::dpsgd::detail
