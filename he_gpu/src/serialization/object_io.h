#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "secret_buffer.h"
#include "serialization/byte_stream.h"
#include "serialization/object_header.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/serialization.h"

/// What saving and loading have in common for every kind of object.
namespace velum::he::serialization {

std::string number_text(double value);

// Of a header.

/// @throws SerializationError naming the number unless it is in [low, high].
void check_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high);
/// Finite and at least 0.
void check_estimate(const char* name, double value);
/// A number that the kind has no use for.
void check_zero(const char* name, double value);
/// Of a kind that has no message.
void check_no_message(const ObjectHeader& header);
/// The payload is as large as it should be.
void check_payload_bytes(const ObjectHeader& header, std::int64_t expected);

/// @throws SerializationError if it is of another kind.
ObjectHeader read_header(ByteReader& reader, Kind expected);
/// Of the parameters of the context.
void check_parameters(const ObjectHeader& header, const Context& context);
/// Writes a header; what a loader would refuse is not written.
/// @param check  a loader's checks.
/// @throws std::invalid_argument naming `function` if they complain.
template <typename Check>
void write_header(ByteWriter& writer, const char* function, const ObjectHeader& header,
                  const Check& check) {
  try {
    check(header);
  } catch (const SerializationError& error) {
    throw std::invalid_argument(std::string(function) + ": " + error.what());
  }
  writer.write(encode(header).data(), kHeaderBytes);
}

/// Calls `body` and puts the function's name before its complaints.
template <typename Body>
auto named(const char* function, const Body& body) {
  try {
    return body();
  } catch (const SerializationError& error) {
    throw SerializationError(std::string(function) + ": " + error.what());
  }
}

void check_context(const char* function, const std::shared_ptr<const Context>& context,
                   const Stream& stream);

// Payloads.

void write_seed(ByteWriter& writer, const PublicSeed& seed);
PublicSeed read_seed(ByteReader& reader);

/// Eight words that are secret, as those of a seed; what is read or written on the way is wiped.
void write_secret_words(ByteWriter& writer, const std::uint32_t* words);
void read_secret_words(ByteReader& reader, std::uint32_t* words);

/// Residues may be secret: what is read or written on the way is wiped.
void write_residues(ByteWriter& writer, const Context& context, RnsView<const Word> view,
                    const LimbIndices& limbs, const Stream& stream);
/// @param words  [count, limbs.count, N], in the memory of the context's backend.
void read_residues(ByteReader& reader, const Context& context, Span<Word> words, std::int64_t count,
                   const LimbIndices& limbs, const Stream& stream);

/// Two bits a coefficient, in two's complement: 0, 1, and 3 for -1; N/4 bytes. Neither branches nor
/// addresses depend on them.
void write_ternary(ByteWriter& writer, Span<const std::int8_t> coefficients, const Stream& stream);
/// In host memory. `check_ternary` is called when the hash is known to be right.
struct Ternary {
  SecretBuffer<std::int8_t> coefficients;
  bool valid;
};
Ternary read_ternary(ByteReader& reader, std::int64_t degree);
/// @throws SerializationError if a coefficient was none of them.
void check_ternary(const Ternary& ternary);

}  // namespace velum::he::serialization
