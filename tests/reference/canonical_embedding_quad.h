#pragma once

#include <quadmath.h>

#include <cstdint>
#include <vector>

namespace velum::testing {

__extension__ typedef __float128 Quad;  // 113 bits

inline Quad pi() { return 4 * atanq(1); }

struct QuadComplex {
  Quad real = 0;
  Quad imag = 0;
};

/// CKKS's embedding from its definition, in quadruple precision: every value is a sum over all
/// terms, with roots of unity from libquadmath.
class QuadEmbedding {
 public:
  /// Polynomials with `degree` real coefficients, a power of two >= 2; degree / 2 slots.
  explicit QuadEmbedding(std::int64_t degree) : degree_(degree) {
    roots_.reserve(static_cast<std::size_t>(2 * degree));
    for (std::int64_t k = 0; k < 2 * degree; ++k) {
      const Quad angle = pi() * static_cast<Quad>(k) / static_cast<Quad>(degree);
      roots_.push_back({cosq(angle), sinq(angle)});
    }
  }

  /// m(zeta^(5^j)), zeta = e^(i pi / degree).
  QuadComplex slot(const std::vector<Quad>& coefficients, std::int64_t j) const {
    const std::int64_t exponent = power_of_5(j);
    QuadComplex sum;
    for (std::int64_t k = 0; k < degree_; ++k) {
      const QuadComplex& w = root(exponent * k);
      const Quad c = coefficients[static_cast<std::size_t>(k)];
      sum.real += c * w.real;
      sum.imag += c * w.imag;
    }
    return sum;
  }

  /// The coefficient k of the real polynomial with these slots: the mean, over all primitive roots
  /// r, of m(r) r^-k; the conjugate half of them doubles the real part.
  Quad coefficient(const std::vector<QuadComplex>& slots, std::int64_t k) const {
    Quad sum = 0;
    std::int64_t exponent = 1;
    for (const QuadComplex& z : slots) {
      const QuadComplex& w = root(exponent * k);
      sum += z.real * w.real + z.imag * w.imag;
      exponent = exponent * 5 % (2 * degree_);
    }
    return 2 * sum / static_cast<Quad>(degree_);
  }

 private:
  const QuadComplex& root(std::int64_t exponent) const {
    return roots_[static_cast<std::size_t>(exponent % (2 * degree_))];
  }
  std::int64_t power_of_5(std::int64_t j) const {
    std::int64_t power = 1;
    for (std::int64_t i = 0; i < j; ++i) power = power * 5 % (2 * degree_);
    return power;
  }

  std::int64_t degree_;
  std::vector<QuadComplex> roots_;
};

}  // namespace velum::testing
