#include "recurrent/lstm_cpu_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "recurrent/lstm_cpu_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// clang-format off
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>  // per target, after highway.h
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V = hn::Vec<D>>
HWY_INLINE V logistic(D d, V x) {
  // From 88 on exp comes near the largest float; the result is under 2^-126 there.
  const V one = hn::Set(d, 1.0f);
  const V power = hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 88.0f)));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Div(one, hn::Add(one, power)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V hyperbolic_tangent(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x));
}

/// y (1 - y): the slope of the logistic function at the value y.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V logistic_slope(D d, V y) {
  return hn::Mul(y, hn::Sub(hn::Set(d, 1.0f), y));
}
/// 1 - y^2: that of tanh.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh_slope(D d, V y) {
  return hn::NegMulAdd(y, y, hn::Set(d, 1.0f));
}

void activate(std::int64_t rows, std::int64_t width, const float* HWY_RESTRICT bias,
              const float* HWY_RESTRICT cells_before, float* HWY_RESTRICT gates,
              float* HWY_RESTRICT cells) {
  const hn::ScalableTag<float> vector;
  const hn::CappedTag<float, 1> one;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(vector));
  for (std::int64_t row = 0; row < rows; ++row) {
    float* const of_row = gates + row * 4 * width;
    const auto units = [&](auto d, std::int64_t unit) HWY_ATTR {
      const auto given = [&](std::int64_t gate) HWY_ATTR {
        const auto sum = hn::LoadU(d, of_row + gate * width + unit);
        return bias == nullptr ? sum : hn::Add(sum, hn::LoadU(d, bias + gate * width + unit));
      };
      const auto in = logistic(d, given(0)), forget = logistic(d, given(1));
      const auto cell = hyperbolic_tangent(d, given(2)), out = logistic(d, given(3));
      hn::StoreU(in, d, of_row + unit);
      hn::StoreU(forget, d, of_row + width + unit);
      hn::StoreU(cell, d, of_row + 2 * width + unit);
      hn::StoreU(out, d, of_row + 3 * width + unit);
      const auto before = hn::LoadU(d, cells_before + row * width + unit);
      hn::StoreU(hn::MulAdd(in, cell, hn::Mul(forget, before)), d, cells + row * width + unit);
    };
    std::int64_t unit = 0;
    for (; unit + n <= width; unit += n) units(vector, unit);
    for (; unit < width; ++unit) units(one, unit);
  }
}

void step_backward(std::int64_t rows, std::int64_t width, const float* HWY_RESTRICT cells_before,
                   const float* HWY_RESTRICT cells, const float* HWY_RESTRICT hidden_grads,
                   const float* HWY_RESTRICT output_grads, std::int64_t output_stride,
                   float* HWY_RESTRICT cell_grads, float* HWY_RESTRICT gates) {
  const hn::ScalableTag<float> vector;
  const hn::CappedTag<float, 1> one;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(vector));
  for (std::int64_t row = 0; row < rows; ++row) {
    float* const of_row = gates + row * 4 * width;
    const auto units = [&](auto d, std::int64_t unit) HWY_ATTR {
      const std::int64_t at = row * width + unit;
      const auto in = hn::LoadU(d, of_row + unit), forget = hn::LoadU(d, of_row + width + unit);
      const auto cell = hn::LoadU(d, of_row + 2 * width + unit);
      const auto out = hn::LoadU(d, of_row + 3 * width + unit);
      auto hidden_grad = hn::LoadU(d, hidden_grads + at);
      if (output_grads != nullptr) {
        hidden_grad = hn::Add(hidden_grad, hn::LoadU(d, output_grads + row * output_stride + unit));
      }
      const auto shown = hyperbolic_tangent(d, hn::LoadU(d, cells + at));
      const auto cell_grad = hn::MulAdd(hn::Mul(tanh_slope(d, shown), out), hidden_grad,
                                        hn::LoadU(d, cell_grads + at));
      hn::StoreU(hn::Mul(cell_grad, forget), d, cell_grads + at);
      hn::StoreU(hn::Mul(hn::Mul(logistic_slope(d, in), cell), cell_grad), d, of_row + unit);
      hn::StoreU(
          hn::Mul(hn::Mul(logistic_slope(d, forget), hn::LoadU(d, cells_before + at)), cell_grad),
          d, of_row + width + unit);
      hn::StoreU(hn::Mul(hn::Mul(tanh_slope(d, cell), in), cell_grad), d,
                 of_row + 2 * width + unit);
      hn::StoreU(hn::Mul(hn::Mul(logistic_slope(d, out), shown), hidden_grad), d,
                 of_row + 3 * width + unit);
    };
    std::int64_t unit = 0;
    for (; unit + n <= width; unit += n) units(vector, unit);
    for (; unit < width; ++unit) units(one, unit);
  }
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(activate);
HWY_EXPORT(step_backward);

void lstm_activate_cpu(std::int64_t rows, std::int64_t width, const float* bias,
                       const float* cells_before, float* gates, float* cells) {
  HWY_DYNAMIC_DISPATCH(activate)(rows, width, bias, cells_before, gates, cells);
}
void lstm_step_backward_cpu(std::int64_t rows, std::int64_t width, const float* cells_before,
                            const float* cells, const float* hidden_grads,
                            const float* output_grads, std::int64_t output_stride,
                            float* cell_grads, float* gates) {
  HWY_DYNAMIC_DISPATCH(step_backward)
  (rows, width, cells_before, cells, hidden_grads, output_grads, output_stride, cell_grads, gates);
}

}  // namespace velum::dpsgd::detail
#endif
