#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstring>
#include <stdexcept>

#include "arithmetic_kernels.h"

namespace velum::emulation::arithmetic {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

template <typename T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    check(cudaMalloc(&data_, size * sizeof(T)));
    check(cudaMemset(data_, 0, size * sizeof(T)));
  }
  template <typename Host>
  explicit Array(const std::vector<Host>& values)
      : Array(values.size() * sizeof(Host) / sizeof(T)) {
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* data() const { return data_; }
  template <typename Host = T>
  std::vector<Host> to_host() const {
    std::vector<Host> values(size_ * sizeof(T) / sizeof(Host));
    check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

constexpr unsigned kBlock = 128;
unsigned blocks(std::size_t threads) {
  return static_cast<unsigned>((threads + kBlock - 1) / kBlock);
}
__device__ unsigned thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

// clang-format off
template <typename T>
__device__ T half_function(HalfFunction function, T a, T b, T c) {
  switch (function) {
    case HalfFunction::kAdd: return a + b;
    case HalfFunction::kSubtract: return a - b;
    case HalfFunction::kMultiply: return a * b;
    case HalfFunction::kDivide: return a / b;
    case HalfFunction::kFma: return __hfma(a, b, c);
    case HalfFunction::kFmaRelu: return __hfma_relu(a, b, c);
    case HalfFunction::kAddSaturated: return __hadd_sat(a, b);
    case HalfFunction::kFmaSaturated: return __hfma_sat(a, b, c);
    case HalfFunction::kNegate: return -a;
    case HalfFunction::kAbsolute: return __habs(a);
    case HalfFunction::kMaximum: return __hmax(a, b);
    case HalfFunction::kMinimumOrNan: return __hmin_nan(a, b);
    case HalfFunction::kSquareRoot: return hsqrt(a);
    case HalfFunction::kFloor: return hfloor(a);
    case HalfFunction::kRoundToEven: return hrint(a);
  }
  return a;
}
template <typename T2>
__device__ T2 pair_function(HalfFunction function, T2 a, T2 b, T2 c) {
  switch (function) {
    case HalfFunction::kAdd: return a + b;
    case HalfFunction::kSubtract: return a - b;
    case HalfFunction::kMultiply: return a * b;
    case HalfFunction::kFma: return __hfma2(a, b, c);
    case HalfFunction::kFmaRelu: return __hfma2_relu(a, b, c);
    case HalfFunction::kAddSaturated: return __hadd2_sat(a, b);
    case HalfFunction::kFmaSaturated: return __hfma2_sat(a, b, c);
    case HalfFunction::kNegate: return -a;
    case HalfFunction::kAbsolute: return __habs2(a);
    case HalfFunction::kMaximum: return __hmax2(a, b);
    case HalfFunction::kMinimumOrNan: return __hmin2_nan(a, b);
    default: return a;
  }
}
// clang-format on
template <typename T>
__global__ void half_kernel(HalfFunction function, const T* a, const T* b, const T* c, T* out,
                            unsigned size) {
  const unsigned i = thread();
  if (i < size) out[i] = half_function(function, a[i], b[i], c[i]);
}
template <typename T2>
__global__ void pair_kernel(HalfFunction function, const T2* a, const T2* b, const T2* c, T2* out,
                            unsigned size) {
  const unsigned i = thread();
  if (i < size) out[i] = pair_function(function, a[i], b[i], c[i]);
}

template <typename T>
struct PairOf;
template <>
struct PairOf<__half> {
  using Type = __half2;
};
template <>
struct PairOf<__nv_bfloat16> {
  using Type = __nv_bfloat162;
};

/// Five answers per pair of numbers; the last two are of pairs, for both of their halves.
template <typename T>
__global__ void compare_kernel(const T* a, const T* b, std::uint32_t* out, unsigned size) {
  using T2 = typename PairOf<T>::Type;
  const unsigned i = thread();
  if (i >= size) return;
  const T2 x = reinterpret_cast<const T2*>(a)[i / 2];
  const T2 y = reinterpret_cast<const T2*>(b)[i / 2];
  out[i] = __heq(a[i], b[i]);
  out[size + i] = a[i] < b[i];
  out[2 * size + i] = __hltu(a[i], b[i]);
  out[3 * size + i] = __hbeq2(x, y);
  out[4 * size + i] = __hgt2_mask(x, y);
}

// clang-format off
template <typename T> __device__ T convert(Rounding rounding, float x);
template <> __device__ __half convert(Rounding rounding, float x) {
  switch (rounding) {
    case Rounding::kNearest: return __float2half_rn(x);
    case Rounding::kZero: return __float2half_rz(x);
    case Rounding::kDown: return __float2half_rd(x);
    default: return __float2half_ru(x);
  }
}
template <> __device__ __nv_bfloat16 convert(Rounding rounding, float x) {
  switch (rounding) {
    case Rounding::kNearest: return __float2bfloat16_rn(x);
    case Rounding::kZero: return __float2bfloat16_rz(x);
    case Rounding::kDown: return __float2bfloat16_rd(x);
    default: return __float2bfloat16_ru(x);
  }
}
template <typename T> __device__ T convert(Rounding rounding, long long x);
template <> __device__ __half convert(Rounding rounding, long long x) {
  switch (rounding) {
    case Rounding::kNearest: return __ll2half_rn(x);
    case Rounding::kZero: return __ll2half_rz(x);
    case Rounding::kDown: return __ll2half_rd(x);
    default: return __ll2half_ru(x);
  }
}
template <> __device__ __nv_bfloat16 convert(Rounding rounding, long long x) {
  switch (rounding) {
    case Rounding::kNearest: return __ll2bfloat16_rn(x);
    case Rounding::kZero: return __ll2bfloat16_rz(x);
    case Rounding::kDown: return __ll2bfloat16_rd(x);
    default: return __ll2bfloat16_ru(x);
  }
}
__device__ long long integer(Rounding rounding, __half x) {
  switch (rounding) {
    case Rounding::kNearest: return __half2ll_rn(x);
    case Rounding::kZero: return __half2ll_rz(x);
    case Rounding::kDown: return __half2ll_rd(x);
    default: return __half2ll_ru(x);
  }
}
__device__ long long integer(Rounding rounding, __nv_bfloat16 x) {
  switch (rounding) {
    case Rounding::kNearest: return __bfloat162ll_rn(x);
    case Rounding::kZero: return __bfloat162ll_rz(x);
    case Rounding::kDown: return __bfloat162ll_rd(x);
    default: return __bfloat162ll_ru(x);
  }
}
// clang-format on
template <typename T, typename S>
__global__ void narrow_kernel(Rounding rounding, const S* values, T* out, unsigned size) {
  const unsigned i = thread();
  if (i < size) out[i] = convert<T>(rounding, values[i]);
}
template <typename T>
__global__ void integer_kernel(Rounding rounding, const T* values, long long* out, unsigned size) {
  const unsigned i = thread();
  if (i < size) out[i] = integer(rounding, values[i]);
}
template <typename T>
__global__ void widen_kernel(const T* values, float* out, unsigned size) {
  const unsigned i = thread();
  if (i < size) out[i] = static_cast<float>(values[i]);
}

template <typename T>
__global__ void sum_kernel(const T* values, T* out, bool in_pairs, unsigned size) {
  using T2 = typename PairOf<T>::Type;
  const unsigned i = thread();
  if (i >= size) return;
  if (in_pairs) {
    T2 pair{};
    (i % 2 == 0 ? pair.x : pair.y) = values[i];
    atomicAdd(reinterpret_cast<T2*>(out), pair);
  } else {
    atomicAdd(out, values[i]);
  }
}
template <typename T>
__global__ void add_halves_kernel(T* out) {
  out[0] = out[0] + out[1];
}
__global__ void sum_columns_kernel(const float4* values, float4* out) {
  atomicAdd(out, values[thread()]);
}

__global__ void swap_kernel(unsigned __int128* cell, const unsigned __int128* expected,
                            unsigned __int128* out) {
  const unsigned __int128 value = (static_cast<unsigned __int128>(3) << 64) | 4;
  out[0] = atomicExch(cell, (static_cast<unsigned __int128>(1) << 64) | 2);
  out[1] = atomicCAS(cell, *expected, value);
  out[2] = *cell;
}

__global__ void flush_kernel(Flushed operation, double a, double b, double c, float* out) {
  const float x = static_cast<float>(a);
  const float y = static_cast<float>(b);
  const float z = static_cast<float>(c);
  switch (operation) {
    case Flushed::kMultiply:
      asm("mul.ftz.f32 %0, %1, %2;" : "=f"(*out) : "f"(x), "f"(y));
      break;
    case Flushed::kFma:
      asm("fma.rn.ftz.f32 %0, %1, %2, %3;" : "=f"(*out) : "f"(x), "f"(y), "f"(z));
      break;
    case Flushed::kDivide:
      asm("div.rn.ftz.f32 %0, %1, %2;" : "=f"(*out) : "f"(x), "f"(y));
      break;
    case Flushed::kReciprocal:
      asm("rcp.rp.ftz.f32 %0, %1;" : "=f"(*out) : "f"(x));
      break;
    case Flushed::kNarrow:
      asm("cvt.rn.ftz.f32.f64 %0, %1;" : "=f"(*out) : "d"(a));
      break;
  }
}
__global__ void flush_half_kernel(Flushed operation, unsigned short a, unsigned short b,
                                  unsigned short c, unsigned short* out) {
  if (operation == Flushed::kFma) {
    asm("fma.rn.ftz.f16 %0, %1, %2, %3;" : "=h"(*out) : "h"(a), "h"(b), "h"(c));
  } else {
    asm("mul.ftz.f16 %0, %1, %2;" : "=h"(*out) : "h"(a), "h"(b));
  }
}

template <typename T>
__global__ void libdevice_kernel(int function, const T* xs, const T* ys, T* out, unsigned size) {
  const unsigned i = thread();
  if (i >= size) return;
  const T x = xs[i];
  const T y = ys[i];
  int position = 0;
  T result{};
#define VELUM_CASE(expression) \
  if (function == position++) result = expression;
  VELUM_LIBDEVICE_FUNCTIONS(VELUM_CASE)
#undef VELUM_CASE
  out[i] = result;
}

template <typename Function>
auto with_type(HalfType type, Function function) {
  return type == HalfType::kF16 ? function(__half{}) : function(__nv_bfloat16{});
}

}  // namespace

Bits apply(HalfType type, HalfFunction function, const Bits& a, const Bits& b, const Bits& c) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<T> x(a);
    const Array<T> y(b);
    const Array<T> z(c);
    const Array<T> out(a.size());
    half_kernel<<<blocks(a.size()), kBlock>>>(function, x.data(), y.data(), z.data(), out.data(),
                                              static_cast<unsigned>(a.size()));
    return out.template to_host<std::uint16_t>();
  });
}
Bits apply_to_pairs(HalfType type, HalfFunction function, const Bits& a, const Bits& b,
                    const Bits& c) {
  return with_type(type, [&](auto zero) {
    using T2 = typename PairOf<decltype(zero)>::Type;
    const Array<T2> x(a);
    const Array<T2> y(b);
    const Array<T2> z(c);
    const Array<T2> out(a.size() / 2);
    pair_kernel<<<blocks(a.size() / 2), kBlock>>>(function, x.data(), y.data(), z.data(),
                                                  out.data(), static_cast<unsigned>(a.size() / 2));
    return out.template to_host<std::uint16_t>();
  });
}

Comparisons compare(HalfType type, const Bits& a, const Bits& b) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<T> x(a);
    const Array<T> y(b);
    const Array<std::uint32_t> out(5 * a.size());
    compare_kernel<<<blocks(a.size()), kBlock>>>(x.data(), y.data(), out.data(),
                                                 static_cast<unsigned>(a.size()));
    const std::vector<std::uint32_t> all = out.to_host();
    const auto part = [&](std::size_t k) {
      const auto start = all.begin() + static_cast<std::ptrdiff_t>(k * a.size());
      return std::vector<std::uint32_t>(start, start + static_cast<std::ptrdiff_t>(a.size()));
    };
    return Comparisons{part(0), part(1), part(2), part(3), part(4)};
  });
}

Bits from_float(HalfType type, Rounding rounding, const std::vector<float>& values) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<float> in(values);
    const Array<T> out(values.size());
    narrow_kernel<T, float><<<blocks(values.size()), kBlock>>>(
        rounding, in.data(), out.data(), static_cast<unsigned>(values.size()));
    return out.template to_host<std::uint16_t>();
  });
}
Bits from_integer(HalfType type, Rounding rounding, const std::vector<std::int64_t>& values) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<long long> in(values);
    const Array<T> out(values.size());
    narrow_kernel<T, long long><<<blocks(values.size()), kBlock>>>(
        rounding, in.data(), out.data(), static_cast<unsigned>(values.size()));
    return out.template to_host<std::uint16_t>();
  });
}
std::vector<std::int64_t> to_integer(HalfType type, Rounding rounding, const Bits& values) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<T> in(values);
    const Array<long long> out(values.size());
    integer_kernel<<<blocks(values.size()), kBlock>>>(rounding, in.data(), out.data(),
                                                      static_cast<unsigned>(values.size()));
    return out.to_host<std::int64_t>();
  });
}
std::vector<float> to_float(HalfType type, const Bits& values) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<T> in(values);
    const Array<float> out(values.size());
    widen_kernel<<<blocks(values.size()), kBlock>>>(in.data(), out.data(),
                                                    static_cast<unsigned>(values.size()));
    return out.to_host();
  });
}

std::uint16_t sum_by_atomics(HalfType type, const Bits& values, bool in_pairs) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const Array<T> in(values);
    const Array<T> out(2);
    sum_kernel<<<blocks(values.size()), kBlock>>>(in.data(), out.data(), in_pairs,
                                                  static_cast<unsigned>(values.size()));
    add_halves_kernel<<<1, 1>>>(out.data());
    return out.template to_host<std::uint16_t>()[0];
  });
}
std::vector<float> sum_columns(const std::vector<float>& values) {
  const Array<float4> in(values);
  const Array<float4> out(1);
  sum_columns_kernel<<<1, static_cast<unsigned>(values.size() / 4)>>>(in.data(), out.data());
  return out.to_host<float>();
}

std::vector<std::uint64_t> swap_128(std::uint64_t expected_low, std::uint64_t expected_high) {
  const Array<unsigned __int128> cell(std::vector<std::uint64_t>{7, 8});
  const Array<unsigned __int128> expected(std::vector<std::uint64_t>{expected_low, expected_high});
  const Array<unsigned __int128> out(3);
  swap_kernel<<<1, 1>>>(cell.data(), expected.data(), out.data());
  return out.to_host<std::uint64_t>();
}

float flushed(Flushed operation, double a, double b, double c) {
  const Array<float> out(1);
  flush_kernel<<<1, 1>>>(operation, a, b, c, out.data());
  return out.to_host()[0];
}
std::uint16_t flushed_half(Flushed operation, std::uint16_t a, std::uint16_t b, std::uint16_t c) {
  const Array<unsigned short> out(1);
  flush_half_kernel<<<1, 1>>>(operation, a, b, c, out.data());
  return out.to_host()[0];
}

std::vector<float> apply(int function, const std::vector<float>& x, const std::vector<float>& y) {
  const Array<float> xs(x);
  const Array<float> ys(y);
  const Array<float> out(x.size());
  libdevice_kernel<<<blocks(x.size()), kBlock>>>(function, xs.data(), ys.data(), out.data(),
                                                 static_cast<unsigned>(x.size()));
  return out.to_host();
}
std::vector<double> apply(int function, const std::vector<double>& x,
                          const std::vector<double>& y) {
  const Array<double> xs(x);
  const Array<double> ys(y);
  const Array<double> out(x.size());
  libdevice_kernel<<<blocks(x.size()), kBlock>>>(function, xs.data(), ys.data(), out.data(),
                                                 static_cast<unsigned>(x.size()));
  return out.to_host();
}

}  // namespace velum::emulation::arithmetic
