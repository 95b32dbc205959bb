#pragma once

#include <gtest/gtest.h>

#include "gradients/product_tiles.h"
#include "velum/kernels/stream.h"

namespace velum::testing {

/// Calls body(); on CUDA once for each kind of tile, whichever is the device's.
template <typename Body>
void with_all_product_tiles(const kernels::Stream& stream, const Body& body) {
  using kernels::ProductTiles;
  if (stream.backend() != kernels::Backend::kCuda) return body();
  for (const ProductTiles tiles : {ProductTiles::kMultiplyAdds, ProductTiles::kMatrixProducts}) {
    SCOPED_TRACE(::testing::Message() << "tiles of kind " << static_cast<int>(tiles));
    const kernels::ProductTilesGuard guard(tiles);
    body();
  }
}

}  // namespace velum::testing
