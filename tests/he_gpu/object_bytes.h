#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <istream>
#include <sstream>
#include <string>

#include "velum/he/parameters.h"
#include "velum/kernels/stream.h"

/// Objects as bytes, by docs/serialization.md.
namespace velum::testing {

inline constexpr std::size_t kHeaderBytes = 128, kHashBytes = 32;
/// Offsets.
inline constexpr std::size_t kVersion = 8, kKind = 12, kParametersId = 16, kKeyId = 48, kLevel = 64,
                             kCount = 68, kForm = 72, kGaloisElement = 76, kScale = 80,
                             kSlotVariance = 88, kSlotBound = 96, kMessageBound = 104,
                             kPayload = 112, kParty = 120, kMessageForm = 124;

inline std::string sha256_of(const std::string& bytes) {
  std::uint8_t digest[32];
  unsigned size = 0;
  EXPECT_EQ(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr), 1);
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

/// Replaces bytes, and makes the hash at the end right again.
inline std::string patched(std::string bytes, std::size_t at, const std::string& replacement) {
  bytes.replace(at, replacement.size(), replacement);
  const std::size_t hashed = bytes.size() - kHashBytes;
  return bytes.replace(hashed, kHashBytes, sha256_of(bytes.substr(0, hashed)));
}

inline std::string little_endian(std::uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}
inline std::string u32(std::uint64_t value) { return little_endian(value, 4); }
inline std::string u64(std::uint64_t value) { return little_endian(value, 8); }
inline std::string f64(double value) { return u64(std::bit_cast<std::uint64_t>(value)); }

template <typename Object>
std::string saved(const Object& object, const kernels::Stream& stream) {
  std::ostringstream out;
  save(out, object, stream);
  EXPECT_EQ(static_cast<std::int64_t>(out.str().size()), serialized_size(object));
  return out.str();
}
/// Of what lies in no backend's memory: parameters, groups.
template <typename Object>
std::string saved(const Object& object) {
  std::ostringstream out;
  save(out, object);
  EXPECT_EQ(static_cast<std::int64_t>(out.str().size()), serialized_size(object));
  return out.str();
}

/// One kind: its bytes, and what loads them and saves them again.
struct Sample {
  std::string name;
  std::string bytes;
  std::function<std::string(std::istream&)> reload;
};

}  // namespace velum::testing
