// The map from 128 uniform bits to two independent standard normal draws, written once. This text
// is included for scalars on host and device (gaussian_body.h) and once per SIMD target
// (gaussian_cpu.cpp), inside their namespaces: it has neither include guard nor includes.
//
// `Ops` supplies the arithmetic on one or many lanes. Every operation is exact or correctly rounded
// (IEEE 754: add, multiply, fma, sqrt, divide, conversions from integers), so that every `Ops`
// gives the same bits.
//
// Box-Muller: with u, v uniform, R = sqrt(-2 ln u) and an angle uniform on the circle,
// (R cos, R sin) are independent standard normal variables.
//
// The words are read as integers:
//   U = (u_hi, u_lo) as a signed 64-bit integer. Its sign says which half of (0, 1) u lies in; the
//       other bits, complemented if negative, are the distance w of u from the nearer end:
//       w = (M + 1/2) / 2^63 with M in [0, 2^62), in (0, 1/2). Both u near 0 (the tail) and u near
//       1 (small radii) are so known to the full relative precision of the type.
//   V = v_hi and bits 2-31 of v_lo: 62 bits, signed: t in [-1, 1), the angle within a quadrant in
//       units of pi/4; bit 1 of v_lo swaps sine and cosine, bit 0 is the sign of the cosine.
//
// The coefficients are minimax (Remez) in relative error: log 2^-27.9, sine 2^-28.2, cosine 2^-33.9
// in float; log 2^-59.5, sine 2^-58.1, cosine 2^-64.5 in double.

/// @param first, second  draws 2p and 2p + 1 of a block, from its words 4p .. 4p + 3.
template <typename Ops>
VELUM_GAUSSIAN_MAP void normal_pair_float(typename Ops::U u_hi, typename Ops::U u_lo,
                                          typename Ops::U v_hi, typename Ops::U v_lo,
                                          typename Ops::F& first, typename Ops::F& second) {
  using F = typename Ops::F;
  using U = typename Ops::U;

  const U upper_half = Ops::broadcast_sign(u_hi);
  const F hi = Ops::to_float(Ops::bit_xor(u_hi, upper_half));  // [0, 2^31)
  const F lo = Ops::to_float(Ops::template shift_right<1>(Ops::bit_xor(u_lo, upper_half)));
  const F w = Ops::fma(hi, Ops::set(0x1p-32f),
                       Ops::fma(lo, Ops::set(0x1p-63f), Ops::set(0x1p-64f)));  // (0, 1/2]
  const F u = Ops::if_negative(upper_half, Ops::sub(Ops::set(1.0f), w), w);    // (0, 1]

  // u = 2^k m with m in [sqrt(1/2), sqrt(2)); k = 0 only where u = 1 - w, and there m - 1 = -w.
  const U bits = Ops::bits(u);
  const U k = Ops::template shift_right_signed<23>(Ops::sub_int(bits, Ops::set_int(0x3f3504f3)));
  const F m = Ops::from_bits(Ops::sub_int(bits, Ops::template shift_left<23>(k)));
  const F f = Ops::if_negative(k, Ops::sub(m, Ops::set(1.0f)), Ops::neg(w));

  // -2 ln u = -2 k ln 2 - 2 log1p(f) = -2 k ln 2 + f g(f)
  F g = Ops::set(0x1.3829c4p-3f);
  g = Ops::fma(g, f, Ops::set(-0x1.0849c0p-2f));
  g = Ops::fma(g, f, Ops::set(0x1.0f39d8p-2f));
  g = Ops::fma(g, f, Ops::set(-0x1.2271a2p-2f));
  g = Ops::fma(g, f, Ops::set(0x1.542710p-2f));
  g = Ops::fma(g, f, Ops::set(-0x1.99a3ecp-2f));
  g = Ops::fma(g, f, Ops::set(0x1.000428p-1f));
  g = Ops::fma(g, f, Ops::set(-0x1.555550p-1f));
  g = Ops::fma(g, f, Ops::set(0x1.fffff8p-1f));
  g = Ops::fma(g, f, Ops::set(-0x1.000000p+1f));
  const F minus_two_log =
      Ops::fma(f, g, Ops::mul(Ops::to_float(k), Ops::set(-0x1.62e430p+0f)));  // (0, 88.8]
  const F radius = Ops::sqrt(minus_two_log);                                  // (0, 9.42]

  const F t_hi = Ops::to_float(v_hi);                                // [-2^31, 2^31)
  const F t_lo = Ops::to_float(Ops::template shift_right<2>(v_lo));  // [0, 2^30)
  const F t = Ops::fma(t_hi, Ops::set(0x1p-31f), Ops::mul(t_lo, Ops::set(0x1p-61f)));  // [-1, 1]
  const F t2 = Ops::mul(t, t);

  F s = Ops::set(-0x1.2d9302p-15f);
  s = Ops::fma(s, t2, Ops::set(0x1.465e92p-9f));
  s = Ops::fma(s, t2, Ops::set(-0x1.4abbbap-4f));
  s = Ops::fma(s, t2, Ops::set(0x1.921fb6p-1f));
  s = Ops::mul(s, t);  // sin(pi/4 t)

  F c = Ops::set(0x1.d9d580p-19f);
  c = Ops::fma(c, t2, Ops::set(-0x1.55c5e0p-12f));
  c = Ops::fma(c, t2, Ops::set(0x1.03c1dep-6f));
  c = Ops::fma(c, t2, Ops::set(-0x1.3bd3ccp-2f));
  c = Ops::fma(c, t2, Ops::set(1.0f));  // cos(pi/4 t)
  c = Ops::from_bits(Ops::bit_xor(Ops::bits(c), Ops::template shift_left<31>(v_lo)));

  const U swap = Ops::template shift_left<30>(v_lo);
  first = Ops::mul(radius, Ops::if_negative(swap, s, c));
  second = Ops::mul(radius, Ops::if_negative(swap, c, s));
}

/// The same map in double arithmetic. `Ops::U` holds 32-bit words, `Ops::W` the 64-bit patterns.
/// The three chains of dependent operations, to the radius, the sine and the cosine, stand side by
/// side: a processor does not look far enough ahead to start the second while the first is under
/// way.
template <typename Ops>
VELUM_GAUSSIAN_MAP void normal_pair_double(typename Ops::U u_hi, typename Ops::U u_lo,
                                           typename Ops::U v_hi, typename Ops::U v_lo,
                                           typename Ops::F& first, typename Ops::F& second) {
  using F = typename Ops::F;
  using U = typename Ops::U;
  using W = typename Ops::W;

  const U upper_half = Ops::broadcast_sign(u_hi);
  const F hi = Ops::to_float(Ops::bit_xor(u_hi, upper_half));  // [0, 2^31)
  const F lo = Ops::to_float(Ops::template shift_right<1>(Ops::bit_xor(u_lo, upper_half)));
  const F t_hi = Ops::to_float(v_hi);                                // [-2^31, 2^31)
  const F t_lo = Ops::to_float(Ops::template shift_right<2>(v_lo));  // [0, 2^30)
  const F w = Ops::fma(hi, Ops::set(0x1p-32),
                       Ops::fma(lo, Ops::set(0x1p-63), Ops::set(0x1p-64)));          // (0, 1/2]
  const F t = Ops::fma(t_hi, Ops::set(0x1p-31), Ops::mul(t_lo, Ops::set(0x1p-61)));  // [-1, 1]
  const F u = Ops::if_negative(Ops::to_float(upper_half), Ops::sub(Ops::set(1.0), w), w);
  const F t2 = Ops::mul(t, t);

  // s t = sin(pi/4 t) and c = cos(pi/4 t), by polynomials in t2.
  F s = Ops::set(0x1.e3eed64f39fa7p-38);
  F c = Ops::set(-0x1.b263c2842dd5fp-42);
  s = Ops::fma(s, t2, Ops::set(-0x1.e30063a1fae0ep-30));
  c = Ops::fma(c, t2, Ops::set(0x1.f9cc40aa0da08p-34));

  // u = 2^k m as above. k + 1024 stays positive, and becomes a double by the bits of 2^52 + k +
  // 1024.
  constexpr std::uint64_t kBias = std::uint64_t{1024} << 52;
  const W bits = Ops::bits(u);
  const W biased = Ops::add_wide(bits, Ops::set_int(kBias - 0x3fe6a09e667f3bcd));
  const W exponent = Ops::template shift_right_wide<52>(biased);
  const F k = Ops::sub(Ops::from_bits(Ops::or_wide(exponent, Ops::set_int(0x4330000000000000))),
                       Ops::set(0x1p52 + 1024));  // [-64, 0]
  s = Ops::fma(s, t2, Ops::set(0x1.50782fca3b22ap-22));
  c = Ops::fma(c, t2, Ops::set(-0x1.a6d1ec7e0823cp-26));
  const F m = Ops::from_bits(Ops::sub_wide(Ops::add_wide(bits, Ops::set_int(kBias)),
                                           Ops::template shift_left_wide<52>(exponent)));
  const F f = Ops::if_negative(k, Ops::sub(m, Ops::set(1.0)), Ops::neg(w));
  s = Ops::fma(s, t2, Ops::set(-0x1.32d2cce2d538ep-15));
  c = Ops::fma(c, t2, Ops::set(0x1.e1f5068367addp-19));

  // -2 log1p(f) = -4 atanh(r) = r g(r^2) with r = f / (2 + f), |r| <= 0.1716
  const F r = Ops::div(f, Ops::add(f, Ops::set(2.0)));
  s = Ops::fma(s, t2, Ops::set(0x1.466bc67758700p-9));
  c = Ops::fma(c, t2, Ops::set(-0x1.55d3c7e3c9280p-12));
  s = Ops::fma(s, t2, Ops::set(-0x1.4abbce625be41p-4));
  c = Ops::fma(c, t2, Ops::set(0x1.03c1f081b5aaep-6));
  const F r2 = Ops::mul(r, r);
  F g = Ops::set(-0x1.2f05625a35532p-2);
  g = Ops::fma(g, r2, Ops::set(-0x1.39a1bad95e77bp-2));
  s = Ops::fma(s, t2, Ops::set(0x1.921fb54442d18p-1));
  c = Ops::fma(c, t2, Ops::set(-0x1.3bd3cc9be45dep-2));
  g = Ops::fma(g, r2, Ops::set(-0x1.74663ee6f1bd2p-2));
  s = Ops::mul(s, t);                  // sin(pi/4 t)
  c = Ops::fma(c, t2, Ops::set(1.0));  // cos(pi/4 t)
  g = Ops::fma(g, r2, Ops::set(-0x1.c71c520965641p-2));
  g = Ops::fma(g, r2, Ops::set(-0x1.24924941f1180p-1));
  const F sign = Ops::to_float(Ops::template shift_left<31>(v_lo));  // < 0: negate
  c = Ops::if_negative(sign, Ops::neg(c), c);
  g = Ops::fma(g, r2, Ops::set(-0x1.999999997fdb9p-1));
  const F swap = Ops::to_float(Ops::template shift_left<30>(v_lo));
  const F x = Ops::if_negative(swap, s, c);
  const F y = Ops::if_negative(swap, c, s);
  g = Ops::fma(g, r2, Ops::set(-0x1.5555555555592p+0));
  g = Ops::fma(g, r2, Ops::set(-4.0));
  const F minus_two_log =
      Ops::fma(r, g, Ops::mul(k, Ops::set(-0x1.62e42fefa39efp+0)));  // (0, 88.8]
  const F radius = Ops::sqrt(minus_two_log);                         // (0, 9.42]
  first = Ops::mul(radius, x);
  second = Ops::mul(radius, y);
}
