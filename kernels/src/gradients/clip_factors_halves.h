#pragma once

#include "gradients/clip_factors_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename T>
void clip_factors_cpu(const ClipFactorsBody<T>& body, const Stream& stream);
template <typename T>
void clip_factors_cuda(const ClipFactorsBody<T>& body, const Stream& stream);

}  // namespace velum::kernels
