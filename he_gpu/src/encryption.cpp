#include "encryption.h"

#include "secret_key_material.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he {

void encrypt_zero(const PublicKey& key, const LimbIndices& limbs, const SecretSeed& seed,
                  RnsView<Word> out, const Stream& stream) {
  const Context& context = *key.context();
  const std::int64_t degree = context.degree();
  SecretBuffer<std::int8_t> mask_coefficients(degree, stream);
  kernels::ternary_fill(mask_coefficients.span(), seed.key(),
                        {kernels::Purpose::kHeTernary, 0, 0, 0}, stream);
  SecretBuffer<Word> mask_residues(limbs.count * degree, stream);
  const RnsView<Word> mask(mask_residues.data(), 1, limbs.count, degree);
  kernels::small_to_residues(Span<const std::int8_t>(mask_coefficients.span()), mask, limbs,
                             context.moduli(), stream);
  kernels::ntt_forward_inplace(mask, limbs, context.tables(), stream);
  fill_errors(context, out, limbs, seed, stream);
  kernels::multiply_accumulate<Word>(key.view().limb_range(0, limbs.count), mask, out, limbs,
                                     context.moduli(), stream);
}

void hide_secret(const Context& context, RnsView<const Word> a, RnsView<const Word> secret,
                 RnsView<Word> b, const LimbIndices& limbs, const SecretSeed& seed,
                 const Stream& stream) {
  fill_errors(context, b, limbs, seed, stream);
  SecretBuffer<Word> products(b.polys * b.limbs * b.degree, stream);  // as good as s
  const RnsView<Word> product(products.data(), b.polys, b.limbs, b.degree);
  kernels::multiply<Word>(a, secret, product, limbs, context.moduli(), stream);
  kernels::subtract<Word>(b, product, b, limbs, context.moduli(), stream);
}

void encrypt_zero_symmetric(const SecretKey& key, const LimbIndices& limbs,
                            const PublicSeed& public_seed, const SecretSeed& seed,
                            RnsView<Word> out, const Stream& stream) {
  const Context& context = *key.context();
  SecretBuffer<Word> uniform(limbs.count * context.degree(),
                             stream);  // becomes a s, which is as good as s
  const RnsView<Word> product(uniform.data(), 1, limbs.count, context.degree());
  fill_uniform(context, product, limbs, public_seed, 0, stream);
  kernels::multiply<Word>(
      product,
      key.material().view(context, context.parameters().special_prime_count(), limbs.count),
      product, limbs, context.moduli(), stream);
  fill_errors(context, out, limbs, seed, stream);
  kernels::subtract<Word>(out, product, out, limbs, context.moduli(), stream);
}

void evaluate_at_secret(const SecretKey& key, RnsView<const Word> ciphertext,
                        const LimbIndices& limbs, RnsView<Word> out, const Stream& stream) {
  const Context& context = *key.context();
  const RnsView<const Word> s =
      key.material().view(context, context.parameters().special_prime_count(), limbs.count);
  // Horner's rule: c_0 + s (c_1 + s c_2).
  kernels::copy_limbs<Word>(ciphertext.poly_range(ciphertext.polys - 1, 1), out, stream);
  for (std::int64_t poly = ciphertext.polys - 2; poly >= 0; --poly) {
    kernels::multiply<Word>(out, s, out, limbs, context.moduli(), stream);
    kernels::add<Word>(out, ciphertext.poly_range(poly, 1), out, limbs, context.moduli(), stream);
  }
}

}  // namespace velum::he
