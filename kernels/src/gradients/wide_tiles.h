#pragma once

#include <atomic>

namespace velum::kernels {

/// By what a CUDA device computes wide tiles of products.
enum class WideTiles {
  kOfTheDevice,     ///< by what is faster on it
  kMultiplyAdds,    ///< of its threads, in the type of the operands
  kMatrixProducts,  ///< of doubles, by its tensor cores
};

/// What is faster on a device of a compute capability, 90 for 9.0: matrix products of doubles at
/// the rate of multiply-adds of floats are those of 8.0 and 9.0 alone.
constexpr WideTiles faster_wide_tiles(int compute_capability) {
  return compute_capability == 80 || compute_capability == 90 ? WideTiles::kMatrixProducts
                                                              : WideTiles::kMultiplyAdds;
}

/// What launches take from now on, on any stream: for tests and benchmarks.
inline std::atomic<WideTiles>& wide_tiles() {
  static std::atomic<WideTiles> tiles{WideTiles::kOfTheDevice};
  return tiles;
}

}  // namespace velum::kernels
