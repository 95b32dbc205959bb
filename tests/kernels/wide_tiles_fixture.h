#pragma once

#include <gtest/gtest.h>

#include "gradients/wide_tiles.h"
#include "velum/kernels/stream.h"

namespace velum::testing {

/// Calls body(); on CUDA once for each kind of wide tile, whichever is the device's.
template <typename Body>
void with_all_wide_tiles(const kernels::Stream& stream, const Body& body) {
  using kernels::WideTiles;
  if (stream.backend() != kernels::Backend::kCuda) return body();
  for (const WideTiles tiles : {WideTiles::kMultiplyAdds, WideTiles::kMatrixProducts}) {
    SCOPED_TRACE(::testing::Message() << "wide tiles of kind " << static_cast<int>(tiles));
    const kernels::WideTilesGuard guard(tiles);
    body();
  }
}

}  // namespace velum::testing
