#pragma once

#include <cstdint>

namespace velum::dpsgd::detail {

// One step of an LSTM for `rows` rows of `width` units. Arrays are row-major and contiguous: gates
// [rows, 4 width], in torch's order input i, forget f, cell g, output o; all others [rows, width].
// Every row depends on its own elements alone; one that is not a number stays that.

/// Activates the gates in place, sigmoid for i, f and o, tanh for g, of what is given and `bias`
/// [4 width] (null: none), and computes cells = f cells_before + i g.
void lstm_activate_cpu(std::int64_t rows, std::int64_t width, const float* bias,
                       const float* cells_before, float* gates, float* cells);

/// What flows into a step's gates before their activation, in place of the gates.
/// @param hidden_grads  what flows into the hidden state from the step after; `output_grads` what
///                      flows into it as an output, of row stride `output_stride` (null: nothing).
/// @param cell_grads    what flows into the cells from the step after; becomes what flows from here
///                      into the cells before.
void lstm_step_backward_cpu(std::int64_t rows, std::int64_t width, const float* cells_before,
                            const float* cells, const float* hidden_grads,
                            const float* output_grads, std::int64_t output_stride,
                            float* cell_grads, float* gates);

}  // namespace velum::dpsgd::detail
