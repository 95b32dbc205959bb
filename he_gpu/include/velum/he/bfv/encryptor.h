#pragma once

#include <memory>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"

namespace velum::he::bfv {

struct EncryptOptions {
  /// -1: the highest. A lower level is a smaller ciphertext with less room for noise.
  int level = -1;
};

/// Encrypts under a public key: (b v + e_0 + round(Q m / t), a v + e_1), v uniform ternary, errors
/// of standard deviation 3.19. The message is scaled exactly, so that no error depends on Q modulo
/// t. Each call draws new randomness. Paper: Kim, Polyakov and Zucca, Revisiting Homomorphic
/// Encryption Schemes for Finite Fields, 2021 (ePrint 2021/204).
class Encryptor {
 public:
  /// @throws std::invalid_argument if one is null, or the parameters are not of BFV.
  explicit Encryptor(std::shared_ptr<const PublicKey> key,
                     std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// @throws std::invalid_argument if the plaintext is of other parameters or another backend, or
  /// the level is none.
  Ciphertext encrypt(const Plaintext& plaintext, const Stream& stream,
                     const EncryptOptions& options = {}) const;

 private:
  std::shared_ptr<const PublicKey> key_;
  std::shared_ptr<Randomness> randomness_;
};

/// Encrypts under the secret key: (-a s + e + round(Q m / t), a), a from a public seed. Less noise
/// and half the bytes.
class SymmetricEncryptor {
 public:
  /// @throws as `Encryptor`.
  explicit SymmetricEncryptor(std::shared_ptr<const SecretKey> key,
                              std::shared_ptr<Randomness> randomness = Randomness::secure());

  SeededCiphertext encrypt_seeded(const Plaintext& plaintext, const Stream& stream,
                                  const EncryptOptions& options = {}) const;
  Ciphertext encrypt(const Plaintext& plaintext, const Stream& stream,
                     const EncryptOptions& options = {}) const;

 private:
  std::shared_ptr<const SecretKey> key_;
  std::shared_ptr<Randomness> randomness_;
};

}  // namespace velum::he::bfv
