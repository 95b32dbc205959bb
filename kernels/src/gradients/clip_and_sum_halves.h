#pragma once

#include "gradients/clip_factors_body.h"
#include "gradients/output.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename T, typename Sum>
struct ClipAndSumTask {
  MatrixView<const T> grads;         // [batch, params]
  Span<const double> squared_norms;  // [batch]
  ClippingRule rule;
  Span<Sum> out;  // [params]
  Output output;
};

template <typename T, typename Sum>
void clip_and_sum_cpu(const ClipAndSumTask<T, Sum>& task, const Stream& stream);
template <typename T, typename Sum>
void clip_and_sum_cuda(const ClipAndSumTask<T, Sum>& task, const Stream& stream);

}  // namespace velum::kernels
