#pragma once

#include <torch/csrc/autograd/function_hook.h>

#include <memory>
#include <utility>
#include <vector>

#include "tape/graph.h"

namespace velum::dpsgd::detail {

/// Whether an operation of torch has saved a tensor behind hooks, as checkpointing and offloading
/// do. Custom functions keep theirs to themselves and count as having none.
bool has_saved_hooks(const AutogradNode& function);

/// Asks hooks for what operations have saved, as the gradient arrives at a node, as long as this
/// object lives: each once, and what it gives is saved in place of the hook. A checkpoint computes
/// its region again for every backward pass that asks, and gives a tensor once per pass. So it is
/// asked in a pass that asks anyway, and before the operation's own backward does.
class SavedHookReader {
 public:
  SavedHookReader() = default;
  ~SavedHookReader();
  SavedHookReader(const SavedHookReader&) = delete;
  SavedHookReader& operator=(const SavedHookReader&) = delete;

  /// Reads what `function` has saved when the gradient arrives at `node`, if it is behind hooks.
  void read_with(const std::shared_ptr<AutogradNode>& node,
                 const std::shared_ptr<AutogradNode>& function);

 private:
  std::vector<std::pair<std::shared_ptr<AutogradNode>, const torch::autograd::FunctionPreHook*>>
      added_;
};

}  // namespace velum::dpsgd::detail
