#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace velum::testing {

/// A number of [0, 2^32) in steps of 2^-224. Sums and differences are exact; products and quotients
/// are rounded down, so off by less than one step. The caller keeps results in range.
class FixedPoint {
 public:
  static constexpr int kFractionBits = 224;

  constexpr FixedPoint() = default;
  explicit constexpr FixedPoint(std::uint32_t integer) { limbs_[kLimbs - 1] = integer; }
  /// 2^-bits, 0 < bits <= 224.
  static constexpr FixedPoint power_of_two(int bits) {
    FixedPoint x;
    const int at = kFractionBits - bits;
    x.limbs_[static_cast<std::size_t>(at / 32)] = std::uint32_t{1} << (at % 32);
    return x;
  }

  friend constexpr FixedPoint operator+(FixedPoint a, const FixedPoint& b) {
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < kLimbs; ++i) {
      carry += std::uint64_t{a.limbs_[i]} + b.limbs_[i];
      a.limbs_[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    return a;
  }
  /// a >= b.
  friend constexpr FixedPoint operator-(FixedPoint a, const FixedPoint& b) {
    std::int64_t borrow = 0;
    for (std::size_t i = 0; i < kLimbs; ++i) {
      borrow += static_cast<std::int64_t>(a.limbs_[i]) - b.limbs_[i];
      a.limbs_[i] = static_cast<std::uint32_t>(borrow);
      borrow >>= 32;
    }
    return a;
  }
  friend constexpr FixedPoint operator*(const FixedPoint& a, const FixedPoint& b) {
    std::array<std::uint32_t, 2 * kLimbs> product{};
    for (std::size_t i = 0; i < kLimbs; ++i) {
      std::uint64_t carry = 0;
      for (std::size_t j = 0; j < kLimbs; ++j) {
        carry += product[i + j] + std::uint64_t{a.limbs_[i]} * b.limbs_[j];
        product[i + j] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
      product[i + kLimbs] = static_cast<std::uint32_t>(carry);
    }
    FixedPoint out;
    for (std::size_t i = 0; i < kLimbs; ++i) out.limbs_[i] = product[i + kFractionBits / 32];
    return out;
  }
  friend constexpr FixedPoint operator/(const FixedPoint& a, std::uint32_t b) {
    FixedPoint out;
    std::uint64_t rest = 0;
    for (std::size_t i = kLimbs; i-- > 0;) {
      rest = rest << 32 | a.limbs_[i];
      out.limbs_[i] = static_cast<std::uint32_t>(rest / b);
      rest %= b;
    }
    return out;
  }
  friend constexpr bool operator<(const FixedPoint& a, const FixedPoint& b) {
    for (std::size_t i = kLimbs; i-- > 0;) {
      if (a.limbs_[i] != b.limbs_[i]) return a.limbs_[i] < b.limbs_[i];
    }
    return false;
  }
  friend constexpr FixedPoint distance(const FixedPoint& a, const FixedPoint& b) {
    return a < b ? b - a : a - b;
  }

 private:
  static constexpr std::size_t kLimbs = kFractionBits / 32 + 1;
  std::array<std::uint32_t, kLimbs> limbs_{};  // least significant first
};

/// exp(-numerator / denominator), off by less than 2^-209, for numerator / denominator < 128: the
/// series at a 128th of it, with terms of both signs summed apart, squared seven times.
inline FixedPoint exp_of_minus(std::uint32_t numerator, std::uint32_t denominator) {
  const FixedPoint x = FixedPoint(numerator) / denominator / 128;  // < 1
  FixedPoint sums[2] = {FixedPoint(1), FixedPoint()};
  FixedPoint term(1);
  for (std::uint32_t n = 1; n <= 60; ++n) {  // 1 / 60! < 2^-272
    term = term * x / n;
    sums[n % 2] = sums[n % 2] + term;
  }
  FixedPoint y = sums[0] - sums[1];       // off by less than 120 steps
  for (int i = 0; i < 7; ++i) y = y * y;  // each doubles that at most, as y <= 1, and adds a step
  return y;
}

}  // namespace velum::testing
