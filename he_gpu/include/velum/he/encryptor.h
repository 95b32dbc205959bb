#pragma once

#include <memory>

#include "velum/he/ciphertext.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"

namespace velum::he {

/// Encrypts under a public key: (b v + e_0 + m, a v + e_1), v uniform ternary, errors of standard
/// deviation 3.19. Each call draws new randomness. Error in a slot, typically: 3.19 N sqrt(4/3).
class Encryptor {
 public:
  explicit Encryptor(std::shared_ptr<const PublicKey> key,
                     std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// At the plaintext's level.
  /// @throws std::invalid_argument if the plaintext is of other parameters or another backend.
  Ciphertext encrypt(const Plaintext& plaintext, const Stream& stream) const;

 private:
  std::shared_ptr<const PublicKey> key_;
  std::shared_ptr<Randomness> randomness_;
};

/// Encrypts under the secret key: (-a s + e + m, a), a from a public seed. Smaller error (3.19
/// sqrt(N) in a slot) and half the bytes.
class SymmetricEncryptor {
 public:
  explicit SymmetricEncryptor(std::shared_ptr<const SecretKey> key,
                              std::shared_ptr<Randomness> randomness = Randomness::secure());

  SeededCiphertext encrypt_seeded(const Plaintext& plaintext, const Stream& stream) const;
  Ciphertext encrypt(const Plaintext& plaintext, const Stream& stream) const;

 private:
  std::shared_ptr<const SecretKey> key_;
  std::shared_ptr<Randomness> randomness_;
};

}  // namespace velum::he
