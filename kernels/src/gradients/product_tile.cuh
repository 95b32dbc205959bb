#pragma once

#include <cstdint>
#include <cub/block/block_reduce.cuh>
#include <limits>
#include <type_traits>

#include "cuda/async_copy.cuh"
#include "gradients/product_body.h"

/// Squared norms of per-sample products, tile by tile: a block computes a tile of one sample's
/// gradient in its registers, squares and sums it, and forgets it. What is multiplied lies in
/// shared memory for a chunk of steps; how it gets there is the operands' business, so that nothing
/// is unfolded. While a chunk is multiplied the next one is copied.
namespace velum::kernels {

/// `kCount` consecutive elements, loaded at once.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Packet {
  T values[kCount];
};

/// Elements, and offsets of bytes: an address is one sum.
template <typename T>
__device__ const T& at_bytes(const T* from, std::int64_t bytes) {
  return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + bytes);
}

/// threadIdx.x, asked for again: so that what depends on it is not kept in registers over a loop
/// that has none to spare.
__device__ inline int thread_again() {
  int thread = 0;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  __builtin_assume(thread >= 0);
  return thread;
}

/// As a double, converted here and once: where several branches use it, each would do so.
__device__ inline double converted_once(double value) { return value; }
__device__ inline double converted_once(float value) {
  double result = 0.0;
  asm volatile("cvt.f64.f32 %0, %1;" : "=d"(result) : "f"(value));
  return result;
}

/// Of shared memory, by one instruction.
constexpr int kPacketBytes = 16;

/// A warp is a grid of lanes, and a lane of several packets of its rows and columns. The packets of
/// neighbouring lanes are neighbours: a warp that loads them meets every bank once.
struct WarpGrid {
  static constexpr int kRows = 4;
  static constexpr int kCols = 8;

  /// Lanes that differ in bit 1 have the same columns, in bit 0 the same rows: neighbours, whose
  /// loads a device may serve together.
  __device__ static int row(int lane) { return (lane >> 1 & 1) + (lane >> 3 & 2); }
  __device__ static int col(int lane) { return (lane & 1) + (lane >> 1 & 6); }
};

/// The `kCount` rows (columns) of a lane of which the warp's grid has `kLanes`, from the warp's
/// first.
template <typename T, int kCount, int kLanes>
struct LaneElements {
  static constexpr int kPacket = kCount < kPacketBytes / static_cast<int>(sizeof(T))
                                     ? kCount
                                     : kPacketBytes / static_cast<int>(sizeof(T));
  static_assert(kCount % kPacket == 0);

  /// The first of the lane's, and the others from there.
  __device__ static int first(int lane) { return lane * kPacket; }
  __device__ static constexpr int offset(int i) {
    return i / kPacket * (kLanes * kPacket) + i % kPacket;
  }
  /// @param from  the lane's first of a step.
  __device__ static void load(const T* from, T (&to)[kCount]) {
#pragma unroll
    for (int p = 0; p < kCount; p += kPacket) {
      const auto packet = *reinterpret_cast<const Packet<T, kPacket>*>(from + p * kLanes);
#pragma unroll
      for (int i = 0; i < kPacket; ++i) to[p + i] = packet.values[i];
    }
  }
};

/// Sums of products on one thread: of floats in float for a run of steps, then in double; of
/// doubles in double throughout.
template <typename T, int kRows, int kCols>
struct ProductSums {
  static constexpr bool kHasRuns = !std::is_same_v<T, double>;
  T run[kRows][kCols];
  double total[kRows][kCols];

  /// @tparam kStartsRun  the run is what is added.
  template <bool kStartsRun>
  __device__ void add(const T (&rows)[kRows], const T (&cols)[kCols]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
        if constexpr (!kHasRuns) {
          total[r][c] = fma(rows[r], cols[c], total[r][c]);
        } else if constexpr (kStartsRun) {
          run[r][c] = rows[r] * cols[c];
        } else {
          run[r][c] = fmaf(rows[r], cols[c], run[r][c]);
        }
      }
    }
  }
  /// @tparam kFirst  no run has ended before.
  template <bool kFirst>
  __device__ void end_run() {
    if constexpr (kHasRuns) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kCols; ++c) {
          const auto sum = static_cast<double>(run[r][c]);
          total[r][c] = kFirst ? sum : total[r][c] + sum;
        }
      }
    }
  }
  __device__ void clear_run() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) run[r][c] = T(0);
    }
  }
  __device__ void clear_total() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) total[r][c] = 0.0;
    }
  }
};

/// Where the rows of steps have their columns. A warp that stores eight steps of four columns meets
/// every bank once if rows lie a multiple of four, odd in fours modulo 32, apart: tiles are
/// multiples of eight, and four more.
template <int kColumns>
struct PaddedRow {
  static constexpr int kCols = kColumns;
  static constexpr int kStride = kCols + 4;
  /// Where a step's row has a column, and the element `by` columns further.
  __device__ static int place(int /*step*/, int col) { return col; }
  template <typename T>
  __device__ static T* further(T* row, int place, int by) {
    return row + place + by;
  }
};

/// For gradients that fill it: 8 x 8 sums a thread take four 16-byte loads of shared memory for 64
/// multiply-adds. Sums in float and double take 192 registers. Twice as many features as outputs:
/// an output's gradients are copied for half as many tiles.
struct WideTile {
  static constexpr int kOutputs = 64;
  static constexpr int kFeatures = 128;
  static constexpr int kOutputsPerThread = 8;
  static constexpr int kFeaturesPerThread = 8;
  static constexpr int kSlices = 1;  // all threads on the same steps
  /// Of a chunk. Two chunks of doubles of 32 steps would leave room for one block only.
  template <typename T>
  static constexpr int kDepth = 128 / static_cast<int>(sizeof(T));
  static constexpr int kChunksPerRun = 1;  // kFloatRun steps
  /// All registers that a thread can have: two blocks, 8 warps, on an SM.
  static constexpr int kMinBlocks = 2;
};

/// For small gradients: a warp computes all of it, and four warps share out the steps of a
/// chunk.
struct NarrowTile {
  static constexpr int kOutputs = 8;
  static constexpr int kFeatures = 32;
  static constexpr int kOutputsPerThread = 2;
  static constexpr int kFeaturesPerThread = 4;
  static constexpr int kSlices = 4;
  template <typename T>
  static constexpr int kDepth = 32;
  static constexpr int kChunksPerRun = 4;
  /// At most 96 registers: five blocks, 20 warps, on an SM.
  static constexpr int kMinBlocks = 5;
};

template <typename Tile, typename T>
struct TileShape : Tile {
  using Outputs = LaneElements<T, Tile::kOutputsPerThread, WarpGrid::kRows>;
  using Features = LaneElements<T, Tile::kFeaturesPerThread, WarpGrid::kCols>;
  static constexpr int kThreadsPerSlice =
      Tile::kOutputs / Tile::kOutputsPerThread * (Tile::kFeatures / Tile::kFeaturesPerThread);
  static constexpr int kThreads = kThreadsPerSlice * Tile::kSlices;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kWarpOutputs = WarpGrid::kRows * Tile::kOutputsPerThread;
  static constexpr int kWarpFeatures = WarpGrid::kCols * Tile::kFeaturesPerThread;
  static constexpr int kDepth = Tile::template kDepth<T>;
  static constexpr int kDepthPerSlice = kDepth / Tile::kSlices;
  /// Steps that are multiplied at once; zeros fill the last of them up.
  static constexpr int kStepsAtOnce = 4;
  /// Whether a chunk begins and ends a run of all of its steps.
  static constexpr bool kRunIsChunk = Tile::kSlices == 1 && Tile::kChunksPerRun == 1;
  /// Of a row, whose copies a thread starts together where it copies single elements.
  static constexpr int kColsAtOnce = 4;
  using OutputRow = PaddedRow<Tile::kOutputs>;
  using FeatureRow = PaddedRow<Tile::kFeatures>;
  static constexpr int kOutputsStride = OutputRow::kStride;
  static constexpr int kFeaturesStride = FeatureRow::kStride;
  /// Sixteen resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 16 * 64;

  static_assert(!std::is_same_v<T, float> || kDepthPerSlice * Tile::kChunksPerRun == kFloatRun);
  static_assert(kDepthPerSlice % kStepsAtOnce == 0);
  static_assert(kThreadsPerSlice ==
                32 * (Tile::kOutputs / kWarpOutputs) * (Tile::kFeatures / kWarpFeatures));

  /// The output and the feature of the tile at which a thread's begin.
  __device__ static int first_output(int thread) {
    const int warp = thread % kThreadsPerSlice / 32;
    return warp / (Tile::kFeatures / kWarpFeatures) * kWarpOutputs +
           Outputs::first(WarpGrid::row(thread % 32));
  }
  __device__ static int first_feature(int thread) {
    const int warp = thread % kThreadsPerSlice / 32;
    return warp % (Tile::kFeatures / kWarpFeatures) * kWarpFeatures +
           Features::first(WarpGrid::col(thread % 32));
  }
  /// Whether the tile has outputs and features of the thread's warp.
  __device__ static bool has_products(int thread, int outputs, int features) {
    const int warp = thread % kThreadsPerSlice / 32;
    return warp / (Tile::kFeatures / kWarpFeatures) * kWarpOutputs < outputs &&
           warp % (Tile::kFeatures / kWarpFeatures) * kWarpFeatures < features;
  }
  /// Which feature of the tile a column has whose features may be in any order.
  __device__ static int feature_of(int col) { return col; }
  /// Columns of a chunk that are staged where a tile has `features`; others may be, too.
  __device__ static int staged_cols(int features) { return features; }
  /// Rows of a chunk of `count` steps that are staged.
  __device__ static int staged_rows(int count) {
    return (count + kStepsAtOnce - 1) / kStepsAtOnce * kStepsAtOnce;
  }
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
  bool is_small;  // indices of tiles take 32 bits, whose divisions are cheap

  explicit TileGrid(const ProductSizes& sizes)
      : output_tiles(divide_up(sizes.outputs, Tile::kOutputs)),
        feature_tiles(divide_up(sizes.features, Tile::kFeatures)),
        per_sample(sizes.groups * output_tiles * feature_tiles),
        is_small(sizes.batch * per_sample <= std::numeric_limits<std::uint32_t>::max()) {}

  __device__ TileItem item(const ProductSizes& sizes, std::int64_t index) const {
    TileItem item;
    std::int64_t output_tile = 0;
    std::int64_t feature_tile = 0;
    if (is_small) {
      auto rest = static_cast<std::uint32_t>(index);
      feature_tile = take_digit(rest, static_cast<std::uint32_t>(feature_tiles));
      output_tile = take_digit(rest, static_cast<std::uint32_t>(output_tiles));
      item.group = take_digit(rest, static_cast<std::uint32_t>(sizes.groups));
      item.sample = rest;
    } else {
      feature_tile = index % feature_tiles;
      index /= feature_tiles;
      output_tile = index % output_tiles;
      index /= output_tiles;
      item.group = index % sizes.groups;
      item.sample = index / sizes.groups;
    }
    item.first_feature = feature_tile * Tile::kFeatures;
    item.first_output = output_tile * Tile::kOutputs;
    item.outputs =
        static_cast<int>(min(sizes.outputs - item.first_output, std::int64_t{Tile::kOutputs}));
    item.features =
        static_cast<int>(min(sizes.features - item.first_feature, std::int64_t{Tile::kFeatures}));
    return item;
  }

 private:
  __device__ static std::uint32_t take_digit(std::uint32_t& rest, std::uint32_t base) {
    const std::uint32_t digit = rest % base;
    rest /= base;
    return digit;
  }
};

/// What a block has in shared memory. Two chunks are there: one is multiplied, one is copied.
///
/// Operands has
///   Element                  float or double
///   Shared<Shape>            tables in shared memory
///   begin_tile(shared, item)                       fills what serves a whole tile
///   begin_chunk(shared, chunk, first_step, count)  fills what serves a chunk of steps; the chunk
///                                                  before it may still be staged
///   stage(shared, item, chunk, first_step, count, outputs, features)
/// of which the last starts copies to rows [0, staged_rows(count)) of the two tiles, [..]
/// [kOutputsStride] and [kFeaturesStride], each column at its row's `place`, with zeros where the
/// gradient has no such step, output or feature.
template <typename Operands, typename Shape>
struct ProductMemory {
  using T = typename Operands::Element;
  using BlockReduce = cub::BlockReduce<double, Shape::kThreads>;

  alignas(16) T outputs[2][Shape::kDepth][Shape::kOutputsStride];
  alignas(16) T features[2][Shape::kDepth][Shape::kFeaturesStride];
  double slices[Shape::kSlices > 1 ? Shape::kSlices - 1 : 1]
               [Shape::kSlices > 1 ? Shape::kOutputs : 1]
               [Shape::kSlices > 1 ? Shape::kFeatures : 1];
  TileItem item;
  std::int64_t index;  // of the item
  typename Operands::template Shared<Shape> operands;
  typename BlockReduce::TempStorage reduction;
};

/// Adds the products of the next `kSteps` staged steps.
template <typename Shape, int kSteps, bool kStartsRun, typename T, int kRows, int kCols>
__device__ void add_steps(const T*& rows_at, const T*& cols_at,
                          ProductSums<T, kRows, kCols>& sums) {
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    T rows[kRows];
    T cols[kCols];
    Shape::Outputs::load(rows_at + i * Shape::kOutputsStride, rows);
    Shape::Features::load(cols_at + i * Shape::kFeaturesStride, cols);
    if (kStartsRun && i == 0) {
      sums.template add<true>(rows, cols);
    } else {
      sums.template add<false>(rows, cols);
    }
  }
  rows_at += kSteps * Shape::kOutputsStride;
  cols_at += kSteps * Shape::kFeaturesStride;
}

/// Stages the chunks of the block's tile one after the other, and calls add(chunk, rows) for each
/// that is there, while the next one is copied: row [0, rows) of outputs[chunk & 1] and
/// features[chunk & 1].
template <typename Shape, typename Operands, typename Memory, typename Add>
__device__ void for_each_chunk(const Operands& operands, const ProductSizes& sizes, Memory& memory,
                               const Add& add) {
  const auto chunks = static_cast<int>(divide_up(sizes.steps, Shape::kDepth));
  const auto first_step = [](int chunk) { return std::int64_t{chunk} * Shape::kDepth; };
  const auto steps_of = [&](int chunk) {
    return static_cast<int>(min(sizes.steps - first_step(chunk), std::int64_t{Shape::kDepth}));
  };
  // `next` is copied while the chunk before it is multiplied.
#pragma unroll 1
  for (int next = 0; next <= chunks; ++next) {
    if (next < chunks) {
      operands.begin_chunk(memory.operands, next, first_step(next), steps_of(next));
    }
    cuda::wait_for_copies();
    __syncthreads();  // the chunk and the next one's tables are there; the last products are done
    if (next < chunks) {
      operands.stage(memory.operands, memory.item, next, first_step(next), steps_of(next),
                     &memory.outputs[next & 1][0][0], &memory.features[next & 1][0][0]);
      cuda::end_copy_group();
    }
    if (next > 0) add(next - 1, Shape::staged_rows(steps_of(next - 1)));
  }
}

/// Order of summation: see ProductSums; the slices' sums in order; the squares of a thread row by
/// row; cub::BlockReduce's tree.
template <typename Operands, typename Tile>
__global__ void __launch_bounds__(TileShape<Tile, typename Operands::Element>::kThreads,
                                  Tile::kMinBlocks)
    product_squared_norms_kernel(Operands operands, ProductSizes sizes, TileGrid<Tile> grid,
                                 Span<double> partial_sums) {
  using T = typename Operands::Element;
  using Shape = TileShape<Tile, T>;
  using Memory = ProductMemory<Operands, Shape>;
  constexpr int kRows = Tile::kOutputsPerThread;
  constexpr int kCols = Tile::kFeaturesPerThread;
  using Rows = typename Shape::Outputs;
  using Cols = typename Shape::Features;
  constexpr bool kSliced = Tile::kSlices > 1;
  extern __shared__ double2 product_memory[];
  Memory& memory = *reinterpret_cast<Memory*>(product_memory);

  std::int64_t index = blockIdx.x;
  while (index < partial_sums.size()) {
    // In shared memory: a thread has no register to spare while it adds.
    if (threadIdx.x == 0) {
      memory.item = grid.item(sizes, index);
      memory.index = index;
    }
    __syncthreads();  // the item is there
    operands.begin_tile(memory.operands, memory.item);
    const bool has_products = Shape::has_products(static_cast<int>(threadIdx.x),
                                                  memory.item.outputs, memory.item.features) &&
                              sizes.steps > 0;
    ProductSums<T, kRows, kCols> sums;
    if (!Shape::kRunIsChunk) sums.clear_run();
    if (!Shape::kRunIsChunk || !sums.kHasRuns) sums.clear_total();
    for_each_chunk<Shape>(operands, sizes, memory, [&](int chunk, int staged) {
      if (!has_products) return;
      const int thread = thread_again();
      const int begin = kSliced ? thread / Shape::kThreadsPerSlice * Shape::kDepthPerSlice : 0;
      const T* rows_at = &memory.outputs[chunk & 1][begin][Shape::first_output(thread)];
      const T* cols_at = &memory.features[chunk & 1][begin][Shape::first_feature(thread)];
      const int end = min(staged, begin + Shape::kDepthPerSlice);
      const T* const rows_end = rows_at + (end - begin) * Shape::kOutputsStride;
      if constexpr (Shape::kRunIsChunk) {
        add_steps<Shape, Shape::kStepsAtOnce, true>(rows_at, cols_at, sums);
#pragma unroll 1
        while (rows_at < rows_end) {
          add_steps<Shape, Shape::kStepsAtOnce, false>(rows_at, cols_at, sums);
        }
        if (chunk == 0) {
          sums.template end_run<true>();
        } else {
          sums.template end_run<false>();
        }
      } else {
#pragma unroll 1
        while (rows_at < rows_end) {
          add_steps<Shape, Shape::kStepsAtOnce, false>(rows_at, cols_at, sums);
        }
        if ((chunk + 1) % Tile::kChunksPerRun == 0) {
          sums.template end_run<false>();
          sums.clear_run();
        }
      }
    });
    if (!Shape::kRunIsChunk) sums.template end_run<false>();
    const int same_thread = thread_again();
    const int slice = same_thread / Shape::kThreadsPerSlice;
    const int row = Shape::first_output(same_thread);
    const int col = Shape::first_feature(same_thread);
    if constexpr (kSliced) {
      if (slice > 0) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int c = 0; c < kCols; ++c) {
            memory.slices[slice - 1][row + Rows::offset(r)][col + Cols::offset(c)] =
                sums.total[r][c];
          }
        }
      }
      __syncthreads();
    }
    double squares = 0.0;
    if (slice == 0 && has_products) {
      const int rows = memory.item.outputs - row;
      const int cols = memory.item.features - col;
      const auto add_squares = [&](auto exists) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int c = 0; c < kCols; ++c) {
            double value = sums.total[r][c];
            if constexpr (kSliced) {
#pragma unroll
              for (int s = 0; s < Tile::kSlices - 1; ++s) {
                value += memory.slices[s][row + Rows::offset(r)][col + Cols::offset(c)];
              }
            }
            if (exists(Rows::offset(r), Cols::offset(c))) squares = fma(value, value, squares);
          }
        }
      };
      if (Rows::offset(kRows - 1) < rows && Cols::offset(kCols - 1) < cols) {
        add_squares([](int, int) { return true; });
      } else {
        // Selected: what lies outside of the gradient is 0 times something, which may be NaN.
        add_squares([&](int r, int c) { return r < rows && c < cols; });
      }
    }
    const double sum = typename Memory::BlockReduce(memory.reduction).Sum(squares);
    index = memory.index;
    if (same_thread == 0) partial_sums[index] = sum;
    index += gridDim.x;
    __syncthreads();  // the memory is used again
  }
}

}  // namespace velum::kernels
