// Rows of residues in blocks over threads. For 32-bit words the block is vectorised: an integer is
// read as its 32-bit words, with 2^63 (2^127) added so that none is negative; each word times its
// power of 2^32 modulo q is one lazy product, and the offset is taken off again at the end.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/integers_to_residues_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "polynomial/integers_to_residues_halves.h"

#ifndef VELUM_KERNELS_POLYNOMIAL_INTEGERS_TO_RESIDUES_ROW
#define VELUM_KERNELS_POLYNOMIAL_INTEGERS_TO_RESIDUES_ROW
namespace velum::kernels {

/// What a limb needs: 2^(32 i) modulo q for i = 0 to 3, and -2^63 and -2^127 modulo q.
struct IntegerLimb {
  Modulus<std::uint32_t> modulus;
  ShoupFactor<std::uint32_t> powers[4];
  std::uint32_t minus_half_range[2];
};

}  // namespace velum::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace integers {  // a name of its own: the targets' namespaces are shared by all files
namespace hn = hwy::HWY_NAMESPACE;

#include "modular/wide_residues-inl.h"

HWY_INLINE void store_words(WideVec x, std::uint32_t* to) {
  const hn::Rebind<std::uint32_t, Wide> d;
  hn::StoreU(hn::TruncateTo(d, x), d, to);
}

/// r + offset modulo q, for r in [0, 4q) and offset in [0, q).
HWY_INLINE WideVec finish(WideVec r, WideVec offset, WideVec q, WideVec twice_q) {
  r = reduce_once(r, twice_q);                                // [0, 2q)
  return reduce_once(reduce_once(hn::Add(r, offset), q), q);  // [0, 3q) -> [0, q)
}

HWY_INLINE std::int64_t vectors(const std::int64_t* integers, std::int64_t count,
                                const IntegerLimb& limb, std::uint32_t* out) {
  const Wide d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const WideVec q = hn::Set(d, limb.modulus.value);
  const WideVec twice_q = hn::Set(d, 2 * limb.modulus.value);
  const WideVec offset = hn::Set(d, limb.minus_half_range[0]);
  const WideVec sign = hn::Set(d, std::uint64_t{1} << 63);
  const WideFactor one = wide_factor(limb.powers[0]), two_32 = wide_factor(limb.powers[1]);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const WideVec x =
        hn::Xor(hn::LoadU(d, reinterpret_cast<const std::uint64_t*>(integers) + i), sign);
    store_words(finish(reduce_wide_lazy(x, one, two_32, q), offset, q, twice_q), out + i);
  }
  return i;
}

static_assert(std::endian::native == std::endian::little,
              "an Int128 is read as its low half, then its high half");
HWY_INLINE std::int64_t vectors(const Int128* integers, std::int64_t count, const IntegerLimb& limb,
                                std::uint32_t* out) {
  const Wide d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const WideVec q = hn::Set(d, limb.modulus.value);
  const WideVec twice_q = hn::Set(d, 2 * limb.modulus.value);
  const WideVec offset = hn::Set(d, limb.minus_half_range[1]);
  const WideVec sign = hn::Set(d, std::uint64_t{1} << 63);
  const WideFactor one = wide_factor(limb.powers[0]), two_32 = wide_factor(limb.powers[1]),
                   two_64 = wide_factor(limb.powers[2]), two_96 = wide_factor(limb.powers[3]);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    WideVec low, high;
    hn::LoadInterleaved2(d, reinterpret_cast<const std::uint64_t*>(integers + i), low, high);
    high = hn::Xor(high, sign);
    const WideVec from_low = reduce_wide_lazy(low, one, two_32, q);
    const WideVec from_high = reduce_wide_lazy(high, two_64, two_96, q);
    const WideVec r =
        hn::Add(reduce_once(from_low, twice_q), reduce_once(from_high, twice_q));  // [0, 4q)
    store_words(finish(r, offset, q, twice_q), out + i);
  }
  return i;
}

}  // namespace integers

template <typename Integer>
void residues_of_block(const Integer* integers, std::int64_t count, const IntegerLimb& limb,
                       std::uint32_t* out) {
  for (std::int64_t i = integers::vectors(integers, count, limb, out); i < count; ++i) {
    out[i] = residue_of(integers[i], limb.modulus);
  }
}

void residues_of_int64_block(const std::int64_t* integers, std::int64_t count,
                             const IntegerLimb& limb, std::uint32_t* out) {
  residues_of_block(integers, count, limb, out);
}
void residues_of_int128_block(const Int128* integers, std::int64_t count, const IntegerLimb& limb,
                              std::uint32_t* out) {
  residues_of_block(integers, count, limb, out);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(residues_of_int64_block);
HWY_EXPORT(residues_of_int128_block);

/// Coefficients of one limb that a thread takes at a time: 32 or 64 KiB of integers, about two
/// microseconds of work, and enough of them to hide handing them to a thread.
constexpr std::int64_t kBlock = 4096;

IntegerLimb integer_limb(const Modulus<std::uint32_t>& m) {
  IntegerLimb limb{m, {}, {}};
  std::uint32_t power = 1;
  for (auto& factor : limb.powers) {
    factor = shoup_factor(power, m);
    power = reduce_wide(std::uint64_t{power} << 32, m);
  }
  const auto minus_2_31_times = [&m](std::uint32_t p) {
    return negate_mod(reduce_wide(std::uint64_t{p} << 31, m), m.value);
  };
  limb.minus_half_range[0] = minus_2_31_times(limb.powers[1].value);
  limb.minus_half_range[1] = minus_2_31_times(limb.powers[3].value);
  return limb;
}

void block(const std::int64_t* integers, std::int64_t count, const Modulus<std::uint32_t>& m,
           std::uint32_t* out) {
  HWY_DYNAMIC_DISPATCH(residues_of_int64_block)(integers, count, integer_limb(m), out);
}
void block(const Int128* integers, std::int64_t count, const Modulus<std::uint32_t>& m,
           std::uint32_t* out) {
  HWY_DYNAMIC_DISPATCH(residues_of_int128_block)(integers, count, integer_limb(m), out);
}
template <typename Integer>
void block(const Integer* integers, std::int64_t count, const Modulus<std::uint64_t>& m,
           std::uint64_t* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = residue_of(integers[i], m);
}

}  // namespace

template <typename Word, typename Integer>
void integers_to_residues_cpu(const IntegersToResiduesBody<Word, Integer>& body,
                              const Stream& stream) {
  const RnsView<Word>& out = body.out;
  const std::int64_t blocks = (out.degree + kBlock - 1) / kBlock;
  const std::int64_t count = out.polys * out.limbs * blocks;
  if (count == 0) return;
  // The limbs of a block follow each other, so that its integers stay in the cache.
  stream.parallel_for().run(count, out.limbs, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t limb = i % out.limbs;
      const std::int64_t begin = (i / out.limbs) % blocks * kBlock;
      const std::int64_t poly = i / out.limbs / blocks;
      block(body.integers.data() + poly * out.degree + begin, std::min(kBlock, out.degree - begin),
            body.chain[body.limbs[limb]], out.limb(poly, limb) + begin);
    }
  });
}

#define VELUM_INSTANTIATE(Word, Integer)                                                    \
  template void integers_to_residues_cpu(const IntegersToResiduesBody<Word, Integer>& body, \
                                         const Stream& stream);
VELUM_FOR_EACH_INTEGERS_TO_RESIDUES(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
#endif  // HWY_ONCE
