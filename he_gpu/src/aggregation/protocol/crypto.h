#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "rns_random.h"
#include "velum/he/aggregation/protocol.h"

/// What the protocol takes from libcrypto.
namespace velum::he::aggregation {

using Signature = std::array<std::uint8_t, 64>;
using ExchangeKey = std::array<std::uint8_t, 32>;  // X25519, public

bool is_signed_by(const PublicIdentity& who, const Digest& digest, const Signature& signature);

/// One side of a Diffie-Hellman exchange (X25519, RFC 7748), for one group.
class KeyExchange {
 public:
  /// @param seed  becomes the private key.
  explicit KeyExchange(const kernels::RandomKey& seed);
  KeyExchange(KeyExchange&&) noexcept;
  KeyExchange& operator=(KeyExchange&&) noexcept;
  ~KeyExchange();

  const ExchangeKey& public_key() const { return public_; }
  /// What both sides have in common, hashed with both public keys, the group and a label.
  /// @throws ProtocolError if the other key is one of the few that give everybody the same secret.
  kernels::RandomKey agreed(const ExchangeKey& other, const Digest& group,
                            std::string_view label) const;

 private:
  struct Key;
  std::unique_ptr<Key> key_;
  ExchangeKey public_{};
};

inline constexpr std::size_t kTagBytes = 16;

/// ChaCha20-Poly1305 (RFC 8439) with a key that is used for this one message: the nonce is 0.
/// @param text  replaced by the encrypted text.
/// @return the tag.
std::array<std::uint8_t, kTagBytes> seal(const kernels::RandomKey& key,
                                         Span<const std::uint8_t> authenticated,
                                         Span<std::uint8_t> text);
/// @return false, and `text` is of no use, if the tag is not right.
bool open(const kernels::RandomKey& key, Span<const std::uint8_t> authenticated,
          Span<std::uint8_t> text, const std::array<std::uint8_t, kTagBytes>& tag);

}  // namespace velum::he::aggregation
