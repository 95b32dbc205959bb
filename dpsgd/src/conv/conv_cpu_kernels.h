#pragma once

#include <cstdint>
#include <vector>

namespace velum::dpsgd::detail {

/// A convolution's per-sample weight gradients as sums over positions t, one group at a time:
///
///   gradient[d][o] = sum_t image[feature_offsets[d] + position_offsets[t]] * grad_output[o][t]
///
/// The image is the sample's part of the input where nothing is padded, else a zero-padded copy.
/// Two tables of offsets stand for stride, dilation, padding and dimension.
template <typename T>
struct ConvCpuTask {
  std::int64_t groups, outputs, channels, features, positions;  // of one group but for `groups`
  std::vector<std::int64_t> feature_offsets;                    // [features]
  std::vector<std::int64_t> position_offsets;                   // [positions]

  const T* input;  // element [sample][channel][..] by these strides
  std::int64_t input_sample_stride, input_channel_stride;
  std::vector<std::int64_t> sizes, strides;  // [dims] of the input
  std::vector<std::int64_t> padding;         // [dims]
  std::vector<std::int64_t> padded_sizes;    // [dims]; empty if the image is the input itself
  std::int64_t padded_plane;                 // elements of one padded channel

  const T* grad_output;  // element [sample][channel][position]
  std::int64_t grad_sample_stride, grad_channel_stride, grad_position_stride;

  bool depthwise = false;  // groups of one output share a vector; they need padded_sizes

  T* gradients = nullptr;           // [samples, groups, features, outputs], or not wanted
  double* squared_norms = nullptr;  // [samples], or not wanted
  T* bias_gradients = nullptr;      // [samples, groups * outputs], or not wanted
};

/// Computes samples [begin, end) of the task, on the calling thread.
void conv_samples_cpu(const ConvCpuTask<float>& task, std::int64_t begin, std::int64_t end);
void conv_samples_cpu(const ConvCpuTask<double>& task, std::int64_t begin, std::int64_t end);

/// Features that one tile of `conv_weighted_sum_cpu` has.
inline constexpr std::int64_t kConvTileFeatures = 6;
/// sum[group][feature][output] += sum_b factors[b] * gradient_b, for tiles [begin, end) of all
/// groups' features, ceil(features / kConvTileFeatures) for each group; the samples' gradients are
/// those of `conv_samples_cpu` and are added as by `add_weighted_rows_cpu`, to the bit, but none is
/// kept. Any task, depthwise too.
void conv_weighted_sum_cpu(const ConvCpuTask<float>& task, std::int64_t samples,
                           const float* factors, std::int64_t begin, std::int64_t end, float* sum);
void conv_weighted_sum_cpu(const ConvCpuTask<double>& task, std::int64_t samples,
                           const double* factors, std::int64_t begin, std::int64_t end,
                           double* sum);

/// sum[p] += sum_b factors[b] * rows[b][p] for p in [begin, end), b in ascending order, fused
/// multiply-adds where the machine has them; a row whose factor is 0 is not read.
void add_weighted_rows_cpu(const float* rows, std::int64_t count, std::int64_t row_size,
                           const float* factors, std::int64_t begin, std::int64_t end, float* sum);
void add_weighted_rows_cpu(const double* rows, std::int64_t count, std::int64_t row_size,
                           const double* factors, std::int64_t begin, std::int64_t end,
                           double* sum);

}  // namespace velum::dpsgd::detail
