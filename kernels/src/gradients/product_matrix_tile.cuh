#pragma once

#include <cstdint>

#include "cuda/matrix_product.cuh"
#include "gradients/product_tile.cuh"

/// Squared norms of per-sample products as in product_tile.cuh, in tiles that the tensor cores
/// compute: floats become doubles, exactly, and all sums are of double.
namespace velum::kernels {

/// A tile as large as WideTile. Each of four warps computes a quarter, 2 x 8 products of 16 x 8:
/// three 16-byte loads of shared memory serve 8192 multiply-adds of floats. Sums of double take 128
/// registers of a thread.
struct MatrixTile {
  static constexpr int kOutputs = WideTile::kOutputs;
  static constexpr int kFeatures = WideTile::kFeatures;
  static constexpr int kWarpOutputs = 32;
  static constexpr int kWarpFeatures = 64;
  /// Rows of an operand of which a lane has one, and steps of which it has two, four apart.
  static constexpr int kProductSide = 8;
  static constexpr int kProductSteps = 8;
  static constexpr int kMinBlocks = WideTile::kMinBlocks;
};

/// Rows of steps whose 16-byte groups are permuted within each 128 bytes (or the whole row, if that
/// is shorter), in another way for each of eight neighbouring steps. So a warp meets every bank
/// once where it stores eight steps of four columns, where it copies a row, and where it loads
/// neighbouring columns of four steps.
template <typename T, int kColumns>
struct PermutedRow {
  static constexpr int kCols = kColumns;
  static constexpr int kStride = kCols;
  static constexpr int kGroup = kPacketBytes / static_cast<int>(sizeof(T));
  static constexpr int kPermuted = kCols < 8 * kGroup ? kCols : 8 * kGroup;  // columns
  static constexpr int kGroups = kPermuted / kGroup;
  static_assert(kCols % kPermuted == 0 && (kGroups == 2 || kGroups == 4 || kGroups == 8));

  /// What the groups of a step are permuted by: exclusive or. Shorter rows lie side by side in the
  /// banks, so that fewer of the steps have to differ.
  __device__ static int permutation(int step) {
    return (step & 3) * kGroups / 8 << 1 | (step >> 2 & 1);
  }
  __device__ static int place(int step, int col) { return col ^ permutation(step) * kGroup; }
  /// @param place  of a column that has no bit in common with `by`.
  __device__ static T* further(T* row, int place, int by) {
    return row + (place ^ by % kPermuted) + by / kPermuted * kPermuted;
  }
};

/// One operand of a warp's products of 8 (or twice 8) of its columns. A packet of neighbouring
/// columns of step l % 4 is what lane l gives to as many products: of neighbours, each is in
/// another one. Step l % 4 + 4 has a packet like it.
///
/// @tparam kColumns  of a warp.
template <typename Row, int kColumns>
struct MatrixSide {
  static constexpr int kProducts = kColumns / MatrixTile::kProductSide;
  static constexpr int kPacket = Row::kGroup < kProducts ? Row::kGroup : kProducts;
  /// Columns that one packet of each lane has.
  static constexpr int kPacketCols = kPacket * MatrixTile::kProductSide;
  static_assert(kColumns % kPacketCols == 0);

  /// Which of the warp's columns is row (column) `side` of a product.
  __device__ static constexpr int column_of(int product, int side) {
    return product / kPacket * kPacketCols + side * kPacket + product % kPacket;
  }
  /// Where a lane's first packet is in the row of its step, l % 4.
  __device__ static int place(int lane) { return Row::place(lane % 4, lane / 4 * kPacket); }

  /// The packets of both steps, those for products [kFirst, kFirst + kCount).
  ///
  /// @param from   the row of the lane's first step, from the warp's first column.
  /// @param place  as above.
  template <int kFirst, int kCount, typename T>
  __device__ static void load(const T* from, int place, double (&to)[kCount][2]) {
    static_assert(kFirst % kPacket == 0 && kCount % kPacket == 0);
    constexpr int kHalf = MatrixTile::kProductSteps / 2;
    const int second = place ^ Row::kGroup;  // by the permutation of four steps further
    load<kFirst>(from + place, to, 0);
    load<kFirst>(from + kHalf * Row::kStride + second, to, 1);
  }

 private:
  template <int kFirst, int kCount, typename T>
  __device__ static void load(const T* from, double (&to)[kCount][2], int half) {
#pragma unroll
    for (int p = 0; p < kCount; p += kPacket) {
      const auto packet =
          *reinterpret_cast<const Packet<T, kPacket>*>(from + (kFirst + p) / kPacket * kPacketCols);
#pragma unroll
      for (int i = 0; i < kPacket; ++i) to[p + i][half] = static_cast<double>(packet.values[i]);
    }
  }
};

template <typename T>
struct MatrixShape : MatrixTile {
  static constexpr int kWarpsOfOutputs = kOutputs / kWarpOutputs;
  static constexpr int kWarpsOfFeatures = kFeatures / kWarpFeatures;
  static constexpr int kWarps = kWarpsOfOutputs * kWarpsOfFeatures;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kSlices = 1;
  static constexpr int kDepth = WideTile::kDepth<T>;
  static constexpr int kColsAtOnce = 4;
  using OutputRow = PermutedRow<T, kOutputs>;
  using FeatureRow = PermutedRow<T, kFeatures>;
  static constexpr int kOutputsStride = OutputRow::kStride;
  static constexpr int kFeaturesStride = FeatureRow::kStride;
  static constexpr std::int64_t kMaxBlocks = TileShape<WideTile, T>::kMaxBlocks;
  static_assert(kThreads == 128 && kDepth % kProductSteps == 0);

  __device__ static int feature_of(int col) { return col; }
  __device__ static int staged_cols(int features) { return features; }
  __device__ static int staged_rows(int count) {
    return static_cast<int>(divide_up(count, kProductSteps)) * kProductSteps;
  }
  /// The output and the feature of the tile at which a warp's begin.
  __device__ static int first_output(int warp) { return warp / kWarpsOfFeatures * kWarpOutputs; }
  __device__ static int first_feature(int warp) { return warp % kWarpsOfFeatures * kWarpFeatures; }
};

/// A lane's sums of its warp's products.
template <typename T>
struct MatrixSums {
  using Shape = MatrixShape<T>;
  using Outputs = MatrixSide<typename Shape::OutputRow, MatrixTile::kWarpOutputs>;
  using Features = MatrixSide<typename Shape::FeatureRow, MatrixTile::kWarpFeatures>;
  static constexpr int kRows = Outputs::kProducts;
  static constexpr int kCols = Features::kProducts;
  double values[kRows / 2][kCols][4] = {};

  /// Which of the warp's outputs and features a lane's sums in product r, c are of.
  __device__ static int output(int r, int lane) { return Outputs::column_of(r, lane / 4); }
  __device__ static int feature(int c, int i, int lane) {
    return Features::column_of(c, lane % 4 * 2 + i);
  }
  __device__ double value(int r, int c, int i) const { return values[r / 2][c][r % 2 * 2 + i]; }

  /// Adds the products of `steps` staged steps, whose rows begin at the warp's first output and
  /// feature.
  __device__ void add(const T* outputs, const T* features, int steps, int lane) {
    outputs += lane % 4 * Shape::kOutputsStride;
    features += lane % 4 * Shape::kFeaturesStride;
    const int place = Outputs::place(lane);
    static_assert(Shape::OutputRow::kGroups == Shape::FeatureRow::kGroups);  // the features', too
#pragma unroll 1
    for (; steps > 0; steps -= MatrixTile::kProductSteps) {
      double rows[kRows][2];
      double cols[kCols][2];
      Outputs::template load<0>(outputs, place, rows);
      Features::template load<0>(features, place, cols);
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
#pragma unroll
        for (int r = 0; r < kRows; r += 2) {
          cuda::add_matrix_products(rows[r], rows[r + 1], cols[c], values[r / 2][c]);
        }
      }
      outputs += MatrixTile::kProductSteps * Shape::kOutputsStride;
      features += MatrixTile::kProductSteps * Shape::kFeaturesStride;
    }
  }
};

/// Order of summation: an element's steps eight at a time, each eight in the device's order; the
/// squares of a thread row by row; cub::BlockReduce's tree.
template <typename Operands>
__global__ void __launch_bounds__(MatrixShape<typename Operands::Element>::kThreads,
                                  MatrixTile::kMinBlocks)
    product_matrix_squared_norms_kernel(Operands operands, ProductSizes sizes,
                                        TileGrid<MatrixTile> grid, Span<double> partial_sums) {
  using T = typename Operands::Element;
  using Shape = MatrixShape<T>;
  using Memory = ProductMemory<Operands, Shape>;
  using Sums = MatrixSums<T>;
  extern __shared__ double2 product_memory[];
  Memory& memory = *reinterpret_cast<Memory*>(product_memory);

  std::int64_t index = blockIdx.x;
  while (index < partial_sums.size()) {
    if (threadIdx.x == 0) {
      memory.item = grid.item(sizes, index);
      memory.index = index;
    }
    __syncthreads();  // the item is there
    operands.begin_tile(memory.operands, memory.item);
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int first_output = Shape::first_output(warp);
    const int first_feature = Shape::first_feature(warp);
    const bool has_products =
        first_output < memory.item.outputs && first_feature < memory.item.features;
    Sums sums;
    for_each_chunk<Shape>(operands, sizes, memory, [&](int chunk, int staged) {
      if (!has_products) return;
      sums.add(&memory.outputs[chunk & 1][0][first_output],
               &memory.features[chunk & 1][0][first_feature], staged, thread_again() % 32);
    });
    const int lane = thread_again() % 32;
    double squares = 0.0;
    if (has_products) {
      const int outputs = memory.item.outputs - first_output;
      const int features = memory.item.features - first_feature;
#pragma unroll
      for (int r = 0; r < Sums::kRows; ++r) {
#pragma unroll
        for (int c = 0; c < Sums::kCols; ++c) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            // Selected: what lies outside of the gradient is 0 times something, which may be NaN.
            if (Sums::output(r, lane) < outputs && Sums::feature(c, i, lane) < features) {
              squares = fma(sums.value(r, c, i), sums.value(r, c, i), squares);
            }
          }
        }
      }
    }
    const double sum = typename Memory::BlockReduce(memory.reduction).Sum(squares);
    index = memory.index;
    if (thread_again() == 0) partial_sums[index] = sum;
    index += gridDim.x;
    __syncthreads();  // the memory is used again
  }
}

}  // namespace velum::kernels
