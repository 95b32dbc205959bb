#pragma once

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Whether the squared norms replace what is there or are added to it.
enum class Output { kOverwrite, kAdd };

template <typename T>
struct SquaredNormsTask {
  MatrixView<const T> grads;   // [batch, params]
  Span<double> squared_norms;  // [batch]
  Output output;
};

template <typename T>
void per_sample_squared_norms_cpu(const SquaredNormsTask<T>& task, const Stream& stream);
template <typename T>
void per_sample_squared_norms_cuda(const SquaredNormsTask<T>& task, const Stream& stream);

}  // namespace velum::kernels
