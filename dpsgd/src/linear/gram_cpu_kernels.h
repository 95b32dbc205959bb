#pragma once

#include <cstdint>
#include <vector>

namespace velum::dpsgd::detail {

/// The rows of every sample, one for each step: element [sample][step][column] is
/// steps[step].first[sample * steps[step].sample_stride + column].
template <typename T>
struct StepRows {
  struct Step {
    const T* first;
    std::int64_t sample_stride;
  };
  std::vector<Step> steps;
  std::int64_t width = 0;
};

/// The same by tables: element [sample][step][column] is
/// first[sample * sample_stride + columns[column] + steps[step]].
template <typename T>
struct OffsetRows {
  const T* first = nullptr;
  std::int64_t sample_stride = 0;
  std::vector<std::int64_t> steps, columns;
  std::int64_t width = 0;  // columns.size()
};

/// Norms of g_b = sum_t grad[b][t] (x) input[b][t] from products of rows alone:
///
///   squared_norms[b]      = sum_{s,t} (input[b][s] . input[b][t]) (grad[b][s] . grad[b][t]), >= 0
///   squared_magnitudes[b] = sum_t |input[b][t]|^2 * sum_t |grad[b][t]|^2
///
/// in float64 throughout. Each product of rows is computed once; those of different steps count
/// twice. A row that is not finite makes its sample's results not finite, and no other's.
template <typename T, template <typename> class Rows = StepRows>
struct GramCpuTask {
  Rows<T> input, grad;                   // of as many steps
  double* squared_norms = nullptr;       // [samples]
  double* squared_magnitudes = nullptr;  // [samples], or not wanted
};

/// Computes samples [begin, end) of the task, on the calling thread, in some
/// 2 steps^2 + 64 steps numbers of workspace.
void gram_samples_cpu(const GramCpuTask<float>& task, std::int64_t begin, std::int64_t end);
void gram_samples_cpu(const GramCpuTask<double>& task, std::int64_t begin, std::int64_t end);
void gram_samples_cpu(const GramCpuTask<float, OffsetRows>& task, std::int64_t begin,
                      std::int64_t end);
void gram_samples_cpu(const GramCpuTask<double, OffsetRows>& task, std::int64_t begin,
                      std::int64_t end);

}  // namespace velum::dpsgd::detail
