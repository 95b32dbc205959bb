#include "velum/kernels/gradients/conv_squared_norms.h"

#include <cstddef>
#include <limits>
#include <string>

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/conv_squared_norms_halves.h"

namespace velum::kernels {
namespace {

constexpr std::int64_t kMaxInt = std::numeric_limits<int>::max();

std::string entry(const char* name, std::size_t dim) {
  return std::string(name) + "[" + std::to_string(dim) + "]";
}

void check_range(const char* function, const std::string& name, std::int64_t value,
                 std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return;
  throw std::invalid_argument(std::string(function) + ": " + name + " = " + std::to_string(value) +
                              ", expected " + std::to_string(least) + " to " +
                              std::to_string(most));
}

/// The product of factors >= 0, or an error where it is above 2^31 - 1.
std::int64_t checked_product(const char* function, const char* name,
                             const std::array<std::int64_t, 4>& factors) {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors) {
    if (factor == 0) return 0;
  }
  for (const std::int64_t factor : factors) {
    if (factor > kMaxInt / product) {
      throw std::invalid_argument(std::string(function) + ": " + name + " exceed " +
                                  std::to_string(kMaxInt) + ", expected at most that many");
    }
    product *= factor;
  }
  return product;
}

/// Groups and kernel. The sizes of the products but for their steps.
ProductSizes check_geometry(const char* function, std::int64_t batch, std::int64_t channels_in,
                            std::int64_t channels_out, const ConvolutionGeometry& geometry) {
  check_not_negative(function, "batch", batch);
  check_range(function, "channels_in", channels_in, 0, kMaxInt);
  check_range(function, "channels_out", channels_out, 0, kMaxInt);
  check_range(function, "groups", geometry.groups, 1, kMaxInt);
  for (const std::int64_t channels : {channels_in, channels_out}) {
    if (channels % geometry.groups != 0) {
      throw std::invalid_argument(
          std::string(function) + ": groups = " + std::to_string(geometry.groups) +
          ", expected a divisor of channels_in = " + std::to_string(channels_in) +
          " and channels_out = " + std::to_string(channels_out));
    }
  }
  for (std::size_t d = 0; d < kImageDims; ++d) {
    check_range(function, entry("kernel", d), geometry.kernel[d], 1, kMaxInt);
    check_range(function, entry("stride", d), geometry.stride[d], 1, kMaxInt);
    check_range(function, entry("padding", d), geometry.padding[d], 0, kMaxInt / 4);
    check_range(function, entry("dilation", d), geometry.dilation[d], 1, kMaxInt);
  }
  const std::int64_t features = checked_product(
      function, "features of a group",
      {channels_in / geometry.groups, geometry.kernel[0], geometry.kernel[1], geometry.kernel[2]});
  return {batch, geometry.groups, channels_out / geometry.groups, features, 0};
}

template <typename T>
void check_strides(const char* function, const std::string& name, const ImageView<T>& view) {
  check_not_negative(function, name + ".batch_stride", view.batch_stride);
  check_not_negative(function, name + ".channel_stride", view.channel_stride);
  for (std::size_t d = 0; d < kImageDims; ++d) {
    check_not_negative(function, name + "." + entry("strides", d), view.strides[d]);
  }
}

template <typename T>
ConvProducts<T> checked_products(const char* function, const ImageView<const T>& input,
                                 const ImageView<const T>& grads,
                                 const ConvolutionGeometry& geometry) {
  check_equal(function, "grads.batch", grads.batch, "input.batch", input.batch);
  ConvProducts<T> products{};
  products.sizes = check_geometry(function, input.batch, input.channels, grads.channels, geometry);
  check_strides(function, "input", input);
  check_strides(function, "grads", grads);
  for (std::size_t d = 0; d < kImageDims; ++d) {
    check_range(function, entry("input.sizes", d), input.sizes[d], 0,
                kMaxInt - 2 * geometry.padding[d]);
    const std::int64_t room = input.sizes[d] + 2 * geometry.padding[d] -
                              geometry.dilation[d] * (geometry.kernel[d] - 1) - 1;
    if (room < 0) {
      throw std::invalid_argument(std::string(function) + ": " + entry("input.sizes", d) + " = " +
                                  std::to_string(input.sizes[d]) + ", expected at least " +
                                  std::to_string(input.sizes[d] - room) +
                                  " for this kernel, padding and dilation");
    }
    check_equal(function, entry("grads.sizes", d).c_str(), grads.sizes[d],
                "the positions of the kernel", room / geometry.stride[d] + 1);
    products.input_strides[d] = input.strides[d];
    products.input_sizes[d] = static_cast<int>(input.sizes[d]);
    products.grads_strides[d] = grads.strides[d];
    products.grads_sizes[d] = static_cast<int>(grads.sizes[d]);
    products.kernel[d] = static_cast<int>(geometry.kernel[d]);
    products.stride[d] = geometry.stride[d];
    products.padding[d] = geometry.padding[d];
    products.dilation[d] = geometry.dilation[d];
  }
  products.sizes.steps =
      checked_product(function, "positions", {1, grads.sizes[0], grads.sizes[1], grads.sizes[2]});
  products.input = input.data;
  products.input_batch_stride = input.batch_stride;
  products.input_group_stride = input.channels / geometry.groups * input.channel_stride;
  products.input_channel_stride = input.channel_stride;
  products.grads = grads.data;
  products.grads_batch_stride = grads.batch_stride;
  products.grads_group_stride = products.sizes.outputs * grads.channel_stride;
  products.grads_channel_stride = grads.channel_stride;
  return products;
}

// A build without CUDA needs no sizes.
std::int64_t workspace_size([[maybe_unused]] const ProductSizes& sizes, const Stream& stream) {
  std::int64_t size = 0;
  VELUM_DISPATCH(stream, size = 0, size = conv_workspace_size_cuda(sizes));
  return size;
}

template <typename T>
void measure(const ImageView<const T>& input, const ImageView<const T>& grads,
             const ConvolutionGeometry& geometry, Span<double> squared_norms,
             Span<double> workspace, const Stream& stream) {
  constexpr const char* kFunction = "conv_squared_norms";
  const ConvNormsTask<T> task{checked_products(kFunction, input, grads, geometry), squared_norms,
                              workspace};
  check_size(kFunction, "squared_norms", squared_norms.size(), "input.batch", input.batch);
  check_workspace(kFunction, workspace.size(), workspace_size(task.products.sizes, stream));
  VELUM_DISPATCH(stream, conv_squared_norms_cpu(task, stream),
                 conv_squared_norms_cuda(task, stream));
}

}  // namespace

void conv_squared_norms(const ImageView<const float>& input, const ImageView<const float>& grads,
                        const ConvolutionGeometry& geometry, Span<double> squared_norms,
                        Span<double> workspace, const Stream& stream) {
  measure(input, grads, geometry, squared_norms, workspace, stream);
}
void conv_squared_norms(const ImageView<const double>& input, const ImageView<const double>& grads,
                        const ConvolutionGeometry& geometry, Span<double> squared_norms,
                        Span<double> workspace, const Stream& stream) {
  measure(input, grads, geometry, squared_norms, workspace, stream);
}

std::int64_t conv_squared_norms_workspace_size(std::int64_t batch, std::int64_t channels_in,
                                               std::int64_t channels_out,
                                               const ConvolutionGeometry& geometry,
                                               const Stream& stream) {
  return workspace_size(check_geometry("conv_squared_norms_workspace_size", batch, channels_in,
                                       channels_out, geometry),
                        stream);
}

}  // namespace velum::kernels
