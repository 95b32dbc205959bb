#pragma once

#include "rns_random.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"

/// What every scheme does to encrypt and to decrypt. All of it in NTT form, on the limbs of a level
/// (`Context::q_limbs`).
namespace velum::he {

/// An encryption of zero under a public key: out <- (b v + e_0, a v + e_1), [2, limbs, N].
void encrypt_zero(const PublicKey& key, const LimbIndices& limbs, const SecretSeed& seed,
                  RnsView<Word> out, const Stream& stream);

/// One under the secret key, without its uniform half a: out <- e - a s, [1, limbs, N].
void encrypt_zero_symmetric(const SecretKey& key, const LimbIndices& limbs,
                            const PublicSeed& public_seed, const SecretSeed& seed,
                            RnsView<Word> out, const Stream& stream);

/// b <- e - a s, [polys, limbs, N]; `secret` is s with the same limbs. They may be any of the
/// chain.
void hide_secret(const Context& context, RnsView<const Word> a, RnsView<const Word> secret,
                 RnsView<Word> b, const LimbIndices& limbs, const SecretSeed& seed,
                 const Stream& stream);

/// out <- c_0 + c_1 s (+ c_2 s^2), [1, limbs, N].
void evaluate_at_secret(const SecretKey& key, RnsView<const Word> ciphertext,
                        const LimbIndices& limbs, RnsView<Word> out, const Stream& stream);

}  // namespace velum::he
