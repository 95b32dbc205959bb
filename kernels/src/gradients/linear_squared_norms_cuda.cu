#include <cub/block/block_reduce.cuh>

#include "cuda/async_copy.cuh"
#include "cuda/for_each_index.cuh"
#include "cuda/matrix_product.cuh"
#include "gradients/linear_squared_norms_halves.h"
#include "gradients/product_squared_norms.cuh"

namespace velum::kernels {
namespace {

/// Copies of rows of a sequence: threads side by side on a row, kWidth elements each.
template <typename T, typename Shape, typename Row, int kWidth>
struct RowCopies {
  static constexpr int kDepth = Shape::kDepth;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr int kStride = Row::kStride;
  static constexpr int kLoads = Row::kCols / kWidth;  // of a row
  static constexpr int kRowsAtOnce = kThreads / kLoads;
  static constexpr int kCopies = kDepth / kRowsAtOnce;  // of a thread for a whole chunk
  static_assert(kThreads % kLoads == 0);

  /// To rows [0, staged) of a tile; from `count` of them, of `cols` columns.
  __device__ static void start(const T* steps, std::int64_t step_stride, std::int64_t first_step,
                               int cols, int count, int staged, T* tile) {
    const int thread = thread_again() % kThreads;
    const int first_row = thread / kLoads;
    const int col = thread % kLoads * kWidth;
    const bool exists = col < cols;
    const T* from = steps + (first_step + first_row) * step_stride + col;
    const std::int64_t advance = kRowsAtOnce * step_stride;
    T* const to = tile + first_row * kStride;
    const auto place = [&](int row) { return row * kStride + Row::place(first_row + row, col); };
    if (kCopies > 0 && count == kDepth) {
#pragma unroll(kCopies < 1 ? 1 : kCopies < 8 ? kCopies : 8)
      for (int i = 0; i < kCopies; ++i, from += advance) {
        cuda::copy_async_or_zero<kWidth * sizeof(T)>(to + place(i * kRowsAtOnce), from, exists);
      }
    } else {
#pragma unroll 1
      for (int row = 0; first_row + row < staged; row += kRowsAtOnce, from += advance) {
        cuda::copy_async_or_zero<kWidth * sizeof(T)>(to + place(row), from,
                                                     exists && first_row + row < count);
      }
    }
  }
};

/// @tparam kWidth  elements that one copy takes; widths, strides and addresses are multiples of it.
template <typename T, int kWidth>
struct LinearOperands {
  using Element = T;
  static constexpr bool kCopiesElements = false;
  template <typename Shape>
  struct Shared {
    // From the tile's sample, output and feature.
    const T* grads;
    const T* activations;
  };

  SequenceView<const T> activations;
  SequenceView<const T> grads;

  template <typename Shape>
  __device__ void begin_tile(Shared<Shape>& shared, const TileItem& item) const {
    if (threadIdx.x > 0) return;
    shared.grads = grads.data + item.sample * grads.batch_stride + item.first_output;
    shared.activations =
        activations.data + item.sample * activations.batch_stride + item.first_feature;
  }
  template <typename Shape>
  __device__ void begin_chunk(Shared<Shape>&, int, std::int64_t, int) const {}
  template <typename Shape>
  __device__ void stage(const Shared<Shape>& shared, const TileItem& item, int /*chunk*/,
                        std::int64_t first_step, int count, T* outputs, T* features) const {
    const int staged = Shape::staged_rows(count);
    using Outputs = RowCopies<T, Shape, typename Shape::OutputRow, kWidth>;
    using Features = RowCopies<T, Shape, typename Shape::FeatureRow, kWidth>;
    Outputs::start(shared.grads, grads.step_stride, first_step, item.outputs, count, staged,
                   outputs);
    Features::start(shared.activations, activations.step_stride, first_step, item.features, count,
                    staged, features);
  }
};

template <int kWidth, typename T>
bool fits_loads(const SequenceView<const T>& view) {
  return view.width % kWidth == 0 && view.batch_stride % kWidth == 0 &&
         view.step_stride % kWidth == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % (sizeof(T) * kWidth) == 0;
}

/// A block computes the products of kSteps steps with kSteps others; each of four warps takes those
/// of a half with a half, in 8 x 8 of the tensor cores' products of doubles.
struct GramConfig {
  /// Steps of one side of a tile, and of a warp's.
  static constexpr int kSteps = 64;
  static constexpr int kWarpSteps = 32;
  /// Steps of one side of a matrix product, and how many of them a warp's side has: 4 x 4 of two
  /// sums a thread for each of the two products take 128 registers.
  static constexpr int kProductSteps = 8;
  static constexpr int kProducts = kWarpSteps / kProductSteps;
  static constexpr int kWarpsPerSide = kSteps / kWarpSteps;
  static constexpr int kThreads = 32 * kWarpsPerSide * kWarpsPerSide;
  /// Bytes of a step that lie together, 16 for each of a product's four columns. Those of
  /// neighbouring steps are neighbours, so that a warp's loads meet every bank once.
  static constexpr int kSlabBytes = 64;
  static constexpr int kSlabs = 2;  // of a chunk
  /// All registers that a thread can have: two blocks, 8 warps, on an SM.
  static constexpr int kMinBlocks = 2;
  /// Two resident blocks on each of 132 SMs, in 128 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 2 * 128;
  static_assert(kThreads == 128);
};

/// The tiles of a symmetric matrix on or above its diagonal. Row r and row rows - 1 - r together
/// have rows + 1 of them; the index runs over such pairs.
struct TriangleGrid {
  std::int64_t rows;
  std::int64_t per_sample;

  explicit TriangleGrid(std::int64_t steps)
      : rows(divide_up(steps, GramConfig::kSteps)), per_sample(rows * (rows + 1) / 2) {}

  __device__ void tile(std::int64_t index, std::int64_t& row, std::int64_t& col) const {
    row = index / (rows + 1);
    col = row + index % (rows + 1);
    if (col >= rows) {
      const std::int64_t beyond = col - rows;
      row = rows - 1 - row;
      col = row + beyond;
    }
  }
};

template <typename T>
using GramPacket = Packet<T, kPacketBytes / static_cast<int>(sizeof(T))>;

/// A chunk's columns of kSteps steps.
template <typename T>
struct GramTile {
  static constexpr int kSlabCols = GramConfig::kSlabBytes / static_cast<int>(sizeof(T));
  static constexpr int kCols = GramConfig::kSlabs * kSlabCols;
  alignas(16) T values[GramConfig::kSlabs][GramConfig::kSteps][kSlabCols];

  /// What lane l gives to the products of eight steps: neighbouring columns of step l / 4, one for
  /// each of as many products.
  __device__ GramPacket<T> packet(int slab, int first_step, int lane) const {
    return *reinterpret_cast<const GramPacket<T>*>(
        &values[slab][first_step + lane / 4][lane % 4 * (kSlabCols / 4)]);
  }

  /// Starts copies of columns [first_col, first_col + kCols) of the view's steps from first_step
  /// on, with zeros for those that it does not have.
  template <int kWidth>
  __device__ void stage(const SequenceView<const T>& view, std::int64_t sample,
                        std::int64_t first_step, std::int64_t first_col) {
    using Config = GramConfig;
    constexpr int kLoads = kSlabCols / kWidth;  // of a step in a slab
    constexpr int kCopies = Config::kSlabs * Config::kSteps * kLoads / Config::kThreads;
    constexpr int kStepsAtOnce = Config::kThreads / kLoads;
    static_assert(Config::kThreads % kLoads == 0 && Config::kSteps % kStepsAtOnce == 0);
    const int thread = static_cast<int>(threadIdx.x);
    const int col = thread % kLoads * kWidth;
    const T* const from = view.data + sample * view.batch_stride +
                          (first_step + thread / kLoads) * view.step_stride + first_col + col;
#pragma unroll(kCopies < 1 ? 1 : kCopies < 8 ? kCopies : 8)
    for (int i = 0; i < kCopies; ++i) {
      const int slab = i * kStepsAtOnce / Config::kSteps;
      const int step = i * kStepsAtOnce % Config::kSteps;
      const bool exists = first_step + thread / kLoads + step < view.steps &&
                          first_col + slab * kSlabCols + col < view.width;
      cuda::copy_async_or_zero<kWidth * sizeof(T)>(
          &values[slab][thread / kLoads + step][col],
          from + step * view.step_stride + slab * kSlabCols, exists);
    }
  }
};

/// A warp's products, two rows of them at a time; on the diagonal those with col < row are not all
/// there.
struct GramSums {
  double values[GramConfig::kProducts / 2][GramConfig::kProducts][4] = {};

  __device__ double value(int r, int c, int i) const { return values[r / 2][c][r % 2 * 2 + i]; }

  /// Where a lane's sums are, from the warp's first step.
  __device__ static int row(int r, int lane) { return r * GramConfig::kProductSteps + lane / 4; }
  __device__ static int col(int c, int i, int lane) {
    return c * GramConfig::kProductSteps + lane % 4 * 2 + i;
  }

  template <bool kOnDiagonal, typename T>
  __device__ void add(const GramTile<T>& rows, int first_row, const GramTile<T>& cols,
                      int first_col, int slabs, int lane) {
    constexpr int kProducts = GramConfig::kProducts;
    constexpr int kSteps = GramConfig::kProductSteps;
#pragma unroll 1
    for (int slab = 0; slab < slabs; ++slab) {
      GramPacket<T> a[kProducts];
      GramPacket<T> b[kProducts];
#pragma unroll
      for (int p = 0; p < kProducts; ++p) {
        a[p] = rows.packet(slab, first_row + p * kSteps, lane);
        if (!kOnDiagonal) b[p] = cols.packet(slab, first_col + p * kSteps, lane);
      }
#pragma unroll
      for (int k = 0; k < kPacketBytes / static_cast<int>(sizeof(T)); k += 2) {
        double x[kProducts][2];
        double y[kProducts][2];
#pragma unroll
        for (int p = 0; p < kProducts; ++p) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            x[p][i] = static_cast<double>(a[p].values[k + i]);
            y[p][i] = kOnDiagonal ? x[p][i] : static_cast<double>(b[p].values[k + i]);
          }
        }
#pragma unroll
        for (int r = 0; r < kProducts; r += 2) {
#pragma unroll
          for (int c = kOnDiagonal ? r : 0; c < kProducts; ++c) {
            if (kOnDiagonal && c == r) {
              cuda::add_matrix_product(x[r][0], y[c][0], values[r / 2][c]);
              cuda::add_matrix_product(x[r][1], y[c][1], values[r / 2][c]);
            } else {
              cuda::add_matrix_products(x[r], x[r + 1], y[c], values[r / 2][c]);
            }
          }
        }
      }
    }
  }
};

/// sum (a_t . a_s) (g_t . g_s) over a lane's steps t < rows and s < cols of the warp's; those off
/// the diagonal stand below it, too.
template <bool kOnDiagonal>
__device__ double sum_of_terms(const GramSums& of_activations, const GramSums& of_grads, int rows,
                               int cols, int lane) {
  double once = 0.0;
  double twice = 0.0;
#pragma unroll
  for (int r = 0; r < GramConfig::kProducts; ++r) {
#pragma unroll
    for (int c = kOnDiagonal ? r : 0; c < GramConfig::kProducts; ++c) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // Selected: steps that do not exist are 0 times something, which may be NaN.
        if (GramSums::row(r, lane) < rows && GramSums::col(c, i, lane) < cols) {
          double& sum = kOnDiagonal && c == r ? once : twice;
          sum = fma(of_activations.value(r, c, i), of_grads.value(r, c, i), sum);
        }
      }
    }
  }
  return fma(2.0, twice, once);
}

/// What a block has in shared memory. Two chunks are there: one is multiplied, one is copied.
template <typename T>
struct GramMemory {
  using BlockReduce = cub::BlockReduce<double, GramConfig::kThreads>;
  GramTile<T> rows[2];
  GramTile<T> cols[2];  // not used on the diagonal
  typename BlockReduce::TempStorage reduction;
};

/// Order of summation: each product's columns a slab at a time, those whose numbers leave one
/// of two neighbouring remainders together; the terms of a thread row by row; cub::BlockReduce's
/// tree.
///
/// @tparam kWidth  elements that one copy takes; widths, strides and addresses are multiples of it.
template <typename T, int kWidth>
__global__ void __launch_bounds__(GramConfig::kThreads, GramConfig::kMinBlocks)
    linear_gram_kernel(SequenceView<const T> activations, SequenceView<const T> grads,
                       TriangleGrid grid, Span<double> partial_sums) {
  using Config = GramConfig;
  using Tile = GramTile<T>;
  __shared__ GramMemory<T> memory;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp_row = thread / 32 / Config::kWarpsPerSide * Config::kWarpSteps;
  const int warp_col = thread / 32 % Config::kWarpsPerSide * Config::kWarpSteps;

  for (std::int64_t index = blockIdx.x; index < partial_sums.size(); index += gridDim.x) {
    const std::int64_t sample = index / grid.per_sample;
    std::int64_t tile_row = 0;
    std::int64_t tile_col = 0;
    grid.tile(index % grid.per_sample, tile_row, tile_col);
    const std::int64_t first_row = tile_row * Config::kSteps;
    const std::int64_t first_col = tile_col * Config::kSteps;
    const bool tile_on_diagonal = tile_row == tile_col;
    const bool warp_on_diagonal = tile_on_diagonal && warp_row == warp_col;
    const auto steps_of = [&](std::int64_t first) {
      return static_cast<int>(min(grads.steps - first, std::int64_t{Config::kWarpSteps}));
    };
    const bool has_terms =
        !(tile_on_diagonal && warp_row > warp_col) && first_col + warp_col < grads.steps;
    const auto add_products = [&](const SequenceView<const T>& view, GramSums& sums) {
      const auto stage = [&](std::int64_t first, int buffer) {
        memory.rows[buffer].template stage<kWidth>(view, sample, first_row, first);
        if (!tile_on_diagonal) {
          memory.cols[buffer].template stage<kWidth>(view, sample, first_col, first);
        }
        cuda::end_copy_group();
      };
      if (view.width > 0) {
        __syncthreads();  // the last chunk's products are done
        stage(0, 0);
      }
      int buffer = 0;
      for (std::int64_t first = 0; first < view.width; first += Tile::kCols, buffer ^= 1) {
        cuda::wait_for_copies();
        __syncthreads();  // the chunk is there, and the products of the one before it are done
        if (first + Tile::kCols < view.width) stage(first + Tile::kCols, buffer ^ 1);
        if (!has_terms) continue;
        const int slabs = static_cast<int>(
            min(divide_up(view.width - first, Tile::kSlabCols), std::int64_t{Config::kSlabs}));
        const Tile& rows = memory.rows[buffer];
        if (warp_on_diagonal) {
          sums.template add<true>(rows, warp_row, rows, warp_col, slabs, lane);
        } else {
          const Tile& cols = tile_on_diagonal ? rows : memory.cols[buffer];
          sums.template add<false>(rows, warp_row, cols, warp_col, slabs, lane);
        }
      }
    };
    GramSums of_activations;
    GramSums of_grads;
    add_products(activations, of_activations);
    add_products(grads, of_grads);
    double terms = 0.0;
    if (warp_on_diagonal) {
      terms = sum_of_terms<true>(of_activations, of_grads, steps_of(first_row + warp_row),
                                 steps_of(first_col + warp_col), lane);
    } else if (has_terms) {
      terms = sum_of_terms<false>(of_activations, of_grads, steps_of(first_row + warp_row),
                                  steps_of(first_col + warp_col), lane);
    }
    const double sum = typename GramMemory<T>::BlockReduce(memory.reduction).Sum(terms);
    if (thread == 0) partial_sums[index] = sum;
    __syncthreads();  // the memory is used again
  }
}

}  // namespace

void multiply_norms_cuda(const MultiplyNormsBody& body, const Stream& stream) {
  cuda::for_each_index(body.norms.size(), body, stream);
}

std::int64_t linear_tile_workspace_size_cuda(const ProductSizes& sizes) {
  return product_workspace_size_cuda(sizes);
}

template <typename T>
void linear_tile_squared_norms_cuda(const LinearNormsTask<T>& task, const Stream& stream) {
  constexpr int kWidth = kPacketBytes / static_cast<int>(sizeof(T));
  if (fits_loads<kWidth>(task.activations) && fits_loads<kWidth>(task.grads)) {
    product_squared_norms(LinearOperands<T, kWidth>{task.activations, task.grads}, task.sizes(),
                          task.squared_norms, task.workspace, stream);
  } else {
    product_squared_norms(LinearOperands<T, 1>{task.activations, task.grads}, task.sizes(),
                          task.squared_norms, task.workspace, stream);
  }
}

std::int64_t linear_gram_workspace_size_cuda(const ProductSizes& sizes) {
  return sizes.batch * TriangleGrid(sizes.steps).per_sample;
}

template <typename T>
void linear_gram_squared_norms_cuda(const LinearNormsTask<T>& task, const Stream& stream) {
  using Config = GramConfig;
  constexpr int kWidth = kPacketBytes / static_cast<int>(sizeof(T));
  const TriangleGrid grid(task.grads.steps);
  const std::int64_t tiles = task.grads.batch * grid.per_sample;
  if (tiles > 0) {
    const cuda::LaunchConfig config{cuda::grid_stride_blocks(tiles, 1, Config::kMaxBlocks),
                                    Config::kThreads};
    const Span<double> partial_sums(task.workspace.data(), tiles);
    const bool fits = fits_loads<kWidth>(task.activations) && fits_loads<kWidth>(task.grads);
    cuda::launch(config, stream, fits ? linear_gram_kernel<T, kWidth> : linear_gram_kernel<T, 1>,
                 task.activations, task.grads, grid, partial_sums);
  }
  sum_partial_sums_cuda(
      MatrixView<const double>(task.workspace.data(), task.grads.batch, grid.per_sample),
      Clamp::kAtZero, task.squared_norms, stream);
}

#define VELUM_INSTANTIATE(T)                                                              \
  template void linear_tile_squared_norms_cuda(const LinearNormsTask<T>&, const Stream&); \
  template void linear_gram_squared_norms_cuda(const LinearNormsTask<T>&, const Stream&);
VELUM_INSTANTIATE(float)
VELUM_INSTANTIATE(double)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
