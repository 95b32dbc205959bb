#include "tape/lstm_layer.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include "linear/product.h"
#include "recurrent/lstm_cpu_kernels.h"

namespace velum::dpsgd::detail {
namespace {

/// Rows of a thread: products of fewer are no longer as fast.
constexpr std::int64_t kGrainRows = 16;

}  // namespace

LstmLayerGates lstm_gate_gradients(const LstmLayer& layer, const at::Tensor& output_grads,
                                   const at::Tensor& hidden_grads, const at::Tensor& cell_grads) {
  const std::int64_t steps = layer.output.size(0), rows = layer.output.size(1),
                     width = layer.output.size(2);
  const at::TensorOptions options = layer.output.options();
  const auto time_of = [&](std::int64_t step) { return layer.reverse ? steps - 1 - step : step; };

  LstmLayerGates gates;
  gates.hidden = at::empty(layer.output.sizes(), options);
  gates.hidden.select(0, time_of(0)).copy_(layer.first_hidden);
  gates.hidden.narrow(0, layer.reverse ? 0 : 1, steps - 1)
      .copy_(layer.output.narrow(0, layer.reverse ? 1 : 0, steps - 1));
  // The gates of all steps at once, for their hidden states are known.
  gates.grads = at::empty({steps, rows, 4 * width}, options);
  const at::Tensor products = gates.grads.view({-1, 4 * width});
  product_out(layer.input.reshape({-1, layer.input.size(2)}), layer.input_weight.t(), {},
              /*add=*/false, products);
  product_out(gates.hidden.view({-1, width}), layer.state_weight.t(), {}, /*add=*/true, products);

  const at::Tensor bias =
      layer.input_bias.defined() ? layer.input_bias.add(layer.state_bias) : at::Tensor();
  const at::Tensor cells = at::empty({steps + 1, rows, width}, options);  // before each step
  cells.select(0, 0).copy_(layer.first_cell);
  const at::Tensor flowing = output_grads.defined() && output_grads.stride(2) != 1
                                 ? output_grads.contiguous()
                                 : output_grads;
  // Both are of the step that is at hand.
  const at::Tensor to_hidden = at::zeros({rows, width}, options);
  gates.cell_grads = at::zeros({rows, width}, options);
  if (hidden_grads.defined()) to_hidden.copy_(hidden_grads);
  if (cell_grads.defined()) gates.cell_grads.copy_(cell_grads);

  // Each thread goes through time with rows of its own.
  at::parallel_for(0, rows, kGrainRows, [&](std::int64_t begin, std::int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView plain;
    const std::int64_t count = end - begin;
    const auto cells_before = [&](std::int64_t step) {
      return cells.mutable_data_ptr<float>() + (step * rows + begin) * width;
    };
    const auto gates_of = [&](std::int64_t step) {
      return gates.grads.mutable_data_ptr<float>() + (time_of(step) * rows + begin) * 4 * width;
    };
    for (std::int64_t step = 0; step < steps; ++step) {
      lstm_activate_cpu(count, width, bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                        cells_before(step), gates_of(step), cells_before(step + 1));
    }
    const at::Tensor of_rows = to_hidden.narrow(0, begin, count);
    for (std::int64_t step = steps - 1; step >= 0; --step) {
      const std::int64_t time = time_of(step);
      const float* const outputs = flowing.defined()
                                       ? flowing.const_data_ptr<float>() +
                                             time * flowing.stride(0) + begin * flowing.stride(1)
                                       : nullptr;
      lstm_step_backward_cpu(
          count, width, cells_before(step), cells_before(step + 1), of_rows.const_data_ptr<float>(),
          outputs, flowing.defined() ? flowing.stride(1) : 0,
          gates.cell_grads.mutable_data_ptr<float>() + begin * width, gates_of(step));
      if (step == 0) continue;
      product_out(gates.grads.select(0, time).narrow(0, begin, count), layer.state_weight, {},
                  /*add=*/false, of_rows);
    }
  });
  return gates;
}

at::Tensor lstm_input_gradient(const at::Tensor& gate_grads, const at::Tensor& input_weight) {
  const at::Tensor result = at::empty(
      {gate_grads.size(0), gate_grads.size(1), input_weight.size(1)}, gate_grads.options());
  product_out(gate_grads.view({-1, gate_grads.size(2)}), input_weight, {}, /*add=*/false,
              result.view({-1, input_weight.size(1)}));
  return result;
}

at::Tensor lstm_first_hidden_gradient(const at::Tensor& gate_grads, const at::Tensor& state_weight,
                                      bool reverse) {
  return at::mm(gate_grads.select(0, reverse ? gate_grads.size(0) - 1 : 0), state_weight);
}

}  // namespace velum::dpsgd::detail
