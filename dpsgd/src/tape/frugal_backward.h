#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "tape/graph.h"

namespace velum::dpsgd::detail {

/// Whether `frugal_backward` knows the operation and may take the place of its own backward:
/// softmax, relu and batched products on the CPU, that no hook watches.
bool has_frugal_backward(const GraphNode& node);

/// What the operation's own backward gives from `grads`, to the bit, in less memory: what it has
/// saved is freed, and what flows in overwritten, as soon as nothing else needs it. So it is for a
/// pass that may use up the graph, and the operation's own backward must not be called after it.
/// A softmax over T x T scores needs two such matrices instead of three.
///
/// @param grads   one for each output; undefined: zero. Overwritten only where nobody else holds
///                the tensor or its memory.
/// @param wanted  which of the node's edges something flows on to.
/// @return        one for each edge; undefined where it is not wanted or nothing flows in.
std::vector<at::Tensor> frugal_backward(const GraphNode& node, const std::vector<at::Tensor>& grads,
                                        const std::vector<bool>& wanted);

}  // namespace velum::dpsgd::detail
