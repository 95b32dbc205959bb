#include <cassert>
#include <cstdio>

#include "fault_kernels.h"

namespace velum::emulation::faults {
namespace {

/// Where the kernel that is launched next goes wrong: the k...Line beside it.
int fault_line = 0;

__constant__ int table[4];
__device__ int look_up_calls;

constexpr int kThreads = 64;

template <bool kWithBarrier>
__global__ void sum_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = in[threadIdx.x];
  if (kWithBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    int total = 0;
    for (int i = 0; i < kThreads; ++i) total += values[i];
    *out = total;
  }
}
constexpr int kSumLine = __LINE__ - 4;

__global__ void reverse_bytes_kernel(const unsigned char* in, unsigned char* out) {
  __shared__ unsigned char bytes[kThreads];
  bytes[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = bytes[kThreads - 1 - threadIdx.x];
}

template <bool kWithBarrier>
__global__ void rotate_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  const unsigned base = threadIdx.x & ~31U;
  values[threadIdx.x] = in[threadIdx.x];
  if (kWithBarrier) __syncwarp();
  const int next = values[base + ((threadIdx.x + 1) & 31)];
  if (kWithBarrier) __syncwarp();
  values[threadIdx.x] = next;
  out[threadIdx.x] = values[threadIdx.x];
}

template <bool kAtomically>
__global__ void count_kernel(int* out) {
  __shared__ int counter;
  if (threadIdx.x == 0) counter = 0;
  __syncthreads();
  if (kAtomically) {
    atomicAdd(&counter, 1);
  } else {
    counter += 1;
  }
  __syncthreads();
  if (threadIdx.x == 0) *out = counter;
}

__global__ void write_too_far_kernel(int* out, int size) {
  if (threadIdx.x <= size) out[threadIdx.x] = 1;
}
constexpr int kWriteTooFarLine = __LINE__ - 2;

__global__ void read_shared_too_far_kernel(int* out) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x + 1];
}
constexpr int kReadSharedTooFarLine = __LINE__ - 2;

__global__ void read_kernel(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x] + 1; }
constexpr int kReadLine = __LINE__ - 1;

__global__ void read_unwritten_shared_kernel(int* out) {
  __shared__ int values[kThreads];
  if (threadIdx.x != 5) values[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}
constexpr int kReadUnwrittenSharedLine = __LINE__ - 2;

__global__ void read_misaligned_kernel(const char* in, long long* out) {
  *out = *reinterpret_cast<const long long*>(in + 4);
}
constexpr int kReadMisalignedLine = __LINE__ - 2;

__global__ void diverge_kernel(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
    out[threadIdx.x] = 1;
  } else {
    __syncthreads();
    out[threadIdx.x] = 2;
  }
}
constexpr int kDivergeLine = __LINE__ - 7;

__global__ void leave_lanes_out_kernel(int* out) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0xFFFFFFFF, value, 1);
  __syncthreads();
  out[threadIdx.x] = value;
}
constexpr int kLeaveLanesOutLine = __LINE__ - 4;

__global__ void shuffle_without_itself_kernel(int* out) {
  out[threadIdx.x] = __shfl_sync(0x0000FFFE, static_cast<int>(threadIdx.x), 1);
}
constexpr int kShuffleWithoutItselfLine = __LINE__ - 2;

__global__ void shuffle_from_outside_kernel(int* out) {
  if (threadIdx.x % 32 < 16) {
    out[threadIdx.x] = __shfl_down_sync(0x0000FFFF, static_cast<int>(threadIdx.x), 8);
  }
}
constexpr int kShuffleFromOutsideLine = __LINE__ - 3;

__global__ void vote_after_exit_kernel(int* out) {
  if (threadIdx.x % 32 >= 16) return;
  out[threadIdx.x] = static_cast<int>(__ballot_sync(0xFFFFFFFF, threadIdx.x % 2 == 0));
}

__global__ void read_local_kernel(int* out, int index) {
  int values[8];
  for (int i = 0; i < 8; ++i) values[i] = out[i];
  out[0] = values[index];
}
constexpr int kReadLocalLine = __LINE__ - 2;

__global__ void divide_kernel(int* out, int divisor) { *out = 7 / divisor; }
constexpr int kDivideLine = __LINE__ - 1;

__global__ void check_value_kernel(int value) { assert(value == 1); }
__global__ void stop_kernel() { __trap(); }
__global__ void print_kernel(int value) {
  printf("value %d, half %.2f, %s\n", value, value / 2.0, "text");
}

__global__ void copy_kernel(const int* in, int* out) {
  const dim3 extent(gridDim.x * blockDim.x, gridDim.y * blockDim.y, gridDim.z * blockDim.z);
  const unsigned x = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned y = blockIdx.y * blockDim.y + threadIdx.y;
  const unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
  const unsigned at = (z * extent.y + y) * extent.x + x;
  out[at] = in[at];
}

__device__ __noinline__ int factorial_of(int n) { return n <= 1 ? 1 : n * factorial_of(n - 1); }
__global__ void factorial_kernel(const int* in, int* out) {
  out[threadIdx.x] = factorial_of(in[threadIdx.x]);
}

__global__ void reverse_kernel(const int* in, int* out, int size) {
  extern __shared__ int values[];
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) values[i] = in[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads)
    out[i] = values[size - 1 - i];
}

__global__ void look_up_kernel(const int* in, int* out) {
  out[threadIdx.x] = table[in[threadIdx.x]];
  atomicAdd(&look_up_calls, 1);
}

}  // namespace

int line_of_fault() { return fault_line; }

void sum(const int* in, int* out, bool with_barrier) {
  fault_line = kSumLine;
  if (with_barrier) {
    sum_kernel<true><<<1, kThreads>>>(in, out);
  } else {
    sum_kernel<false><<<1, kThreads>>>(in, out);
  }
}
void reverse_bytes(const unsigned char* in, unsigned char* out) {
  reverse_bytes_kernel<<<1, kThreads>>>(in, out);
}
void rotate_in_warp(const int* in, int* out, bool with_barrier) {
  if (with_barrier) {
    rotate_kernel<true><<<1, kThreads>>>(in, out);
  } else {
    rotate_kernel<false><<<1, kThreads>>>(in, out);
  }
}
void count(int* out, bool atomically) {
  if (atomically) {
    count_kernel<true><<<1, kThreads>>>(out);
  } else {
    count_kernel<false><<<1, kThreads>>>(out);
  }
}
void write_too_far(int* out, int size) {
  fault_line = kWriteTooFarLine;
  write_too_far_kernel<<<1, kThreads>>>(out, size);
}
void read_shared_too_far(int* out) {
  fault_line = kReadSharedTooFarLine;
  read_shared_too_far_kernel<<<1, kThreads>>>(out);
}
void read(const int* in, int* out) {
  fault_line = kReadLine;
  read_kernel<<<1, kThreads>>>(in, out);
}
void read_unwritten_shared(int* out) {
  fault_line = kReadUnwrittenSharedLine;
  read_unwritten_shared_kernel<<<1, kThreads>>>(out);
}
void read_misaligned(const char* in, long long* out) {
  fault_line = kReadMisalignedLine;
  read_misaligned_kernel<<<1, 1>>>(in, out);
}
void diverge_at_barrier(int* out) {
  fault_line = kDivergeLine;
  diverge_kernel<<<1, kThreads>>>(out);
}
void leave_lanes_out(int* out) {
  fault_line = kLeaveLanesOutLine;
  leave_lanes_out_kernel<<<1, kThreads>>>(out);
}
void shuffle_without_itself(int* out) {
  fault_line = kShuffleWithoutItselfLine;
  shuffle_without_itself_kernel<<<1, kThreads>>>(out);
}
void shuffle_from_outside(int* out) {
  fault_line = kShuffleFromOutsideLine;
  shuffle_from_outside_kernel<<<1, kThreads>>>(out);
}
void vote_after_exit(int* out) { vote_after_exit_kernel<<<1, kThreads>>>(out); }
void read_local(int* out, int index) {
  fault_line = kReadLocalLine;
  read_local_kernel<<<1, 1>>>(out, index);
}
void divide(int* out, int divisor) {
  fault_line = kDivideLine;
  divide_kernel<<<1, 1>>>(out, divisor);
}
void check_value(int value) { check_value_kernel<<<1, kThreads>>>(value); }
void stop() { stop_kernel<<<1, 1>>>(); }
void print(int value) { print_kernel<<<1, 1>>>(value); }

void copy_in_three_dimensions(const int* in, int* out, dim3 grid, dim3 block) {
  copy_kernel<<<grid, block>>>(in, out);
}
void factorial(const int* in, int* out) { factorial_kernel<<<1, kThreads>>>(in, out); }
cudaError_t reverse_in_dynamic_shared(const int* in, int* out, int size) {
  reverse_kernel<<<1, kThreads, size * sizeof(int)>>>(in, out, size);
  return cudaGetLastError();
}
cudaError_t allow_dynamic_shared(int bytes) {
  return cudaFuncSetAttribute(reverse_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}
void look_up(const int* in, int* out) { look_up_kernel<<<1, kThreads>>>(in, out); }
void set_table(const int* values) { cudaMemcpyToSymbol(table, values, sizeof table); }
int calls_of_look_up() {
  int calls = 0;
  cudaMemcpyFromSymbol(&calls, look_up_calls, sizeof calls);
  return calls;
}

}  // namespace velum::emulation::faults
