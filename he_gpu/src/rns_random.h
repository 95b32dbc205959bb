#pragma once

#include "secret_buffer.h"
#include "velum/he/context.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"
#include "velum/kernels/random/residues.h"
#include "velum/kernels/random/small_polynomial.h"

namespace velum::he {

/// A 256-bit key that is wiped when it goes.
class SecretSeed {
 public:
  explicit SecretSeed(const kernels::RandomKey& key) : key_(key) {}
  SecretSeed(const SecretSeed&) = delete;
  SecretSeed& operator=(const SecretSeed&) = delete;
  ~SecretSeed() { kernels::wipe(key_); }
  const kernels::RandomKey& key() const { return key_; }

 private:
  kernels::RandomKey key_;
};

/// The uniform polynomials number `first_polynomial`, ... of a public seed. They are taken as they
/// are for NTT form: uniform is uniform in either.
inline void fill_uniform(const Context& context, RnsView<Word> out, const LimbIndices& limbs,
                         const kernels::RandomKey& seed, std::uint64_t first_polynomial,
                         const Stream& stream) {
  kernels::uniform_residues_fill(out, limbs, context.moduli(), seed,
                                 {kernels::Purpose::kHeUniform, 0, first_polynomial, 0}, stream);
}

/// Errors of standard deviation 3.19, [out.polys, N], as residues in NTT form.
inline void fill_errors(const Context& context, RnsView<Word> out, const LimbIndices& limbs,
                        const SecretSeed& seed, const Stream& stream) {
  SecretBuffer<std::int8_t> errors(out.polys * out.degree, stream);
  kernels::discrete_gaussian_fill(errors.span(), seed.key(), {kernels::Purpose::kHeError, 0, 0, 0},
                                  stream);
  kernels::small_to_residues(Span<const std::int8_t>(errors.span()), out, limbs, context.moduli(),
                             stream);
  kernels::ntt_forward_inplace(out, limbs, context.tables(), stream);
}

}  // namespace velum::he
