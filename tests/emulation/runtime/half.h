#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "runtime/operations.h"
#include "runtime/types.h"

/// Arithmetic of f16, bf16 and pairs, also of f32: each result is the exact one, rounded once. What
/// is computed in between is an f64, exact or rounded to odd, so that its own rounding never shows
/// (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, IEEE TC 57(4), 2008).
namespace velum::emulation {

/// Two f32 in a register.
struct f32x2 {
  f32 low;
  f32 high;
};

template <typename T>
struct HalfFormat;
template <>
struct HalfFormat<f16> {
  static constexpr int kFractionBits = 10;
  static constexpr int kMaxExponent = 15;
};
template <>
struct HalfFormat<bf16> {
  static constexpr int kFractionBits = 7;
  static constexpr int kMaxExponent = 127;
};
template <typename T>
inline constexpr u16 kHalfInfinity = static_cast<u16>((2 * HalfFormat<T>::kMaxExponent + 1)
                                                      << HalfFormat<T>::kFractionBits);
template <typename T>
inline constexpr u16 kHalfSmallestNormal = static_cast<u16>(1 << HalfFormat<T>::kFractionBits);
template <typename T>
inline constexpr T kHalfOne = {
    static_cast<u16>(HalfFormat<T>::kMaxExponent << HalfFormat<T>::kFractionBits)};
/// What every operation gives for NaN.
inline constexpr u16 kHalfNan = 0x7FFF;

template <typename T>
constexpr bool is_half_nan(T x) {
  return (x.bits & 0x7FFF) > kHalfInfinity<T>;
}

/// The function of each half of a pair, or of the number itself.
template <typename Function, typename... Halves>
inline auto each(Function function, Halves... x) {
  if constexpr ((requires { x.low; } && ...)) {
    using Pair = std::common_type_t<Halves...>;
    return Pair{function(x.low...), function(x.high...)};
  } else {
    return function(x...);
  }
}

template <Round R, bool Ftz>
inline f32x2 add_f32x2(f32x2 a, f32x2 b) {
  return each(&add_f32<R, Ftz, false>, a, b);
}
inline f32x2 negate_f32x2(f32x2 a) { return {negate(a.low), negate(a.high)}; }

/// Exact.
template <typename T>
inline f64 widen(T x) {
  using Format = HalfFormat<T>;
  const u64 sign = u64{x.bits & 0x8000U} << 48;
  const u64 magnitude = x.bits & 0x7FFFU;
  if (magnitude >= kHalfInfinity<T>) {
    const u64 fraction = (magnitude & (kHalfSmallestNormal<T> - 1U))
                         << (52 - Format::kFractionBits);
    return std::bit_cast<f64>(sign | 0x7FF0000000000000U | fraction);
  }
  if (magnitude < kHalfSmallestNormal<T>) {
    const f64 value =
        std::ldexp(static_cast<f64>(magnitude), 1 - Format::kMaxExponent - Format::kFractionBits);
    return sign != 0 ? -value : value;
  }
  constexpr u64 kBias = u64{1023 - Format::kMaxExponent} << 52;
  return std::bit_cast<f64>(sign | ((magnitude << (52 - Format::kFractionBits)) + kBias));
}

/// Rounds once.
template <typename T, Round R>
inline T round_half(f64 x) {
  using Format = HalfFormat<T>;
  constexpr int kMinExponent = 1 - Format::kMaxExponent;
  if (std::isnan(x)) return {kHalfNan};
  const u64 bits = std::bit_cast<u64>(x);
  const bool negative = (bits >> 63) != 0;
  const u16 sign = negative ? 0x8000 : 0;
  if (std::isinf(x)) return {static_cast<u16>(sign | kHalfInfinity<T>)};
  const int biased = static_cast<int>(bits >> 52 & 0x7FF);
  const u64 fraction = bits & ((u64{1} << 52) - 1);
  // |x| = significand * 2^(exponent - 52)
  const u64 significand = biased == 0 ? fraction : fraction | u64{1} << 52;
  const int exponent = biased == 0 ? -1022 : biased - 1023;
  const int target = exponent < kMinExponent ? kMinExponent : exponent;
  const int shift = 52 - Format::kFractionBits + (target - exponent);
  const int bounded = shift < 60 ? shift : 60;  // beyond, all is a rest below one half
  u64 units = significand >> bounded;
  const u64 rest = significand & ((u64{1} << bounded) - 1);
  const u64 half = u64{1} << (bounded - 1);
  if constexpr (R == Round::rn) {
    units += rest > half || (rest == half && (units & 1) != 0) ? 1 : 0;
  } else if constexpr (R == Round::rp) {
    units += rest != 0 && !negative ? 1 : 0;
  } else if constexpr (R == Round::rm) {
    units += rest != 0 && negative ? 1 : 0;
  } else {
    static_assert(R == Round::rz);
  }
  u64 result = units + (static_cast<u64>(target - kMinExponent) << Format::kFractionBits);
  if (result >= kHalfInfinity<T>) {
    const bool to_infinity =
        R == Round::rn || (R == Round::rp && !negative) || (R == Round::rm && negative);
    result = to_infinity ? kHalfInfinity<T> : kHalfInfinity<T> - 1;
  }
  return {static_cast<u16>(sign | result)};
}

/// a + b rounded to odd: exact, or the one of the two nearest f64 whose last bit is 1.
inline f64 sum_to_odd(f64 a, f64 b) {
  const f64 sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const f64 of_b = sum - a;
  const f64 error = (a - (sum - of_b)) + (b - of_b);
  const u64 bits = std::bit_cast<u64>(sum);
  if (error == 0.0 || (bits & 1) != 0) return sum;
  return std::bit_cast<f64>((error > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1);
}
/// An integer as an f64, rounded to odd.
template <typename S>
inline f64 integer_to_odd(S a) {
  const bool negative = a < 0;
  u64 magnitude = static_cast<u64>(a);
  if (negative) magnitude = u64{0} - magnitude;
  constexpr u64 kLost = (u64{1} << 11) - 1;
  if (magnitude >> 53 != 0) {
    magnitude = (magnitude & ~kLost) | ((magnitude & kLost) != 0 ? u64{1} << 11 : 0);
  }
  const f64 value = static_cast<f64>(magnitude);
  return negative ? -value : value;
}

template <bool Ftz, typename T>
inline T flush_half(T a) {
  return each(
      [](auto x) {
        if (Ftz && (x.bits & 0x7FFF) < kHalfSmallestNormal<decltype(x)>) x.bits &= 0x8000;
        return x;
      },
      a);
}
/// To [0, 1]; NaN and -0 give +0.
template <bool Saturates, typename T>
inline T saturate_half(T x) {
  if (!Saturates) return x;
  if (is_half_nan(x) || (x.bits & 0x8000) != 0) return {0};
  return x.bits < kHalfOne<T>.bits ? x : kHalfOne<T>;
}
/// The greater of x and +0; NaN stays. The headers of CUDA define it so too (__hfma_relu).
template <bool Relu, typename T>
inline T relu_half(T x) {
  return Relu && !is_half_nan(x) && (x.bits & 0x8000) != 0 ? T{0} : x;
}

/// A sum that is subnormal is exact, so flushing it needs no rule about rounding.
template <bool Ftz, bool Sat, typename T>
inline T add_half(T a, T b) {
  return each(
      [](auto x, auto y) {
        using H = decltype(x);
        const f64 sum = sum_to_odd(widen(flush_half<Ftz>(x)), widen(flush_half<Ftz>(y)));
        return saturate_half<Sat>(flush_half<Ftz>(round_half<H, Round::rn>(sum)));
      },
      a, b);
}
template <bool Sat, typename T>
inline T mul_half(T a, T b) {
  return each(
      [](auto x, auto y) {
        using H = decltype(x);
        return saturate_half<Sat>(round_half<H, Round::rn>(widen(x) * widen(y)));
      },
      a, b);
}
template <bool Sat, bool Relu, typename T>
inline T fma_half(T a, T b, T c) {
  return each(
      [](auto x, auto y, auto z) {
        using H = decltype(x);
        const f64 sum = sum_to_odd(widen(x) * widen(y), widen(z));
        return relu_half<Relu>(saturate_half<Sat>(round_half<H, Round::rn>(sum)));
      },
      a, b, c);
}
template <bool Ftz, typename T>
inline T negate_half(T a) {
  return each(
      [](auto x) {
        x = flush_half<Ftz>(x);
        x.bits ^= 0x8000;
        return x;
      },
      a);
}
template <bool Ftz, typename T>
inline T absolute_half(T a) {
  return each(
      [](auto x) {
        x = flush_half<Ftz>(x);
        x.bits &= 0x7FFF;
        return x;
      },
      a);
}
/// The extremum of two numbers by their values, which are exact; -0 is less than +0.
template <bool Largest, bool Ftz, bool PropagatesNan, typename T>
inline T extremum_half(T a, T b) {
  return each(
      [](auto x, auto y) {
        using H = decltype(x);
        x = flush_half<Ftz>(x);
        y = flush_half<Ftz>(y);
        const bool nan_x = is_half_nan(x);
        const bool nan_y = is_half_nan(y);
        if ((nan_x && nan_y) || (PropagatesNan && (nan_x || nan_y))) return H{kHalfNan};
        if (nan_x) return y;
        if (nan_y) return x;
        return less(widen(x), widen(y)) == Largest ? y : x;
      },
      a, b);
}

// Conversions

enum class Overflow { infinity, finite };

/// `Finite`: values beyond the largest finite one, infinity too, give that one with their sign.
template <typename T, Round R, Overflow O, bool Sat, bool Relu>
inline T to_half(f64 a) {
  T x = round_half<T, R>(a);
  if constexpr (O == Overflow::finite) {
    if (!std::isnan(a) && (x.bits & 0x7FFF) == kHalfInfinity<T>) --x.bits;
  }
  return relu_half<Relu>(saturate_half<Sat>(x));
}
template <typename T, Round R, Overflow O, bool Relu>
inline auto to_half_pair(f32 high, f32 low) {
  using Pair = std::conditional_t<std::is_same_v<T, f16>, f16x2, bf16x2>;
  return Pair{to_half<T, R, O, false, Relu>(low), to_half<T, R, O, false, Relu>(high)};
}
template <typename T, Round R>
inline T round_half_to_integral(T a) {
  if (is_half_nan(a)) return {kHalfNan};
  return round_half<T, Round::rn>(round_to_integral<f64, R>(widen(a)));
}
/// f32 with 10 bits of fraction, ties away from zero for `Away`.
template <Round R, bool Away, Overflow O, bool Relu>
inline tf32 to_tf32(f32 a) {
  constexpr u32 kInfinity = 0x7F800000;
  constexpr u32 kLost = (u32{1} << 13) - 1;
  if (std::isnan(a)) return 0x7FFFE000;
  const u32 bits = std::bit_cast<u32>(a);
  const u32 sign = bits & 0x80000000U;
  u32 magnitude = bits & 0x7FFFFFFFU;
  const u32 rest = magnitude & kLost;
  constexpr u32 kHalf = u32{1} << 12;
  const bool odd = (magnitude & (kLost + 1)) != 0;
  const bool up = Away ? rest >= kHalf : R == Round::rn && (rest > kHalf || (rest == kHalf && odd));
  magnitude = (magnitude & ~kLost) + (up ? kLost + 1 : 0);
  if (O == Overflow::finite && magnitude >= kInfinity) magnitude = kInfinity - (kLost + 1);
  return Relu && sign != 0 ? 0 : sign | magnitude;
}

}  // namespace velum::emulation
