#include "function_kernels.h"

namespace velum::emulation::functions {
namespace {

__device__ __noinline__ Five reversed(Five five, double shift) {
  Five out;
  for (int i = 0; i < 5; ++i) out.values[i] = five.values[4 - i] + static_cast<int>(shift);
  return out;
}
__global__ void pass_structures_kernel(const Five* in, double shift, Five* out) {
  *out = reversed(*in, shift);
}

__device__ __noinline__ int sum_up_to(int n) {
  volatile int summands[4];
  summands[n & 3] = n;
  const int rest = n == 0 ? 0 : sum_up_to(n - 1);
  return rest + summands[n & 3];  // not as a call of a callee that has the same array
}
__global__ void add_by_recursion_kernel(const int* depth, int* out) {
  out[threadIdx.x] = sum_up_to(depth[threadIdx.x]);
}

__device__ __noinline__ int without_end(int n) {
  return n == -1 ? 0 : 1 + without_end(n + 1 == -1 ? 0 : n + 1) * 3;
}
template <bool kWithBarrier>
__global__ void recurse_kernel(int culprit, int* out) {
  out[threadIdx.x] = without_end(static_cast<int>(threadIdx.x) == culprit ? 0 : -1);
  if (kWithBarrier) __syncthreads();
}

__device__ __noinline__ int three_times(int x) { return x * 3; }
__device__ __noinline__ int plus_three(int x) { return x + 3; }
__device__ __noinline__ int negative(int x) {
  __syncwarp(__activemask());
  return -x;
}
__device__ __noinline__ int sum_of(int x, int y) { return x + y; }

using OfOne = int (*)(int);
using OfTwo = int (*)(int, int);
__device__ OfOne function_table[3] = {three_times, plus_three, negative};
__device__ OfTwo functions_of_two[1] = {sum_of};

__global__ void call_from_table_kernel(const int* in, int* out) {
  out[threadIdx.x] = function_table[in[threadIdx.x]](static_cast<int>(threadIdx.x));
}
__global__ void call_nothing_kernel(OfOne function, int* out) {
  const int result = function(1);
  if (out != nullptr) *out = result;
}
__global__ void call_with_wrong_parameters_kernel(int* out) {
  *out = reinterpret_cast<OfTwo>(function_table[*out])(1, 2) + functions_of_two[*out](1, 2);
}

class Multiplier {
 public:
  __device__ virtual int times(int x) const = 0;
};
class Fivefold : public Multiplier {
 public:
  __device__ int times(int x) const override { return x * 5; }
};
class Sevenfold : public Multiplier {
 public:
  __device__ int times(int x) const override { return x * 7; }
};
__global__ void call_virtual_functions_kernel(const int* in, int* out) {
  const Fivefold five;
  const Sevenfold seven;
  const Multiplier* const which =
      threadIdx.x % 2 == 0 ? static_cast<const Multiplier*>(&five) : &seven;
  out[threadIdx.x] = which->times(in[threadIdx.x]);
}

__global__ void active_masks_kernel(const unsigned* in, unsigned* out) {
  if (in[threadIdx.x] != 0) out[threadIdx.x] = __activemask();
}

__global__ void count_by_groups_kernel(const unsigned* in, unsigned* count, unsigned* out) {
  if (in[threadIdx.x] == 0) return;
  const unsigned lanes = __activemask();
  const int leader = __ffs(static_cast<int>(lanes)) - 1;
  const unsigned lane = threadIdx.x % 32;
  unsigned first = 0;
  if (static_cast<int>(lane) == leader) {
    first = atomicAdd(count, static_cast<unsigned>(__popc(lanes)));
  }
  first = __shfl_sync(lanes, first, leader);
  out[threadIdx.x] = first + static_cast<unsigned>(__popc(lanes & ((1U << lane) - 1)));
}

__global__ void coordinates_kernel(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const dim3 all[4] = {
      dim3(threadIdx.x, threadIdx.y, threadIdx.z), dim3(blockIdx.x, blockIdx.y, blockIdx.z),
      dim3(blockDim.x, blockDim.y, blockDim.z), dim3(gridDim.x, gridDim.y, gridDim.z)};
  unsigned* const mine = out + 12 * (block * threads + thread);
  for (int i = 0; i < 4; ++i) {
    mine[3 * i] = all[i].x;
    mine[3 * i + 1] = all[i].y;
    mine[3 * i + 2] = all[i].z;
  }
}

__global__ void reverse_beside_static_kernel(const int* in, int* out, int size) {
  extern __shared__ int values[];
  __shared__ int offsets[1024];
  for (int i = static_cast<int>(threadIdx.x); i < 1024; i += kThreads) offsets[i] = size - 1;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) values[i] = in[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
    out[i] = values[offsets[i % 1024] - i];
  }
}

}  // namespace

void pass_structures(const Five* in, double shift, Five* out) {
  pass_structures_kernel<<<1, 1>>>(in, shift, out);
}
void add_by_recursion(const int* depth, int* out) {
  add_by_recursion_kernel<<<1, kThreads>>>(depth, out);
}
void recurse_without_end(int culprit, int* out) {
  recurse_kernel<true><<<1, kThreads>>>(culprit, out);
}
void recurse_without_end_alone(int culprit, int* out) {
  recurse_kernel<false><<<1, kThreads>>>(culprit, out);
}
void call_from_table(const int* in, int* out) { call_from_table_kernel<<<1, kThreads>>>(in, out); }
void call_virtual_functions(const int* in, int* out) {
  call_virtual_functions_kernel<<<1, kThreads>>>(in, out);
}
void call_nothing(std::uint64_t address) {
  call_nothing_kernel<<<1, 1>>>(reinterpret_cast<OfOne>(address), nullptr);
}
void call_with_wrong_parameters(int* out) { call_with_wrong_parameters_kernel<<<1, 1>>>(out); }
void active_masks(const unsigned* in, unsigned* out) {
  active_masks_kernel<<<1, kThreads>>>(in, out);
}
void count_by_groups(const unsigned* in, unsigned* count, unsigned* out) {
  count_by_groups_kernel<<<1, kThreads>>>(in, count, out);
}
void coordinates(dim3 grid, dim3 block, unsigned* out) { coordinates_kernel<<<grid, block>>>(out); }
cudaError_t reverse_beside_static(const int* in, int* out, int size) {
  reverse_beside_static_kernel<<<1, kThreads, size * sizeof(int)>>>(in, out, size);
  return cudaGetLastError();
}
cudaError_t allow_dynamic_shared_beside_static(int bytes) {
  return cudaFuncSetAttribute(reverse_beside_static_kernel,
                              cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace velum::emulation::functions
