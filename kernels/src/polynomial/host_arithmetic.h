#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// a^-1 modulo q, on the host; 0 if a and q have a divisor in common. By the extended Euclidean
/// algorithm, the coefficients of a kept modulo q.
template <typename Word>
Word modular_inverse(Word a, const Modulus<Word>& m) {
  Word r0 = m.value, r1 = a % m.value;
  Word t0 = 0, t1 = 1;  // t a = r modulo q
  while (r1 != 0) {
    const Word quotient = r0 / r1;
    r0 = std::exchange(r1, static_cast<Word>(r0 - quotient * r1));
    t0 = std::exchange(
        t1, subtract_mod(t0, multiply_mod(static_cast<Word>(quotient % m.value), t1, m), m.value));
  }
  return r0 == 1 ? t0 : 0;
}

/// The product of all moduli but number `left_out` (of all, where there is no such one), modulo m.
template <typename Word>
Word product_modulo(const std::vector<Modulus<Word>>& moduli, std::size_t left_out,
                    const Modulus<Word>& m) {
  Word product = 1;
  for (std::size_t i = 0; i < moduli.size(); ++i) {
    if (i == left_out) continue;
    product = multiply_mod(product, static_cast<Word>(moduli[i].value % m.value), m);
  }
  return product;
}

/// The moduli of limbs that are known to be in the chain.
template <typename Word>
std::vector<Modulus<Word>> moduli_of(const ModulusChain<Word>& chain, const LimbIndices& limbs) {
  std::vector<Modulus<Word>> moduli;
  moduli.reserve(static_cast<std::size_t>(limbs.count));
  for (int i = 0; i < limbs.count; ++i) moduli.push_back(chain[limbs[i]]);
  return moduli;
}

/// A copy in the memory of the stream's backend; waits for it.
template <typename T>
Buffer<T> resident(const std::vector<T>& values, const Stream& stream) {
  Buffer<T> buffer(static_cast<std::int64_t>(values.size()), stream);
  copy(Span<const T>(values), buffer.span(), stream);
  synchronize(stream);
  return buffer;
}

}  // namespace velum::kernels
