#pragma once

#include <cstdint>

#include "gradients/segment_sums_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename T>
struct SegmentNormsTask {
  MatrixView<const T> grads;
  NormKeys keys;
  Span<double> squared_norms;
  Span<std::uint8_t> workspace;
};

template <typename T>
struct SegmentSumTask {
  MatrixView<const T> grads;
  SumKeys keys;
  MatrixView<T> out;
  Span<std::uint8_t> workspace;
};

template <typename T>
void segment_squared_norms_cpu(const SegmentNormsTask<T>& task, const Stream& stream);
template <typename T>
void segment_squared_norms_cuda(const SegmentNormsTask<T>& task, const Stream& stream);
template <typename T>
void segment_weighted_sum_cpu(const SegmentSumTask<T>& task, const Stream& stream);
template <typename T>
void segment_weighted_sum_cuda(const SegmentSumTask<T>& task, const Stream& stream);

/// @param largest_key  of all that can occur.
std::int64_t segment_squared_norms_workspace_size_cpu(std::int64_t rows);
std::int64_t segment_squared_norms_workspace_size_cuda(std::int64_t rows, std::int64_t width,
                                                       std::uint64_t largest_key,
                                                       const Stream& stream);
std::int64_t segment_weighted_sum_workspace_size_cpu(std::int64_t rows);
std::int64_t segment_weighted_sum_workspace_size_cuda(std::int64_t rows, std::int64_t width,
                                                      std::uint64_t largest_key,
                                                      const Stream& stream);

}  // namespace velum::kernels
