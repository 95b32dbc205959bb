#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include "polynomial/coefficient_index.h"
#include "random/discrete_gaussian_table.h"
#include "random/uniform_body.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

// ---- Ternary ----

/// The largest 64 bits that give -1; twice as much is the largest that gives 0.
inline constexpr std::uint64_t kTernaryThird = ~std::uint64_t{0} / 3;

VELUM_HOST_DEVICE constexpr std::int8_t ternary_of(std::uint64_t bits) {
  return static_cast<std::int8_t>(static_cast<int>(bits > kTernaryThird) +
                                  static_cast<int>(bits > 2 * kTernaryThird) - 1);
}

/// Draws of 64 bits.
struct TernaryDraw {
  static constexpr std::int64_t kPerBlock = 8;
  /// From a block of keystream.
  VELUM_HOST_DEVICE static constexpr std::int8_t of(const std::uint32_t* words, int draw) {
    return ternary_of(bits_of_words(words, draw));
  }
};

// ---- Discrete Gaussian ----

namespace scalar_discrete_gaussian {

/// One lane of signed arithmetic for the map.
struct Lane {
  using I = std::int32_t;
  VELUM_HOST_DEVICE static constexpr I set(std::int32_t x) { return x; }
  VELUM_HOST_DEVICE static constexpr I add(I a, I b) { return a + b; }
  VELUM_HOST_DEVICE static constexpr I sub(I a, I b) { return a - b; }
  VELUM_HOST_DEVICE static constexpr I bit_and(I a, I b) { return a & b; }
  VELUM_HOST_DEVICE static constexpr I bit_xor(I a, I b) { return a ^ b; }
  VELUM_HOST_DEVICE static constexpr I sign(I a) { return a >> 31; }
};

#define VELUM_DISCRETE_GAUSSIAN_MAP VELUM_HOST_DEVICE constexpr
#include "random/discrete_gaussian_map-inl.h"
#undef VELUM_DISCRETE_GAUSSIAN_MAP

}  // namespace scalar_discrete_gaussian

/// Draws of 128 bits.
struct DiscreteGaussianDraw {
  static constexpr std::int64_t kPerBlock = 4;
  /// From a block of keystream.
  VELUM_HOST_DEVICE static constexpr std::int8_t of(const std::uint32_t* words, int draw) {
    const std::uint32_t* const w = words + 4 * draw;
    return static_cast<std::int8_t>(
        scalar_discrete_gaussian::discrete_gaussian<scalar_discrete_gaussian::Lane>(
            static_cast<std::int32_t>(w[0] >> 1), static_cast<std::int32_t>(w[1] >> 1),
            static_cast<std::int32_t>(w[2] >> 1), static_cast<std::int32_t>(w[3] >> 1),
            -static_cast<std::int32_t>(w[3] & 1)));
  }
};

// ---- Independent draws, of either kind ----

/// Draw i is draw i % kPerBlock of block i / kPerBlock.
template <typename Draw>
struct SmallFillBody {
  static constexpr std::int64_t kPerBlock = Draw::kPerBlock;
  static constexpr std::int64_t kMaxSize = kPerBlock << 32;
  ChaCha20State state;
  Span<std::int8_t> out;

  VELUM_HOST_DEVICE void operator()(std::int64_t block) const {
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    for (int draw = 0; draw < kPerBlock; ++draw) {
      const std::int64_t i = block * kPerBlock + draw;
      if (i < out.size()) out[i] = Draw::of(words.words, draw);
    }
  }
};

// ---- Fixed weight ----

/// The border of a selection: draw i with tag t is selected if (t, i) < (tag, index).
struct SelectionBorder {
  std::uint64_t tag;    ///< < 2^63
  std::uint64_t index;  ///< < 2^21

  /// 1 if selected, else 0; no branch.
  VELUM_HOST_DEVICE constexpr std::uint64_t selects(std::uint64_t t, std::uint64_t i) const {
    const std::uint64_t tag_less = (t - tag) >> 63;
    const std::uint64_t tag_greater = (tag - t) >> 63;
    const std::uint64_t index_less = (i - index) >> 63;
    return tag_less | (index_less & ~tag_greater & 1);
  }
};

struct FixedWeightTask {
  static constexpr std::int64_t kDrawsPerBlock = TernaryDraw::kPerBlock;
  static constexpr int kTagBits = 63;
  static constexpr int kIndexBits = 21;  ///< the size itself is an index, too
  static constexpr int kSteps = kTagBits + kIndexBits;
  static constexpr std::int64_t kMaxSize = std::int64_t{1} << (kIndexBits - 1);

  ChaCha20State state;
  std::uint64_t weight;
  Span<std::int8_t> out;

  VELUM_HOST_DEVICE std::int64_t block_count() const {
    return blocks_that_hold(0, out.size(), kDrawsPerBlock);
  }
  VELUM_HOST_DEVICE static constexpr std::uint64_t tag_of(std::uint64_t bits) { return bits >> 1; }
  VELUM_HOST_DEVICE static constexpr std::int8_t value_of(std::uint64_t bits, std::uint64_t i,
                                                          const SelectionBorder& border) {
    const std::uint64_t selected = border.selects(tag_of(bits), i);
    return static_cast<std::int8_t>(selected - 2 * (selected & bits));
  }

  /// How many draws of a block the border selects.
  VELUM_HOST_DEVICE std::uint64_t count(std::int64_t block, const SelectionBorder& border) const {
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    std::uint64_t selected = 0;
    for (int draw = 0; draw < kDrawsPerBlock; ++draw) {
      const std::int64_t i = block * kDrawsPerBlock + draw;
      if (i < out.size()) {
        selected +=
            border.selects(tag_of(bits_of_words(words.words, draw)), static_cast<std::uint64_t>(i));
      }
    }
    return selected;
  }
  /// Writes the draws of a block.
  VELUM_HOST_DEVICE void put(std::int64_t block, const SelectionBorder& border) const {
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    for (int draw = 0; draw < kDrawsPerBlock; ++draw) {
      const std::int64_t i = block * kDrawsPerBlock + draw;
      if (i < out.size()) {
        out[i] = value_of(bits_of_words(words.words, draw), static_cast<std::uint64_t>(i), border);
      }
    }
  }

  /// Bit `step` of the search from the top: the border with that bit set, ...
  VELUM_HOST_DEVICE static constexpr SelectionBorder with_bit(SelectionBorder border, int step) {
    if (step < kTagBits) {
      border.tag |= std::uint64_t{1} << (kTagBits - 1 - step);
    } else {
      border.index |= std::uint64_t{1} << (kSteps - 1 - step);
    }
    return border;
  }
  /// ... which is kept if it does not select too many: the last border selects `weight` draws, as
  /// no two of them have the same (tag, index).
  VELUM_HOST_DEVICE constexpr SelectionBorder narrowed(const SelectionBorder& border, int step,
                                                       std::uint64_t selected) const {
    const SelectionBorder next = with_bit(border, step);
    const std::uint64_t keep = ((weight - selected) >> 63) - 1;  // all ones if selected <= weight
    return {border.tag | (next.tag & keep), border.index | (next.index & keep)};
  }
};

// ---- Residues ----

/// x modulo q. The sign decides no branch: reduce_once's comparison is a selection.
template <typename Word, typename Coefficient>
VELUM_HOST_DEVICE constexpr Word residue_of(Coefficient x, const Modulus<Word>& m) {
  if constexpr (sizeof(Coefficient) == 1) {  // |x| <= 128 < q
    return static_cast<Word>(static_cast<Word>(x) + (m.value & static_cast<Word>(x >> 7)));
  } else {
    const auto wide = static_cast<std::int64_t>(x);
    const auto sign = static_cast<std::uint64_t>(wide >> 63);  // all ones or 0
    const std::uint64_t magnitude = (static_cast<std::uint64_t>(wide) ^ sign) - sign;  // <= 2^63
    const Word r = reduce_wide<Word>(magnitude, m);                                    // [0, q)
    const auto negative = static_cast<Word>(sign);
    return reduce_once(static_cast<Word>((r ^ negative) - negative + (m.value & negative)),
                       m.value);  // r or q - r, [0, q] -> [0, q)
  }
}

template <typename Word, typename Coefficient>
struct SmallToResiduesBody {
  static constexpr std::int64_t kLimbs = 4;  // of a coefficient, which are written together

  Span<const Coefficient> coefficients;
  RnsView<Word> out;  // degree a power of two
  LimbIndices limbs;
  const Modulus<Word>* moduli;
  CoefficientIndex position;  // "limbs" of kLimbs

  SmallToResiduesBody(Span<const Coefficient> coefficients_, const RnsView<Word>& out_,
                      const LimbIndices& limbs_, const Modulus<Word>* moduli_)
      : coefficients(coefficients_),
        out(out_),
        limbs(limbs_),
        moduli(moduli_),
        position{std::countr_zero(static_cast<std::uint64_t>(out_.degree)),
                 static_cast<std::int32_t>((out_.limbs + kLimbs - 1) / kLimbs)} {}

  constexpr std::int64_t count() const { return out.polys * position.limbs * out.degree; }
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const auto [poly, group, coefficient] = position(i);
    const Coefficient x = coefficients[poly * out.degree + coefficient];
    Word* const words = out.limb(poly, group * kLimbs) + coefficient;
    for (std::int64_t k = 0; k < kLimbs; ++k) {
      const std::int64_t limb = group * kLimbs + k;
      if (limb >= out.limbs) break;
      words[k * out.degree] = residue_of(x, moduli[limbs[limb]]);
    }
  }
};

}  // namespace velum::kernels
