#pragma once

#include "polynomial/elementwise_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <ElementwiseOperation kOperation, typename Word>
void elementwise_cpu(const ElementwiseTask<Word>& task, const Stream& stream);
template <ElementwiseOperation kOperation, typename Word>
void elementwise_cuda(const ElementwiseTask<Word>& task, const Stream& stream);

/// For the explicit instantiations of both halves.
#define VELUM_FOR_EACH_ELEMENTWISE_OPERATION(APPLY, Word) \
  APPLY(kAdd, Word)                                       \
  APPLY(kSubtract, Word)                                  \
  APPLY(kNegate, Word)                                    \
  APPLY(kMultiply, Word)                                  \
  APPLY(kMultiplyAccumulate, Word)                        \
  APPLY(kMultiplyFactors, Word)                           \
  APPLY(kMultiplyFactorsAccumulate, Word)                 \
  APPLY(kAddConstants, Word)                              \
  APPLY(kCopy, Word)

}  // namespace velum::kernels
