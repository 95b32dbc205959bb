#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/encrypted_vector.h"
#include "velum/he/serialization.h"

/// Vectors and shares as bytes (docs/serialization.md): each residue with as many bits as its prime
/// has, and none for coefficients that hold no value. Bytes may come from anybody: a loader gives
/// an object of the context's plan, or a SerializationError; sizes follow from the plan before
/// anything is allocated, and the SHA-256 at the end is against accidents alone.
namespace velum::he::aggregation {

std::vector<std::uint8_t> to_bytes(const EncryptedVector& vector, const Stream& stream);
EncryptedVector encrypted_vector_from_bytes(
    Span<const std::uint8_t> bytes, const std::shared_ptr<const AggregationContext>& context,
    const Stream& stream);

std::vector<std::uint8_t> to_bytes(const DecryptionShare& share, const Stream& stream);
DecryptionShare decryption_share_from_bytes(
    Span<const std::uint8_t> bytes, const std::shared_ptr<const AggregationContext>& context,
    const Stream& stream);

}  // namespace velum::he::aggregation
