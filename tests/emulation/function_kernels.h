#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

/// Kernels that call functions which are not inlined, and that ask who they are.
namespace velum::emulation::functions {

constexpr int kThreads = 64;

/// A structure that is passed and returned by value.
struct Five {
  int values[5];
};

/// out[i] = the values of `in` reversed, plus `shift` cut to an integer; in one thread.
void pass_structures(const Five* in, double shift, Five* out);
/// out[i] = 1 + 2 + ... + depth[i], by a recursion whose every call has an array in local memory.
void add_by_recursion(const int* depth, int* out);
/// A recursion without an end in thread `culprit`; the others return at once.
void recurse_without_end(int culprit, int* out);
/// The same in a kernel whose threads never wait for each other.
void recurse_without_end_alone(int culprit, int* out);
/// out[i] = function number in[i] of i: 0 is 3 i, 1 is i + 3, 2 is -i, each after a barrier of the
/// warp in function 2 only.
void call_from_table(const int* in, int* out);
/// out[i] = in[i] * 5 in even threads and in[i] * 7 in odd ones, by virtual functions.
void call_virtual_functions(const int* in, int* out);
/// Calls an address that is no function.
void call_nothing(std::uint64_t address);
/// Calls a function of one parameter as if it had two.
void call_with_wrong_parameters(int* out);

/// Threads with in[i] != 0 write their __activemask() to out[i].
void active_masks(const unsigned* in, unsigned* out);
/// Counts the threads with in[i] != 0 in *count, one atomic addition for each group of lanes that
/// happen to be active together. out[i] is the number of those before, in some order.
void count_by_groups(const unsigned* in, unsigned* count, unsigned* out);

/// Writes tid, ctaid, ntid and nctaid, each x, y, z: 12 numbers a thread, at the thread's place in
/// the grid.
void coordinates(dim3 grid, dim3 block, unsigned* out);

/// Reverses `size` integers through dynamic shared memory, beside 4096 static bytes.
cudaError_t reverse_beside_static(const int* in, int* out, int size);
cudaError_t allow_dynamic_shared_beside_static(int bytes);

}  // namespace velum::emulation::functions
