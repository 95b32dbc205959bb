#pragma once

#include <atomic>

namespace velum::kernels {

/// By what a CUDA device computes tiles of products.
enum class ProductTiles {
  kOfTheDevice,     ///< by what is faster on it
  kMultiplyAdds,    ///< of its threads, in the type of the operands
  kMatrixProducts,  ///< of doubles, by its tensor cores
};

/// Of gradients of many outputs, or of few.
enum class TileWidth { kWide, kNarrow };

/// What is faster on a device of a compute capability, 90 for 9.0, and a ratio of its rates of
/// floats and doubles. Matrix products of doubles at the rate of multiply-adds of floats are those
/// of 8.0 and 9.0 alone, and there of devices whose doubles are not cut down. Narrow tiles are
/// faster by them at half of that rate, too: theirs of multiply-adds wait for shared memory.
constexpr ProductTiles faster_product_tiles(TileWidth width, int compute_capability,
                                            int single_to_double_ratio) {
  const bool has_rate = width == TileWidth::kNarrow
                            ? compute_capability >= 80
                            : compute_capability == 80 || compute_capability == 90;
  return has_rate && single_to_double_ratio <= 2 ? ProductTiles::kMatrixProducts
                                                 : ProductTiles::kMultiplyAdds;
}

/// What launches take from now on, on any stream: for tests and benchmarks.
inline std::atomic<ProductTiles>& product_tiles() {
  static std::atomic<ProductTiles> tiles{ProductTiles::kOfTheDevice};
  return tiles;
}

/// Launches take these as long as it lives, and then those of the device.
class ProductTilesGuard {
 public:
  explicit ProductTilesGuard(ProductTiles tiles) { product_tiles() = tiles; }
  ProductTilesGuard(const ProductTilesGuard&) = delete;
  ProductTilesGuard& operator=(const ProductTilesGuard&) = delete;
  ~ProductTilesGuard() { product_tiles() = ProductTiles::kOfTheDevice; }
};

}  // namespace velum::kernels
