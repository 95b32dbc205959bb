// Residues of 32 bits on the lanes of a vector; compiled once per SIMD target. Not for HWY_SCALAR,
// whose vectors have no odd lane.
#if defined(VELUM_MODULAR_RESIDUE_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VELUM_MODULAR_RESIDUE_VECTORS_INL_H_
#undef VELUM_MODULAR_RESIDUE_VECTORS_INL_H_
#else
#define VELUM_MODULAR_RESIDUE_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "velum/kernels/modular/modulus.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET != HWY_SCALAR
/// In a namespace of its own within the target's, as other files have vectors of residues, too.
namespace residue_vectors {
namespace hn = hwy::HWY_NAMESPACE;

using ResidueTag = hn::ScalableTag<std::uint32_t>;
using Residues = hn::Vec<ResidueTag>;
/// Half as many lanes of 64 bits: the products of the even lanes, or of the odd ones.
using WideTag = hn::RepartitionToWide<ResidueTag>;
using Wides = hn::Vec<WideTag>;

constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(ResidueTag()));

HWY_INLINE Residues set(std::uint32_t value) { return hn::Set(ResidueTag(), value); }
HWY_INLINE Residues load(const std::uint32_t* from) { return hn::LoadU(ResidueTag(), from); }
HWY_INLINE void store(Residues v, std::uint32_t* to) { hn::StoreU(v, ResidueTag(), to); }
HWY_INLINE Wides wide(Residues v) { return hn::BitCast(WideTag(), v); }
HWY_INLINE Residues narrow(Wides v) { return hn::BitCast(ResidueTag(), v); }

/// The odd lanes, moved to the even ones; zeros stay behind them.
HWY_INLINE Residues odd_lanes(Residues v) { return narrow(hn::ShiftRight<32>(wide(v))); }
/// The low words of both halves, in the order of the lanes they are of.
HWY_INLINE Residues low_words(Wides even, Wides odd) {
  return hn::OddEven(narrow(hn::ShiftLeft<32>(odd)), narrow(even));
}
HWY_INLINE Residues high_words(Wides even, Wides odd) {
  return hn::OddEven(narrow(odd), hn::DupOdd(narrow(even)));  // one masked shuffle on AVX-512
}
HWY_INLINE Residues multiply_high(Residues a, Residues b) {
  return high_words(hn::MulEven(a, b), hn::MulEven(odd_lanes(a), odd_lanes(b)));
}
/// As the function of this name in modular_arithmetic.h.
HWY_INLINE Residues reduce_once(Residues x, Residues q) { return hn::Min(x, hn::Sub(x, q)); }

HWY_INLINE Residues add_mod(Residues a, Residues b, Residues q) {
  return reduce_once(hn::Add(a, b), q);
}
HWY_INLINE Residues subtract_mod(Residues a, Residues b, Residues q) {
  const Residues d = hn::Sub(a, b);
  return hn::Min(d, hn::Add(d, q));
}
HWY_INLINE Residues negate_mod(Residues a, Residues q) { return reduce_once(hn::Sub(q, a), q); }

struct FactorVector {
  Residues value;
  Residues quotient;
};
HWY_INLINE FactorVector factor_vector(ShoupFactor<std::uint32_t> factor) {
  return {set(factor.value), set(factor.quotient)};
}
/// In [0, 2q), for any words x.
HWY_INLINE Residues multiply_lazy(Residues x, FactorVector c, Residues q) {
  const Residues h = multiply_high(x, c.quotient);
  return hn::Sub(hn::Mul(x, c.value), hn::Mul(h, q));
}
HWY_INLINE Residues multiply_mod(Residues x, FactorVector c, Residues q) {
  return reduce_once(multiply_lazy(x, c, q), q);
}

/// reduce_product on the products of the even lanes and those of the odd ones.
HWY_INLINE Residues reduce_products(Wides even, Wides odd, const Modulus<std::uint32_t>& m) {
  const Residues ratio = set(m.product_ratio);
  const auto quotient = [&m, ratio](Wides x) {
    const Residues a = narrow(hn::ShiftRightSame(x, m.bits - 2));  // < 2^32: odd lanes are zero
    return hn::ShiftRightSame(hn::MulEven(a, ratio), m.bits + 3);
  };
  const Residues h = low_words(quotient(even), quotient(odd));
  const Residues q = set(m.value);
  return reduce_once(hn::Sub(low_words(even, odd), hn::Mul(h, q)), q);
}

/// fold_sum (product_sum.h) on the high words of 64-bit lanes, in place: a subtrahend whose low
/// word is zero borrows nothing, so that words suffice.
HWY_INLINE Wides fold_sums(Wides sums, std::uint32_t q) {
  const WideTag d;
  const Residues sums_words = narrow(sums);
  const Residues twice = narrow(hn::Set(d, std::uint64_t{q} << 33));
  const Residues once = narrow(hn::Set(d, std::uint64_t{q} << 32));
  const Residues below_twice = hn::Min(sums_words, hn::Sub(sums_words, twice));
  return wide(hn::Min(below_twice, hn::Sub(below_twice, once)));
}

/// reduce_sum_montgomery (product_sum.h): sums in [0, 4 q 2^32) times 2^-32, in [0, q).
HWY_INLINE Residues reduce_sums_montgomery(Wides even, Wides odd, Residues q, Residues inverse) {
  Residues high = high_words(even, odd);    // [0, 4q)
  high = reduce_once(high, hn::Add(q, q));  // [0, 2q)
  high = reduce_once(high, q);              // [0, q)
  const Residues low = hn::Mul(low_words(even, odd), inverse);
  const Residues t = hn::Sub(hn::Add(high, q), multiply_high(low, q));  // (0, 2q)
  return reduce_once(t, q);
}

}  // namespace residue_vectors
#endif  // HWY_TARGET != HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();
#endif  // per-target include guard
