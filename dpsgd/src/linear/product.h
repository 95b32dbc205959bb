#pragma once

#include <ATen/core/Tensor.h>

namespace velum::dpsgd::detail {

/// out = left diag(factors) right, or out += that, on the CPU, by all threads (by the calling one
/// within a parallel region). Faster than the product of torch's library on processors for which
/// that does not use the widest vectors.
///
/// @param left     [m, k], right [k, n], float32 or float64; strides of one dimension are 1, else
///                 it is copied.
/// @param factors  [k], contiguous, of the same type; undefined: all 1.
/// @param out      [m, n], of the same type; columns are contiguous.
void product_out(const at::Tensor& left, const at::Tensor& right, const at::Tensor& factors,
                 bool add, const at::Tensor& out);

}  // namespace velum::dpsgd::detail
