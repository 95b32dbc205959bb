#pragma once

/// Products of matrices of doubles by a warp on the tensor cores. Each multiply-add is rounded as
/// by fma; their order is the device's, and the same run to run. (PTX ISA, mma.)
namespace velum::kernels::cuda {

// A device of compute capability 9.0 is faster by products of 16 rows; one of 8.0 has none.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define VELUM_MATRIX_PRODUCT_OF_16_ROWS               \
  "mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 " \
  "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
#else
#define VELUM_MATRIX_PRODUCT_OF_16_ROWS                                                 \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%4}, {%8}, {%0, %1};\n\t" \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%2, %3}, {%5}, {%8}, {%2, %3};\n\t" \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%6}, {%9}, {%0, %1};\n\t" \
  "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%2, %3}, {%7}, {%9}, {%2, %3};"
#endif

/// sum += a b^T of 8 rows each, four columns: lane l has column l % 4 of row l / 4 of `a` and of
/// `b`, and in sum[0] and sum[1] the products of row l / 4 of `a` with rows 2 (l % 4) and
/// 2 (l % 4) + 1 of `b`.
__device__ inline void add_matrix_product(double a, double b, double (&sum)[4]) {
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+&d"(sum[0]), "+&d"(sum[1])
               : "d"(a), "d"(b));
}

/// The same of two times 8 rows of `a`, each with the 8 of `b`, and of eight columns: [0] of each
/// operand is of the first four. Sums with the second rows are in sum[2] and sum[3].
__device__ inline void add_matrix_products(const double (&a_first)[2], const double (&a_second)[2],
                                           const double (&b)[2], double (&sum)[4]) {
  asm volatile(VELUM_MATRIX_PRODUCT_OF_16_ROWS
               : "+&d"(sum[0]), "+&d"(sum[1]), "+&d"(sum[2]), "+&d"(sum[3])
               : "d"(a_first[0]), "d"(a_second[0]), "d"(a_first[1]), "d"(a_second[1]), "d"(b[0]),
                 "d"(b[1]));
}

/// The same without the second rows of `a`: sum[2] and sum[3] are left as they are if not NaN.
__device__ inline void add_matrix_products(const double (&a)[2], const double (&b)[2],
                                           double (&sum)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  add_matrix_products(a, {0.0, 0.0}, b, sum);
#else
  add_matrix_product(a[0], b[0], sum);
  add_matrix_product(a[1], b[1], sum);
#endif
}

#undef VELUM_MATRIX_PRODUCT_OF_16_ROWS

}  // namespace velum::kernels::cuda
