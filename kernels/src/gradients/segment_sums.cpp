#include "velum/kernels/gradients/segment_sums.h"

#include <algorithm>
#include <limits>
#include <string>

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/segment_sums_halves.h"

namespace velum::kernels {
namespace {

void check_sizes(const char* function, std::int64_t rows, std::int64_t width, std::int64_t batch,
                 std::int64_t table_rows) {
  check_not_negative(function, "rows", rows);
  check_not_negative(function, "width", width);
  check_not_negative(function, "batch", batch);
  check_not_negative(function, "table_rows", table_rows);
  constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();
  if (rows > kMaxRows) {
    throw std::invalid_argument(std::string(function) + ": rows = " + std::to_string(rows) +
                                ", expected at most " + std::to_string(kMaxRows));
  }
  // Samples and indices become one key.
  constexpr std::int64_t kMaxKeys = std::int64_t{1} << 62;
  const std::int64_t most = kMaxKeys / std::max<std::int64_t>(batch, 1) - 1;
  if (table_rows > most) {
    throw std::invalid_argument(
        std::string(function) + ": table_rows = " + std::to_string(table_rows) +
        ", expected at most " + std::to_string(most) + " for batch = " + std::to_string(batch));
  }
}

template <typename T>
void check_rows(const char* function, const LookedUpRows<T>& looked_up) {
  check_matrix(function, looked_up.grads);
  check_size(function, "indices", looked_up.indices.size(), "grads.rows", looked_up.grads.rows);
  check_size(function, "samples", looked_up.samples.size(), "grads.rows", looked_up.grads.rows);
  check_sizes(function, looked_up.grads.rows, looked_up.grads.cols, looked_up.batch,
              looked_up.table_rows);
}

std::int64_t norms_workspace_size(std::int64_t rows, [[maybe_unused]] std::int64_t width,
                                  [[maybe_unused]] std::uint64_t largest_key,
                                  const Stream& stream) {
  std::int64_t bytes = 0;
  VELUM_DISPATCH(
      stream, bytes = segment_squared_norms_workspace_size_cpu(rows),
      bytes = segment_squared_norms_workspace_size_cuda(rows, width, largest_key, stream));
  return bytes;
}

std::int64_t sum_workspace_size(std::int64_t rows, [[maybe_unused]] std::int64_t width,
                                [[maybe_unused]] std::uint64_t largest_key, const Stream& stream) {
  std::int64_t bytes = 0;
  VELUM_DISPATCH(
      stream, bytes = segment_weighted_sum_workspace_size_cpu(rows),
      bytes = segment_weighted_sum_workspace_size_cuda(rows, width, largest_key, stream));
  return bytes;
}

template <typename T>
void measure(const LookedUpRows<T>& looked_up, Span<double> squared_norms,
             Span<std::uint8_t> workspace, const Stream& stream) {
  constexpr const char* kFunction = "segment_squared_norms";
  check_rows(kFunction, looked_up);
  check_size(kFunction, "squared_norms", squared_norms.size(), "batch", looked_up.batch);
  const NormKeys keys{looked_up.indices, looked_up.samples, looked_up.batch, looked_up.table_rows,
                      looked_up.padding_index};
  const SegmentNormsTask<T> task{looked_up.grads, keys, squared_norms, workspace};
  check_workspace(kFunction, workspace.size(),
                  norms_workspace_size(task.grads.rows, task.grads.cols, keys.largest(), stream));
  VELUM_DISPATCH(stream, segment_squared_norms_cpu(task, stream),
                 segment_squared_norms_cuda(task, stream));
}

template <typename T>
void sum(const LookedUpRows<T>& looked_up, Span<const double> factors, MatrixView<T> out,
         Span<std::uint8_t> workspace, const Stream& stream) {
  constexpr const char* kFunction = "segment_weighted_sum";
  check_rows(kFunction, looked_up);
  check_size(kFunction, "factors", factors.size(), "batch", looked_up.batch);
  check_equal(kFunction, "out.rows", out.rows, "table_rows", looked_up.table_rows);
  check_equal(kFunction, "out.cols", out.cols, "grads.cols", looked_up.grads.cols);
  if (out.rows > 1 && out.row_stride < out.cols) {
    throw std::invalid_argument(std::string(kFunction) +
                                ": out.row_stride = " + std::to_string(out.row_stride) +
                                ", expected at least out.cols = " + std::to_string(out.cols));
  }
  const SumKeys keys{looked_up.indices, looked_up.samples, factors, looked_up.table_rows,
                     looked_up.padding_index};
  const SegmentSumTask<T> task{looked_up.grads, keys, out, workspace};
  check_workspace(kFunction, workspace.size(),
                  sum_workspace_size(task.grads.rows, task.grads.cols, keys.largest(), stream));
  VELUM_DISPATCH(stream, segment_weighted_sum_cpu(task, stream),
                 segment_weighted_sum_cuda(task, stream));
}

}  // namespace

void segment_squared_norms(const LookedUpRows<float>& looked_up, Span<double> squared_norms,
                           Span<std::uint8_t> workspace, const Stream& stream) {
  measure(looked_up, squared_norms, workspace, stream);
}
void segment_squared_norms(const LookedUpRows<double>& looked_up, Span<double> squared_norms,
                           Span<std::uint8_t> workspace, const Stream& stream) {
  measure(looked_up, squared_norms, workspace, stream);
}

void segment_weighted_sum(const LookedUpRows<float>& looked_up, Span<const double> factors,
                          MatrixView<float> out, Span<std::uint8_t> workspace,
                          const Stream& stream) {
  sum(looked_up, factors, out, workspace, stream);
}
void segment_weighted_sum(const LookedUpRows<double>& looked_up, Span<const double> factors,
                          MatrixView<double> out, Span<std::uint8_t> workspace,
                          const Stream& stream) {
  sum(looked_up, factors, out, workspace, stream);
}

std::int64_t segment_squared_norms_workspace_size(std::int64_t rows, std::int64_t width,
                                                  std::int64_t batch, std::int64_t table_rows,
                                                  const Stream& stream) {
  check_sizes("segment_squared_norms_workspace_size", rows, width, batch, table_rows);
  return norms_workspace_size(rows, width, NormKeys{{}, {}, batch, table_rows, -1}.largest(),
                              stream);
}

std::int64_t segment_weighted_sum_workspace_size(std::int64_t rows, std::int64_t width,
                                                 std::int64_t table_rows, const Stream& stream) {
  check_sizes("segment_weighted_sum_workspace_size", rows, width, 0, table_rows);
  return sum_workspace_size(rows, width, SumKeys{{}, {}, {}, table_rows, -1}.largest(), stream);
}

}  // namespace velum::kernels
