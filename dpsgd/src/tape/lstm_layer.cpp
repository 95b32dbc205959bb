#include "tape/lstm_layer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros_like.h>

namespace velum::dpsgd::detail {
namespace {

/// y (1 - y): the slope of the logistic function at the value y.
at::Tensor logistic_slope(const at::Tensor& y) { return y.mul(y.neg().add_(1)); }
/// 1 - y^2: that of tanh.
at::Tensor tanh_slope(const at::Tensor& y) { return y.square().neg_().add_(1); }

}  // namespace

LstmLayerGates lstm_gate_gradients(const LstmLayer& layer, const at::Tensor& output_grads,
                                   const at::Tensor& hidden_grads, const at::Tensor& cell_grads) {
  const auto in_order = [&](const at::Tensor& steps) {
    return layer.reverse && steps.defined() ? steps.flip(0) : steps;
  };
  LstmLayerGates gates;
  gates.input = in_order(layer.input);
  const at::Tensor output = in_order(layer.output), flowing = in_order(output_grads);
  const std::int64_t steps = output.size(0);
  gates.hidden =
      at::cat({layer.first_hidden.unsqueeze(0), output.narrow(0, 0, steps - 1)}, /*dim=*/0);

  // Forward: the gates of all steps at once, for their hidden states are known; then step by step,
  // so that what is between fits a cache. A step's gates give way to what flows into them.
  const std::int64_t width = output.size(2);
  gates.grads = at::matmul(gates.input, layer.input_weight.t());
  gates.grads.view({-1, 4 * width})
      .addmm_(gates.hidden.reshape({-1, width}), layer.state_weight.t());
  if (layer.input_bias.defined()) gates.grads.add_(layer.input_bias.add(layer.state_bias));
  const auto part = [&](std::int64_t step, std::int64_t number, std::int64_t count) {
    return gates.grads.select(0, step).narrow(1, number * width, count * width);
  };
  const at::Tensor cells = at::empty({steps + 1, output.size(1), width}, output.options());
  cells.select(0, 0).copy_(layer.first_cell);
  for (std::int64_t t = 0; t < steps; ++t) {
    part(t, 0, 2).sigmoid_();
    part(t, 2, 1).tanh_();
    part(t, 3, 1).sigmoid_();
    at::Tensor cell = cells.select(0, t + 1);
    at::mul_out(cell, cells.select(0, t), part(t, 1, 1));
    cell.addcmul_(part(t, 0, 1), part(t, 2, 1));
  }

  at::Tensor hidden_grad =
      hidden_grads.defined() ? hidden_grads : at::zeros_like(layer.first_hidden);
  at::Tensor cell_grad = cell_grads.defined() ? cell_grads : at::zeros_like(layer.first_cell);
  for (std::int64_t t = steps - 1; t >= 0; --t) {
    if (flowing.defined()) hidden_grad = hidden_grad.add(flowing.select(0, t));
    const at::Tensor in = part(t, 0, 1), forget = part(t, 1, 1), cell = part(t, 2, 1),
                     out = part(t, 3, 1);
    const at::Tensor shown = cells.select(0, t + 1).tanh();
    cell_grad = cell_grad.add(tanh_slope(shown).mul_(out).mul_(hidden_grad));
    const at::Tensor to_in = logistic_slope(in).mul_(cell).mul_(cell_grad);
    const at::Tensor to_cell = tanh_slope(cell).mul_(in).mul_(cell_grad);
    const at::Tensor to_forget = logistic_slope(forget).mul_(cells.select(0, t)).mul_(cell_grad);
    cell_grad = cell_grad.mul(forget);
    out.copy_(logistic_slope(out).mul_(shown).mul_(hidden_grad));
    in.copy_(to_in);
    forget.copy_(to_forget);
    cell.copy_(to_cell);
    if (t > 0) hidden_grad = at::matmul(gates.grads.select(0, t), layer.state_weight);
  }
  return gates;
}

}  // namespace velum::dpsgd::detail
