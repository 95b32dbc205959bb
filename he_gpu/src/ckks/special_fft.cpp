#include "ckks/special_fft.h"

#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ckks/special_fft.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace velum::he::HWY_NAMESPACE {
namespace special_fft {  // a name of its own: the targets' namespaces are shared by all files
namespace hn = hwy::HWY_NAMESPACE;

#include "simd/double_double-inl.h"

template <typename D>
struct One {
  hn::Vec<D> high;
};
template <typename D>
HWY_INLINE One<D> add(D, One<D> a, One<D> b) {
  return {hn::Add(a.high, b.high)};
}
template <typename D>
HWY_INLINE One<D> subtract(D, One<D> a, One<D> b) {
  return {hn::Sub(a.high, b.high)};
}
template <typename D>
HWY_INLINE One<D> multiply(D, One<D> a, One<D> b) {
  return {hn::Mul(a.high, b.high)};
}

template <typename D>
HWY_INLINE void load(D d, const double* const* planes, std::int64_t at, One<D>& x) {
  x.high = hn::LoadU(d, planes[0] + at);
}
template <typename D>
HWY_INLINE void load(D d, const double* const* planes, std::int64_t at, Two<D>& x) {
  x.high = hn::LoadU(d, planes[0] + at);
  x.low = hn::LoadU(d, planes[1] + at);
}
template <typename D>
HWY_INLINE void store(D d, One<D> x, double* const* planes, std::int64_t at) {
  hn::StoreU(x.high, d, planes[0] + at);
}
template <typename D>
HWY_INLINE void store(D d, Two<D> x, double* const* planes, std::int64_t at) {
  hn::StoreU(x.high, d, planes[0] + at);
  hn::StoreU(x.low, d, planes[1] + at);
}

template <typename Real>
struct Complex {
  Real real, imag;
};
template <typename Real, typename D, typename Planes>
HWY_INLINE Complex<Real> load(D d, const Planes& planes, std::int64_t at) {
  Complex<Real> x;
  load(d, planes.real, at, x.real);
  load(d, planes.imag, at, x.imag);
  return x;
}
template <typename Real, typename D>
HWY_INLINE void store(D d, const Complex<Real>& x, const ComplexPlanes& planes, std::int64_t at) {
  store(d, x.real, planes.real, at);
  store(d, x.imag, planes.imag, at);
}
template <typename Real, typename D>
HWY_INLINE Complex<Real> add(D d, const Complex<Real>& a, const Complex<Real>& b) {
  return {add(d, a.real, b.real), add(d, a.imag, b.imag)};
}
template <typename Real, typename D>
HWY_INLINE Complex<Real> subtract(D d, const Complex<Real>& a, const Complex<Real>& b) {
  return {subtract(d, a.real, b.real), subtract(d, a.imag, b.imag)};
}
template <typename Real, typename D>
HWY_INLINE Complex<Real> multiply(D d, const Complex<Real>& a, const Complex<Real>& w) {
  return {subtract(d, multiply(d, a.real, w.real), multiply(d, a.imag, w.imag)),
          add(d, multiply(d, a.real, w.imag), multiply(d, a.imag, w.real))};
}
/// a times the conjugate of w.
template <typename Real, typename D>
HWY_INLINE Complex<Real> divide_by_root(D d, const Complex<Real>& a, const Complex<Real>& w) {
  return {add(d, multiply(d, a.real, w.real), multiply(d, a.imag, w.imag)),
          subtract(d, multiply(d, a.imag, w.real), multiply(d, a.real, w.imag))};
}

struct Evaluate {
  template <typename Real, typename D>
  static HWY_INLINE void butterfly(D d, Complex<Real>& a, Complex<Real>& b,
                                   const Complex<Real>& w) {
    const Complex<Real> t = multiply(d, b, w);
    b = subtract(d, a, t);
    a = add(d, a, t);
  }
};
struct Interpolate {
  template <typename Real, typename D>
  static HWY_INLINE void butterfly(D d, Complex<Real>& a, Complex<Real>& b,
                                   const Complex<Real>& w) {
    const Complex<Real> difference = subtract(d, a, b);
    a = add(d, a, b);
    b = divide_by_root(d, difference, w);
  }
};

/// The butterflies that join (or part) blocks of `half`, among n numbers from `first` on.
template <typename Direction, template <typename> class Real, typename D>
HWY_INLINE void stage_of_width(D d, const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                               std::int64_t first, std::int64_t n, std::int64_t half) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t block = first; block < first + n; block += 2 * half) {
    for (std::int64_t j = 0; j < half; j += lanes) {
      Complex<Real<D>> a = load<Real<D>>(d, values, block + j);
      Complex<Real<D>> b = load<Real<D>>(d, values, block + half + j);
      const Complex<Real<D>> w = load<Real<D>>(d, twiddles, half + j);
      Direction::butterfly(d, a, b, w);
      store(d, a, values, block + j);
      store(d, b, values, block + half + j);
    }
  }
}

template <typename Direction, template <typename> class Real>
void stage(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t first,
           std::int64_t n, std::int64_t half) {
  const hn::CappedTag<double, 8> d;  // powers of two, as are the blocks
  if (half >= static_cast<std::int64_t>(hn::Lanes(d))) {
    stage_of_width<Direction, Real>(d, values, twiddles, first, n, half);
  } else if (half == 4) {
    stage_of_width<Direction, Real>(hn::CappedTag<double, 4>(), values, twiddles, first, n, half);
  } else if (half == 2) {
    stage_of_width<Direction, Real>(hn::CappedTag<double, 2>(), values, twiddles, first, n, half);
  } else {
    stage_of_width<Direction, Real>(hn::CappedTag<double, 1>(), values, twiddles, first, n, half);
  }
}

/// Complex numbers whose stages are all done before the next are touched: with their twiddle
/// factors 32 KiB, or 64 as double-doubles.
constexpr std::int64_t kCacheBlock = 1024;

template <template <typename> class Real>
void evaluate(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t first,
              std::int64_t n) {
  if (n > kCacheBlock) {
    evaluate<Real>(values, twiddles, first, n / 2);
    evaluate<Real>(values, twiddles, first + n / 2, n / 2);
    stage<Evaluate, Real>(values, twiddles, first, n, n / 2);
    return;
  }
  for (std::int64_t half = 1; half < n; half *= 2) {
    stage<Evaluate, Real>(values, twiddles, first, n, half);
  }
}

template <template <typename> class Real>
void interpolate(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t first,
                 std::int64_t n) {
  if (n > kCacheBlock) {
    stage<Interpolate, Real>(values, twiddles, first, n, n / 2);
    interpolate<Real>(values, twiddles, first, n / 2);
    interpolate<Real>(values, twiddles, first + n / 2, n / 2);
    return;
  }
  for (std::int64_t half = n / 2; half >= 1; half /= 2) {
    stage<Interpolate, Real>(values, twiddles, first, n, half);
  }
}

}  // namespace special_fft

void evaluate_1(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n) {
  special_fft::evaluate<special_fft::One>(values, twiddles, 0, n);
}
void interpolate_1(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n) {
  special_fft::interpolate<special_fft::One>(values, twiddles, 0, n);
}
void evaluate_2(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n) {
  special_fft::evaluate<special_fft::Two>(values, twiddles, 0, n);
}
void interpolate_2(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n) {
  special_fft::interpolate<special_fft::Two>(values, twiddles, 0, n);
}

}  // namespace velum::he::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::he {
namespace {

HWY_EXPORT(evaluate_1);
HWY_EXPORT(interpolate_1);
HWY_EXPORT(evaluate_2);
HWY_EXPORT(interpolate_2);

}  // namespace

void evaluate_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(evaluate_1)(values, twiddles, n);
}
void interpolate_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                        std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(interpolate_1)(values, twiddles, n);
}
void evaluate_double_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                            std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(evaluate_2)(values, twiddles, n);
}
void interpolate_double_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                               std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(interpolate_2)(values, twiddles, n);
}

}  // namespace velum::he
#endif  // HWY_ONCE
