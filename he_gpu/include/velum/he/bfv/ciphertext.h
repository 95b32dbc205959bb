#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/context.h"
#include "velum/he/keys.h"

namespace velum::he::bfv {

/// What is known, without a key and without the message, about the noise v of a ciphertext: the
/// polynomial c_0 + c_1 s (+ c_2 s^2) - (Q/t) m. A decryption is right, exactly, if no coefficient
/// of v reaches Q/(2t). All of it follows from public facts: parameters, and what was computed.
/// Fresh errors and roundings exceed theirs with a probability below 2^-60 (docs/noise.md).
struct NoiseBound {
  /// Of the magnitude of every coefficient.
  double coefficient = 0.0;
  /// Of the magnitude of every slot: of v at each of the primitive 2N-th roots of unity. What
  /// products are bounded by.
  double slot = 0.0;
};

/// A polynomial m with coefficients modulo t, neither encrypted nor scaled: [N], the
/// representatives in [-floor(t/2), floor((t - 1)/2)]. It has no level.
class Plaintext {
 public:
  /// @param coefficient_sum  a bound of the sum of the coefficients' magnitudes. Public: it must
  /// not
  ///                         be computed from a message that is not.
  /// @throws std::invalid_argument if the parameters are not of BFV or there are not N
  /// coefficients.
  Plaintext(std::shared_ptr<const Context> context, Buffer<std::int64_t> coefficients,
            double coefficient_sum);

  const std::shared_ptr<const Context>& context() const { return context_; }
  Span<const std::int64_t> coefficients() const { return coefficients_.span(); }
  /// What a product with it multiplies the noise by, at most.
  double coefficient_sum() const { return coefficient_sum_; }

 private:
  std::shared_ptr<const Context> context_;
  Buffer<std::int64_t> coefficients_;
  double coefficient_sum_;
};

/// An encrypted message: polynomials c_0, c_1 (, c_2) with c_0 + c_1 s (+ c_2 s^2) = (Q/t) m + v
/// modulo the Q of its level. [size(), limbs(level), N], NTT form, canonical residues.
class Ciphertext {
 public:
  /// @throws std::invalid_argument if the parameters are not of BFV.
  Ciphertext(std::shared_ptr<const Context> context, const KeyId& key_id, Buffer<Word> residues,
             int size, int level, const NoiseBound& noise, History history);

  const std::shared_ptr<const Context>& context() const { return context_; }
  const KeyId& key_id() const { return key_id_; }
  int size() const { return size_; }
  int level() const { return level_; }
  const NoiseBound& noise() const { return noise_; }
  /// Bits that the noise can still grow by before a decryption could be wrong: log2(Q/(2t)) less
  /// log2 of the bound. Never more than what `Decryptor::noise_budget_for_owner` measures, as far
  /// as the history is known. Operations that would leave none are errors.
  double noise_budget_estimate() const;
  /// Whether `noise()` can be believed. Unknown once loaded, and so for all that is computed from
  /// it.
  History history() const { return history_; }
  /// Declares that the ciphertext was encrypted by this library or as honestly, and computed on as
  /// recorded: that `noise()` holds. Say so only of ciphertexts that came from yourself, by a way
  /// on which nobody could change them: the release of a decryption that is wrong can give the key
  /// away (docs/threat_model.md).
  void vouch_for_history() { history_ = History::kKnown; }

  RnsView<const Word> view() const;

  /// A copy; on a CUDA stream it is enqueued.
  Ciphertext copy(const Stream& stream) const;

 private:
  std::shared_ptr<const Context> context_;
  KeyId key_id_;
  Buffer<Word> residues_;
  int size_;
  int level_;
  NoiseBound noise_;
  History history_;
};

/// A fresh symmetric ciphertext whose c_1 is a seed: half the bytes.
class SeededCiphertext {
 public:
  /// @throws std::invalid_argument if the parameters are not of BFV.
  SeededCiphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                   const PublicSeed& seed, Buffer<Word> residues, int level,
                   const NoiseBound& noise, History history);

  const std::shared_ptr<const Context>& context() const { return context_; }
  const KeyId& key_id() const { return key_id_; }
  const PublicSeed& seed() const { return seed_; }
  int level() const { return level_; }
  const NoiseBound& noise() const { return noise_; }
  /// As that of a `Ciphertext`.
  double noise_budget_estimate() const;
  History history() const { return history_; }
  /// [1, limbs(level), N], NTT form: c_0.
  RnsView<const Word> view() const;

  Ciphertext expand(const Stream& stream) const;

 private:
  std::shared_ptr<const Context> context_;
  KeyId key_id_;
  PublicSeed seed_;
  Buffer<Word> residues_;
  int level_;
  NoiseBound noise_;
  History history_;
};

}  // namespace velum::he::bfv
