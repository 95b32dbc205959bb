#pragma once

#include <openssl/evp.h>

#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace velum::testing {

/// SHA-256 of the values as little-endian bytes, in hexadecimal.
template <typename T>
std::string sha256(const std::vector<T>& values) {
  static_assert(std::endian::native == std::endian::little);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(values.data(), values.size() * sizeof(T), digest, &size, EVP_sha256(), nullptr) !=
      1) {
    throw std::runtime_error("sha256: libcrypto cannot compute SHA-256");
  }
  const char* const digits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += digits[digest[i] >> 4];
    text += digits[digest[i] & 15];
  }
  return text;
}

}  // namespace velum::testing
