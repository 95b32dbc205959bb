// Arithmetic on vectors of double-doubles, once per SIMD target: included inside the target's
// namespace, with `hn` for Highway's. It has neither include guard nor includes.
//
// Paper: Joldes, Muller and Popescu, Tight and rigorous error bounds for basic building blocks of
// double-word arithmetic, 2017: algorithms 1 to 3, 6 and 10. u = 2^-53.

template <typename D>
struct Two {
  hn::Vec<D> high, low;
};

/// a + b exactly.
template <typename D>
HWY_INLINE Two<D> two_sum(D, hn::Vec<D> a, hn::Vec<D> b) {
  const auto sum = hn::Add(a, b);
  const auto from_b = hn::Sub(sum, a);
  const auto from_a = hn::Sub(sum, from_b);
  return {sum, hn::Add(hn::Sub(a, from_a), hn::Sub(b, from_b))};
}
/// The same where |a| >= |b| or a = 0.
template <typename D>
HWY_INLINE Two<D> fast_two_sum(D, hn::Vec<D> a, hn::Vec<D> b) {
  const auto sum = hn::Add(a, b);
  return {sum, hn::Sub(b, hn::Sub(sum, a))};
}
/// a b exactly, unless that overflows (2^996 without fma) or underflows.
template <typename D>
HWY_INLINE Two<D> two_product(D d, hn::Vec<D> a, hn::Vec<D> b) {
  const auto product = hn::Mul(a, b);
#if HWY_NATIVE_FMA
  static_cast<void>(d);
  return {product, hn::MulSub(a, b, product)};
#else
  // Dekker's: halves of 26 bits, whose products are exact.
  const auto splitter = hn::Set(d, 0x1p27 + 1);
  const auto ca = hn::Mul(splitter, a);
  const auto a_high = hn::Sub(ca, hn::Sub(ca, a));
  const auto a_low = hn::Sub(a, a_high);
  const auto cb = hn::Mul(splitter, b);
  const auto b_high = hn::Sub(cb, hn::Sub(cb, b));
  const auto b_low = hn::Sub(b, b_high);
  const auto e1 = hn::Sub(hn::Mul(a_high, b_high), product);
  const auto e2 = hn::Add(e1, hn::Mul(a_high, b_low));
  const auto e3 = hn::Add(e2, hn::Mul(a_low, b_high));
  return {product, hn::Add(e3, hn::Mul(a_low, b_low))};
#endif
}

/// Relative error below 3 u^2 + 13 u^3.
template <typename D>
HWY_INLINE Two<D> add(D d, Two<D> a, Two<D> b) {
  const Two<D> s = two_sum(d, a.high, b.high);
  const Two<D> t = two_sum(d, a.low, b.low);
  const Two<D> v = fast_two_sum(d, s.high, hn::Add(s.low, t.high));
  return fast_two_sum(d, v.high, hn::Add(t.low, v.low));
}
template <typename D>
HWY_INLINE Two<D> subtract(D d, Two<D> a, Two<D> b) {
  return add(d, a, Two<D>{hn::Neg(b.high), hn::Neg(b.low)});
}
/// Relative error below 5 u^2.
template <typename D>
HWY_INLINE Two<D> multiply(D d, Two<D> a, Two<D> b) {
  const Two<D> p = two_product(d, a.high, b.high);
  const auto cross = hn::Add(hn::Mul(a.high, b.low), hn::Mul(a.low, b.high));
  return fast_two_sum(d, p.high, hn::Add(p.low, cross));
}
