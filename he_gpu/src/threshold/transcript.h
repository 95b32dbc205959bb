#pragma once

#include <string>
#include <vector>

#include "sha256.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/threshold/once_register.h"

/// What the parties of a group must agree on, as hashes. Each begins with a text of its own.
namespace velum::he::threshold {

/// Bits of a hash as the key of a random stream.
kernels::RandomKey random_key_of(const Digest& digest);
std::string to_string(const Digest& digest);             ///< 64 hexadecimal digits
std::string to_string(const std::vector<int>& parties);  ///< "1, 3"

/// Of the collective key of a group.
KeyId key_id_of(const Digest& group);

void update_residues(Sha256& hash, RnsView<const Word> view, const Stream& stream);

/// Of a ciphertext: its level and canonical residues, nothing that is merely claimed of it.
Digest ciphertext_digest(const Digest& group, int level, RnsView<const Word> view,
                         const Stream& stream);
/// Of the sum of the first shares of a relinearisation key.
Digest round_one_digest(const Digest& group, RnsView<const Word> view, const Stream& stream);
Digest galois_digest(const Digest& group, std::uint32_t galois_element);

}  // namespace velum::he::threshold
