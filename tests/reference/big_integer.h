#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstddef>
#include <utility>
#include <vector>

namespace velum::testing {

/// Integers of any size (Boost.Multiprecision).
using BigInteger = boost::multiprecision::cpp_int;

/// x modulo m in [0, m), of negative x, too.
inline BigInteger modulo(const BigInteger& x, const BigInteger& m) {
  const BigInteger r = x % m;
  return r < 0 ? BigInteger(r + m) : r;
}

/// a^-1 modulo m by the extended Euclidean algorithm; 0 if there is none.
inline BigInteger inverse_modulo(const BigInteger& a, const BigInteger& m) {
  BigInteger r0 = m, r1 = modulo(a, m), t0 = 0, t1 = 1;
  while (r1 != 0) {
    const BigInteger quotient = r0 / r1;
    r0 = std::exchange(r1, BigInteger(r0 - quotient * r1));
    t0 = std::exchange(t1, BigInteger(t0 - quotient * t1));
  }
  return r0 == 1 ? modulo(t0, m) : BigInteger(0);
}

/// floor(a / b) for b > 0.
inline BigInteger floor_divide(const BigInteger& a, const BigInteger& b) {
  return (a - modulo(a, b)) / b;
}

/// The Chinese remainder theorem for pairwise coprime moduli.
class ChineseRemainders {
 public:
  template <typename Word>
  explicit ChineseRemainders(const std::vector<Word>& moduli) {
    for (const Word q : moduli) product_ *= q;
    for (const Word q : moduli) {
      const BigInteger others = product_ / q;
      moduli_.push_back(q);
      others_.push_back(others);
      inverses_.push_back(inverse_modulo(others, q));
    }
  }

  const BigInteger& product() const { return product_; }
  /// The number in [0, product) with these residues.
  BigInteger number(const std::vector<BigInteger>& residues) const {
    return uncorrected(residues) % product_;
  }
  /// The sum over the basis before its reduction: that number plus e times the product.
  BigInteger uncorrected(const std::vector<BigInteger>& residues) const {
    BigInteger sum = 0;
    for (std::size_t i = 0; i < moduli_.size(); ++i) {
      sum += residues[i] * inverses_[i] % moduli_[i] * others_[i];
    }
    return sum;
  }

 private:
  BigInteger product_ = 1;
  std::vector<BigInteger> moduli_;
  std::vector<BigInteger> others_;
  std::vector<BigInteger> inverses_;
};

}  // namespace velum::testing
