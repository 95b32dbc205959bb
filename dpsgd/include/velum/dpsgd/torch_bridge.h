#pragma once

#include <ATen/core/Tensor.h>

#include "velum/kernels/gradients/conv_squared_norms.h"
#include "velum/kernels/gradients/linear_squared_norms.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// The stream of kernels that goes with a torch device: on the CPU torch's own threads
/// (at::parallel_for), so that no second pool competes with them; on CUDA torch's current stream.
/// @throws kernels::BackendUnavailable for a CUDA device in a build without CUDA;
///         std::invalid_argument for any other device.
kernels::Stream stream_for(const c10::Device& device);

/// The elements of a contiguous tensor of type T (float, double; const_span_of also std::int64_t).
/// @throws std::invalid_argument if the tensor is of another type or not contiguous.
template <typename T>
kernels::Span<T> span_of(const at::Tensor& tensor);
template <typename T>
kernels::Span<const T> const_span_of(const at::Tensor& tensor);

/// A two-dimensional tensor of type T whose rows are contiguous.
/// @throws std::invalid_argument if the tensor is anything else.
template <typename T>
kernels::MatrixView<const T> matrix_of(const at::Tensor& tensor);

/// A tensor [batch, steps, width] of type T whose rows are contiguous; samples and steps may lie in
/// any order.
/// @throws std::invalid_argument if the tensor is anything else.
template <typename T>
kernels::SequenceView<const T> sequence_of(const at::Tensor& tensor);

/// A tensor [batch, channels, *sizes] of type T with one to three sizes and any strides.
/// @throws std::invalid_argument if the tensor is anything else.
template <typename T>
kernels::ImageView<const T> image_of(const at::Tensor& tensor);

}  // namespace velum::dpsgd
