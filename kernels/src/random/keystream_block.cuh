// A keystream block as CUDA computes it, and the elements that are made of it.
#pragma once

#include <cstdint>

#include "random/prepared_stream.h"

namespace velum::kernels::cuda {

/// Block `counter` of the stream.
__device__ inline ChaCha20State keystream_block(const PreparedStream& stream,
                                                std::uint32_t counter) {
  ChaCha20State block = stream.after_first_columns;
  std::uint32_t(&x)[ChaCha20State::kWords] = block.words;
  x[ChaCha20State::kCounterWord] = counter;
  const auto diagonals = [&x] {
    chacha20_quarter_round(x[0], x[5], x[10], x[15]);
    chacha20_quarter_round(x[1], x[6], x[11], x[12]);
    chacha20_quarter_round(x[2], x[7], x[8], x[13]);
    chacha20_quarter_round(x[3], x[4], x[9], x[14]);
  };
  chacha20_quarter_round(x[0], x[4], x[8], x[12]);
  diagonals();
  // A loop of its own takes three instructions a turn.
#pragma unroll 3
  for (int double_round = 1; double_round < 10; ++double_round) {
    chacha20_quarter_round(x[0], x[4], x[8], x[12]);
    chacha20_quarter_round(x[1], x[5], x[9], x[13]);
    chacha20_quarter_round(x[2], x[6], x[10], x[14]);
    chacha20_quarter_round(x[3], x[7], x[11], x[15]);
    diagonals();
  }
#pragma unroll
  for (int w = 0; w < ChaCha20State::kWords; ++w) {
    x[w] += w == ChaCha20State::kCounterWord ? counter : stream.state.words[w];
  }
  return block;
}

/// Calls visit(slot, i) for the slots of a thread whose elements are elements i of [0, size): slot
/// s is i = first + s * kStride. A thread whose slots are all of the range, as in nearly all
/// threads, is not asked slot by slot.
template <int kSlots, int kStride, typename Visit>
__device__ void for_each_slot(std::int64_t first, std::int64_t size, const Visit& visit) {
  if (first >= 0 && first + (kSlots - 1) * kStride < size) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) visit(slot, first + slot * kStride);
  } else {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const std::int64_t i = first + slot * kStride;
      if (i >= 0 && i < size) visit(slot, i);
    }
  }
}

/// Stores a block's draws as elements first, first + 1, .. of `out`, those that are in it: by 16
/// bytes where all are and lie so. Such stores of a warp's lanes are of half a sector each; those
/// of 8 bytes would be of a quarter.
template <int kDraws>
__device__ void store_pairs(const std::uint64_t (&draws)[kDraws], std::int64_t first,
                            std::uint64_t* out, std::int64_t size) {
  std::uint64_t* const to = out + first;
  if (first >= 0 && first + kDraws <= size &&
      reinterpret_cast<std::uintptr_t>(to) % sizeof(ulonglong2) == 0) {
#pragma unroll
    for (int draw = 0; draw < kDraws; draw += 2) {
      *reinterpret_cast<ulonglong2*>(to + draw) = make_ulonglong2(draws[draw], draws[draw + 1]);
    }
    return;
  }
#pragma unroll
  for (int draw = 0; draw < kDraws; ++draw) {
    if (first + draw >= 0 && first + draw < size) to[draw] = draws[draw];
  }
}

}  // namespace velum::kernels::cuda
