#include <cooperative_groups.h>

#include <cassert>

#include "cooperative_kernels.h"

namespace velum::emulation::cooperative {
namespace {

namespace cg = cooperative_groups;

template <bool kSynchronises>
__global__ void pass_around_kernel(int* buffers) {
  __shared__ int values[kThreads];
  const cg::grid_group grid = cg::this_grid();
  const unsigned i = threadIdx.x;
  const unsigned size = gridDim.x * kThreads;
  const unsigned next = (blockIdx.x + 1) % gridDim.x;
  for (unsigned round = 0; round < kRounds; ++round) {
    const int* const from = buffers + round % 2 * size + next * kThreads;
    int* const to = buffers + (round + 1) % 2 * size + blockIdx.x * kThreads;
    values[i] = from[i] + 1;
    __syncthreads();
    to[i] = values[kThreads - 1 - i];
    if (kSynchronises) grid.sync();
    __syncthreads();
  }
}

__global__ void leave_a_block_out_kernel(int* out) {
  if (blockIdx.x != 1) cg::this_grid().sync();
  out[blockIdx.x * kThreads + threadIdx.x] = 1;
}

__global__ void shared_kernel(int* out) {
  extern __shared__ int values[];
  values[threadIdx.x] = static_cast<int>(cg::this_grid().thread_rank());
  cg::this_grid().sync();
  out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x];
}

__global__ void fail_in_a_block_kernel(int* out) {
  assert(blockIdx.x < gridDim.x / 2);
  cg::this_grid().sync();
  out[blockIdx.x * kThreads + threadIdx.x] = 1;
}

template <typename... Arguments>
cudaError_t launch(void (*kernel)(Arguments...), int blocks, int shared, cudaStream_t stream,
                   Arguments... arguments) {
  void* pointers[] = {&arguments...};
  return cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel),
                                     dim3(static_cast<unsigned>(blocks)), dim3(kThreads), pointers,
                                     static_cast<std::size_t>(shared), stream);
}

}  // namespace

cudaError_t pass_around(int blocks, int* buffers, bool synchronises, cudaStream_t stream) {
  return synchronises ? launch(pass_around_kernel<true>, blocks, 0, stream, buffers)
                      : launch(pass_around_kernel<false>, blocks, 0, stream, buffers);
}
cudaError_t pass_around_ordinarily(int blocks, int* buffers) {
  pass_around_kernel<true><<<static_cast<unsigned>(blocks), kThreads>>>(buffers);
  return cudaGetLastError();
}
cudaError_t pass_around_by_attribute(int blocks, int* buffers) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kThreads);
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, pass_around_kernel<true>, buffers);
}
cudaError_t leave_a_block_out(int blocks, int* out) {
  return launch(leave_a_block_out_kernel, blocks, 0, nullptr, out);
}
cudaError_t launch_with_shared(int blocks, int bytes, int* out) {
  const cudaError_t error =
      cudaFuncSetAttribute(shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  return error != cudaSuccess ? error : launch(shared_kernel, blocks, bytes, nullptr, out);
}
int blocks_with_shared(int bytes) {
  int blocks = 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, shared_kernel, kThreads,
                                                static_cast<std::size_t>(bytes));
  return blocks;
}
cudaError_t fail_in_a_block(int blocks, int* out) {
  return launch(fail_in_a_block_kernel, blocks, 0, nullptr, out);
}

}  // namespace velum::emulation::cooperative
