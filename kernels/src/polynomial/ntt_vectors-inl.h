// The transform of a limb of 32-bit words in vectors, for the Highway target that is compiled.
// clang-format off
#if defined(VELUM_KERNELS_POLYNOMIAL_NTT_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VELUM_KERNELS_POLYNOMIAL_NTT_VECTORS_INL_H_
#undef VELUM_KERNELS_POLYNOMIAL_NTT_VECTORS_INL_H_
#else
#define VELUM_KERNELS_POLYNOMIAL_NTT_VECTORS_INL_H_
#endif
// clang-format on

#include <hwy/highway.h>

#include <cstdint>

#include "modular/residue_vectors-inl.h"
#include "polynomial/ntt_body.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET != HWY_SCALAR

using residue_vectors::add_mod;
using residue_vectors::multiply_lazy;
using residue_vectors::multiply_mod;
using residue_vectors::reduce_once;
using Words = residue_vectors::Residues;
using WordTag = residue_vectors::ResidueTag;
/// A factor in all lanes, or one for each.
using VectorFactor = residue_vectors::FactorVector;

HWY_INLINE VectorFactor broadcast_factor(const std::uint32_t* table, std::int64_t k) {
  return {hn::Set(WordTag(), table[2 * k]), hn::Set(WordTag(), table[2 * k + 1])};
}
HWY_INLINE VectorFactor broadcast_factor(ShoupFactor<std::uint32_t> factor) {
  return {hn::Set(WordTag(), factor.value), hn::Set(WordTag(), factor.quotient)};
}

/// forward_butterfly of ntt_body.h, with its ranges.
HWY_INLINE void forward_butterfly(Words& x, Words& y, const VectorFactor& w, Words q, Words two_q) {
  const Words u = reduce_once(x, two_q);   // [0, 2q)
  const Words v = multiply_lazy(y, w, q);  // [0, 2q)
  x = hn::Add(u, v);                       // [0, 4q)
  y = hn::Add(u, hn::Sub(two_q, v));       // (0, 4q)
}
/// inverse_butterfly of ntt_body.h, with its ranges.
HWY_INLINE void inverse_butterfly(Words& x, Words& y, const VectorFactor& w, Words q, Words two_q) {
  const Words difference = hn::Add(x, hn::Sub(two_q, y));  // (0, 4q)
  x = reduce_once(hn::Add(x, y), two_q);                   // [0, 2q)
  y = multiply_lazy(difference, w, q);                     // [0, 2q)
}
/// last_butterfly of ntt_body.h, with its ranges.
HWY_INLINE void last_butterfly(Words& x, Words& y, const VectorFactor& sum,
                               const VectorFactor& difference, Words q, Words two_q) {
  const Words d = hn::Add(x, hn::Sub(two_q, y));  // (0, 4q)
  x = multiply_mod(hn::Add(x, y), sum, q);        // [0, q)
  y = multiply_mod(d, difference, q);             // [0, q)
}

struct VectorModulus {
  Words q;
  Words two_q;
};

// ---- kStages stages of node k, whose coefficients are `stride` apart, from registers ----

// A template a stage: the loops of a stage unroll only if their ends are constants.

template <int kStages, int kStage = 0>
HWY_INLINE void forward_stages(Words (&x)[1 << kStages], const std::uint32_t* table, std::int64_t k,
                               const VectorModulus& m) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
#pragma GCC unroll 8
  for (int node = 0; node < 1 << kStage; ++node) {
    const VectorFactor w = broadcast_factor(table, (k << kStage) + node);
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      forward_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, m.q, m.two_q);
    }
  }
  if constexpr (kStage + 1 < kStages) forward_stages<kStages, kStage + 1>(x, table, k, m);
}

/// The stages of the children first. With kLast the stage of the root is the last of all.
template <int kStages, bool kLast, int kStage = kStages - 1>
HWY_INLINE void inverse_stages(Words (&x)[1 << kStages], const std::uint32_t* table, std::int64_t k,
                               const LastStage<std::uint32_t>& last, const VectorModulus& m) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
  if constexpr (kLast && kStage == 0) {
    const VectorFactor sum = broadcast_factor(last.sum);
    const VectorFactor difference = broadcast_factor(last.difference);
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      last_butterfly(x[i], x[kHalf + i], sum, difference, m.q, m.two_q);
    }
  } else {
#pragma GCC unroll 8
    for (int node = 0; node < 1 << kStage; ++node) {
      const VectorFactor w = broadcast_factor(table, (k << kStage) + node);
#pragma GCC unroll 8
      for (int i = 0; i < kHalf; ++i) {
        inverse_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, m.q,
                          m.two_q);
      }
    }
  }
  if constexpr (kStage > 0) inverse_stages<kStages, kLast, kStage - 1>(x, table, k, last, m);
}

constexpr std::int64_t kVectorWords = hn::MaxLanes(WordTag());
static_assert(kVectorWords >= 4 && kVectorWords <= NttLayout::kLanes);

template <int kStages>
HWY_INLINE void forward_pass(std::uint32_t* data, std::int64_t stride, const std::uint32_t* table,
                             std::int64_t k, const VectorModulus& m) {
  const WordTag d;
  for (std::int64_t i = 0; i < stride; i += kVectorWords) {
    Words x[1 << kStages];
#pragma GCC unroll 16
    for (int r = 0; r < 1 << kStages; ++r) x[r] = hn::LoadU(d, data + r * stride + i);
    forward_stages<kStages>(x, table, k, m);
#pragma GCC unroll 16
    for (int r = 0; r < 1 << kStages; ++r) hn::StoreU(x[r], d, data + r * stride + i);
  }
}

template <int kStages, bool kLast>
HWY_INLINE void inverse_pass(std::uint32_t* data, std::int64_t stride, const std::uint32_t* table,
                             std::int64_t k, const LastStage<std::uint32_t>& last,
                             const VectorModulus& m) {
  const WordTag d;
  for (std::int64_t i = 0; i < stride; i += kVectorWords) {
    Words x[1 << kStages];
#pragma GCC unroll 16
    for (int r = 0; r < 1 << kStages; ++r) x[r] = hn::LoadU(d, data + r * stride + i);
    inverse_stages<kStages, kLast>(x, table, k, last, m);
#pragma GCC unroll 16
    for (int r = 0; r < 1 << kStages; ++r) hn::StoreU(x[r], d, data + r * stride + i);
  }
}

// ---- The last four stages: 16 nodes of 16 coefficients, a node a lane ----

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
/// 128-bit blocks 0 and 2 of a, then of b; blocks 1 and 3.
HWY_INLINE Words even_blocks(Words a, Words b) {
  return Words{_mm512_shuffle_i64x2(a.raw, b.raw, 0x88)};
}
HWY_INLINE Words odd_blocks(Words a, Words b) {
  return Words{_mm512_shuffle_i64x2(a.raw, b.raw, 0xDD)};
}
#endif

/// Transposes squares of kVectorWords x kVectorWords words.
HWY_INLINE void transpose(Words* x) {
  const WordTag d;
  const hn::Repartition<std::uint64_t, WordTag> d64;
  // Within each 128 bits, squares of four.
#pragma GCC unroll 4
  for (int r = 0; r < kVectorWords; r += 4) {
    const auto low_01 = hn::BitCast(d64, hn::InterleaveLower(d, x[r], x[r + 1]));
    const auto high_01 = hn::BitCast(d64, hn::InterleaveUpper(d, x[r], x[r + 1]));
    const auto low_23 = hn::BitCast(d64, hn::InterleaveLower(d, x[r + 2], x[r + 3]));
    const auto high_23 = hn::BitCast(d64, hn::InterleaveUpper(d, x[r + 2], x[r + 3]));
    x[r] = hn::BitCast(d, hn::InterleaveLower(d64, low_01, low_23));
    x[r + 1] = hn::BitCast(d, hn::InterleaveUpper(d64, low_01, low_23));
    x[r + 2] = hn::BitCast(d, hn::InterleaveLower(d64, high_01, high_23));
    x[r + 3] = hn::BitCast(d, hn::InterleaveUpper(d64, high_01, high_23));
  }
  // Squares of 128-bit pieces.
#if HWY_MAX_BYTES == 32
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    const Words low = hn::ConcatLowerLower(d, x[r + 4], x[r]);
    x[r + 4] = hn::ConcatUpperUpper(d, x[r + 4], x[r]);
    x[r] = low;
  }
#elif HWY_MAX_BYTES == 64
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    const Words a = even_blocks(x[r], x[r + 4]);       // a0 a2 b0 b2
    const Words b = odd_blocks(x[r], x[r + 4]);        // a1 a3 b1 b3
    const Words c = even_blocks(x[r + 8], x[r + 12]);  // c0 c2 d0 d2
    const Words e = odd_blocks(x[r + 8], x[r + 12]);   // c1 c3 d1 d3
    x[r] = even_blocks(a, c);                          // a0 b0 c0 d0
    x[r + 4] = even_blocks(b, e);
    x[r + 8] = odd_blocks(a, c);
    x[r + 12] = odd_blocks(b, e);
  }
#endif
}

/// Coefficients r of nodes [first, first + kVectorWords) of a block, in x[r]; and back.
HWY_INLINE void load_nodes(const std::uint32_t* block, std::int64_t first,
                           Words (&x)[NttLayout::kLanes]) {
#pragma GCC unroll 4
  for (std::int64_t piece = 0; piece < NttLayout::kLanes; piece += kVectorWords) {
#pragma GCC unroll 16
    for (std::int64_t node = 0; node < kVectorWords; ++node) {
      x[piece + node] = hn::LoadU(WordTag(), block + (first + node) * NttLayout::kLanes + piece);
    }
    transpose(x + piece);
  }
}

HWY_INLINE VectorFactor lane_factors(const std::uint32_t* rows, std::int64_t row,
                                     std::int64_t first) {
  const std::uint32_t* const at = rows + row * NttLayout::kRowWords + first;
  return {hn::LoadU(WordTag(), at), hn::LoadU(WordTag(), at + NttLayout::kLanes)};
}

template <int kStage = 0>
HWY_INLINE void forward_lanes(Words (&x)[NttLayout::kLanes], const std::uint32_t* rows,
                              std::int64_t first, const VectorModulus& m) {
  constexpr int kHalf = NttLayout::kLanes >> (kStage + 1);
#pragma GCC unroll 8
  for (int node = 0; node < 1 << kStage; ++node) {
    const VectorFactor w = lane_factors(rows, (1 << kStage) - 1 + node, first);
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      forward_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, m.q, m.two_q);
    }
  }
  if constexpr (kStage + 1 < NttLayout::kLogLanes) forward_lanes<kStage + 1>(x, rows, first, m);
}

template <int kStage = NttLayout::kLogLanes - 1>
HWY_INLINE void inverse_lanes(Words (&x)[NttLayout::kLanes], const std::uint32_t* rows,
                              std::int64_t first, const VectorModulus& m) {
  constexpr int kHalf = NttLayout::kLanes >> (kStage + 1);
#pragma GCC unroll 8
  for (int node = 0; node < 1 << kStage; ++node) {
    const VectorFactor w = lane_factors(rows, (1 << kStage) - 1 + node, first);
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      inverse_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, m.q, m.two_q);
    }
  }
  if constexpr (kStage > 0) inverse_lanes<kStage - 1>(x, rows, first, m);
}

// ---- What becomes of values, as in ntt_body.h ----

HWY_INLINE Words reduce_lazy(Words x, const VectorModulus& m) {  // [0, 4q) -> [0, q)
  return reduce_once(reduce_once(x, m.two_q), m.q);
}

struct KeepVectors {
  explicit KeepVectors(const KeepValues<std::uint32_t>& row, const Modulus<std::uint32_t>&)
      : out(row.out) {}
  std::uint32_t* out;

  HWY_INLINE void operator()(std::int64_t i, Words value, const VectorModulus& m) const {
    hn::StoreU(reduce_lazy(value, m), WordTag(), out + i);
  }
};

struct SubtractMultiplyVectors {
  explicit SubtractMultiplyVectors(const SubtractMultiply<std::uint32_t>& row_,
                                   const Modulus<std::uint32_t>&)
      : row(row_), factor(broadcast_factor(row.factor)) {}
  SubtractMultiply<std::uint32_t> row;
  VectorFactor factor;

  HWY_INLINE void operator()(std::int64_t i, Words value, const VectorModulus& m) const {
    const WordTag d;
    const Words v = reduce_once(value, m.two_q);  // [0, 2q)
    const Words difference =
        hn::Add(hn::LoadU(d, row.minuend + i), hn::Sub(m.two_q, v));  // (0, 3q)
    const Words product = multiply_lazy(difference, factor, m.q);
    hn::StoreU(reduce_once(product, m.q), d, row.out + i);  // [0, q)
  }
};

struct InnerProductVectors {
  explicit InnerProductVectors(const InnerProduct<std::uint32_t>& row_,
                               const Modulus<std::uint32_t>& modulus_)
      : row(row_), modulus(modulus_) {}
  InnerProduct<std::uint32_t> row;
  Modulus<std::uint32_t> modulus;

  HWY_INLINE void operator()(std::int64_t i, Words value, const VectorModulus& m) const {
    const WordTag d;
    const Words v = reduce_lazy(value, m);
    for (int k = 0; k < 2; ++k) {
      const Words key = hn::LoadU(d, row.key[k] + i);
      const Words product = residue_vectors::reduce_products(
          hn::MulEven(v, key),
          hn::MulEven(residue_vectors::odd_lanes(v), residue_vectors::odd_lanes(key)),
          modulus);  // [0, q)
      std::uint32_t* const accumulator = row.accumulator[k] + i;
      hn::StoreU(row.first ? product : add_mod(hn::LoadU(d, accumulator), product, m.q), d,
                 accumulator);
    }
  }
};

// ---- A limb ----

/// The last eight stages of block `block`, 256 coefficients at data[256 block].
template <typename Finish>
HWY_INLINE void forward_block(std::uint32_t* limb, int log_n, std::int64_t block,
                              const std::uint32_t* table, const VectorModulus& m,
                              const Finish& finish) {
  const WordTag d;
  std::uint32_t* const data = limb + block * NttLayout::kBlock;
  const std::uint32_t* const rows = table + NttLayout::block_offset(log_n, block);
  const std::int64_t k = (std::int64_t{1} << (log_n - NttLayout::kLogBlock)) + block;
  Words x[NttLayout::kLanes];
  if constexpr (kVectorWords == NttLayout::kLanes) {
#pragma GCC unroll 16
    for (int r = 0; r < NttLayout::kLanes; ++r) x[r] = hn::LoadU(d, data + r * NttLayout::kLanes);
    forward_stages<NttLayout::kLogLanes>(x, table, k, m);
    transpose(x);
    forward_lanes(x, rows, 0, m);
    transpose(x);
#pragma GCC unroll 16
    for (int r = 0; r < NttLayout::kLanes; ++r) {
      finish(block * NttLayout::kBlock + r * NttLayout::kLanes, x[r], m);
    }
  } else {
    // The registers of these targets hold four vectors beside what a butterfly needs.
    forward_pass<2>(data, NttLayout::kBlock / 4, table, k, m);
    for (int child = 0; child < 4; ++child) {
      forward_pass<2>(data + child * NttLayout::kBlock / 4, NttLayout::kLanes, table, 4 * k + child,
                      m);
    }
    for (std::int64_t first = 0; first < NttLayout::kLanes; first += kVectorWords) {
      load_nodes(data, first, x);
      forward_lanes(x, rows, first, m);
#pragma GCC unroll 4
      for (std::int64_t piece = 0; piece < NttLayout::kLanes; piece += kVectorWords) {
        transpose(x + piece);
#pragma GCC unroll 16
        for (std::int64_t node = 0; node < kVectorWords; ++node) {
          finish(block * NttLayout::kBlock + (first + node) * NttLayout::kLanes + piece,
                 x[piece + node], m);
        }
      }
    }
  }
}

template <bool kLast>
HWY_INLINE void inverse_block(std::uint32_t* limb, int log_n, std::int64_t block,
                              const std::uint32_t* table, const LastStage<std::uint32_t>& last,
                              const VectorModulus& m) {
  const WordTag d;
  std::uint32_t* const data = limb + block * NttLayout::kBlock;
  const std::uint32_t* const rows = table + NttLayout::block_offset(log_n, block);
  const std::int64_t k = (std::int64_t{1} << (log_n - NttLayout::kLogBlock)) + block;
  Words x[NttLayout::kLanes];
  if constexpr (kVectorWords == NttLayout::kLanes) {
    load_nodes(data, 0, x);
    inverse_lanes(x, rows, 0, m);
    transpose(x);
    inverse_stages<NttLayout::kLogLanes, kLast>(x, table, k, last, m);
#pragma GCC unroll 16
    for (int r = 0; r < NttLayout::kLanes; ++r) hn::StoreU(x[r], d, data + r * NttLayout::kLanes);
  } else {
    for (std::int64_t first = 0; first < NttLayout::kLanes; first += kVectorWords) {
      load_nodes(data, first, x);
      inverse_lanes(x, rows, first, m);
#pragma GCC unroll 4
      for (std::int64_t piece = 0; piece < NttLayout::kLanes; piece += kVectorWords) {
        transpose(x + piece);
#pragma GCC unroll 16
        for (std::int64_t node = 0; node < kVectorWords; ++node) {
          hn::StoreU(x[piece + node], d, data + (first + node) * NttLayout::kLanes + piece);
        }
      }
    }
    for (int child = 0; child < 4; ++child) {
      inverse_pass<2, false>(data + child * NttLayout::kBlock / 4, NttLayout::kLanes, table,
                             4 * k + child, last, m);
    }
    inverse_pass<2, kLast>(data, NttLayout::kBlock / 4, table, k, last, m);
  }
}

/// How many stages the next pass over a node takes that has `stages` above its blocks: few, equal
/// passes, of at most what the registers hold.
constexpr int stages_of_pass(int stages) {
  constexpr int kMost = kVectorWords == NttLayout::kLanes ? 3 : 2;
  const int passes = (stages + kMost - 1) / kMost;
  return (stages + passes - 1) / passes;
}

/// Node k of 2^log_size coefficients, depth first: what a pass leaves in the caches is read next.
template <typename Finish>
void forward_node(std::uint32_t* limb, int log_n, int log_size, std::int64_t in_stage,
                  const std::uint32_t* table, const VectorModulus& m, const Finish& finish) {
  if (log_size == NttLayout::kLogBlock) {
    return forward_block(limb, log_n, in_stage, table, m, finish);
  }
  const std::int64_t k = (std::int64_t{1} << (log_n - log_size)) + in_stage;
  std::uint32_t* const data = limb + (in_stage << log_size);
  const int stages = stages_of_pass(log_size - NttLayout::kLogBlock);
  const std::int64_t stride = std::int64_t{1} << (log_size - stages);
  if (stages == 3) {
    forward_pass<3>(data, stride, table, k, m);
  } else if (stages == 2) {
    forward_pass<2>(data, stride, table, k, m);
  } else {
    forward_pass<1>(data, stride, table, k, m);
  }
  for (std::int64_t child = 0; child < std::int64_t{1} << stages; ++child) {
    forward_node(limb, log_n, log_size - stages, (in_stage << stages) + child, table, m, finish);
  }
}

template <bool kLast>
void inverse_node(std::uint32_t* limb, int log_n, int log_size, std::int64_t in_stage,
                  const std::uint32_t* table, const LastStage<std::uint32_t>& last,
                  const VectorModulus& m) {
  if (log_size == NttLayout::kLogBlock) {
    return inverse_block<kLast>(limb, log_n, in_stage, table, last, m);
  }
  const std::int64_t k = (std::int64_t{1} << (log_n - log_size)) + in_stage;
  std::uint32_t* const data = limb + (in_stage << log_size);
  const int stages = stages_of_pass(log_size - NttLayout::kLogBlock);
  const std::int64_t stride = std::int64_t{1} << (log_size - stages);
  for (std::int64_t child = 0; child < std::int64_t{1} << stages; ++child) {
    inverse_node<false>(limb, log_n, log_size - stages, (in_stage << stages) + child, table, last,
                        m);
  }
  if (stages == 3) {
    inverse_pass<3, kLast>(data, stride, table, k, last, m);
  } else if (stages == 2) {
    inverse_pass<2, kLast>(data, stride, table, k, last, m);
  } else {
    inverse_pass<1, kLast>(data, stride, table, k, last, m);
  }
}

HWY_INLINE VectorModulus vector_modulus(const Modulus<std::uint32_t>& m) {
  return {hn::Set(WordTag(), m.value), hn::Set(WordTag(), 2 * m.value)};
}

template <typename Vectors, typename Row>
void forward_in_vectors(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                        const Modulus<std::uint32_t>& modulus, const Row& row) {
  forward_node(limb, log_n, log_n, 0, table, vector_modulus(modulus), Vectors(row, modulus));
}

#endif  // HWY_TARGET != HWY_SCALAR
}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // include guard
