#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tape/graph.h"
#include "tape/operand_gradient.h"
#include "tape/parameter_path.h"
#include "tape/row_mapping.h"

namespace velum::dpsgd::detail {

/// What an input of an operation may be for its rule.
enum class SlotKind {
  kData,       ///< no rule: an activation, or a parameter in an operation that has none
  kWeight,     ///< a parameter, or an expression of parameters alone
  kLeft,       ///< as kWeight, unless the other factor of the product is one
  kBroadcast,  ///< as kWeight if it is broadcast over samples, else an activation
};

SlotKind slot_kind(const std::string& node_name, std::size_t slot);
/// The slot of the other factor, for kLeft.
std::size_t other_factor(const std::string& node_name);

/// Whether the operation's weights hold a copy for every sample where they are repeated: then the
/// repetition is the use.
bool takes_copies(const std::string& node_name);

/// @throws std::invalid_argument if the operation mixes samples, whatever its inputs.
void refuse_mixing(const GraphNode& node);

/// A node in one backward pass: what flows into it, and where the samples are. Its operands share
/// what they have in common.
struct NodeUse {
  const GraphNode* node = nullptr;
  std::vector<at::Tensor> grads;     // one per output of the operation; undefined: zero
  std::vector<RowMapping> mappings;  // of each

  MemoryLimits limits;

  std::shared_ptr<const SampleRows> input_rows, grad_rows;
  // Of a recurrent layer.
  std::shared_ptr<const SampleRows> hidden_rows;
  at::Tensor gate_sums;   // [batch, gates]: over all steps
  at::Tensor cell_grads;  // [rows, hidden]: what flows into the first cell
  std::shared_ptr<ConvGradient> conv;
  std::pair<at::Tensor, at::Tensor> affine;  // of a normalisation: scale and shift, [batch, ..]
};

/// The gradient of every sample with respect to operand `slot`, of sizes `operand_sizes`; with
/// `transposed` that of its transpose. Null if there is no rule for such a mapping of samples.
std::shared_ptr<OperandGradient> rule_gradient(NodeUse& use, std::size_t slot,
                                               at::IntArrayRef operand_sizes, bool transposed);

/// Whether `input_gradients` knows the operation. Its own backward gives the same up to rounding,
/// but not what the rule needs, which gives it at little more cost.
bool gives_input_gradients(const GraphNode& node);
/// What flows out of the operation, one for each of its edges; undefined where that is not wanted,
/// where nothing flows in, and into operands that the rule knows.
std::vector<at::Tensor> input_gradients(NodeUse& use, const std::vector<bool>& wanted);
/// Whether these are, for every sample, what the operation's own backward has given, up to rounding
/// by `roundoff`; nothing where that is not finite.
std::optional<bool> input_gradients_agree(NodeUse& use, const std::vector<at::Tensor>& own,
                                          double roundoff);

/// Frees what the operation has saved for nothing but its own backward, which is not called any
/// more.
void release_unread(const GraphNode& node);

/// Whether `lookup_gradient` knows the operation.
bool is_lookup(const std::string& node_name);
/// The gradient of every sample with respect to the table of a lookup whose indices all samples
/// share. `looked_up` is that with respect to a view of what was looked up, `path` this view.
std::shared_ptr<OperandGradient> lookup_gradient(const Graph& graph, const GraphNode& lookup,
                                                 const ParameterPath& path,
                                                 const std::shared_ptr<OperandGradient>& looked_up);

}  // namespace velum::dpsgd::detail
