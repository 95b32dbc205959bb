#include "sha256.h"

#include <openssl/evp.h>

#include <stdexcept>

namespace velum::he {
namespace {

void check(bool done) {
  if (!done) throw std::runtime_error("SHA-256: libcrypto failed");
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::update(const void* data, std::size_t size) {
  check(EVP_DigestUpdate(context_.get(), data, size) == 1);
}

void Sha256::update_text(std::string_view text) {
  update_u64(text.size());
  update(text.data(), text.size());
}

void Sha256::update_u32(std::uint32_t value) {
  std::uint8_t bytes[4];
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
  update(bytes, sizeof bytes);
}

void Sha256::update_u64(std::uint64_t value) {
  update_u32(static_cast<std::uint32_t>(value));
  update_u32(static_cast<std::uint32_t>(value >> 32));
}

std::array<std::uint8_t, 32> Sha256::finish() {
  std::array<std::uint8_t, 32> digest{};
  check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
  return digest;
}

}  // namespace velum::he
