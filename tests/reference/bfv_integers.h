#pragma once

#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "reference/big_integer.h"

/// BFV by its definition, with integers of any size and schoolbook products: nothing of velum's
/// arithmetic. Polynomials are vectors of N coefficients modulo X^N + 1.
namespace velum::testing::bfv {

using Polynomial = std::vector<BigInteger>;

/// The representative of least magnitude.
inline BigInteger centred(const BigInteger& x, const BigInteger& modulus) {
  const BigInteger r = modulo(x, modulus);
  return 2 * r > modulus ? BigInteger(r - modulus) : r;
}
/// round(a / b) for b > 0, halves upwards.
inline BigInteger rounded(const BigInteger& a, const BigInteger& b) {
  return floor_divide(2 * a + b, 2 * b);
}

inline Polynomial multiply(const Polynomial& a, const Polynomial& b) {
  const std::size_t n = a.size();
  Polynomial product(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const BigInteger term = a[i] * b[j];
      if (i + j < n) {
        product[i + j] += term;
      } else {
        product[i + j - n] -= term;  // X^N = -1
      }
    }
  }
  return product;
}

inline Polynomial add(const Polynomial& a, const Polynomial& b) {
  Polynomial sum = a;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

/// a(X^element).
inline Polynomial automorphism(const Polynomial& a, std::uint64_t element) {
  const std::size_t n = a.size();
  Polynomial image(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = i * element % (2 * n);
    if (at < n) {
      image[at] += a[i];
    } else {
      image[at - n] -= a[i];
    }
  }
  return image;
}

inline Polynomial reduced(const Polynomial& a, const BigInteger& modulus) {
  Polynomial out;
  for (const BigInteger& x : a) out.push_back(centred(x, modulus));
  return out;
}

/// c_0 + c_1 s + c_2 s^2 + .., modulo q.
inline Polynomial phase(const std::vector<Polynomial>& ciphertext, const Polynomial& s,
                        const BigInteger& q) {
  Polynomial sum = ciphertext.back();
  for (std::size_t i = ciphertext.size() - 1; i-- > 0;) sum = add(multiply(sum, s), ciphertext[i]);
  return reduced(sum, q);
}

/// round(t phase / q) modulo t.
inline Polynomial decrypt(const Polynomial& phase, const BigInteger& q, const BigInteger& t) {
  Polynomial message;
  for (const BigInteger& x : phase) message.push_back(centred(rounded(t * x, q), t));
  return message;
}

/// t v modulo q, centred: v the noise.
inline Polynomial scaled_noise(const Polynomial& phase, const BigInteger& q, const BigInteger& t) {
  Polynomial noise;
  for (const BigInteger& x : phase) noise.push_back(centred(t * x, q));
  return noise;
}

/// round(t a b / q) modulo q, of ciphertexts with two polynomials.
inline std::vector<Polynomial> multiply_ciphertexts(const std::vector<Polynomial>& a,
                                                    const std::vector<Polynomial>& b,
                                                    const BigInteger& q, const BigInteger& t) {
  const Polynomial a0 = reduced(a[0], q), a1 = reduced(a[1], q);
  const Polynomial b0 = reduced(b[0], q), b1 = reduced(b[1], q);
  std::vector<Polynomial> products{multiply(a0, b0), add(multiply(a0, b1), multiply(a1, b0)),
                                   multiply(a1, b1)};
  for (Polynomial& product : products) {
    for (BigInteger& x : product) x = modulo(rounded(t * x, q), q);
  }
  return products;
}

/// The largest magnitude of a coefficient.
inline BigInteger largest(const Polynomial& a) {
  BigInteger most = 0;
  for (const BigInteger& x : a) most = std::max(most, BigInteger(abs(x)));
  return most;
}

/// The largest magnitude of a value at the primitive 2N-th roots of unity, in long double.
inline long double largest_slot(const Polynomial& a) {
  const std::size_t n = a.size();
  const long double pi = std::acos(-1.0L);
  long double most = 0.0L;
  for (std::size_t j = 0; j < n; ++j) {
    std::complex<long double> value = 0.0L;
    for (std::size_t k = 0; k < n; ++k) {
      const auto exponent = static_cast<long double>((2 * j + 1) * k % (2 * n));
      value += std::polar(1.0L, pi * exponent / static_cast<long double>(n)) *
               a[k].convert_to<long double>();
    }
    most = std::max(most, std::abs(value));
  }
  return most;
}

/// The coefficients of a limb from its values, value j at psi^(2 r(j) + 1), r the reversal of bits
/// (velum/kernels/polynomial/ntt.h): a_i = N^-1 sum_j value_j psi^(-(2 r(j) + 1) i). And back.
class Interpolation {
 public:
  Interpolation(std::size_t n, std::uint64_t q, std::uint64_t psi) : n_(n), q_(q) {
    std::uint64_t power = 1;
    for (std::size_t i = 0; i < 2 * n; ++i, power = power * psi % q) powers_.push_back(power);
    inverse_n_ = inverse_modulo(BigInteger(n), BigInteger(q)).convert_to<std::uint64_t>();
    for (std::size_t j = 0; j < n; ++j) {
      std::size_t reversed = 0;
      for (std::size_t bit = 1, mirror = n / 2; bit < n; bit *= 2, mirror /= 2) {
        if ((j & bit) != 0) reversed |= mirror;
      }
      exponents_.push_back(2 * reversed + 1);
    }
  }

  std::vector<std::uint64_t> coefficients(const std::uint32_t* values) const {
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < n_; ++i) {
      std::uint64_t sum = 0;
      for (std::size_t j = 0; j < n_; ++j) {
        const std::size_t exponent = (2 * n_ - exponents_[j] * i % (2 * n_)) % (2 * n_);
        sum = (sum + values[j] * powers_[exponent]) % q_;
      }
      out.push_back(sum * inverse_n_ % q_);
    }
    return out;
  }
  std::vector<std::uint32_t> values(const std::vector<std::uint64_t>& coefficients) const {
    std::vector<std::uint32_t> out;
    for (std::size_t j = 0; j < n_; ++j) {
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < n_; ++i)
        sum = (sum + coefficients[i] * powers_[exponents_[j] * i % (2 * n_)]) % q_;
      out.push_back(static_cast<std::uint32_t>(sum));
    }
    return out;
  }

 private:
  std::size_t n_;
  std::uint64_t q_, inverse_n_;
  std::vector<std::uint64_t> powers_;
  std::vector<std::size_t> exponents_;
};

}  // namespace velum::testing::bfv
