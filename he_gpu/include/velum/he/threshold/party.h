#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/ciphertext.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/messages.h"
#include "velum/he/threshold/once_register.h"

namespace velum::he::threshold {

/// One party of a group and its secret s_i, uniform ternary; the secret key s of the group is the
/// sum of all, and nobody has it. In order:
///
///   1. `public_key_share` of all parties -> `combine_public_key`;
///   2. for products: `relinearization_share_one` of all -> `combine_round_one`, which goes to all;
///      `relinearization_share_two` of all -> `combine_relinearization_key`;
///   3. for rotations: `galois_key_share` of all, for each element -> `combine_galois_key`;
///   4. if t < n: `deal_secret_shares` of all, each share to its receiver ->
///   `receive_secret_shares`;
///   5. `decryption_share` of t or more -> `combine_decryption` (threshold/combine.h).
///
/// Whatever is made of the secret is made once, which the register remembers, since each is a sum
/// of a known multiple of the secret and a small error, and of two of them the errors cancel.
/// Steps 1 to 4 are of one process, since the secrets between rounds are not saved; a set-up that
/// was interrupted begins anew with a new group. Then `save_party_unencrypted` (serialization.h).
///
/// The relinearisation key differs from the paper's protocol in one thing. There party i sends
/// s_i h_0 + e_2 and (u_i - s_i) h_1 + e_3 in the second round, and the key is (sum of both, h_1).
/// Here it sends their sum plus s_i (h_1 - a') + e_4, which brings the key's second half to an a'
/// from a seed, so that it is as long as every other switching key. a' is uniform, from a hash of
/// the whole first round; with a* = a' - h_1, which is as uniform, e_4 - s_i a* is a share of a
/// public key for a*, so whoever sees these messages sees nothing that those of the paper and one
/// more public key do not give.
///
/// Move-only; calls of one party are made one after the other.
class Party {
 public:
  /// A new secret.
  /// @param index  1 to n, a different one for each party.
  /// @param once   see `OnceRegister`: it must remember as long as the secret is kept.
  /// @throws std::invalid_argument if the index is out of range, or once or randomness is null.
  Party(Group group, int index, OnceRegister once, const Stream& stream,
        std::shared_ptr<Randomness> randomness = Randomness::secure());
  Party(Party&&) noexcept;
  Party& operator=(Party&&) noexcept;
  ~Party();

  const Group& group() const;
  int index() const;
  /// Whether it can decrypt: t = n, or it has received shares of all.
  bool ready_to_decrypt() const;

  /// @throws AlreadyUsed the second time, as each of the following.
  PublicKeyShare public_key_share(const Stream& stream);
  /// @throws std::invalid_argument also if the parameters have no special primes.
  RelinearizationShareOne relinearization_share_one(const Stream& stream);
  /// @throws std::invalid_argument also if the sum is another group's; std::logic_error if this
  /// party has not made its first share in this process.
  RelinearizationShareTwo relinearization_share_two(const RelinearizationRoundOne& sum,
                                                    const Stream& stream);
  /// @param galois_element  odd, 3 to 2N - 1 (`galois_element_of_rotation`).
  GaloisKeyShare galois_key_share(std::uint32_t galois_element, const Stream& stream);

  /// Its secret shared among all, [n]: share j - 1 is for party j alone.
  /// @throws std::logic_error if t = n.
  std::vector<SecretShare> deal_secret_shares(const Stream& stream);
  /// What all parties, itself too, have dealt to this one.
  /// @throws std::invalid_argument naming the share that is of another group, for another receiver,
  /// missing or there twice; std::logic_error if t = n, if it has dealt none itself in this
  /// process, or has received them already.
  void receive_secret_shares(std::vector<SecretShare> shares, const Stream& stream);

  /// A share of the decryption of a ciphertext of two polynomials, once for each ciphertext:
  ///
  ///   c_1 s_i + e,  e smudges (`Smudging`) with B the ciphertext's `NoiseBound::coefficient`;
  ///   c_1 lambda_i f(i) + m_i + e  if t < n: m_i is uniform, and all m_i add up to 0
  ///
  /// The masks m_i come from secrets of each pair of parties and a hash of the ciphertext and the
  /// active parties; without them a share would give away the error (docs/noise.md). So all parties
  /// must be asked for the same ones.
  /// @param active  who decrypts, this one too: t or more different ones; all if t = n.
  /// @throws AlreadyUsed if a share of this very ciphertext was made before, whoever was active;
  /// std::invalid_argument if the ciphertext belongs to another key or context, has three
  /// polynomials, an unknown history (its bound would be a stranger's claim), or if the noise of
  /// all shares does not fit: the text has the figures and what would help; std::logic_error if
  /// not `ready_to_decrypt`; what the register throws.
  DecryptionShare decryption_share(const bfv::Ciphertext& ciphertext,
                                   const std::vector<int>& active, const Stream& stream);
  /// The same for CKKS, B = `NoiseEstimate::slot_bound`, which bounds the norm of all coefficients.
  /// The noise stays in the message: a slot gets sigma sqrt(N) for each party, so the message needs
  /// a scale of some 2^(lambda + 10) times its error. Where the noise in a slot would be as large
  /// as the message, it is refused.
  DecryptionShare decryption_share(const Ciphertext& ciphertext, const std::vector<int>& active,
                                   const Stream& stream);

  /// Inside of the library.
  struct Secrets;
  const Secrets& secrets() const { return *secrets_; }
  Party(Group group, int index, OnceRegister once, std::unique_ptr<Secrets> secrets,
        std::shared_ptr<Randomness> randomness);

 private:
  void claim(const char* function, const char* domain, const Digest& subject, const char* what);
  /// Of this party.
  Message message(const Digest& subject, Buffer<Word> residues, std::int64_t polys,
                  const LimbIndices& limbs) const;
  template <typename AnyCiphertext>
  DecryptionShare share_of(const AnyCiphertext& ciphertext, const std::vector<int>& active,
                           const Stream& stream);

  struct State;
  std::unique_ptr<State> state_;
  std::unique_ptr<Secrets> secrets_;
};

}  // namespace velum::he::threshold
