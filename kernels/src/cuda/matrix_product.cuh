#pragma once

/// Products of matrices of doubles by a warp on the tensor cores. Each multiply-add is rounded as
/// by fma; their order is the device's, and the same run to run. (PTX ISA, mma.)
namespace velum::kernels::cuda {

// A device of compute capability 9.0 reaches its rate by products of 16 rows; one of 8.0 has none.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define VELUM_MATRIX_PRODUCT_OF_16_ROWS               \
  "mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 " \
  "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
#else
#define VELUM_MATRIX_PRODUCT_OF_16_ROWS                                                 \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%4}, {%6}, {%0, %1};\n\t" \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%2, %3}, {%5}, {%6}, {%2, %3};"
#endif

/// sum += a b^T of 8 rows each, four columns: lane l has column l % 4 of row l / 4 of `a` and of
/// `b`, and in sum[0] and sum[1] the products of row l / 4 of `a` with rows 2 (l % 4) and
/// 2 (l % 4) + 1 of `b`.
__device__ inline void add_matrix_product(double a, double b, double (&sum)[4]) {
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(sum[0]), "+d"(sum[1])
               : "d"(a), "d"(b));
}

/// The same of two times 8 rows of `a`, each with the 8 of `b`; sums with the second in sum[2] and
/// sum[3].
__device__ inline void add_matrix_products(double a_first, double a_second, double b,
                                           double (&sum)[4]) {
  asm volatile(VELUM_MATRIX_PRODUCT_OF_16_ROWS
               : "+d"(sum[0]), "+d"(sum[1]), "+d"(sum[2]), "+d"(sum[3])
               : "d"(a_first), "d"(a_second), "d"(b));
}

#undef VELUM_MATRIX_PRODUCT_OF_16_ROWS

}  // namespace velum::kernels::cuda
