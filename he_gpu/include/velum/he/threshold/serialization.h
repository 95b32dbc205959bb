#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>

#include "velum/he/serialization.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/messages.h"
#include "velum/he/threshold/party.h"

/// Groups, their messages and their parties to bytes and back, as velum/he/serialization.h does it;
/// combined keys and ciphertexts are objects of that header. A loader of a message takes those of
/// its group alone, from a party that the group has, with residues below their primes; that it is
/// from that party, or made as it should be, nothing shows.
/// @throws as the functions there.
namespace velum::he::threshold {

void save(std::ostream& out, const Group& group);
Group load_group(std::istream& in, const std::shared_ptr<const Context>& context,
                 const Stream& stream);

void save(std::ostream& out, const PublicKeyShare& share, const Stream& stream);
PublicKeyShare load_public_key_share(std::istream& in, const Group& group, const Stream& stream);

void save(std::ostream& out, const RelinearizationShareOne& share, const Stream& stream);
RelinearizationShareOne load_relinearization_share_one(std::istream& in, const Group& group,
                                                       const Stream& stream);
void save(std::ostream& out, const RelinearizationRoundOne& sum, const Stream& stream);
/// The hash that the sum names is checked, too.
RelinearizationRoundOne load_relinearization_round_one(std::istream& in, const Group& group,
                                                       const Stream& stream);
void save(std::ostream& out, const RelinearizationShareTwo& share, const Stream& stream);
RelinearizationShareTwo load_relinearization_share_two(std::istream& in, const Group& group,
                                                       const Stream& stream);

void save(std::ostream& out, const GaloisKeyShare& share, const Stream& stream);
GaloisKeyShare load_galois_key_share(std::istream& in, const Group& group, const Stream& stream);

void save(std::ostream& out, const DecryptionShare& share, const Stream& stream);
DecryptionShare load_decryption_share(std::istream& in, const Group& group, const Stream& stream);

/// For its receiver alone: whoever reads t of a dealer's has its secret. Nothing encrypts it here,
/// and the memory of `out` is not wiped. What this library holds of it is.
void save_secret_share_unencrypted(std::ostream& out, const SecretShare& share,
                                   const Stream& stream);
SecretShare load_secret_share_unencrypted(std::istream& in, const Group& group,
                                          const Stream& stream);

/// All that a party needs to decrypt after a restart: its secret, what it has received, and what
/// it masks with. For its owner alone, as above. Where it may have been restored from a copy, its
/// register must be as new as its last share: a register that was put back forgets shares.
void save_party_unencrypted(std::ostream& out, const Party& party, const Stream& stream);
/// @param once  the very register that it had.
Party load_party_unencrypted(std::istream& in, const Group& group, OnceRegister once,
                             const Stream& stream,
                             std::shared_ptr<Randomness> randomness = Randomness::secure());

/// What `save` writes, in bytes.
std::int64_t serialized_size(const Group& group);
std::int64_t serialized_size(const PublicKeyShare& share);
std::int64_t serialized_size(const RelinearizationShareOne& share);
std::int64_t serialized_size(const RelinearizationRoundOne& sum);
std::int64_t serialized_size(const RelinearizationShareTwo& share);
std::int64_t serialized_size(const GaloisKeyShare& share);
std::int64_t serialized_size(const DecryptionShare& share);
std::int64_t serialized_size(const SecretShare& share);
std::int64_t serialized_size(const Party& party);

}  // namespace velum::he::threshold
