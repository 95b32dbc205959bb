#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/context.h"
#include "velum/he/keys.h"

namespace velum::he {

/// What is known of a message beside its bound. A public fact, as the bound: of how it was encoded,
/// not of what it is.
enum class MessageForm : std::uint32_t {
  kAny = 0,           ///< nothing: slots are complex numbers
  kRealSlots = 1,     ///< every slot is a real number, as `encode` of real numbers makes them
  kCoefficients = 2,  ///< coefficients, of which none is above message_bound / N
};

/// What is known, without a key and without the message, about the error and the size of an
/// encrypted message. All of it follows from public facts: parameters, declared bounds, and what
/// was computed.
struct NoiseEstimate {
  /// For planning: the variance of the error in one slot of the scaled message (of the complex
  /// number, twice that of its real part), for errors that are independent. Tested against
  /// measurement.
  double slot_variance = 0.0;
  /// For flooding: a bound of the error's magnitude in every slot of the scaled message. Errors add
  /// up as if they pointed the same way, so that it also holds for sums of one ciphertext with
  /// itself. Fresh errors and roundings exceed theirs with a probability below 2^-60
  /// (docs/noise.md).
  double slot_bound = 0.0;
  /// The declared bound of a slot's magnitude, before scaling. The encoder enforces it; it is
  /// public.
  double message_bound = 0.0;
  MessageForm form = MessageForm::kAny;
};

/// A message that is encoded but not encrypted: [1, limbs(level), N], NTT form.
class Plaintext {
 public:
  Plaintext(std::shared_ptr<const Context> context, Buffer<Word> residues, int level, double scale,
            const NoiseEstimate& noise, History history);

  const std::shared_ptr<const Context>& context() const { return context_; }
  int level() const { return level_; }
  /// The factor itself, not its logarithm.
  double scale() const { return scale_; }
  /// Of a plaintext: the rounding of the encoder.
  const NoiseEstimate& noise() const { return noise_; }
  /// Whether `noise()` can be believed; unknown once loaded.
  History history() const { return history_; }
  /// Says what the caller knows of the message: that every slot is a real number. Nothing can check
  /// it; bounds of polynomials, and with them the flooding of a release, rely on it.
  void declare_real_slots() { noise_.form = MessageForm::kRealSlots; }
  /// Declares that the message is within its bound and was encoded as this library does.
  void vouch_for_history() { history_ = History::kKnown; }
  RnsView<const Word> view() const;

 private:
  std::shared_ptr<const Context> context_;
  Buffer<Word> residues_;
  int level_;
  double scale_;
  NoiseEstimate noise_;
  History history_;
};

/// An encrypted message m: polynomials c_0, c_1 (, c_2) with c_0 + c_1 s (+ c_2 s^2) = m + e modulo
/// the q of its level. [size(), limbs(level), N], NTT form, canonical residues.
class Ciphertext {
 public:
  Ciphertext(std::shared_ptr<const Context> context, const KeyId& key_id, Buffer<Word> residues,
             int size, int level, double scale, const NoiseEstimate& noise, History history);

  const std::shared_ptr<const Context>& context() const { return context_; }
  const KeyId& key_id() const { return key_id_; }
  int size() const { return size_; }
  int level() const { return level_; }
  double scale() const { return scale_; }
  const NoiseEstimate& noise() const { return noise_; }
  /// Whether `noise()` can be believed. Unknown once loaded, and so for all that is computed from
  /// it.
  History history() const { return history_; }
  /// Declares that the ciphertext was encrypted by this library or as honestly, within its declared
  /// `message_bound`, and computed on as recorded: that `noise()` holds. Say so only of ciphertexts
  /// that came from yourself, by a way on which nobody could change them; a release of any other
  /// can give the key away (docs/noise.md).
  void vouch_for_history() { history_ = History::kKnown; }
  /// Estimated standard deviation of the error of a decoded slot, in units of the message.
  double estimated_error() const;
  /// Bits after the binary point that a decoded slot has: -log2(estimated_error()).
  double estimated_precision_bits() const;

  RnsView<const Word> view() const;
  RnsView<Word> mutable_view();

  /// A copy; on a CUDA stream it is enqueued.
  Ciphertext copy(const Stream& stream) const;

  /// Says what the caller knows of the message: that no slot's magnitude is above `bound`, which
  /// may be less than what follows from the operations. Nothing can check it: estimates of noise,
  /// and with them the flooding of a release, rely on it. Of coefficients, a bound
  /// that is less than what follows is all that is known then (`MessageForm::kCoefficients`).
  /// @throws std::invalid_argument unless bound is finite and > 0.
  void declare_message_bound(double bound);
  /// Says what the caller knows of the message: that every slot is a real number. Nothing can check
  /// it, as above. It need not be said of what was encoded from real numbers and computed on by
  /// operations that keep them real.
  void declare_real_slots() { noise_.form = MessageForm::kRealSlots; }

  // For the library's own operations.
  void set_scale(double scale) { scale_ = scale; }
  void set_noise(const NoiseEstimate& noise, History history) {
    noise_ = noise;
    history_ = history;
  }

 private:
  std::shared_ptr<const Context> context_;
  KeyId key_id_;
  Buffer<Word> residues_;
  int size_;
  int level_;
  double scale_;
  NoiseEstimate noise_;
  History history_;
};

/// A fresh symmetric ciphertext whose c_1 is a seed: half the bytes.
class SeededCiphertext {
 public:
  SeededCiphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                   const PublicSeed& seed, Buffer<Word> residues, int level, double scale,
                   const NoiseEstimate& noise, History history);

  const std::shared_ptr<const Context>& context() const { return context_; }
  const KeyId& key_id() const { return key_id_; }
  const PublicSeed& seed() const { return seed_; }
  int level() const { return level_; }
  double scale() const { return scale_; }
  const NoiseEstimate& noise() const { return noise_; }
  /// As that of a `Ciphertext`.
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
  double scale_;
  NoiseEstimate noise_;
  History history_;
};

}  // namespace velum::he
