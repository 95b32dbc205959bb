// Residues of 32-bit moduli, one to a 64-bit lane, once per SIMD target: included inside the
// target's namespace, with `hn` for Highway's. It has neither include guard nor includes; what
// includes it has velum/kernels/modular/modular_arithmetic.h.

using Wide = hn::CappedTag<std::uint64_t, 8>;
using WideVec = hn::Vec<Wide>;

/// The product of the low halves of the lanes.
HWY_INLINE WideVec multiply_low_halves(WideVec a, WideVec b) {
#if HWY_TARGET == HWY_SCALAR
  return WideVec((a.raw & 0xffffffffu) * (b.raw & 0xffffffffu));
#else
  const hn::Repartition<std::uint32_t, Wide> d;
  return hn::MulEven(hn::BitCast(d, a), hn::BitCast(d, b));
#endif
}

/// x - q where x >= q, else x; for lanes below 2^33.
HWY_INLINE WideVec reduce_once(WideVec x, WideVec q) {
  const hn::RebindToSigned<Wide> d;
  const WideVec difference = hn::Sub(x, q);
  const auto negative = hn::BroadcastSignBit(hn::BitCast(d, difference));
  return hn::Add(difference, hn::And(hn::BitCast(Wide(), negative), q));
}

struct WideFactor {
  WideVec value, quotient;
};
HWY_INLINE WideFactor wide_factor(ShoupFactor<std::uint32_t> f) {
  return {hn::Set(Wide(), f.value), hn::Set(Wide(), f.quotient)};
}

/// x f modulo q in [0, 2q), for the low halves x of the lanes (any 32 bits).
HWY_INLINE WideVec multiply_lazy(WideVec x, const WideFactor& f, WideVec q) {
  const WideVec h = hn::ShiftRight<32>(multiply_low_halves(x, f.quotient));
  return hn::Sub(multiply_low_halves(x, f.value), multiply_low_halves(h, q));
}

/// x modulo q in [0, 4q) for any 64 bits x; `one` and `two_32` are the factors 1 and 2^32 modulo q.
HWY_INLINE WideVec reduce_wide_lazy(WideVec x, const WideFactor& one, const WideFactor& two_32,
                                    WideVec q) {
  return hn::Add(multiply_lazy(x, one, q), multiply_lazy(hn::ShiftRight<32>(x), two_32, q));
}
