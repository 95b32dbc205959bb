#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "gradients/conv_channel_planes.cuh"
#include "gradients/conv_squared_norms_halves.h"
#include "gradients/product_squared_norms.cuh"

namespace velum::kernels {
namespace {

/// A warp copies eight neighbouring positions (32 bytes of floats where positions are neighbours in
/// memory) of four columns; see PaddedRow and PermutedRow.
constexpr int kColsOfWarp = 4;
constexpr int kStepsOfWarp = 8;

/// What a compact gather has of a feature: bytes from the kernel's first, and the bits of its
/// coordinates. Of a position it has the bits of the coordinates that are outside.
struct alignas(8) CompactFeature {
  int offset;
  std::uint32_t coordinates;
};

template <typename T>
struct ConvOperands {
  using Element = T;
  static constexpr bool kCopiesElements = true;
  template <typename Shape>
  struct Shared {
    const T* images;  // of the tile's sample and group
    const T* origin;  // and what the kernel's first element meets at the first position
    const T* grads;   // from the tile's first output
    // Tables of the positions of two chunks: one is staged while the other's are computed.
    std::int64_t grads_offsets[2][Shape::kDepth];
    // Of a compact gather.
    CompactFeature features[Shape::kFeatures];
    int offsets[2][Shape::kDepth];
    std::uint32_t outside[2][Shape::kDepth];
    // Of another.
    KernelElement elements[Shape::kFeatures];
    KernelOrigin origins[2][Shape::kDepth];
  };

  ConvProducts<T> products;
  /// Whether the gather is by 32-bit offsets and bits of coordinates: these and sizes fit.
  bool is_compact;
  /// Whether positions are neighbours in `grads`, in order, and where the kernel's first element
  /// lies, padding included, for positions in order.
  bool has_dense_grads;
  bool has_dense_origins;

  explicit ConvOperands(const ConvProducts<T>& of)
      : products(of),
        is_compact(of.has_coordinate_bits()),
        has_dense_grads(true),
        has_dense_origins(true) {
    const auto channels = static_cast<double>(
        of.sizes.features / (std::int64_t{of.kernel[0]} * of.kernel[1] * of.kernel[2]));
    double reach = channels * std::abs(static_cast<double>(of.input_channel_stride));
    std::int64_t positions = 1;
    for (int d = kImageDims - 1; d >= 0; --d) {
      const double extent =
          static_cast<double>(of.padding[d]) +
          static_cast<double>(of.grads_sizes[d]) * static_cast<double>(of.stride[d]) +
          static_cast<double>(of.kernel[d]) * static_cast<double>(of.dilation[d]);
      reach += extent * std::max(1.0, std::abs(static_cast<double>(of.input_strides[d])));
      if (of.grads_sizes[d] > 1) {
        has_dense_grads = has_dense_grads && of.grads_strides[d] == positions;
        has_dense_origins =
            has_dense_origins && of.stride[d] == 1 && of.input_strides[d] == positions;
      }
      positions *= of.grads_sizes[d];
    }
    is_compact = is_compact && reach * kSize < std::numeric_limits<int>::max();
  }

  template <typename Shape>
  __device__ void begin_tile(Shared<Shape>& shared, const TileItem& item) const {
    if (threadIdx.x == 0) {
      const T* const images = products.input_of(item.sample, item.group);
      std::int64_t offset = 0;
      for (int d = 0; d < kImageDims; ++d) {
        offset -= products.padding[d] * products.input_strides[d];
      }
      shared.images = images;
      shared.origin = images + offset;
      shared.grads = products.grads_of(item.sample, item.group) +
                     item.first_output * products.grads_channel_stride;
    }
    for (int f = static_cast<int>(threadIdx.x); f < Shape::kFeatures; f += Shape::kThreads) {
      const int feature = Shape::feature_of(f);
      const bool exists = feature < item.features;
      const KernelElement element = products.element(item.first_feature + (exists ? feature : 0));
      if (is_compact) {
        const std::uint32_t coordinates =
            products.coordinate_bits(item.first_feature + (exists ? feature : 0));
        shared.features[f] = {static_cast<int>(element.offset * kSize),
                              exists ? coordinates : kNowhere};
      } else {
        shared.elements[f] = element;
      }
    }
  }
  /// The warps take turns.
  template <typename Shape>
  __device__ void begin_chunk(Shared<Shape>& shared, int chunk, std::int64_t first_step,
                              int count) const {
    const int step = thread_again() - chunk % Shape::kWarps * 32;
    if (step < 0 || step >= Shape::kDepth) return;
    const bool exists = step < count;
    const int slot = chunk & 1;
    const std::int64_t position = first_step + (exists ? step : 0);
    if (is_compact) {
      shared.outside[slot][step] = exists ? products.outside_bits(position) | kNowhere : ~0u;
    }
    if (is_compact && has_dense_origins && has_dense_grads && count == Shape::kDepth) return;
    std::int64_t grads_offset = 0;
    const KernelOrigin origin = products.origin(position, grads_offset);
    shared.grads_offsets[slot][step] = grads_offset;
    shared.offsets[slot][step] = static_cast<int>(origin.offset * kSize);
    if (!is_compact) shared.origins[slot][step] = origin;
  }
  template <typename Shape>
  __device__ void stage(const Shared<Shape>& shared, const TileItem& item, int chunk,
                        std::int64_t first_step, int count, T* outputs, T* features) const {
    const int slot = chunk & 1;
    if (is_compact && has_dense_origins) {
      stage_compact_features<true>(shared, item, slot, first_step, features);
    } else if (is_compact) {
      stage_compact_features<false>(shared, item, slot, first_step, features);
    } else {
      stage_features(shared, item, slot, count, features);
    }
    if (has_dense_grads && count == Shape::kDepth) {
      stage_dense_outputs(shared, item, first_step, outputs);
    } else {
      stage_outputs(shared, item, slot, count, outputs);
    }
  }

 private:
  static constexpr std::int64_t kSize = sizeof(T);
  /// A bit that no coordinate has.
  static constexpr std::uint32_t kNowhere = std::uint32_t{1} << 31;

  /// The rows and columns that a thread copies: every kStepsOfWarp-th and kColStep-th.
  template <typename Shape>
  struct Share {
    static constexpr int kRows = Shape::kDepth / kStepsOfWarp;
    static constexpr int kColStep = Shape::kWarps * kColsOfWarp;
    /// Columns whose copies are started together.
    static constexpr int kCols = std::min(Shape::kFeatures / kColStep, Shape::kColsAtOnce);
    __device__ static int first_row() { return thread_again() % 32 / kColsOfWarp; }
    __device__ static int first_col() {
      const int thread = thread_again();
      return thread / 32 * kColsOfWarp + thread % kColsOfWarp;
    }
  };

  /// @tparam kDense  has_dense_origins.
  template <bool kDense, typename Shape>
  __device__ void stage_compact_features(const Shared<Shape>& shared, const TileItem& item,
                                         int slot, std::int64_t first_step, T* to) const {
    using Mine = Share<Shape>;
    using Row = typename Shape::FeatureRow;
    const int first_row = Mine::first_row();
    const int first_col = Mine::first_col();
    const T* const from = kDense ? shared.origin + (first_step + first_row) : shared.images;
    int offsets[Mine::kRows];
    std::uint32_t outside[Mine::kRows];
#pragma unroll
    for (int r = 0; r < Mine::kRows; ++r) {
      const int row = first_row + r * kStepsOfWarp;
      offsets[r] = kDense ? 0 : shared.offsets[slot][row];
      outside[r] = shared.outside[slot][row];
    }
    const CompactFeature* features = &shared.features[first_col];
    const CompactFeature* const end = features + Shape::staged_cols(item.features);
    to += first_row * Shape::kFeaturesStride;
    // The same for all rows of a thread, as they lie kStepsOfWarp apart.
    const int place = Row::place(first_row, first_col);
    // Of columns without features nothing is copied.
    constexpr int kAtOnce = Mine::kCols * Mine::kColStep;
#pragma unroll 1
    for (; features < end; features += kAtOnce, to += kAtOnce) {
      // Copies in a row: an instruction between two costs ptxas three more.
      CompactFeature places[Mine::kCols];
      const T* elements[Mine::kCols];
#pragma unroll
      for (int c = 0; c < Mine::kCols; ++c) {
        places[c] = features[c * Mine::kColStep];
        elements[c] = &at_bytes(from, places[c].offset);
      }
#pragma unroll
      for (int c = 0; c < Mine::kCols; ++c) {
#pragma unroll
        for (int r = 0; r < Mine::kRows; ++r) {
          cuda::copy_async_or_zero<sizeof(T)>(
              Row::further(to, place, c * Mine::kColStep) +
                  r * kStepsOfWarp * Shape::kFeaturesStride,
              kDense ? elements[c] + r * kStepsOfWarp : &at_bytes(elements[c], offsets[r]),
              (outside[r] & places[c].coordinates) == 0);
        }
      }
    }
  }

  template <typename Shape>
  __device__ void stage_features(const Shared<Shape>& shared, const TileItem& item, int slot,
                                 int count, T* to) const {
    using Mine = Share<Shape>;
    const int first_row = Mine::first_row();
#pragma unroll 1
    for (int col = Mine::first_col(); col < Shape::kFeatures; col += Mine::kColStep) {
      const KernelElement& element = shared.elements[col];
#pragma unroll 1
      for (int r = 0; r < Mine::kRows; ++r) {
        const int row = first_row + r * kStepsOfWarp;
        const KernelOrigin& origin = shared.origins[slot][row];
        cuda::copy_async_or_zero<sizeof(T)>(
            to + row * Shape::kFeaturesStride + Shape::FeatureRow::place(row, col),
            shared.images + (origin.offset + element.offset),
            row < count && Shape::feature_of(col) < item.features &&
                products.is_inside(origin, element));
      }
    }
  }

  /// All steps of a chunk.
  template <typename Shape>
  __device__ void stage_dense_outputs(const Shared<Shape>& shared, const TileItem& item,
                                      std::int64_t first_step, T* to) const {
    using Mine = Share<Shape>;
    using Row = typename Shape::OutputRow;
    const int first_row = Mine::first_row();
    const int first_col = Mine::first_col();
    const std::int64_t advance = Mine::kColStep * products.grads_channel_stride;
    const T* from =
        shared.grads + (first_step + first_row) + first_col * products.grads_channel_stride;
    const int outputs = item.outputs - first_col;
    to += first_row * Shape::kOutputsStride;
    const int place = Row::place(first_row, first_col);
#pragma unroll
    for (int col = 0; col < Shape::kOutputs; col += Mine::kColStep, from += advance) {
      if (Mine::kColStep > Shape::kOutputs && first_col >= Shape::kOutputs) break;
      const bool exists = col < outputs;
#pragma unroll
      for (int r = 0; r < Mine::kRows; ++r) {
        cuda::copy_async_or_zero<sizeof(T)>(
            Row::further(to, place, col) + r * kStepsOfWarp * Shape::kOutputsStride,
            from + r * kStepsOfWarp, exists);
      }
    }
  }

  template <typename Shape>
  __device__ void stage_outputs(const Shared<Shape>& shared, const TileItem& item, int slot,
                                int count, T* to) const {
    using Mine = Share<Shape>;
    const int first_row = Mine::first_row();
    const std::int64_t stride = products.grads_channel_stride;
#pragma unroll 1
    for (int col = Mine::first_col(); col < Shape::kOutputs; col += Mine::kColStep) {
#pragma unroll 1
      for (int r = 0; r < Mine::kRows; ++r) {
        const int row = first_row + r * kStepsOfWarp;
        cuda::copy_async_or_zero<sizeof(T)>(
            to + row * Shape::kOutputsStride + Shape::OutputRow::place(row, col),
            shared.grads + (shared.grads_offsets[slot][row] + col * stride),
            row < count && col < item.outputs);
      }
    }
  }
};

/// For gradients that leave most of a tile empty, as those of depthwise convolutions do: a warp
/// sums the products of a few outputs, each with a chunk of its features, and its lanes share out
/// the positions.
struct SmallGradientConfig {
  /// A kernel of 3 x 3; larger ones take several warps.
  static constexpr int kFeatures = 9;
  static constexpr int kThreads = 256;
  /// Outputs of a warp and of a block, which share what is known of a position. Each half of a warp
  /// ends up with the sums of one.
  static constexpr int kOutputsOfWarp = 2;
  static constexpr int kOutputs = kThreads / 32 * kOutputsOfWarp;
  /// Positions of the tables: one a thread.
  static constexpr int kPositions = kThreads;
  /// A lane adds 8 of a chunk's positions, 24 of a run; five additions of lanes follow, so that a
  /// float passes fewer than kFloatRun roundings.
  static constexpr int kChunksPerRun = 3;
  static constexpr int kPositionsPerRun = kChunksPerRun * kPositions;
  static_assert(kPositionsPerRun / 32 + 5 <= kFloatRun);
  static_assert(kOutputsOfWarp == 2 && kFeatures <= 16);
  /// Eight resident blocks on each of 132 SMs, in 64 waves; outputs beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 64;
};

struct SmallGradients {
  std::int64_t chunks;      // of an output's features
  std::int64_t per_sample;  // outputs of all groups
  std::int64_t count;       // of outputs of all samples

  explicit SmallGradients(const ProductSizes& sizes)
      : chunks(divide_up(sizes.features, SmallGradientConfig::kFeatures)),
        per_sample(sizes.groups * sizes.outputs),
        count(sizes.batch * per_sample) {}
};

/// What the outputs of a block have in common. Offsets are of bytes: an address is one sum.
struct SmallGradientTables {
  KernelElement elements[SmallGradientConfig::kFeatures];
  std::int64_t input_offsets[SmallGradientConfig::kPositions];
  std::int64_t grads_offsets[SmallGradientConfig::kPositions];
  std::uint32_t inside[SmallGradientConfig::kPositions];  // a bit for each element
};

/// Where an output's gradients and the images of its group begin.
template <typename T>
struct SmallGradientOperands {
  const T* grads;
  const T* images;
};

/// Where the outputs of a block begin.
template <typename T>
__device__ void find_operands(const ConvProducts<T>& products, const SmallGradients& gradients,
                              std::int64_t first_output,
                              SmallGradientOperands<T> (&operands)[SmallGradientConfig::kOutputs]) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= SmallGradientConfig::kOutputs) return;
  const std::int64_t index = min(first_output + thread, gradients.count - 1);
  const std::int64_t sample = index / gradients.per_sample;
  const std::int64_t output = index % gradients.per_sample;
  operands[thread] = {
      products.grads_of(sample, 0) + output * products.grads_channel_stride,
      products.input_of(sample, output / products.sizes.outputs),
  };
}

/// A lane's part of the sums of a warp's outputs and features.
///
/// Order of summation: positions 32 apart on a lane, in runs of kPositionsPerRun; a run's lanes by
/// a tree of T; runs in double, in order; the squares of the features by a tree of double.
template <typename T>
struct SmallGradientSums {
  using Config = SmallGradientConfig;
  T run[Config::kOutputsOfWarp][Config::kFeatures] = {};
  double total = 0.0;  // of the half's output and the feature whose number is the lane's in it

  __device__ void end_run(int lane) {
    const int half = lane / 16;
    T mine(0);
#pragma unroll
    for (int f = 0; f < Config::kFeatures; ++f) {
      T sum = half == 0 ? run[0][f] : run[1][f];
      sum += __shfl_xor_sync(~0u, half == 0 ? run[1][f] : run[0][f], 16);
#pragma unroll
      for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
      if (lane % 16 == f) mine = sum;
      run[0][f] = run[1][f] = T(0);
    }
    total += static_cast<double>(mine);
  }
  /// Of the first `features`, for the half's output.
  __device__ double sum_of_squares(int lane, int features) const {
    double squares = lane % 16 < features ? total * total : 0.0;
#pragma unroll
    for (int step = 8; step > 0; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
    return squares;
  }
};

template <typename T>
__global__ void __launch_bounds__(SmallGradientConfig::kThreads)
    small_conv_squared_norms_kernel(ConvProducts<T> products, SmallGradients gradients,
                                    std::int64_t items, double* partial_sums) {
  using Config = SmallGradientConfig;
  constexpr int kOutputs = Config::kOutputsOfWarp;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  __shared__ SmallGradientTables tables;
  __shared__ SmallGradientOperands<T> operands[Config::kOutputs];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int first_of_warp = thread / 32 * kOutputs;
  const std::int64_t steps = products.sizes.steps;
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const std::int64_t chunk_of_features = item % gradients.chunks;
    const std::int64_t first_feature = chunk_of_features * Config::kFeatures;
    const std::int64_t first_output = item / gradients.chunks * Config::kOutputs;
    const int features = static_cast<int>(
        min(products.sizes.features - first_feature, std::int64_t{Config::kFeatures}));

    __syncthreads();  // the last item is done with the tables
    if (thread < Config::kFeatures) {
      tables.elements[thread] = products.element(first_feature + min(thread, features - 1));
    }
    find_operands(products, gradients, first_output, operands);
    __syncthreads();
    SmallGradientOperands<T> from[kOutputs];
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) from[o] = operands[first_of_warp + o];
    std::int64_t offsets[Config::kFeatures];
#pragma unroll
    for (int f = 0; f < Config::kFeatures; ++f) offsets[f] = tables.elements[f].offset * kSize;

    SmallGradientSums<T> sums;
    int chunk = 0;
    for (std::int64_t first = 0; first < steps; first += Config::kPositions, ++chunk) {
      const int count = static_cast<int>(min(steps - first, std::int64_t{Config::kPositions}));
      if (first > 0) __syncthreads();  // the last chunk's products are done
      if (thread < count) {
        std::int64_t grads_offset = 0;
        const KernelOrigin origin = products.origin(first + thread, grads_offset);
        std::uint32_t inside = 0;
#pragma unroll
        for (int f = 0; f < Config::kFeatures; ++f) {
          inside |= std::uint32_t{products.is_inside(origin, tables.elements[f])} << f;
        }
        tables.input_offsets[thread] = origin.offset * kSize;
        tables.grads_offsets[thread] = grads_offset * kSize;
        tables.inside[thread] = inside & ((1u << features) - 1u);
      }
      __syncthreads();
      for (int position = lane; position < count; position += 32) {
        const std::uint32_t inside = tables.inside[position];
        T factors[kOutputs];
        const T* origins[kOutputs];
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          factors[o] = at_bytes(from[o].grads, tables.grads_offsets[position]);
          origins[o] = &at_bytes(from[o].images, tables.input_offsets[position]);
        }
#pragma unroll
        for (int f = 0; f < Config::kFeatures; ++f) {
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            // Zeros outside of the input are multiplied too: by what may be a NaN.
            const T feature = (inside >> f & 1u) != 0 ? at_bytes(origins[o], offsets[f]) : T(0);
            sums.run[o][f] = fma(factors[o], feature, sums.run[o][f]);
          }
        }
      }
      if ((chunk + 1) % Config::kChunksPerRun == 0) sums.end_run(lane);
    }
    sums.end_run(lane);
    const double squares = sums.sum_of_squares(lane, features);
    const std::int64_t output = first_output + first_of_warp + lane / 16;
    if (lane % 16 == 0 && output < gradients.count) {
      partial_sums[output * gradients.chunks + chunk_of_features] = squares;
    }
  }
}

/// What the outputs of a block have in common, where images lie in shared memory.
template <typename T>
struct PlaneTables {
  SmallGradientOperands<T> operands[SmallGradientConfig::kOutputs];
  int elements[SmallGradientConfig::kFeatures];  // offsets of bytes in a plane of pairs
};

/// The part of a channel's image that a kernel meets, padding included, if it is small: for
/// convolutions of one channel a group.
struct Plane {
  int extents[kImageDims] = {};
  int elements;  // 0: not small, or more channels

  /// Two planes for each of eight warps, and the tables, in 96 KiB of shared memory: two blocks on
  /// an SM.
  static constexpr std::int64_t kMaxBytes = 96 << 10;

  template <typename T>
  explicit Plane(const ConvProducts<T>& products) : elements(0) {
    std::int64_t size = 1;
    std::int64_t of_kernel = 1;
    for (int d = 0; d < kImageDims; ++d) {
      const std::int64_t extent = (products.grads_sizes[d] - 1) * products.stride[d] +
                                  (products.kernel[d] - 1) * products.dilation[d] + 1;
      if (extent > kMaxBytes / size) return;
      extents[d] = static_cast<int>(extent);
      size *= extent;
      of_kernel *= products.kernel[d];
    }
    elements = static_cast<int>(size);
    if (bytes<T>(products.sizes.steps) > kMaxBytes || products.sizes.features != of_kernel) {
      elements = 0;
    }
  }

  /// Of shared memory: the tables, a pair of two outputs' images for each element and warp, and
  /// offsets.
  template <typename T>
  std::int64_t bytes(std::int64_t steps) const {
    constexpr std::int64_t kPairs = SmallGradientConfig::kThreads / 32 * 2 * sizeof(T);
    constexpr std::int64_t kOffset = sizeof(std::int64_t);
    return std::int64_t{sizeof(PlaneTables<T>)} + 16 + elements * (kPairs + kOffset) +
           steps * (kOffset + std::int64_t{sizeof(int)});
  }
};

/// As above, from images that lie in shared memory with their padding: an element is read once, and
/// a product takes neither a test nor an address of 64 bits.
template <typename T>
__global__ void __launch_bounds__(SmallGradientConfig::kThreads)
    plane_conv_squared_norms_kernel(ConvProducts<T> products, SmallGradients gradients, Plane plane,
                                    std::int64_t items, double* partial_sums) {
  using Config = SmallGradientConfig;
  constexpr int kOutputs = Config::kOutputsOfWarp;
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(T));
  constexpr std::int64_t kPadding = -1;  // no offset: those are >= 0
  using Pair = Packet<T, kOutputs>;
  extern __shared__ double2 plane_memory[];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int first_of_warp = thread / 32 * kOutputs;
  const auto steps = static_cast<int>(products.sizes.steps);
  auto& tables = *reinterpret_cast<PlaneTables<T>*>(plane_memory);
  constexpr int kPlanes = static_cast<int>(divide_up(sizeof(PlaneTables<T>), sizeof(double2)));
  Pair* const planes = reinterpret_cast<Pair*>(plane_memory + kPlanes);
  Pair* const mine = planes + thread / 32 * plane.elements;
  // Offsets are of bytes.
  auto* const input_offsets =
      reinterpret_cast<std::int64_t*>(planes + Config::kThreads / 32 * plane.elements);
  std::int64_t* const grads_offsets = input_offsets + plane.elements;
  int* const origins = reinterpret_cast<int*>(grads_offsets + steps);

  for (int e = thread; e < plane.elements; e += Config::kThreads) {
    auto rest = static_cast<unsigned>(e);
    std::int64_t offset = 0;
    bool inside = true;
#pragma unroll
    for (int d = kImageDims - 1; d >= 0; --d) {
      const auto coordinate = static_cast<int>(take_coordinate(
          rest, static_cast<unsigned>(plane.extents[d]), is_outermost(plane.extents, d)));
      const std::int64_t at = coordinate - products.padding[d];
      inside = inside && at >= 0 && at < products.input_sizes[d];
      offset += at * products.input_strides[d];
    }
    input_offsets[e] = inside ? offset * kSize : kPadding;
  }
  for (int p = thread; p < steps; p += Config::kThreads) {
    std::int64_t grads_offset = 0;
    const KernelOrigin origin = products.origin(p, grads_offset);
    int element = 0;
#pragma unroll
    for (int d = 0; d < kImageDims; ++d) {
      element = element * plane.extents[d] + origin.at[d] + static_cast<int>(products.padding[d]);
    }
    grads_offsets[p] = grads_offset * kSize;
    origins[p] = element * static_cast<int>(sizeof(Pair));
  }
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const std::int64_t chunk_of_features = item % gradients.chunks;
    const std::int64_t first_feature = chunk_of_features * Config::kFeatures;
    const std::int64_t first_output = item / gradients.chunks * Config::kOutputs;
    const int features = static_cast<int>(
        min(products.sizes.features - first_feature, std::int64_t{Config::kFeatures}));
    __syncthreads();  // the last item is done with the tables
    if (thread < Config::kFeatures) {
      const KernelElement element = products.element(first_feature + min(thread, features - 1));
      int of_plane = 0;
#pragma unroll
      for (int d = 0; d < kImageDims; ++d) {
        of_plane = of_plane * plane.extents[d] + element.shift[d];
      }
      tables.elements[thread] = of_plane * static_cast<int>(sizeof(Pair));
    }
    find_operands(products, gradients, first_output, tables.operands);
    __syncthreads();
    SmallGradientOperands<T> from[kOutputs];
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) from[o] = tables.operands[first_of_warp + o];
    int offsets[Config::kFeatures];
#pragma unroll
    for (int f = 0; f < Config::kFeatures; ++f) offsets[f] = tables.elements[f];

#pragma unroll 4
    for (int e = lane; e < plane.elements; e += 32) {
      const std::int64_t offset = input_offsets[e];
      Pair pair;
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
        pair.values[o] = offset == kPadding ? T(0) : at_bytes(from[o].images, offset);
      }
      mine[e] = pair;
    }
    __syncwarp();  // the images are there
    SmallGradientSums<T> sums;
    for (int first = 0; first < steps; first += Config::kPositionsPerRun) {
      const int end = min(steps, first + Config::kPositionsPerRun);
#pragma unroll 2
      for (int position = first + lane; position < end; position += 32) {
        T factors[kOutputs];
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          factors[o] = at_bytes(from[o].grads, grads_offsets[position]);
        }
        const int origin = origins[position];
#pragma unroll
        for (int f = 0; f < Config::kFeatures; ++f) {
          const Pair pair = at_bytes(mine, origin + offsets[f]);
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            sums.run[o][f] = fma(factors[o], pair.values[o], sums.run[o][f]);
          }
        }
      }
      sums.end_run(lane);
    }
    const double squares = sums.sum_of_squares(lane, features);
    const std::int64_t output = first_output + first_of_warp + lane / 16;
    if (lane % 16 == 0 && output < gradients.count) {
      partial_sums[output * gradients.chunks + chunk_of_features] = squares;
    }
  }
}

/// Whether warps compute the gradients. They cost about four times as much for each multiply-add as
/// a wide tile; see takes_wide_tiles. Compared with narrow tiles of matrix products it is about
/// six times, but those have tables of their own for each sample, worth 50,000 multiply-adds.
bool are_small(const ProductSizes& sizes, bool by_matrix_products) {
  const auto padded_elements = [&sizes](std::int64_t outputs, std::int64_t features) {
    return static_cast<double>(divide_up(sizes.outputs, outputs) * outputs) *
           static_cast<double>(divide_up(sizes.features, features) * features);
  };
  const double by_warps = padded_elements(1, SmallGradientConfig::kFeatures);
  if (by_matrix_products) {
    const double tables = 5.0e4 / static_cast<double>(std::max<std::int64_t>(1, sizes.steps));
    return 6.0 * by_warps < padded_elements(takes_eight_outputs(sizes) ? 8 : 16, 8) + tables;
  }
  return 4.0 * by_warps < padded_elements(WideTile::kOutputs, WideTile::kFeatures / 2) &&
         4.0 * by_warps < 3.0 * padded_elements(NarrowTile::kOutputs, NarrowTile::kFeatures);
}

template <typename T>
void small_conv_squared_norms(const ConvNormsTask<T>& task, const Stream& stream) {
  using Config = SmallGradientConfig;
  const ProductSizes& sizes = task.products.sizes;
  const SmallGradients gradients(sizes);
  const std::int64_t items = divide_up(gradients.count, Config::kOutputs) * gradients.chunks;
  const Plane plane(task.products);
  if (items > 0 && plane.elements > 0) {
    const auto bytes = static_cast<std::size_t>(plane.bytes<T>(sizes.steps));
    cuda::launch({cuda::grid_stride_blocks(items, 1, Config::kMaxBlocks), Config::kThreads, bytes},
                 stream, plane_conv_squared_norms_kernel<T>, task.products, gradients, plane, items,
                 task.workspace.data());
  } else if (items > 0) {
    cuda::launch({cuda::grid_stride_blocks(items, 1, Config::kMaxBlocks), Config::kThreads}, stream,
                 small_conv_squared_norms_kernel<T>, task.products, gradients, items,
                 task.workspace.data());
  }
  sum_partial_sums_cuda(MatrixView<const double>(task.workspace.data(), sizes.batch,
                                                 gradients.per_sample * gradients.chunks),
                        Clamp::kNone, task.squared_norms, stream);
}

template <typename T, int kColumns, int kSlices>
auto* channel_planes_kernel(bool has_pairs) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (has_pairs) return channel_planes_squared_norms_kernel<T, kColumns, kSlices, true>;
  }
  return channel_planes_squared_norms_kernel<T, kColumns, kSlices, false>;
}

/// Whether the channels fit, and so it is done.
template <int kColumns, int kSlices, typename T>
bool channel_planes_squared_norms(const ConvNormsTask<T>& task, const Stream& stream) {
  using Tile = PlaneTile<kColumns, kSlices>;
  const ProductSizes& sizes = task.products.sizes;
  const auto planes = ChannelPlanes::of<Tile>(task.products);
  if (planes.bytes == 0) return false;
  const TileGrid<Tile> grid(sizes);
  const std::int64_t tiles = sizes.batch * grid.per_sample;
  if (tiles > 0) {
    cuda::launch({cuda::grid_stride_blocks(tiles, 1, Tile::kMaxBlocks), Tile::kThreads,
                  static_cast<std::size_t>(planes.bytes)},
                 stream, channel_planes_kernel<T, kColumns, kSlices>(planes.has_pairs),
                 task.products, planes, grid, Span<double>(task.workspace.data(), tiles));
  }
  sum_partial_sums_cuda(
      MatrixView<const double>(task.workspace.data(), sizes.batch, grid.per_sample), Clamp::kNone,
      task.squared_norms, stream);
  return true;
}

/// The same by the tile that fits. Where steps are few, to exchange sums of a part of them would
/// take longer than to add.
template <typename T>
bool channel_planes_squared_norms(const ConvNormsTask<T>& task, const Stream& stream) {
  constexpr std::int64_t kFewSteps = 64;
  const bool few = task.products.sizes.steps <= kFewSteps;
  if (takes_eight_outputs(task.products.sizes)) {
    return few ? channel_planes_squared_norms<8, 1>(task, stream)
               : channel_planes_squared_norms<8, 4>(task, stream);
  }
  if (!few) return channel_planes_squared_norms<16, 4>(task, stream);
  // What a tile does once is worth as much as few steps: the more outputs share it, the better.
  return task.products.sizes.outputs <= 16 ? channel_planes_squared_norms<16, 1>(task, stream)
                                           : channel_planes_squared_norms<32, 1>(task, stream);
}

}  // namespace

std::int64_t conv_workspace_size_cuda(const ProductSizes& sizes) {
  // For any device and any number of steps: of one step most are small.
  ProductSizes of_one_step = sizes;
  of_one_step.steps = 1;
  const SmallGradients gradients(sizes);
  const bool may_be_small = are_small(of_one_step, true) || are_small(of_one_step, false);
  return std::max(product_workspace_size_cuda(sizes),
                  may_be_small ? gradients.count * gradients.chunks : 0);
}

template <typename T>
void conv_squared_norms_cuda(const ConvNormsTask<T>& task, const Stream& stream) {
  const ProductSizes& sizes = task.products.sizes;
  const bool by_matrix_products = takes_matrix_products(TileWidth::kNarrow, stream);
  if (are_small(sizes, by_matrix_products)) return small_conv_squared_norms(task, stream);
  if (by_matrix_products && !takes_wide_tiles(sizes, true) &&
      channel_planes_squared_norms(task, stream)) {
    return;
  }
  product_squared_norms(ConvOperands<T>(task.products), sizes, task.squared_norms, task.workspace,
                        stream);
}

template void conv_squared_norms_cuda(const ConvNormsTask<float>&, const Stream&);
template void conv_squared_norms_cuda(const ConvNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
