#pragma once

#include <cstdint>

#include "gradients/product_body.h"
#include "velum/kernels/gradients/linear_squared_norms.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename T>
struct LinearNormsTask {
  SequenceView<const T> activations;  // [batch, steps, inputs]
  SequenceView<const T> grads;        // [batch, steps, outputs]
  Span<double> squared_norms;         // [batch]
  Span<double> workspace;

  ProductSizes sizes() const {
    return {grads.batch, 1, grads.width, activations.width, grads.steps};
  }
};

/// The last step of the outer form: norms[b] *= factors[b].
struct MultiplyNormsBody {
  Span<const double> factors;
  Span<double> norms;
  VELUM_HOST_DEVICE void operator()(std::int64_t sample) const { norms[sample] *= factors[sample]; }
};

void multiply_norms_cpu(const MultiplyNormsBody& body, const Stream& stream);
void multiply_norms_cuda(const MultiplyNormsBody& body, const Stream& stream);

template <typename T>
void linear_tile_squared_norms_cpu(const LinearNormsTask<T>& task, const Stream& stream);
template <typename T>
void linear_tile_squared_norms_cuda(const LinearNormsTask<T>& task, const Stream& stream);
template <typename T>
void linear_gram_squared_norms_cpu(const LinearNormsTask<T>& task, const Stream& stream);
template <typename T>
void linear_gram_squared_norms_cuda(const LinearNormsTask<T>& task, const Stream& stream);

std::int64_t linear_tile_workspace_size_cuda(const ProductSizes& sizes);
std::int64_t linear_gram_workspace_size_cuda(const ProductSizes& sizes);

}  // namespace velum::kernels
