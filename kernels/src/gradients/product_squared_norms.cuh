#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/compute_capability.h"
#include "cuda/launch.cuh"
#include "gradients/partial_sums.h"
#include "gradients/product_matrix_tile.cuh"
#include "gradients/product_narrow_matrix_tile.cuh"
#include "gradients/product_tile.cuh"
#include "gradients/product_tiles.h"

namespace velum::kernels {

/// Whether a gradient that is narrow is computed in tiles of eight outputs rather than sixteen.
inline bool takes_eight_outputs(const ProductSizes& sizes) { return sizes.outputs <= 8; }

/// Whether a gradient is computed in wide tiles rather than in narrow ones, of matrix products or
/// of multiply-adds. Narrow tiles of multiply-adds cost about three times as much for each, by
/// their loads of shared memory; those of matrix products half as much again, by their copies.
/// Warps of a wide tile without features rest.
inline bool takes_wide_tiles(const ProductSizes& sizes, bool narrow_by_matrix_products) {
  const auto padded_elements = [&sizes](std::int64_t outputs, std::int64_t features) {
    return static_cast<double>(divide_up(sizes.outputs, outputs) * outputs) *
           static_cast<double>(divide_up(sizes.features, features) * features);
  };
  const double narrow = narrow_by_matrix_products
                            ? 1.5 * padded_elements(takes_eight_outputs(sizes) ? 8 : 16, 32)
                            : 3.0 * padded_elements(NarrowTile::kOutputs, NarrowTile::kFeatures);
  return padded_elements(WideTile::kOutputs, WideTile::kFeatures / 2) <= narrow;
}

/// Whether tiles on the stream's device are of matrix products.
inline bool takes_matrix_products(TileWidth width, const Stream& stream) {
  ProductTiles tiles = product_tiles();
  if (tiles == ProductTiles::kOfTheDevice) {
    tiles = faster_product_tiles(width, cuda::compute_capability(stream),
                                 cuda::single_to_double_ratio(stream));
  }
  return tiles == ProductTiles::kMatrixProducts;
}

/// Elements of workspace: one partial sum per tile, of whichever kind the device takes.
inline std::int64_t product_workspace_size_cuda(const ProductSizes& sizes) {
  static_assert(MatrixTile::kOutputs == WideTile::kOutputs &&
                MatrixTile::kFeatures == WideTile::kFeatures);
  // Tiles of matrix products are at least as large.
  static_assert(NarrowMatrixTile<8>::kOutputs >= NarrowTile::kOutputs &&
                NarrowMatrixTile<8>::kFeatures >= NarrowTile::kFeatures);
  std::int64_t tiles = 0;
  for (const bool narrow_by_matrix_products : {false, true}) {
    tiles = std::max(tiles, takes_wide_tiles(sizes, narrow_by_matrix_products)
                                ? TileGrid<WideTile>(sizes).per_sample
                                : TileGrid<NarrowTile>(sizes).per_sample);
  }
  return sizes.batch * tiles;
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
  constexpr bool kInEights = Operands::kCopiesElements;
  const bool wide = takes_wide_tiles(sizes, takes_matrix_products(TileWidth::kNarrow, stream));
  const bool by_matrix_products =
      takes_matrix_products(wide ? TileWidth::kWide : TileWidth::kNarrow, stream);
  if (wide && by_matrix_products) {
    launch(MatrixShape<T>(), product_matrix_squared_norms_kernel<Operands>);
  } else if (wide) {
    launch(TileShape<WideTile, T>(), product_squared_norms_kernel<Operands, WideTile>);
  } else if (!by_matrix_products) {
    launch(TileShape<NarrowTile, T>(), product_squared_norms_kernel<Operands, NarrowTile>);
  } else if (takes_eight_outputs(sizes)) {
    launch(NarrowMatrixShape<T, 8, kInEights>(),
           product_narrow_matrix_squared_norms_kernel<Operands, 8>);
  } else {
    launch(NarrowMatrixShape<T, 16, kInEights>(),
           product_narrow_matrix_squared_norms_kernel<Operands, 16>);
  }
}

}  // namespace velum::kernels
