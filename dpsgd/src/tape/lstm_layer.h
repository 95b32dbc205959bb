#pragma once

#include <ATen/core/Tensor.h>

namespace velum::dpsgd::detail {

/// One direction of one layer of an LSTM over sequences [steps, rows, inputs], time in front, in
/// float32 on the CPU. Gates stand in torch's order: input, forget, cell, output.
struct LstmLayer {
  at::Tensor input;                       // [steps, rows, inputs]
  at::Tensor input_weight, state_weight;  // [4 hidden, inputs], [4 hidden, hidden]
  at::Tensor input_bias, state_bias;      // [4 hidden], or both undefined
  at::Tensor first_hidden, first_cell;    // [rows, hidden]
  at::Tensor output;                      // [steps, rows, hidden]: what the layer gave
  bool reverse = false;                   // from the last step to the first
};

/// The layer as a linear map of every step of its input and its state.
struct LstmLayerGates {
  at::Tensor hidden;      // [steps, rows, hidden]: the state before the step; contiguous
  at::Tensor grads;       // [steps, rows, 4 hidden]: what flows into the gates before their
                          // activation; contiguous
  at::Tensor cell_grads;  // [rows, hidden]: what flows into the first cell
};

/// @param output_grads  [steps, rows, hidden], hidden_grads and cell_grads [rows, hidden] of the
///                      last state: what flows into the layer, undefined where nothing does.
///
/// Every row of the result depends on the same row of the arguments alone.
/// Long Short-Term Memory, Neural Computation 9(8), 1997, with the forget gate of torch.nn.LSTM.
LstmLayerGates lstm_gate_gradients(const LstmLayer& layer, const at::Tensor& output_grads,
                                   const at::Tensor& hidden_grads, const at::Tensor& cell_grads);

/// [steps, rows, inputs]: what flows into the layer's input.
at::Tensor lstm_input_gradient(const at::Tensor& gate_grads, const at::Tensor& input_weight);
/// [rows, hidden]: what flows into its first hidden state.
at::Tensor lstm_first_hidden_gradient(const at::Tensor& gate_grads, const at::Tensor& state_weight,
                                      bool reverse);

}  // namespace velum::dpsgd::detail
