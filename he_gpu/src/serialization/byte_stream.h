#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "sha256.h"

namespace velum::he::serialization {

// Little-endian, whatever the machine.
inline void store_u32(std::uint8_t* to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}
inline void store_u64(std::uint8_t* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}
inline std::uint32_t load_u32(const std::uint8_t* from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(from[i]) << (8 * i);
  return value;
}
inline std::uint64_t load_u64(const std::uint8_t* from) {
  return load_u32(from) | static_cast<std::uint64_t>(load_u32(from + 4)) << 32;
}

/// Writes the bytes of one object and hashes them.
class ByteWriter {
 public:
  explicit ByteWriter(std::ostream& out) : out_(out) {}
  /// @throws SerializationError if the stream does not take them.
  void write(const std::uint8_t* bytes, std::int64_t size);
  /// Writes the hash of all that was written, and flushes.
  void finish();

 private:
  void put(const std::uint8_t* bytes, std::int64_t size);

  std::ostream& out_;
  Sha256 hash_;
  std::int64_t written_ = 0;
};

/// Reads the bytes of one object and hashes them.
class ByteReader {
 public:
  explicit ByteReader(std::istream& in) : in_(in) {}
  /// @throws SerializationError if there are not so many.
  void read(std::uint8_t* bytes, std::int64_t size);
  /// Reads a hash, and compares it with that of all that was read.
  void finish();

 private:
  void get(std::uint8_t* bytes, std::int64_t size);

  std::istream& in_;
  Sha256 hash_;
  std::int64_t read_ = 0;
};

}  // namespace velum::he::serialization
