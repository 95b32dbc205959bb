#include <ATen/Context.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/where.h>

#include <vector>

#include "conv/conv_problem.h"

namespace velum::dpsgd::detail {

at::Tensor with_padding(const ConvProblem& problem, const at::Tensor& input) {
  std::vector<std::int64_t> margins;  // of the last dimension first
  bool any = false;
  for (std::int64_t d = input.dim() - 3; d >= 0; --d) {
    const std::int64_t margin = problem.geometry.padding[d];
    margins.insert(margins.end(), 2, margin);
    any |= margin > 0;
  }
  return any ? at::constant_pad_nd(input, margins) : input;
}

namespace {

/// Every input element that meets each weight: [batch * groups, features, positions].
at::Tensor unfold(const ConvProblem& problem, const at::Tensor& input,
                  const at::Tensor& grad_output) {
  const std::int64_t dims = input.dim() - 2;
  const at::Tensor padded = with_padding(problem, input);
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
  return padded.as_strided(sizes, strides, padded.storage_offset())
      .reshape({problem.batch * problem.groups, problem.features(), problem.positions});
}

at::Tensor rows_of_outputs(const ConvProblem& problem, const at::Tensor& grad_output) {
  return grad_output.reshape({problem.batch * problem.groups, problem.outputs, problem.positions});
}

}  // namespace

ConvRows conv_rows_aten(const ConvProblem& problem, const at::Tensor& input,
                        const at::Tensor& grad_output, ConvWanted wanted) {
  // The norm must be that of the sum's own terms; ten bits of mantissa are not enough for either.
  const at::NoTF32Guard no_tf32;
  ConvRows rows;
  if (wanted.gradients || wanted.squared_norms) {
    const at::Tensor gradients = problem.batch == 0
                                     ? at::empty({0, problem.parameters()}, input.options())
                                     : at::bmm(rows_of_outputs(problem, grad_output),
                                               unfold(problem, input, grad_output).transpose(1, 2))
                                           .view({problem.batch, problem.parameters()});
    if (wanted.gradients) rows.gradients = gradients;
    if (wanted.squared_norms) rows.squared_norms = gradients.to(at::kDouble).square().sum(1);
  }
  if (wanted.bias_gradients) rows.bias_gradients = grad_output.flatten(2).sum(2);
  return rows;
}

at::Tensor conv_gram_squared_norms_aten(const ConvProblem& problem, const at::Tensor& input,
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

void add_weighted_rows_aten(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum) {
  const at::Tensor weights = factors.unsqueeze(1);
  sum.add_(
      at::where(weights.ne(0), rows.mul(weights), at::scalar_tensor(0, rows.options())).sum(0));
}

}  // namespace velum::dpsgd::detail
