#include "serialization/object_io.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "serialization/residue_packing.h"

namespace velum::he::serialization {
namespace {

/// A limb in host memory and its packed bytes.
struct LimbScratch {
  explicit LimbScratch(const Context& context)
      : words(context.degree(), Stream::serial()),
        bytes(context.degree() / 8 * 32, Stream::serial()) {}
  SecretBuffer<Word> words;
  SecretBuffer<std::uint8_t> bytes;
};

}  // namespace

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

void check_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  throw SerializationError(std::string(name) + " = " + std::to_string(value) + ", expected " +
                           std::to_string(low) +
                           (low == high ? std::string() : " to " + std::to_string(high)));
}

void check_estimate(const char* name, double value) {
  if (std::isfinite(value) && !std::signbit(value)) return;
  throw SerializationError(std::string(name) + " = " + number_text(value) +
                           ", expected finite and at least 0");
}

void check_zero(const char* name, double value) {
  if (value == 0.0 && !std::signbit(value)) return;
  throw SerializationError(std::string(name) + " = " + number_text(value) +
                           ", expected 0: this kind has none");
}

void check_no_message(const ObjectHeader& header) {
  check_zero("scale", header.scale);
  check_zero("slot_variance", header.noise.slot_variance);
  check_zero("slot_bound", header.noise.slot_bound);
  check_zero("message_bound", header.noise.message_bound);
  check_range("message form", static_cast<std::int64_t>(header.noise.form), 0, 0);
}

void check_payload_bytes(const ObjectHeader& header, std::int64_t expected) {
  if (header.payload_bytes == expected) return;
  throw SerializationError("a payload of " + std::to_string(header.payload_bytes) +
                           " bytes, expected " + std::to_string(expected));
}

ObjectHeader read_header(ByteReader& reader, Kind expected) {
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  reader.read(bytes.data(), kHeaderBytes);
  const ObjectHeader header = decode(bytes);
  if (header.kind != expected) {
    throw SerializationError(std::string("found ") + to_string(header.kind) + ", expected " +
                             to_string(expected));
  }
  return header;
}

void check_parameters(const ObjectHeader& header, const Context& context) {
  if (header.parameters_id == context.parameters().id()) return;
  throw SerializationError("the object is of parameters " + he::to_string(header.parameters_id) +
                           ", expected those of the context, " +
                           he::to_string(context.parameters().id()));
}

void check_context(const char* function, const std::shared_ptr<const Context>& context,
                   const Stream& stream) {
  if (context == nullptr) {
    throw std::invalid_argument(std::string(function) + ": context is null");
  }
  context->check_stream(function, stream);
}

void write_seed(ByteWriter& writer, const PublicSeed& seed) {
  std::array<std::uint8_t, kSeedBytes> bytes{};
  for (std::size_t i = 0; i < seed.words.size(); ++i) store_u32(&bytes[4 * i], seed.words[i]);
  writer.write(bytes.data(), kSeedBytes);
}

PublicSeed read_seed(ByteReader& reader) {
  std::array<std::uint8_t, kSeedBytes> bytes{};
  reader.read(bytes.data(), kSeedBytes);
  PublicSeed seed{};
  for (std::size_t i = 0; i < seed.words.size(); ++i) seed.words[i] = load_u32(&bytes[4 * i]);
  return seed;
}

void write_residues(ByteWriter& writer, const Context& context, RnsView<const Word> view,
                    const LimbIndices& limbs, const Stream& stream) {
  const LimbScratch scratch(context);
  for (std::int64_t poly = 0; poly < view.polys; ++poly) {
    for (int limb = 0; limb < limbs.count; ++limb) {
      const Word* words = view.limb(poly, limb);
      if (context.backend() == Backend::kCuda) {
        kernels::copy(Span<const Word>(words, view.degree), scratch.words.span(), stream);
        kernels::synchronize(stream);
        words = scratch.words.data();
      }
      pack_residues(words, view.degree, residue_bits(context.parameters(), limbs[limb]),
                    scratch.bytes.data());
      writer.write(scratch.bytes.data(), packed_limb_bytes(context.parameters(), limbs[limb]));
    }
  }
}

void read_residues(ByteReader& reader, const Context& context, Span<Word> words, std::int64_t count,
                   const LimbIndices& limbs, const Stream& stream) {
  const LimbScratch scratch(context);
  const RnsView<Word> view(words.data(), count, limbs.count, context.degree());
  for (std::int64_t poly = 0; poly < count; ++poly) {
    for (int limb = 0; limb < limbs.count; ++limb) {
      const int prime = limbs[limb];
      const Word q = context.parameters().primes()[static_cast<std::size_t>(prime)];
      reader.read(scratch.bytes.data(), packed_limb_bytes(context.parameters(), prime));
      const bool device = context.backend() == Backend::kCuda;
      Word* const row = device ? scratch.words.data() : view.limb(poly, limb);
      const std::int64_t refused = unpack_residues(
          scratch.bytes.data(), view.degree, residue_bits(context.parameters(), prime), q, row);
      if (refused != view.degree) {
        throw SerializationError("residue " + std::to_string(refused) + " of limb " +
                                 std::to_string(limb) + " of polynomial " + std::to_string(poly) +
                                 " is " + std::to_string(row[refused]) + ", expected below " +
                                 std::to_string(q));
      }
      if (device) {
        kernels::copy(Span<const Word>(scratch.words.span()),
                      Span<Word>(view.limb(poly, limb), view.degree), stream);
        kernels::synchronize(stream);
      }
    }
  }
}

void write_secret_words(ByteWriter& writer, const std::uint32_t* words) {
  const SecretBuffer<std::uint8_t> bytes(kSeedBytes, Stream::serial());
  for (int i = 0; i < kSeedBytes / 4; ++i) store_u32(bytes.data() + 4 * i, words[i]);
  writer.write(bytes.data(), kSeedBytes);
}

void read_secret_words(ByteReader& reader, std::uint32_t* words) {
  const SecretBuffer<std::uint8_t> bytes(kSeedBytes, Stream::serial());
  reader.read(bytes.data(), kSeedBytes);
  for (int i = 0; i < kSeedBytes / 4; ++i) words[i] = load_u32(bytes.data() + 4 * i);
}

void write_ternary(ByteWriter& writer, Span<const std::int8_t> coefficients, const Stream& stream) {
  SecretBuffer<std::int8_t> host(coefficients.size(), Stream::serial());
  kernels::copy(coefficients, host.span(), stream);
  kernels::synchronize(stream);
  SecretBuffer<std::uint8_t> packed(coefficients.size() / 4, Stream::serial());
  for (std::int64_t i = 0; i < packed.size(); ++i) {
    unsigned byte = 0;
    for (int j = 0; j < 4; ++j)
      byte |= (static_cast<unsigned>(host.data()[4 * i + j]) & 3U) << (2 * j);
    packed.data()[i] = static_cast<std::uint8_t>(byte);
  }
  writer.write(packed.data(), packed.size());
}

Ternary read_ternary(ByteReader& reader, std::int64_t degree) {
  SecretBuffer<std::uint8_t> packed(degree / 4, Stream::serial());
  reader.read(packed.data(), packed.size());
  SecretBuffer<std::int8_t> coefficients(degree, Stream::serial());
  unsigned refused = 0;
  for (std::int64_t i = 0; i < degree; ++i) {
    const unsigned code = static_cast<unsigned>(packed.data()[i / 4]) >> (2 * (i % 4)) & 3U;
    refused |= (code >> 1) & ~code & 1U;  // 2
    coefficients.data()[i] = static_cast<std::int8_t>(static_cast<int>(code ^ 2U) - 2);
  }
  return {std::move(coefficients), refused == 0};
}

void check_ternary(const Ternary& ternary) {
  // Which one it is is a secret: it is not in the text.
  if (!ternary.valid) throw SerializationError("a coefficient is not -1, 0 or 1");
}

}  // namespace velum::he::serialization
