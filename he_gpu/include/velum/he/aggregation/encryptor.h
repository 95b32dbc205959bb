#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/aggregation/encrypted_vector.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/once_register.h"

namespace velum::he::aggregation {

/// Encrypts an owner's vectors, one a round.
///
/// Two vectors of one owner in one round would have the same a and s: their difference is the
/// difference of the messages, for everybody to read. So each round is entered in a register before
/// anything is computed, and a second time is an error, also after a restart and also if the first
/// vector was never sent.
class VectorEncryptor {
 public:
  /// @param secret  of the context's ring, of this owner in this group alone: uniform ternary.
  /// @param owner   its number, 1 to K.
  /// @param group   see `Round`.
  /// @param once    lasting, and the only one for this secret.
  /// @throws std::invalid_argument if one is null, a number is out of range, or the secret belongs
  ///         to another ring.
  VectorEncryptor(std::shared_ptr<const AggregationContext> context,
                  std::shared_ptr<const SecretKey> secret, int owner, const Digest& group,
                  threshold::OnceRegister once,
                  std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// @param values  [plan.values()], in host memory.
  /// @throws std::invalid_argument if there are more or fewer values, or naming the first that is
  ///         outside of plan.smallest_value() .. plan.largest_value(), which would carry into its
  ///         neighbour; the round is not used up then. threshold::AlreadyUsed if it was used.
  EncryptedVector encrypt(std::uint64_t round, Span<const std::int32_t> values,
                          const Stream& stream) const;

  int owner() const { return owner_; }
  const std::shared_ptr<const AggregationContext>& context() const { return context_; }

 private:
  std::shared_ptr<const AggregationContext> context_;
  std::shared_ptr<const SecretKey> secret_;
  int owner_;
  Digest group_;
  threshold::OnceRegister once_;
  std::shared_ptr<Randomness> randomness_;
};

}  // namespace velum::he::aggregation
