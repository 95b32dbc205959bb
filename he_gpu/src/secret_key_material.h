#pragma once

#include "secret_buffer.h"
#include "velum/he/keys.h"

namespace velum::he {

struct SecretKey::Material {
  Material(const Context& context, SecretBuffer<std::int8_t> secret_coefficients,
           const Stream& stream);

  SecretBuffer<std::int8_t> coefficients;  // [N]
  SecretBuffer<Word> residues;             // [all primes, N], NTT form

  /// The limbs [first, first + count) of the chain.
  RnsView<const Word> view(const Context& context, int first, int count) const {
    return {residues.data() + first * context.degree(), 1, count, context.degree()};
  }
};

}  // namespace velum::he
