#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "velum/he/aggregation/context.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/once_register.h"

/// The rounds of an aggregation as messages, without a network: `Owner` and `Aggregator` take and
/// give bytes, and whoever embeds them carries these from one to the other, in any way and by
/// anybody. Every message is signed (Ed25519, RFC 8032) and says its kind, group, round and sender;
/// what is out of order, repeated, of another round or group, or not signed by whom it names is a
/// `ProtocolError`, and changes nothing.
///
///   set-up, once for a group
///     owner       start_setup        -> key exchange (X25519), to the aggregator
///     aggregator  setup_keys         -> those of all, to every owner
///     owner       deal               -> with a threshold: an encrypted share for each other owner
///     aggregator  shares_for(j)      -> those for owner j
///     owner       finish_setup       -> that it is ready, to the aggregator
///   a round
///     aggregator  start_round        -> to every owner
///     owner       submit             -> its encrypted vector
///     aggregator  close_submissions  -> whose vectors are in the sum, and their signatures, to all
///     owner       confirm            -> its signature on what it was told
///     aggregator  request_shares     -> who decrypts, and the signatures of a quorum, to them
///     owner       share              -> its decryption share
///     aggregator  finish             -> the sums; result -> to every owner
///
/// Owners give no share before they have seen that a quorum signed the very same account of the
/// round, which has the account of the round before in it: so the aggregator cannot show different
/// owners different sets of vectors, nor mix rounds (Bonawitz et al., Practical Secure Aggregation
/// for Privacy-Preserving Machine Learning, CCS 2017, section 6). An owner who falls silent before
/// the shares are requested is left out; one who falls silent afterwards ends the round without a
/// result, and the next one begins. Formats: docs/serialization.md; who learns what, and what an
/// active adversary can do: docs/threat_model.md.
namespace velum::he::aggregation {

using Bytes = std::vector<std::uint8_t>;

/// A message that is refused. The state is as before.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Whom a signature is of: an Ed25519 public key.
using PublicIdentity = std::array<std::uint8_t, 32>;

/// An Ed25519 key pair, by libcrypto. Move-only; the private half is wiped when it goes.
class Identity {
 public:
  /// A new one, from the operating system's randomness.
  static Identity generate();
  /// The one of a private key that was saved.
  static Identity from_private_key(const std::array<std::uint8_t, 32>& key);
  Identity(Identity&&) noexcept;
  Identity& operator=(Identity&&) noexcept;
  ~Identity();

  const PublicIdentity& public_identity() const { return public_; }
  /// To keep in a safe place. The caller wipes it.
  std::array<std::uint8_t, 32> export_private_key_secret() const;

  /// Inside of the library: of a digest.
  std::array<std::uint8_t, 64> sign(const Digest& digest) const;

 private:
  struct Key;
  explicit Identity(std::unique_ptr<Key> key);
  std::unique_ptr<Key> key_;
  PublicIdentity public_{};
};

/// All that the members of a group agree on before they begin, by a way that the protocol does not
/// give: above all whose public keys are whose.
struct Roster {
  PublicIdentity aggregator{};
  /// Of owners 1 to K, in this order; different from each other.
  std::vector<PublicIdentity> owners;
  /// Different for every group of the same members, such as 32 random bytes.
  Digest nonce{};
  /// How many owners must have signed the same account before shares are given; 0: the plan's
  /// threshold, or more than half of K where that is more. Every two quorums should have an honest
  /// owner in common: against c owners who sign twice, more than (K + c) / 2.
  int quorum = 0;
  /// The fewest vectors that a sum may have; 0: more than half of K, and the threshold at least.
  int least_vectors = 0;
};

/// The hash of roster and plan: `Round::group`.
Digest group_of(const AggregationPlan& plan, const Roster& roster);

/// One owner of a group. Its secrets last as long as the object: after a restart the group is gone
/// for it, and the register refuses to set up the same one again; make one with another nonce.
/// Move-only; calls of one owner are made one after the other.
class Owner {
 public:
  /// @param number    1 to K.
  /// @param identity  whose public half the roster has there.
  /// @param once      lasting (see `OnceRegister`): the group, each round's vector, confirmation
  /// and
  ///                  share are entered before they are made.
  /// @throws std::invalid_argument if the roster does not fit the plan, a number is out of range,
  ///         or the identity is another one.
  Owner(std::shared_ptr<const AggregationContext> context, Roster roster, int number,
        Identity identity, threshold::OnceRegister once, const Stream& stream,
        std::shared_ptr<Randomness> randomness = Randomness::secure());
  Owner(Owner&&) noexcept;
  Owner& operator=(Owner&&) noexcept;
  ~Owner();

  // All of these: @throws ProtocolError if the message is refused; std::logic_error if it is not
  // the time for the call; threshold::AlreadyUsed if it was made before, by this process or
  // another.

  Bytes start_setup();
  /// @param keys  from `Aggregator::setup_keys`.
  /// @return one message for each other owner with a threshold, otherwise none.
  std::vector<Bytes> deal(Span<const std::uint8_t> keys);
  /// @param shares  from `Aggregator::shares_for`, in any order; none without a threshold.
  Bytes finish_setup(const std::vector<Bytes>& shares);

  /// Its vector. Ends whatever was left of an earlier round.
  /// @param values  [plan.values()]; as `VectorEncryptor::encrypt`.
  Bytes submit(Span<const std::uint8_t> round_start, Span<const std::int32_t> values);
  /// Takes part in a round without a vector, to confirm and decrypt. With a threshold only.
  void join(Span<const std::uint8_t> round_start);
  /// @throws ProtocolError also if the account has a vector in this owner's name that it did not
  ///         send, a signature that is not its owner's, or too few vectors.
  Bytes confirm(Span<const std::uint8_t> summary);
  /// @throws ProtocolError also if fewer than a quorum signed what this owner was told, or one of
  ///         those who decrypt did not.
  Bytes share(Span<const std::uint8_t> request);
  /// The sums of the round, as the aggregator says they are.
  std::vector<std::int32_t> result(Span<const std::uint8_t> result) const;

  int number() const;
  const Digest& group() const;
  /// Of the round that it takes part in, or did last; 0 before the first.
  std::uint64_t round() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The one who adds up. It has no secret but its identity. Move-only.
class Aggregator {
 public:
  /// @throws std::invalid_argument as `Owner`.
  Aggregator(std::shared_ptr<const AggregationContext> context, Roster roster, Identity identity,
             const Stream& stream);
  Aggregator(Aggregator&&) noexcept;
  Aggregator& operator=(Aggregator&&) noexcept;
  ~Aggregator();

  /// Any message of an owner.
  /// @return whose it was.
  /// @throws ProtocolError if it is refused.
  int receive(Span<const std::uint8_t> message);

  // All of these: @throws std::logic_error if it is not the time for the call, naming what is
  // missing.

  Bytes setup_keys() const;
  std::vector<Bytes> shares_for(int owner) const;
  /// Begins the next round, also where the last one came to nothing.
  Bytes start_round();
  Bytes close_submissions();
  Bytes request_shares();
  /// @throws what `decrypt_sum` throws.
  std::vector<std::int32_t> finish();
  /// The sums for the owners.
  Bytes result() const;

  std::uint64_t round() const;
  /// Whose message of the present step has come, rising.
  std::vector<int> heard() const;
  /// Of whom a decryption share is expected, after `request_shares`.
  std::vector<int> parties() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace velum::he::aggregation
