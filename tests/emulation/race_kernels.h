#pragma once

#include <cuda_runtime_api.h>

/// Kernels whose blocks, or warps, share device memory: with the order that this needs, and
/// without. `line_of_race()` is where the last launched kernel makes the second access.
namespace velum::emulation::races {

constexpr int kBlocks = 4;
constexpr int kThreads = 64;

int line_of_race();

enum class LastBlock {
  kRight,
  kWithoutBarrier,    // before the ticket: other warps may not have written yet
  kWithoutRelease,    // no fence before the ticket
  kWithoutAcquire,    // no fence after it
  kWithFenceOfBlock,  // __threadfence_block before the ticket
};
/// out = sum of in, kBlocks * kThreads values, by the last block to take a ticket.
void sum_in_last_block(const int* in, int* partial, unsigned* ticket, int* out, LastBlock how);

enum class Chain {
  kRight,
  kWithoutFence,   // between value and flag
  kWithPlainFlag,  // the flag is a plain variable
  kWithRelease,    // st.release and ld.acquire instead of fences
};
/// out[b] = in[0] + .. + in[b], each block taking the sum of the one before it.
void chain_of_blocks(const int* in, int* out, int* flags, Chain how);

/// data[b] = data[b + 1] for kBlocks blocks, in place or from one array to another.
void shift(const int* from, int* to);
/// Each block sets its `size` bytes of out, or one more.
void set_bytes(unsigned char* out, int size, bool one_more);

enum class Count { kAtomically, kPlainly, kAfterSetting };
/// *out += 1 by every thread; kAfterSetting: block 0 sets it to 0 first.
void count(int* out, Count how);
/// Every thread of every block sets the same flag to the same value.
void set_flag(int* flag, bool as_volatile);
/// Rotates kThreads values within a block through device memory.
void rotate(const int* in, int* shared, int* out, bool with_barrier);
/// Reads a struct as one vector, of which another block writes the padding.
void read_beside(int* data, int* out);
/// out[b] = 1 in two blocks, each with `fences` fences before that and after it, and then adds 1.
void fence_often(int* out, int fences);
/// out[i] = in[i] + 1 for kThreads values, in one block.
void add_one(const int* in, int* out, cudaStream_t stream);

}  // namespace velum::emulation::races
