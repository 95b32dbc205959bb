#include <algorithm>
#include <cstdint>

#include "random/gaussian_body.h"
#include "random/gaussian_chunk.h"
#include "random/gaussian_halves.h"
#include "random/prepared_stream.h"
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/gaussian_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "random/chacha20-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR

/// A machine without a SIMD target of Highway's: the scalar map, group by group.
template <typename T>
void gaussian_groups(const PreparedStream& stream, std::uint32_t first_block, std::int64_t groups,
                     T* out) {
  for (std::int64_t i = 0; i < groups * GaussianLayout::kBlocksPerGroup; ++i) {
    T draws[GaussianLayout::kDrawsPerBlock];
    normals_of_block(chacha20_block(stream.state, first_block + static_cast<std::uint32_t>(i)),
                     draws);
    for (std::int64_t slot = 0; slot < GaussianLayout::kDrawsPerBlock; ++slot) {
      out[GaussianLayout::element_of(i, slot)] = draws[slot];
    }
  }
}
void gaussian_groups_float(const PreparedStream& stream, std::uint32_t first_block,
                           std::int64_t groups, float* out) {
  gaussian_groups(stream, first_block, groups, out);
}
void gaussian_groups_double(const PreparedStream& stream, std::uint32_t first_block,
                            std::int64_t groups, double* out) {
  gaussian_groups(stream, first_block, groups, out);
}

#else
namespace simd_gaussian {
namespace hn = hwy::HWY_NAMESPACE;

template <typename D, typename V>
HWY_INLINE V correctly_rounded_fma(D d, V a, V b, V c) {
#if HWY_NATIVE_FMA
  static_cast<void>(d);
  return hn::MulAdd(a, b, c);
#else
  // Before AVX2 there is no fused instruction, and product and sum rounded apart are other bits.
  using T = hn::TFromD<D>;
  HWY_ALIGN T a_lanes[hn::MaxLanes(D())];
  HWY_ALIGN T b_lanes[hn::MaxLanes(D())];
  HWY_ALIGN T c_lanes[hn::MaxLanes(D())];
  hn::Store(a, d, a_lanes);
  hn::Store(b, d, b_lanes);
  hn::Store(c, d, c_lanes);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
    c_lanes[i] = std::fma(a_lanes[i], b_lanes[i], c_lanes[i]);
  }
  return hn::Load(d, c_lanes);
#endif
}

/// `yes` where the sign bit of `selector` is set.
template <typename D, typename V>
HWY_INLINE V select_by_sign(D d, V selector, V yes, V no) {
#if HWY_TARGET == HWY_SSSE3
  // Without a blend instruction Highway 1.0.3 reads every bit of the selector, not the sign alone.
  const hn::RebindToSigned<D> di;
  return hn::IfVecThenElse(hn::BitCast(d, hn::BroadcastSignBit(hn::BitCast(di, selector))), yes,
                           no);
#else
  static_cast<void>(d);
  return hn::IfNegativeThenElse(selector, yes, no);
#endif
}

/// Float arithmetic for the map, one draw per 32-bit lane.
struct FloatOps {
  using DU = WordTag;
  using DI = hn::RebindToSigned<DU>;
  using D = hn::RebindToFloat<DU>;
  using U = hn::Vec<DU>;
  using W = U;
  using F = hn::Vec<D>;

  static HWY_INLINE F set(float x) { return hn::Set(D(), x); }
  static HWY_INLINE U set_int(std::uint32_t x) { return hn::Set(DU(), x); }
  static HWY_INLINE F sub(F a, F b) { return hn::Sub(a, b); }
  static HWY_INLINE F mul(F a, F b) { return hn::Mul(a, b); }
  static HWY_INLINE F neg(F a) { return hn::Neg(a); }
  static HWY_INLINE F fma(F a, F b, F c) { return correctly_rounded_fma(D(), a, b, c); }
  static HWY_INLINE F sqrt(F a) { return hn::Sqrt(a); }
  static HWY_INLINE F to_float(U a) { return hn::ConvertTo(D(), hn::BitCast(DI(), a)); }
  static HWY_INLINE U bits(F a) { return hn::BitCast(DU(), a); }
  static HWY_INLINE F from_bits(U u) { return hn::BitCast(D(), u); }
  static HWY_INLINE U bit_xor(U a, U b) { return hn::Xor(a, b); }
  static HWY_INLINE U sub_int(U a, U b) { return hn::Sub(a, b); }
  template <int kBits>
  static HWY_INLINE U shift_left(U a) {
    return hn::ShiftLeft<kBits>(a);
  }
  template <int kBits>
  static HWY_INLINE U shift_right(U a) {
    return hn::ShiftRight<kBits>(a);
  }
  template <int kBits>
  static HWY_INLINE U shift_right_signed(U a) {
    return hn::BitCast(DU(), hn::ShiftRight<kBits>(hn::BitCast(DI(), a)));
  }
  static HWY_INLINE U broadcast_sign(U a) {
    return hn::BitCast(DU(), hn::BroadcastSignBit(hn::BitCast(DI(), a)));
  }
  static HWY_INLINE F if_negative(U selector, F yes, F no) {
    return select_by_sign(D(), hn::BitCast(D(), selector), yes, no);
  }
  template <int kBit>
  static HWY_INLINE F if_bit(U word, F yes, F no) {
    return if_negative(shift_left<31 - kBit>(word), yes, no);
  }
};

/// Double arithmetic for the map; U are half vectors of words, as many as there are doubles.
struct DoubleOps {
  using D = hn::Repartition<double, WordTag>;
  using DW = hn::RebindToUnsigned<D>;
  using DU = hn::Rebind<std::uint32_t, D>;
  using DI = hn::Rebind<std::int32_t, D>;
  using U = hn::Vec<DU>;
  using W = hn::Vec<DW>;
  using F = hn::Vec<D>;

  static HWY_INLINE F set(double x) { return hn::Set(D(), x); }
  static HWY_INLINE W set_int(std::uint64_t x) { return hn::Set(DW(), x); }
  static HWY_INLINE F add(F a, F b) { return hn::Add(a, b); }
  static HWY_INLINE F sub(F a, F b) { return hn::Sub(a, b); }
  static HWY_INLINE F mul(F a, F b) { return hn::Mul(a, b); }
  static HWY_INLINE F div(F a, F b) { return hn::Div(a, b); }
  static HWY_INLINE F neg(F a) { return hn::Neg(a); }
  static HWY_INLINE F fma(F a, F b, F c) { return correctly_rounded_fma(D(), a, b, c); }
  static HWY_INLINE F sqrt(F a) { return hn::Sqrt(a); }
  static HWY_INLINE F to_float(U a) { return hn::PromoteTo(D(), hn::BitCast(DI(), a)); }
  static HWY_INLINE F distance(U hi, U lo) {
    return fma(to_float(hi), set(0x1p-32),
               fma(to_float(shift_right<1>(lo)), set(0x1p-63), set(0x1p-64)));
  }
  static HWY_INLINE F angle(U hi, U lo) {
    return fma(to_float(hi), set(0x1p-31), mul(to_float(shift_right<2>(lo)), set(0x1p-61)));
  }
  static HWY_INLINE W bits(F a) { return hn::BitCast(DW(), a); }
  static HWY_INLINE F from_bits(W u) { return hn::BitCast(D(), u); }
  static HWY_INLINE U bit_xor(U a, U b) { return hn::Xor(a, b); }
  static HWY_INLINE W or_wide(W a, W b) { return hn::Or(a, b); }
  static HWY_INLINE W add_wide(W a, W b) { return hn::Add(a, b); }
  static HWY_INLINE W sub_wide(W a, W b) { return hn::Sub(a, b); }
  template <int kBits>
  static HWY_INLINE U shift_left(U a) {
    return hn::ShiftLeft<kBits>(a);
  }
  template <int kBits>
  static HWY_INLINE U shift_right(U a) {
    return hn::ShiftRight<kBits>(a);
  }
  template <int kBits>
  static HWY_INLINE W shift_left_wide(W a) {
    return hn::ShiftLeft<kBits>(a);
  }
  template <int kBits>
  static HWY_INLINE W shift_right_wide(W a) {
    return hn::ShiftRight<kBits>(a);
  }
  static HWY_INLINE U broadcast_sign(U a) {
    return hn::BitCast(DU(), hn::BroadcastSignBit(hn::BitCast(DI(), a)));
  }
  static HWY_INLINE F if_negative(F selector, F yes, F no) {
    return select_by_sign(D(), selector, yes, no);
  }
  template <int kBit>
  static HWY_INLINE F if_bit(U word, F yes, F no) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
    // Masks are bits, one for each lane of whatever size.
    const auto set = hn::TestBit(word, hn::Set(DU(), std::uint32_t{1} << kBit));
    return hn::IfThenElse(hn::Mask<D>{set.raw}, yes, no);
#else
    return if_negative(to_float(shift_left<31 - kBit>(word)), yes, no);
#endif
  }
  static HWY_INLINE F negate_if_bit_0(U word, F a) { return if_bit<0>(word, neg(a), a); }
  template <int kIndex>
  static HWY_INLINE F coefficient() {
    return set(kGaussianCoefficients.values[kIndex]);
  }
};

#define VELUM_GAUSSIAN_MAP HWY_INLINE
#include "random/gaussian_map-inl.h"
#undef VELUM_GAUSSIAN_MAP

}  // namespace simd_gaussian

/// Of one slot of a group to the next.
constexpr std::int64_t kSlot = GaussianLayout::kBlocksPerGroup;
constexpr std::int64_t kWordLanes = hn::MaxLanes(WordTag());

/// The draws of the blocks of a vector, to the lanes of `out`, the first slot of their group.
HWY_INLINE void map_words(const Words (&x)[16], float* out) {
  using Ops = simd_gaussian::TwoOf<simd_gaussian::FloatOps>;
  const hn::RebindToFloat<WordTag> d;
  for (int pair = 0; pair < 4; pair += 2) {
    const Words* const quad = x + 4 * pair;
    Ops::F first;
    Ops::F second;
    simd_gaussian::normal_pair_float<Ops>({quad[0], quad[4]}, {quad[1], quad[5]},
                                          {quad[2], quad[6]}, {quad[3], quad[7]}, first, second);
    float* const to = out + 2 * pair * kSlot;
    hn::StoreU(first.a, d, to);
    hn::StoreU(second.a, d, to + kSlot);
    hn::StoreU(first.b, d, to + 2 * kSlot);
    hn::StoreU(second.b, d, to + 3 * kSlot);
  }
}

/// One pair of draws of every lane, a vector of doubles at a time: 16 registers hold no more.
HWY_INLINE void map_pair(const std::uint32_t (*words)[kWordLanes], double* out) {
  using Ops = simd_gaussian::DoubleOps;
  const Ops::D d;
  const Ops::DU half;
  for (std::int64_t lane = 0; lane < kWordLanes; lane += kWordLanes / 2) {
    const auto load = [&](int w) HWY_ATTR { return hn::Load(half, words[w] + lane); };
    Ops::F first;
    Ops::F second;
    simd_gaussian::normal_pair_double<Ops>(load(0), load(1), load(2), load(3), first, second);
    hn::StoreU(first, d, out + lane);
    hn::StoreU(second, d, out + lane + kSlot);
  }
}

/// Two pairs of draws of every lane, four vectors of doubles at a time, for 32 registers.
HWY_INLINE void map_two_pairs(const std::uint32_t (*words)[kWordLanes], double* out) {
  using Two = simd_gaussian::TwoOf<simd_gaussian::DoubleOps>;
  using Ops = simd_gaussian::TwoOf<Two>;
  const simd_gaussian::DoubleOps::D d;
  const simd_gaussian::DoubleOps::DU half;
  const auto load = [&](int w) HWY_ATTR -> Two::U {
    return {hn::Load(half, words[w]), hn::Load(half, words[w] + kWordLanes / 2)};
  };
  const auto store = [&](const Two::F& x, double* to) HWY_ATTR {
    hn::StoreU(x.a, d, to);
    hn::StoreU(x.b, d, to + kWordLanes / 2);
  };
  Ops::F first;
  Ops::F second;
  simd_gaussian::normal_pair_double<Ops>({load(0), load(4)}, {load(1), load(5)}, {load(2), load(6)},
                                         {load(3), load(7)}, first, second);
  store(first.a, out);
  store(second.a, out + kSlot);
  store(first.b, out + 2 * kSlot);
  store(second.b, out + 3 * kSlot);
}

HWY_INLINE void map_words(const Words (&x)[16], double* out) {
  HWY_ALIGN std::uint32_t words[16][kWordLanes];
  for (int w = 0; w < 16; ++w) hn::Store(x[w], WordTag(), words[w]);
  for (int pair = 0; pair < 4; ++pair) map_pair(words + 4 * pair, out + 2 * pair * kSlot);
}

/// The draws of two groups.
HWY_INLINE void map_words(const TwoWords (&x)[16], float* out) {
  Words a[16];
  Words b[16];
  for (int w = 0; w < 16; ++w) {
    a[w] = x[w].a;
    b[w] = x[w].b;
  }
  map_words(a, out);
  map_words(b, out + GaussianLayout::kDrawsPerGroup);
}

HWY_INLINE void map_words(const TwoWords (&x)[16], double* out) {
  HWY_ALIGN std::uint32_t words[32][kWordLanes];
  for (int w = 0; w < 16; ++w) {
    hn::Store(x[w].a, WordTag(), words[w]);
    hn::Store(x[w].b, WordTag(), words[w + 16]);
  }
  for (int pair = 0; pair < 8; pair += 2) {
    map_two_pairs(words + 4 * pair, out + 2 * pair * kSlot);
  }
}

static_assert(!kTwoVectorsFit || kWordLanes == kSlot, "a vector has the blocks of a group");

template <typename T>
HWY_INLINE void gaussian_groups(const PreparedStream& stream, std::uint32_t first_block,
                                std::int64_t groups, T* out) {
  if constexpr (kTwoVectorsFit) {
    for (; groups >= 2; groups -= 2) {
      TwoWords x[16];
      chacha20_blocks(stream, first_block, x);
      map_words(x, out);
      first_block += 2 * GaussianLayout::kBlocksPerGroup;
      out += 2 * GaussianLayout::kDrawsPerGroup;
    }
  }
  for (; groups > 0; --groups) {
    for (std::int64_t lane = 0; lane < kSlot; lane += kWordLanes) {
      Words x[16];
      chacha20_blocks(stream, first_block + static_cast<std::uint32_t>(lane), x);
      map_words(x, out + lane);
    }
    first_block += GaussianLayout::kBlocksPerGroup;
    out += GaussianLayout::kDrawsPerGroup;
  }
}

void gaussian_groups_float(const PreparedStream& stream, std::uint32_t first_block,
                           std::int64_t groups, float* out) {
  gaussian_groups(stream, first_block, groups, out);
}
void gaussian_groups_double(const PreparedStream& stream, std::uint32_t first_block,
                            std::int64_t groups, double* out) {
  gaussian_groups(stream, first_block, groups, out);
}

#endif  // HWY_TARGET == HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace cpu {
namespace {

HWY_EXPORT(gaussian_groups_float);
HWY_EXPORT(gaussian_groups_double);

void groups(const PreparedStream& stream, std::int64_t first_group, std::int64_t count,
            float* out) {
  const std::int64_t block = first_group * GaussianLayout::kBlocksPerGroup;
  HWY_DYNAMIC_DISPATCH(gaussian_groups_float)
  (stream, static_cast<std::uint32_t>(block), count, out);
}
void groups(const PreparedStream& stream, std::int64_t first_group, std::int64_t count,
            double* out) {
  const std::int64_t block = first_group * GaussianLayout::kBlocksPerGroup;
  HWY_DYNAMIC_DISPATCH(gaussian_groups_double)
  (stream, static_cast<std::uint32_t>(block), count, out);
}

template <typename T>
void chunk(const PreparedStream& stream, std::int64_t first_element, Span<T> out) {
  constexpr std::int64_t kGroup = GaussianLayout::kDrawsPerGroup;
  std::int64_t group = first_element / kGroup;
  std::int64_t done = 0;
  // A group that `out` covers only in part goes through a buffer: the first, then the last.
  const auto partial_group = [&](std::int64_t offset) {
    alignas(64) T draws[kGroup];
    groups(stream, group, 1, draws);
    const std::int64_t size = std::min(kGroup - offset, out.size() - done);
    std::copy_n(draws + offset, size, out.data() + done);
    done += size;
    ++group;
  };
  if (const std::int64_t offset = first_element % kGroup; offset != 0) partial_group(offset);
  if (const std::int64_t whole = (out.size() - done) / kGroup; whole > 0) {
    groups(stream, group, whole, out.data() + done);
    done += whole * kGroup;
    group += whole;
  }
  if (done < out.size()) partial_group(0);
}

template <typename T>
void fill(const GaussianFillBody<T>& body, const Stream& stream) {
  constexpr std::int64_t kGroup = GaussianLayout::kDrawsPerGroup;
  // 64 groups are about 20 microseconds: enough to hide handing them to a thread.
  constexpr std::int64_t kGrainGroups = 64;
  const PreparedStream prepared(body.state);
  const std::int64_t first = body.first_element;
  const std::int64_t end = first + body.out.size();
  const std::int64_t first_group = first / kGroup;
  const std::int64_t group_count = (end + kGroup - 1) / kGroup - first_group;
  stream.parallel_for().run(
      group_count, kGrainGroups, [&](std::int64_t group_begin, std::int64_t group_end) {
        const std::int64_t from = std::max(first, (first_group + group_begin) * kGroup);
        const std::int64_t to = std::min(end, (first_group + group_end) * kGroup);
        chunk(prepared, from, Span<T>(body.out.data() + (from - first), to - from));
      });
}

}  // namespace

void gaussian_chunk(const ChaCha20State& state, std::int64_t first_element, Span<float> out) {
  chunk(PreparedStream(state), first_element, out);
}
void gaussian_chunk(const ChaCha20State& state, std::int64_t first_element, Span<double> out) {
  chunk(PreparedStream(state), first_element, out);
}

}  // namespace cpu

void gaussian_fill_cpu(const GaussianFillBody<float>& body, const Stream& stream) {
  cpu::fill(body, stream);
}
void gaussian_fill_cpu(const GaussianFillBody<double>& body, const Stream& stream) {
  cpu::fill(body, stream);
}

}  // namespace velum::kernels
#endif  // HWY_ONCE
