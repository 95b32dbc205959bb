#include "aggregation/protocol/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <string>

#include "serialization/byte_stream.h"
#include "sha256.h"
#include "threshold/transcript.h"

namespace velum::he::aggregation {
namespace {

void check(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + ": libcrypto failed");
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using KeyPointer = std::unique_ptr<EVP_PKEY, FreeKey>;

std::array<std::uint8_t, 32> raw_public(EVP_PKEY* key) {
  std::array<std::uint8_t, 32> bytes{};
  std::size_t size = bytes.size();
  check(EVP_PKEY_get_raw_public_key(key, bytes.data(), &size) == 1 && size == bytes.size(),
        "public key");
  return bytes;
}

/// Wiped when it goes.
struct SecretBytes {
  SecretBytes() = default;
  explicit SecretBytes(const kernels::RandomKey& key) {
    for (std::size_t i = 0; i < key.words.size(); ++i)
      serialization::store_u32(&bytes[4 * i], key.words[i]);
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
  std::array<std::uint8_t, 32> bytes{};
};

}  // namespace

// ---- Identities -----------------------------------------------------------------------------

struct Identity::Key {
  KeyPointer pointer;
};

Identity::Identity(std::unique_ptr<Key> key)
    : key_(std::move(key)), public_(raw_public(key_->pointer.get())) {}
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(Identity&&) noexcept = default;
Identity::~Identity() = default;

Identity Identity::generate() {
  const SecretSeed seed(kernels::secure_random_key());
  const SecretBytes bytes(seed.key());
  return from_private_key(bytes.bytes);
}

Identity Identity::from_private_key(const std::array<std::uint8_t, 32>& key) {
  KeyPointer pointer(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  check(pointer != nullptr, "Identity");
  return Identity(std::make_unique<Key>(Key{std::move(pointer)}));
}

std::array<std::uint8_t, 32> Identity::export_private_key_secret() const {
  std::array<std::uint8_t, 32> bytes{};
  std::size_t size = bytes.size();
  check(EVP_PKEY_get_raw_private_key(key_->pointer.get(), bytes.data(), &size) == 1 &&
            size == bytes.size(),
        "Identity");
  return bytes;
}

namespace {

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigest>;

}  // namespace

Signature Identity::sign(const Digest& digest) const {
  const DigestContext context(EVP_MD_CTX_new());
  Signature signature{};
  std::size_t size = signature.size();
  check(
      context != nullptr &&
          EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_->pointer.get()) == 1 &&
          EVP_DigestSign(context.get(), signature.data(), &size, digest.data(), digest.size()) ==
              1 &&
          size == signature.size(),
      "Ed25519");
  return signature;
}

bool is_signed_by(const PublicIdentity& who, const Digest& digest, const Signature& signature) {
  const KeyPointer key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, who.data(), who.size()));
  const DigestContext context(EVP_MD_CTX_new());
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), digest.data(),
                          digest.size()) == 1;
}

// ---- Key exchange ---------------------------------------------------------------------------

struct KeyExchange::Key {
  KeyPointer pointer;
};

KeyExchange::KeyExchange(const kernels::RandomKey& seed) {
  const SecretBytes bytes(seed);
  KeyPointer pointer(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes.bytes.data(),
                                                  bytes.bytes.size()));
  check(pointer != nullptr, "X25519");
  public_ = raw_public(pointer.get());
  key_ = std::make_unique<Key>(Key{std::move(pointer)});
}
KeyExchange::KeyExchange(KeyExchange&&) noexcept = default;
KeyExchange& KeyExchange::operator=(KeyExchange&&) noexcept = default;
KeyExchange::~KeyExchange() = default;

kernels::RandomKey KeyExchange::agreed(const ExchangeKey& other, const Digest& group,
                                       std::string_view label) const {
  struct FreeContext {
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  };
  const KeyPointer peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, other.data(), other.size()));
  const std::unique_ptr<EVP_PKEY_CTX, FreeContext> context(
      EVP_PKEY_CTX_new(key_->pointer.get(), nullptr));
  check(peer != nullptr && context != nullptr && EVP_PKEY_derive_init(context.get()) == 1,
        "X25519");
  SecretBytes shared;
  std::size_t size = shared.bytes.size();
  // libcrypto refuses a secret of zeros, which is what the points of small order give.
  if (EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), shared.bytes.data(), &size) != 1 ||
      size != shared.bytes.size()) {
    throw ProtocolError("a key of the exchange is no key of X25519 that can be used");
  }
  Sha256 hash;
  hash.update_text("velum aggregation agreed key 1");
  hash.update_text(label);
  hash.update(group.data(), group.size());
  const auto& [low, high] = std::minmax(public_, other);
  hash.update(low.data(), low.size());
  hash.update(high.data(), high.size());
  hash.update(shared.bytes.data(), shared.bytes.size());
  return threshold::random_key_of(hash.finish());
}

// ---- Encryption -----------------------------------------------------------------------------

namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

/// In both directions; the tag is read or written.
bool crypt(bool encrypt, const kernels::RandomKey& key, Span<const std::uint8_t> authenticated,
           Span<std::uint8_t> text, std::uint8_t* tag) {
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context(EVP_CIPHER_CTX_new());
  const SecretBytes bytes(key);
  const std::array<std::uint8_t, 12> nonce{};
  check(context != nullptr &&
            EVP_CipherInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, bytes.bytes.data(),
                              nonce.data(), encrypt ? 1 : 0) == 1,
        "ChaCha20-Poly1305");
  int size = 0;
  check(EVP_CipherUpdate(context.get(), nullptr, &size, authenticated.data(),
                         static_cast<int>(authenticated.size())) == 1 &&
            EVP_CipherUpdate(context.get(), text.data(), &size, text.data(),
                             static_cast<int>(text.size())) == 1 &&
            size == text.size(),
        "ChaCha20-Poly1305");
  std::uint8_t rest[16];
  if (!encrypt) {
    check(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1,
          "ChaCha20-Poly1305");
    return EVP_CipherFinal_ex(context.get(), rest, &size) == 1;
  }
  check(EVP_CipherFinal_ex(context.get(), rest, &size) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1,
        "ChaCha20-Poly1305");
  return true;
}

}  // namespace

std::array<std::uint8_t, kTagBytes> seal(const kernels::RandomKey& key,
                                         Span<const std::uint8_t> authenticated,
                                         Span<std::uint8_t> text) {
  std::array<std::uint8_t, kTagBytes> tag{};
  crypt(true, key, authenticated, text, tag.data());
  return tag;
}

bool open(const kernels::RandomKey& key, Span<const std::uint8_t> authenticated,
          Span<std::uint8_t> text, const std::array<std::uint8_t, kTagBytes>& tag) {
  std::array<std::uint8_t, kTagBytes> copy = tag;
  return crypt(false, key, authenticated, text, copy.data());
}

}  // namespace velum::he::aggregation
