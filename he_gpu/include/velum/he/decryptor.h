#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/ciphertext.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"

namespace velum::he {

/// How much a released decryption is flooded.
struct ReleasePolicy {
  /// Decryptions of the same key that are released in all. At least 1.
  std::int64_t queries = 128;
  /// Bits s of statistical security, 10 to 128: an adversary who chose the ciphertexts and sees the
  /// releases has at most the advantage that IND-CPA security and 2^-s leave.
  int statistical_bits = 40;
};

/// Decrypts. An approximate decryption tells something about the key to whoever sees its error: so
/// there are two ways, and the one that leaves the house floods. Paper: Li and Micciancio, On the
/// Security of Homomorphic Encryption on Approximate Numbers, 2021 (ePrint 2020/1533).
class Decryptor {
 public:
  explicit Decryptor(std::shared_ptr<const SecretKey> key,
                     std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// For the owner's eyes only: the message with its exact error. Never hand its decoding, or
  /// anything computed from it without rounding away the error, to whoever may have chosen or seen
  /// the ciphertext.
  /// @throws std::invalid_argument if the ciphertext belongs to another key, other parameters, or
  /// another backend.
  Plaintext decrypt_for_owner(const Ciphertext& ciphertext, const Stream& stream) const;

  /// For release: discrete Gaussian noise of standard deviation at least (and at most twice)
  ///
  ///   sigma = B sqrt(12 queries) 2^(s/2),   B = the ciphertext's `slot_bound`,
  ///
  /// is added to every coefficient. The coefficients of the error have an L2 norm of at most B (the
  /// norm of its N embeddings is sqrt(N) times as large), so one release is within B^2 / (2
  /// sigma^2) of one without error in Kullback-Leibler divergence, and all of them within 2^-s
  /// / 24. A slot gets noise of standard deviation sigma sqrt(N): the plaintext's estimate says
  /// what precision is left. Paper: Li, Micciancio, Schultz and Sorrell, Securing Approximate
  /// Homomorphic Encryption Using Differential Privacy, 2022 (ePrint 2022/816).
  /// @throws std::invalid_argument also if the ciphertext's history is unknown (it, or something
  /// that went into it, was loaded, and nobody vouched for it: B would be a stranger's claim), if a
  /// field of the policy is out of range, or the noise
  /// would not fit the modulus that is
  ///         left: the text says what scale or level would do.
  Plaintext decrypt_for_release(const Ciphertext& ciphertext, const ReleasePolicy& policy,
                                const Stream& stream) const;

 private:
  Plaintext decrypt(const char* function, const Ciphertext& ciphertext, int draw_count,
                    const Stream& stream) const;

  std::shared_ptr<const SecretKey> key_;
  std::shared_ptr<Randomness> randomness_;
};

}  // namespace velum::he
