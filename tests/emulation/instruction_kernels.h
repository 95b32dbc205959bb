#pragma once

#include <cstdint>
#include <vector>

/// Single instructions that need more than their operands: lanes, memory, control. Each runs one
/// warp on host vectors of 32 values.
namespace velum::emulation::instructions {

using Lanes = std::vector<std::uint32_t>;

enum class Shuffle { kUp, kDown, kButterfly, kIndexed };
struct Shuffled {
  Lanes values;
  Lanes predicates;
};
/// shfl.sync with operand c = clamp | segment << 8.
Shuffled shuffle(Shuffle mode, const Lanes& values, const Lanes& offsets, std::uint32_t c);

struct Votes {
  Lanes all, any, uniform, ballot;
};
Votes vote(const Lanes& predicates, std::uint32_t mask);

struct Matches {
  Lanes any, all, all_predicate;
};
Matches match(const Lanes& values);

struct Reductions {
  Lanes add, min, max, min_signed, max_signed, bit_and, bit_or, bit_xor;
};
Reductions reduce(const Lanes& values);

enum class Atomic {
  kAdd,
  kMin,
  kMax,
  kAnd,
  kOr,
  kXor,
  kExchange,
  kIncrement,
  kDecrement,
  kCompareAndSwap
};
struct Updated {
  std::uint32_t old_value;
  std::uint32_t new_value;
};
/// One lane applies atom.<operation>.u32 to a value that starts as `start`, in global or shared
/// memory.
Updated update(Atomic operation, std::uint32_t start, std::uint32_t operand, std::uint32_t second,
               bool in_shared);
/// The sum of the values by atomicAdd of every lane.
float add_floats(const std::vector<float>& values, bool in_shared);
double add_doubles(const std::vector<double>& values);

/// brx.idx by value % 4 to 100, 201, 302 or 403.
Lanes branch_by_table(const Lanes& values);
/// 16-byte loads and stores, each vector reversed.
Lanes reverse_vectors(const Lanes& values);
/// Packs and unpacks 64-bit registers: the halves swapped.
std::vector<std::uint64_t> swap_halves(const std::vector<std::uint64_t>& values);
/// Narrow loads with sign extension: the sum of bytes and of 16-bit words as signed numbers.
std::vector<std::int32_t> signed_parts(const Lanes& values);
/// __syncthreads_count, _and, _or of the predicates.
struct BlockVotes {
  Lanes count, all, any;
};
BlockVotes block_vote(const Lanes& predicates);
/// Whether addresses of global, shared and local memory say so of themselves: 9 answers.
std::vector<std::uint32_t> address_spaces();

}  // namespace velum::emulation::instructions
