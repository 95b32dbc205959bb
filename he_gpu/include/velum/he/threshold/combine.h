#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/ciphertext.h"
#include "velum/he/keys.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/messages.h"

/// Adds the messages of a group up. Whoever does it needs no secret. In all of these:
/// @param shares  one of each party, in any order. One that is missing, there twice, of another
///                group or about something else is a std::invalid_argument that says which.
/// @return keys whose history is unknown: others' errors are in them, and nothing shows how large.
///         Who trusts all parties to keep to the protocol says `vouch_for_history`.
namespace velum::he::threshold {

PublicKey combine_public_key(const Group& group, const std::vector<PublicKeyShare>& shares,
                             const Stream& stream);

RelinearizationRoundOne combine_round_one(const Group& group,
                                          const std::vector<RelinearizationShareOne>& shares,
                                          const Stream& stream);
RelinearizationKey combine_relinearization_key(const Group& group,
                                               const RelinearizationRoundOne& sum,
                                               const std::vector<RelinearizationShareTwo>& shares,
                                               const Stream& stream);

/// One for `GaloisKeys::keys`.
std::pair<std::uint32_t, KeySwitchingKey> combine_galois_key(
    const Group& group, const std::vector<GaloisKeyShare>& shares, const Stream& stream);

/// The message, exactly.
/// @param shares  of the parties that they name as active, and no others.
/// @throws std::invalid_argument also if the ciphertext is not the one of the shares, or its noise
/// bound and the shares' noise leave no budget.
bfv::Plaintext combine_decryption(const Group& group, const bfv::Ciphertext& ciphertext,
                                  const std::vector<DecryptionShare>& shares, const Stream& stream);
/// The message with its error and the noise of all shares, which its estimate counts.
Plaintext combine_decryption(const Group& group, const Ciphertext& ciphertext,
                             const std::vector<DecryptionShare>& shares, const Stream& stream);

}  // namespace velum::he::threshold
