#pragma once

#include <cstdint>

#include "random/uniform_body.h"
#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// An unsigned integer below 2^256. Operations wrap; where they are used nothing does.
struct UInt256 {
  std::uint64_t limbs[4] = {0, 0, 0, 0};

  constexpr UInt256() = default;
  VELUM_HOST_DEVICE constexpr UInt256(UInt128 x)  // NOLINT: conversion is the point
      : limbs{static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(x >> 64), 0, 0} {}

  friend constexpr bool operator==(const UInt256&, const UInt256&) = default;
  VELUM_HOST_DEVICE friend constexpr bool operator<(const UInt256& a, const UInt256& b) {
    for (int i = 3; i > 0; --i) {
      if (a.limbs[i] != b.limbs[i]) return a.limbs[i] < b.limbs[i];
    }
    return a.limbs[0] < b.limbs[0];
  }
  VELUM_HOST_DEVICE friend constexpr UInt256 operator+(UInt256 a, const UInt256& b) {
    std::uint64_t carry = 0;
    for (int i = 0; i < 4; ++i) {
      const UInt128 sum = UInt128{a.limbs[i]} + b.limbs[i] + carry;
      a.limbs[i] = static_cast<std::uint64_t>(sum);
      carry = static_cast<std::uint64_t>(sum >> 64);
    }
    return a;
  }
  VELUM_HOST_DEVICE friend constexpr UInt256 operator-(UInt256 a, const UInt256& b) {
    std::uint64_t borrow = 0;
    for (int i = 0; i < 4; ++i) {
      const UInt128 difference = UInt128{a.limbs[i]} - b.limbs[i] - borrow;
      a.limbs[i] = static_cast<std::uint64_t>(difference);
      borrow = static_cast<std::uint64_t>(difference >> 64) & 1;
    }
    return a;
  }
  VELUM_HOST_DEVICE friend constexpr UInt256 operator*(UInt256 a, std::uint64_t b) {
    std::uint64_t carry = 0;
    for (int i = 0; i < 4; ++i) {
      const UInt128 product = UInt128{a.limbs[i]} * b + carry;
      a.limbs[i] = static_cast<std::uint64_t>(product);
      carry = static_cast<std::uint64_t>(product >> 64);
    }
    return a;
  }
  /// 0 <= bits < 64.
  VELUM_HOST_DEVICE friend constexpr UInt256 operator<<(UInt256 a, int bits) {
    return a * (std::uint64_t{1} << bits);
  }
};

/// a b for a and b of 128 bits.
VELUM_HOST_DEVICE constexpr UInt256 wide_product(UInt128 a, UInt128 b) {
  const auto low = static_cast<std::uint64_t>(b);
  const auto high = static_cast<std::uint64_t>(b >> 64);
  const UInt256 upper = UInt256(a) * high;  // < 2^192
  UInt256 shifted;
  for (int i = 0; i < 3; ++i) shifted.limbs[i + 1] = upper.limbs[i];
  return UInt256(a) * low + shifted;
}

}  // namespace velum::kernels
