#pragma once

#include <cstdint>
#include <vector>

namespace velum::kernels {

/// A whole number of any size, for the constants of tables; on the host.
class WideInteger {
 public:
  explicit WideInteger(std::uint64_t value)
      : words_{static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)} {}
  /// 2^bits.
  static WideInteger power_of_two(int bits) {
    WideInteger one(0);
    one.words_.assign(static_cast<std::size_t>(bits / 32) + 1, 0);
    one.words_.back() = std::uint32_t{1} << (bits % 32);
    return one;
  }

  void multiply(std::uint32_t factor) {
    std::uint64_t carry = 0;
    for (std::uint32_t& word : words_) {
      carry += static_cast<std::uint64_t>(word) * factor;
      word = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    words_.push_back(static_cast<std::uint32_t>(carry));
  }
  /// Becomes the quotient, rounded down; returns the remainder. divisor > 0.
  std::uint32_t divide(std::uint32_t divisor) {
    std::uint64_t rest = 0;
    for (std::size_t i = words_.size(); i-- > 0;) {
      rest = (rest << 32) | words_[i];
      words_[i] = static_cast<std::uint32_t>(rest / divisor);
      rest %= divisor;
    }
    return static_cast<std::uint32_t>(rest);
  }
  std::uint32_t modulo(std::uint32_t divisor) const { return WideInteger(*this).divide(divisor); }
  /// Becomes the difference; `other` must not be larger.
  void subtract(const WideInteger& other) {
    std::uint64_t borrow = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const std::uint64_t difference = std::uint64_t{words_[i]} - other.word(i) - borrow;
      words_[i] = static_cast<std::uint32_t>(difference);
      borrow = difference >> 63;
    }
  }
  friend bool operator<(const WideInteger& a, const WideInteger& b) {
    for (std::size_t i = a.words_.size() > b.words_.size() ? a.words_.size() : b.words_.size();
         i-- > 0;) {
      if (a.word(i) != b.word(i)) return a.word(i) < b.word(i);
    }
    return false;
  }

  /// Bits 32 i to 32 i + 31.
  std::uint32_t word(std::size_t i) const { return i < words_.size() ? words_[i] : 0; }
  /// How many bits it takes; 0 of zero.
  int bits() const {
    for (std::size_t i = words_.size(); i-- > 0;) {
      int bits = static_cast<int>(32 * i);
      for (std::uint32_t word = words_[i]; word != 0; word >>= 1) ++bits;
      if (words_[i] != 0) return bits;
    }
    return 0;
  }

 private:
  std::vector<std::uint32_t> words_;  // the lowest first
};

}  // namespace velum::kernels
