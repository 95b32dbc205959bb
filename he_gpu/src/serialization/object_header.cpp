#include "serialization/object_header.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "serialization/byte_stream.h"
#include "velum/he/serialization.h"

namespace velum::he::serialization {
namespace {

/// Where the fields stand (docs/serialization.md).
enum Offset : std::size_t {
  kVersionAt = 8,
  kKindAt = 12,
  kParametersIdAt = 16,
  kKeyIdAt = 48,
  kLevelAt = 64,
  kCountAt = 68,
  kFormAt = 72,
  kGaloisElementAt = 76,
  kScaleAt = 80,
  kSlotVarianceAt = 88,
  kSlotBoundAt = 96,
  kMessageBoundAt = 104,
  kPayloadBytesAt = 112,
  kPartyAt = 120,
  kMessageFormAt = 124,
};

std::string hexadecimal(const std::uint8_t* bytes, std::size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::int32_t small_number(const char* name, std::uint32_t value) {
  if (value > static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max())) {
    throw SerializationError(std::string(name) + " = " + std::to_string(value) +
                             ", expected below 2^31");
  }
  return static_cast<std::int32_t>(value);
}

}  // namespace

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::kParameters:
      return "parameters";
    case Kind::kPlaintext:
      return "a plaintext";
    case Kind::kCiphertext:
      return "a ciphertext";
    case Kind::kSeededCiphertext:
      return "a seeded ciphertext";
    case Kind::kPublicKey:
      return "a public key";
    case Kind::kKeySwitchingKey:
      return "a key-switching key";
    case Kind::kRelinearizationKey:
      return "a relinearisation key";
    case Kind::kGaloisKey:
      return "a Galois key";
    case Kind::kGaloisKeys:
      return "Galois keys";
    case Kind::kSecretKey:
      return "a secret key";
    case Kind::kBfvParameters:
      return "parameters of BFV";
    case Kind::kBfvPlaintext:
      return "a plaintext of BFV";
    case Kind::kBfvCiphertext:
      return "a ciphertext of BFV";
    case Kind::kBfvSeededCiphertext:
      return "a seeded ciphertext of BFV";
    case Kind::kGroup:
      return "a group";
    case Kind::kPublicKeyShare:
      return "a share of a public key";
    case Kind::kRelinearizationShareOne:
      return "a first share of a relinearisation key";
    case Kind::kRelinearizationRoundOne:
      return "the first round of a relinearisation key";
    case Kind::kRelinearizationShareTwo:
      return "a second share of a relinearisation key";
    case Kind::kGaloisKeyShare:
      return "a share of a Galois key";
    case Kind::kDecryptionShare:
      return "a share of a decryption";
    case Kind::kSecretShare:
      return "a share of a secret";
    case Kind::kParty:
      return "a party";
  }
  return "unknown";
}

std::array<std::uint8_t, kHeaderBytes> encode(const ObjectHeader& header) {
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  store_u32(bytes.data() + kVersionAt, kFormatVersion);
  store_u32(bytes.data() + kKindAt, static_cast<std::uint32_t>(header.kind));
  std::copy(header.parameters_id.begin(), header.parameters_id.end(),
            bytes.begin() + kParametersIdAt);
  std::copy(header.key_id.begin(), header.key_id.end(), bytes.begin() + kKeyIdAt);
  store_u32(bytes.data() + kLevelAt, static_cast<std::uint32_t>(header.level));
  store_u32(bytes.data() + kCountAt, static_cast<std::uint32_t>(header.count));
  store_u32(bytes.data() + kFormAt, static_cast<std::uint32_t>(header.form));
  store_u32(bytes.data() + kGaloisElementAt, header.galois_element);
  store_u64(bytes.data() + kScaleAt, std::bit_cast<std::uint64_t>(header.scale));
  store_u64(bytes.data() + kSlotVarianceAt,
            std::bit_cast<std::uint64_t>(header.noise.slot_variance));
  store_u64(bytes.data() + kSlotBoundAt, std::bit_cast<std::uint64_t>(header.noise.slot_bound));
  store_u64(bytes.data() + kMessageBoundAt,
            std::bit_cast<std::uint64_t>(header.noise.message_bound));
  store_u64(bytes.data() + kPayloadBytesAt, static_cast<std::uint64_t>(header.payload_bytes));
  store_u32(bytes.data() + kPartyAt, static_cast<std::uint32_t>(header.party));
  store_u32(bytes.data() + kMessageFormAt, static_cast<std::uint32_t>(header.noise.form));
  return bytes;
}

ObjectHeader decode(const std::array<std::uint8_t, kHeaderBytes>& bytes) {
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) {
    throw SerializationError("the first bytes are " + hexadecimal(bytes.data(), kMagic.size()) +
                             ", expected " + hexadecimal(kMagic.data(), kMagic.size()) +
                             ": this is no object of velum, or was changed as if it were text");
  }
  const std::uint32_t version = load_u32(bytes.data() + kVersionAt);
  if (version != kFormatVersion) {
    throw SerializationError("format version " + std::to_string(version) + ", expected " +
                             std::to_string(kFormatVersion) +
                             (version > kFormatVersion ? ": a later release wrote this" : ""));
  }
  ObjectHeader header;
  const std::uint32_t kind = load_u32(bytes.data() + kKindAt);
  if (kind < static_cast<std::uint32_t>(Kind::kParameters) ||
      kind > static_cast<std::uint32_t>(kLastKind)) {
    throw SerializationError("kind " + std::to_string(kind) + ", expected 1 to " +
                             std::to_string(static_cast<std::uint32_t>(kLastKind)));
  }
  header.kind = static_cast<Kind>(kind);
  std::copy_n(bytes.begin() + kParametersIdAt, header.parameters_id.size(),
              header.parameters_id.begin());
  std::copy_n(bytes.begin() + kKeyIdAt, header.key_id.size(), header.key_id.begin());
  header.level = small_number("level", load_u32(bytes.data() + kLevelAt));
  header.count = small_number("count", load_u32(bytes.data() + kCountAt));
  const std::uint32_t form = load_u32(bytes.data() + kFormAt);
  if (form > static_cast<std::uint32_t>(Form::kCoefficient)) {
    throw SerializationError("form = " + std::to_string(form) + ", expected 0 to 2");
  }
  header.form = static_cast<Form>(form);
  header.galois_element = load_u32(bytes.data() + kGaloisElementAt);
  header.scale = std::bit_cast<double>(load_u64(bytes.data() + kScaleAt));
  header.noise.slot_variance = std::bit_cast<double>(load_u64(bytes.data() + kSlotVarianceAt));
  header.noise.slot_bound = std::bit_cast<double>(load_u64(bytes.data() + kSlotBoundAt));
  header.noise.message_bound = std::bit_cast<double>(load_u64(bytes.data() + kMessageBoundAt));
  const std::uint64_t payload = load_u64(bytes.data() + kPayloadBytesAt);
  if (payload > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw SerializationError("payload of " + std::to_string(payload) +
                             " bytes, expected below 2^63");
  }
  header.payload_bytes = static_cast<std::int64_t>(payload);
  header.party = small_number("party", load_u32(bytes.data() + kPartyAt));
  const std::uint32_t message_form = load_u32(bytes.data() + kMessageFormAt);
  if (message_form > static_cast<std::uint32_t>(MessageForm::kCoefficients)) {
    throw SerializationError("message form = " + std::to_string(message_form) +
                             ", expected 0 to 2");
  }
  header.noise.form = static_cast<MessageForm>(message_form);
  return header;
}

int message_bits(const Parameters& parameters) {
  return static_cast<int>(std::bit_width(parameters.plaintext_modulus() - 1));
}

int residue_bits(const Parameters& parameters, int prime_index) {
  return static_cast<int>(
      std::bit_width(parameters.primes()[static_cast<std::size_t>(prime_index)]));
}

std::int64_t packed_limb_bytes(const Parameters& parameters, int prime_index) {
  // N is a multiple of 8, so no bit is left over.
  return parameters.ring_degree() / 8 * residue_bits(parameters, prime_index);
}

std::int64_t packed_bytes(const Parameters& parameters, const LimbIndices& limbs,
                          std::int64_t count) {
  std::int64_t bytes = 0;
  for (int i = 0; i < limbs.count; ++i) bytes += packed_limb_bytes(parameters, limbs[i]);
  return count * bytes;
}

std::int64_t payload_bytes(const Parameters& parameters, Kind kind, int level, int count) {
  const int special = parameters.special_prime_count();
  const auto q = [&](int l) { return LimbIndices::range(special, parameters.limbs(l)); };
  const auto qp = LimbIndices::range(0, special + parameters.limbs(parameters.max_level()));
  switch (kind) {
    case Kind::kParameters:
      return 4 * (8 + static_cast<std::int64_t>(parameters.primes().size()));
    case Kind::kBfvParameters:
      return 4 * (10 + static_cast<std::int64_t>(parameters.primes().size()));
    case Kind::kBfvPlaintext:  // N is a multiple of 8
      return parameters.ring_degree() / 8 * message_bits(parameters);
    case Kind::kPlaintext:
    case Kind::kCiphertext:
    case Kind::kBfvCiphertext:
      return packed_bytes(parameters, q(level), count);
    case Kind::kSeededCiphertext:
    case Kind::kBfvSeededCiphertext:
    case Kind::kPublicKey:
      return kSeedBytes + packed_bytes(parameters, q(level), count);
    case Kind::kKeySwitchingKey:
    case Kind::kRelinearizationKey:
    case Kind::kGaloisKey:
      return kSeedBytes + packed_bytes(parameters, qp, count);
    case Kind::kGaloisKeys:
      return 0;
    case Kind::kSecretKey:
      return parameters.ring_degree() / 4;
    default:  // threshold/serialization.cpp
      return -1;
  }
}

}  // namespace velum::he::serialization
