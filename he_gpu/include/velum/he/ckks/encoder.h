#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/ciphertext.h"
#include "velum/he/ckks/slot_codec.h"
#include "velum/he/context.h"

namespace velum::he {

struct EncodeOptions {
  /// -1: the highest.
  int level = -1;
  /// 0: the scale that ciphertexts of that level have, `Parameters::scale`.
  double scale = 0.0;
  /// What a slot's magnitude may reach. Public: it travels with plaintext and ciphertext and stands
  /// for the message in every estimate of noise, so it must not be computed from the message.
  double message_bound = 1.0;
};

/// Between numbers and plaintexts. Immutable; any number of threads may use one. Every call waits
/// until its work is done.
class Encoder {
 public:
  explicit Encoder(std::shared_ptr<const Context> context);

  /// Of real numbers the plaintext says that its slots are real (`MessageForm`); of complex ones it
  /// does not, whatever they are.
  /// @param slots  [n], n a power of two up to N/2; fewer are repeated to fill all N/2 slots.
  /// @throws std::invalid_argument if n, level or scale is out of range, a slot is not finite or
  /// beyond message_bound (the text
  ///         names slot, value and bound), or the scaled message does not fit the modulus of the
  ///         level.
  Plaintext encode(Span<const std::complex<double>> slots, const Stream& stream,
                   const EncodeOptions& options = {}) const;
  Plaintext encode(Span<const double> slots, const Stream& stream,
                   const EncodeOptions& options = {}) const;
  /// Values into the coefficients themselves, at most N: for sums; products of such plaintexts are
  /// no products of values. message_bound is that of a value.
  Plaintext encode_coefficients(Span<const double> values, const Stream& stream,
                                const EncodeOptions& options = {}) const;

  /// @param slots  out: [n], n a power of two up to N/2.
  void decode(const Plaintext& plaintext, Span<std::complex<double>> slots,
              const Stream& stream) const;
  /// The real parts.
  void decode(const Plaintext& plaintext, Span<double> slots, const Stream& stream) const;
  void decode_coefficients(const Plaintext& plaintext, Span<double> values,
                           const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return context_; }

 private:
  template <typename Slot>
  Plaintext encode_slots(const char* function, Span<const Slot> slots, const Stream& stream,
                         const EncodeOptions& options) const;
  template <typename Decode>
  void decode_with(const char* function, const Plaintext& plaintext, const Stream& stream,
                   const Decode& decode) const;

  std::shared_ptr<const Context> context_;
  SlotCodec codec_;
};

}  // namespace velum::he
