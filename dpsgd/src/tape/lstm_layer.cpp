#include "tape/lstm_layer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
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

  // Forward: the gates of all steps at once, for their hidden states are known.
  const at::Tensor before = at::matmul(gates.input, layer.input_weight.t())
                                .add_(at::matmul(gates.hidden, layer.state_weight.t()));
  if (layer.input_bias.defined()) before.add_(layer.input_bias).add_(layer.state_bias);
  const std::vector<at::Tensor> parts = before.chunk(4, /*dim=*/2);
  const at::Tensor in = parts[0].sigmoid(), forget = parts[1].sigmoid(), cell = parts[2].tanh(),
                   out = parts[3].sigmoid();
  const at::Tensor added = in.mul(cell);
  const at::Tensor cells = at::empty({steps + 1, output.size(1), output.size(2)}, output.options());
  cells.select(0, 0).copy_(layer.first_cell);
  for (std::int64_t t = 0; t < steps; ++t) {
    cells.select(0, t + 1).copy_(
        cells.select(0, t).mul(forget.select(0, t)).add_(added.select(0, t)));
  }
  const at::Tensor shown = cells.narrow(0, 1, steps).tanh();

  // Backward: of each step, what its cell gets from its output, and its gates from either.
  const at::Tensor cell_from_hidden = out.mul(tanh_slope(shown));
  const at::Tensor out_from_hidden = shown.mul(logistic_slope(out));
  const at::Tensor from_cell =
      at::cat({cell.mul(logistic_slope(in)), cells.narrow(0, 0, steps).mul(logistic_slope(forget)),
               in.mul(tanh_slope(cell))},
              /*dim=*/2);  // [steps, rows, 3 hidden]
  gates.grads = at::empty_like(before);
  const std::int64_t width = output.size(2);
  at::Tensor hidden_grad =
      hidden_grads.defined() ? hidden_grads : at::zeros_like(layer.first_hidden);
  at::Tensor cell_grad = cell_grads.defined() ? cell_grads : at::zeros_like(layer.first_cell);
  for (std::int64_t t = steps - 1; t >= 0; --t) {
    if (flowing.defined()) hidden_grad = hidden_grad.add(flowing.select(0, t));
    cell_grad = cell_grad.add(hidden_grad.mul(cell_from_hidden.select(0, t)));
    const at::Tensor step = gates.grads.select(0, t);
    step.narrow(1, 0, 3 * width).copy_(from_cell.select(0, t).mul(cell_grad.repeat({1, 3})));
    step.narrow(1, 3 * width, width).copy_(hidden_grad.mul(out_from_hidden.select(0, t)));
    cell_grad = cell_grad.mul(forget.select(0, t));
    hidden_grad = at::matmul(step, layer.state_weight);
  }
  return gates;
}

}  // namespace velum::dpsgd::detail
