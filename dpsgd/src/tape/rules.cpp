// The only translation unit that sees the definitions of libtorch's autograd nodes.
#include "tape/rules.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/generated/Functions.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "norm/norm_affine_gradients.h"
#include "tape/lstm_layer.h"
#include "tape/node_views.h"

namespace velum::dpsgd::detail {
namespace {

namespace generated = torch::autograd::generated;
using torch::autograd::SavedVariable;

std::int64_t to_int(const c10::SymInt& value) { return value.guard_int(__FILE__, __LINE__); }

std::vector<std::int64_t> to_ints(const std::vector<c10::SymInt>& values) {
  std::vector<std::int64_t> result;
  result.reserve(values.size());
  for (const c10::SymInt& value : values) result.push_back(to_int(value));
  return result;
}

template <typename Node>
const Node* as(const GraphNode& node) {
  return dynamic_cast<const Node*>(node.function.get());
}

/// Half precision is computed in float32.
at::Tensor in_math_type(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  return type == at::kFloat || type == at::kDouble ? tensor : tensor.to(at::kFloat);
}

at::Tensor saved(const GraphNode& node, const SavedVariable& variable) {
  const at::Tensor tensor = variable.unpack(node.function);
  return tensor.defined() ? in_math_type(tensor.detach()) : tensor;
}

bool is_one(const at::Scalar& scalar) { return scalar.to<double>() == 1.0; }

// Views

using ViewKind = ViewStep::Kind;

const std::unordered_map<std::string_view, ViewKind>& view_kinds() {
  static const std::unordered_map<std::string_view, ViewKind> kinds{
      {"ViewBackward0", ViewKind::kReshape},          {"ReshapeAliasBackward0", ViewKind::kReshape},
      {"UnsafeViewBackward0", ViewKind::kReshape},    {"UnsqueezeBackward0", ViewKind::kReshape},
      {"SqueezeBackward0", ViewKind::kReshape},       {"SqueezeBackward1", ViewKind::kReshape},
      {"SqueezeBackward2", ViewKind::kReshape},       {"AliasBackward0", ViewKind::kReshape},
      {"CloneBackward0", ViewKind::kReshape},         {"ToCopyBackward0", ViewKind::kCast},
      {"ExpandBackward0", ViewKind::kExpand},         {"TBackward0", ViewKind::kTranspose},
      {"TransposeBackward0", ViewKind::kTranspose},   {"PermuteBackward0", ViewKind::kPermute},
      {"SliceBackward0", ViewKind::kNarrow},          {"SplitBackward0", ViewKind::kNarrow},
      {"SplitWithSizesBackward0", ViewKind::kNarrow}, {"UnbindBackward0", ViewKind::kSelect},
      {"SelectBackward0", ViewKind::kSelect},
  };
  return kinds;
}

std::int64_t wrapped(std::int64_t dim, std::int64_t dims) { return dim < 0 ? dim + dims : dim; }

}  // namespace

bool is_view(const std::string& name) { return view_kinds().contains(name); }

std::optional<ViewStep> read_view(const GraphNode& node, std::uint32_t input_nr) {
  const auto found = view_kinds().find(node.name);
  if (found == view_kinds().end()) return std::nullopt;
  ViewStep step{found->second, {}};
  if (node.name == "TBackward0") {
    step.arguments = {0, 1};
  } else if (const auto* transpose = as<generated::TransposeBackward0>(node)) {
    step.arguments = {transpose->dim0, transpose->dim1};
  } else if (const auto* permute = as<generated::PermuteBackward0>(node)) {
    step.arguments = permute->dims;
  } else if (const auto* slice = as<generated::SliceBackward0>(node)) {
    const std::vector<std::int64_t> sizes = to_ints(slice->self_sym_sizes);
    const std::int64_t dim = wrapped(slice->dim, static_cast<std::int64_t>(sizes.size()));
    const std::int64_t size = sizes[static_cast<std::size_t>(dim)];
    const auto clamp = [&](const std::optional<c10::SymInt>& value, std::int64_t fallback) {
      if (!value.has_value()) return fallback;
      const std::int64_t index = to_int(*value);
      return std::clamp<std::int64_t>(index < 0 ? index + size : index, 0, size);
    };
    const std::int64_t start = clamp(slice->start, 0), stride = to_int(slice->step);
    const std::int64_t end = std::max(start, clamp(slice->end, size));
    step.arguments = {dim, start, stride, (end - start + stride - 1) / stride};
  } else if (const auto* split = as<generated::SplitBackward0>(node)) {
    const std::vector<std::int64_t> sizes = to_ints(split->self_sym_sizes);
    const std::int64_t dim = wrapped(split->dim, static_cast<std::int64_t>(sizes.size()));
    const std::int64_t each = to_int(split->split_size);
    const std::int64_t start = each * input_nr;
    step.arguments = {dim, start, 1, std::min(each, sizes[static_cast<std::size_t>(dim)] - start)};
  } else if (const auto* parts = as<generated::SplitWithSizesBackward0>(node)) {
    const std::vector<std::int64_t> lengths = to_ints(parts->split_sizes);
    const std::int64_t dim =
        wrapped(parts->dim, static_cast<std::int64_t>(parts->self_sym_sizes.size()));
    std::int64_t start = 0;
    for (std::uint32_t i = 0; i < input_nr; ++i) start += lengths[i];
    step.arguments = {dim, start, 1, lengths[input_nr]};
  } else if (const auto* unbind = as<generated::UnbindBackward0>(node)) {
    step.arguments = {unbind->dim, static_cast<std::int64_t>(input_nr)};
  } else if (const auto* select = as<generated::SelectBackward0>(node)) {
    const auto dims = static_cast<std::int64_t>(select->self_sym_sizes.size());
    const std::int64_t dim = wrapped(select->dim, dims);
    step.arguments = {dim, wrapped(to_int(select->index),
                                   to_int(select->self_sym_sizes[static_cast<std::size_t>(dim)]))};
  }
  return step;
}

at::Tensor apply_view(const ViewStep& step, const at::Tensor& input, at::IntArrayRef output_sizes) {
  const auto& a = step.arguments;
  switch (step.kind) {
    case ViewKind::kReshape:
      return input.reshape(output_sizes);
    case ViewKind::kCast:
      return input;
    case ViewKind::kExpand:
      return input.expand(output_sizes);
    case ViewKind::kTranspose:
      return input.dim() < 2 ? input : input.transpose(a[0], a[1]);
    case ViewKind::kPermute:
      return input.permute(a);
    case ViewKind::kNarrow:
      return input.slice(a[0], a[1], a[1] + a[2] * a[3], a[2]).narrow(a[0], 0, a[3]);
    case ViewKind::kSelect:
      return input.select(a[0], a[1]);
  }
  throw std::logic_error("apply_view: unknown kind");
}

bool is_weight_norm(const std::string& name) { return name == "WeightNormInterfaceBackward0"; }

namespace {

/// Sums all dimensions but the first and those in which `like` is not 1.
at::Tensor sum_to(const at::Tensor& tensor, const at::Tensor& like) {
  std::vector<std::int64_t> summed;
  for (std::int64_t d = 0; d < like.dim(); ++d) {
    if (like.size(d) == 1) summed.push_back(d + 1);
  }
  return summed.empty() ? tensor : tensor.sum(summed, /*keepdim=*/true);
}

}  // namespace

at::Tensor weight_norm_gradient(const GraphNode& graph_node, std::size_t slot,
                                const at::Tensor& grads) {
  const auto& node = *as<generated::WeightNormInterfaceBackward0>(graph_node);
  const at::Tensor g = saved(graph_node, node.g_), v = saved(graph_node, node.v_),
                   norms = saved(graph_node, node.result1_).to(v.scalar_type()).view(g.sizes());
  const at::Tensor direction = v.div(norms);
  const at::Tensor along = sum_to(grads.mul(direction), g);  // [n, *g]
  if (slot == 1) return along;
  return grads.sub(along.mul(direction)).mul(g.div(norms));
}

double weight_norm_gain(const GraphNode& graph_node, std::size_t slot) {
  const auto& node = *as<generated::WeightNormInterfaceBackward0>(graph_node);
  const at::Tensor g = saved(graph_node, node.g_), v = saved(graph_node, node.v_),
                   norms = saved(graph_node, node.result1_).view(g.sizes());
  // What a rounding of w's gradient becomes, and as many roundings again as terms are summed here;
  // the gradient's own scale is at least 8 roundings of it.
  const double terms = static_cast<double>(v.numel()) / static_cast<double>(g.numel());
  const double stretch = slot == 1 ? 1.0 : g.div(norms).abs().max().item<double>();
  return stretch * (2 + terms / 8);
}

namespace {

/// InstanceNorm gives batch_norm one row [1, B C, ..] with a copy of its weights for every sample,
/// and no running statistics unless it is to keep them.
bool is_instance_norm(const torch::autograd::Node& node) {
  const auto sizes = node.input_metadata(0).shape_as_dim_vector();
  if (sizes.size() < 3 || to_int(sizes[0]) != 1) return false;
  const auto& input = node.next_edge(0).function;
  if (const auto* view = dynamic_cast<const generated::ViewBackward0*>(input.get())) {
    const std::vector<std::int64_t> from = to_ints(view->self_sym_sizes);
    return from.size() == sizes.size() && from[0] * from[1] == to_int(sizes[1]);
  }
  const auto& weight = node.next_edge(1).function;
  return weight != nullptr && weight->name() == "RepeatBackward0";
}

}  // namespace

void refuse_mixing(const GraphNode& node) {
  if (node.name.find("BatchNorm") == std::string::npos) return;
  if (const auto* native = as<generated::NativeBatchNormBackward0>(node)) {
    if (!native->training) return;
    if (is_instance_norm(*native)) {
      if (!native->running_mean_.unpack().defined()) return;
      throw std::invalid_argument(
          "tape: " + node.name +
          " of an InstanceNorm in training mode keeps running statistics of the samples, which are "
          "neither clipped nor noised; use it without track_running_stats, or GroupNorm(C, C), or "
          "put the module into evaluation mode");
    }
  } else if (node.name == "NativeBatchNormLegitNoTrainingBackward0") {
    return;
  } else if (const auto* cudnn = as<generated::CudnnBatchNormBackward0>(node)) {
    if (!cudnn->training) return;
  }
  throw std::invalid_argument(
      "tape: " + node.name +
      " normalises over the batch, so one sample's loss depends on the others; use GroupNorm "
      "(or LayerNorm) instead of BatchNorm, GroupNorm(C, C) instead of InstanceNorm, or put the "
      "module into evaluation mode");
}

namespace {

// Rules. Each takes the node's incoming gradient as G, whose dimension `mapping.dim` holds the
// samples, and gives g_b or null.

using Gradient = std::shared_ptr<OperandGradient>;
using Rule = Gradient (*)(NodeUse&, std::size_t slot, at::IntArrayRef sizes, bool transposed);

at::Tensor incoming(const NodeUse& use) { return in_math_type(use.grads.front()); }
const RowMapping& mapping_of(const NodeUse& use) { return use.mappings.front(); }

double sample_norm(const at::Tensor& tensor, const RowMapping& mapping, std::int64_t sample) {
  return mapping.samples_first(tensor)
      .select(0, sample)
      .to(at::kDouble)
      .square()
      .sum()
      .sqrt()
      .item<double>();
}

/// Sums G over everything but the samples and the operand's own dimensions. `other` is what G was
/// multiplied by on the way (or undefined), for the rounding bound.
Gradient broadcast_gradient(const at::Tensor& grad, const RowMapping& mapping,
                            at::IntArrayRef sizes, const at::Tensor& source,
                            const at::Tensor& other) {
  const auto missing = grad.dim() - static_cast<std::int64_t>(sizes.size());
  if (missing < 0) return nullptr;
  std::vector<std::int64_t> summed;
  double terms = 1;
  for (std::int64_t d = 0; d < grad.dim(); ++d) {
    const std::int64_t operand = d < missing ? 1 : sizes[static_cast<std::size_t>(d - missing)];
    if (d == mapping.dim) {
      if (operand != 1) return nullptr;
      summed.push_back(d + 1);
      terms *= static_cast<double>(mapping.steps());
    } else if (operand == 1) {
      summed.push_back(d + 1);
      terms *= static_cast<double>(grad.size(d));
    } else if (operand != grad.size(d)) {
      return nullptr;
    }
  }
  std::vector<std::int64_t> result{mapping.batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  const at::Tensor samples = mapping.samples_first(grad);
  const at::Tensor per_sample =
      (terms > 1 ? samples.sum(summed) : samples).reshape(result).contiguous();
  return std::make_shared<MaterialisedGradient>(per_sample, [source, other, mapping,
                                                             terms](std::int64_t sample) {
    const double factor =
        other.defined() ? sample_norm(other.expand_as(source), mapping, sample) : std::sqrt(terms);
    return (terms + 8) * sample_norm(source, mapping, sample) * factor;
  });
}

/// [.., width] as rows, the samples in dimension `mapping.dim` of the other dimensions.
std::shared_ptr<const SampleRows> rows_of(const at::Tensor& tensor, const RowMapping& mapping) {
  const std::int64_t width = tensor.size(-1);
  if (tensor.dim() == 2 && mapping.dim == 0) {
    return std::make_shared<const SampleRows>(tensor, mapping);
  }
  const at::Tensor rows = mapping.samples_first(tensor).reshape({-1, width});
  return std::make_shared<const SampleRows>(
      rows, RowMapping{0, 1, mapping.batch, rows.size(0) / mapping.batch});
}

/// out[.., p] = input[.., d] x weight: the two operands that share the rows.
Gradient linear_weight(NodeUse& use, const at::Tensor& input, const at::Tensor& grad,
                       const RowMapping& mapping, bool inputs_first) {
  if (mapping.dim == grad.dim() - 1) return nullptr;
  if (use.grad_rows == nullptr) use.grad_rows = rows_of(grad, mapping);
  if (use.input_rows == nullptr) use.input_rows = rows_of(input, mapping);
  return std::make_shared<LinearGradient>(use.input_rows, use.grad_rows, inputs_first, use.limits);
}

Gradient linear_bias(NodeUse& use, const at::Tensor& grad, const RowMapping& mapping,
                     at::IntArrayRef sizes) {
  const bool along_last = !sizes.empty() && sizes.back() == grad.size(-1) &&
                          c10::multiply_integers(sizes) == grad.size(-1);
  if (along_last && mapping.dim != grad.dim() - 1) {
    if (use.grad_rows == nullptr) use.grad_rows = rows_of(grad, mapping);
    if (use.grad_rows->mapping.steps() == 1) {
      return std::make_shared<RowGradient>(use.grad_rows, sizes.vec());
    }
  }
  return broadcast_gradient(grad, mapping, sizes, grad, {});
}

/// left [m, k] x right [k, n], G [m, n]: the operand on the right (samples along m) or on the left
/// (samples along n).
Gradient matrix_product(NodeUse& use, bool right_operand, const at::Tensor& other,
                        const at::Tensor& grad, bool transposed) {
  const RowMapping mapping = mapping_of(use);
  if (right_operand) {
    if (mapping.dim != 0) return nullptr;
    return linear_weight(use, other, grad, mapping, !transposed);
  }
  if (mapping.dim != 1) return nullptr;
  RowMapping rows = mapping;
  rows.dim = 0;
  return std::make_shared<LinearGradient>(std::make_shared<const SampleRows>(other.t(), rows),
                                          std::make_shared<const SampleRows>(grad.t(), rows),
                                          transposed, use.limits);
}

Gradient addmm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool transposed) {
  const auto& node = *as<generated::AddmmBackward0>(*use.node);
  const at::Tensor grad = incoming(use);
  if (slot == 0) {
    if (is_one(node.beta) && is_one(node.alpha)) {
      return linear_bias(use, grad, mapping_of(use), sizes);
    }
    const at::Tensor scaled = grad.mul(node.beta);
    return broadcast_gradient(scaled, mapping_of(use), sizes, scaled, {});
  }
  at::Tensor other = saved(*use.node, slot == 2 ? node.mat1_ : node.mat2_);
  if (!is_one(node.alpha)) other = other.mul(node.alpha);
  return matrix_product(use, slot == 2, other, grad, transposed);
}

Gradient mm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef /*sizes*/, bool transposed) {
  const auto& node = *as<generated::MmBackward0>(*use.node);
  return matrix_product(use, slot == 1, saved(*use.node, slot == 1 ? node.self_ : node.mat2_),
                        incoming(use), transposed);
}

Gradient mv_rule(NodeUse& use, std::size_t slot, at::IntArrayRef /*sizes*/, bool /*transposed*/) {
  const auto& node = *as<generated::MvBackward0>(*use.node);
  if (slot != 1) return nullptr;
  return linear_weight(use, saved(*use.node, node.self_), incoming(use).unsqueeze(1),
                       mapping_of(use), /*inputs_first=*/false);
}

Gradient linear_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool transposed) {
  const auto& node = *as<generated::LinearBackward0>(*use.node);
  const at::Tensor grad = incoming(use);
  if (grad.dim() < 2) return nullptr;
  if (slot == 2) return linear_bias(use, grad, mapping_of(use), sizes);
  return linear_weight(use, saved(*use.node, node.input_), grad, mapping_of(use), transposed);
}

/// left [n, a, b] x right [n, b, c], G [n, a, c].
Gradient batched_product(NodeUse& use, bool right_operand, at::Tensor other, at::Tensor grad,
                         bool transposed) {
  RowMapping mapping = mapping_of(use);
  if (!right_operand) {
    if (mapping.dim != 2) return nullptr;
    other = other.transpose(1, 2);
    grad = grad.transpose(1, 2);
    mapping.dim = 1;
  } else if (mapping.dim != 1) {
    return nullptr;
  }
  // other [n, rows, inputs], grad [n, rows, outputs], samples along the rows.
  const at::Tensor inputs = mapping.samples_first(other);  // [batch, n, steps, inputs]
  const at::Tensor grads = mapping.samples_first(grad);
  const bool inputs_first = right_operand != transposed;
  const at::Tensor per_sample = inputs_first ? at::matmul(inputs.transpose(2, 3), grads)
                                             : at::matmul(grads.transpose(2, 3), inputs);
  return std::make_shared<MaterialisedGradient>(
      per_sample, [other, grad, mapping](std::int64_t sample) {
        return (static_cast<double>(mapping.steps()) + 8) * sample_norm(other, mapping, sample) *
               sample_norm(grad, mapping, sample);
      });
}

Gradient bmm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef /*sizes*/, bool transposed) {
  const auto& node = *as<generated::BmmBackward0>(*use.node);
  return batched_product(use, slot == 1, saved(*use.node, slot == 1 ? node.self_ : node.mat2_),
                         incoming(use), transposed);
}

Gradient baddbmm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool transposed) {
  const auto& node = *as<generated::BaddbmmBackward0>(*use.node);
  if (slot == 0) {
    const at::Tensor scaled = is_one(node.beta) ? incoming(use) : incoming(use).mul(node.beta);
    return broadcast_gradient(scaled, mapping_of(use), sizes, scaled, {});
  }
  at::Tensor other = saved(*use.node, slot == 2 ? node.batch1_ : node.batch2_);
  if (!is_one(node.alpha)) other = other.mul(node.alpha);
  return batched_product(use, slot == 2, other, incoming(use), transposed);
}

/// Several volumes per sample, each by itself and then summed.
Gradient volumes_of_samples(const NodeUse& use, const at::Tensor& input, const at::Tensor& grad,
                            at::IntArrayRef sizes, const ConvGeometry& geometry, bool transposed) {
  const RowMapping mapping = mapping_of(use);
  const auto by_sample = [&](const at::Tensor& volumes) {
    return mapping.samples_first(volumes).flatten(0, 1);  // [batch * steps, channels, ..]
  };
  const at::Tensor left = by_sample(transposed ? grad : input),
                   right = by_sample(transposed ? input : grad);
  std::vector<std::int64_t> result{mapping.batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  const at::Tensor per_sample = at::empty(result, grad.options());
  const std::int64_t steps = mapping.steps();
  const std::int64_t bytes =
      c10::multiply_integers(sizes) * steps * static_cast<std::int64_t>(grad.element_size());
  const std::int64_t chunk = std::max<std::int64_t>(1, use.limits.chunk_bytes / bytes);
  for (std::int64_t begin = 0; begin < mapping.batch; begin += chunk) {
    const std::int64_t count = std::min(chunk, mapping.batch - begin);
    const at::Tensor parts = per_sample_conv_weight_gradients(
        left.narrow(0, begin * steps, count * steps), right.narrow(0, begin * steps, count * steps),
        sizes.vec(), geometry);
    result.front() = steps;
    result.insert(result.begin(), count);
    per_sample.narrow(0, begin, count).copy_(parts.view(result).sum(1));
    result.erase(result.begin());
  }
  const double kernel = static_cast<double>(c10::multiply_integers(sizes.slice(2)));
  const double positions =
      static_cast<double>(right.numel()) / static_cast<double>(mapping.batch * right.size(1));
  return std::make_shared<MaterialisedGradient>(
      per_sample, [input, grad, mapping, kernel, positions](std::int64_t sample) {
        return (positions + 8) * std::sqrt(kernel) * sample_norm(input, mapping, sample) *
               sample_norm(grad, mapping, sample);
      });
}

Gradient convolution_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes,
                          bool /*transposed*/) {
  const auto& node = *as<generated::ConvolutionBackward0>(*use.node);
  const RowMapping& mapping = mapping_of(use);
  if (mapping.dim != 0) return nullptr;
  at::Tensor grad = incoming(use);
  if (slot == 2) {
    if (use.conv == nullptr || node.transposed) {
      std::vector<std::int64_t> channels(static_cast<std::size_t>(grad.dim()) - 1, 1);
      channels.front() = grad.size(1);
      return broadcast_gradient(grad, mapping, channels, grad, {});
    }
    return std::make_shared<MaterialisedGradient>(
        use.conv->bias_gradients(), [grad, mapping](std::int64_t sample) {
          const std::int64_t positions = grad.numel() / (grad.size(1) * mapping.batch);
          const auto terms = static_cast<double>(positions);
          return (terms + 8) * std::sqrt(terms) * sample_norm(grad, mapping, sample);
        });
  }
  at::Tensor input = saved(*use.node, node.input_);
  const auto dims = static_cast<std::size_t>(grad.dim()) - 2;
  const auto spatial = [&](const std::vector<c10::SymInt>& values) {
    std::vector<std::int64_t> result = to_ints(values);
    if (result.size() == 1) result.resize(dims, result.front());
    return result;
  };
  ConvGeometry geometry{spatial(node.stride), spatial(node.padding), spatial(node.dilation),
                        to_int(node.groups)};
  std::vector<std::int64_t> weight_sizes = sizes.vec();
  if (mapping.steps() > 1) {
    if (dims == 3) return volumes_of_samples(use, input, grad, sizes, geometry, node.transposed);
    // Several images per sample are one image with another dimension, in which the kernel is 1.
    const auto stack = [&](const at::Tensor& images) {
      return mapping.samples_first(images).transpose(1, 2);  // [batch, channels, steps, ..]
    };
    input = stack(input);
    grad = stack(grad);
    weight_sizes.insert(weight_sizes.begin() + 2, 1);
    geometry.stride.insert(geometry.stride.begin(), 1);
    geometry.padding.insert(geometry.padding.begin(), 0);
    geometry.dilation.insert(geometry.dilation.begin(), 1);
  }
  if (node.transposed) std::swap(input, grad);
  use.conv =
      std::make_shared<ConvGradient>(std::move(input), std::move(grad), std::move(weight_sizes),
                                     std::move(geometry), use.limits, mapping.steps());
  return use.conv;
}

/// Operand 1 is the scale, operand 2 the shift. `absolute` gives bounds on what G is multiplied by.
template <typename Absolute>
Gradient affine_operand(const NodeUse& use, std::size_t slot, at::IntArrayRef sizes,
                        Absolute absolute) {
  std::vector<std::int64_t> result{mapping_of(use).batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  const at::Tensor grad = incoming(use);
  const RowMapping mapping = mapping_of(use);
  const double terms = static_cast<double>(grad.numel()) /
                       static_cast<double>(mapping.batch * c10::multiply_integers(sizes));
  return std::make_shared<MaterialisedGradient>(
      (slot == 1 ? use.affine.first : use.affine.second).reshape(result),
      [grad, mapping, terms, absolute, slot](std::int64_t sample) {
        const double factor =
            slot == 1 ? sample_norm(absolute(), mapping, sample) : std::sqrt(terms);
        return (terms + 8) * sample_norm(grad, mapping, sample) * factor;
      });
}

at::Tensor sum_steps(const RowMapping& mapping, const at::Tensor& rows) {
  return mapping.steps() == 1 ? rows : mapping.samples_first(rows).sum(1);
}

Gradient group_norm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::NativeGroupNormBackward0>(*use.node);
  const RowMapping& mapping = mapping_of(use);
  if (mapping.dim != 0) return nullptr;
  const at::Tensor input = saved(*use.node, node.input_), mean = saved(*use.node, node.result1_),
                   rstd = saved(*use.node, node.result2_);
  if (!use.affine.first.defined()) {
    const auto [scale, shift] =
        per_sample_group_norm_gradients(input, mean.to(input.scalar_type()),
                                        rstd.to(input.scalar_type()), incoming(use), node.group);
    use.affine = {sum_steps(mapping, scale), sum_steps(mapping, shift)};
  }
  const std::vector<std::int64_t> grouped{input.size(0), node.group, -1};
  return affine_operand(use, slot, sizes, [=] {
    return input.reshape(grouped)
        .abs()
        .add(mean.view(grouped).abs())
        .mul(rstd.view(grouped))
        .view(input.sizes());
  });
}

Gradient layer_norm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::NativeLayerNormBackward0>(*use.node);
  const RowMapping& mapping = mapping_of(use);
  const at::Tensor input = saved(*use.node, node.input_);
  const auto normalized = static_cast<std::int64_t>(node.normalized_shape.size());
  if (mapping.dim >= input.dim() - normalized) return nullptr;
  const at::Tensor mean = saved(*use.node, node.result1_).to(input.scalar_type()),
                   rstd = saved(*use.node, node.result2_).to(input.scalar_type());
  if (!use.affine.first.defined()) {
    use.affine = per_sample_layer_norm_gradients(
        mapping.samples_first(input), mapping.samples_first(mean).contiguous(),
        mapping.samples_first(rstd).contiguous(), mapping.samples_first(incoming(use)), normalized);
  }
  return affine_operand(use, slot, sizes, [=] { return input.abs().add(mean.abs()).mul(rstd); });
}

Gradient batch_norm_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  // Evaluation mode only (refuse_mixing): a fixed affine map of each channel.
  const auto& node = *as<generated::NativeBatchNormBackward0>(*use.node);
  const RowMapping& mapping = mapping_of(use);
  if (mapping.dim != 0 || node.training) return nullptr;
  const at::Tensor grad = incoming(use);
  std::vector<std::int64_t> channels(static_cast<std::size_t>(grad.dim()) - 1, 1);
  channels.front() = grad.size(1);
  if (slot == 2) return broadcast_gradient(grad, mapping, channels, grad, {});
  const at::Tensor input = saved(*use.node, node.input_);
  const at::Tensor mean = saved(*use.node, node.running_mean_).view(channels);
  const at::Tensor rstd = saved(*use.node, node.running_var_).add(node.eps).rsqrt().view(channels);
  (void)sizes;
  return broadcast_gradient(grad.mul(input.sub(mean).mul(rstd)), mapping, channels, grad,
                            input.abs().add(mean.abs()).mul(rstd));
}

const generated::EmbeddingBackward0& embedding_node(const GraphNode& graph_node) {
  const auto& node = *as<generated::EmbeddingBackward0>(graph_node);
  if (node.scale_grad_by_freq) {
    throw std::invalid_argument(
        "tape: EmbeddingBackward0 with scale_grad_by_freq divides by counts over the batch, so one "
        "sample's gradient depends on the others; leave scale_grad_by_freq off");
  }
  return node;
}

Gradient embedding_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const auto& node = embedding_node(*use.node);
  at::Tensor grad = incoming(use);
  RowMapping mapping = mapping_of(use);
  if (mapping.batch ==
      1) {  // all rows are the one sample's, and a single one may have no dimension
    grad = grad.reshape({-1, grad.size(-1)});
    mapping = {0, 1, 1, grad.size(0)};
  }
  if (mapping.dim == grad.dim() - 1) return nullptr;
  at::Tensor indices = node.indices_.unpack(use.node->function);
  if (mapping.batch == 1) indices = indices.reshape({-1});
  LookedUpRows rows{mapping.samples_first(indices).reshape({-1}).to(at::kLong),
                    {},
                    mapping.samples_first(grad).reshape({-1, grad.size(-1)})};
  const std::int64_t each = rows.indices.numel() / mapping.batch;
  rows.samples = RowMapping{0, 1, mapping.batch, each}.to_rows(
      at::arange(mapping.batch, rows.indices.options()));
  return std::make_shared<EmbeddingGradient>(rows.without_padding(to_int(node.padding_idx)),
                                             mapping.batch, sizes[0]);
}

/// The bags' elements that gave a maximum: a table of single numbers.
Gradient largest_elements(const at::Tensor& grad, const at::Tensor& bag_samples,
                          const at::Tensor& used_bags, const at::Tensor& largest,
                          std::int64_t batch, at::IntArrayRef sizes) {
  const std::int64_t width = sizes[1];
  const at::Tensor places =
      largest.index_select(0, used_bags).mul(width).add(at::arange(width, used_bags.options()));
  const at::Tensor samples = bag_samples.index_select(0, used_bags).unsqueeze(1).expand_as(places);
  return std::make_shared<EmbeddingGradient>(
      LookedUpRows{places.reshape({-1}), samples.reshape({-1}),
                   grad.index_select(0, used_bags).reshape({-1, 1})},
      batch, sizes[0] * width);
}

Gradient embedding_bag_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::EmbeddingBagBackward0>(*use.node);
  if (node.scale_grad_by_freq) {
    throw std::invalid_argument(
        "tape: EmbeddingBagBackward0 with scale_grad_by_freq divides by counts over the batch, so "
        "one sample's gradient depends on the others; leave scale_grad_by_freq off");
  }
  const at::Tensor grad = incoming(use);  // [bags, width]
  RowMapping mapping = mapping_of(use);
  if (mapping.batch == 1) mapping = {0, 1, 1, grad.size(0)};
  if (mapping.dim != 0) return nullptr;
  const auto& owner = use.node->function;
  const at::Tensor offsets = node.offsets_.unpack(owner).to(at::kLong);
  at::Tensor indices = node.indices_.unpack(owner).to(at::kLong);
  const std::int64_t bags = grad.size(0);
  // With include_last_offset the end of the last bag is one offset more.
  const at::Tensor ends = offsets.size(0) > bags
                              ? offsets.narrow(0, 1, bags)
                              : at::cat({offsets.narrow(0, 1, bags - 1),
                                         at::full({1}, indices.numel(), offsets.options())});
  const at::Tensor bag_numbers = at::arange(bags, offsets.options());
  at::Tensor bag_of =
      bag_numbers.repeat_interleave(ends.sub(offsets.narrow(0, 0, bags)));  // [positions]
  indices = indices.narrow(0, 0, bag_of.numel());
  at::Tensor weights = saved(*use.node, node.per_sample_weights_);
  if (weights.defined()) weights = weights.narrow(0, 0, bag_of.numel());
  if (node.padding_idx >= 0) {
    const at::Tensor kept = indices.ne(node.padding_idx).nonzero().view({-1});
    indices = indices.index_select(0, kept);
    bag_of = bag_of.index_select(0, kept);
    if (weights.defined()) weights = weights.index_select(0, kept);
  }
  const at::Tensor bag_samples = mapping.to_rows(at::arange(mapping.batch, offsets.options()));
  const at::Tensor lengths = at::bincount(bag_of, {}, bags);
  constexpr std::int64_t kMean = 1, kMax = 2;
  if (node.mode == kMax) {
    return largest_elements(grad, bag_samples, lengths.nonzero().view({-1}),
                            node.result3_.unpack(owner).to(at::kLong), mapping.batch, sizes);
  }
  at::Tensor rows = grad.index_select(0, bag_of);
  if (node.mode == kMean) {
    rows = rows.div_(lengths.index_select(0, bag_of).to(rows.scalar_type()).unsqueeze(1));
  }
  if (weights.defined()) rows = rows.mul_(weights.to(rows.scalar_type()).unsqueeze(1));
  return std::make_shared<EmbeddingGradient>(
      LookedUpRows{indices, bag_samples.index_select(0, bag_of), rows}, mapping.batch, sizes[0]);
}

Gradient add_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  at::Tensor grad = incoming(use);
  if (const auto* add = as<generated::AddBackward0>(*use.node)) {
    if (slot == 1 && !is_one(add->alpha)) grad = grad.mul(add->alpha);
  } else if (slot == 1) {
    grad = grad.mul(as<generated::SubBackward0>(*use.node)->alpha).neg();
  }
  return broadcast_gradient(grad, mapping_of(use), sizes, grad, {});
}

Gradient scaled_broadcast(const NodeUse& use, const at::Tensor& factor, at::IntArrayRef sizes) {
  const at::Tensor grad = incoming(use);
  return broadcast_gradient(grad.mul(factor.to(grad.scalar_type())), mapping_of(use), sizes, grad,
                            factor);
}

Gradient mul_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::MulBackward0>(*use.node);
  return scaled_broadcast(use, saved(*use.node, slot == 0 ? node.other_ : node.self_), sizes);
}

Gradient div_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::DivBackward0>(*use.node);
  const at::Tensor inverse = saved(*use.node, node.other_).reciprocal();
  if (slot == 0) return scaled_broadcast(use, inverse, sizes);
  return scaled_broadcast(use, saved(*use.node, node.self_).mul(inverse).mul(inverse).neg(), sizes);
}

Gradient expand_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const at::Tensor grad = incoming(use);
  return broadcast_gradient(grad, mapping_of(use), sizes, grad, {});
}

/// Copies along every dimension; the samples are copies too.
Gradient repeat_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const at::Tensor grad = incoming(use);
  const RowMapping mapping = mapping_of(use);
  const std::int64_t missing = grad.dim() - static_cast<std::int64_t>(sizes.size());
  std::vector<std::int64_t> split{mapping.batch}, summed;
  double terms = 1;
  for (std::int64_t d = 0; d < grad.dim(); ++d) {
    const std::int64_t own = d < missing ? 1 : sizes[static_cast<std::size_t>(d - missing)];
    if (own == 0 || (d == mapping.dim && mapping.inner % own != 0)) return nullptr;
    const std::int64_t copies = (d == mapping.dim ? mapping.steps() : grad.size(d)) / own;
    summed.push_back(static_cast<std::int64_t>(split.size()));
    split.insert(split.end(), {copies, own});
    terms *= static_cast<double>(copies);
  }
  std::vector<std::int64_t> result{mapping.batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  const at::Tensor per_sample =
      mapping.samples_first(grad).reshape(split).sum(summed).reshape(result);
  return std::make_shared<MaterialisedGradient>(
      per_sample, [grad, mapping, terms](std::int64_t sample) {
        return (terms + 8) * std::sqrt(terms) * sample_norm(grad, mapping, sample);
      });
}

/// torch::bilinear: out[t][o] = sum_ij left[t][i] weight[o][i][j] right[t][j], a linear map of the
/// products left[t][i] right[t][j].
Gradient trilinear_rule(NodeUse& use, std::size_t slot, at::IntArrayRef /*sizes*/, bool) {
  const auto& node = *as<generated::TrilinearBackward0>(*use.node);
  using Dims = std::vector<std::int64_t>;
  const bool bilinear = slot == 1 && node.expand1 == Dims{1, 3} && node.expand2 == Dims{0} &&
                        node.expand3 == Dims{1, 2} && node.sumdim == Dims{2, 3};
  if (!bilinear) return nullptr;
  const at::Tensor left = saved(*use.node, node.i1_), right = saved(*use.node, node.i3_);
  return linear_weight(use, left.unsqueeze(2).mul(right.unsqueeze(1)).flatten(1), incoming(use),
                       mapping_of(use), /*inputs_first=*/false);
}

/// Where the samples lie among the rows of a recurrent layer, whose outputs are [steps, rows,
/// hidden] and the last hidden state and cell, [.., rows, hidden].
std::optional<RowMapping> rows_of_layer(const NodeUse& use) {
  std::optional<RowMapping> rows;
  for (std::size_t nr = 0; nr < use.grads.size(); ++nr) {
    const at::Tensor& grad = use.grads[nr];
    if (!grad.defined()) continue;
    RowMapping found = use.mappings[nr];
    if (found.batch == 1) found = {grad.dim() - 2, 1, 1, grad.size(-2)};
    if (found.dim != grad.dim() - 2) return std::nullopt;
    found.dim = 1;
    if (rows.has_value() && !(found == *rows)) return std::nullopt;
    rows = found;
  }
  return rows;
}

/// One direction of one layer of an LSTM, which oneDNN computes as a whole; null for other nodes.
/// The node's flags are those of the whole network; what it has saved is one direction, time in
/// front.
const generated::MkldnnRnnLayerBackward0* lstm_node(const GraphNode& graph_node) {
  constexpr std::int64_t kLstm = 2;
  const auto* const node = as<generated::MkldnnRnnLayerBackward0>(graph_node);
  return node != nullptr && node->mode == kLstm ? node : nullptr;
}

/// Each element of a gate's gradient comes through at most all steps forward and back, with sums
/// over inputs and states in each.
double lstm_roundings(const at::Tensor& input, std::int64_t hidden) {
  return static_cast<double>(input.size(0)) * static_cast<double>(input.size(2) + 5 * hidden + 32);
}

/// Computes the gradients of a layer's gates, from what it has saved, unless they are at hand.
/// False where its samples lie in a way that is not known.
bool find_lstm_gates(NodeUse& use) {
  if (use.hidden_rows != nullptr) return true;
  const std::optional<RowMapping> rows = rows_of_layer(use);
  if (!rows.has_value()) return false;
  const auto& node = *lstm_node(*use.node);
  const at::Tensor input = saved(*use.node, node.input_);
  const std::int64_t steps = input.size(0), count = input.size(1), hidden = node.hidden_size;
  const auto state = [&](const SavedVariable& variable) {
    return saved(*use.node, variable).reshape({count, hidden});
  };
  const auto bias = [&](const SavedVariable& variable) {
    return node.has_biases ? saved(*use.node, variable) : at::Tensor();
  };
  const auto flowing = [&](std::size_t nr, at::IntArrayRef shape) {
    const at::Tensor& grad = use.grads[nr];
    return grad.defined() ? in_math_type(grad).reshape(shape) : at::Tensor();
  };
  const LstmLayerGates gates = lstm_gate_gradients(
      {.input = input,
       .input_weight = saved(*use.node, node.weight0_),
       .state_weight = saved(*use.node, node.weight1_),
       .input_bias = bias(node.weight2_),
       .state_bias = bias(node.weight3_),
       .first_hidden = state(node.hx__),
       .first_cell = state(node.cx__),
       .output = saved(*use.node, node.result0_),
       .reverse = node.reverse},
      flowing(0, {steps, count, hidden}), flowing(1, {count, hidden}), flowing(2, {count, hidden}));
  const auto rows_of_steps = [&](const at::Tensor& tensor) {
    return std::make_shared<const SampleRows>(
        tensor.reshape({steps * count, tensor.size(2)}),
        RowMapping{0, steps * rows->outer, rows->batch, rows->inner});
  };
  use.input_rows = rows_of_steps(input);
  use.hidden_rows = rows_of_steps(gates.hidden);
  use.grad_rows = rows_of_steps(gates.grads);
  use.cell_grads = gates.cell_grads;
  return true;
}

/// Each weight is a linear map of every step.
Gradient lstm_layer_rule(NodeUse& use, std::size_t slot, at::IntArrayRef sizes, bool transposed) {
  if (lstm_node(*use.node) == nullptr || !find_lstm_gates(use)) return nullptr;
  const auto& node = *lstm_node(*use.node);
  const double roundings = lstm_roundings(saved(*use.node, node.input_), node.hidden_size);
  if (slot <= 2) {
    return std::make_shared<LinearGradient>(slot == 1 ? use.input_rows : use.hidden_rows,
                                            use.grad_rows, transposed, use.limits, roundings);
  }
  const auto grads = use.grad_rows;
  if (!use.gate_sums.defined()) use.gate_sums = grads->samples().sum(1);
  const double terms = static_cast<double>(grads->mapping.steps());
  std::vector<std::int64_t> result{grads->mapping.batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  return std::make_shared<MaterialisedGradient>(
      use.gate_sums.reshape(result), [grads, terms, roundings](std::int64_t sample) {
        return (terms + roundings) * std::sqrt(terms) * grads->norm_of(sample);
      });
}

Gradient prelu_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::PreluKernelBackward0>(*use.node);
  return scaled_broadcast(use, saved(*use.node, node.self_).clamp_max(0), sizes);
}

Gradient rms_norm_rule(NodeUse& use, std::size_t /*slot*/, at::IntArrayRef sizes, bool) {
  const auto& node = *as<generated::FusedRmsNormBackward0>(*use.node);
  return scaled_broadcast(use, saved(*use.node, node.input_).mul(saved(*use.node, node.result1_)),
                          sizes);
}

struct NodeRule {
  std::array<SlotKind, 5> slots;
  Rule rule;
};

const std::unordered_map<std::string_view, NodeRule>& rules() {
  constexpr SlotKind kData = SlotKind::kData, kWeight = SlotKind::kWeight, kLeft = SlotKind::kLeft,
                     kBroadcast = SlotKind::kBroadcast;
  static const std::unordered_map<std::string_view, NodeRule> table{
      {"AddmmBackward0", {{kBroadcast, kLeft, kWeight}, addmm_rule}},
      {"MmBackward0", {{kLeft, kWeight, kData}, mm_rule}},
      {"MvBackward0", {{kData, kWeight, kData}, mv_rule}},
      {"LinearBackward0", {{kData, kWeight, kWeight}, linear_rule}},
      {"BmmBackward0", {{kLeft, kWeight, kData}, bmm_rule}},
      {"BaddbmmBackward0", {{kBroadcast, kLeft, kWeight}, baddbmm_rule}},
      {"ConvolutionBackward0", {{kData, kWeight, kWeight}, convolution_rule}},
      {"NativeGroupNormBackward0", {{kData, kWeight, kWeight}, group_norm_rule}},
      {"NativeLayerNormBackward0", {{kData, kWeight, kWeight}, layer_norm_rule}},
      {"NativeBatchNormBackward0", {{kData, kWeight, kWeight}, batch_norm_rule}},
      {"EmbeddingBackward0", {{kWeight, kData, kData}, embedding_rule}},
      {"EmbeddingBagBackward0", {{kWeight, kData, kData}, embedding_bag_rule}},
      {"TrilinearBackward0", {{kData, kWeight, kData}, trilinear_rule}},
      {"MkldnnRnnLayerBackward0", {{kData, kWeight, kWeight, kWeight, kWeight}, lstm_layer_rule}},
      {"AddBackward0", {{kBroadcast, kBroadcast, kData}, add_rule}},
      {"SubBackward0", {{kBroadcast, kBroadcast, kData}, add_rule}},
      {"MulBackward0", {{kBroadcast, kBroadcast, kData}, mul_rule}},
      {"DivBackward0", {{kBroadcast, kBroadcast, kData}, div_rule}},
      {"ExpandBackward0", {{kBroadcast, kData, kData}, expand_rule}},
      {"RepeatBackward0", {{kBroadcast, kData, kData}, repeat_rule}},
      {"PreluKernelBackward0", {{kData, kBroadcast, kData}, prelu_rule}},
      {"FusedRmsNormBackward0", {{kData, kWeight, kData}, rms_norm_rule}},
  };
  return table;
}

}  // namespace

SlotKind slot_kind(const std::string& node_name, std::size_t slot) {
  const auto found = rules().find(node_name);
  const bool known = found != rules().end() && slot < found->second.slots.size();
  return known ? found->second.slots[slot] : SlotKind::kData;
}

bool takes_copies(const std::string& node_name) { return node_name == "NativeBatchNormBackward0"; }

std::size_t other_factor(const std::string& node_name) {
  return node_name == "MmBackward0" || node_name == "BmmBackward0" ? 1 : 2;
}

std::shared_ptr<OperandGradient> rule_gradient(NodeUse& use, std::size_t slot,
                                               at::IntArrayRef operand_sizes, bool transposed) {
  const auto found = rules().find(use.node->name);
  if (found == rules().end() || slot_kind(use.node->name, slot) == SlotKind::kData) return nullptr;
  // Of all rules that of a recurrent layer alone can do without a gradient of the first output.
  if (!use.grads.front().defined() && found->second.rule != lstm_layer_rule) return nullptr;
  return found->second.rule(use, slot, operand_sizes, transposed);
}

bool gives_input_gradients(const GraphNode& graph_node) {
  const auto* const node = lstm_node(graph_node);
  if (node == nullptr) return false;
  const auto is_float = [](const torch::autograd::InputMetadata& metadata) {
    return c10::typeMetaToScalarType(metadata.options().dtype()) == at::kFloat;
  };
  return is_float(node->input_metadata(0));
}

void release_unread(const GraphNode& graph_node) {
  if (lstm_node(graph_node) == nullptr) return;
  // oneDNN's workspace, of some four times the gates.
  static_cast<generated::MkldnnRnnLayerBackward0&>(*graph_node.function).result3_.reset_data();
}

std::vector<at::Tensor> input_gradients(NodeUse& use, const std::vector<bool>& wanted) {
  constexpr std::size_t kInput = 0, kFirstHidden = 5, kFirstCell = 6;
  std::vector<at::Tensor> result(use.node->edges.size());
  if (!find_lstm_gates(use)) {
    const bool any = std::any_of(use.grads.begin(), use.grads.end(),
                                 [](const at::Tensor& grad) { return grad.defined(); });
    if (any) throw std::logic_error("input_gradients: the samples of an LSTM layer are not known");
    return result;
  }
  const auto& node = *lstm_node(*use.node);
  const at::Tensor input = saved(*use.node, node.input_);
  const at::Tensor grads = use.grad_rows->rows.view({input.size(0), input.size(1), -1});
  if (wanted[kInput]) {
    result[kInput] = lstm_input_gradient(grads, saved(*use.node, node.weight0_));
  }
  if (wanted[kFirstHidden]) {
    result[kFirstHidden] =
        lstm_first_hidden_gradient(grads, saved(*use.node, node.weight1_), node.reverse)
            .view_as(saved(*use.node, node.hx__));
  }
  if (wanted[kFirstCell]) {
    result[kFirstCell] = use.cell_grads.view_as(saved(*use.node, node.cx__));
  }
  return result;
}

std::optional<bool> input_gradients_agree(NodeUse& use, const std::vector<at::Tensor>& own,
                                          double roundoff) {
  std::vector<bool> wanted;
  for (const at::Tensor& grad : own) wanted.push_back(grad.defined());
  const std::vector<at::Tensor> given = input_gradients(use, wanted);
  std::optional<RowMapping> rows = rows_of_layer(use);
  if (!rows.has_value()) return true;
  const auto& node = *lstm_node(*use.node);
  const at::Tensor input = saved(*use.node, node.input_);
  const auto norms = [&](const at::Tensor& tensor) {  // [batch]
    rows->dim = tensor.dim() - 2;
    return row_squared_norms(rows->samples_first(tensor).flatten(1)).sqrt_();
  };
  const auto norm = [](const at::Tensor& tensor) {
    return row_squared_norms(tensor.reshape({1, -1})).sqrt_();
  };
  // What flows into a state is at most the sum over the steps of what flows into their outputs and,
  // through the weights, into their gates.
  at::Tensor most = use.grad_rows->sample_squared_norms().sqrt().mul_(
      norm(saved(*use.node, node.weight0_)).add_(norm(saved(*use.node, node.weight1_))));
  for (const at::Tensor& grad : use.grads) {
    if (grad.defined()) most.add_(norms(grad));
  }
  const double steps = static_cast<double>(input.size(0));
  most.mul_(4 * roundoff * lstm_roundings(input, node.hidden_size) * std::sqrt(steps));
  for (std::size_t slot = 0; slot < own.size(); ++slot) {
    if (!given[slot].defined()) continue;
    if (!own[slot].isfinite().all().item<bool>()) return std::nullopt;
    if (!norms(given[slot].sub(own[slot])).le(most).all().item<bool>()) return false;
  }
  return true;
}

bool is_lookup(const std::string& node_name) { return node_name == "EmbeddingBackward0"; }

std::shared_ptr<OperandGradient> lookup_gradient(
    const Graph& graph, const GraphNode& lookup, const ParameterPath& path,
    const std::shared_ptr<OperandGradient>& looked_up) {
  const auto& node = embedding_node(lookup);
  const std::int64_t batch = looked_up->batch();
  at::Tensor rows = in_math_type(path.to_leaf(graph, looked_up->per_sample(0, batch)));
  rows = rows.reshape({batch, -1, rows.size(-1)});
  return std::make_shared<SharedLookupGradient>(
      node.indices_.unpack(lookup.function).reshape({-1}).to(at::kLong), rows,
      to_int(node.weight_sym_argsize_0), to_int(node.padding_idx),
      [looked_up](std::int64_t sample) { return looked_up->rounding_scale(sample); });
}

}  // namespace velum::dpsgd::detail
