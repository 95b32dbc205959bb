#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"

namespace velum::kernels {

/// Sums of products that are reduced once at the end. Let w be the bits of a word, q < 2^(w - k) a
/// modulus (k = 2 for 32-bit words, 3 for 64-bit ones), and let each product be of a residue of q
/// and a factor below 2^(w - k): it is below q 2^(w - k), and 4^k of them are below 2^k q 2^w,
/// which is below 2^(2w).
template <typename Word>
struct ProductSum {
  static constexpr int kSpareBits = WordTraits<Word>::kBits - WordTraits<Word>::kModulusBits;
  /// Products that a sum may take at first: 16 or 64.
  static constexpr int kFirstProducts = 1 << (2 * kSpareBits);
  /// Products that it may take after each `fold_sum`, which leaves a sum below q 2^w: 12 or 56.
  static constexpr int kMoreProducts = kFirstProducts - (1 << kSpareBits);
};

/// A sum in [0, 2^k q 2^w) made less than q 2^w, modulo q unchanged: multiples of q 2^w taken off
/// the high word.
template <typename Word>
VELUM_HOST_DEVICE constexpr WideOf<Word> fold_sum(WideOf<Word> sum, Word q) {
  auto high = static_cast<Word>(sum >> WordTraits<Word>::kBits);
  for (int bit = ProductSum<Word>::kSpareBits - 1; bit >= 0; --bit) {
    high = reduce_once(high, static_cast<Word>(q << bit));  // [0, 2^bit q)
  }
  return (static_cast<WideOf<Word>>(high) << WordTraits<Word>::kBits) | static_cast<Word>(sum);
}

/// A sum in [0, 2^k q 2^w) times 2^-w modulo q, in [0, q).
template <typename Word>
VELUM_HOST_DEVICE constexpr Word reduce_sum_montgomery(WideOf<Word> sum, const Modulus<Word>& m) {
  return reduce_once(montgomery_reduce_lazy(fold_sum(sum, m.value), m), m.value);
}

}  // namespace velum::kernels
