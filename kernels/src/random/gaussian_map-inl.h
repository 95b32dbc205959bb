// The map from 128 uniform bits to two independent standard normal draws, written once. This text
// is included for scalars on host and device (gaussian_body.h), for CUDA (gaussian_block.cuh) and
// once per SIMD target (gaussian_cpu.cpp), inside their namespaces: it has neither include guard
// nor includes.
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
// in float; log 2^-59.5, sine 2^-58.1, cosine 2^-64.5 in double (gaussian_coefficients.h).

/// Two operands at a time, instruction by instruction: a map is a few long chains of dependent
/// instructions, and those of another one fill their gaps.
template <typename Ops>
struct TwoOf {
  template <typename V>
  struct Two {
    V a, b;
  };
  using F = Two<typename Ops::F>;
  using U = Two<typename Ops::U>;
  using W = Two<typename Ops::W>;

  static VELUM_GAUSSIAN_MAP F set(auto x) { return {Ops::set(x), Ops::set(x)}; }
  static VELUM_GAUSSIAN_MAP W set_int(auto x) { return {Ops::set_int(x), Ops::set_int(x)}; }
  static VELUM_GAUSSIAN_MAP F add(F x, F y) { return {Ops::add(x.a, y.a), Ops::add(x.b, y.b)}; }
  static VELUM_GAUSSIAN_MAP F sub(F x, F y) { return {Ops::sub(x.a, y.a), Ops::sub(x.b, y.b)}; }
  static VELUM_GAUSSIAN_MAP F mul(F x, F y) { return {Ops::mul(x.a, y.a), Ops::mul(x.b, y.b)}; }
  static VELUM_GAUSSIAN_MAP F div(F x, F y) { return {Ops::div(x.a, y.a), Ops::div(x.b, y.b)}; }
  static VELUM_GAUSSIAN_MAP F neg(F x) { return {Ops::neg(x.a), Ops::neg(x.b)}; }
  static VELUM_GAUSSIAN_MAP F fma(F x, F y, F z) {
    return {Ops::fma(x.a, y.a, z.a), Ops::fma(x.b, y.b, z.b)};
  }
  static VELUM_GAUSSIAN_MAP F sqrt(F x) { return {Ops::sqrt(x.a), Ops::sqrt(x.b)}; }
  static VELUM_GAUSSIAN_MAP F to_float(U x) { return {Ops::to_float(x.a), Ops::to_float(x.b)}; }
  static VELUM_GAUSSIAN_MAP W bits(F x) { return {Ops::bits(x.a), Ops::bits(x.b)}; }
  static VELUM_GAUSSIAN_MAP F from_bits(W x) { return {Ops::from_bits(x.a), Ops::from_bits(x.b)}; }
  static VELUM_GAUSSIAN_MAP U bit_xor(U x, U y) {
    return {Ops::bit_xor(x.a, y.a), Ops::bit_xor(x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP U sub_int(U x, U y) {
    return {Ops::sub_int(x.a, y.a), Ops::sub_int(x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP W or_wide(W x, W y) {
    return {Ops::or_wide(x.a, y.a), Ops::or_wide(x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP W add_wide(W x, W y) {
    return {Ops::add_wide(x.a, y.a), Ops::add_wide(x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP W sub_wide(W x, W y) {
    return {Ops::sub_wide(x.a, y.a), Ops::sub_wide(x.b, y.b)};
  }
  template <int kBits>
  static VELUM_GAUSSIAN_MAP U shift_left(U x) {
    return {Ops::template shift_left<kBits>(x.a), Ops::template shift_left<kBits>(x.b)};
  }
  template <int kBits>
  static VELUM_GAUSSIAN_MAP U shift_right(U x) {
    return {Ops::template shift_right<kBits>(x.a), Ops::template shift_right<kBits>(x.b)};
  }
  template <int kBits>
  static VELUM_GAUSSIAN_MAP U shift_right_signed(U x) {
    return {Ops::template shift_right_signed<kBits>(x.a),
            Ops::template shift_right_signed<kBits>(x.b)};
  }
  template <int kBits>
  static VELUM_GAUSSIAN_MAP W shift_left_wide(W x) {
    return {Ops::template shift_left_wide<kBits>(x.a), Ops::template shift_left_wide<kBits>(x.b)};
  }
  template <int kBits>
  static VELUM_GAUSSIAN_MAP W shift_right_wide(W x) {
    return {Ops::template shift_right_wide<kBits>(x.a), Ops::template shift_right_wide<kBits>(x.b)};
  }
  static VELUM_GAUSSIAN_MAP U broadcast_sign(U x) {
    return {Ops::broadcast_sign(x.a), Ops::broadcast_sign(x.b)};
  }
  static VELUM_GAUSSIAN_MAP F distance(U x, U y) {
    return {Ops::distance(x.a, y.a), Ops::distance(x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP F angle(U x, U y) {
    return {Ops::angle(x.a, y.a), Ops::angle(x.b, y.b)};
  }
  template <typename Selector>
  static VELUM_GAUSSIAN_MAP F if_negative(Selector s, F x, F y) {
    return {Ops::if_negative(s.a, x.a, y.a), Ops::if_negative(s.b, x.b, y.b)};
  }
  template <int kBit>
  static VELUM_GAUSSIAN_MAP F if_bit(U w, F x, F y) {
    return {Ops::template if_bit<kBit>(w.a, x.a, y.a), Ops::template if_bit<kBit>(w.b, x.b, y.b)};
  }
  static VELUM_GAUSSIAN_MAP F negate_if_bit_0(U w, F x) {
    return {Ops::negate_if_bit_0(w.a, x.a), Ops::negate_if_bit_0(w.b, x.b)};
  }
  template <int kIndex>
  static VELUM_GAUSSIAN_MAP F coefficient() {
    return {Ops::template coefficient<kIndex>(), Ops::template coefficient<kIndex>()};
  }
};

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

  first = Ops::mul(radius, Ops::template if_bit<1>(v_lo, s, c));
  second = Ops::mul(radius, Ops::template if_bit<1>(v_lo, c, s));
}

/// The same map in double arithmetic. `Ops::U` holds 32-bit words, `Ops::W` the 64-bit patterns.
/// `Ops::distance` and `Ops::angle` are (M + 1/2) / 2^63 and V / 2^61, each rounded once.
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
  const F w = Ops::distance(Ops::bit_xor(u_hi, upper_half), Ops::bit_xor(u_lo, upper_half));
  const F t = Ops::angle(v_hi, v_lo);  // [-1, 1]
  const F u = Ops::template if_bit<31>(u_hi, Ops::sub(Ops::set(1.0), w), w);
  const F t2 = Ops::mul(t, t);

  // s t = sin(pi/4 t) and c = cos(pi/4 t), by polynomials in t2.
  F s = Ops::template coefficient<kSine>();
  F c = Ops::template coefficient<kCosine>();
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 1>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 1>());

  // u = 2^k m as above. k + 1024 stays positive, and becomes a double by the bits of 2^52 + k +
  // 1024.
  constexpr std::uint64_t kBias = std::uint64_t{1024} << 52;
  const W bits = Ops::bits(u);
  const W biased = Ops::add_wide(bits, Ops::set_int(kBias - 0x3fe6a09e667f3bcd));
  const W exponent = Ops::template shift_right_wide<52>(biased);
  const F k = Ops::sub(Ops::from_bits(Ops::or_wide(exponent, Ops::set_int(0x4330000000000000))),
                       Ops::set(0x1p52 + 1024));  // [-64, 0]
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 2>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 2>());
  const F m = Ops::from_bits(Ops::sub_wide(Ops::add_wide(bits, Ops::set_int(kBias)),
                                           Ops::template shift_left_wide<52>(exponent)));
  const F f = Ops::if_negative(k, Ops::sub(m, Ops::set(1.0)), Ops::neg(w));
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 3>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 3>());

  // -2 log1p(f) = -4 atanh(r) = r g(r^2) with r = f / (2 + f), |r| <= 0.1716
  const F r = Ops::div(f, Ops::add(f, Ops::set(2.0)));
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 4>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 4>());
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 5>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 5>());
  const F r2 = Ops::mul(r, r);
  F g = Ops::template coefficient<kLog>();
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 1>());
  s = Ops::fma(s, t2, Ops::template coefficient<kSine + 6>());
  c = Ops::fma(c, t2, Ops::template coefficient<kCosine + 6>());
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 2>());
  s = Ops::mul(s, t);                  // sin(pi/4 t)
  c = Ops::fma(c, t2, Ops::set(1.0));  // cos(pi/4 t)
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 3>());
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 4>());
  c = Ops::negate_if_bit_0(v_lo, c);
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 5>());
  const F x = Ops::template if_bit<1>(v_lo, s, c);
  const F y = Ops::template if_bit<1>(v_lo, c, s);
  g = Ops::fma(g, r2, Ops::template coefficient<kLog + 6>());
  g = Ops::fma(g, r2, Ops::set(-4.0));
  const F minus_two_log =
      Ops::fma(r, g, Ops::mul(k, Ops::template coefficient<kMinusTwoLn2>()));  // (0, 88.8]
  const F radius = Ops::sqrt(minus_two_log);                                   // (0, 9.42]
  first = Ops::mul(radius, x);
  second = Ops::mul(radius, y);
}
