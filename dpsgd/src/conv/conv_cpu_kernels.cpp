#include "conv/conv_cpu_kernels.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "conv/conv_cpu_kernels.cpp"
#include <hwy/aligned_allocator.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "linear/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Sums over positions of one vector of grad_output times one vector of the image, lane by lane,
/// for up to kLaneFeatures features.
template <int D, class Tag, typename T = hn::TFromD<Tag>>
HWY_INLINE void accumulate_lane_tile(Tag d, const T* HWY_RESTRICT image,
                                     const std::int64_t* HWY_RESTRICT features,
                                     const std::int64_t* HWY_RESTRICT positions, std::int64_t count,
                                     const T* HWY_RESTRICT g, T* HWY_RESTRICT sums) {
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  auto a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0, a8 = a0;
#define VELUM_FOR_TILE(ACTION) \
  ACTION(0, a0)                \
  ACTION(1, a1)                \
  ACTION(2, a2) ACTION(3, a3) ACTION(4, a4) ACTION(5, a5) ACTION(6, a6) ACTION(7, a7) ACTION(8, a8)
#define VELUM_ADD(I, SUM) \
  if constexpr (D > I) SUM = hn::MulAdd(hn::Load(d, image + (features[I] + position) * n), gs, SUM);
#define VELUM_STORE(I, SUM) \
  if constexpr (D > I) hn::Store(SUM, d, sums + I * n);
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t position = positions[t];
    const auto gs = hn::Load(d, g + t * n);
    VELUM_FOR_TILE(VELUM_ADD)
  }
  VELUM_FOR_TILE(VELUM_STORE)
#undef VELUM_FOR_TILE
#undef VELUM_ADD
#undef VELUM_STORE
}

constexpr std::int64_t kLaneFeatures = 9;  // a 3x3 kernel in one pass

template <class Tag, typename... Args>
HWY_INLINE void accumulate_lanes(Tag d, std::int64_t count, Args... args) {
  switch (count) {
    case 1:
      return accumulate_lane_tile<1>(d, args...);
    case 2:
      return accumulate_lane_tile<2>(d, args...);
    case 3:
      return accumulate_lane_tile<3>(d, args...);
    case 4:
      return accumulate_lane_tile<4>(d, args...);
    case 5:
      return accumulate_lane_tile<5>(d, args...);
    case 6:
      return accumulate_lane_tile<6>(d, args...);
    case 7:
      return accumulate_lane_tile<7>(d, args...);
    case 8:
      return accumulate_lane_tile<8>(d, args...);
    default:
      return accumulate_lane_tile<9>(d, args...);
  }
}

/// Calls body(first element, stride, count, offset in the image) for each innermost row of the
/// channels of one group, the image being zero-padded planes.
template <typename T, typename Body>
HWY_INLINE void for_each_input_row(const ConvCpuTask<T>& task, const T* source, const Body& body) {
  // Below three dimensions the first ones have one element.
  std::int64_t size[3] = {1, 1, 1}, stride[3] = {0, 0, 0}, padded[3] = {1, 1, 1},
               pad[3] = {0, 0, 0};
  const std::size_t dims = task.sizes.size();
  for (std::size_t i = 0; i < dims; ++i) {
    const std::size_t j = 3 - dims + i;
    size[j] = task.sizes[i];
    stride[j] = task.strides[i];
    padded[j] = task.padded_sizes[i];
    pad[j] = task.padding[i];
  }
  for (std::int64_t c = 0; c < task.channels; ++c) {
    for (std::int64_t z = 0; z < size[0]; ++z) {
      for (std::int64_t y = 0; y < size[1]; ++y) {
        body(source + c * task.input_channel_stride + z * stride[0] + y * stride[1], stride[2],
             size[2],
             c * task.padded_plane + ((z + pad[0]) * padded[1] + y + pad[1]) * padded[2] + pad[2]);
      }
    }
  }
}

/// Elements whose squares are added lane by lane before the lanes are.
constexpr std::int64_t kSquareBlock = 1024;

/// A sum of many terms >= 0, none of which passes more than 512 additions and one for 2^16 terms.
class LongSum {
 public:
  void add(double term) {
    low_ += term;
    if (++terms_ % 256 == 0) {
      middle_ += low_;
      low_ = 0;
      if (terms_ % 65536 == 0) {
        high_ += middle_;
        middle_ = 0;
      }
    }
  }
  double total() const { return high_ + (middle_ + low_); }

 private:
  double low_ = 0, middle_ = 0, high_ = 0;
  std::int64_t terms_ = 0;
};

/// At most kSquareBlock squares: one passes at most 256 additions of its lane, and those of lanes.
template <typename T>
HWY_INLINE double squared_sum(const T* HWY_RESTRICT values, std::int64_t count) {
  const hn::ScalableTag<double> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const auto load = [&](const T* p) HWY_ATTR {
    if constexpr (sizeof(T) == 8) {
      return hn::LoadU(d, p);
    } else {
      return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, decltype(d)>(), p));
    }
  };
  std::int64_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n) {
    const auto v0 = load(values + i), v1 = load(values + i + n);
    const auto v2 = load(values + i + 2 * n), v3 = load(values + i + 3 * n);
    s0 = hn::MulAdd(v0, v0, s0);
    s1 = hn::MulAdd(v1, v1, s1);
    s2 = hn::MulAdd(v2, v2, s2);
    s3 = hn::MulAdd(v3, v3, s3);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

template <typename T>
HWY_INLINE void add_squares(const T* HWY_RESTRICT values, std::int64_t count, LongSum& sum) {
  for (std::int64_t i = 0; i < count; i += kSquareBlock) {
    sum.add(squared_sum(values + i, std::min(kSquareBlock, count - i)));
  }
}

/// bias[o] = sum_t packed[t][o] for the first `outputs` (at most one vector) of rows of `width`.
template <typename T>
HWY_INLINE void sum_positions(const T* HWY_RESTRICT packed, std::int64_t width,
                              std::int64_t positions, std::int64_t outputs, T* HWY_RESTRICT bias) {
  const hn::ScalableTag<T> d;
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t t = 0;
  for (; t + 4 <= positions; t += 4) {
    s0 = hn::Add(s0, hn::Load(d, packed + t * width));
    s1 = hn::Add(s1, hn::Load(d, packed + (t + 1) * width));
    s2 = hn::Add(s2, hn::Load(d, packed + (t + 2) * width));
    s3 = hn::Add(s3, hn::Load(d, packed + (t + 3) * width));
  }
  for (; t < positions; ++t) s0 = hn::Add(s0, hn::Load(d, packed + t * width));
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), d, lanes);
  std::copy_n(lanes, outputs, bias);
}

/// The same for groups of one output (depthwise convolution): a vector holds as many groups, and
/// each lane meets the input channels of its own.
template <typename T>
HWY_INLINE void conv_samples_depthwise(const ConvCpuTask<T>& task, std::int64_t begin,
                                       std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t features = task.features, positions = task.positions;
  const std::int64_t group_stride = task.channels * task.input_channel_stride;
  const auto packed = hwy::AllocateAligned<T>(static_cast<std::size_t>(positions * n));
  const auto sums = hwy::AllocateAligned<T>(static_cast<std::size_t>(features * n));
  const std::int64_t image_size = task.channels * task.padded_plane * n;
  const auto image = hwy::AllocateAligned<T>(static_cast<std::size_t>(image_size));
  std::fill_n(image.get(), image_size, T{0});

  for (std::int64_t b = begin; b < end; ++b) {
    LongSum squared_norm;
    for (std::int64_t group = 0; group < task.groups; group += n) {
      const std::int64_t lanes = std::min(n, task.groups - group);  // the others hold zeros
      transpose_rows(
          task.grad_output + b * task.grad_sample_stride + group * task.grad_channel_stride,
          task.grad_channel_stride, task.grad_position_stride, lanes, positions, n, packed.get());
      for_each_input_row(
          task, task.input + b * task.input_sample_stride + group * group_stride,
          [&](const T* from, std::int64_t stride, std::int64_t count, std::int64_t at) HWY_ATTR {
            transpose_rows(from, group_stride, stride, lanes, count, n, image.get() + at * n);
          });
      for (std::int64_t f = 0; f < features; f += kLaneFeatures) {
        accumulate_lanes(d, std::min(kLaneFeatures, features - f), image.get(),
                         task.feature_offsets.data() + f, task.position_offsets.data(), positions,
                         packed.get(), sums.get() + f * n);
      }
      if (task.squared_norms != nullptr) add_squares(sums.get(), features * n, squared_norm);
      if (task.gradients != nullptr) {
        T* const out = task.gradients + (b * task.groups + group) * features;
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          for (std::int64_t f = 0; f < features; ++f) {
            out[lane * features + f] = sums[static_cast<std::size_t>(f * n + lane)];
          }
        }
      }
      if (task.bias_gradients != nullptr) {
        sum_positions(packed.get(), n, positions, lanes,
                      task.bias_gradients + b * task.groups + group);
      }
    }
    if (task.squared_norms != nullptr) task.squared_norms[b] = squared_norm.total();
  }
}

/// The sample's part of the input, one group of it: itself, or in `copy`, whose margins are zeros.
template <typename T>
HWY_INLINE const T* image_of(const ConvCpuTask<T>& task, std::int64_t sample, std::int64_t group,
                             T* HWY_RESTRICT copy) {
  const T* const image = task.input + sample * task.input_sample_stride +
                         group * task.channels * task.input_channel_stride;
  if (task.padded_sizes.empty()) return image;
  for_each_input_row(task, image,
                     [&](const T* from, std::int64_t stride, std::int64_t count, std::int64_t at)
                         HWY_ATTR {
                           T* const to = copy + at;
                           if (stride == 1) {
                             std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
                           } else {
                             for (std::int64_t x = 0; x < count; ++x) to[x] = from[x * stride];
                           }
                         });
  return copy;
}

/// The same of grad_output, in blocks of two vectors of outputs, the last of one if the count is
/// odd; each is [positions][its width], one after the other.
template <typename T>
HWY_INLINE void pack_grads(const ConvCpuTask<T>& task, std::int64_t sample, std::int64_t group,
                           T* HWY_RESTRICT packed) {
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  const std::int64_t vectors = (task.outputs + n - 1) / n;
  const T* const grad = task.grad_output + sample * task.grad_sample_stride +
                        group * task.outputs * task.grad_channel_stride;
  for (std::int64_t v = 0; v < vectors; v += kTileVectors) {
    const std::int64_t width = std::min(kTileVectors, vectors - v) * n;
    transpose_rows(grad + v * n * task.grad_channel_stride, task.grad_channel_stride,
                   task.grad_position_stride, std::min(width, task.outputs - v * n), task.positions,
                   width, packed + v * n * task.positions);
  }
}

template <typename T>
HWY_INLINE void conv_samples(const ConvCpuTask<T>& task, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t vectors = (task.outputs + n - 1) / n;
  const std::int64_t padded_outputs = vectors * n;
  const std::int64_t positions = task.positions, features = task.features;
  const bool direct = padded_outputs == task.outputs && task.gradients != nullptr;

  const auto packed = hwy::AllocateAligned<T>(static_cast<std::size_t>(positions * padded_outputs));
  const auto scratch =
      hwy::AllocateAligned<T>(static_cast<std::size_t>(direct ? 1 : features * padded_outputs));
  const std::int64_t image_size = task.padded_sizes.empty() ? 1 : task.channels * task.padded_plane;
  const auto image_copy = hwy::AllocateAligned<T>(static_cast<std::size_t>(image_size));
  std::fill_n(image_copy.get(), image_size, T{0});

  for (std::int64_t b = begin; b < end; ++b) {
    LongSum squared_norm;
    for (std::int64_t group = 0; group < task.groups; ++group) {
      const T* const image = image_of(task, b, group, image_copy.get());
      pack_grads(task, b, group, packed.get());

      T* const out = task.gradients == nullptr
                         ? nullptr
                         : task.gradients + (b * task.groups + group) * features * task.outputs;
      T* const sums = direct ? out : scratch.get();
      if (positions == 0) std::fill_n(sums, features * padded_outputs, T{0});
      for (std::int64_t t = 0; t < positions; t += kTilePositions) {
        const std::int64_t count = std::min(kTilePositions, positions - t);
        for (std::int64_t v = 0; v < vectors; v += kTileVectors) {
          const bool pair = v + 1 < vectors;
          const T* const g = packed.get() + v * n * positions + t * (pair ? 2 * n : n);
          for (std::int64_t f = 0; f < features; f += kTileFeatures) {
            const std::int64_t tile = std::min(kTileFeatures, features - f);
            const auto accumulate = [&](auto width) HWY_ATTR {
              accumulate_features<decltype(width)::value>(
                  d, tile, image, task.feature_offsets.data() + f, task.position_offsets.data() + t,
                  count, g, t == 0, sums + f * padded_outputs + v * n, padded_outputs);
            };
            if (pair) {
              accumulate(std::integral_constant<int, 2>());
            } else {
              accumulate(std::integral_constant<int, 1>());
            }
          }
        }
      }

      if (task.squared_norms != nullptr) {
        add_squares(sums, features * padded_outputs, squared_norm);
      }
      if (!direct && out != nullptr) {
        for (std::int64_t f = 0; f < features; ++f) {
          std::memcpy(out + f * task.outputs, sums + f * padded_outputs,
                      static_cast<std::size_t>(task.outputs) * sizeof(T));
        }
      }
      if (task.bias_gradients != nullptr) {
        T* const bias = task.bias_gradients + (b * task.groups + group) * task.outputs;
        for (std::int64_t v = 0; v < vectors; ++v) {
          const std::int64_t block = v / kTileVectors * kTileVectors;
          const std::int64_t width = std::min(kTileVectors, vectors - block) * n;
          sum_positions(packed.get() + block * n * positions + (v - block) * n, width, positions,
                        std::min(n, task.outputs - v * n), bias + v * n);
        }
      }
    }
    if (task.squared_norms != nullptr) task.squared_norms[b] = squared_norm.total();
  }
}

template <typename T>
HWY_INLINE void conv_weighted_sum(const ConvCpuTask<T>& task, std::int64_t samples,
                                  const T* HWY_RESTRICT factors, std::int64_t begin,
                                  std::int64_t end, T* HWY_RESTRICT sum) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t vectors = (task.outputs + n - 1) / n;
  const std::int64_t tiles = (task.features + kTileFeatures - 1) / kTileFeatures;
  const auto packed =
      hwy::AllocateAligned<T>(static_cast<std::size_t>(task.positions * vectors * n));
  const std::int64_t image_size = task.padded_sizes.empty() ? 1 : task.channels * task.padded_plane;
  const auto image_copy = hwy::AllocateAligned<T>(static_cast<std::size_t>(image_size));
  std::fill_n(image_copy.get(), image_size, T{0});
  static_assert(kTileFeatures == kConvTileFeatures);
  HWY_ALIGN T of_sample[kTileFeatures * kTileVectors * hn::MaxLanes(d)];

  while (begin < end) {
    const std::int64_t group = begin / tiles;
    const std::int64_t of_group = std::min(end, (group + 1) * tiles);
    const std::int64_t first = (begin - group * tiles) * kTileFeatures;
    const std::int64_t last = std::min(task.features, (of_group - group * tiles) * kTileFeatures);
    for (std::int64_t b = 0; b < samples; ++b) {
      if (factors[b] == T{0}) continue;
      const T* const image = image_of(task, b, group, image_copy.get());
      pack_grads(task, b, group, packed.get());
      const auto factor = hn::Set(d, factors[b]);
      for (std::int64_t v = 0; v < vectors; v += kTileVectors) {
        const std::int64_t width = std::min(kTileVectors, vectors - v) * n;
        const std::int64_t outputs = std::min(width, task.outputs - v * n);
        const T* const g = packed.get() + v * n * task.positions;
        for (std::int64_t f = first; f < last; f += kTileFeatures) {
          const std::int64_t tile = std::min(kTileFeatures, last - f);
          const auto accumulate = [&](auto vectors_of_tile) HWY_ATTR {
            accumulate_features<decltype(vectors_of_tile)::value>(
                d, tile, image, task.feature_offsets.data() + f, task.position_offsets.data(),
                task.positions, g, /*first=*/true, of_sample, width);
          };
          if (width == 2 * n) {
            accumulate(std::integral_constant<int, 2>());
          } else {
            accumulate(std::integral_constant<int, 1>());
          }
          for (std::int64_t i = 0; i < tile; ++i) {
            T* const to = sum + (group * task.features + f + i) * task.outputs + v * n;
            const T* const from = of_sample + i * width;
            std::int64_t o = 0;
            for (; o + n <= outputs; o += n) {
              hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, from + o), hn::LoadU(d, to + o)), d,
                         to + o);
            }
            for (; o < outputs; ++o) {
              hn::StoreU(hn::MulAdd(hn::Set(one, factors[b]), hn::LoadU(one, from + o),
                                    hn::LoadU(one, to + o)),
                         one, to + o);
            }
          }
        }
      }
    }
    begin = of_group;
  }
}

template <typename T>
HWY_INLINE void add_weighted_rows(const T* HWY_RESTRICT rows, std::int64_t count,
                                  std::int64_t row_size, const T* HWY_RESTRICT factors,
                                  std::int64_t begin, std::int64_t end, T* HWY_RESTRICT sum) {
  const hn::ScalableTag<T> d;
  const std::int64_t n = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr std::int64_t kBlock = 2048;  // sums that stay in the first-level cache
  for (std::int64_t first = begin; first < end; first += kBlock) {
    const std::int64_t last = std::min(end, first + kBlock);
    for (std::int64_t b = 0; b < count; ++b) {
      if (factors[b] == T{0}) continue;
      const T* const row = rows + b * row_size;
      const auto factor = hn::Set(d, factors[b]);
      std::int64_t p = first;
      for (; p + n <= last; p += n) {
        hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, row + p), hn::LoadU(d, sum + p)), d, sum + p);
      }
      for (; p < last; ++p) {
        const hn::CappedTag<T, 1> one;
        hn::StoreU(
            hn::MulAdd(hn::Set(one, factors[b]), hn::LoadU(one, row + p), hn::LoadU(one, sum + p)),
            one, sum + p);
      }
    }
  }
}

void conv_samples_float(const ConvCpuTask<float>& task, std::int64_t begin, std::int64_t end) {
  task.depthwise ? conv_samples_depthwise(task, begin, end) : conv_samples(task, begin, end);
}
void conv_samples_double(const ConvCpuTask<double>& task, std::int64_t begin, std::int64_t end) {
  task.depthwise ? conv_samples_depthwise(task, begin, end) : conv_samples(task, begin, end);
}
void conv_weighted_sum_float(const ConvCpuTask<float>& task, std::int64_t samples,
                             const float* factors, std::int64_t begin, std::int64_t end,
                             float* sum) {
  conv_weighted_sum(task, samples, factors, begin, end, sum);
}
void conv_weighted_sum_double(const ConvCpuTask<double>& task, std::int64_t samples,
                              const double* factors, std::int64_t begin, std::int64_t end,
                              double* sum) {
  conv_weighted_sum(task, samples, factors, begin, end, sum);
}
void add_weighted_rows_float(const float* rows, std::int64_t count, std::int64_t row_size,
                             const float* factors, std::int64_t begin, std::int64_t end,
                             float* sum) {
  add_weighted_rows(rows, count, row_size, factors, begin, end, sum);
}
void add_weighted_rows_double(const double* rows, std::int64_t count, std::int64_t row_size,
                              const double* factors, std::int64_t begin, std::int64_t end,
                              double* sum) {
  add_weighted_rows(rows, count, row_size, factors, begin, end, sum);
}

}  // namespace velum::dpsgd::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(conv_samples_float);
HWY_EXPORT(conv_samples_double);
HWY_EXPORT(conv_weighted_sum_float);
HWY_EXPORT(conv_weighted_sum_double);
HWY_EXPORT(add_weighted_rows_float);
HWY_EXPORT(add_weighted_rows_double);

void conv_samples_cpu(const ConvCpuTask<float>& task, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(conv_samples_float)(task, begin, end);
}
void conv_samples_cpu(const ConvCpuTask<double>& task, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(conv_samples_double)(task, begin, end);
}
void conv_weighted_sum_cpu(const ConvCpuTask<float>& task, std::int64_t samples,
                           const float* factors, std::int64_t begin, std::int64_t end, float* sum) {
  HWY_DYNAMIC_DISPATCH(conv_weighted_sum_float)(task, samples, factors, begin, end, sum);
}
void conv_weighted_sum_cpu(const ConvCpuTask<double>& task, std::int64_t samples,
                           const double* factors, std::int64_t begin, std::int64_t end,
                           double* sum) {
  HWY_DYNAMIC_DISPATCH(conv_weighted_sum_double)(task, samples, factors, begin, end, sum);
}
void add_weighted_rows_cpu(const float* rows, std::int64_t count, std::int64_t row_size,
                           const float* factors, std::int64_t begin, std::int64_t end, float* sum) {
  HWY_DYNAMIC_DISPATCH(add_weighted_rows_float)
  (rows, count, row_size, factors, begin, end, sum);
}
void add_weighted_rows_cpu(const double* rows, std::int64_t count, std::int64_t row_size,
                           const double* factors, std::int64_t begin, std::int64_t end,
                           double* sum) {
  HWY_DYNAMIC_DISPATCH(add_weighted_rows_double)
  (rows, count, row_size, factors, begin, end, sum);
}

}  // namespace velum::dpsgd::detail
#endif
