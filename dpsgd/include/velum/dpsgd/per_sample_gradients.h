#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "velum/dpsgd/gradient_method.h"

namespace velum::dpsgd {

/// Per-sample gradients are read off the autograd graph that libtorch has recorded: the graph is
/// walked from `losses` to every parameter, one backward pass gives the gradient that flows into
/// each operation that consumes a parameter, and the operation's saved input gives the rest.
///
/// Operations with a rule: linear and bilinear maps (mm, addmm, linear, bmm, baddbmm, mv, bilinear)
/// on any leading dimensions, convolutions (1 to 3 dimensions, groups, stride, dilation, padding,
/// transposed), group, layer, instance and batch normalisation (the last in evaluation mode only),
/// embeddings and bags of them, layers of LSTMs by oneDNN, and parameters that are added,
/// subtracted, multiplied or divided with broadcasting, or repeated. Views, casts and weight norms
/// between a parameter and its use are followed. A parameter may be used any number of times, by
/// any rules. Any other operation needs `allow_slow_rules`. docs/layers.md lists what holds for
/// every module of torch::nn.
///
/// Rows are mapped to samples by proof (privacy_engine.h). The graph is kept, but for hooks on
/// tensors that it has saved for operations on parameters: they are asked once, and what they give
/// is saved in their place.
struct PerSampleOptions {
  /// As `PrivacyOptions::allow_slow_rules`.
  bool allow_slow_rules = false;
  /// As `PrivacyOptions::method_overrides`.
  MethodOverrides method_overrides = {};
};

/// The gradient of every loss with respect to every parameter.
///
/// @param losses      [batch], with its graph.
/// @param parameters  leaves that require grad; every trainable leaf of the graph is among them.
/// @return one tensor [batch, *parameter.sizes()] per parameter, in float64 for parameters of that
///         type, else in float32; zeros where a parameter is unused.
/// @throws as `PrivacyEngine::accumulate`.
std::vector<at::Tensor> per_sample_gradients(const at::Tensor& losses,
                                             const std::vector<at::Tensor>& parameters,
                                             const PerSampleOptions& options = {});

/// The L2 norm of the gradient of every loss with respect to all parameters together; not
/// materialised where a rule can do without.
///
/// @return [batch], float64, on the CPU.
at::Tensor per_sample_norms(const at::Tensor& losses, const std::vector<at::Tensor>& parameters,
                            const PerSampleOptions& options = {});

}  // namespace velum::dpsgd
