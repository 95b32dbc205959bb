#include "velum/kernels/gradients/per_sample_norms.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/per_sample_norms_halves.h"

namespace velum::kernels {
namespace {

template <typename T>
void measure(const char* function, MatrixView<const T> grads, Span<double> squared_norms,
             Output output, const Stream& stream) {
  check_matrix(function, grads);
  check_size(function, "squared_norms", squared_norms.size(), "grads.rows", grads.rows);
  const SquaredNormsTask<T> task{grads, squared_norms, output};
  VELUM_DISPATCH(stream, per_sample_squared_norms_cpu(task, stream),
                 per_sample_squared_norms_cuda(task, stream));
}

}  // namespace

void per_sample_squared_norms(MatrixView<const float> grads, Span<double> squared_norms,
                              const Stream& stream) {
  measure("per_sample_squared_norms", grads, squared_norms, Output::kOverwrite, stream);
}
void per_sample_squared_norms(MatrixView<const double> grads, Span<double> squared_norms,
                              const Stream& stream) {
  measure("per_sample_squared_norms", grads, squared_norms, Output::kOverwrite, stream);
}
void add_per_sample_squared_norms(MatrixView<const float> grads, Span<double> squared_norms,
                                  const Stream& stream) {
  measure("add_per_sample_squared_norms", grads, squared_norms, Output::kAdd, stream);
}
void add_per_sample_squared_norms(MatrixView<const double> grads, Span<double> squared_norms,
                                  const Stream& stream) {
  measure("add_per_sample_squared_norms", grads, squared_norms, Output::kAdd, stream);
}

double squared_norm_error(std::int64_t params, std::int64_t tensors) {
  if (params < 0 || tensors < 0) {
    throw std::invalid_argument("squared_norm_error: params = " + std::to_string(params) +
                                ", tensors = " + std::to_string(tensors) +
                                ", expected both at least 0");
  }
  // Roundings on the longest chain: the square (double only) and the sums of a row on either
  // backend, one per tensor, one for squares that underflow. docs/numerics.md, "Squared norms".
  constexpr std::int64_t kBlocks = 1 << 18;
  const double row = static_cast<double>(std::min<std::int64_t>(params, 544 + params / kBlocks));
  const double roundings = row + 2.0 + static_cast<double>(tensors);
  // k roundings: (1 + u)^k - 1 <= k u / (1 - k u) <= 1.01 k u while k u < 0.009.
  return std::min(1.01 * roundings * 0x1p-53, 0.5);
}

}  // namespace velum::kernels
