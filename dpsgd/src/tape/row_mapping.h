#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace velum::dpsgd::detail {

/// Where in a tensor the samples lie: dimension `dim` is [outer, batch, inner], flattened.
/// {0, 1, B, 1} is the batch as leading dimension, {0, 1, B, T} batch-major rows, {0, T, B, 1}
/// time-major ones.
struct RowMapping {
  std::int64_t dim = 0;
  std::int64_t outer = 1;
  std::int64_t batch = 1;
  std::int64_t inner = 1;

  std::int64_t steps() const { return outer * inner; }
  std::int64_t sample_of(std::int64_t row) const { return row / inner % batch; }
  /// [batch, d_0, .., d_{dim-1}, steps, d_{dim+1}, ..]: the samples in front.
  at::Tensor samples_first(const at::Tensor& tensor) const;
  /// One entry per row of `dim` from one per sample.
  at::Tensor to_rows(const at::Tensor& per_sample) const;
  /// `per_sample` [batch] in a shape that broadcasts along `dim` of a tensor of `dims` dimensions.
  at::Tensor to_rows(const at::Tensor& per_sample, std::int64_t dims) const;

  friend bool operator==(const RowMapping&, const RowMapping&) = default;
};

std::string to_text(const RowMapping& mapping);

/// Every way in which `batch` samples can lie in one dimension of a tensor of these sizes,
/// likeliest first: leading batch and batch-major rows, time-major rows, later dimensions, other
/// splittings.
std::vector<RowMapping> candidate_mappings(at::IntArrayRef sizes, std::int64_t batch);

}  // namespace velum::dpsgd::detail
