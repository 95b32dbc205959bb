#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/ciphertext.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"

namespace velum::he {

/// The digits of one ciphertext's c_1, raised to QP: what all rotations of that ciphertext share.
/// Paper: hoisting, Halevi and Shoup, Faster Homomorphic Linear Transformations in HElib, 2018
/// (ePrint 2018/244).
class HoistedCiphertext {
 public:
  HoistedCiphertext(const Ciphertext& ciphertext, Buffer<Word> polynomials_, Buffer<Word> digits_)
      : context(ciphertext.context()),
        key_id(ciphertext.key_id()),
        level(ciphertext.level()),
        scale(ciphertext.scale()),
        noise(ciphertext.noise()),
        history(ciphertext.history()),
        polynomials(std::move(polynomials_)),
        digits(std::move(digits_)) {}

  std::shared_ptr<const Context> context;
  KeyId key_id;
  int level;
  double scale;
  NoiseEstimate noise;
  History history;
  Buffer<Word> polynomials;  // [2, limbs(level), N]: c_0, c_1
  Buffer<Word> digits;       // [digit_count(level), special primes + limbs(level), N], NTT form
};

/// Of a sum.
struct SumOptions {
  /// What the caller knows of the sum: no slot's magnitude is above it, which may be less than what
  /// the bounds of the operands add up to. 0: nothing but those. Nothing can check it, as
  /// `Ciphertext::declare_message_bound`.
  double message_bound = 0.0;
};

/// Arithmetic on CKKS ciphertexts. Immutable; any number of threads may use one.
///
/// In all of these:
/// - operands are of this context's parameters and one key, and at one level; a sum also needs one
/// scale, to 2^-45
///   (relative). Otherwise std::invalid_argument, naming both values and the remedy. Nothing is
///   adjusted silently.
/// - a product has the product of the scales; `rescale` divides by the primes of the level and the
/// scale by exactly their
///   product.
/// - the result's `NoiseEstimate` follows. A result that could not be decrypted, because half of
/// the modulus of its level
///   is not above its scaled `message_bound` and `slot_bound` together, is std::invalid_argument
///   before it is computed: it would wrap around to a wrong message. (Of coefficients, which
///   `encode_coefficients` makes, `message_bound` / N counts: `MessageForm`.)
/// - the result's history is known if that of every operand and key is.
/// - a CUDA call returns before the work is done.
class Evaluator {
 public:
  explicit Evaluator(std::shared_ptr<const Context> context);

  Ciphertext add(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                 const SumOptions& options = {}) const;
  Ciphertext subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                      const SumOptions& options = {}) const;
  Ciphertext negate(const Ciphertext& a, const Stream& stream) const;
  Ciphertext add_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream,
                       const SumOptions& options = {}) const;
  Ciphertext subtract_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream,
                            const SumOptions& options = {}) const;
  /// The same real number in every slot, at the ciphertext's own scale.
  Ciphertext add_constant(const Ciphertext& a, double value, const Stream& stream,
                          const SumOptions& options = {}) const;

  /// Three polynomials: `relinearize` brings them back to two. Both operands have two.
  Ciphertext multiply(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext square(const Ciphertext& a, const Stream& stream) const;
  Ciphertext multiply_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream) const;
  /// sum <- sum + a b, in place.
  void multiply_plain_accumulate(const Ciphertext& a, const Plaintext& b, Ciphertext& sum,
                                 const Stream& stream, const SumOptions& options = {}) const;
  /// The same real number in every slot. The scale is multiplied by `scale`; the number is rounded
  /// to a multiple of 1/scale, which the noise estimate counts.
  /// @throws std::invalid_argument also if |value| * scale is 2^62 or more, or scale is not in [1,
  /// 2^62].
  Ciphertext multiply_constant(const Ciphertext& a, double value, double scale,
                               const Stream& stream) const;
  /// Exact, without a change of scale. @throws std::invalid_argument also if |factor| is 2^62 or
  /// more.
  Ciphertext multiply_integer(const Ciphertext& a, std::int64_t factor, const Stream& stream) const;

  Ciphertext relinearize(const Ciphertext& a, const RelinearizationKey& key,
                         const Stream& stream) const;
  /// One level down: divides by the primes of the level.
  /// @throws std::invalid_argument also at level 0.
  Ciphertext rescale(const Ciphertext& a, const Stream& stream) const;
  /// To a lower level by leaving out limbs: the scale stays.
  Ciphertext drop_to_level(const Ciphertext& a, int level, const Stream& stream) const;
  /// To a lower level and any scale there: drops to the level above it, multiplies by the integer
  /// nearest to what the scale needs, and rescales. The difference from that integer, 2^-1 of it,
  /// is counted as error of the message. At the ciphertext's own level it must have the scale
  /// already. Paper: Kim, Papadimitriou and Polyakov, Approximate Homomorphic Encryption with
  /// Reduced Approximation Error, 2022 (ePrint 2020/1118), section 3.
  Ciphertext adjust(const Ciphertext& a, int level, double scale, const Stream& stream) const;

  /// Slot j of the result is slot j + steps of `a`; steps may be negative.
  /// @throws std::out_of_range if the keys have none for it.
  Ciphertext rotate(const Ciphertext& a, std::int64_t steps, const GaloisKeys& keys,
                    const Stream& stream) const;
  Ciphertext conjugate(const Ciphertext& a, const GaloisKeys& keys, const Stream& stream) const;
  HoistedCiphertext hoist(const Ciphertext& a, const Stream& stream) const;
  Ciphertext rotate(const HoistedCiphertext& a, std::int64_t steps, const GaloisKeys& keys,
                    const Stream& stream) const;
  /// Slot j of the result is the sum of slots j, j + 1, .., j + slots - 1 of `a`, cyclically:
  /// log2(slots) rotations, by 1, 2, 4, ... Only the sum need fit the modulus: sums of fewer slots
  /// that do not come back, being sums modulo Q.
  /// @throws std::invalid_argument also if `slots` is no power of two up to N/2.
  Ciphertext sum_slots(const Ciphertext& a, std::int64_t slots, const GaloisKeys& keys,
                       const Stream& stream, const SumOptions& options = {}) const;
  /// To the key that `key` switches to; `from` is the id of the key that it switches from.
  Ciphertext switch_key(const Ciphertext& a, const KeySwitchingKey& key, const KeyId& from,
                        const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return context_; }

 private:
  void check(const char* function, const Ciphertext& a, const Stream& stream) const;
  void check_pair(const char* function, const Ciphertext& a, const Ciphertext& b,
                  const Stream& stream) const;
  void check_plain(const char* function, const Ciphertext& a, const Plaintext& b,
                   const Stream& stream) const;
  /// The estimate of what an operation gives.
  /// @throws std::invalid_argument if that could not be decrypted; the text ends with the remedy.
  NoiseEstimate fitting(const char* function, int level, double scale, const NoiseEstimate& noise,
                        const char* remedy) const;
  NoiseEstimate fitting(const char* function, int level, double scale,
                        const NoiseEstimate& noise) const;
  NoiseEstimate sum_of(const char* function, int level, double scale, const NoiseEstimate& a,
                       const NoiseEstimate& b, const SumOptions& options) const;
  /// After a key switch.
  NoiseEstimate switched(const char* function, int level, double scale, const NoiseEstimate& noise,
                         bool relinearizes = false) const;

  void check_key(const char* function, const Ciphertext& a, const KeySwitchingKey& key) const;

  /// The digits of a polynomial, [limbs(level), N] in NTT form, raised: [digit_count, special +
  /// limbs, N].
  void decompose(RnsView<const Word> polynomial, int level, Word* digits,
                 const Stream& stream) const;
  /// Inner product with the key and division by P, [2, limbs(level), N].
  void apply_key(const Word* digits, const KeySwitchingKey& key, int level, RnsView<Word> out,
                 const Stream& stream) const;
  Ciphertext apply_automorphism(const Ciphertext& a, std::uint32_t element, const GaloisKeys& keys,
                                const Stream& stream) const;

  std::shared_ptr<const Context> context_;
};

}  // namespace velum::he
