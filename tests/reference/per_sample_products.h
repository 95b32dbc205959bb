#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Per-sample gradients of linear maps, convolutions and embeddings, and their squared norms, as
/// plain loops in long double, without any arithmetic of velum.
namespace velum::testing {

/// A tensor of any strides over memory of its own.
template <typename T>
struct HostTensor {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::vector<T> values;

  /// @param order  dimensions from the outermost in memory to the innermost.
  /// @param gap    elements between neighbours of the second-innermost dimension.
  HostTensor(std::vector<std::int64_t> sizes_, const std::vector<std::size_t>& order,
             std::int64_t gap, T padding)
      : sizes(std::move(sizes_)), strides(sizes.size(), 0) {
    std::int64_t stride = 1;
    for (std::size_t i = order.size(); i-- > 0;) {
      strides[order[i]] = stride;
      stride *= sizes[order[i]];
      if (i + 1 == order.size()) stride += gap;
    }
    values.assign(static_cast<std::size_t>(stride), padding);
  }
  std::size_t offset(const std::vector<std::int64_t>& index) const {
    std::int64_t sum = 0;
    for (std::size_t d = 0; d < index.size(); ++d) sum += index[d] * strides[d];
    return static_cast<std::size_t>(sum);
  }
  T& at(const std::vector<std::int64_t>& index) { return values[offset(index)]; }
  T at(const std::vector<std::int64_t>& index) const { return values[offset(index)]; }

  /// Calls body(index) for every index, the last dimension fastest.
  template <typename Body>
  void for_each(const Body& body) const {
    std::int64_t count = 1;
    for (const std::int64_t size : sizes) count *= size;
    std::vector<std::int64_t> index(sizes.size());
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = i;
      for (std::size_t d = sizes.size(); d-- > 0;) {
        index[d] = rest % sizes[d];
        rest /= sizes[d];
      }
      body(index);
    }
  }
};

/// ||g||^2 and the sum over elements of (sum of its terms' magnitudes)^2: what rounding is relative
/// to.
struct ReferenceNorm {
  long double squared_norm = 0;
  long double squared_magnitude = 0;

  void add(long double value, long double magnitude) {
    squared_norm += value * value;
    squared_magnitude += magnitude * magnitude;
  }
};

/// Of G^T A for every sample; activations [batch, steps, inputs], grads [batch, steps, outputs].
template <typename T>
std::vector<ReferenceNorm> linear_reference_norms(const HostTensor<T>& activations,
                                                  const HostTensor<T>& grads) {
  std::vector<ReferenceNorm> norms(static_cast<std::size_t>(grads.sizes[0]));
  for (std::int64_t b = 0; b < grads.sizes[0]; ++b) {
    for (std::int64_t o = 0; o < grads.sizes[2]; ++o) {
      for (std::int64_t i = 0; i < activations.sizes[2]; ++i) {
        long double sum = 0;
        long double magnitude = 0;
        for (std::int64_t t = 0; t < grads.sizes[1]; ++t) {
          const long double term = static_cast<long double>(grads.at({b, t, o})) *
                                   static_cast<long double>(activations.at({b, t, i}));
          sum += term;
          magnitude += std::abs(term);
        }
        norms[static_cast<std::size_t>(b)].add(sum, magnitude);
      }
    }
  }
  return norms;
}

/// A convolution of up to three dimensions.
struct ReferenceConvolution {
  std::array<std::int64_t, 3> kernel{1, 1, 1};
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> padding{0, 0, 0};
  std::array<std::int64_t, 3> dilation{1, 1, 1};
  std::int64_t groups = 1;

  std::int64_t output_size(std::size_t dim, std::int64_t input_size) const {
    return (input_size + 2 * padding[dim] - dilation[dim] * (kernel[dim] - 1) - 1) / stride[dim] +
           1;
  }
};

/// Of the weight's gradient for every sample; input [batch, channels, sizes..], grads [batch,
/// outputs, sizes..], three sizes each. The weight is walked over element by element, and for each
/// the positions of `grads`.
template <typename T>
std::vector<ReferenceNorm> conv_reference_norms(const HostTensor<T>& input,
                                                const HostTensor<T>& grads,
                                                const ReferenceConvolution& conv) {
  const std::int64_t channels = input.sizes[1] / conv.groups;
  const std::int64_t outputs = grads.sizes[1] / conv.groups;
  const HostTensor<T> weight(
      {grads.sizes[1], channels, conv.kernel[0], conv.kernel[1], conv.kernel[2]}, {0, 1, 2, 3, 4},
      0, T(0));
  const HostTensor<T> positions({grads.sizes[2], grads.sizes[3], grads.sizes[4]}, {0, 1, 2}, 0,
                                T(0));
  std::vector<ReferenceNorm> norms(static_cast<std::size_t>(grads.sizes[0]));
  for (std::int64_t b = 0; b < grads.sizes[0]; ++b) {
    weight.for_each([&](const std::vector<std::int64_t>& w) {
      const std::int64_t channel = w[0] / outputs * channels + w[1];
      long double sum = 0;
      long double magnitude = 0;
      positions.for_each([&](const std::vector<std::int64_t>& t) {
        std::array<std::int64_t, 3> x{};
        for (std::size_t d = 0; d < 3; ++d) {
          x[d] = t[d] * conv.stride[d] + w[d + 2] * conv.dilation[d] - conv.padding[d];
          if (x[d] < 0 || x[d] >= input.sizes[d + 2]) return;
        }
        const long double term = static_cast<long double>(grads.at({b, w[0], t[0], t[1], t[2]})) *
                                 static_cast<long double>(input.at({b, channel, x[0], x[1], x[2]}));
        sum += term;
        magnitude += std::abs(term);
      });
      norms[static_cast<std::size_t>(b)].add(sum, magnitude);
    });
  }
  return norms;
}

/// Rows that samples looked up in a table, and their gradients [rows, width].
template <typename T>
struct ReferenceLookups {
  HostTensor<T> grads;
  std::vector<std::int64_t> indices;
  std::vector<std::int64_t> samples;
  std::int64_t batch;
  std::int64_t table_rows;
  std::int64_t padding_index;
};

/// Of the table's gradient for every sample: [table_rows, width] is filled and looked through.
template <typename T>
std::vector<ReferenceNorm> lookup_reference_norms(const ReferenceLookups<T>& lookups) {
  const std::int64_t width = lookups.grads.sizes[1];
  std::vector<ReferenceNorm> norms(static_cast<std::size_t>(lookups.batch));
  for (std::int64_t b = 0; b < lookups.batch; ++b) {
    const auto size = static_cast<std::size_t>(lookups.table_rows * width);
    std::vector<long double> sums(size, 0.0L);
    std::vector<long double> magnitudes(size, 0.0L);
    for (std::size_t r = 0; r < lookups.indices.size(); ++r) {
      if (lookups.samples[r] != b || lookups.indices[r] == lookups.padding_index) continue;
      for (std::int64_t c = 0; c < width; ++c) {
        const long double value = lookups.grads.at({static_cast<std::int64_t>(r), c});
        sums[static_cast<std::size_t>(lookups.indices[r] * width + c)] += value;
        magnitudes[static_cast<std::size_t>(lookups.indices[r] * width + c)] += std::abs(value);
      }
    }
    for (std::size_t i = 0; i < size; ++i) {
      norms[static_cast<std::size_t>(b)].add(sums[i], magnitudes[i]);
    }
  }
  return norms;
}

/// sum of factor times row into each row of the table, [table_rows, width]; rows of factor 0 are
/// left out.
/// @param magnitudes  receives the sums of the terms' magnitudes.
template <typename T>
std::vector<long double> lookup_reference_sum(const ReferenceLookups<T>& lookups,
                                              const std::vector<double>& factors,
                                              std::vector<long double>* magnitudes) {
  const std::int64_t width = lookups.grads.sizes[1];
  std::vector<long double> sums(static_cast<std::size_t>(lookups.table_rows * width), 0.0L);
  magnitudes->assign(sums.size(), 0.0L);
  for (std::size_t r = 0; r < lookups.indices.size(); ++r) {
    const double factor = factors[static_cast<std::size_t>(lookups.samples[r])];
    if (factor == 0 || lookups.indices[r] == lookups.padding_index) continue;
    for (std::int64_t c = 0; c < width; ++c) {
      const long double term =
          static_cast<long double>(factor) *
          static_cast<long double>(lookups.grads.at({static_cast<std::int64_t>(r), c}));
      sums[static_cast<std::size_t>(lookups.indices[r] * width + c)] += term;
      (*magnitudes)[static_cast<std::size_t>(lookups.indices[r] * width + c)] += std::abs(term);
    }
  }
  return sums;
}

}  // namespace velum::testing
