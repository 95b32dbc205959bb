#pragma once

#include <ATen/core/Tensor.h>

namespace velum::dpsgd::detail {

/// One direction of one layer of an LSTM over sequences [steps, rows, inputs], time in front. Gates
/// stand in torch's order: input, forget, cell, output.
struct LstmLayer {
  at::Tensor input;                       // [steps, rows, inputs]
  at::Tensor input_weight, state_weight;  // [4 hidden, inputs], [4 hidden, hidden]
  at::Tensor input_bias, state_bias;      // [4 hidden], or both undefined
  at::Tensor first_hidden, first_cell;    // [rows, hidden]
  at::Tensor output;                      // [steps, rows, hidden]: what the layer gave
  bool reverse = false;                   // from the last step to the first
};

/// The layer as a linear map of every step. Steps are in the order of computation.
struct LstmLayerGates {
  at::Tensor input;   // [steps, rows, inputs]
  at::Tensor hidden;  // [steps, rows, hidden]: the state before the step
  at::Tensor grads;   // [steps, rows, 4 hidden]: what flows into the gates before their activation
};

/// @param output_grads  [steps, rows, hidden], hidden_grads and cell_grads [rows, hidden] of the
///                      last state: what flows into the layer, undefined where nothing does.
///
/// Every row of the result depends on the same row of the arguments alone.
/// Long Short-Term Memory, Neural Computation 9(8), 1997, with the forget gate of torch.nn.LSTM.
LstmLayerGates lstm_gate_gradients(const LstmLayer& layer, const at::Tensor& output_grads,
                                   const at::Tensor& hidden_grads, const at::Tensor& cell_grads);

}  // namespace velum::dpsgd::detail
