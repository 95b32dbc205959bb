#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "velum/he/context.h"

namespace velum::he {

/// Host values in the backend's memory; waits for the copy.
template <typename T>
Buffer<T> resident(const std::vector<T>& values, const Stream& stream) {
  Buffer<T> out(static_cast<std::int64_t>(values.size()), stream);
  kernels::copy(Span<const T>(values), out.span(), stream);
  kernels::synchronize(stream);
  return out;
}

/// 1/a modulo a prime q, a in (0, q).
inline Word inverse_mod(Word a, const kernels::Modulus<Word>& q) {
  Word result = 1;
  for (Word exponent = q.value - 2; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = kernels::multiply_mod(result, a, q);
    a = kernels::multiply_mod(a, a, q);
  }
  return result;
}

/// A whole number of any size modulo q.
inline Word residue_of(double whole, Word q) {
  int exponent = 0;
  const double fraction = std::frexp(std::abs(whole), &exponent);  // [1/2, 1), or 0
  std::uint64_t value = 0;
  if (exponent <= 53) {
    value = static_cast<std::uint64_t>(std::abs(whole)) % q;
  } else {
    value = static_cast<std::uint64_t>(std::ldexp(fraction, 53)) % q;
    for (int i = 53; i < exponent; ++i) value = 2 * value % q;
  }
  return static_cast<Word>(std::signbit(whole) && value != 0 ? q - value : value);
}

inline Buffer<Word> residues_of(double whole, const LimbIndices& limbs,
                                const kernels::ModulusChain<Word>& moduli, const Stream& stream) {
  std::vector<Word> residues;
  residues.reserve(static_cast<std::size_t>(limbs.count));
  for (int i = 0; i < limbs.count; ++i)
    residues.push_back(residue_of(whole, moduli[limbs[i]].value));
  return resident(residues, stream);
}

inline Buffer<kernels::ShoupFactor<Word>> factors_of(std::int64_t factor, const LimbIndices& limbs,
                                                     const kernels::ModulusChain<Word>& moduli,
                                                     const Stream& stream) {
  std::vector<kernels::ShoupFactor<Word>> factors;
  factors.reserve(static_cast<std::size_t>(limbs.count));
  for (int i = 0; i < limbs.count; ++i) {
    const std::int64_t q = moduli[limbs[i]].value;
    factors.push_back(
        kernels::shoup_factor(static_cast<Word>(((factor % q) + q) % q), static_cast<Word>(q)));
  }
  return resident(factors, stream);
}

}  // namespace velum::he
