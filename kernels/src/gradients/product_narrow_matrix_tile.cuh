#pragma once

#include <cstdint>

#include "gradients/product_matrix_tile.cuh"

/// Squared norms of per-sample products of few outputs, as in product_matrix_tile.cuh: a gradient's
/// features are the rows of the tensor cores' products, its outputs the columns.
namespace velum::kernels {

/// Eight outputs or sixteen (conv_channel_planes.cuh: or 32), of which a warp computes all; four
/// warps share out the steps of a chunk. Products of features that a tile lacks are left out.
template <int kColumns>
struct NarrowMatrixTile {
  static constexpr int kOutputs = kColumns;
  static constexpr int kFeatures = 128;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  /// Sums of double take 64 registers of a thread, or 128.
  static constexpr int kMinBlocks = kOutputs == 8 ? 4 : 3;
  /// Four resident blocks on each of 132 SMs, in 256 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 4 * 256;
};

/// @tparam kInEights  each product has eight neighbouring features, which copies of single elements
///                    can arrange; otherwise neighbouring columns have neighbouring features.
template <typename T, int kColumns, bool kInEights>
struct NarrowMatrixShape : NarrowMatrixTile<kColumns> {
  using Tile = NarrowMatrixTile<kColumns>;
  static constexpr int kSide = MatrixTile::kProductSide;
  static constexpr int kSlices = 1;  // whose sums have memory of their own
  /// Each warp has the steps of one product.
  static constexpr int kDepth = Tile::kWarps * MatrixTile::kProductSteps;
  static constexpr int kColsAtOnce = 2;
  using OutputRow = PermutedRow<T, Tile::kOutputs>;
  using FeatureRow = PermutedRow<T, Tile::kFeatures>;
  using Outputs = MatrixSide<OutputRow, Tile::kOutputs>;
  using Features = MatrixSide<FeatureRow, Tile::kFeatures>;
  static constexpr int kOutputsStride = OutputRow::kStride;
  static constexpr int kFeaturesStride = FeatureRow::kStride;

  /// Warps that have the same products, of other steps.
  static constexpr int kStepSlices = Tile::kWarps;

  /// @param warp  has a part of the steps, so that it does not matter.
  __device__ static constexpr int feature_of(int col, int /*warp*/ = 0) {
    const int in_packets = col % Features::kPacketCols;
    return kInEights ? col - in_packets + in_packets % Features::kPacket * kSide +
                           in_packets / Features::kPacket
                     : col;
  }
  /// Whole packets of all lanes, or as many products.
  __device__ static int staged_cols(int features) {
    return (features + Features::kPacketCols - 1) / Features::kPacketCols * Features::kPacketCols;
  }
  /// In pairs.
  __device__ static int products(int features, int /*warp*/) {
    return kInEights ? (features + 2 * kSide - 1) / (2 * kSide) * 2 : staged_cols(features) / kSide;
  }
  __device__ static int staged_rows(int count) {
    return static_cast<int>(divide_up(count, MatrixTile::kProductSteps)) *
           MatrixTile::kProductSteps;
  }
};

/// A lane's sums of all products of its warp's steps. Products of 8 rows are computed two by two;
/// if their number is odd, the last is in the last pair's place.
template <typename Shape>
struct NarrowMatrixSums {
  using Outputs = typename Shape::Outputs;
  using Features = typename Shape::Features;
  static constexpr int kRows = Features::kProducts;
  static constexpr int kCols = Outputs::kProducts;
  static constexpr int kPairs = kRows / 2;
  static constexpr int kExchanged = kPairs * kCols * 2 * 32;  // double2 of a warp
  double values[kPairs][kCols][4] = {};

  /// Calls pair(r) for the two products from r on, and single(r) for one that is left over.
  template <typename Pair, typename Single>
  __device__ static void for_each_product(int products, const Pair& pair, const Single& single) {
#pragma unroll
    for (int r = 0; r < kRows; r += 2) {
      if (r + 1 < products) pair(r);
    }
    if (products % 2 != 0) single(products - 1);
  }
  /// Adds the products of eight staged steps.
  ///
  /// @param outputs, features  the row of the lane's first step.
  template <typename T>
  __device__ void add(const T* outputs, const T* features, int products, int lane) {
    double cols[kCols][2];
    Outputs::template load<0>(outputs, Outputs::place(lane), cols);
    add_packets<0>(features, Features::place(lane), products, cols);
  }
  /// To where another warp finds them, and from there; from the lane's first.
  __device__ void store(double2* to, int products) const {
    for_each_exchanged(products, [&](int pair, int c, int half) {
      const double(&sums)[4] = values[pair][c];
      to[((pair * kCols + c) * 2 + half) * 32] = make_double2(sums[half * 2], sums[half * 2 + 1]);
    });
  }
  __device__ void add(const double2* from, int products) {
    for_each_exchanged(products, [&](int pair, int c, int half) {
      const double2 sums = from[((pair * kCols + c) * 2 + half) * 32];
      values[pair][c][half * 2] += sums.x;
      values[pair][c][half * 2 + 1] += sums.y;
    });
  }
  /// Of the tile's features and outputs.
  __device__ double sum_of_squares(const TileItem& item, int warp, int lane) const {
    const int features = item.features;
    const int outputs = item.outputs;
    double squares = 0.0;
    const auto add = [&](int feature, const double(&sums)[kCols][4], int half) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          // Selected: what lies outside of the gradient is 0 times something, which may be NaN.
          if (feature < features && Outputs::column_of(c, lane % 4 * 2 + i) < outputs) {
            squares = fma(sums[c][half * 2 + i], sums[c][half * 2 + i], squares);
          }
        }
      }
    };
    const auto feature_of = [&](int r) {
      return Shape::feature_of(Features::column_of(r, lane / 4), warp);
    };
    for_each_product(
        Shape::products(features, warp),
        [&](int r) {
          add(feature_of(r), values[r / 2], 0);
          add(feature_of(r + 1), values[r / 2], 1);
        },
        [&](int r) { add(feature_of(r), values[kPairs - 1], 0); });
    return squares;
  }

 private:
  template <typename Body>
  __device__ static void for_each_exchanged(int products, const Body& body) {
    const auto each = [&](int pair, int halves) {
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (half < halves) body(pair, c, half);
        }
      }
    };
    for_each_product(
        products, [&](int r) { each(r / 2, 2); }, [&](int) { each(kPairs - 1, 1); });
  }
  template <int kFirst, typename T>
  __device__ void add_packets(const T* features, int place, int products,
                              const double (&cols)[kCols][2]) {
    constexpr int kPacket = Features::kPacket;
    static_assert(kPacket % 2 == 0);
    if (kFirst >= products) return;
    double rows[kPacket][2];
    Features::template load<kFirst>(features, place, rows);
#pragma unroll
    for (int p = 0; p < kPacket; p += 2) {
      if (p > 0 && kFirst + p >= products) return;
#pragma unroll
      for (int c = 0; c < kCols; ++c) {
        cuda::add_matrix_products(rows[p], rows[p + 1], cols[c], values[(kFirst + p) / 2][c]);
      }
    }
    if constexpr (kFirst + kPacket < kRows) {
      add_packets<kFirst + kPacket>(features, place, products, cols);
    }
  }
};

/// The sum of squares of a tile, on the first thread. Where four warps have the sums of a part of
/// the steps each, these are added by a tree; where each has a part of the sums, all square theirs.
///
/// @param exchange  memory for the sums of two warps, or the squares of four, which none uses any
///                  more.
template <typename Shape>
__device__ double sum_of_squares(NarrowMatrixSums<Shape>& sums, double2* exchange,
                                 const TileItem& item) {
  const int lane = thread_again() % 32;
  const int warp = thread_again() / 32;
  const auto sum_of_warp = [&] {
    double squares = sums.sum_of_squares(item, warp, lane);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
    return squares;
  };
  if constexpr (Shape::kStepSlices > 1) {
    constexpr int kSumsOfWarp = NarrowMatrixSums<Shape>::kExchanged;
    const int products = Shape::products(item.features, warp);
    double2* const of_warp = exchange + warp % 2 * kSumsOfWarp + lane;
    if (warp >= 2) sums.store(of_warp, products);
    __syncthreads();
    if (warp < 2) sums.add(of_warp, products);
    if (warp == 1) sums.store(of_warp, products);
    __syncthreads();
    if (warp > 0) return 0.0;
    sums.add(exchange + kSumsOfWarp + lane, products);
    return sum_of_warp();
  } else {
    const double squares = sum_of_warp();
    auto* const of_warps = reinterpret_cast<double*>(exchange);
    if (lane == 0) of_warps[warp] = squares;
    __syncthreads();
    double sum = of_warps[0];
#pragma unroll
    for (int w = 1; w < Shape::kWarps; ++w) sum += of_warps[w];
    return sum;
  }
}

/// Order of summation: an element's steps eight at a time, every fourth eight on a warp, each in
/// the device's order; the warps' sums by a tree; the squares of a thread row by row; a warp's
/// tree.
///
/// Operands::kCopiesElements  whether features may be in any order; see NarrowMatrixShape.
template <typename Operands, int kColumns>
__global__ void __launch_bounds__(NarrowMatrixTile<kColumns>::kThreads,
                                  NarrowMatrixTile<kColumns>::kMinBlocks)
    product_narrow_matrix_squared_norms_kernel(Operands operands, ProductSizes sizes,
                                               TileGrid<NarrowMatrixTile<kColumns>> grid,
                                               Span<double> partial_sums) {
  using T = typename Operands::Element;
  using Shape = NarrowMatrixShape<T, kColumns, Operands::kCopiesElements>;
  using Memory = ProductMemory<Operands, Shape>;
  using Sums = NarrowMatrixSums<Shape>;
  // Sums of two warps are exchanged where the chunks were.
  static_assert(2 * Sums::kExchanged * sizeof(double2) <=
                sizeof(Memory::outputs) + sizeof(Memory::features));
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
    Sums sums;
    for_each_chunk<Shape>(operands, sizes, memory, [&](int chunk, int staged) {
      const int thread = thread_again();
      const int row = thread / 32 * MatrixTile::kProductSteps + thread % 4;
      if (row >= staged) return;
      sums.add(memory.outputs[chunk & 1][row], memory.features[chunk & 1][row],
               Shape::products(memory.item.features, thread / 32), thread % 32);
    });
    __syncthreads();  // the last products are done
    const double squares = sum_of_squares(sums, product_memory, memory.item);
    index = memory.index;
    if (thread_again() == 0) partial_sums[index] = squares;
    index += gridDim.x;
    __syncthreads();  // the memory is used again
  }
}

}  // namespace velum::kernels
