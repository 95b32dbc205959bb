#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string_view>

namespace velum::he::threshold {

/// SHA-256 of what a message is about.
using Digest = std::array<std::uint8_t, 32>;

/// Remembers what was made once and must never be made again, because two of it would give a secret
/// away: a decryption share of one ciphertext, an encryption under one public polynomial, a share
/// of one key. It returns true if the pair is new to it, having entered it; false if it was
/// entered before. Whoever asks makes the thing only after it returned true.
///
/// What it rests on, and nothing here can check:
/// - an entry survives the process, a crash and a power cut once the call has returned. The ledger
///   of dpsgd is such a register: `[&](auto domain, const auto& digest) { return
///   ledger.claim_once(domain, digest); }`.
/// - there is one for a secret: two processes that hold the same secret share its register.
/// - if it throws, the entry may be there or not; nothing is made then.
/// @param domain  what is made: a text of 1 to 64 of letters, digits, '.', '_', '-'.
using OnceRegister = std::function<bool(std::string_view domain, const Digest& digest)>;

/// It would be the second one.
class AlreadyUsed : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// For tests: a register in memory. After a restart it has forgotten everything, and then a secret
/// can be given away. Thread-safe; copies share their entries.
OnceRegister once_register_that_forgets_on_restart();

/// Claims, or throws.
/// @param what  for the text, as "a decryption share of this ciphertext".
/// @throws AlreadyUsed naming `function`; what the register throws.
void claim_once(const OnceRegister& once, const char* function, std::string_view domain,
                const Digest& digest, std::string_view what);

}  // namespace velum::he::threshold
