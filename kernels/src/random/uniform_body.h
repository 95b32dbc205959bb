#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

__extension__ typedef unsigned __int128 UInt128;

/// Word pair `pair` of a block as a 64-bit integer, low word first.
VELUM_HOST_DEVICE constexpr std::uint64_t bits_of_words(const std::uint32_t* words, int pair) {
  return std::uint64_t{words[2 * pair + 1]} << 32 | words[2 * pair];
}

/// floor((high * 2^64 + low) * bound / 2^128)
VELUM_HOST_DEVICE constexpr std::uint64_t integer_below(std::uint64_t bound, std::uint64_t low,
                                                        std::uint64_t high) {
  const UInt128 carry = (UInt128{low} * bound) >> 64;                        // < bound
  return static_cast<std::uint64_t>((UInt128{high} * bound + carry) >> 64);  // < bound
}

/// `poisson_select`'s rule: an index is selected if its bits are at most `last`, unless the rule
/// is empty. Holding the last selected value rather than the first refused one gives every rate
/// from 0 to 1 a representation.
struct SelectionRule {
  bool empty;
  std::uint64_t last;

  /// From a rate in [0, 1]: floor(rate * 2^64) values are selected.
  static constexpr SelectionRule from_rate(double rate) {
    const double scaled = rate * 0x1p64;  // exact: a power of two
    if (scaled < 1.0) return {true, 0};
    if (scaled >= 0x1p64) return {false, ~std::uint64_t{0}};
    return {false, static_cast<std::uint64_t>(scaled) - 1};
  }
  VELUM_HOST_DEVICE constexpr bool selects(std::uint64_t bits) const {
    return !empty && bits <= last;
  }
};

struct UniformLayout {
  static constexpr std::int64_t kBitsPerBlock = 8;      ///< 64-bit draws of a block.
  static constexpr std::int64_t kIntegersPerBlock = 4;  ///< 128-bit draws of a block.
  static constexpr std::int64_t kMaxBits = kBitsPerBlock << 32;
  /// Without the block that keys the substreams.
  static constexpr std::int64_t kMaxIntegers =
      kIntegersPerBlock * std::int64_t{StreamLayout::kSubstreamKeyBlock};
};

struct UniformBitsFillBody {
  ChaCha20State state;
  std::int64_t first_element;
  Span<std::uint64_t> out;

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {  // block i from first_element's
    constexpr std::int64_t kDraws = UniformLayout::kBitsPerBlock;
    const std::int64_t block = first_element / kDraws + i;
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    for (int draw = 0; draw < kDraws; ++draw) {
      const std::int64_t index = block * kDraws + draw - first_element;
      if (index >= 0 && index < out.size()) out[index] = bits_of_words(words.words, draw);
    }
  }
};

struct UniformIntegersFillBody {
  ChaCha20State state;
  std::uint64_t bound;
  std::int64_t first_element;
  Span<std::uint64_t> out;

  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {  // block i from first_element's
    constexpr std::int64_t kDraws = UniformLayout::kIntegersPerBlock;
    const std::int64_t block = first_element / kDraws + i;
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    for (int draw = 0; draw < kDraws; ++draw) {
      const std::int64_t index = block * kDraws + draw - first_element;
      if (index >= 0 && index < out.size()) {
        out[index] = integer_below(bound, bits_of_words(words.words, 2 * draw),
                                   bits_of_words(words.words, 2 * draw + 1));
      }
    }
  }
};

/// Which of the eight indices of block i are selected: byte d of flags[i], 1 or 0, is that of index
/// 8 i + d. Those from the population on are 0.
struct SelectionFlagsBody {
  ChaCha20State state;
  SelectionRule rule;
  std::int64_t population;
  std::uint64_t* flags;

  VELUM_HOST_DEVICE void operator()(std::int64_t block) const {
    constexpr int kDraws = UniformLayout::kBitsPerBlock;
    static_assert(kDraws == sizeof(std::uint64_t));
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    std::uint64_t of_block = 0;
    for (int draw = 0; draw < kDraws; ++draw) {
      const bool selected =
          block * kDraws + draw < population && rule.selects(bits_of_words(words.words, draw));
      of_block |= std::uint64_t{selected} << (8 * draw);
    }
    flags[block] = of_block;
  }
};

struct PoissonSelection {
  ChaCha20State state;
  SelectionRule rule;
  std::int64_t population;
  Span<std::int64_t> indices;
  std::int64_t* count;
};

/// How many blocks hold elements [first, first + size) at `per_block` draws each; 0 for size 0.
VELUM_HOST_DEVICE constexpr std::int64_t blocks_that_hold(std::int64_t first, std::int64_t size,
                                                          std::int64_t per_block) {
  return size == 0 ? 0 : (first + size + per_block - 1) / per_block - first / per_block;
}

}  // namespace velum::kernels
