#pragma once

#include <cstdint>
#include <vector>

/// Kernels of ordinary CUDA code on f16, bf16, matrices and the functions of libdevice: what nvcc
/// makes of them runs here. Each function takes and gives host vectors; a float of 16 bits is its
/// bits.
namespace velum::emulation::arithmetic {

using Bits = std::vector<std::uint16_t>;

/// The operators and intrinsics of cuda_fp16.h and cuda_bf16.h with the same meaning for both.
enum class HalfFunction {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFma,
  kFmaRelu,
  kAddSaturated,
  kFmaSaturated,
  kNegate,
  kAbsolute,
  kMaximum,
  kMinimumOrNan,
  kSquareRoot,
  kFloor,
  kRoundToEven,
};
inline constexpr int kHalfFunctions = 15;
enum class HalfType { kF16, kBf16 };
/// function(a[i], b[i], c[i]).
Bits apply(HalfType type, HalfFunction function, const Bits& a, const Bits& b, const Bits& c);
/// The same by the intrinsics on pairs (__hadd2 and so on); the sizes are even. kAdd to
/// kMinimumOrNan without kDivide.
Bits apply_to_pairs(HalfType type, HalfFunction function, const Bits& a, const Bits& b,
                    const Bits& c);

struct Comparisons {
  std::vector<std::uint32_t> equal, less, less_or_unordered, equal_in_pairs, greater_mask;
};
Comparisons compare(HalfType type, const Bits& a, const Bits& b);

enum class Rounding { kNearest, kZero, kDown, kUp };
/// __float2half_rn and so on.
Bits from_float(HalfType type, Rounding rounding, const std::vector<float>& values);
/// __half2ll_rn and so on.
std::vector<std::int64_t> to_integer(HalfType type, Rounding rounding, const Bits& values);
/// __ll2half_rn and so on.
Bits from_integer(HalfType type, Rounding rounding, const std::vector<std::int64_t>& values);
std::vector<float> to_float(HalfType type, const Bits& values);

/// The sum of all values by atomicAdd of each thread to one number, alone or in a pair.
std::uint16_t sum_by_atomics(HalfType type, const Bits& values, bool in_pairs);
/// The sums of four columns by atomicAdd of float4.
std::vector<float> sum_columns(const std::vector<float>& values);

/// 128-bit exchange and compare-and-swap, as {low, high}: what the cell held before each of the two
/// operations, and at the end.
std::vector<std::uint64_t> swap_128(std::uint64_t expected_low, std::uint64_t expected_high);

/// mul, fma, div (rounding to nearest) and rcp (rounding up) of f32, cvt.rn.f32.f64, each with
/// .ftz.
enum class Flushed { kMultiply, kFma, kDivide, kReciprocal, kNarrow };
float flushed(Flushed operation, double a, double b = 0, double c = 0);
/// mul or fma of f16 with .ftz.
std::uint16_t flushed_half(Flushed operation, std::uint16_t a, std::uint16_t b,
                           std::uint16_t c = 0);

/// f(x, y) of libdevice by the position of the function in kFloatFunctions or kDoubleFunctions.
std::vector<float> apply(int function, const std::vector<float>& x, const std::vector<float>& y);
std::vector<double> apply(int function, const std::vector<double>& x, const std::vector<double>& y);
// clang-format off
#define VELUM_LIBDEVICE_FUNCTIONS(F) \
  F(sin(x)) F(cos(x)) F(tan(x)) F(exp(x)) F(exp2(x)) F(expm1(x)) F(log(x)) F(log2(x)) F(log1p(x)) F(sqrt(x)) F(cbrt(x)) \
  F(erf(x)) F(erfc(x)) F(tanh(x)) F(sinh(x)) F(atan(x)) F(asin(x)) F(lgamma(x)) F(pow(x, y)) F(x / y) F(fmod(x, y)) \
  F(hypot(x, y)) F(atan2(x, y))
// clang-format on

}  // namespace velum::emulation::arithmetic
