#include <algorithm>
#include <cstdint>

#include "polynomial/row_blocks.h"
#include "random/keystream.h"
#include "random/prepared_stream.h"
#include "random/simd_targets.h"
#include "random/small_polynomial_halves.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/small_polynomial_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "random/chacha20-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR

/// A machine without a SIMD target of Highway's: block by block.
template <typename Draw>
void fill_blocks(const PreparedStream& stream, std::uint32_t first_block, std::int64_t blocks,
                 std::int8_t* out) {
  for (std::int64_t block = 0; block < blocks; ++block, out += Draw::kPerBlock) {
    const ChaCha20State words =
        chacha20_block(stream.state, first_block + static_cast<std::uint32_t>(block));
    for (int draw = 0; draw < Draw::kPerBlock; ++draw) out[draw] = Draw::of(words.words, draw);
  }
}
void ternary_blocks(const PreparedStream& stream, std::uint32_t first_block, std::int64_t blocks,
                    std::int8_t* out) {
  fill_blocks<TernaryDraw>(stream, first_block, blocks, out);
}
void discrete_gaussian_blocks(const PreparedStream& stream, std::uint32_t first_block,
                              std::int64_t blocks, std::int8_t* out) {
  fill_blocks<DiscreteGaussianDraw>(stream, first_block, blocks, out);
}
void discrete_gaussian_map(const std::uint32_t* words, std::int64_t size, std::int8_t* out) {
  for (std::int64_t i = 0; i < size; ++i) out[i] = DiscreteGaussianDraw::of(words + 4 * i, 0);
}
void residues_of_bytes(const std::int8_t* coefficients, std::int64_t size,
                       const Modulus<std::uint32_t>& modulus, std::uint32_t* out) {
  for (std::int64_t i = 0; i < size; ++i) {
    out[i] = residue_of<std::uint32_t>(coefficients[i], modulus);
  }
}

#else
namespace simd_small_polynomial {

/// Stores vectors of four bytes a lane side by side.
template <typename V>
HWY_INLINE void store_bytes(V v, std::int8_t* out) {
  const hn::Repartition<std::int8_t, WordTag> bytes;
  hn::StoreU(hn::BitCast(bytes, v), bytes, out);
}

/// 2^(8 kDraw) in the lanes whose 64 bits are above a threshold that has twice the same half.
template <int kDraw>
HWY_INLINE Words above(Words high, Words low, std::uint32_t half) {
  const WordTag d;
  const Words threshold = hn::Set(d, half);
  const auto greater =
      hn::Or(hn::Gt(high, threshold), hn::And(hn::Eq(high, threshold), hn::Gt(low, threshold)));
  return hn::IfThenElseZero(greater, hn::Set(d, std::uint32_t{1} << (8 * kDraw)));
}

/// A draw of every lane plus 1, in byte kDraw.
template <int kDraw>
HWY_INLINE Words ternary_plus_one(const Words* x) {
  constexpr auto kHalf = static_cast<std::uint32_t>(kTernaryThird);
  static_assert(kTernaryThird == (std::uint64_t{kHalf} << 32 | kHalf));
  const Words low = x[2 * kDraw];
  const Words high = x[2 * kDraw + 1];
  return hn::Add(above<kDraw>(high, low, kHalf), above<kDraw>(high, low, 2 * kHalf));
}

/// Four draws of every lane, one a byte.
HWY_INLINE Words four_ternary(const Words* x) {
  const WordTag d;
  const hn::Repartition<std::uint8_t, WordTag> bytes;
  const Words sum = hn::Add(hn::Add(ternary_plus_one<0>(x), ternary_plus_one<1>(x)),
                            hn::Add(ternary_plus_one<2>(x), ternary_plus_one<3>(x)));
  return hn::BitCast(d, hn::Sub(hn::BitCast(bytes, sum), hn::Set(bytes, std::uint8_t{1})));
}

/// Signed lanes for the map.
struct Lane {
  using D = hn::RebindToSigned<WordTag>;
  using I = hn::Vec<D>;
  static HWY_INLINE I set(std::int32_t x) { return hn::Set(D(), x); }
  static HWY_INLINE I add(I a, I b) { return hn::Add(a, b); }
  static HWY_INLINE I sub(I a, I b) { return hn::Sub(a, b); }
  static HWY_INLINE I bit_and(I a, I b) { return hn::And(a, b); }
  static HWY_INLINE I bit_xor(I a, I b) { return hn::Xor(a, b); }
  static HWY_INLINE I sign(I a) { return hn::BroadcastSignBit(a); }
};

#define VELUM_DISCRETE_GAUSSIAN_MAP HWY_INLINE
#include "random/discrete_gaussian_map-inl.h"
#undef VELUM_DISCRETE_GAUSSIAN_MAP

/// A draw of every lane, from four words.
HWY_INLINE Words discrete_gaussian_of(const Words* x) {
  const Lane::D d;
  const auto upper_bits = [&](Words w) HWY_ATTR { return hn::BitCast(d, hn::ShiftRight<1>(w)); };
  const auto positive = hn::BroadcastSignBit(hn::BitCast(d, hn::ShiftLeft<31>(x[3])));
  return hn::BitCast(WordTag(),
                     discrete_gaussian<Lane>(upper_bits(x[0]), upper_bits(x[1]), upper_bits(x[2]),
                                             upper_bits(x[3]), positive));
}

}  // namespace simd_small_polynomial

void ternary_blocks(const PreparedStream& stream, std::uint32_t first_block, std::int64_t blocks,
                    std::int8_t* out) {
  const WordTag d;
  const auto lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < blocks; i += lanes, out += lanes * TernaryDraw::kPerBlock) {
    Words x[16];
    chacha20_blocks(stream, first_block + static_cast<std::uint32_t>(i), x);
    alignas(64) std::uint32_t draws[2 * hn::MaxLanes(WordTag())];  // eight bytes a lane
    hn::StoreInterleaved2(simd_small_polynomial::four_ternary(x),
                          simd_small_polynomial::four_ternary(x + 8), d, draws);
    simd_small_polynomial::store_bytes(hn::Load(d, draws), out);
    simd_small_polynomial::store_bytes(hn::Load(d, draws + lanes), out + 4 * lanes);
  }
}

void discrete_gaussian_blocks(const PreparedStream& stream, std::uint32_t first_block,
                              std::int64_t blocks, std::int8_t* out) {
  const WordTag d;
  const Words byte = hn::Set(d, 0xff);
  const auto lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < blocks; i += lanes, out += lanes * DiscreteGaussianDraw::kPerBlock) {
    Words x[16];
    chacha20_blocks(stream, first_block + static_cast<std::uint32_t>(i), x);
    Words draws = simd_small_polynomial::discrete_gaussian_of(x + 12);
    for (int draw = 2; draw >= 0; --draw) {
      draws = hn::Or(hn::ShiftLeft<8>(draws),
                     hn::And(simd_small_polynomial::discrete_gaussian_of(x + 4 * draw), byte));
    }
    simd_small_polynomial::store_bytes(draws, out);
  }
}

void discrete_gaussian_map(const std::uint32_t* words, std::int64_t size, std::int8_t* out) {
  const WordTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < size; i += lanes) {
    const std::int64_t count = std::min(lanes, size - i);
    alignas(64) std::uint32_t lane_words[4][hn::MaxLanes(WordTag())] = {};
    for (std::int64_t j = 0; j < 4 * count; ++j) lane_words[j % 4][j / 4] = words[4 * i + j];
    Words x[4];
    for (int w = 0; w < 4; ++w) x[w] = hn::Load(d, lane_words[w]);
    hn::Store(simd_small_polynomial::discrete_gaussian_of(x), d, lane_words[0]);
    for (std::int64_t j = 0; j < count; ++j)
      out[i + j] = static_cast<std::int8_t>(lane_words[0][j]);
  }
}

void residues_of_bytes(const std::int8_t* coefficients, std::int64_t size,
                       const Modulus<std::uint32_t>& modulus, std::uint32_t* out) {
  const hn::ScalableTag<std::int32_t> d;
  const hn::RebindToUnsigned<decltype(d)> unsigned_tag;
  const hn::Rebind<std::int8_t, decltype(d)> bytes;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto q = hn::Set(d, static_cast<std::int32_t>(modulus.value));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto x = hn::PromoteTo(d, hn::LoadU(bytes, coefficients + i));
    const auto residue = hn::Add(x, hn::And(hn::BroadcastSignBit(x), q));
    hn::StoreU(hn::BitCast(unsigned_tag, residue), unsigned_tag, out + i);
  }
  for (; i < size; ++i) out[i] = residue_of<std::uint32_t>(coefficients[i], modulus);
}

#endif  // HWY_TARGET == HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(ternary_blocks);
HWY_EXPORT(discrete_gaussian_blocks);
HWY_EXPORT(discrete_gaussian_map);
HWY_EXPORT(residues_of_bytes);

/// The most blocks that a vector holds: what is called with a multiple of it writes nothing beyond.
constexpr std::int64_t kVectorBlocks = 16;

void blocks(TernaryDraw, const PreparedStream& stream, std::int64_t first_block, std::int64_t count,
            std::int8_t* out) {
  HWY_DYNAMIC_DISPATCH(ternary_blocks)
  (stream, static_cast<std::uint32_t>(first_block), count, out);
}
void blocks(DiscreteGaussianDraw, const PreparedStream& stream, std::int64_t first_block,
            std::int64_t count, std::int8_t* out) {
  HWY_DYNAMIC_DISPATCH(discrete_gaussian_blocks)
  (stream, static_cast<std::uint32_t>(first_block), count, out);
}

template <typename Draw>
void fill(const SmallFillBody<Draw>& body, const Stream& stream) {
  constexpr std::int64_t kGroup = kVectorBlocks * Draw::kPerBlock;
  // 64 groups are some 10 to 30 microseconds: enough to hide handing them to a thread.
  constexpr std::int64_t kGrainGroups = 64;
  const PreparedStream prepared(body.state);
  const std::int64_t size = body.out.size();
  if (size == 0) return;
  stream.parallel_for().run(
      (size + kGroup - 1) / kGroup, kGrainGroups, [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t whole = std::min(end, size / kGroup);
        if (begin < whole) {
          blocks(Draw(), prepared, begin * kVectorBlocks, (whole - begin) * kVectorBlocks,
                 body.out.data() + begin * kGroup);
        }
        if (whole < end) {  // the last group, of which `out` holds a part
          alignas(64) std::int8_t draws[kGroup];
          blocks(Draw(), prepared, whole * kVectorBlocks, kVectorBlocks, draws);
          std::copy_n(draws, size - whole * kGroup, body.out.data() + whole * kGroup);
        }
      });
}

}  // namespace

void small_fill_cpu(const SmallFillBody<TernaryDraw>& body, const Stream& stream) {
  fill(body, stream);
}
void small_fill_cpu(const SmallFillBody<DiscreteGaussianDraw>& body, const Stream& stream) {
  fill(body, stream);
}

void cpu::discrete_gaussian_map(Span<const std::uint32_t> words, Span<std::int8_t> out) {
  HWY_DYNAMIC_DISPATCH(discrete_gaussian_map)(words.data(), out.size(), out.data());
}

// One thread: a secret key is drawn once.
void fixed_weight_ternary_fill_cpu(const FixedWeightTask& task, const Stream& /*stream*/) {
  constexpr std::int64_t kDraws = 1024;  // 8 KiB of keystream, a quarter of a first-level cache
  const std::int64_t size = task.out.size();
  const auto for_each_draw = [&](const auto& consume) {
    alignas(64) std::uint32_t words[2 * kDraws];
    for (std::int64_t first = 0; first < size; first += kDraws) {
      const std::int64_t count = std::min(kDraws, size - first);
      cpu::keystream_chunk(task.state, 2 * first, Span<std::uint32_t>(words, 2 * count));
      for (std::int64_t i = 0; i < count; ++i) {
        consume(bits_of_words(words + 2 * i, 0), static_cast<std::uint64_t>(first + i));
      }
    }
  };
  SelectionBorder border{0, 0};
  for (int step = 0; step < FixedWeightTask::kSteps; ++step) {
    const SelectionBorder next = FixedWeightTask::with_bit(border, step);
    std::uint64_t selected = 0;
    for_each_draw([&](std::uint64_t bits, std::uint64_t i) {
      selected += next.selects(FixedWeightTask::tag_of(bits), i);
    });
    border = task.narrowed(border, step, selected);
  }
  for_each_draw([&](std::uint64_t bits, std::uint64_t i) {
    task.out[static_cast<std::int64_t>(i)] = FixedWeightTask::value_of(bits, i, border);
  });
}

template <typename Word, typename Coefficient>
void small_to_residues_cpu(const SmallToResiduesBody<Word, Coefficient>& body,
                           const Stream& stream) {
  constexpr std::int64_t kGrain = 32768;  // coefficients: microseconds
  const RnsView<Word>& out = body.out;
  cpu::for_each_row_block(
      out.polys, out.limbs, out.degree, kGrain, stream,
      [&](std::int64_t poly, std::int64_t limb, std::int64_t begin, std::int64_t end) {
        const Modulus<Word> modulus = body.moduli[body.limbs[limb]];
        const Coefficient* const from = body.coefficients.data() + poly * out.degree;
        Word* const to = out.limb(poly, limb);
        if constexpr (sizeof(Coefficient) == 1 && sizeof(Word) == 4) {
          HWY_DYNAMIC_DISPATCH(residues_of_bytes)
          (from + begin, end - begin, modulus, to + begin);
        } else {
          for (std::int64_t i = begin; i < end; ++i) to[i] = residue_of(from[i], modulus);
        }
      });
}

#define VELUM_INSTANTIATE(Word, Coefficient) \
  template void small_to_residues_cpu(const SmallToResiduesBody<Word, Coefficient>&, const Stream&)
VELUM_SMALL_TO_RESIDUES(VELUM_INSTANTIATE);
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
#endif  // HWY_ONCE
