#pragma once

#include <cstdint>
#include <cub/block/block_reduce.cuh>
#include <type_traits>

#include "cuda/launch.cuh"
#include "gradients/partial_sums.h"
#include "gradients/product_body.h"

/// Squared norms of per-sample products, tile by tile: a block computes a tile of one sample's
/// gradient in its registers, squares and sums it, and forgets it. What is multiplied lies in
/// shared memory for a chunk of steps; how it gets there is the operands' business, so that nothing
/// is unfolded. The blocks of a kernel overlap loads and products; within a block they take turns.
namespace velum::kernels {

/// Elements of shared memory that one instruction can load.
template <typename T>
struct alignas(16) Packet {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  T values[kCount];
};

template <int kCount, typename T>
__device__ void load_fragment(const T* from, T (&to)[kCount]) {
  if constexpr (kCount % Packet<T>::kCount == 0) {
#pragma unroll
    for (int p = 0; p < kCount; p += Packet<T>::kCount) {
      const Packet<T> packet = *reinterpret_cast<const Packet<T>*>(from + p);
#pragma unroll
      for (int i = 0; i < Packet<T>::kCount; ++i) to[p + i] = packet.values[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = from[i];
  }
}

/// Sums of products on one thread: of floats in float for a run of steps, then in double; of
/// doubles in double throughout.
template <typename T, int kRows, int kCols>
struct ProductSums {
  T run[kRows][kCols] = {};
  double total[kRows][kCols] = {};

  __device__ void add(const T (&rows)[kRows], const T (&cols)[kCols]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
        if constexpr (std::is_same_v<T, double>) {
          total[r][c] = fma(rows[r], cols[c], total[r][c]);
        } else {
          run[r][c] = fmaf(rows[r], cols[c], run[r][c]);
        }
      }
    }
  }
  __device__ void end_run() {
    if constexpr (!std::is_same_v<T, double>) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kCols; ++c) {
          total[r][c] += static_cast<double>(run[r][c]);
          run[r][c] = T(0);
        }
      }
    }
  }
};

/// Steps whose operands are in shared memory at once: long enough to pay for two barriers, short
/// enough for several blocks per SM.
constexpr int kTileDepth = 32;

/// A warp that stores eight steps of four columns meets every bank once if rows lie a multiple of
/// four, odd in fours modulo 32, apart: tiles are multiples of eight, and four more.
constexpr int padded(int cols) { return cols + 4; }

/// For gradients that fill it: 8 x 4 sums a thread take three 16-byte loads of shared memory, two
/// of them broadcasts, for 32 multiply-adds. Sums in float and double take 96 registers.
struct WideTile {
  static constexpr int kOutputs = 64;
  static constexpr int kFeatures = 64;
  static constexpr int kOutputsPerThread = 8;
  static constexpr int kFeaturesPerThread = 4;
  static constexpr int kSlices = 1;        // all threads on the same steps
  static constexpr int kChunksPerRun = 1;  // kFloatRun steps
  /// At most 168 registers: three blocks, 12 warps, on an SM.
  static constexpr int kMinBlocks = 3;
};

/// For small gradients: a warp computes all of it, and four warps share out the steps of a
/// chunk.
struct NarrowTile {
  static constexpr int kOutputs = 8;
  static constexpr int kFeatures = 16;
  static constexpr int kOutputsPerThread = 2;
  static constexpr int kFeaturesPerThread = 2;
  static constexpr int kSlices = 4;
  static constexpr int kChunksPerRun = 4;
  /// At most 96 registers: five blocks, 20 warps, on an SM; for six there would be spills.
  static constexpr int kMinBlocks = 5;
};

template <typename Tile>
struct TileShape : Tile {
  static constexpr int kFeatureThreads = Tile::kFeatures / Tile::kFeaturesPerThread;
  static constexpr int kThreadsPerSlice =
      Tile::kOutputs / Tile::kOutputsPerThread * kFeatureThreads;
  static constexpr int kThreads = kThreadsPerSlice * Tile::kSlices;
  static constexpr int kDepthPerSlice = kTileDepth / Tile::kSlices;
  static constexpr int kOutputsStride = padded(Tile::kOutputs);
  static constexpr int kFeaturesStride = padded(Tile::kFeatures);
  /// Sixteen resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 16 * 64;

  static_assert(kDepthPerSlice * Tile::kChunksPerRun == kFloatRun);
  static_assert(kThreads == 128 && kThreadsPerSlice % 32 == 0);
};

/// The tile of one block.
struct TileItem {
  std::int64_t sample;
  std::int64_t group;
  std::int64_t first_output;
  std::int64_t first_feature;
  int outputs;   // of the tile that exist
  int features;  // of the tile that exist
};

template <typename Tile>
struct TileGrid {
  std::int64_t output_tiles;
  std::int64_t feature_tiles;
  std::int64_t per_sample;

  explicit TileGrid(const ProductSizes& sizes)
      : output_tiles(divide_up(sizes.outputs, Tile::kOutputs)),
        feature_tiles(divide_up(sizes.features, Tile::kFeatures)),
        per_sample(sizes.groups * output_tiles * feature_tiles) {}

  __device__ TileItem item(const ProductSizes& sizes, std::int64_t index) const {
    TileItem item;
    item.first_feature = index % feature_tiles * Tile::kFeatures;
    index /= feature_tiles;
    item.first_output = index % output_tiles * Tile::kOutputs;
    index /= output_tiles;
    item.group = index % sizes.groups;
    item.sample = index / sizes.groups;
    item.outputs =
        static_cast<int>(min(sizes.outputs - item.first_output, std::int64_t{Tile::kOutputs}));
    item.features =
        static_cast<int>(min(sizes.features - item.first_feature, std::int64_t{Tile::kFeatures}));
    return item;
  }
};

/// Operands has
///   Element                  float or double
///   Shared                   tables in shared memory
///   begin_tile(shared, item)                fills what serves a whole tile
///   begin_chunk(shared, first_step, count)  fills what serves a chunk of steps
///   stage<Tile>(shared, item, first_step, count, outputs, features)
/// of which the last writes rows [0, count) of the two tiles, [count][kOutputsStride] and
/// [count][kFeaturesStride], with zeros where the gradient has no such output or feature.
///
/// Order of summation: see ProductSums; the slices' sums in order; the squares of a thread row by
/// row; cub::BlockReduce's tree.
template <typename Operands, typename Tile>
__global__ void __launch_bounds__(TileShape<Tile>::kThreads, Tile::kMinBlocks)
    product_squared_norms_kernel(Operands operands, ProductSizes sizes, TileGrid<Tile> grid,
                                 Span<double> partial_sums) {
  using T = typename Operands::Element;
  using Shape = TileShape<Tile>;
  using BlockReduce = cub::BlockReduce<double, Shape::kThreads>;
  constexpr int kRows = Tile::kOutputsPerThread;
  constexpr int kCols = Tile::kFeaturesPerThread;
  constexpr bool kSliced = Tile::kSlices > 1;
  __shared__ alignas(16) T outputs[kTileDepth][Shape::kOutputsStride];
  __shared__ alignas(16) T features[kTileDepth][Shape::kFeaturesStride];
  __shared__ double slices[kSliced ? Tile::kSlices - 1 : 1][kSliced ? Tile::kOutputs : 1]
                          [kSliced ? Tile::kFeatures : 1];
  __shared__ typename Operands::Shared shared;
  __shared__ typename BlockReduce::TempStorage storage;

  const int thread = static_cast<int>(threadIdx.x);
  const int slice = thread / Shape::kThreadsPerSlice;
  const int in_slice = thread % Shape::kThreadsPerSlice;
  const int first_row = in_slice / Shape::kFeatureThreads * kRows;
  const int first_col = in_slice % Shape::kFeatureThreads * kCols;

  for (std::int64_t index = blockIdx.x; index < partial_sums.size(); index += gridDim.x) {
    const TileItem item = grid.item(sizes, index);
    operands.begin_tile(shared, item);
    ProductSums<T, kRows, kCols> sums;
    int chunk = 0;
    for (std::int64_t first = 0; first < sizes.steps; first += kTileDepth, ++chunk) {
      const int count = static_cast<int>(min(sizes.steps - first, std::int64_t{kTileDepth}));
      operands.begin_chunk(shared, first, count);
      __syncthreads();  // the tables are there, and the last chunk's products are done
      operands.template stage<Shape>(shared, item, first, count, &outputs[0][0], &features[0][0]);
      __syncthreads();
      const int begin = slice * Shape::kDepthPerSlice;
      const int end = min(count, begin + Shape::kDepthPerSlice);
#pragma unroll 2  // more would spill
      for (int k = begin; k < end; ++k) {
        T rows[kRows];
        T cols[kCols];
        load_fragment(&outputs[k][first_row], rows);
        load_fragment(&features[k][first_col], cols);
        sums.add(rows, cols);
      }
      if ((chunk + 1) % Tile::kChunksPerRun == 0) sums.end_run();
    }
    sums.end_run();
    if constexpr (kSliced) {
      if (slice > 0) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int c = 0; c < kCols; ++c) {
            slices[slice - 1][first_row + r][first_col + c] = sums.total[r][c];
          }
        }
      }
      __syncthreads();
    }
    double squares = 0.0;
    if (slice == 0) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kCols; ++c) {
          double value = sums.total[r][c];
          if constexpr (kSliced) {
#pragma unroll
            for (int s = 0; s < Tile::kSlices - 1; ++s) {
              value += slices[s][first_row + r][first_col + c];
            }
          }
          // Selected: what lies outside of the gradient is 0 times something, which may be NaN.
          if (first_row + r < item.outputs && first_col + c < item.features) {
            squares = fma(value, value, squares);
          }
        }
      }
    }
    const double sum = BlockReduce(storage).Sum(squares);
    if (thread == 0) partial_sums[index] = sum;
    __syncthreads();  // storage, slices and tables are used again
  }
}

/// Whether a gradient is computed in wide tiles. A narrow one costs about three times as much for
/// each multiply-add, by its loads of shared memory.
inline bool takes_wide_tiles(const ProductSizes& sizes) {
  const auto padded_elements = [&sizes](std::int64_t outputs, std::int64_t features) {
    return static_cast<double>(divide_up(sizes.outputs, outputs) * outputs) *
           static_cast<double>(divide_up(sizes.features, features) * features);
  };
  return padded_elements(WideTile::kOutputs, WideTile::kFeatures) <=
         3.0 * padded_elements(NarrowTile::kOutputs, NarrowTile::kFeatures);
}

/// Elements of workspace: one partial sum per tile.
inline std::int64_t product_workspace_size_cuda(const ProductSizes& sizes) {
  return sizes.batch * (takes_wide_tiles(sizes) ? TileGrid<WideTile>(sizes).per_sample
                                                : TileGrid<NarrowTile>(sizes).per_sample);
}

template <typename Tile, typename Operands>
void product_squared_norms_in_tiles(const Operands& operands, const ProductSizes& sizes,
                                    Span<double> squared_norms, Span<double> workspace,
                                    const Stream& stream) {
  const TileGrid<Tile> grid(sizes);
  const std::int64_t tiles = sizes.batch * grid.per_sample;
  if (tiles > 0) {
    cuda::launch({cuda::grid_stride_blocks(tiles, 1, TileShape<Tile>::kMaxBlocks),
                  TileShape<Tile>::kThreads},
                 stream, product_squared_norms_kernel<Operands, Tile>, operands, sizes, grid,
                 Span<double>(workspace.data(), tiles));
  }
  sum_partial_sums_cuda(MatrixView<const double>(workspace.data(), sizes.batch, grid.per_sample),
                        Clamp::kNone, squared_norms, stream);
}

/// Squared norms of all samples' products, by the tile that fits.
template <typename Operands>
void product_squared_norms(const Operands& operands, const ProductSizes& sizes,
                           Span<double> squared_norms, Span<double> workspace,
                           const Stream& stream) {
  if (takes_wide_tiles(sizes)) {
    product_squared_norms_in_tiles<WideTile>(operands, sizes, squared_norms, workspace, stream);
  } else {
    product_squared_norms_in_tiles<NarrowTile>(operands, sizes, squared_norms, workspace, stream);
  }
}

}  // namespace velum::kernels
