#pragma once

#include <cstdint>

#include "random/wide_integer.h"
#include "velum/kernels/host_device.h"

namespace velum::kernels {

// Exact coins, from a `Source`:
//
//   std::uint32_t bits(int count)         uniform bits, count <= 32
//   std::uint64_t below(bound)            uniform of [0, bound), 1 <= bound <= 2^62
//   bool bernoulli(n, d)                  true with probability n / d; certainly where n >= d
//   bool exp_minus_unit(n, d, coin)       true with probability exp(-x), x = n / d times the
//                                         probability of `coin`, n <= d
//
// CoinSource makes all of uniform bits. Tests put in a source that walks every outcome.

/// The coin that always falls on true.
struct CertainCoin {
  VELUM_HOST_DEVICE constexpr bool operator()() const { return true; }
};

/// `exp_minus_unit` of coins: the number of successes in a row, the k-th of probability x / k, is
/// even with probability 1 - x + x^2/2! - ... = exp(-x).
/// Paper: Canonne, Kamath and Steinke (arXiv 2004.00010), Algorithm 1; von Neumann 1951.
template <typename Source, typename T, typename Coin>
VELUM_HOST_DEVICE bool exp_minus_by_coins(Source& source, const T& n, const T& d,
                                          const Coin& coin) {
  T divisor = d;
  bool even = true;
  while (source.bernoulli(n, divisor) && coin()) {
    divisor = divisor + d;
    even = !even;
  }
  return even;
}

/// A source that makes its coins of uniform bits.
template <typename Bits>
class CoinSource {
 public:
  VELUM_HOST_DEVICE explicit CoinSource(const Bits& bits) : bits_(bits) {}

  VELUM_HOST_DEVICE std::uint32_t bits(int count) { return bits_.bits(count); }

  /// Bits until they are below the bound.
  VELUM_HOST_DEVICE std::uint64_t below(std::uint64_t bound) {
    int width = 0;
    while ((bound - 1) >> width != 0) ++width;
    for (;;) {
      std::uint64_t x = bits(width < 32 ? width : 32);
      if (width > 32) x |= std::uint64_t{bits(width - 32)} << 32;
      if (x < bound) return x;
    }
  }

  /// d > 0; 256 d must fit T.
  ///
  /// U = 0.u1 u2 ... in base 256 is compared with n / d digit by digit, by long division without a
  /// quotient: with 256 n = u1 d + r, U < n / d if r >= d, not if r < 0, and else iff the rest of
  /// U is below r / d. One digit is nearly always enough. Certain outcomes read no digit.
  template <typename T>
  VELUM_HOST_DEVICE bool bernoulli(T n, const T& d) {
    if (n == T{}) return false;
    while (n < d) {
      n = n << 8;
      const T below = d * std::uint64_t{bits_.bits(8)};
      if (n < below) return false;
      n = n - below;  // < 256 d
      if (n == T{}) return false;
    }
    return true;
  }

  template <typename T, typename Coin>
  VELUM_HOST_DEVICE bool exp_minus_unit(const T& n, const T& d, const Coin& coin) {
    return exp_minus_by_coins(*this, n, d, coin);
  }

 private:
  Bits bits_;
};

/// True with probability exp(-1).
template <typename Source>
VELUM_HOST_DEVICE bool exp_minus_one(Source& source) {
  return source.exp_minus_unit(std::uint64_t{1}, std::uint64_t{1}, CertainCoin{});
}

/// True with probability exp(-n / d), for any n >= 0.
template <typename Source, typename T>
VELUM_HOST_DEVICE bool exp_minus(Source& source, T n, const T& d) {
  while (!(n < d)) {
    if (!exp_minus_one(source)) return false;
    n = n - d;
  }
  return source.exp_minus_unit(n, d, CertainCoin{});
}

/// True with probability exp(-x), x = n / d times the probability of `coin`, for any n >= 0.
template <typename Source, typename T, typename Coin>
VELUM_HOST_DEVICE bool exp_minus_coin(Source& source, const T& n, const T& d, const Coin& coin) {
  std::int64_t pieces = 1;
  T divisor = d;  // pieces d
  for (; divisor < n; divisor = divisor + d) ++pieces;
  for (; pieces > 0; --pieces) {
    if (!source.exp_minus_unit(n, divisor, coin)) return false;
  }
  return true;
}

/// What one attempt of a rejection sampler gave.
struct Attempt {
  bool accepted;
  std::int64_t value;
};

/// A proposal with P(y) proportional to exp(-|y| / 2^k), unless refused.
struct LaplaceProposal {
  static constexpr int kMaxLogScale = 32;
  /// Multiples of the scale that are not proposed: they have less than exp(-kMaxMultiple) of the
  /// probability. So |y| < 2^(16 + k).
  static constexpr std::uint64_t kMaxMultiple = std::uint64_t{1} << 16;

  bool accepted;
  bool negative;
  std::uint64_t magnitude;
};

/// Paper: Canonne, Kamath and Steinke, Algorithm 2, for scale t = 2^k <= 2^32: U + t V with U
/// uniform of [0, t), kept with probability exp(-U / t), and V geometric.
template <typename Source>
VELUM_HOST_DEVICE LaplaceProposal laplace_proposal(Source& source, int k) {
  const std::uint64_t u = source.bits(k);
  if (!source.exp_minus_unit(u, std::uint64_t{1} << k, CertainCoin{})) return {false, false, 0};
  std::uint64_t v = 0;
  while (v < LaplaceProposal::kMaxMultiple && exp_minus_one(source)) ++v;
  const bool negative = source.bits(1) != 0;
  const std::uint64_t magnitude = u + (v << k);
  return {v < LaplaceProposal::kMaxMultiple && !(negative && magnitude == 0), negative, magnitude};
}

}  // namespace velum::kernels
