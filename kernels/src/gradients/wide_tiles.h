#pragma once

#include <atomic>

namespace velum::kernels {

/// By what a CUDA device computes wide tiles of products.
enum class WideTiles {
  kOfTheDevice,     ///< by what is faster on it
  kMultiplyAdds,    ///< of its threads, in the type of the operands
  kMatrixProducts,  ///< of doubles, by its tensor cores
};

/// What is faster on a device of a compute capability, 90 for 9.0, and a ratio of its rates of
/// floats and doubles. Matrix products of doubles at the rate of multiply-adds of floats are those
/// of 8.0 and 9.0 alone, and there of devices whose doubles are not cut down.
constexpr WideTiles faster_wide_tiles(int compute_capability, int single_to_double_ratio) {
  return (compute_capability == 80 || compute_capability == 90) && single_to_double_ratio <= 2
             ? WideTiles::kMatrixProducts
             : WideTiles::kMultiplyAdds;
}

/// What launches take from now on, on any stream: for tests and benchmarks.
inline std::atomic<WideTiles>& wide_tiles() {
  static std::atomic<WideTiles> tiles{WideTiles::kOfTheDevice};
  return tiles;
}

/// Launches take these as long as it lives, and then those of the device.
class WideTilesGuard {
 public:
  explicit WideTilesGuard(WideTiles tiles) { wide_tiles() = tiles; }
  WideTilesGuard(const WideTilesGuard&) = delete;
  WideTilesGuard& operator=(const WideTilesGuard&) = delete;
  ~WideTilesGuard() { wide_tiles() = WideTiles::kOfTheDevice; }
};

}  // namespace velum::kernels
