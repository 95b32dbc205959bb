#pragma once

#include <cuda_runtime_api.h>

/// Kernels whose blocks wait for each other.
namespace velum::emulation::cooperative {

constexpr int kThreads = 64;
constexpr int kRounds = 5;

/// kRounds times: each block adds 1 to the values of the next block, which lie in global memory,
/// and reverses them through shared memory. `buffers`: two of [blocks, 64]. Without `synchronises`
/// the blocks do not wait for each other.
cudaError_t pass_around(int blocks, int* buffers, bool synchronises, cudaStream_t stream);
/// The same launched as an ordinary kernel, whose blocks need not run at the same time.
cudaError_t pass_around_ordinarily(int blocks, int* buffers);
/// The same by cudaLaunchKernelExC.
cudaError_t pass_around_by_attribute(int blocks, int* buffers);
/// One block does not come to the grid's barrier.
cudaError_t leave_a_block_out(int blocks, int* out);
/// Uses so many bytes of dynamic shared memory, so that fewer blocks are resident.
cudaError_t launch_with_shared(int blocks, int bytes, int* out);
/// Blocks of the kernel above that a multiprocessor holds.
int blocks_with_shared(int bytes);
/// The second half of the blocks fails an assertion while the others wait.
cudaError_t fail_in_a_block(int blocks, int* out);

}  // namespace velum::emulation::cooperative
