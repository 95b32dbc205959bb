#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "velum/he/aggregation/plan.h"

/// How vectors and shares stand in bytes (docs/serialization.md).
namespace velum::he::aggregation {

inline constexpr std::array<std::uint8_t, 8> kMagic = {0x89, 'V', 'H', 'A', '\r', '\n', 0x1a, '\n'};
inline constexpr std::uint32_t kFormatVersion = 1;
enum class Kind : std::uint32_t { kVector = 1, kShare = 2 };
inline constexpr std::int64_t kHeaderBytes = 128;
inline constexpr std::int64_t kHashBytes = 32;

/// Coefficients of a ciphertext that are written: those that hold values, and up to seven more, so
/// that bytes come out full.
inline std::int64_t written_coefficients(const AggregationPlan& plan, std::int64_t ciphertext) {
  const std::int64_t degree = plan.parameters().ring_degree();
  const std::int64_t left = plan.coefficients() - ciphertext * degree;
  return left < degree ? (left + 7) / 8 * 8 : degree;
}

/// Of the residues of a vector or share.
inline std::int64_t residue_bytes(const AggregationPlan& plan) {
  std::int64_t bits = 0;
  for (const std::uint32_t prime : plan.parameters().primes()) bits += std::bit_width(prime);
  const std::int64_t last = plan.ciphertexts() - 1;
  return (last * plan.parameters().ring_degree() + written_coefficients(plan, last)) / 8 * bits;
}

}  // namespace velum::he::aggregation
