#pragma once

#include <cstdint>

#include "gradients/conv_squared_norms_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename T>
struct ConvNormsTask {
  ConvProducts<T> products;
  Span<double> squared_norms;  // [batch]
  Span<double> workspace;
};

template <typename T>
void conv_squared_norms_cpu(const ConvNormsTask<T>& task, const Stream& stream);
template <typename T>
void conv_squared_norms_cuda(const ConvNormsTask<T>& task, const Stream& stream);

std::int64_t conv_workspace_size_cuda(const ProductSizes& sizes);

}  // namespace velum::kernels
