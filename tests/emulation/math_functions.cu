// The functions of CUDA's mathematics, for translates_test.cmake: nothing runs them.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

// clang-format off
#define EACH(F) \
  F(sin) F(cos) F(tan) F(exp) F(exp2) F(exp10) F(expm1) F(log) F(log2) F(log10) F(log1p) F(sqrt) F(rsqrt) F(cbrt) F(erf) \
  F(erfc) F(erfinv) F(erfcinv) F(erfcx) F(normcdf) F(normcdfinv) F(lgamma) F(tgamma) F(sinh) F(cosh) F(tanh) F(asin) \
  F(acos) F(atan) F(asinh) F(acosh) F(atanh) F(floor) F(rint) F(round) F(sinpi) F(cospi) F(j0)
#define EACH_OF_TWO(F) F(pow) F(fmod) F(remainder) F(hypot) F(atan2) F(nextafter) F(fdim)
#define EACH_OF_HALVES(F) \
  F(hsin) F(hcos) F(hexp) F(hexp2) F(hlog) F(hsqrt) F(hrsqrt) F(hrcp) F(htanh) F(hfloor) F(hrint) F(htrunc) F(hceil)
// clang-format on
#define ONE(name) *out++ = name(x);
#define TWO(name) *out++ = name(x, y);

template <typename T>
__device__ void evaluate(T x, T y, T* out) {
  EACH(ONE)
  EACH_OF_TWO(TWO)
  *out++ = x / y;
  *out++ = 1 / x;
}
__global__ void float_kernel(const float* in, float* out) { evaluate(in[0], in[1], out); }
__global__ void double_kernel(const double* in, double* out) { evaluate(in[0], in[1], out); }
__global__ void intrinsic_kernel(const float* in, float* out) {
  const float x = in[0];
  const float y = in[1];
  *out++ = __sinf(x);
  *out++ = __expf(x);
  *out++ = __logf(x);
  *out++ = __powf(x, y);
  *out++ = __fdividef(x, y);
  *out++ = __frsqrt_rn(x);
  *out++ = __fmaf_ru(x, y, x);
  *out++ = __fdiv_rz(x, y);
}

#if __CUDA_ARCH__ >= 800
template <typename T>
__device__ void evaluate_halves(T x, T y, T* out) {
  EACH_OF_HALVES(ONE)
  *out++ = x / y;
  *out++ = __hfma_relu(x, y, x);
  *out++ = __hfma_sat(x, y, x);
  *out++ = __hmax_nan(x, y);
}
__global__ void half_kernel(const __half* in, __half* out) { evaluate_halves(in[0], in[1], out); }
__global__ void bfloat16_kernel(const __nv_bfloat16* in, __nv_bfloat16* out) {
  evaluate_halves(in[0], in[1], out);
}
#endif
