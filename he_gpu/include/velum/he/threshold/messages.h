#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "velum/he/context.h"
#include "velum/he/threshold/once_register.h"
#include "velum/he/threshold/shamir.h"
#include "velum/kernels/random/key_source.h"

/// What the parties of a group send. Each message says whose it is and what it belongs to, so that
/// those that do not belong together are refused by name. Nothing shows that a message is from whom
/// it says, or that it was made as it should be: velum::he::threshold is for parties that keep to
/// the protocol but would read what they get (docs/threat_model.md), over channels on which nobody
/// else writes.
namespace velum::he::threshold {

/// A message for whoever combines; anybody may read it.
class Message {
 public:
  Message(std::shared_ptr<const Context> context, const Digest& group, int party,
          const Digest& subject, Buffer<Word> residues, std::int64_t polys, std::int64_t limbs)
      : context_(std::move(context)),
        group_(group),
        party_(party),
        subject_(subject),
        residues_(std::move(residues)),
        polys_(polys),
        limbs_(limbs) {}

  const std::shared_ptr<const Context>& context() const { return context_; }
  const Digest& group() const { return group_; }
  /// 1 to n.
  int party() const { return party_; }
  /// Hash of what it is about: the ciphertext, the Galois element, the first round; else zeros.
  const Digest& subject() const { return subject_; }
  /// NTT form.
  RnsView<const Word> view() const {
    return {residues_.data(), polys_, limbs_, context_->degree()};
  }

 private:
  std::shared_ptr<const Context> context_;
  Digest group_{};
  int party_ = 0;
  Digest subject_{};
  Buffer<Word> residues_;
  std::int64_t polys_;
  std::int64_t limbs_;
};

/// e_i - a s_i: [1, limbs(max_level), N].
class PublicKeyShare : public Message {
 public:
  explicit PublicKeyShare(Message message) : Message(std::move(message)) {}
};

/// (e_0 - a_j u_i + P g_j s_i, a_j s_i + e_1) for each digit j: [2 dnum, limbs of QP, N].
class RelinearizationShareOne : public Message {
 public:
  explicit RelinearizationShareOne(Message message) : Message(std::move(message)) {}
};
/// The sum (h_0, h_1) of those of all parties; `party()` is 0. Its subject is its own hash.
class RelinearizationRoundOne : public Message {
 public:
  explicit RelinearizationRoundOne(Message message) : Message(std::move(message)) {}
};
/// s_i (h_0 - a'_j) + u_i h_1 + e_2 + e_3 + e_4 for each digit: [dnum, limbs of QP, N]. Its subject
/// is that of the first round.
class RelinearizationShareTwo : public Message {
 public:
  explicit RelinearizationShareTwo(Message message) : Message(std::move(message)) {}
};

/// e_i - a_j s_i + P g_j s_i(X^g) for each digit: [dnum, limbs of QP, N].
class GaloisKeyShare : public Message {
 public:
  GaloisKeyShare(Message message, std::uint32_t galois_element)
      : Message(std::move(message)), galois_element_(galois_element) {}
  std::uint32_t galois_element() const { return galois_element_; }

 private:
  std::uint32_t galois_element_;
};

/// A smudged share of the decryption of one ciphertext, which is its subject, by `active` parties
/// together: [1, limbs(level), N].
class DecryptionShare : public Message {
 public:
  DecryptionShare(Message message, int level, std::vector<int> active)
      : Message(std::move(message)), level_(level), active_(std::move(active)) {}
  int level() const { return level_; }
  /// Rising.
  const std::vector<int>& active() const { return active_; }

 private:
  int level_;
  std::vector<int> active_;
};

/// What one party gives another of its secret, where fewer than all decrypt: for the receiver
/// alone. Whoever reads t of the same dealer's knows its secret: to encrypt them on the way, and to
/// know whom they are from, is the caller's business.
class SecretShare {
 public:
  SecretShare(const Digest& group, int dealer, int receiver, SecretPolynomial value,
              const kernels::RandomKey& pair_secret)
      : group_(group),
        dealer_(dealer),
        receiver_(receiver),
        value_(std::move(value)),
        pair_secret_(pair_secret) {}
  SecretShare(SecretShare&&) noexcept = default;
  SecretShare& operator=(SecretShare&&) noexcept = default;
  ~SecretShare() { kernels::wipe(pair_secret_); }

  const std::shared_ptr<const Context>& context() const { return value_.context(); }
  const Digest& group() const { return group_; }
  int dealer() const { return dealer_; }
  int receiver() const { return receiver_; }
  const SecretPolynomial& value() const { return value_; }
  /// Inside of the library.
  SecretPolynomial& mutable_value() { return value_; }
  /// The dealer's part of what the two mask their decryption shares with.
  const kernels::RandomKey& pair_secret() const { return pair_secret_; }

 private:
  Digest group_;
  int dealer_;
  int receiver_;
  SecretPolynomial value_;
  kernels::RandomKey pair_secret_;
};

}  // namespace velum::he::threshold
