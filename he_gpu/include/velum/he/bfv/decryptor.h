#pragma once

#include <memory>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/keys.h"

namespace velum::he::bfv {

/// Decrypts: m = round(t (c_0 + c_1 s (+ c_2 s^2)) / Q) modulo t, by integers alone, so right for
/// every noise below Q/(2t), to the last integer before a half. No part of the noise is in the
/// result; but a result that is wrong says that the noise was beyond, and whoever chooses
/// ciphertexts and sees such results learns the key. So there are two ways.
/// Papers: Fan and Vercauteren, Somewhat Practical Fully Homomorphic Encryption, 2012 (ePrint
/// 2012/144); on what wrong results give away, ePrint 2024/116 and 2024/127.
class Decryptor {
 public:
  /// @throws std::invalid_argument if the key is null, or the parameters are not of BFV.
  explicit Decryptor(std::shared_ptr<const SecretKey> key);

  /// For the owner's eyes only, whoever made the ciphertext. Of one with an unknown history nothing
  /// shows that the result is right.
  /// @throws std::invalid_argument if the ciphertext belongs to another key, other parameters or
  /// another backend, or its noise bound leaves no budget.
  Plaintext decrypt_for_owner(const Ciphertext& ciphertext, const Stream& stream) const;

  /// For release: the same, of a ciphertext whose noise bound is known to hold.
  /// @throws std::invalid_argument also if the ciphertext's history is unknown: it, or something
  /// that went into it, was loaded, and nobody vouched for it.
  Plaintext decrypt_for_release(const Ciphertext& ciphertext, const Stream& stream) const;

  /// Bits that the noise can still grow by, measured: log2(Q/2) less log2 of the largest
  /// coefficient of t v, the noise times t, modulo Q. What no longer decrypts rightly has less than
  /// a bit or so. For the owner's eyes only: noise tells about the key.
  /// @throws std::invalid_argument as `decrypt_for_owner`, whatever the noise bound is.
  double noise_budget_for_owner(const Ciphertext& ciphertext, const Stream& stream) const;

 private:
  Plaintext decrypt(const char* function, const Ciphertext& ciphertext, const Stream& stream) const;

  std::shared_ptr<const SecretKey> key_;
};

}  // namespace velum::he::bfv
