#pragma once

#include <cstdint>

#include "gradients/add_gaussian_noise_body.h"
#include "gradients/clip_factors_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What becomes of a finished sum: it is kept as it is, or noised and divided (NoiseAndScale).
struct KeepSum {};

template <typename T, typename Previous, typename Out, typename Finish>
struct ClipAndSumTask {
  MatrixView<const T> grads;         // [batch, params]
  Span<const double> squared_norms;  // [batch]
  ClippingRule rule;
  Span<const Previous> previous;  // [params], may be `out`; or empty: zeros
  Span<Out> out;                  // [params]
  Finish finish;
};

template <typename T, typename Previous, typename Out, typename Finish>
void clip_and_sum_cpu(const ClipAndSumTask<T, Previous, Out, Finish>& task, const Stream& stream);
template <typename T, typename Previous, typename Out, typename Finish>
void clip_and_sum_cuda(const ClipAndSumTask<T, Previous, Out, Finish>& task, const Stream& stream);

/// The tasks that are compiled, for each half: float and double gradients, sums kept in either or
/// noised.
#define VELUM_FOR_EACH_CLIP_AND_SUM_TASK(X) \
  X(float, float, float, KeepSum)           \
  X(float, double, double, KeepSum)         \
  X(double, double, double, KeepSum)        \
  X(float, float, float, NoiseAndScale)     \
  X(float, double, float, NoiseAndScale)    \
  X(double, double, double, NoiseAndScale)

}  // namespace velum::kernels
