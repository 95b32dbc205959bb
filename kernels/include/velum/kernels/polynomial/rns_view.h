#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// A view of polynomials in residues: `polys` polynomials of `limbs` limbs of `degree`
/// coefficients. The limbs of one polynomial follow each other; consecutive polynomials are
/// `poly_stride` words apart
/// (>= limbs * degree unless there is at most one).
template <typename Word>
struct RnsView {
  Word* data = nullptr;
  std::int64_t polys = 0;
  std::int64_t limbs = 0;
  std::int64_t degree = 0;
  std::int64_t poly_stride = 0;

  constexpr RnsView() = default;
  VELUM_HOST_DEVICE constexpr RnsView(Word* data_, std::int64_t polys_, std::int64_t limbs_,
                                      std::int64_t degree_)
      : RnsView(data_, polys_, limbs_, degree_, limbs_ * degree_) {}
  VELUM_HOST_DEVICE constexpr RnsView(Word* data_, std::int64_t polys_, std::int64_t limbs_,
                                      std::int64_t degree_, std::int64_t poly_stride_)
      : data(data_), polys(polys_), limbs(limbs_), degree(degree_), poly_stride(poly_stride_) {}
  /// A view of mutable words is a view of const ones.
  template <typename U, typename = std::enable_if_t<std::is_same_v<const U, Word>>>
  VELUM_HOST_DEVICE constexpr RnsView(const RnsView<U>& other)  // NOLINT: conversion is the point
      : RnsView(other.data, other.polys, other.limbs, other.degree, other.poly_stride) {}

  /// The coefficients of a limb.
  VELUM_HOST_DEVICE constexpr Word* limb(std::int64_t poly, std::int64_t limb) const {
    assert(poly >= 0 && poly < polys && limb >= 0 && limb < limbs);
    return data + poly * poly_stride + limb * degree;
  }
  /// Limbs [first, first + count) of every polynomial.
  VELUM_HOST_DEVICE constexpr RnsView limb_range(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= limbs);
    return {data + first * degree, polys, count, degree, poly_stride};
  }
  /// Polynomials [first, first + count).
  VELUM_HOST_DEVICE constexpr RnsView poly_range(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= polys);
    return {data + first * poly_stride, count, limbs, degree, poly_stride};
  }
};

/// Which modulus of a `ModulusChain` each limb of a view belongs to. A value that fits the
/// parameters of a kernel.
struct LimbIndices {
  /// The longest chain in sight: log(QP) = 3523 bits (N = 2^17) in primes of 25 bits, and some to
  /// spare.
  static constexpr int kMaxLimbs = 192;

  std::int32_t count = 0;
  std::uint8_t indices[kMaxLimbs] = {};

  /// Moduli first, first + 1, ..., first + count - 1. The caller keeps 0 <= first and first + count
  /// <= kMaxLimbs.
  static constexpr LimbIndices range(int first, int count) {
    assert(first >= 0 && count >= 0 && first + count <= kMaxLimbs);
    LimbIndices limbs;
    for (int i = 0; i < count; ++i) limbs.append(first + i);
    return limbs;
  }
  constexpr void append(int index) {
    assert(count < kMaxLimbs && index >= 0 && index < kMaxLimbs);
    indices[count++] = static_cast<std::uint8_t>(index);
  }
  VELUM_HOST_DEVICE constexpr int operator[](std::int64_t limb) const {
    assert(limb >= 0 && limb < count);
    return indices[limb];
  }
  friend constexpr bool operator==(const LimbIndices& a, const LimbIndices& b) {
    if (a.count != b.count) return false;
    for (int i = 0; i < a.count; ++i) {
      if (a.indices[i] != b.indices[i]) return false;
    }
    return true;
  }
};

/// The limbs of `a`, then those of `b`; together at most kMaxLimbs.
constexpr LimbIndices concatenated(LimbIndices a, const LimbIndices& b) {
  for (int i = 0; i < b.count; ++i) a.append(b[i]);
  return a;
}

}  // namespace velum::kernels
