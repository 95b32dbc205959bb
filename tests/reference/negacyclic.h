#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

/// Polynomials modulo X^N + 1 and a modulus, the slow way: every product is a 128-bit integer and
/// every reduction a remainder. No arithmetic of velum.
namespace velum::testing::reference {

__extension__ typedef unsigned __int128 UInt128;
using Residues = std::vector<std::uint64_t>;

inline std::uint64_t add(std::uint64_t a, std::uint64_t b, std::uint64_t q) {
  return static_cast<std::uint64_t>((UInt128{a} + b) % q);
}
inline std::uint64_t negate(std::uint64_t a, std::uint64_t q) { return (q - a % q) % q; }
inline std::uint64_t multiply(std::uint64_t a, std::uint64_t b, std::uint64_t q) {
  return static_cast<std::uint64_t>(UInt128{a} * b % q);
}
inline std::uint64_t power(std::uint64_t base, std::uint64_t exponent, std::uint64_t q) {
  std::uint64_t result = 1 % q;
  for (; exponent != 0; exponent /= 2, base = multiply(base, base, q)) {
    if (exponent % 2 != 0) result = multiply(result, base, q);
  }
  return result;
}
/// Modulo a prime.
inline std::uint64_t inverse(std::uint64_t a, std::uint64_t q) { return power(a, q - 2, q); }

/// By trial division; for values below 2^32.
inline bool is_prime(std::uint64_t value) {
  for (std::uint64_t divisor = 2; divisor * divisor <= value; ++divisor) {
    if (value % divisor == 0) return false;
  }
  return value >= 2;
}

/// The smallest x with x^N = -1, by trial; for small N and q.
inline std::uint64_t smallest_root(std::uint64_t n, std::uint64_t q) {
  for (std::uint64_t x = 1; x < q; ++x) {
    if (power(x, n, q) == q - 1) return x;
  }
  throw std::logic_error("smallest_root: there is none");
}

inline std::uint64_t reversed(std::uint64_t value, int bits) {
  std::uint64_t result = 0;
  for (int bit = 0; bit < bits; ++bit, value /= 2) result = 2 * result + value % 2;
  return result;
}

inline std::uint64_t evaluate(const Residues& a, std::uint64_t x, std::uint64_t q) {
  std::uint64_t sum = 0;
  for (std::size_t i = a.size(); i-- > 0;) sum = add(multiply(sum, x, q), a[i], q);
  return sum;
}

/// Value j of the transform of a: a(psi^(2 r(j) + 1)).
inline std::uint64_t ntt_value(const Residues& a, std::uint64_t j, int log_n, std::uint64_t psi,
                               std::uint64_t q) {
  return evaluate(a, power(psi, 2 * reversed(j, log_n) + 1, q), q);
}
inline Residues ntt(const Residues& a, int log_n, std::uint64_t psi, std::uint64_t q) {
  Residues values(a.size());
  for (std::size_t j = 0; j < a.size(); ++j) values[j] = ntt_value(a, j, log_n, psi, q);
  return values;
}

/// a b modulo X^N + 1, term by term; terms of b that are zero cost nothing.
inline Residues negacyclic_product(const Residues& a, const Residues& b, std::uint64_t q) {
  const std::size_t n = a.size();
  Residues product(n);
  for (std::size_t j = 0; j < n; ++j) {
    if (b[j] == 0) continue;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t term = multiply(a[i], b[j], q);
      std::uint64_t& to = product[(i + j) % n];
      to = add(to, i + j < n ? term : negate(term, q), q);
    }
  }
  return product;
}

}  // namespace velum::testing::reference
