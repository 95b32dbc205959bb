#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gradients/add_gaussian_noise_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "gradients/add_gaussian_noise_halves.h"
#include "gradients/rounded_quotient.h"
#include "random/gaussian_chunk.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;  // NOLINT(misc-unused-alias-decls): not on every target

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

template <typename In, typename Out>
void combine(const NoiseAndScale& noise, const double* draws, const In* sums, Out* out,
             std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<Out>(noise(static_cast<double>(sums[i]), draws[i]));
  }
}

#else

template <typename D, typename T>
HWY_INLINE hn::Vec<D> load_as_double(D d, const T* from) {
  if constexpr (sizeof(T) == sizeof(double)) {
    return hn::LoadU(d, from);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, D>(), from));
  }
}

template <typename D, typename T>
HWY_INLINE void store_rounded(D d, hn::Vec<D> v, T* to) {
  if constexpr (sizeof(T) == sizeof(double)) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Rebind<T, D> narrow;
    hn::StoreU(hn::DemoteTo(narrow, v), narrow, to);
  }
}

/// NoiseAndScale on many lanes: the same bits. `out` may be `sums`.
template <typename In, typename Out>
void combine(const NoiseAndScale& noise, const double* draws, const In* sums, Out* out,
             std::int64_t count) {
  const hn::CappedTag<double, 8> d;
  using V = hn::Vec<decltype(d)>;
  constexpr std::int64_t kWidth = hn::MaxLanes(d);
  const V standard_deviation = hn::Set(d, noise.standard_deviation);
  const V divisor = hn::Set(d, noise.divisor);
  const auto noised = [&](std::int64_t i) HWY_ATTR {
    return hn::Add(load_as_double(d, sums + i),
                   hn::Mul(standard_deviation, hn::LoadU(d, draws + i)));
  };
  std::int64_t i = 0;
#if HWY_NATIVE_FMA
  // Divisions take longer than all the rest.
  if (noise.divisor >= kLeastDivisor && noise.divisor <= kMostDivisor) {
    constexpr int kVectors = 4;
    const V reciprocal = hn::Set(d, 1.0 / noise.divisor);
    const V least = hn::Set(d, kLeastDividend), most = hn::Set(d, kMostDividend);
    for (; i + kVectors * kWidth <= count; i += kVectors * kWidth) {
      V values[kVectors];
      auto rare = hn::FirstN(d, 0);
      for (int v = 0; v < kVectors; ++v) {
        values[v] = noised(i + v * kWidth);
        const V magnitude = hn::Abs(values[v]);
        const auto in_range = hn::And(hn::Ge(magnitude, least), hn::Le(magnitude, most));
        rare = hn::Or(rare, hn::Not(in_range));
      }
      if (HWY_LIKELY(hn::AllFalse(d, rare))) {
        for (V& value : values) {  // quotient_by
          const V quotient = hn::Mul(value, reciprocal);
          const V remainder = hn::NegMulAdd(divisor, quotient, value);
          value = hn::MulAdd(remainder, reciprocal, quotient);
        }
      } else {
        for (V& value : values) value = hn::Div(value, divisor);
      }
      for (int v = 0; v < kVectors; ++v) store_rounded(d, values[v], out + i + v * kWidth);
    }
  }
#endif
  for (; i + kWidth <= count; i += kWidth) {
    store_rounded(d, hn::Div(noised(i), divisor), out + i);
  }
  for (; i < count; ++i) {
    out[i] = static_cast<Out>(noise(static_cast<double>(sums[i]), draws[i]));
  }
}

#endif

void combine_in_float(const NoiseAndScale& noise, const double* draws, const float* sums,
                      float* out, std::int64_t count) {
  combine(noise, draws, sums, out, count);
}
void combine_in_double(const NoiseAndScale& noise, const double* draws, const double* sums,
                       double* out, std::int64_t count) {
  combine(noise, draws, sums, out, count);
}
void combine_to_float(const NoiseAndScale& noise, const double* draws, const double* sums,
                      float* out, std::int64_t count) {
  combine(noise, draws, sums, out, count);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {

namespace cpu {
namespace {

HWY_EXPORT(combine_in_float);
HWY_EXPORT(combine_in_double);
HWY_EXPORT(combine_to_float);

void combine(const NoiseAndScale& noise, const double* draws, const float* sums, float* out,
             std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(combine_in_float)(noise, draws, sums, out, count);
}
void combine(const NoiseAndScale& noise, const double* draws, const double* sums, double* out,
             std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(combine_in_double)(noise, draws, sums, out, count);
}
void combine(const NoiseAndScale& noise, const double* draws, const double* sums, float* out,
             std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(combine_to_float)(noise, draws, sums, out, count);
}

/// out[j] = noise(sums[j], draw first_element + j), first_element a multiple of kNoiseTile.
template <typename In, typename Out>
void add_noise(const NoiseAndScale& noise, std::int64_t first_element, Span<const In> sums,
               Span<Out> out) {
  HWY_ALIGN_MAX double draws[kNoiseTile];
  for (std::int64_t begin = 0; begin < out.size(); begin += kNoiseTile) {
    const std::int64_t count = std::min(kNoiseTile, out.size() - begin);
    gaussian_chunk(noise.stream, first_element + begin, Span<double>(draws, count));
    combine(noise, draws, sums.data() + begin, out.data() + begin, count);
  }
}

}  // namespace

void add_noise_and_divide(const NoiseAndScale& noise, std::int64_t first_element,
                          Span<double> sums) {
  add_noise(noise, first_element, Span<const double>(sums), sums);
}

}  // namespace cpu

template <typename In, typename Out>
void add_gaussian_noise_cpu(const AddGaussianNoiseBody<In, Out>& body, const Stream& stream) {
  stream.parallel_for().run(
      body.out.size(), cpu::kNoiseTile, [&body](std::int64_t begin, std::int64_t end) {
        cpu::add_noise(body.noise, begin, Span<const In>(body.sum.data() + begin, end - begin),
                       Span<Out>(body.out.data() + begin, end - begin));
      });
}

template void add_gaussian_noise_cpu(const AddGaussianNoiseBody<float, float>&, const Stream&);
template void add_gaussian_noise_cpu(const AddGaussianNoiseBody<double, double>&, const Stream&);
template void add_gaussian_noise_cpu(const AddGaussianNoiseBody<double, float>&, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
