#pragma once

#include <algorithm>
#include <cstdint>

#include "velum/kernels/stream.h"

namespace velum::kernels::cpu {

/// Coefficients that a thread takes of a limb at a time: 16 KiB of 32-bit words, so that the
/// operands of a block stay in a first- or second-level cache, and the cost of the call is nothing.
inline constexpr std::int64_t kRowBlock = 4096;

/// Calls `body(poly, limb, begin, end)` for blocks of coefficients that cover every limb;
/// `grain_words` or more coefficients on one thread.
template <typename Body>
void for_each_row_block(std::int64_t polys, std::int64_t limbs, std::int64_t degree,
                        std::int64_t grain_words, const Stream& stream, const Body& body) {
  const std::int64_t block = std::min(degree, kRowBlock);
  const std::int64_t blocks = degree / block;  // both are powers of two
  const std::int64_t count = polys * limbs * blocks;
  if (count == 0) return;
  const auto run = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t row = i / blocks;
      const std::int64_t begin = i % blocks * block;
      body(row / limbs, row % limbs, begin, begin + block);
    }
  };
  stream.parallel_for().run(count, std::max<std::int64_t>(1, grain_words / block), run);
}

}  // namespace velum::kernels::cpu
