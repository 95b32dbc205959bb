#include "conv/conv_weight_gradients.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace velum::dpsgd::detail {
namespace {

/// Unfolded inputs, or gradients on their way to a sum, held at one time.
constexpr std::int64_t kChunkBytes = std::int64_t{64} << 20;

[[noreturn]] void refuse(const std::string& text) {
  throw std::invalid_argument("per_sample_conv_weight_gradients: " + text);
}

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream text;
  (text << ... << parts);
  refuse(text.str());
}

/// A checked problem; sizes are of one group.
struct ConvProblem {
  at::IntArrayRef weight_sizes;
  const ConvGeometry& geometry;
  std::int64_t batch, groups, outputs, channels, kernel, positions;

  std::int64_t features() const { return channels * kernel; }
  std::int64_t parameters() const { return groups * outputs * features(); }
};

ConvProblem check(const at::Tensor& input, const at::Tensor& grad_output,
                  at::IntArrayRef weight_sizes, const ConvGeometry& geometry) {
  const std::int64_t dims = input.dim() - 2;
  require(dims >= 1 && dims <= 3, "input has ", input.dim(), " dimensions, expected 3 to 5");
  require(grad_output.dim() == input.dim(), "grad_output has ", grad_output.dim(),
          " dimensions, expected ", input.dim());
  require(static_cast<std::int64_t>(weight_sizes.size()) == input.dim(), "weight_sizes has ",
          weight_sizes.size(), " entries, expected ", input.dim());
  for (const auto* list : {&geometry.stride, &geometry.padding, &geometry.dilation}) {
    require(static_cast<std::int64_t>(list->size()) == dims,
            "stride, padding and dilation need one entry for each of ", dims, " dimensions");
  }
  require(input.scalar_type() == at::kFloat || input.scalar_type() == at::kDouble,
          "input is of type ", input.scalar_type(), ", expected float32 or float64");
  require(grad_output.scalar_type() == input.scalar_type(), "grad_output is of type ",
          grad_output.scalar_type(), ", input of type ", input.scalar_type());
  require(grad_output.device() == input.device(), "grad_output is on ", grad_output.device(),
          ", input on ", input.device());
  require(grad_output.size(0) == input.size(0), "grad_output.size(0) = ", grad_output.size(0),
          ", expected ", input.size(0));
  const std::int64_t groups = geometry.groups;
  require(groups >= 1 && input.size(1) % groups == 0 && weight_sizes[0] % groups == 0,
          "groups = ", groups, ", expected a divisor of ", input.size(1), " and ", weight_sizes[0]);
  require(grad_output.size(1) == weight_sizes[0], "grad_output.size(1) = ", grad_output.size(1),
          ", expected weight_sizes[0] = ", weight_sizes[0]);
  require(weight_sizes[1] == input.size(1) / groups, "weight_sizes[1] = ", weight_sizes[1],
          ", expected ", input.size(1) / groups);
  ConvProblem problem{weight_sizes,
                      geometry,
                      input.size(0),
                      groups,
                      weight_sizes[0] / groups,
                      weight_sizes[1],
                      1,
                      1};
  for (std::int64_t d = 0; d < dims; ++d) {
    const std::int64_t stride = geometry.stride[d], padding = geometry.padding[d],
                       dilation = geometry.dilation[d], kernel = weight_sizes[d + 2];
    require(stride >= 1 && dilation >= 1 && padding >= 0 && kernel >= 1, "dimension ", d,
            ": stride = ", stride, ", dilation = ", dilation, ", padding = ", padding,
            ", kernel = ", kernel, " out of range");
    const std::int64_t room = input.size(d + 2) + 2 * padding - dilation * (kernel - 1) - 1;
    require(room >= 0 && grad_output.size(d + 2) == room / stride + 1, "grad_output.size(", d + 2,
            ") = ", grad_output.size(d + 2), " does not fit input.size(", d + 2,
            ") = ", input.size(d + 2));
    problem.kernel *= kernel;
    problem.positions *= grad_output.size(d + 2);
  }
  return problem;
}

/// Every input element that meets each weight: [batch * groups, features, positions].
at::Tensor unfold(const ConvProblem& problem, const at::Tensor& input,
                  const at::Tensor& grad_output) {
  const std::int64_t dims = input.dim() - 2;
  std::vector<std::int64_t> margins;  // of the last dimension first
  for (std::int64_t d = dims - 1; d >= 0; --d) {
    margins.insert(margins.end(), 2, problem.geometry.padding[d]);
  }
  const at::Tensor padded = at::constant_pad_nd(input, margins);
  std::vector<std::int64_t> sizes{problem.batch, problem.groups, problem.channels};
  std::vector<std::int64_t> strides{padded.stride(0), padded.stride(1) * problem.channels,
                                    padded.stride(1)};
  for (std::int64_t d = 0; d < dims; ++d) {
    sizes.push_back(problem.weight_sizes[d + 2]);
    strides.push_back(padded.stride(d + 2) * problem.geometry.dilation[d]);
  }
  for (std::int64_t d = 0; d < dims; ++d) {
    sizes.push_back(grad_output.size(d + 2));
    strides.push_back(padded.stride(d + 2) * problem.geometry.stride[d]);
  }
  return padded.as_strided(sizes, strides)
      .reshape({problem.batch * problem.groups, problem.features(), problem.positions});
}

at::Tensor rows_of_outputs(const ConvProblem& problem, const at::Tensor& grad_output) {
  return grad_output.reshape({problem.batch * problem.groups, problem.outputs, problem.positions});
}

at::Tensor materialise(const ConvProblem& problem, const at::Tensor& input,
                       const at::Tensor& grad_output) {
  std::vector<std::int64_t> sizes{problem.batch};
  sizes.insert(sizes.end(), problem.weight_sizes.begin(), problem.weight_sizes.end());
  if (problem.batch == 0) return at::empty(sizes, input.options());
  return at::bmm(rows_of_outputs(problem, grad_output),
                 unfold(problem, input, grad_output).transpose(1, 2))
      .view(sizes);
}

at::Tensor squared_rows(const at::Tensor& per_sample) {
  return per_sample.flatten(1).to(at::kDouble).square().sum(1);
}

at::Tensor gram_squared_norms(const ConvProblem& problem, const at::Tensor& input,
                              const at::Tensor& grad_output) {
  const at::Tensor features = unfold(problem, input, grad_output).to(at::kDouble);
  const at::Tensor outputs = rows_of_outputs(problem, grad_output).to(at::kDouble);
  return at::bmm(features.transpose(1, 2), features)
      .mul_(at::bmm(outputs.transpose(1, 2), outputs))
      .sum({1, 2})
      .view({problem.batch, problem.groups})
      .sum(1)
      .clamp_min_(0);  // a sum of squares; rounding may leave it just below zero
}

/// Calls body(chunk of input, chunk of grad_output, first, count) over ranges of samples.
template <typename Body>
void for_each_chunk(const at::Tensor& input, const at::Tensor& grad_output,
                    std::int64_t bytes_per_sample, const Body& body) {
  const std::int64_t batch = input.size(0);
  const std::int64_t step =
      std::max<std::int64_t>(1, kChunkBytes / std::max<std::int64_t>(1, bytes_per_sample));
  for (std::int64_t first = 0; first < batch; first += step) {
    const std::int64_t count = std::min(step, batch - first);
    body(input.narrow(0, first, count), grad_output.narrow(0, first, count), first, count);
  }
}

/// sum_b factors[b] * per_sample[b], where factor 0 selects the sample away.
at::Tensor weighted_rows(const at::Tensor& per_sample, const at::Tensor& factors) {
  std::vector<std::int64_t> column(per_sample.dim(), 1);
  column[0] = factors.size(0);
  const at::Tensor weights = factors.view(column);
  return at::where(weights.ne(0), per_sample.mul(weights), at::zeros({}, per_sample.options()))
      .sum(0);
}

}  // namespace

ConvMethod plan_conv_weight_gradients(std::int64_t batch, std::int64_t output_positions,
                                      at::IntArrayRef weight_sizes, std::int64_t groups,
                                      at::ScalarType dtype, std::int64_t budget_bytes) {
  std::int64_t parameters = 1;
  for (const std::int64_t size : weight_sizes) parameters *= size;
  const auto element = static_cast<std::int64_t>(c10::elementSize(dtype));
  if (parameters == 0 || batch <= budget_bytes / (parameters * element)) {
    return ConvMethod::kMaterialise;
  }
  const double outputs = static_cast<double>(weight_sizes[0] / groups);
  const double features = static_cast<double>(parameters) / static_cast<double>(weight_sizes[0]);
  const double positions = static_cast<double>(output_positions);
  const double gram = positions * (outputs + features) * (dtype == at::kDouble ? 1 : 2);
  return gram < outputs * features ? ConvMethod::kGram : ConvMethod::kTile;
}

at::Tensor per_sample_conv_weight_gradients(const at::Tensor& input, const at::Tensor& grad_output,
                                            at::IntArrayRef weight_sizes,
                                            const ConvGeometry& geometry) {
  return materialise(check(input, grad_output, weight_sizes, geometry), input, grad_output);
}

at::Tensor per_sample_conv_weight_squared_norms(const at::Tensor& input,
                                                const at::Tensor& grad_output,
                                                at::IntArrayRef weight_sizes,
                                                const ConvGeometry& geometry) {
  const ConvProblem problem = check(input, grad_output, weight_sizes, geometry);
  at::Tensor norms = at::zeros({problem.batch}, input.options().dtype(at::kDouble));
  const bool gram =
      plan_conv_weight_gradients(problem.batch, problem.positions, weight_sizes, geometry.groups,
                                 input.scalar_type(), 0) == ConvMethod::kGram;
  const std::int64_t elements =
      problem.groups * problem.features() * problem.positions + problem.parameters();
  for_each_chunk(
      input, grad_output, elements * static_cast<std::int64_t>(sizeof(double)),
      [&](const at::Tensor& x, const at::Tensor& g, std::int64_t first, std::int64_t n) {
        ConvProblem part = problem;
        part.batch = n;
        norms.narrow(0, first, n)
            .copy_(gram ? gram_squared_norms(part, x, g) : squared_rows(materialise(part, x, g)));
      });
  return norms;
}

at::Tensor weighted_conv_weight_gradient(const at::Tensor& input, const at::Tensor& grad_output,
                                         const at::Tensor& factors, at::IntArrayRef weight_sizes,
                                         const ConvGeometry& geometry) {
  const ConvProblem problem = check(input, grad_output, weight_sizes, geometry);
  require(factors.dim() == 1 && factors.size(0) == problem.batch &&
              factors.scalar_type() == input.scalar_type(),
          "factors must be [", problem.batch, "] of type ", input.scalar_type());
  at::Tensor sum = at::zeros(weight_sizes, input.options());
  const std::int64_t elements =
      problem.groups * problem.features() * problem.positions + problem.parameters();
  for_each_chunk(input, grad_output, elements * static_cast<std::int64_t>(sizeof(double)),
                 [&](const at::Tensor& x, const at::Tensor& g, std::int64_t first, std::int64_t n) {
                   ConvProblem part = problem;
                   part.batch = n;
                   sum.add_(weighted_rows(materialise(part, x, g), factors.narrow(0, first, n)));
                 });
  return sum;
}

ConvWeightGradients::ConvWeightGradients(at::Tensor input, at::Tensor grad_output,
                                         at::IntArrayRef weight_sizes, ConvGeometry geometry,
                                         std::int64_t budget_bytes)
    : input_(std::move(input)),
      grad_output_(std::move(grad_output)),
      weight_sizes_(weight_sizes.vec()),
      geometry_(std::move(geometry)) {
  const ConvProblem problem = check(input_, grad_output_, weight_sizes_, geometry_);
  method_ = plan_conv_weight_gradients(problem.batch, problem.positions, weight_sizes_,
                                       geometry_.groups, input_.scalar_type(), budget_bytes);
  if (method_ == ConvMethod::kMaterialise) {
    per_sample_grads_ = materialise(problem, input_, grad_output_);
    squared_norms_ = squared_rows(per_sample_grads_);
  } else {
    squared_norms_ =
        per_sample_conv_weight_squared_norms(input_, grad_output_, weight_sizes_, geometry_);
  }
  bias_gradients_ = grad_output_.flatten(2).sum(2);
  if (method_ == ConvMethod::kMaterialise) {
    input_ = at::Tensor();
    grad_output_ = at::Tensor();
  }
}

at::Tensor ConvWeightGradients::weighted_sum(const at::Tensor& factors) const {
  if (method_ == ConvMethod::kMaterialise) return weighted_rows(per_sample_grads_, factors);
  return weighted_conv_weight_gradient(input_, grad_output_, factors, weight_sizes_, geometry_);
}

}  // namespace velum::dpsgd::detail
