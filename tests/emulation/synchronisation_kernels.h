#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

/// Kernels that use barriers of a part of a block, mbarriers and asynchronous copies: each right,
/// and with one mistake of a kind.
namespace velum::emulation::synchronisation {

/// What is wrong with a kernel.
enum class Mistake {
  kNone,
  kNoWait,           // of the consumers, for what was produced
  kNoWaitForEmpty,   // of the producers, until it was consumed
  kWrongCount,       // of threads or arrivals
  kTooManyExpected,  // arrivals or bytes
  kWrongBarrier,
  kWrongPhase,
  kNoSync,  // after the initialisation, or after the wait of another thread
  kNoInit,
  kNoCommit,
  kWrongGroup,
  kUseAfterInval,
  kOrdinaryAccess,
  kStaleState,
  kWaitOnce,
};

constexpr int kThreads = 128;
constexpr int kRounds = 6;

/// Threads 0 to 63 produce and 64 to 127 consume, by barriers 1 (full) and 2 (empty): out[r][i] =
/// in[r][63 - i] for kRounds rounds of 64.
void produce_and_consume(const int* in, int* out, Mistake mistake);
/// Each half of the block reverses its 64 values, after barrier 1 or 2 for 64 threads. With kNoWait
/// the upper half reads what the lower one has written, mostly after that one's barrier.
void reverse_halves(const int* in, int* out, Mistake mistake);
/// The upper 64 threads reduce their predicates at barrier 3; out: count, all, any, of each thread.
void reduce_part(const unsigned* predicates, unsigned* out);
/// Lanes of a warp reach barrier 1 for 64 threads at different places: by barrier.sync, which may
/// be, or with kWrongCount by bar.sync, which may not.
void reach_at_different_places(int* out, Mistake mistake);
/// Barrier 1 for 64 threads while others wait for all at it (kWrongBarrier), or barrier 16
/// (kWrongCount).
void misuse_barrier(Mistake mistake);

/// One thread takes an mbarrier through its phases and writes down what it answers.
constexpr int kAnswers = 20;
void walk_through_phases(unsigned* answers);
/// kRounds rotations of 128 values through shared memory, ordered by an mbarrier; waits by parity,
/// or by state.
void rotate_by_mbarrier(const int* in, int* out, bool by_parity, Mistake mistake);

/// The lower 64 threads wait at an mbarrier, at which all arrive, and read what the upper ones have
/// written: out[i] = in[127 - i] for i below 64. With kNoSync the upper ones do not arrive, with
/// kNoWait they read what the lower ones have written, without waiting.
void read_upper_half(const int* in, int* out, Mistake mistake);

enum class Waiting { kGroup, kAll, kMbarrier, kMbarrierCounted };
/// Every thread copies one element of `width` bytes, and reads that of the thread opposite. Of the
/// elements, `filled` bytes come from `in`, the rest is zero.
void copy_elements(const void* in, void* out, int width, int filled, Waiting waiting,
                   Mistake mistake);
/// Sums kRounds rows of 128 values, two rows under way at a time.
void sum_rows(const int* in, int* out, Mistake mistake);
/// Copies a value and overwrites its source before it waits: out is the one or the other.
void overwrite_source(int* in, int* out);

/// Reverses 128 values through shared memory, by bulk copies in and out.
void reverse_by_bulk_copies(const int* in, int* out, Mistake mistake);

/// The same by classes of libcu++: cuda::barrier, cuda::pipeline, cuda::memcpy_async.
void reverse_by_cuda_barrier(const int* in, int* out);
void reverse_by_cuda_pipeline(const int* in, int* out);

/// atomicAdd to shared memory that was never written.
void add_to_unwritten(int* out, bool synchronises);

/// Where the mistake of the last launch shows.
int line_of_fault();

}  // namespace velum::emulation::synchronisation
