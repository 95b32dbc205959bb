#pragma once

#include <cstdint>

#include "serialization/byte_stream.h"
#include "velum/he/context.h"

namespace velum::he::serialization {

/// Residues of `bits` bits each (1 to 32), the first one in the lowest bits of the first bytes, and
/// so on without gaps.
/// @param count  a multiple of 8, so that bytes come out full.
/// @param out    [count / 8 * bits].
inline void pack_residues(const Word* residues, std::int64_t count, int bits, std::uint8_t* out) {
  std::uint64_t pending = 0;  // bits that are not written yet, the lowest first
  int size = 0;               // how many, below 32
  for (std::int64_t i = 0; i < count; ++i) {
    pending |= static_cast<std::uint64_t>(residues[i]) << size;
    size += bits;
    if (size >= 32) {
      store_u32(out, static_cast<std::uint32_t>(pending));
      out += 4;
      pending >>= 32;
      size -= 32;
    }
  }
  for (; size > 0; size -= 8, pending >>= 8) *out++ = static_cast<std::uint8_t>(pending);
}

/// The inverse.
/// @return the first index whose residue is not below q; `count` if there is none.
inline std::int64_t unpack_residues(const std::uint8_t* bytes, std::int64_t count, int bits, Word q,
                                    Word* residues) {
  const std::uint8_t* const end = bytes + count / 8 * bits;
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t pending = 0;
  int size = 0;
  std::int64_t refused = count;
  for (std::int64_t i = 0; i < count; ++i) {
    while (size < bits) {
      if (end - bytes >= 4) {
        pending |= static_cast<std::uint64_t>(load_u32(bytes)) << size;
        bytes += 4;
        size += 32;
      } else {
        pending |= static_cast<std::uint64_t>(*bytes++) << size;
        size += 8;
      }
    }
    residues[i] = static_cast<Word>(pending & mask);
    if (residues[i] >= q && refused == count) refused = i;
    pending >>= bits;
    size -= bits;
  }
  return refused;
}

/// The same of numbers with up to 60 bits.
inline void pack_numbers(const std::uint64_t* numbers, std::int64_t count, int bits,
                         std::uint8_t* out) {
  kernels::WideOf<std::uint64_t> pending = 0;
  int size = 0;  // below 8 between two numbers
  for (std::int64_t i = 0; i < count; ++i) {
    pending |= static_cast<kernels::WideOf<std::uint64_t>>(numbers[i]) << size;
    for (size += bits; size >= 8; size -= 8, pending >>= 8)
      *out++ = static_cast<std::uint8_t>(pending);
  }
}

/// The inverse.
/// @return the first index whose number is not below `limit`; `count` if there is none.
inline std::int64_t unpack_numbers(const std::uint8_t* bytes, std::int64_t count, int bits,
                                   std::uint64_t limit, std::uint64_t* numbers) {
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  kernels::WideOf<std::uint64_t> pending = 0;
  int size = 0;
  std::int64_t refused = count;
  for (std::int64_t i = 0; i < count; ++i) {
    for (; size < bits; size += 8)
      pending |= static_cast<kernels::WideOf<std::uint64_t>>(*bytes++) << size;
    numbers[i] = static_cast<std::uint64_t>(pending) & mask;
    if (numbers[i] >= limit && refused == count) refused = i;
    pending >>= bits;
    size -= bits;
  }
  return refused;
}

}  // namespace velum::he::serialization
