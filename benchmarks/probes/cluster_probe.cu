#include "probes/probe_kernels.h"
#include "probes/shared_probe.cuh"

namespace velum::benchmarking {
namespace {

__global__ void __cluster_dims__(kProbeClusterBlocks, 1, 1) __launch_bounds__(kProbeThreads, 1)
    cluster_probe_kernel(int rounds, std::uint32_t* results, std::int64_t* cycles) {
#if __CUDA_ARCH__ >= 900
  __shared__ uint4 memory[kProbeSharedVectors];
  fill_shared(memory, blockIdx.x);
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
  std::uint32_t rank, address;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(memory + threadIdx.x))),
        "r"(rank ^ 1));
  std::uint32_t sum = 0;
  const std::int64_t start = clock64();
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kProbeSharedLoads; ++i) {
      const std::uint32_t from = address + shared_offset(i);
      uint4 v;
      asm volatile("ld.volatile.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                   : "r"(from));
      sum += v.x + v.y + v.z + v.w;
    }
  }
  __syncthreads();
  const std::int64_t end = clock64();
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - start;
  results[blockIdx.x * kProbeThreads + threadIdx.x] = sum;
  // The other block may still be reading this one's memory.
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
#endif
}

}  // namespace

cudaError_t launch_cluster_probe(int blocks, int rounds, std::uint32_t* results,
                                 std::int64_t* cycles, cudaStream_t stream) {
  cluster_probe_kernel<<<blocks, kProbeThreads, 0, stream>>>(rounds, results, cycles);
  return cudaGetLastError();
}

}  // namespace velum::benchmarking
