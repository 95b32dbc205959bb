#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "random/gaussian_coefficients.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

/// Where a draw comes from. Sixteen consecutive blocks form a group of 128 draws, and draw
/// `slot` of block `block` is element 128 * (block / 16) + 16 * slot + block % 16: lanes that each
/// compute one block store their draws side by side, whatever the number of lanes up to 16, and
/// the 32 threads of a warp fill whole 64-byte pieces.
struct GaussianLayout {
  static constexpr std::int64_t kDrawsPerBlock = 8;
  static constexpr std::int64_t kBlocksPerGroup = 16;
  static constexpr std::int64_t kDrawsPerGroup = kDrawsPerBlock * kBlocksPerGroup;
  static constexpr std::int64_t kMaxElements = kDrawsPerBlock << 32;

  VELUM_HOST_DEVICE static constexpr std::int64_t block_of(std::int64_t element) {
    return element / kDrawsPerGroup * kBlocksPerGroup + element % kBlocksPerGroup;
  }
  VELUM_HOST_DEVICE static constexpr std::int64_t slot_of(std::int64_t element) {
    return element / kBlocksPerGroup % kDrawsPerBlock;
  }
  VELUM_HOST_DEVICE static constexpr std::int64_t element_of(std::int64_t block,
                                                             std::int64_t slot) {
    return block / kBlocksPerGroup * kDrawsPerGroup + slot * kBlocksPerGroup +
           block % kBlocksPerGroup;
  }
};

namespace scalar_gaussian {

/// One lane of float arithmetic for the map.
struct FloatOps {
  using F = float;
  using U = std::uint32_t;

  VELUM_HOST_DEVICE static F set(float x) { return x; }
  VELUM_HOST_DEVICE static U set_int(std::uint32_t x) { return x; }
  VELUM_HOST_DEVICE static F sub(F a, F b) { return a - b; }
  VELUM_HOST_DEVICE static F mul(F a, F b) { return a * b; }
  VELUM_HOST_DEVICE static F neg(F a) { return -a; }
  VELUM_HOST_DEVICE static F fma(F a, F b, F c) { return fmaf(a, b, c); }
  VELUM_HOST_DEVICE static F sqrt(F a) { return sqrtf(a); }
  VELUM_HOST_DEVICE static F to_float(U a) {
    return static_cast<float>(static_cast<std::int32_t>(a));
  }
  VELUM_HOST_DEVICE static U bits(F a) {
    U u;
    memcpy(&u, &a, sizeof u);
    return u;
  }
  VELUM_HOST_DEVICE static F from_bits(U u) {
    F a;
    memcpy(&a, &u, sizeof a);
    return a;
  }
  VELUM_HOST_DEVICE static U bit_xor(U a, U b) { return a ^ b; }
  VELUM_HOST_DEVICE static U sub_int(U a, U b) { return a - b; }
  template <int kBits>
  VELUM_HOST_DEVICE static U shift_left(U a) {
    return a << kBits;
  }
  template <int kBits>
  VELUM_HOST_DEVICE static U shift_right(U a) {
    return a >> kBits;
  }
  template <int kBits>
  VELUM_HOST_DEVICE static U shift_right_signed(U a) {
    return static_cast<U>(static_cast<std::int32_t>(a) >> kBits);
  }
  VELUM_HOST_DEVICE static U broadcast_sign(U a) { return shift_right_signed<31>(a); }
  VELUM_HOST_DEVICE static F if_negative(U selector, F yes, F no) {
    return static_cast<std::int32_t>(selector) < 0 ? yes : no;
  }
  template <int kBit>
  VELUM_HOST_DEVICE static F if_bit(U word, F yes, F no) {
    return (word >> kBit & 1) != 0 ? yes : no;
  }
};

/// One lane of double arithmetic for the map.
struct DoubleOps {
  using F = double;
  using U = std::uint32_t;
  using W = std::uint64_t;

  VELUM_HOST_DEVICE static F set(double x) { return x; }
  VELUM_HOST_DEVICE static W set_int(std::uint64_t x) { return x; }
  VELUM_HOST_DEVICE static F add(F a, F b) { return a + b; }
  VELUM_HOST_DEVICE static F sub(F a, F b) { return a - b; }
  VELUM_HOST_DEVICE static F mul(F a, F b) { return a * b; }
  VELUM_HOST_DEVICE static F div(F a, F b) { return a / b; }
  VELUM_HOST_DEVICE static F neg(F a) { return -a; }
  VELUM_HOST_DEVICE static F fma(F a, F b, F c) { return ::fma(a, b, c); }
  VELUM_HOST_DEVICE static F sqrt(F a) { return ::sqrt(a); }
  VELUM_HOST_DEVICE static F to_float(U a) {
    return static_cast<double>(static_cast<std::int32_t>(a));
  }
  VELUM_HOST_DEVICE static F distance(U hi, U lo) {  // hi < 2^31; bit 0 of lo counts as 1
    return fma(to_float(hi), 0x1p-32, fma(to_float(lo >> 1), 0x1p-63, 0x1p-64));
  }
  VELUM_HOST_DEVICE static F angle(U hi, U lo) {  // bits 0 and 1 of lo count as 0
    return fma(to_float(hi), 0x1p-31, to_float(lo >> 2) * 0x1p-61);
  }
  VELUM_HOST_DEVICE static W bits(F a) {
    W u;
    memcpy(&u, &a, sizeof u);
    return u;
  }
  VELUM_HOST_DEVICE static F from_bits(W u) {
    F a;
    memcpy(&a, &u, sizeof a);
    return a;
  }
  VELUM_HOST_DEVICE static U bit_xor(U a, U b) { return a ^ b; }
  VELUM_HOST_DEVICE static W or_wide(W a, W b) { return a | b; }
  VELUM_HOST_DEVICE static W add_wide(W a, W b) { return a + b; }
  VELUM_HOST_DEVICE static W sub_wide(W a, W b) { return a - b; }
  template <int kBits>
  VELUM_HOST_DEVICE static U shift_left(U a) {
    return a << kBits;
  }
  template <int kBits>
  VELUM_HOST_DEVICE static U shift_right(U a) {
    return a >> kBits;
  }
  template <int kBits>
  VELUM_HOST_DEVICE static W shift_left_wide(W a) {
    return a << kBits;
  }
  template <int kBits>
  VELUM_HOST_DEVICE static W shift_right_wide(W a) {
    return a >> kBits;
  }
  VELUM_HOST_DEVICE static U broadcast_sign(U a) {
    return static_cast<U>(static_cast<std::int32_t>(a) >> 31);
  }
  VELUM_HOST_DEVICE static F if_negative(F selector, F yes, F no) {
    return selector < 0 ? yes : no;
  }
  template <int kBit>
  VELUM_HOST_DEVICE static F if_bit(U word, F yes, F no) {
    return (word >> kBit & 1) != 0 ? yes : no;
  }
  VELUM_HOST_DEVICE static F negate_if_bit_0(U word, F a) { return (word & 1) != 0 ? -a : a; }
  template <int kIndex>
  VELUM_HOST_DEVICE static F coefficient() {
    constexpr double kValue = kGaussianCoefficients.values[kIndex];
    return kValue;
  }
};

#define VELUM_GAUSSIAN_MAP VELUM_HOST_DEVICE inline
#include "random/gaussian_map-inl.h"
#undef VELUM_GAUSSIAN_MAP

}  // namespace scalar_gaussian

/// Draws 2p and 2p + 1 of a block from its words 4p .. 4p + 3.
VELUM_HOST_DEVICE inline void normal_pair(const std::uint32_t* words, float& first, float& second) {
  scalar_gaussian::normal_pair_float<scalar_gaussian::FloatOps>(words[0], words[1], words[2],
                                                                words[3], first, second);
}
VELUM_HOST_DEVICE inline void normal_pair(const std::uint32_t* words, double& first,
                                          double& second) {
  scalar_gaussian::normal_pair_double<scalar_gaussian::DoubleOps>(words[0], words[1], words[2],
                                                                  words[3], first, second);
}

/// The eight draws of a keystream block, by slot.
template <typename T>
VELUM_HOST_DEVICE inline void normals_of_block(const ChaCha20State& block, T (&draws)[8]) {
  for (int pair = 0; pair < 4; ++pair) {
    normal_pair(block.words + 4 * pair, draws[2 * pair], draws[2 * pair + 1]);
  }
}

/// The draws first_element .. first_element + out.size() - 1.
template <typename T>
struct GaussianFillBody {
  ChaCha20State state;
  std::int64_t first_element;
  Span<T> out;

  VELUM_HOST_DEVICE static constexpr std::int64_t first_group(std::int64_t first_element) {
    return first_element / GaussianLayout::kDrawsPerGroup;
  }
  /// How many blocks the fill computes: whole groups.
  VELUM_HOST_DEVICE constexpr std::int64_t block_count() const {
    const std::int64_t end = first_element + out.size() + GaussianLayout::kDrawsPerGroup - 1;
    return (end / GaussianLayout::kDrawsPerGroup - first_group(first_element)) *
           GaussianLayout::kBlocksPerGroup;
  }
};

}  // namespace velum::kernels
