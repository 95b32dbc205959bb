#include "tape/saved_variables.h"

#include <ATen/SavedTensorHooks.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace velum::dpsgd::detail {
namespace {

namespace generated = torch::autograd::generated;
using torch::autograd::SavedVariable;

using Saved = std::vector<SavedVariable*>;

void append(SavedVariable& variable, Saved& saved) { saved.push_back(&variable); }
void append(std::vector<SavedVariable>& variables, Saved& saved) {
  for (SavedVariable& variable : variables) saved.push_back(&variable);
}

using Append = void (*)(AutogradNode&, Saved&);

const std::unordered_map<std::string_view, std::vector<Append>>& members() {
  static const std::unordered_map<std::string_view, std::vector<Append>> table = [] {
    std::unordered_map<std::string_view, std::vector<Append>> result;
#define VELUM_SAVED(Node, member)                                       \
  result[#Node].push_back([](AutogradNode& function, Saved& saved) {    \
    if (auto* const node = dynamic_cast<generated::Node*>(&function)) { \
      append(node->member, saved);                                      \
    }                                                                   \
  });
#include "autograd_saved_variables.inc"  // VELUM_SAVED(Node, member) for all of this torch
#undef VELUM_SAVED
    return result;
  }();
  return table;
}

Saved saved_behind_hooks(AutogradNode& function) {
  Saved saved;
  const auto found = members().find(function.name());
  if (found == members().end()) return saved;
  for (const Append member : found->second) member(function, saved);
  std::erase_if(saved, [](const SavedVariable* variable) { return !variable->has_hooks(); });
  return saved;
}

/// Saving a tensor hands it to no hooks while this lives.
class NoDefaultHooks {
 public:
  NoDefaultHooks() : before_(at::SavedTensorDefaultHooks::get_tls_state()) {
    at::SavedTensorDefaultHooks::set_tls_state({});
  }
  ~NoDefaultHooks() { at::SavedTensorDefaultHooks::set_tls_state(before_); }
  NoDefaultHooks(const NoDefaultHooks&) = delete;
  NoDefaultHooks& operator=(const NoDefaultHooks&) = delete;

 private:
  at::impl::SavedTensorDefaultHooksTLS before_;
};

class ReadSavedHooks final : public torch::autograd::FunctionPreHook {
 public:
  explicit ReadSavedHooks(std::shared_ptr<AutogradNode> function)
      : function_(std::move(function)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& grads) override {
    for (SavedVariable* const variable : saved_behind_hooks(*function_)) {
      const at::Tensor value = variable->unpack(function_);
      const NoDefaultHooks no_hooks;
      *variable = SavedVariable(value, value.grad_fn() == function_);
    }
    return grads;
  }

 private:
  std::shared_ptr<AutogradNode> function_;
};

}  // namespace

bool has_saved_hooks(const AutogradNode& function) {
  return !saved_behind_hooks(const_cast<AutogradNode&>(function)).empty();
}

SavedHookReader::~SavedHookReader() {
  for (const auto& [node, hook] : added_) {
    // Torch shows them only as const.
    auto& hooks = const_cast<std::vector<std::unique_ptr<torch::autograd::FunctionPreHook>>&>(
        node->tensor_pre_hooks());
    const auto* const own = hook;
    std::erase_if(hooks, [own](const auto& other) { return other.get() == own; });
  }
}

void SavedHookReader::read_with(const std::shared_ptr<AutogradNode>& node,
                                const std::shared_ptr<AutogradNode>& function) {
  if (!has_saved_hooks(*function)) return;
  auto hook = std::make_unique<ReadSavedHooks>(function);
  added_.emplace_back(node, hook.get());
  node->add_tensor_pre_hook(std::move(hook));
}

}  // namespace velum::dpsgd::detail
