#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "velum/he/aggregation/encrypted_vector.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/once_register.h"
#include "velum/he/threshold/shamir.h"
#include "velum/kernels/random/key_source.h"

namespace velum::he::aggregation {

/// What a party adds to the sum of a round so that it can be read: a_k (its part of the sum of the
/// owners' secrets) + noise that hides the errors + masks; [ciphertexts, limbs, N], coefficient
/// form.
class DecryptionShare {
 public:
  DecryptionShare(std::shared_ptr<const AggregationContext> context, const Round& round,
                  std::vector<int> owners, std::vector<int> parties, int party,
                  Buffer<Word> residues);

  const std::shared_ptr<const AggregationContext>& context() const { return context_; }
  const Round& round() const { return round_; }
  /// Whose vectors the sum has, rising.
  const std::vector<int>& owners() const { return owners_; }
  /// Whose shares belong together, rising.
  const std::vector<int>& parties() const { return parties_; }
  int party() const { return party_; }
  RnsView<const Word> view() const;

 private:
  std::shared_ptr<const AggregationContext> context_;
  Round round_;
  std::vector<int> owners_;
  std::vector<int> parties_;
  int party_;
  Buffer<Word> residues_;
};

/// The keys that one party shares with each of the others, and nobody else has. Wiped when they go.
///
/// A share without a mask would give away too much: an owner's own a s + noise, added to its
/// vector, is that vector in the open; and a share of Shamir's says the error modulo small numbers
/// (docs/noise.md, "Shares of a threshold"). So each two parties add and subtract the same uniform
/// polynomials, which follow from their key, the round, who is in the sum and who decrypts it:
/// alone every share is uniform, and in the sum over all of them the masks are gone. Parties who
/// were told different things about a round have different masks, and together they give noise.
class MaskKeys {
 public:
  MaskKeys() = default;
  MaskKeys(MaskKeys&&) noexcept = default;
  MaskKeys& operator=(MaskKeys&& other) noexcept;
  ~MaskKeys();

  /// @param other  the other party's number.
  /// @param key    the same at both: the protocol makes it of a Diffie-Hellman exchange.
  void set(int other, const kernels::RandomKey& key);
  bool has(int other) const { return keys_.count(other) != 0; }
  const kernels::RandomKey& at(int other) const { return keys_.at(other); }

 private:
  std::map<int, kernels::RandomKey> keys_;
};

/// A party's shares, one a round. A second one for the same round, of other owners, would let
/// whoever gets both subtract one sum from the other; so each round is entered in a register before
/// anything is computed. What a party needs is who is in the sum, not the sum.
class PartialDecryptor {
 public:
  /// For plans without a threshold: a party is an owner, and its part is its own secret.
  /// @param masks  with every other owner.
  /// @throws std::invalid_argument as `VectorEncryptor`, or if the plan has a threshold or a mask
  /// is
  ///         missing.
  PartialDecryptor(std::shared_ptr<const AggregationContext> context,
                   std::shared_ptr<const SecretKey> secret, int party, const Digest& group,
                   MaskKeys masks, threshold::OnceRegister once,
                   std::shared_ptr<Randomness> randomness = Randomness::secure());
  /// For plans with one: the values that the owners 1, .., K gave to this party (number `party` of
  /// `threshold::share_secret` with `plan.owners()` parties and the plan's threshold).
  PartialDecryptor(std::shared_ptr<const AggregationContext> context,
                   std::vector<threshold::SecretPolynomial> shares, int party, const Digest& group,
                   MaskKeys masks, threshold::OnceRegister once,
                   std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// @param owners   whose vectors are in the sum: two at least, with a threshold as many at least.
  /// @param parties  who decrypt: without a threshold the owners themselves, otherwise as many as
  ///                 the threshold says, this party among them.
  /// @throws std::invalid_argument if a number is out of range, twice, or too few or many;
  ///         threshold::AlreadyUsed if this party gave a share of this round before.
  DecryptionShare share(std::uint64_t round, const std::vector<int>& owners,
                        const std::vector<int>& parties, const Stream& stream) const;

  int party() const { return party_; }

 private:
  std::shared_ptr<const AggregationContext> context_;
  std::shared_ptr<const SecretKey> secret_;          // of plans without a threshold
  std::vector<threshold::SecretPolynomial> shares_;  // of the others
  int party_;
  Digest group_;
  MaskKeys masks_;
  threshold::OnceRegister once_;
  std::shared_ptr<Randomness> randomness_;
};

/// The sums of the owners' values, exactly.
/// @param shares  of every party that they name, in any order.
/// @return [plan.values()].
/// @throws std::invalid_argument if a share is of another plan, round, set of owners or of parties,
///         is there twice or missing; std::runtime_error if a coefficient has more noise than the
///         plan proves, or a sum is out of range: then a vector or a share was not made as this
///         library makes them, or was damaged. (Of random residues in place of one that passes for
///         all coefficients with probability below (2 noise_bound B^v / Q)^coefficients.)
std::vector<std::int32_t> decrypt_sum(const EncryptedSum& sum,
                                      const std::vector<const DecryptionShare*>& shares,
                                      const Stream& stream);

}  // namespace velum::he::aggregation
