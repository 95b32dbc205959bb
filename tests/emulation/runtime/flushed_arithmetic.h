#pragma once

#include "runtime/half.h"
#include "runtime/thread.h"

/// Products, quotients and conversions with .ftz. No document says whether a result counts as
/// subnormal that is so before it is rounded and the smallest normal number afterwards; such a
/// result ends the kernel. All others are exact.
namespace velum::emulation {

/// The flushed result; `was_subnormal`: before it was rounded.
inline f32 flush_rounded(f32 result, bool was_subnormal, Thread& t, u32 site) {
  if (was_subnormal && std::fabs(result) >= std::numeric_limits<f32>::min()) [[unlikely]] {
    t.fail_flush(site);
  }
  return flush<true>(result);
}

template <Round R, bool Sat>
inline f32 mul_f32_flushed(f32 a, f32 b, Thread& t, u32 site) {
  a = flush<true>(a);
  b = flush<true>(b);
  const f64 exact = f64{a} * b;
  const bool subnormal = std::fabs(exact) < std::numeric_limits<f32>::min();
  return saturate<Sat>(flush_rounded(apply<R>(Operation::mul, a, b), subnormal, t, site));
}
template <Round R, bool Sat>
inline f32 fma_f32_flushed(f32 a, f32 b, f32 c, Thread& t, u32 site) {
  a = flush<true>(a);
  b = flush<true>(b);
  c = flush<true>(c);
  const f64 exact = sum_to_odd(f64{a} * b, c);
  const bool subnormal = std::fabs(exact) < std::numeric_limits<f32>::min();
  return saturate<Sat>(flush_rounded(apply<R>(Operation::fma, a, b, c), subnormal, t, site));
}
template <Round R>
inline f32 div_f32_flushed(f32 a, f32 b, Thread& t, u32 site) {
  a = flush<true>(a);
  b = flush<true>(b);
  // |a / b| < min, without a division; both sides are exact in f64.
  const bool subnormal = std::fabs(f64{a}) < std::fabs(f64{b}) * std::numeric_limits<f32>::min();
  return canonical(flush_rounded(apply<R>(Operation::div, a, b), subnormal, t, site));
}
template <Round R, bool Sat>
inline f32 narrow_flushed(f64 a, Thread& t, u32 site) {
  const bool subnormal = std::fabs(a) < std::numeric_limits<f32>::min();
  return saturate<Sat>(flush_rounded(narrow<R>(a), subnormal, t, site));
}

template <typename T>
inline T round_half_flushed(f64 exact, Thread& t, u32 site) {
  const T result = round_half<T, Round::rn>(exact);
  constexpr u16 kSmallest = kHalfSmallestNormal<T>;
  if (std::fabs(exact) < widen(T{kSmallest}) && (result.bits & 0x7FFF) == kSmallest) [[unlikely]] {
    t.fail_flush(site);
  }
  return flush_half<true>(result);
}
template <bool Sat, typename T>
inline T mul_half_flushed(T a, T b, Thread& t, u32 site) {
  return each(
      [&](auto x, auto y) {
        using H = decltype(x);
        const f64 exact = widen(flush_half<true>(x)) * widen(flush_half<true>(y));
        return saturate_half<Sat>(round_half_flushed<H>(exact, t, site));
      },
      a, b);
}
template <bool Sat, bool Relu, typename T>
inline T fma_half_flushed(T a, T b, T c, Thread& t, u32 site) {
  return each(
      [&](auto x, auto y, auto z) {
        using H = decltype(x);
        const f64 exact = sum_to_odd(widen(flush_half<true>(x)) * widen(flush_half<true>(y)),
                                     widen(flush_half<true>(z)));
        return relu_half<Relu>(saturate_half<Sat>(round_half_flushed<H>(exact, t, site)));
      },
      a, b, c);
}

}  // namespace velum::emulation
