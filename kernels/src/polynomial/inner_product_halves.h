#pragma once

#include "polynomial/inner_product_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename Word>
void inner_product_cpu(const InnerProductTask<Word>& task, const Stream& stream);
template <typename Word>
void inner_product_cuda(const InnerProductTask<Word>& task, const Stream& stream);

}  // namespace velum::kernels
