#include "torch_products.h"

#include <ATen/ops/empty.h>

#include "velum/dpsgd/torch_bridge.h"
#include "velum/kernels/gradients/segment_sums.h"

namespace velum::dpsgd::detail {
namespace {

// torch's allocators align to at least what workspaces need: 64 bytes on the CPU, 512 on CUDA.
at::Tensor doubles(std::int64_t size, const at::Tensor& like) {
  return at::empty({size}, like.options().dtype(at::kDouble));
}
kernels::Span<std::uint8_t> bytes_of(const at::Tensor& workspace) {
  return {workspace.mutable_data_ptr<std::uint8_t>(), workspace.numel()};
}
at::Tensor bytes(std::int64_t size, const at::Tensor& like) {
  return at::empty({size}, like.options().dtype(at::kByte));
}

at::Tensor with_contiguous_rows(const at::Tensor& tensor) {
  return tensor.size(-1) <= 1 || tensor.stride(-1) == 1 ? tensor : tensor.contiguous();
}

template <typename T>
at::Tensor measure_linear(kernels::LinearNormForm form, const at::Tensor& activations,
                          const at::Tensor& grads) {
  const kernels::Stream stream = stream_for(grads.device());
  const at::Tensor norms = doubles(grads.size(0), grads);
  const at::Tensor workspace =
      doubles(kernels::linear_squared_norms_workspace_size(
                  form, grads.size(0), grads.size(1), activations.size(2), grads.size(2), stream),
              grads);
  kernels::linear_squared_norms(form, sequence_of<T>(activations), sequence_of<T>(grads),
                                span_of<double>(norms), span_of<double>(workspace), stream);
  return norms;
}

template <typename T>
at::Tensor measure_conv(const at::Tensor& input, const at::Tensor& grads,
                        const kernels::ConvolutionGeometry& geometry) {
  const kernels::Stream stream = stream_for(grads.device());
  const at::Tensor norms = doubles(grads.size(0), grads);
  const at::Tensor workspace =
      doubles(kernels::conv_squared_norms_workspace_size(input.size(0), input.size(1),
                                                         grads.size(1), geometry, stream),
              grads);
  kernels::conv_squared_norms(image_of<T>(input), image_of<T>(grads), geometry,
                              span_of<double>(norms), span_of<double>(workspace), stream);
  return norms;
}

template <typename T>
kernels::LookedUpRows<T> looked_up(const at::Tensor& grads, const at::Tensor& indices,
                                   const at::Tensor& samples, std::int64_t batch,
                                   std::int64_t table_rows) {
  return {matrix_of<T>(grads),
          const_span_of<std::int64_t>(indices),
          const_span_of<std::int64_t>(samples),
          batch,
          table_rows,
          /*padding_index=*/-1};
}

template <typename T>
at::Tensor measure_segments(const at::Tensor& grads, const at::Tensor& indices,
                            const at::Tensor& samples, std::int64_t batch,
                            std::int64_t table_rows) {
  const kernels::Stream stream = stream_for(grads.device());
  const at::Tensor norms = doubles(batch, grads);
  const at::Tensor workspace = bytes(kernels::segment_squared_norms_workspace_size(
                                         grads.size(0), grads.size(1), batch, table_rows, stream),
                                     grads);
  kernels::segment_squared_norms(looked_up<T>(grads, indices, samples, batch, table_rows),
                                 span_of<double>(norms), bytes_of(workspace), stream);
  return norms;
}

template <typename T>
void sum_segments(const at::Tensor& grads, const at::Tensor& indices, const at::Tensor& samples,
                  const at::Tensor& factors, const at::Tensor& out) {
  const kernels::Stream stream = stream_for(grads.device());
  const at::Tensor workspace = bytes(kernels::segment_weighted_sum_workspace_size(
                                         grads.size(0), grads.size(1), out.size(0), stream),
                                     grads);
  kernels::segment_weighted_sum(
      looked_up<T>(grads, indices, samples, factors.size(0), out.size(0)),
      const_span_of<double>(factors),
      kernels::MatrixView<T>(span_of<T>(out).data(), out.size(0), out.size(1)), bytes_of(workspace),
      stream);
}

}  // namespace

at::Tensor linear_squared_norms(kernels::LinearNormForm form, const at::Tensor& activations,
                                const at::Tensor& grads) {
  const at::Tensor a = with_contiguous_rows(activations), g = with_contiguous_rows(grads);
  return g.scalar_type() == at::kDouble ? measure_linear<double>(form, a, g)
                                        : measure_linear<float>(form, a, g);
}

at::Tensor conv_squared_norms(const at::Tensor& input, const at::Tensor& grads,
                              const kernels::ConvolutionGeometry& geometry) {
  return grads.scalar_type() == at::kDouble ? measure_conv<double>(input, grads, geometry)
                                            : measure_conv<float>(input, grads, geometry);
}

at::Tensor segment_squared_norms(const at::Tensor& grads, const at::Tensor& indices,
                                 const at::Tensor& samples, std::int64_t batch,
                                 std::int64_t table_rows) {
  const at::Tensor rows = grads.contiguous();
  const at::Tensor i = indices.contiguous(), s = samples.contiguous();
  return rows.scalar_type() == at::kDouble ? measure_segments<double>(rows, i, s, batch, table_rows)
                                           : measure_segments<float>(rows, i, s, batch, table_rows);
}

void segment_weighted_sum(const at::Tensor& grads, const at::Tensor& indices,
                          const at::Tensor& samples, const at::Tensor& factors,
                          const at::Tensor& out) {
  const at::Tensor rows = grads.contiguous();
  const at::Tensor i = indices.contiguous(), s = samples.contiguous(), f = factors.contiguous();
  if (rows.scalar_type() == at::kDouble) {
    sum_segments<double>(rows, i, s, f, out);
  } else {
    sum_segments<float>(rows, i, s, f, out);
  }
}

}  // namespace velum::dpsgd::detail
