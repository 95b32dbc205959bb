#include <cub/block/block_reduce.cuh>

#include "cuda/for_each_index.cuh"
#include "gradients/linear_squared_norms_halves.h"
#include "gradients/product_tile.cuh"

namespace velum::kernels {
namespace {

/// `kWidth` consecutive elements, loaded at once.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Elements {
  T values[kWidth];
};

/// Rows of a sequence to a tile: threads side by side on a row, kWidth elements each.
template <typename Shape, int kStride, int kCols, int kWidth, typename T>
__device__ void stage_rows(const SequenceView<const T>& view, std::int64_t sample,
                           std::int64_t first_step, int count, std::int64_t first_col, T* tile) {
  using Load = Elements<T, kWidth>;
  constexpr int kLoads = kCols / kWidth;  // of a row
  // As many loads in flight as a thread has, up to four; more would only cost registers.
  constexpr int kUnroll = kTileDepth * kLoads / Shape::kThreads;
  const T* const from =
      view.data + sample * view.batch_stride + first_step * view.step_stride + first_col;
#pragma unroll(kUnroll < 1 ? 1 : kUnroll < 4 ? kUnroll : 4)
  for (int i = static_cast<int>(threadIdx.x); i < count * kLoads; i += Shape::kThreads) {
    const int row = i / kLoads;
    const int col = i % kLoads * kWidth;
    Load load = {};
    if (first_col + col < view.width) {
      load = *reinterpret_cast<const Load*>(from + row * view.step_stride + col);
    }
    *reinterpret_cast<Load*>(tile + row * kStride + col) = load;
  }
}

/// @tparam kWidth  elements that one load takes; widths, strides and addresses are multiples of it.
template <typename T, int kWidth>
struct LinearOperands {
  using Element = T;
  struct Shared {};

  SequenceView<const T> activations;
  SequenceView<const T> grads;

  __device__ void begin_tile(Shared&, const TileItem&) const {}
  __device__ void begin_chunk(Shared&, std::int64_t, int) const {}
  template <typename Shape>
  __device__ void stage(const Shared&, const TileItem& item, std::int64_t first_step, int count,
                        T* outputs, T* features) const {
    stage_rows<Shape, Shape::kOutputsStride, Shape::kOutputs, kWidth>(
        grads, item.sample, first_step, count, item.first_output, outputs);
    stage_rows<Shape, Shape::kFeaturesStride, Shape::kFeatures, kWidth>(
        activations, item.sample, first_step, count, item.first_feature, features);
  }
};

template <int kWidth, typename T>
bool fits_loads(const SequenceView<const T>& view) {
  return view.width % kWidth == 0 && view.batch_stride % kWidth == 0 &&
         view.step_stride % kWidth == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % (sizeof(T) * kWidth) == 0;
}

struct GramConfig {
  /// Steps of one side of a tile.
  static constexpr int kSteps = 32;
  /// 4 x 2 sums a thread for each of the two products: 32 registers.
  static constexpr int kRowsPerThread = 4;
  static constexpr int kColsPerThread = 2;
  static constexpr int kThreadCols = kSteps / kColsPerThread;
  static constexpr int kThreads = kSteps / kRowsPerThread * kThreadCols;
  static constexpr int kStride = padded(kSteps);
  /// Shared memory of 18 KiB and 128 registers allow four blocks on an SM.
  static constexpr int kMinBlocks = 4;
  /// Four resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 4 * 64;
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

/// Columns [first_col, first_col + count) of up to kSteps rows to a tile [count][kStride], as
/// doubles: a warp takes eight neighbouring columns (32 bytes of floats) of four rows.
template <typename T>
__device__ void stage_transposed(const SequenceView<const T>& view, std::int64_t sample,
                                 std::int64_t first_step, std::int64_t first_col, int count,
                                 double* tile) {
  using Config = GramConfig;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const T* const from =
      view.data + sample * view.batch_stride + first_step * view.step_stride + first_col;
  for (int row = warp * 4 + lane % 4; row < Config::kSteps; row += Config::kThreads / 8) {
    const bool exists = first_step + row < view.steps;
    for (int col = lane / 4; col < count; col += 8) {
      tile[col * Config::kStride + row] =
          exists ? static_cast<double>(from[row * view.step_stride + col]) : 0.0;
    }
  }
}

/// Order of summation: each product's columns in index order, by fma; the terms of a thread row by
/// row; cub::BlockReduce's tree.
template <typename T>
__global__ void __launch_bounds__(GramConfig::kThreads, GramConfig::kMinBlocks)
    linear_gram_kernel(SequenceView<const T> activations, SequenceView<const T> grads,
                       TriangleGrid grid, Span<double> partial_sums) {
  using Config = GramConfig;
  using BlockReduce = cub::BlockReduce<double, Config::kThreads>;
  using Sums = ProductSums<double, Config::kRowsPerThread, Config::kColsPerThread>;
  __shared__ alignas(16) double rows[kTileDepth][Config::kStride];
  __shared__ alignas(16) double cols[kTileDepth][Config::kStride];
  __shared__ typename BlockReduce::TempStorage storage;
  const int thread = static_cast<int>(threadIdx.x);
  const int thread_row = thread / Config::kThreadCols * Config::kRowsPerThread;
  const int thread_col = thread % Config::kThreadCols * Config::kColsPerThread;

  for (std::int64_t index = blockIdx.x; index < partial_sums.size(); index += gridDim.x) {
    const std::int64_t sample = index / grid.per_sample;
    std::int64_t tile_row = 0;
    std::int64_t tile_col = 0;
    grid.tile(index % grid.per_sample, tile_row, tile_col);
    const std::int64_t first_row = tile_row * Config::kSteps;
    const std::int64_t first_col = tile_col * Config::kSteps;
    const auto add_products = [&](const SequenceView<const T>& view, Sums& sums) {
      for (std::int64_t first = 0; first < view.width; first += kTileDepth) {
        const int count = static_cast<int>(min(view.width - first, std::int64_t{kTileDepth}));
        __syncthreads();  // the last chunk's products are done
        stage_transposed(view, sample, first_row, first, count, &rows[0][0]);
        stage_transposed(view, sample, first_col, first, count, &cols[0][0]);
        __syncthreads();
#pragma unroll 4
        for (int k = 0; k < count; ++k) {
          double r[Config::kRowsPerThread];
          double c[Config::kColsPerThread];
          load_fragment(&rows[k][thread_row], r);
          load_fragment(&cols[k][thread_col], c);
          sums.add(r, c);
        }
      }
    };
    Sums of_activations;
    Sums of_grads;
    add_products(activations, of_activations);
    add_products(grads, of_grads);
    double mine = 0.0;
#pragma unroll
    for (int r = 0; r < Config::kRowsPerThread; ++r) {
#pragma unroll
      for (int c = 0; c < Config::kColsPerThread; ++c) {
        // Selected: steps that do not exist are 0 times something, which may be NaN.
        if (first_row + thread_row + r < grads.steps && first_col + thread_col + c < grads.steps) {
          mine = fma(of_activations.total[r][c], of_grads.total[r][c], mine);
        }
      }
    }
    const double sum = BlockReduce(storage).Sum(mine);
    if (thread == 0) partial_sums[index] = tile_row == tile_col ? sum : 2.0 * sum;
    __syncthreads();  // the storage is used again
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
  constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
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
  const TriangleGrid grid(task.grads.steps);
  const std::int64_t tiles = task.grads.batch * grid.per_sample;
  if (tiles > 0) {
    cuda::launch({cuda::grid_stride_blocks(tiles, 1, Config::kMaxBlocks), Config::kThreads}, stream,
                 linear_gram_kernel<T>, task.activations, task.grads, grid,
                 Span<double>(task.workspace.data(), tiles));
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
