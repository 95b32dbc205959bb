// The map from 125 random bits to the discrete Gaussian, written once. Included into a namespace of
// each kind of lane (scalars for both compilers, vectors per SIMD target), with
// VELUM_DISCRETE_GAUSSIAN_MAP the specifiers of a function. A `Lane` gives signed 32-bit arithmetic
// on a value or vector I; sign(a) is -1 where a < 0, else 0. Nothing here overflows.

/// -1 if U < threshold number k, else 0, for U = u0 + 2^31 u1 + 2^62 u2 + 2^93 u3: the borrow of
/// the subtraction, word by word. Where the threshold's upper words are 0, U's must be, too: zero_w
/// is -1 if words w .. 3 are 0.
template <typename Lane, int k>
VELUM_DISCRETE_GAUSSIAN_MAP typename Lane::I below_threshold(
    typename Lane::I u0, typename Lane::I u1, typename Lane::I u2, typename Lane::I u3,
    typename Lane::I zero_1, typename Lane::I zero_2, typename Lane::I zero_3) {
  constexpr std::int32_t t0 = kDiscreteGaussianThresholds[k][0];
  constexpr std::int32_t t1 = kDiscreteGaussianThresholds[k][1];
  constexpr std::int32_t t2 = kDiscreteGaussianThresholds[k][2];
  constexpr std::int32_t t3 = kDiscreteGaussianThresholds[k][3];
  constexpr int words = t3 != 0 ? 4 : t2 != 0 ? 3 : t1 != 0 ? 2 : 1;
  typename Lane::I borrow = Lane::sign(Lane::sub(u0, Lane::set(t0)));
  if constexpr (words > 1) borrow = Lane::sign(Lane::add(Lane::sub(u1, Lane::set(t1)), borrow));
  if constexpr (words > 2) borrow = Lane::sign(Lane::add(Lane::sub(u2, Lane::set(t2)), borrow));
  if constexpr (words > 3) borrow = Lane::sign(Lane::add(Lane::sub(u3, Lane::set(t3)), borrow));
  if constexpr (words == 3) borrow = Lane::bit_and(borrow, zero_3);
  if constexpr (words == 2) borrow = Lane::bit_and(borrow, zero_2);
  if constexpr (words == 1) borrow = Lane::bit_and(borrow, zero_1);
  return borrow;
}

/// Minus the number of thresholds above U.
template <typename Lane, int... k>
VELUM_DISCRETE_GAUSSIAN_MAP typename Lane::I minus_thresholds_above(
    typename Lane::I u0, typename Lane::I u1, typename Lane::I u2, typename Lane::I u3,
    std::integer_sequence<int, k...>) {
  const typename Lane::I one = Lane::set(1);
  const typename Lane::I zero_3 = Lane::sign(Lane::sub(u3, one));
  const typename Lane::I zero_2 = Lane::bit_and(zero_3, Lane::sign(Lane::sub(u2, one)));
  const typename Lane::I zero_1 = Lane::bit_and(zero_2, Lane::sign(Lane::sub(u1, one)));
  typename Lane::I count = Lane::set(0);
  ((count = Lane::add(count, below_threshold<Lane, k>(u0, u1, u2, u3, zero_1, zero_2, zero_3))),
   ...);
  return count;
}

/// A draw from words of 31 bits; `positive` is -1 or 0.
template <typename Lane>
VELUM_DISCRETE_GAUSSIAN_MAP typename Lane::I discrete_gaussian(typename Lane::I u0,
                                                               typename Lane::I u1,
                                                               typename Lane::I u2,
                                                               typename Lane::I u3,
                                                               typename Lane::I positive) {
  const typename Lane::I negative = minus_thresholds_above<Lane>(
      u0, u1, u2, u3, std::make_integer_sequence<int, kDiscreteGaussianCut>());
  return Lane::sub(Lane::bit_xor(negative, positive), positive);
}
