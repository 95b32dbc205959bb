#pragma once

#include <array>
#include <cstdint>

#include "velum/he/ciphertext.h"
#include "velum/he/keys.h"
#include "velum/he/parameters.h"

namespace velum::he::serialization {

/// The numbers are in files: none changes, and none is used again.
enum class Kind : std::uint32_t {
  kParameters = 1,
  kPlaintext = 2,
  kCiphertext = 3,
  kSeededCiphertext = 4,
  kPublicKey = 5,
  kKeySwitchingKey = 6,
  kRelinearizationKey = 7,
  kGaloisKey = 8,
  kGaloisKeys = 9,
  kSecretKey = 10,
  kBfvParameters = 11,
  kBfvPlaintext = 12,
  kBfvCiphertext = 13,
  kBfvSeededCiphertext = 14,
  kGroup = 15,
  kPublicKeyShare = 16,
  kRelinearizationShareOne = 17,
  kRelinearizationRoundOne = 18,
  kRelinearizationShareTwo = 19,
  kGaloisKeyShare = 20,
  kDecryptionShare = 21,
  kSecretShare = 22,
  kParty = 23,
};
inline constexpr Kind kLastKind = Kind::kParty;
/// "a ciphertext" and so on; "unknown".
const char* to_string(Kind kind);

enum class Form : std::uint32_t { kNone = 0, kNtt = 1, kCoefficient = 2 };

inline constexpr std::array<std::uint8_t, 8> kMagic = {0x89, 'V', 'H', 'E', '\r', '\n', 0x1a, '\n'};
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr int kHeaderBytes = 128;
inline constexpr int kHashBytes = 32;
inline constexpr int kSeedBytes = 32;

/// What stands before every payload. What a kind has no use for is zero.
struct ObjectHeader {
  Kind kind{};
  ParametersId parameters_id{};
  KeyId key_id{};
  std::int32_t level = 0;
  std::int32_t count = 0;  ///< polynomials; of Galois keys: keys
  Form form = Form::kNone;
  std::uint32_t galois_element = 0;
  std::int32_t party = 0;  ///< whose message it is; of parameters: for how many, 0 for one
  double scale = 0.0;
  /// With the message's form. Of BFV: `slot_variance` is the bound of the noise's coefficients,
  /// `slot_bound` that of its slots; of a plaintext, `message_bound` is its coefficient sum.
  NoiseEstimate noise;
  std::int64_t payload_bytes = 0;
};

std::array<std::uint8_t, kHeaderBytes> encode(const ObjectHeader& header);
/// Checks magic, version and kind, and that numbers fit their types, nothing else.
/// @throws SerializationError
ObjectHeader decode(const std::array<std::uint8_t, kHeaderBytes>& bytes);

/// Bytes of [count, limbs, N] residues, each with as many bits as its prime has.
std::int64_t packed_bytes(const Parameters& parameters, const LimbIndices& limbs,
                          std::int64_t count);
/// Bytes of one limb.
std::int64_t packed_limb_bytes(const Parameters& parameters, int prime_index);
/// Bits of a number modulo the plaintext modulus of BFV.
int message_bits(const Parameters& parameters);
/// Bits of a residue modulo prime `prime_index` of the chain.
int residue_bits(const Parameters& parameters, int prime_index);

/// Bytes of the payload of a kind up to `kBfvSeededCiphertext`, from public facts alone.
std::int64_t payload_bytes(const Parameters& parameters, Kind kind, int level, int count);

}  // namespace velum::he::serialization
