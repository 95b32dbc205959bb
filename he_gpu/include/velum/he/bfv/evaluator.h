#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"

namespace velum::he::bfv {

/// Arithmetic modulo t on BFV ciphertexts. Immutable; any number of threads may use one.
///
/// In all of these:
/// - operands are of this context's parameters and one key, and at one level. Otherwise
///   std::invalid_argument, naming both values and the remedy. Nothing is adjusted silently.
/// - the result's `NoiseBound` follows (docs/noise.md). A result that might not decrypt, because
/// its
///   bound leaves no budget, is std::invalid_argument before it is computed.
/// - the result's history is known if that of every operand and key is.
/// - results are exact functions of the operands' residues, and the same bits on every backend and
///   SIMD target.
/// - a CUDA call returns before the work is done.
class Evaluator {
 public:
  /// @throws std::invalid_argument if the context is null or its parameters are not of BFV.
  explicit Evaluator(std::shared_ptr<const Context> context);

  Ciphertext add(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext negate(const Ciphertext& a, const Stream& stream) const;
  Ciphertext add_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream) const;
  Ciphertext subtract_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream) const;

  /// Three polynomials: `relinearize` brings them back to two. Both operands have two. With their
  /// coefficients taken as integers of least magnitude,
  ///
  ///   d_0 = round(t a_0 b_0 / Q),  d_1 = round(t (a_0 b_1 + a_1 b_0) / Q),  d_2 = round(t a_1 b_1
  ///   / Q)
  ///
  /// modulo Q, by integers alone: the products are computed modulo Q and more primes, divided by Q
  /// there, and brought back. (Base conversions take a coefficient within 2^-47 of Q above Q/2 for
  /// either representative, always the same one; the bound of the noise counts that.)
  /// Paper: Halevi, Polyakov and Shoup, An Improved RNS Variant of the BFV Homomorphic Encryption
  /// Scheme, 2019 (ePrint 2018/117), with fixed point instead of floating point.
  Ciphertext multiply(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext square(const Ciphertext& a, const Stream& stream) const;
  /// The noise grows by a factor of `Plaintext::coefficient_sum`, at most.
  Ciphertext multiply_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream) const;
  /// Times a number, which is taken modulo t; the noise grows by its least magnitude.
  Ciphertext multiply_integer(const Ciphertext& a, std::int64_t factor, const Stream& stream) const;

  Ciphertext relinearize(const Ciphertext& a, const RelinearizationKey& key,
                         const Stream& stream) const;

  /// To a lower level: divides by the primes between, one after the other, and rounds. The noise
  /// shrinks with the modulus until that of the rounding is left; the message stays. Smaller
  /// ciphertexts, cheaper operations; the budget never grows.
  /// @throws std::invalid_argument also if the level is not in [0, a.level()].
  Ciphertext mod_switch_to(const Ciphertext& a, int level, const Stream& stream) const;

  /// Of slots (`BatchEncoder`): slot j of each row of the result is slot j + steps of that row of
  /// `a`; steps may be negative.
  /// @throws std::out_of_range if the keys have none for it (`KeyGenerator::galois_keys`).
  Ciphertext rotate_rows(const Ciphertext& a, std::int64_t steps, const GaloisKeys& keys,
                         const Stream& stream) const;
  /// Of slots: exchanges the two rows. The key is that of conjugation.
  Ciphertext rotate_columns(const Ciphertext& a, const GaloisKeys& keys,
                            const Stream& stream) const;
  /// m(X) becomes m(X^element), element odd in [1, 2N).
  Ciphertext apply_automorphism(const Ciphertext& a, std::uint32_t element, const GaloisKeys& keys,
                                const Stream& stream) const;
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
  void check_key(const char* function, const Ciphertext& a, const KeySwitchingKey& key) const;
  void check_two(const char* function, const Ciphertext& a) const;
  /// The bound of a result.
  /// @throws std::invalid_argument if it leaves no budget; the text ends with the remedy.
  NoiseBound fitting(const char* function, int level, const NoiseBound& noise,
                     const char* remedy) const;
  /// Two polynomials: the last one of `image` switched by the key, and the others added to it; with
  /// the noise of `a` and of the switch.
  Ciphertext switched(const char* function, const Ciphertext& a, RnsView<const Word> image,
                      const KeySwitchingKey& key, const Stream& stream) const;
  /// round(Q m / t) at a level, [1, limbs, N] in NTT form.
  Buffer<Word> scaled_message(const Plaintext& b, int level, const Stream& stream) const;
  /// A polynomial's residues modulo the q and the auxiliary primes of a level, NTT form.
  void extend(RnsView<const Word> polynomials, int level, RnsView<Word> out,
              const Stream& stream) const;

  std::shared_ptr<const Context> context_;
};

}  // namespace velum::he::bfv
