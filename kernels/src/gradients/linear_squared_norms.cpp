#include "velum/kernels/gradients/linear_squared_norms.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/linear_squared_norms_halves.h"
#include "gradients/per_sample_norms_halves.h"

namespace velum::kernels {
namespace {

constexpr const char* kFunction = "linear_squared_norms";

template <typename T>
void check_sequence(const char* name, const SequenceView<T>& view) {
  const std::string prefix = std::string(name) + ".";
  check_not_negative(kFunction, prefix + "batch", view.batch);
  check_not_negative(kFunction, prefix + "steps", view.steps);
  check_not_negative(kFunction, prefix + "width", view.width);
  check_not_negative(kFunction, prefix + "batch_stride", view.batch_stride);
  check_not_negative(kFunction, prefix + "step_stride", view.step_stride);
}

std::int64_t workspace_size(LinearNormForm form, const ProductSizes& sizes, const Stream& stream) {
  std::int64_t size = 0;
  switch (form) {
    case LinearNormForm::kOuter:
      return sizes.batch;
    case LinearNormForm::kTile:
      VELUM_DISPATCH(stream, size = 0, size = linear_tile_workspace_size_cuda(sizes));
      return size;
    case LinearNormForm::kGram:
      VELUM_DISPATCH(stream, size = 0, size = linear_gram_workspace_size_cuda(sizes));
      return size;
  }
  throw std::invalid_argument(std::string(kFunction) + ": form is none of LinearNormForm's values");
}

/// [batch, width]: of views of one step.
template <typename T>
MatrixView<const T> rows_of(const SequenceView<const T>& view) {
  return {view.data, view.batch, view.width, view.batch_stride};
}

template <typename T>
void measure_rows(const SequenceView<const T>& view, Span<double> out, const Stream& stream) {
  const SquaredNormsTask<T> task{rows_of(view), out, Output::kOverwrite};
  VELUM_DISPATCH(stream, per_sample_squared_norms_cpu(task, stream),
                 per_sample_squared_norms_cuda(task, stream));
}

template <typename T>
void outer_squared_norms(const LinearNormsTask<T>& task, const Stream& stream) {
  const Span<double> of_activations(task.workspace.data(), task.grads.batch);
  measure_rows(task.activations, of_activations, stream);
  measure_rows(task.grads, task.squared_norms, stream);
  const MultiplyNormsBody body{of_activations, task.squared_norms};
  VELUM_DISPATCH(stream, multiply_norms_cpu(body, stream), multiply_norms_cuda(body, stream));
}

template <typename T>
void measure(LinearNormForm form, const SequenceView<const T>& activations,
             const SequenceView<const T>& grads, Span<double> squared_norms, Span<double> workspace,
             const Stream& stream) {
  check_sequence("activations", activations);
  check_sequence("grads", grads);
  check_equal(kFunction, "activations.batch", activations.batch, "grads.batch", grads.batch);
  check_equal(kFunction, "activations.steps", activations.steps, "grads.steps", grads.steps);
  check_size(kFunction, "squared_norms", squared_norms.size(), "grads.batch", grads.batch);
  const LinearNormsTask<T> task{activations, grads, squared_norms, workspace};
  check_workspace(kFunction, workspace.size(), workspace_size(form, task.sizes(), stream));
  switch (form) {
    case LinearNormForm::kOuter:
      check_equal(kFunction, "grads.steps", grads.steps, "the one step of kOuter", 1);
      outer_squared_norms(task, stream);
      break;
    case LinearNormForm::kTile:
      VELUM_DISPATCH(stream, linear_tile_squared_norms_cpu(task, stream),
                     linear_tile_squared_norms_cuda(task, stream));
      break;
    case LinearNormForm::kGram:
      VELUM_DISPATCH(stream, linear_gram_squared_norms_cpu(task, stream),
                     linear_gram_squared_norms_cuda(task, stream));
      break;
  }
}

}  // namespace

void linear_squared_norms(LinearNormForm form, const SequenceView<const float>& activations,
                          const SequenceView<const float>& grads, Span<double> squared_norms,
                          Span<double> workspace, const Stream& stream) {
  measure(form, activations, grads, squared_norms, workspace, stream);
}
void linear_squared_norms(LinearNormForm form, const SequenceView<const double>& activations,
                          const SequenceView<const double>& grads, Span<double> squared_norms,
                          Span<double> workspace, const Stream& stream) {
  measure(form, activations, grads, squared_norms, workspace, stream);
}

std::int64_t linear_squared_norms_workspace_size(LinearNormForm form, std::int64_t batch,
                                                 std::int64_t steps, std::int64_t inputs,
                                                 std::int64_t outputs, const Stream& stream) {
  constexpr const char* kName = "linear_squared_norms_workspace_size";
  check_not_negative(kName, "batch", batch);
  check_not_negative(kName, "steps", steps);
  check_not_negative(kName, "inputs", inputs);
  check_not_negative(kName, "outputs", outputs);
  return workspace_size(form, {batch, 1, outputs, inputs, steps}, stream);
}

template <typename T>
double product_error(std::int64_t steps) {
  check_not_negative("product_error", "steps", steps);
  const double count = static_cast<double>(steps);
  // k roundings of unit w: (1 + w)^k - 1 <= 1.01 k w while k w < 0.009.
  const double error = std::is_same_v<T, float>
                           ? kFloatRun * 0x1p-24 + (count / kFloatRun + 8) * 0x1p-53
                           : (count + 8) * 0x1p-53;
  return std::min(1.01 * error, 0.5);
}
template double product_error<float>(std::int64_t);
template double product_error<double>(std::int64_t);

}  // namespace velum::kernels
