#pragma once

#include <cstdint>

#include "gradients/product_body.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

constexpr int kImageDims = 3;

/// Where the kernel's first element lies for one output position: its coordinates in the input,
/// below 0 in the padding, and their offset in memory.
struct KernelOrigin {
  std::int64_t offset;
  int at[kImageDims];
};

/// A feature of a group: an element of the kernel of one of its channels, relative to the origin.
struct KernelElement {
  std::int64_t offset;  // channel included
  int shift[kImageDims];
};

/// A convolution as a product: outputs are channels of `grads`, features are kernel elements of the
/// input's channels, steps are output positions. The gather that an unfolded input would hold is
/// computed here, element by element.
VELUM_HOST_DEVICE constexpr std::uint32_t low_bits(int count) {
  return (std::uint32_t{1} << count) - 1;
}

VELUM_HOST_DEVICE constexpr int clamped(int count, int most) {
  return count < 0 ? 0 : count < most ? count : most;
}

/// Whether no dimension before d has more than one coordinate.
VELUM_HOST_DEVICE constexpr bool is_outermost(const int (&sizes)[kImageDims], int d) {
  for (int before = 0; before < d; ++before) {
    if (sizes[before] > 1) return false;
  }
  return true;
}

/// The last coordinate of a position, and what is left of it: the others. A division is worth a
/// branch that all threads take alike.
VELUM_HOST_DEVICE constexpr unsigned take_coordinate(unsigned& rest, unsigned size,
                                                     bool outermost) {
  const unsigned before = outermost ? 0 : rest / size;
  const unsigned coordinate = rest - before * size;
  rest = before;
  return coordinate;
}

template <typename T>
struct ConvProducts {
  const T* input;
  std::int64_t input_batch_stride;
  std::int64_t input_group_stride;
  std::int64_t input_channel_stride;
  std::int64_t input_strides[kImageDims];
  int input_sizes[kImageDims];

  const T* grads;
  std::int64_t grads_batch_stride;
  std::int64_t grads_group_stride;
  std::int64_t grads_channel_stride;
  std::int64_t grads_strides[kImageDims];
  int grads_sizes[kImageDims];

  int kernel[kImageDims];
  std::int64_t stride[kImageDims];
  std::int64_t padding[kImageDims];
  std::int64_t dilation[kImageDims];

  ProductSizes sizes;

  VELUM_HOST_DEVICE KernelElement element(std::int64_t feature) const {
    KernelElement element;
    int rest = static_cast<int>(feature);
    element.offset = 0;
    for (int d = kImageDims - 1; d >= 0; --d) {
      const std::int64_t shift = rest % kernel[d] * dilation[d];
      rest /= kernel[d];
      element.shift[d] = static_cast<int>(shift);
      element.offset += shift * input_strides[d];
    }
    element.offset += rest * input_channel_stride;
    return element;
  }

  /// @param grads_offset  receives the offset of the position in `grads`.
  VELUM_HOST_DEVICE KernelOrigin origin(std::int64_t position, std::int64_t& grads_offset) const {
    KernelOrigin origin;
    auto rest = static_cast<unsigned>(position);
    origin.offset = 0;
    grads_offset = 0;
    for (int d = kImageDims - 1; d >= 0; --d) {
      const auto coordinate = static_cast<int>(take_coordinate(
          rest, static_cast<unsigned>(grads_sizes[d]), is_outermost(grads_sizes, d)));
      const std::int64_t at = coordinate * stride[d] - padding[d];
      origin.at[d] = static_cast<int>(at);
      origin.offset += at * input_strides[d];
      grads_offset += coordinate * grads_strides[d];
    }
    return origin;
  }

  /// Whether an element of the kernel meets the input, and not its padding.
  VELUM_HOST_DEVICE bool is_inside(const KernelOrigin& origin, const KernelElement& element) const {
    bool inside = true;
    for (int d = 0; d < kImageDims; ++d) {
      const int at = origin.at[d] + element.shift[d];
      inside = inside && at >= 0 && at < input_sizes[d];
    }
    return inside;
  }
  /// Whether a bit for each coordinate of the kernel (all of its first dimension, then of the
  /// second, then of the third) leaves one of 32 free.
  VELUM_HOST_DEVICE bool has_coordinate_bits() const {
    return std::int64_t{kernel[0]} + kernel[1] + kernel[2] < 32;
  }
  /// The bits of a feature's three coordinates, if `has_coordinate_bits()`.
  VELUM_HOST_DEVICE std::uint32_t coordinate_bits(std::int64_t feature) const {
    std::uint32_t bits = 0;
    int rest = static_cast<int>(feature);
    int first = kernel[0] + kernel[1] + kernel[2];
    for (int d = kImageDims - 1; d >= 0; --d) {
      first -= kernel[d];
      bits |= std::uint32_t{1} << (first + rest % kernel[d]);
      rest /= kernel[d];
    }
    return bits;
  }
  /// The bits of the coordinates outside of the input, if `has_coordinate_bits()`: an element is
  /// inside if it has none of them.
  VELUM_HOST_DEVICE std::uint32_t outside_bits(std::int64_t position) const {
    auto rest = static_cast<unsigned>(position);
    std::uint32_t bits = 0;
    for (int d = kImageDims - 1; d >= 0; --d) {
      const unsigned coordinate = take_coordinate(rest, static_cast<unsigned>(grads_sizes[d]),
                                                  is_outermost(grads_sizes, d));
      // Below 0 is beyond any size.
      const auto size = static_cast<unsigned>(input_sizes[d]);
      const unsigned at =
          coordinate * static_cast<unsigned>(stride[d]) - static_cast<unsigned>(padding[d]);
      bits <<= kernel[d];
      if (dilation[d] == 1) {
        const int before = clamped(-static_cast<int>(at), kernel[d]);
        const int until = clamped(static_cast<int>(size - at), kernel[d]);
        bits |= low_bits(before) | (low_bits(kernel[d]) & ~low_bits(until));
        continue;
      }
      for (int i = 0; i < kernel[d]; ++i) {
        const unsigned coordinate_of_bit =
            at + static_cast<unsigned>(i) * static_cast<unsigned>(dilation[d]);
        bits |= std::uint32_t{coordinate_of_bit >= size} << i;
      }
    }
    return bits;
  }
  /// @param images  the group's channels of a sample.
  VELUM_HOST_DEVICE T input_at(const T* images, const KernelOrigin& origin,
                               const KernelElement& element) const {
    return is_inside(origin, element) ? images[origin.offset + element.offset] : T(0);
  }

  VELUM_HOST_DEVICE const T* input_of(std::int64_t sample, std::int64_t group) const {
    return input + sample * input_batch_stride + group * input_group_stride;
  }
  VELUM_HOST_DEVICE const T* grads_of(std::int64_t sample, std::int64_t group) const {
    return grads + sample * grads_batch_stride + group * grads_group_stride;
  }
};

}  // namespace velum::kernels
