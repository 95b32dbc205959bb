#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"

/// The arithmetic of the transforms, and the plain transform of one limb.
///
/// The forward transform halves polynomials: node k = 1 is Z_q[X] / (X^N + 1), and the two children
/// 2k and 2k + 1 of node k are the rings modulo the two factors of its polynomial. A node has
/// N >> floor(log2 k) coefficients, and one butterfly (x, y) -> (x + w y, x - w y) with the one
/// factor w(k) = psi^(r(k)) takes coefficients i and i + size / 2 to coefficient i of both
/// children; r reverses log_n bits. After log_n stages every node is a value. The inverse transform
/// walks back with w(k)^-1. So a part of a transform is the same code at another node.
namespace velum::kernels {

/// Where w(k) stands in a table of 2 N words, 1 <= k < N. The last four stages are kept the way
/// that vectors read them: 16 nodes of 16 coefficients side by side, in blocks of 256 coefficients.
///
///   log_n < 8, or k < N / 16:  value and quotient at 2 k and 2 k + 1
///   else:  with g the ancestor of k that has 16 coefficients, counted from N / 16; s the stages
///          below it; i the place of k among the 2^s descendants of g there:
///          row 2^s - 1 + i of the 15 rows of block g / 16, lane g % 16
///          value at N / 8 + 480 (g / 16) + 32 row + lane, its quotient 16 words on
struct NttLayout {
  static constexpr int kLogLanes = 4;
  static constexpr int kLanes = 1 << kLogLanes;
  static constexpr int kLogBlock = 2 * kLogLanes;
  static constexpr int kBlock = 1 << kLogBlock;
  static constexpr int kRows = kLanes - 1;
  static constexpr int kRowWords = 2 * kLanes;  ///< values, then quotients
  static constexpr int kBlockWords = kRows * kRowWords;

  static VELUM_HOST_DEVICE constexpr bool has_blocks(int log_n) { return log_n >= kLogBlock; }
  static VELUM_HOST_DEVICE constexpr std::int64_t table_words(int log_n) {
    return std::int64_t{2} << log_n;
  }
  /// The first word of the rows of 256 coefficients, number `block`.
  static VELUM_HOST_DEVICE constexpr std::int64_t block_offset(int log_n, std::int64_t block) {
    return (std::int64_t{1} << (log_n - kLogLanes + 1)) + block * kBlockWords;
  }
  struct Place {
    std::int64_t value;
    std::int64_t quotient;
  };
  /// `depth` = floor(log2 k)
  static VELUM_HOST_DEVICE constexpr Place place(int log_n, int depth, std::int64_t k) {
    const int s = depth - (log_n - kLogLanes);
    if (!has_blocks(log_n) || s < 0) return {2 * k, 2 * k + 1};
    const std::int64_t in_stage = k - (std::int64_t{1} << depth);
    const std::int64_t group = in_stage >> s;
    const std::int64_t row = (std::int64_t{1} << s) - 1 + (in_stage & ((std::int64_t{1} << s) - 1));
    const std::int64_t value =
        block_offset(log_n, group >> kLogLanes) + row * kRowWords + (group & (kLanes - 1));
    return {value, value + kLanes};
  }
};

template <typename Word>
VELUM_HOST_DEVICE ShoupFactor<Word> ntt_factor(const Word* table, int log_n, int depth,
                                               std::int64_t k) {
  const NttLayout::Place place = NttLayout::place(log_n, depth, k);
  return {table[place.value], table[place.quotient]};
}

/// (x, y) -> (x + w y, x - w y). Harvey's lazy butterfly: x, y in [0, 4q), and so are the results.
template <typename Word>
VELUM_HOST_DEVICE constexpr void forward_butterfly(Word& x, Word& y, ShoupFactor<Word> w, Word q) {
  const auto two_q = static_cast<Word>(2 * q);
  const Word u = reduce_once(x, two_q);   // [0, 2q)
  const Word v = multiply_lazy(y, w, q);  // [0, 2q), y being any word
  x = static_cast<Word>(u + v);           // [0, 4q)
  y = static_cast<Word>(u + two_q - v);   // (0, 4q)
}

/// (x, y) -> (x + y, (x - y) w): x, y in [0, 2q), and so are the results.
template <typename Word>
VELUM_HOST_DEVICE constexpr void inverse_butterfly(Word& x, Word& y, ShoupFactor<Word> w, Word q) {
  const auto two_q = static_cast<Word>(2 * q);
  const auto difference = static_cast<Word>(x + two_q - y);  // (0, 4q)
  x = reduce_once(static_cast<Word>(x + y), two_q);          // [0, 4q) -> [0, 2q)
  y = multiply_lazy(difference, w, q);                       // [0, 2q)
}

/// How many multiples of q a word holds, of which a transform by stages in registers makes use: a
/// value is reduced only where the next sum would not fit. 64-bit words have room for every second
/// stage.
template <typename Word>
struct LazyRange {
  static constexpr int kMost = 1 << (WordTraits<Word>::kBits - WordTraits<Word>::kModulusBits);
  /// One subtraction takes [0, kMost q) to [0, kReduced q).
  static constexpr int kReduced = kMost / 2;

  /// The bound of both results of `forward_butterfly_within`.
  static VELUM_HOST_DEVICE constexpr int after_forward(int bound) {
    return (bound + 2 > kMost ? kReduced : bound) + 2;
  }
  /// The bounds of the results of `inverse_butterfly_within` for those of x and y.
  static VELUM_HOST_DEVICE constexpr void after_inverse(int& x, int& y) {
    x = x + y > kReduced ? kReduced : x + y;
    y = 2;
  }
};

/// q and the multiples of it that the butterflies add.
template <typename Word>
struct ButterflyModulus {
  Word q;
  Word twice;
  Word multiple;        ///< LazyRange::kReduced q, at most 2^(w-1)
  Word minus_multiple;  ///< modulo 2^w

  static VELUM_HOST_DEVICE constexpr ButterflyModulus of(Word q) {
    const auto multiple = static_cast<Word>(LazyRange<Word>::kReduced * q);
    return {q, static_cast<Word>(2 * q), multiple, static_cast<Word>(Word{0} - multiple)};
  }
  VELUM_HOST_DEVICE constexpr Word times(int bound) const {
    return bound == 1                           ? q
           : bound == 2                         ? twice
           : bound == LazyRange<Word>::kReduced ? multiple
                                                : static_cast<Word>(static_cast<Word>(bound) * q);
  }
  /// [0, kMost q) -> [0, kReduced q). Of 32-bit words the smaller one, where nvcc sees no minimum
  /// if a negative multiple is added. Of 64-bit words the sign of the difference says which is the
  /// larger, for an instruction less than a comparison.
  VELUM_HOST_DEVICE constexpr Word reduced(Word x) const {
    if constexpr (sizeof(Word) == 4) {
      return reduce_once(x, multiple);
    } else {
      const auto difference = static_cast<Word>(x + minus_multiple);
      return static_cast<std::int32_t>(difference >> 32) < 0 ? x : difference;
    }
  }
  /// [0, kMost q) -> [0, 4q), the range of `reduce_lazy`
  VELUM_HOST_DEVICE constexpr Word narrowed(Word x) const {
    return LazyRange<Word>::kMost > 4 ? reduced(x) : x;
  }
};

/// `sum` + multiply_lazy(x, c, q) modulo 2^w. Of 64-bit words by halves: the sum and q times the
/// quotient are taken in by the two products, where nvcc would add three of them.
VELUM_HOST_DEVICE constexpr std::uint32_t multiply_add_lazy(std::uint32_t x,
                                                            ShoupFactor<std::uint32_t> c,
                                                            std::uint32_t q, std::uint32_t sum) {
  return sum + multiply_lazy(x, c, q);
}
VELUM_HOST_DEVICE constexpr std::uint64_t multiply_add_lazy(std::uint64_t x,
                                                            ShoupFactor<std::uint64_t> c,
                                                            std::uint64_t q, std::uint64_t sum) {
  const std::uint64_t h = multiply_high(x, c.quotient);
  const std::uint64_t minus_q = 0 - q;
  const auto low = [](std::uint64_t a) { return static_cast<std::uint32_t>(a); };
  const auto high = [](std::uint64_t a) { return static_cast<std::uint32_t>(a >> 32); };
  const std::uint64_t wide = sum + std::uint64_t{low(x)} * low(c.value) +  // modulo 2^64
                             std::uint64_t{low(h)} * low(minus_q);
  std::uint32_t top = high(wide);
  top += low(x) * high(c.value);
  top += high(x) * low(c.value);
  top += low(h) * high(minus_q);
  top += high(h) * low(minus_q);
  return std::uint64_t{top} << 32 | low(wide);
}

/// forward_butterfly for x in [0, kBound q) and any word y.
template <int kBound, typename Word>
VELUM_HOST_DEVICE constexpr void forward_butterfly_within(Word& x, Word& y, ShoupFactor<Word> w,
                                                          const ButterflyModulus<Word>& m) {
  using Range = LazyRange<Word>;
  static_assert(kBound <= Range::kMost && Range::after_forward(kBound) <= Range::kMost);
  const Word u = kBound + 2 > Range::kMost ? m.reduced(x) : x;
  if constexpr (sizeof(Word) == 4) {
    const Word v = multiply_lazy(y, w, m.q);  // [0, 2q)
    x = u + v;                                // [0, after_forward(kBound) q)
    y = u + m.twice - v;                      // likewise
  } else {
    x = multiply_add_lazy(y, w, m.q, u);  // u + v
    y = u + u + m.twice - x;              // u + 2q - v modulo 2^w
  }
}

/// inverse_butterfly for x in [0, x_bound q) and y in [0, y_bound q), x_bound + y_bound <=
/// LazyRange::kMost; the results' bounds are those of LazyRange::after_inverse.
template <typename Word>
VELUM_HOST_DEVICE constexpr void inverse_butterfly_within(Word& x, Word& y, ShoupFactor<Word> w,
                                                          const ButterflyModulus<Word>& m,
                                                          int x_bound, int y_bound) {
  const auto difference = static_cast<Word>(x + m.times(y_bound) - y);
  const auto sum = static_cast<Word>(x + y);  // [0, (x_bound + y_bound) q)
  x = x_bound + y_bound > LazyRange<Word>::kReduced ? m.reduced(sum) : sum;
  y = multiply_add_lazy(difference, w, m.q, Word{0});  // [0, 2q)
}

/// The two factors of the last stage of the inverse transform, which also divides by N and
/// multiplies by the factor that is fused.
template <typename Word>
struct LastStage {
  ShoupFactor<Word> sum;
  ShoupFactor<Word> difference;
};
template <typename Word>
VELUM_HOST_DEVICE constexpr LastStage<Word> last_stage(const NttConstants<Word>& c) {
  return {c.inverse_degree, c.inverse_degree_root};
}
template <typename Word>
VELUM_HOST_DEVICE constexpr LastStage<Word> last_stage(const NttConstants<Word>& c,
                                                       ShoupFactor<Word> factor) {
  const Word q = c.modulus.value;
  return {shoup_factor(multiply_mod(c.inverse_degree.value, factor, q), c.modulus),
          shoup_factor(multiply_mod(c.inverse_degree_root.value, factor, q), c.modulus)};
}

/// (x, y) -> (x + y, (x - y) w) times the last factors: x, y in [0, bound q), twice which a word
/// holds; the results in [0, q).
template <typename Word>
VELUM_HOST_DEVICE constexpr void last_butterfly(Word& x, Word& y, const LastStage<Word>& last,
                                                Word q, int bound = 2) {
  const auto difference = static_cast<Word>(x + static_cast<Word>(bound) * q - y);
  x = multiply_mod(static_cast<Word>(x + y), last.sum, q);  // [0, q)
  y = multiply_mod(difference, last.difference, q);         // [0, q)
}

/// [0, 4q) -> [0, 2q) -> [0, q)
template <typename Word>
VELUM_HOST_DEVICE constexpr Word reduce_lazy(Word x, Word q) {
  return reduce_once(reduce_once(x, static_cast<Word>(2 * q)), q);
}

// What becomes of value i of a limb, which is still in [0, 4q).

/// It is stored.
template <typename Word>
struct KeepValues {
  Word* out;

  static VELUM_HOST_DEVICE Word result(Word value, const Modulus<Word>& m) {
    return reduce_lazy(value, m.value);
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t i, Word value, const Modulus<Word>& m) const {
    out[i] = result(value, m);
  }
};

/// out <- (minuend - value) factor
template <typename Word>
struct SubtractMultiply {
  Word* out;
  const Word* minuend;
  ShoupFactor<Word> factor;

  VELUM_HOST_DEVICE Word result(Word of, Word value, const Modulus<Word>& m) const {
    const auto two_q = static_cast<Word>(2 * m.value);
    const Word v = reduce_once(value, two_q);                   // [0, 2q)
    const auto difference = static_cast<Word>(of + two_q - v);  // (0, 3q)
    return multiply_mod(difference, factor, m.value);           // [0, q)
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t i, Word value, const Modulus<Word>& m) const {
    out[i] = result(minuend[i], value, m);
  }
};

/// accumulator_k <- [accumulator_k +] value key_k
template <typename Word>
struct InnerProduct {
  const Word* key[2];
  Word* accumulator[2];
  bool first;

  /// `value` in [0, q)
  static VELUM_HOST_DEVICE Word result(Word value, Word of_key, Word sum, const Modulus<Word>& m) {
    return add_mod(sum, multiply_mod(value, of_key, m), m.value);
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t i, Word value, const Modulus<Word>& m) const {
    const Word v = reduce_lazy(value, m.value);  // [0, q)
    for (int k = 0; k < 2; ++k) {
      accumulator[k][i] = result(v, key[k][i], first ? Word{0} : accumulator[k][i], m);
    }
  }
};

/// The limb in `row` becomes values, which go to `finish(i, value, modulus)`.
template <typename Word, typename Finish>
VELUM_HOST_DEVICE void forward_limb(Word* row, int log_n, const Word* table, const Modulus<Word>& m,
                                    const Finish& finish) {
  const std::int64_t n = std::int64_t{1} << log_n;
  for (int depth = 0; depth < log_n; ++depth) {
    const std::int64_t half = n >> (depth + 1);
    const std::int64_t nodes = std::int64_t{1} << depth;
    for (std::int64_t node = 0; node < nodes; ++node) {
      const ShoupFactor<Word> w = ntt_factor(table, log_n, depth, nodes + node);
      Word* const x = row + 2 * half * node;
      for (std::int64_t i = 0; i < half; ++i) forward_butterfly(x[i], x[half + i], w, m.value);
    }
  }
  for (std::int64_t i = 0; i < n; ++i) finish(i, row[i], m);
}

/// The values in `row` become coefficients.
template <typename Word>
VELUM_HOST_DEVICE void inverse_limb(Word* row, int log_n, const Word* table, const Modulus<Word>& m,
                                    const LastStage<Word>& last) {
  const std::int64_t n = std::int64_t{1} << log_n;
  for (int depth = log_n - 1; depth > 0; --depth) {
    const std::int64_t half = n >> (depth + 1);
    const std::int64_t nodes = std::int64_t{1} << depth;
    for (std::int64_t node = 0; node < nodes; ++node) {
      const ShoupFactor<Word> w = ntt_factor(table, log_n, depth, nodes + node);
      Word* const x = row + 2 * half * node;
      for (std::int64_t i = 0; i < half; ++i) inverse_butterfly(x[i], x[half + i], w, m.value);
    }
  }
  for (std::int64_t i = 0; i < n / 2; ++i) last_butterfly(row[i], row[n / 2 + i], last, m.value);
}

}  // namespace velum::kernels
