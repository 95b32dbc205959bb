#include "linear/product.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "linear/product_cpu_kernels.h"

namespace velum::dpsgd::detail {
namespace {

/// Multiply-adds of a thread, so that waking it is worth it.
constexpr std::int64_t kGrain = std::int64_t{1} << 17;
/// Threads share rows or columns by so many: whole tiles.
constexpr std::int64_t kRows = 12, kColumns = 32;

at::Tensor with_a_unit_stride(const at::Tensor& matrix) {
  return matrix.stride(0) == 1 || matrix.stride(1) == 1 ? matrix : matrix.contiguous();
}

template <typename T>
void product(const at::Tensor& left, const at::Tensor& right, const at::Tensor& factors, bool add,
             const at::Tensor& out) {
  const ProductCpuTask<T> whole{
      .rows = left.size(0),
      .terms = left.size(1),
      .columns = right.size(1),
      .left = left.const_data_ptr<T>(),
      .left_row_stride = left.stride(0),
      .left_term_stride = left.stride(1),
      .right = right.const_data_ptr<T>(),
      .right_term_stride = right.stride(0),
      .right_column_stride = right.stride(1),
      .factors = factors.defined() ? factors.const_data_ptr<T>() : nullptr,
      .out = out.mutable_data_ptr<T>(),
      .out_row_stride = out.stride(0),
      .add = add};
  // What is not shared is packed by every thread.
  const bool by_rows = whole.rows >= whole.columns;
  const std::int64_t shared = by_rows ? whole.rows : whole.columns;
  const std::int64_t block = by_rows ? kRows : kColumns;
  const std::int64_t of_block =
      block * std::max<std::int64_t>(1, whole.terms * (by_rows ? whole.columns : whole.rows));
  at::parallel_for(0, (shared + block - 1) / block, 1 + kGrain / of_block,
                   [&](std::int64_t begin, std::int64_t end) {
                     ProductCpuTask<T> part = whole;
                     const std::int64_t first = begin * block;
                     const std::int64_t count = std::min(end * block, shared) - first;
                     if (by_rows) {
                       part.rows = count;
                       part.left += first * part.left_row_stride;
                       part.out += first * part.out_row_stride;
                     } else {
                       part.columns = count;
                       part.right += first * part.right_column_stride;
                       part.out += first;
                     }
                     product_cpu(part);
                   });
}

}  // namespace

void product_out(const at::Tensor& left, const at::Tensor& right, const at::Tensor& factors,
                 bool add, const at::Tensor& out) {
  const at::Tensor a = with_a_unit_stride(left), b = with_a_unit_stride(right);
  if (out.scalar_type() == at::kDouble) {
    product<double>(a, b, factors, add, out);
  } else {
    product<float>(a, b, factors, add, out);
  }
}

}  // namespace velum::dpsgd::detail
