#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

/// Kernels with a planted fault each, and the same without it. Each runs 64 threads in one block
/// unless it says otherwise. `line_of_fault()` is where the last launched kernel goes wrong.
namespace velum::emulation::faults {

int line_of_fault();

/// Sums 64 values in shared memory; without the barrier, threads read what others have not written.
void sum(const int* in, int* out, bool with_barrier);
/// The same by bytes: neighbouring threads write neighbouring bytes, which is no race.
void reverse_bytes(const unsigned char* in, unsigned char* out);
/// Rotates values within a warp through shared memory, with or without __syncwarp.
void rotate_in_warp(const int* in, int* out, bool with_barrier);
/// Threads 0 to 63 add to a shared counter: atomically, or by a plain read and write.
void count(int* out, bool atomically);
/// Writes out[0] to out[size].
void write_too_far(int* out, int size);
/// Reads shared[64] of 64 elements.
void read_shared_too_far(int* out);
/// Reads in[0] to in[63] and writes the sum of pairs.
void read(const int* in, int* out);
/// Reads an element of shared memory that no thread has written.
void read_unwritten_shared(int* out);
/// Reads eight bytes at an address that is odd.
void read_misaligned(const char* in, long long* out);
/// Half of the block waits at __syncthreads, the other half at another one.
void diverge_at_barrier(int* out);
/// Lanes 0 to 15 shuffle with the mask of all lanes, the others wait at the block barrier.
void leave_lanes_out(int* out);
/// Shuffles with a mask that lacks the calling lane.
void shuffle_without_itself(int* out);
/// Lanes 0 to 15 read from lanes 16 to 31, which are not in the mask.
void shuffle_from_outside(int* out);
/// Lanes 16 to 31 exit; the others vote with the mask of all, which is right.
void vote_after_exit(int* out);
/// Reads local[index].
void read_local(int* out, int index);
/// Divides by zero.
void divide(int* out, int divisor);
/// Fails an assertion if `value` is not 1.
void check_value(int value);
/// Executes trap.
void stop();
/// Prints a line.
void print(int value);

/// Copies with a grid of three dimensions and blocks of three.
void copy_in_three_dimensions(const int* in, int* out, dim3 grid, dim3 block);
/// Calls a function that is not inlined and recurses.
void factorial(const int* in, int* out);
/// Uses dynamic shared memory.
cudaError_t reverse_in_dynamic_shared(const int* in, int* out, int size);
/// Lets the kernel above have so many bytes of it.
cudaError_t allow_dynamic_shared(int bytes);
/// out[i] = table[in[i]] from constant memory, set by set_table; counts calls in a device variable.
void look_up(const int* in, int* out);
void set_table(const int* values);
int calls_of_look_up();

}  // namespace velum::emulation::faults
