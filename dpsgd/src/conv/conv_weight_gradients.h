#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace velum::dpsgd::detail {

struct ConvProblem;  // conv_problem.h

/// How a convolution reads its input: one entry of each list per spatial dimension.
struct ConvGeometry {
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;
};

/// How the per-sample gradients of a convolution weight are handled.
enum class ConvMethod {
  kMaterialise,  ///< kept as [batch, weight]; the weighted sum reads them again
  kTile,  ///< computed a few samples at a time, squared, discarded; the weighted sum recomputes
  kGram,  ///< norms from <U_t, U_s> * <G_t, G_s> in float64; the weighted sum computes the product
          ///< once
};

/// Unfolded inputs, or gradients on their way to a sum, held at one time.
inline constexpr std::int64_t kConvChunkBytes = std::int64_t{64} << 20;

/// Gradient of each sample with respect to a convolution weight, 1-D, 2-D or 3-D:
///
///   out[b][o][c][k] = sum_t grad_output[b][o][t] * input[b][C(o) + c][stride*t + dilation*k -
///   padding]
///
/// with C(o) the first input channel of o's group and zeros outside the input. Any strides of
/// memory, float32 or float64, CPU or CUDA; batch 0 gives an empty tensor. The gradient of a
/// transposed convolution's weight is the same sum with the two tensors exchanged.
///
/// @param input         [batch, channels_in, *spatial_in].
/// @param grad_output   [batch, channels_out, *spatial_out].
/// @param weight_sizes  [channels_out, channels_in / groups, *kernel].
/// @return              [batch, *weight_sizes]; not necessarily contiguous.
/// @throws std::invalid_argument if shapes, types or devices do not fit together.
/// Determinism: run-to-run; on the CPU also for any number of threads.
at::Tensor per_sample_conv_weight_gradients(const at::Tensor& input, const at::Tensor& grad_output,
                                            at::IntArrayRef weight_sizes,
                                            const ConvGeometry& geometry);

/// sum_b factors[b] * gradient_b, of shape `weight_sizes`, without keeping the gradients. A sample
/// whose factor is 0 contributes exactly nothing, whatever its input and gradient hold. The result
/// is contiguous and no view, fit to become a `.grad`.
///
/// @param factors  [batch], of the type of `input`, on its device.
at::Tensor weighted_conv_weight_gradient(const at::Tensor& input, const at::Tensor& grad_output,
                                         const at::Tensor& factors, at::IntArrayRef weight_sizes,
                                         const ConvGeometry& geometry,
                                         std::int64_t chunk_bytes = kConvChunkBytes);

/// Norms first and the weighted sum later. Holds the per-sample gradients by kMaterialise, else the
/// two tensors.
class ConvWeightGradients {
 public:
  ConvWeightGradients(const at::Tensor& input, const at::Tensor& grad_output,
                      at::IntArrayRef weight_sizes, const ConvGeometry& geometry, ConvMethod method,
                      std::int64_t chunk_bytes = kConvChunkBytes);

  ConvMethod method() const { return method_; }
  /// [batch] float64.
  const at::Tensor& squared_norms() const { return squared_norms_; }
  /// [batch, channels_out]: the gradients of the bias, grad_output summed over its positions.
  const at::Tensor& bias_gradients() const { return bias_gradients_; }
  /// [end - begin, *weight_sizes], only by kMaterialise.
  at::Tensor kept(std::int64_t begin, std::int64_t end) const;
  /// What this keeps alive; some may be undefined.
  std::vector<at::Tensor> held() const { return {rows_, input_, grad_output_}; }
  /// As `weighted_conv_weight_gradient`.
  at::Tensor weighted_sum(const at::Tensor& factors) const;

 private:
  std::shared_ptr<const ConvProblem> problem_;
  ConvMethod method_;
  std::int64_t chunk_bytes_;
  at::Tensor squared_norms_, bias_gradients_;
  at::Tensor rows_;                 // [batch, parameters], only if materialised
  at::Tensor input_, grad_output_;  // else
};

}  // namespace velum::dpsgd::detail
