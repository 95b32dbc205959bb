#include "serialization/byte_stream.h"

#include <array>
#include <istream>
#include <ostream>

#include "velum/he/serialization.h"

namespace velum::he::serialization {

void ByteWriter::put(const std::uint8_t* bytes, std::int64_t size) {
  bool taken = false;
  try {
    taken = static_cast<bool>(
        out_.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size)));
  } catch (const std::ios_base::failure&) {  // a stream that throws instead of saying so
  }
  if (!taken) {
    throw SerializationError("the stream failed while bytes " + std::to_string(written_) + " to " +
                             std::to_string(written_ + size) +
                             " of the object were written; what it holds of it is of no use");
  }
  written_ += size;
}

void ByteWriter::write(const std::uint8_t* bytes, std::int64_t size) {
  hash_.update(bytes, static_cast<std::size_t>(size));
  put(bytes, size);
}

void ByteWriter::finish() {
  const std::array<std::uint8_t, 32> digest = hash_.finish();
  put(digest.data(), static_cast<std::int64_t>(digest.size()));
  bool taken = false;
  try {
    taken = static_cast<bool>(out_.flush());
  } catch (const std::ios_base::failure&) {
  }
  if (!taken) {
    throw SerializationError("the stream failed to flush the object's " + std::to_string(written_) +
                             " bytes; what it holds of it is of no use");
  }
}

void ByteReader::get(std::uint8_t* bytes, std::int64_t size) {
  try {
    in_.read(reinterpret_cast<char*>(bytes), static_cast<std::streamsize>(size));
  } catch (const std::ios_base::failure&) {  // a stream that throws instead of saying so
  }
  if (!in_) {
    throw SerializationError("the stream ends or fails after " +
                             std::to_string(read_ + static_cast<std::int64_t>(in_.gcount())) +
                             " bytes of the object, expected at least " +
                             std::to_string(read_ + size));
  }
  read_ += size;
}

void ByteReader::read(std::uint8_t* bytes, std::int64_t size) {
  get(bytes, size);
  hash_.update(bytes, static_cast<std::size_t>(size));
}

void ByteReader::finish() {
  std::array<std::uint8_t, 32> found{};
  get(found.data(), static_cast<std::int64_t>(found.size()));
  if (found != hash_.finish()) {
    throw SerializationError(
        "the SHA-256 at the end of the object is not that of its bytes: they are damaged");
  }
}

}  // namespace velum::he::serialization
