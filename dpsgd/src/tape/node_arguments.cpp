#include "tape/node_arguments.h"

#include <torch/csrc/autograd/functions/tensor.h>
#include <torch/csrc/autograd/generated/Functions.h>

#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "tape/graph.h"

namespace velum::dpsgd::detail {
namespace {

namespace generated = torch::autograd::generated;

/// Takes a node's members, each by its type: what is a symbolic size may depend on the batch.
class Reader {
 public:
  Reader(std::string& signature, std::vector<std::int64_t>& extents)
      : signature_(signature), extents_(extents) {}

  void take(std::int64_t value) { append(value); }
  void take(bool value) { append(value); }
  void take(const c10::SymInt& value) { extents_.push_back(value.guard_int(__FILE__, __LINE__)); }
  template <typename T>
  void take(const std::vector<T>& values) {
    append(values.size());
    for (const auto& value : values) take(static_cast<const T&>(value));
  }
  void take(const std::vector<c10::SymInt>& values) { take(c10::SymIntArrayRef(values)); }
  void take(c10::SymIntArrayRef values) {
    append(values.size());
    for (const c10::SymInt& value : values) take(value);
  }
  template <typename T>
  void take(const std::optional<T>& value) {
    append(value.has_value());
    if (value.has_value()) take(*value);
  }
  template <typename T>
  void take(const c10::OptionalArray<T>& values) {
    take(values.list);
  }
  void take(const at::TensorGeometry& geometry) {
    take(geometry.sym_sizes());
    take(geometry.sym_strides());
    take(geometry.sym_storage_offset());
  }

 private:
  template <typename T>
  void append(T value) {
    signature_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string& signature_;
  std::vector<std::int64_t>& extents_;
};

// Every member name under which torch's operations keep such a number. Scalars (factors, exponents)
// move nothing and may change from step to step; tensors (indices) are data.
#define VELUM_FOR_EACH_POSITIONAL_MEMBER(take)                                                    \
  take(axis) take(ceil_mode) take(chunks) take(diagonal) take(dilation) take(dim) take(dim0)      \
      take(dim1) take(dim2) take(dimension) take(dims) take(end) take(group) take(groups)         \
          take(index) take(keepdim) take(kernel_size) take(n) take(normalized_shape) take(offset) \
              take(output_padding) take(output_size) take(pad) take(padding) take(repeats)        \
                  take(reverse) take(self_dim) take(shifts) take(size) take(source_dim)           \
                      take(split_size) take(split_sizes) take(start) take(step)                   \
                          take(storage_offset) take(stride) take(sumdim) take(transposed)

template <typename Node>
void read(const AutogradNode& function, Reader& reader) {
  const auto& node = static_cast<const Node&>(function);
#define VELUM_TAKE(member) \
  if constexpr (requires { reader.take(node.member); }) reader.take(node.member);
  VELUM_FOR_EACH_POSITIONAL_MEMBER(VELUM_TAKE)
#undef VELUM_TAKE
}

template <typename Node>
constexpr bool has_positional_member() {
#define VELUM_HAS(member)                                                                 \
  if constexpr (requires(const Node& node, Reader& reader) { reader.take(node.member); }) \
    return true;
  VELUM_FOR_EACH_POSITIONAL_MEMBER(VELUM_HAS)
#undef VELUM_HAS
  return false;
}

using Read = void (*)(const AutogradNode&, Reader&);

const std::unordered_map<std::string_view, Read>& readers() {
  static const std::unordered_map<std::string_view, Read> table = [] {
    std::unordered_map<std::string_view, Read> result;
#define VELUM_NODE(Node)                                  \
  if constexpr (has_positional_member<generated::Node>()) \
    result.emplace(#Node, read<generated::Node>);
#include "autograd_nodes.inc"  // VELUM_NODE(Name) for every operation of this torch
#undef VELUM_NODE
    return result;
  }();
  return table;
}

}  // namespace

bool is_operation(const std::string& name) {
  static const std::unordered_set<std::string_view> names{
#define VELUM_NODE(Node) #Node,
#include "autograd_nodes.inc"
#undef VELUM_NODE
  };
  return names.contains(name);
}

void append_arguments(const GraphNode& node, std::string& signature,
                      std::vector<std::int64_t>& extents) {
  if (node.leaf >= 0) return;
  Reader reader(signature, extents);
  for (std::uint32_t nr = 0; nr < node.function->num_inputs(); ++nr) {
    const torch::autograd::InputMetadata& result = node.function->input_metadata(nr);
    if (!result.is_nested_tensor()) reader.take(result.shape_as_dim_vector());
  }
  if (const auto found = readers().find(node.name); found != readers().end()) {
    found->second(*node.function, reader);
  } else if (const auto* slices =
                 dynamic_cast<const torch::autograd::CopySlices*>(node.function.get())) {
    reader.take(slices->base);
    reader.take(slices->view);
  }
}

}  // namespace velum::dpsgd::detail
