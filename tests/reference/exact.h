#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace velum::testing {

/// A number m * 2^e with integers m, e of any size: what doubles are, closed under +, - and *.
/// Every operation is exact, so an inequality between two of them is a proof.
class Exact {
 public:
  Exact() = default;
  /// Exactly `value`, which must be finite.
  Exact(double value) {  // NOLINT: conversion is the point
    int exponent = 0;
    const double mantissa = std::frexp(std::abs(value), &exponent);
    const auto digits = static_cast<std::uint64_t>(std::ldexp(mantissa, 53));
    negative_ = value < 0;
    exponent_ = exponent - 53;
    limbs_ = {static_cast<std::uint32_t>(digits), static_cast<std::uint32_t>(digits >> 32)};
    trim();
  }

  friend Exact operator-(Exact a) {
    a.negative_ = !a.negative_ && !a.limbs_.empty();
    return a;
  }
  friend Exact operator*(const Exact& a, const Exact& b) {
    Exact product;
    product.negative_ = a.negative_ != b.negative_;
    product.exponent_ = a.exponent_ + b.exponent_;
    product.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
    for (std::size_t i = 0; i < a.limbs_.size(); ++i) {
      std::uint64_t carry = 0;
      for (std::size_t j = 0; j < b.limbs_.size(); ++j) {
        carry += product.limbs_[i + j] + static_cast<std::uint64_t>(a.limbs_[i]) * b.limbs_[j];
        product.limbs_[i + j] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
      product.limbs_[i + b.limbs_.size()] = static_cast<std::uint32_t>(carry);
    }
    product.trim();
    return product;
  }
  friend Exact operator+(const Exact& a, const Exact& b) {
    if (a.limbs_.empty()) return b;
    if (b.limbs_.empty()) return a;
    const std::int64_t exponent = std::min(a.exponent_, b.exponent_);
    Limbs x = shifted(a.limbs_, a.exponent_ - exponent);
    Limbs y = shifted(b.limbs_, b.exponent_ - exponent);
    const std::size_t size = std::max(x.size(), y.size()) + 1;
    x.resize(size);
    y.resize(size);
    Exact sum;
    sum.exponent_ = exponent;
    sum.negative_ = a.negative_;
    if (a.negative_ != b.negative_) {
      if (std::lexicographical_compare(x.rbegin(), x.rend(), y.rbegin(), y.rend())) {
        std::swap(x, y);
        sum.negative_ = b.negative_;
      }
      std::int64_t borrow = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const std::int64_t difference = static_cast<std::int64_t>(x[i]) - y[i] + borrow;
        x[i] = static_cast<std::uint32_t>(difference);
        borrow = difference < 0 ? -1 : 0;
      }
    } else {
      std::uint64_t carry = 0;
      for (std::size_t i = 0; i < size; ++i) {
        carry += static_cast<std::uint64_t>(x[i]) + y[i];
        x[i] = static_cast<std::uint32_t>(carry);
        carry >>= 32;
      }
    }
    sum.limbs_ = std::move(x);
    sum.trim();
    return sum;
  }
  friend Exact operator-(const Exact& a, const Exact& b) { return a + -b; }
  Exact& operator+=(const Exact& b) { return *this = *this + b; }

  friend bool operator==(const Exact& a, const Exact& b) { return (a - b).limbs_.empty(); }
  friend bool operator<(const Exact& a, const Exact& b) { return (a - b).negative_; }
  friend bool operator>(const Exact& a, const Exact& b) { return b < a; }
  friend bool operator<=(const Exact& a, const Exact& b) { return !(b < a); }
  friend bool operator>=(const Exact& a, const Exact& b) { return !(a < b); }

  friend Exact abs(Exact a) {
    a.negative_ = false;
    return a;
  }
  /// About this: relative error 2^-50 at most, for messages and bounds.
  double approximate() const {
    double value = 0;
    const std::size_t first = limbs_.size() > 3 ? limbs_.size() - 3 : 0;
    for (std::size_t i = first; i < limbs_.size(); ++i) {
      value += std::ldexp(static_cast<double>(limbs_[i]),
                          static_cast<int>(exponent_ + 32 * static_cast<std::int64_t>(i)));
    }
    return negative_ ? -value : value;
  }

 private:
  using Limbs = std::vector<std::uint32_t>;

  static Limbs shifted(const Limbs& limbs, std::int64_t bits) {
    const auto whole = static_cast<std::size_t>(bits / 32);
    const int rest = static_cast<int>(bits % 32);
    Limbs out(limbs.size() + whole + 1, 0);
    for (std::size_t i = 0; i < limbs.size(); ++i) {
      const std::uint64_t wide = static_cast<std::uint64_t>(limbs[i]) << rest;
      out[i + whole] |= static_cast<std::uint32_t>(wide);
      out[i + whole + 1] |= static_cast<std::uint32_t>(wide >> 32);
    }
    return out;
  }
  void trim() {
    while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
    std::size_t zeros = 0;
    while (zeros < limbs_.size() && limbs_[zeros] == 0) ++zeros;
    limbs_.erase(limbs_.begin(), limbs_.begin() + static_cast<std::ptrdiff_t>(zeros));
    exponent_ += 32 * static_cast<std::int64_t>(zeros);
    if (limbs_.empty()) {
      negative_ = false;
      exponent_ = 0;
    }
  }

  bool negative_ = false;
  std::int64_t exponent_ = 0;
  Limbs limbs_;  // least significant first, no zero at either end
};

}  // namespace velum::testing
