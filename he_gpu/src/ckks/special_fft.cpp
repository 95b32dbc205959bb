#include "ckks/special_fft.h"

#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ckks/special_fft.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <cstdint>

#ifndef VELUM_CKKS_SPECIAL_FFT_CPP_
#define VELUM_CKKS_SPECIAL_FFT_CPP_
namespace velum::he::special_fft {

/// Butterflies [begin, end) of those that join the two blocks of `half` at `block`.
struct Part {
  std::int64_t block, half, begin, end;
};

}  // namespace velum::he::special_fft
#endif  // VELUM_CKKS_SPECIAL_FFT_CPP_

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

/// Butterflies [begin, end) of the `half` that join (or part) the two blocks of so many at `block`.
template <typename Direction, template <typename> class Real, typename D>
HWY_INLINE void butterflies(D d, const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                            std::int64_t block, std::int64_t half, std::int64_t begin,
                            std::int64_t end) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = begin; j < end; j += lanes) {
    Complex<Real<D>> a = load<Real<D>>(d, values, block + j);
    Complex<Real<D>> b = load<Real<D>>(d, values, block + half + j);
    const Complex<Real<D>> w = load<Real<D>>(d, twiddles, half + j);
    Direction::butterfly(d, a, b, w);
    store(d, a, values, block + j);
    store(d, b, values, block + half + j);
  }
}

/// The butterflies that join (or part) blocks of `half`, among n numbers from `first` on.
template <typename Direction, template <typename> class Real, typename D>
HWY_INLINE void stage_of_width(D d, const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                               std::int64_t first, std::int64_t n, std::int64_t half) {
  for (std::int64_t block = first; block < first + n; block += 2 * half) {
    butterflies<Direction, Real>(d, values, twiddles, block, half, 0, half);
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

/// Many butterflies: a multiple of the lanes.
template <typename Direction, template <typename> class Real>
void many_butterflies(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                      const he::special_fft::Part& part) {
  butterflies<Direction, Real>(hn::CappedTag<double, 8>(), values, twiddles, part.block, part.half,
                               part.begin, part.end);
}

}  // namespace special_fft

#define VELUM_DEFINE(name, Real)                                                                 \
  void evaluate_##name(const ComplexPlanes& values, const TwiddlePlanes& twiddles,               \
                       std::int64_t first, std::int64_t n) {                                     \
    special_fft::evaluate<special_fft::Real>(values, twiddles, first, n);                        \
  }                                                                                              \
  void interpolate_##name(const ComplexPlanes& values, const TwiddlePlanes& twiddles,            \
                          std::int64_t first, std::int64_t n) {                                  \
    special_fft::interpolate<special_fft::Real>(values, twiddles, first, n);                     \
  }                                                                                              \
  void join_##name(const ComplexPlanes& values, const TwiddlePlanes& twiddles,                   \
                   const he::special_fft::Part& part) {                                          \
    special_fft::many_butterflies<special_fft::Evaluate, special_fft::Real>(values, twiddles,    \
                                                                            part);               \
  }                                                                                              \
  void part_##name(const ComplexPlanes& values, const TwiddlePlanes& twiddles,                   \
                   const he::special_fft::Part& part) {                                          \
    special_fft::many_butterflies<special_fft::Interpolate, special_fft::Real>(values, twiddles, \
                                                                               part);            \
  }
VELUM_DEFINE(1, One)
VELUM_DEFINE(2, Two)
#undef VELUM_DEFINE

}  // namespace velum::he::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::he {
namespace {

HWY_EXPORT(evaluate_1);
HWY_EXPORT(interpolate_1);
HWY_EXPORT(join_1);
HWY_EXPORT(part_1);
HWY_EXPORT(evaluate_2);
HWY_EXPORT(interpolate_2);
HWY_EXPORT(join_2);
HWY_EXPORT(part_2);

/// For threads, n numbers are kBlocks blocks, each the transform of its own.
constexpr std::int64_t kBlocks = 8;
/// Fewer numbers are some ten microseconds of work.
constexpr std::int64_t kFewest = 4096;

bool for_threads(std::int64_t n, const kernels::Stream& stream) {
  return n >= kFewest && stream.parallel_for().thread_count() > 1;
}

/// Calls `run(part)` for the butterflies that join blocks of `half` among n numbers, in kBlocks
/// parts.
template <typename Run>
void for_each_part(std::int64_t n, std::int64_t half, const kernels::Stream& stream,
                   const Run& run) {
  const std::int64_t length = n / 2 / kBlocks;  // at most half: a part stays in its blocks
  stream.parallel_for().run(kBlocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t begin = i * length % half;
      run(special_fft::Part{i * length / half * 2 * half, half, begin, begin + length});
    }
  });
}

/// Calls `run(first, n / kBlocks)` for every block.
template <typename Run>
void for_each_block(std::int64_t n, const kernels::Stream& stream, const Run& run) {
  const std::int64_t length = n / kBlocks;
  stream.parallel_for().run(kBlocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) run(i * length, length);
  });
}

template <typename Whole, typename Join>
void evaluate(std::int64_t n, const kernels::Stream& stream, const Whole& whole, const Join& join) {
  if (!for_threads(n, stream)) return whole(0, n);
  for_each_block(n, stream, whole);
  for (std::int64_t half = n / kBlocks; half < n; half *= 2) {
    for_each_part(n, half, stream, join);
  }
}

template <typename Whole, typename PartBlocks>
void interpolate(std::int64_t n, const kernels::Stream& stream, const Whole& whole,
                 const PartBlocks& part_blocks) {
  if (!for_threads(n, stream)) return whole(0, n);
  for (std::int64_t half = n / 2; half >= n / kBlocks; half /= 2) {
    for_each_part(n, half, stream, part_blocks);
  }
  for_each_block(n, stream, whole);
}

}  // namespace

#define VELUM_DEFINE(direction, precision, name, butterflies)                              \
  void direction##_##precision(const ComplexPlanes& values, const TwiddlePlanes& twiddles, \
                               std::int64_t n, const kernels::Stream& stream) {            \
    direction(                                                                             \
        n, stream,                                                                         \
        [&](std::int64_t first, std::int64_t count) {                                      \
          HWY_DYNAMIC_DISPATCH(direction##_##name)(values, twiddles, first, count);        \
        },                                                                                 \
        [&](const special_fft::Part& part) {                                               \
          HWY_DYNAMIC_DISPATCH(butterflies##_##name)(values, twiddles, part);              \
        });                                                                                \
  }
VELUM_DEFINE(evaluate, double, 1, join)
VELUM_DEFINE(interpolate, double, 1, part)
VELUM_DEFINE(evaluate, double_double, 2, join)
VELUM_DEFINE(interpolate, double_double, 2, part)
#undef VELUM_DEFINE

}  // namespace velum::he
#endif  // HWY_ONCE
