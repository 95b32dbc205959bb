#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tape/operand_gradient.h"

// What the forms of operand gradients share.
namespace velum::dpsgd::detail {

/// Roundings that every element meets besides those of its sum.
inline constexpr double kExtraRoundings = 8;

/// The products of rows of so many steps fill 16 MiB a thread.
inline constexpr std::int64_t kMostGramSteps = 1024;

/// The method of least predicted cost; kKept only where the gradients `may_keep`.
GradientMethod cheapest(const OperandGradient& gradient, bool may_keep);

/// `out` if it is a contiguous tensor of these sizes, type and device, else a new one.
inline at::Tensor usable(const at::Tensor& out, at::IntArrayRef sizes,
                         const at::TensorOptions& options) {
  if (out.defined() && out.sizes() == sizes && out.is_contiguous() &&
      out.scalar_type() == options.dtype().toScalarType() && out.device() == options.device()) {
    return out;
  }
  return at::empty(sizes, options);
}

/// sum_b factors[b] * rows[b], into `out`.
at::Tensor weighted_rows(const at::Tensor& rows, const SampleFactors& factors, at::Tensor out);
/// `tensor` with the rows of the samples where `excluded` is true set to zero.
at::Tensor masked_rows(const at::Tensor& tensor, const at::Tensor& excluded,
                       const RowMapping& mapping);

inline std::vector<std::int64_t> with_batch(std::int64_t batch,
                                            const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> result{batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  return result;
}

inline RowMapping one_row_each(std::int64_t batch) { return {0, 1, batch, 1}; }

inline std::int64_t bytes_of(double elements, const at::TensorOptions& options) {
  const double size = elements * static_cast<double>(options.dtype().itemsize());
  return size < 9e18 ? static_cast<std::int64_t>(size) : std::int64_t{9'000'000'000'000'000'000};
}

/// Calls body(begin, end) over ranges of samples of at most limits.chunk_bytes each.
template <typename Body>
void for_each_chunk(std::int64_t batch, std::int64_t bytes_per_sample, const MemoryLimits& limits,
                    const Body& body) {
  const std::int64_t step =
      std::max<std::int64_t>(1, limits.chunk_bytes / std::max<std::int64_t>(1, bytes_per_sample));
  for (std::int64_t begin = 0; begin < batch; begin += step) {
    body(begin, std::min(begin + step, batch));
  }
}

}  // namespace velum::dpsgd::detail
