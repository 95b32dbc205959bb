#pragma once

#include <bit>
#include <cmath>

#include "runtime/half.h"

/// The .approx and .full forms. The manual bounds their errors and leaves the bits to the chip.
/// Here they give the nearest number, to within the error of the host's functions of f64, which is
/// inside all of the manual's bounds. Only code translated with --approximations has them.
namespace velum::emulation {

template <bool Ftz>
inline f32 nearest(f64 exact) {
  return canonical(flush<Ftz>(static_cast<f32>(exact)));
}
template <bool Ftz>
inline f32 reciprocal(f32 a) {
  return nearest<Ftz>(1.0 / flush<Ftz>(a));
}
template <bool Ftz>
inline f32 square_root(f32 a) {
  return nearest<Ftz>(std::sqrt(f64{flush<Ftz>(a)}));
}
template <bool Ftz>
inline f32 reciprocal_square_root(f32 a) {
  return nearest<Ftz>(1.0 / std::sqrt(f64{flush<Ftz>(a)}));
}
template <bool Ftz>
inline f32 power_of_two(f32 a) {
  return nearest<Ftz>(std::exp2(f64{flush<Ftz>(a)}));
}
template <bool Ftz>
inline f32 binary_logarithm(f32 a) {
  return nearest<Ftz>(std::log2(f64{flush<Ftz>(a)}));
}
template <bool Ftz>
inline f32 sine(f32 a) {
  return nearest<Ftz>(std::sin(f64{flush<Ftz>(a)}));
}
template <bool Ftz>
inline f32 cosine(f32 a) {
  return nearest<Ftz>(std::cos(f64{flush<Ftz>(a)}));
}
inline f32 hyperbolic_tangent(f32 a) { return nearest<false>(std::tanh(f64{a})); }
/// `Full`: over the full range. Else a finite a over 2^126 < |b| < 2^128 is 0 and an infinite one
/// NaN.
template <bool Full, bool Ftz>
inline f32 quotient(f32 a, f32 b) {
  a = flush<Ftz>(a);
  b = flush<Ftz>(b);
  if (!Full && std::isfinite(b) && std::fabs(b) > 0x1p126F) {
    return canonical(a * std::copysign(0.0F, b));
  }
  return nearest<Ftz>(f64{a} / b);
}

/// f64 without its 32 low bits, which are dropped from the operand and zero in the result.
inline f64 upper_half(f64 a) {
  constexpr u64 kLow = 0xFFFFFFFF;
  const u64 bits = std::bit_cast<u64>(a) & ~kLow;
  const bool subnormal = (bits << 1 >> 53) == 0;
  return std::bit_cast<f64>(subnormal ? bits & (u64{1} << 63) : bits);
}
inline f64 nearest_upper_half(f64 exact) {
  if (!std::isfinite(exact)) return exact;
  return upper_half(std::bit_cast<f64>(std::bit_cast<u64>(exact) + (u64{1} << 31)));
}
inline f64 gross_reciprocal(f64 a) {
  return std::isnan(a) ? a : nearest_upper_half(1.0 / upper_half(a));
}
inline f64 gross_reciprocal_square_root(f64 a) {
  return std::isnan(a) ? a : nearest_upper_half(1.0 / std::sqrt(upper_half(a)));
}

/// The function of f64 on each half; the halves are flushed for `Ftz`.
template <bool Ftz, typename T>
inline T half_by_double(f64 (*function)(f64), T a) {
  return each(
      [=](auto x) {
        using H = decltype(x);
        return flush_half<Ftz>(round_half<H, Round::rn>(function(widen(flush_half<Ftz>(x)))));
      },
      a);
}

}  // namespace velum::emulation
