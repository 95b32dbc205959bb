#include "gradients/conv_squared_norms_halves.h"
#include "gradients/product_tile.cuh"

namespace velum::kernels {
namespace {

/// A warp stores eight neighbouring positions (32 bytes of floats where positions are neighbours in
/// memory) of four columns; see padded().
constexpr int kColsOfWarp = 4;
constexpr int kStepsOfWarp = 8;

template <typename T>
struct ConvOperands {
  using Element = T;
  struct Shared {
    KernelElement elements[WideTile::kFeatures];
    KernelOrigin origins[kTileDepth];
    std::int64_t grads_offsets[kTileDepth];
  };
  static_assert(NarrowTile::kFeatures <= WideTile::kFeatures);

  ConvProducts<T> products;

  __device__ void begin_tile(Shared& shared, const TileItem& item) const {
    const int feature = static_cast<int>(threadIdx.x);
    if (feature < item.features) {
      shared.elements[feature] = products.element(item.first_feature + feature);
    }
  }
  __device__ void begin_chunk(Shared& shared, std::int64_t first_step, int count) const {
    const int step = static_cast<int>(threadIdx.x);
    if (step < count) {
      shared.origins[step] = products.origin(first_step + step, shared.grads_offsets[step]);
    }
  }
  template <typename Shape>
  __device__ void stage(const Shared& shared, const TileItem& item, std::int64_t /*first_step*/,
                        int count, T* outputs, T* features) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int first_col = warp * kColsOfWarp + lane % kColsOfWarp;
    const int first_row = lane / kColsOfWarp;
    constexpr int kColStep = Shape::kThreads / 32 * kColsOfWarp;
    const T* const grads = products.grads_of(item.sample, item.group) +
                           item.first_output * products.grads_channel_stride;
    for (int col = first_col; col < Shape::kOutputs; col += kColStep) {
      for (int row = first_row; row < count; row += kStepsOfWarp) {
        outputs[row * Shape::kOutputsStride + col] =
            col < item.outputs
                ? grads[col * products.grads_channel_stride + shared.grads_offsets[row]]
                : T(0);
      }
    }
    const T* const images = products.input_of(item.sample, item.group);
    for (int col = first_col; col < Shape::kFeatures; col += kColStep) {
      for (int row = first_row; row < count; row += kStepsOfWarp) {
        features[row * Shape::kFeaturesStride + col] =
            col < item.features
                ? products.input_at(images, shared.origins[row], shared.elements[col])
                : T(0);
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
  static_assert(kChunksPerRun * kPositions / 32 + 5 <= kFloatRun);
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

template <typename T>
__device__ const T& at_bytes(const T* from, std::int64_t bytes) {
  return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + bytes);
}

/// Order of summation: positions 32 apart on a lane, in runs of kChunksPerRun chunks; a run's lanes
/// by a tree of T; runs in double, in order; the squares of the features by a tree of double.
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
  const int half = lane / 16;
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
    if (thread < Config::kOutputs) {
      const std::int64_t index = min(first_output + thread, gradients.count - 1);
      const std::int64_t sample = index / gradients.per_sample;
      const std::int64_t output = index % gradients.per_sample;
      operands[thread] = {
          products.grads_of(sample, 0) + output * products.grads_channel_stride,
          products.input_of(sample, output / products.sizes.outputs),
      };
    }
    __syncthreads();
    SmallGradientOperands<T> from[kOutputs];
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) from[o] = operands[first_of_warp + o];
    std::int64_t offsets[Config::kFeatures];
#pragma unroll
    for (int f = 0; f < Config::kFeatures; ++f) offsets[f] = tables.elements[f].offset * kSize;

    T sums[kOutputs][Config::kFeatures] = {};
    double total = 0.0;  // of the half's output and the feature whose number is the lane's in it
    const auto end_run = [&] {
      T mine(0);
#pragma unroll
      for (int f = 0; f < Config::kFeatures; ++f) {
        T sum = half == 0 ? sums[0][f] : sums[1][f];
        sum += __shfl_xor_sync(~0u, half == 0 ? sums[1][f] : sums[0][f], 16);
#pragma unroll
        for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
        if (lane % 16 == f) mine = sum;
        sums[0][f] = sums[1][f] = T(0);
      }
      total += static_cast<double>(mine);
    };
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
            sums[o][f] = fma(factors[o], feature, sums[o][f]);
          }
        }
      }
      if ((chunk + 1) % Config::kChunksPerRun == 0) end_run();
    }
    end_run();
    // A feature that the gradient does not have counts too. It is a sum of zeros, unless the
    // sample's norm is not finite anyway.
    double squares = total * total;
#pragma unroll
    for (int step = 8; step > 0; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
    const std::int64_t output = first_output + first_of_warp + half;
    if (lane % 16 == 0 && output < gradients.count) {
      partial_sums[output * gradients.chunks + chunk_of_features] = squares;
    }
  }
}

/// Whether warps compute the gradients. They cost about four times as much for each multiply-add as
/// a wide tile; see takes_wide_tiles.
bool are_small(const ProductSizes& sizes) {
  const auto padded_elements = [&sizes](std::int64_t outputs, std::int64_t features) {
    return static_cast<double>(divide_up(sizes.outputs, outputs) * outputs) *
           static_cast<double>(divide_up(sizes.features, features) * features);
  };
  const double by_warps = 4.0 * padded_elements(1, SmallGradientConfig::kFeatures);
  return by_warps < padded_elements(WideTile::kOutputs, WideTile::kFeatures) &&
         by_warps < 3.0 * padded_elements(NarrowTile::kOutputs, NarrowTile::kFeatures);
}

template <typename T>
void small_conv_squared_norms(const ConvNormsTask<T>& task, const Stream& stream) {
  using Config = SmallGradientConfig;
  const ProductSizes& sizes = task.products.sizes;
  const SmallGradients gradients(sizes);
  const std::int64_t items = divide_up(gradients.count, Config::kOutputs) * gradients.chunks;
  if (items > 0) {
    cuda::launch({cuda::grid_stride_blocks(items, 1, Config::kMaxBlocks), Config::kThreads}, stream,
                 small_conv_squared_norms_kernel<T>, task.products, gradients, items,
                 task.workspace.data());
  }
  sum_partial_sums_cuda(MatrixView<const double>(task.workspace.data(), sizes.batch,
                                                 gradients.per_sample * gradients.chunks),
                        Clamp::kNone, task.squared_norms, stream);
}

}  // namespace

std::int64_t conv_workspace_size_cuda(const ProductSizes& sizes) {
  if (!are_small(sizes)) return product_workspace_size_cuda(sizes);
  const SmallGradients gradients(sizes);
  return gradients.count * gradients.chunks;
}

template <typename T>
void conv_squared_norms_cuda(const ConvNormsTask<T>& task, const Stream& stream) {
  if (are_small(task.products.sizes)) return small_conv_squared_norms(task, stream);
  product_squared_norms(ConvOperands<T>{task.products}, task.products.sizes, task.squared_norms,
                        task.workspace, stream);
}

template void conv_squared_norms_cuda(const ConvNormsTask<float>&, const Stream&);
template void conv_squared_norms_cuda(const ConvNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
