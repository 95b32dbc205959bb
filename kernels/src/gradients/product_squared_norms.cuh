#pragma once

#include <cstdint>

#include "cuda/compute_capability.h"
#include "cuda/launch.cuh"
#include "gradients/partial_sums.h"
#include "gradients/product_matrix_tile.cuh"
#include "gradients/product_tile.cuh"
#include "gradients/wide_tiles.h"

namespace velum::kernels {

/// Whether a gradient is computed in wide tiles. A narrow one costs about three times as much for
/// each multiply-add, by its loads of shared memory. Warps of a wide tile without features rest.
inline bool takes_wide_tiles(const ProductSizes& sizes) {
  const auto padded_elements = [&sizes](std::int64_t outputs, std::int64_t features) {
    return static_cast<double>(divide_up(sizes.outputs, outputs) * outputs) *
           static_cast<double>(divide_up(sizes.features, features) * features);
  };
  return padded_elements(WideTile::kOutputs, WideTile::kFeatures / 2) <=
         3.0 * padded_elements(NarrowTile::kOutputs, NarrowTile::kFeatures);
}

/// Whether wide tiles on the stream's device are of matrix products.
inline bool takes_matrix_products(const Stream& stream) {
  WideTiles tiles = wide_tiles();
  if (tiles == WideTiles::kOfTheDevice) {
    tiles =
        faster_wide_tiles(cuda::compute_capability(stream), cuda::single_to_double_ratio(stream));
  }
  return tiles == WideTiles::kMatrixProducts;
}

/// Elements of workspace: one partial sum per tile, of either kind if it is wide.
inline std::int64_t product_workspace_size_cuda(const ProductSizes& sizes) {
  static_assert(MatrixTile::kOutputs == WideTile::kOutputs &&
                MatrixTile::kFeatures == WideTile::kFeatures);
  return sizes.batch * (takes_wide_tiles(sizes) ? TileGrid<WideTile>(sizes).per_sample
                                                : TileGrid<NarrowTile>(sizes).per_sample);
}

/// @param kernel  of blocks of the shape.
template <typename Shape, typename Tile, typename Operands>
void launch_product_tiles(void (*kernel)(Operands, ProductSizes, TileGrid<Tile>, Span<double>),
                          const Operands& operands, const ProductSizes& sizes,
                          Span<double> squared_norms, Span<double> workspace,
                          const Stream& stream) {
  const TileGrid<Tile> grid(sizes);
  const std::int64_t tiles = sizes.batch * grid.per_sample;
  if (tiles > 0) {
    cuda::launch({cuda::grid_stride_blocks(tiles, 1, Shape::kMaxBlocks), Shape::kThreads,
                  sizeof(ProductMemory<Operands, Shape>)},
                 stream, kernel, operands, sizes, grid, Span<double>(workspace.data(), tiles));
  }
  sum_partial_sums_cuda(MatrixView<const double>(workspace.data(), sizes.batch, grid.per_sample),
                        Clamp::kNone, squared_norms, stream);
}

/// Squared norms of all samples' products, by the tile that fits them and the device.
template <typename Operands>
void product_squared_norms(const Operands& operands, const ProductSizes& sizes,
                           Span<double> squared_norms, Span<double> workspace,
                           const Stream& stream) {
  using T = typename Operands::Element;
  const auto launch = [&](auto shape, auto* kernel) {
    launch_product_tiles<decltype(shape)>(kernel, operands, sizes, squared_norms, workspace,
                                          stream);
  };
  if (!takes_wide_tiles(sizes)) {
    launch(TileShape<NarrowTile, T>(), product_squared_norms_kernel<Operands, NarrowTile>);
  } else if (takes_matrix_products(stream)) {
    launch(MatrixShape<T>(), product_matrix_squared_norms_kernel<Operands>);
  } else {
    launch(TileShape<WideTile, T>(), product_squared_norms_kernel<Operands, WideTile>);
  }
}

}  // namespace velum::kernels
