#pragma once

#include <cstdint>

namespace velum::dpsgd::detail {

/// out[r][c] (+)= sum_k left[r][k] * factors[k] * right[k][c]
template <typename T>
struct ProductCpuTask {
  std::int64_t rows, terms, columns;
  const T* left;
  std::int64_t left_row_stride, left_term_stride;  // one of them is 1
  const T* right;
  std::int64_t right_term_stride, right_column_stride;  // one of them is 1
  const T* factors = nullptr;                           // [terms]; null: all 1
  T* out;
  std::int64_t out_row_stride;  // at least `columns`
  bool add;                     // to what is there
};

/// Computes the task on the calling thread. Terms are added in ascending order, by fused
/// multiply-adds where the machine has them, each product with its factor first; what is not finite
/// in a row of `left` or in a column of `right` reaches no other.
void product_cpu(const ProductCpuTask<float>& task);
void product_cpu(const ProductCpuTask<double>& task);

}  // namespace velum::dpsgd::detail
