#include <bit>
#include <cmath>

#include "probes/probe_kernels.h"
#include "velum/kernels/host_device.h"

namespace velum::benchmarking {
namespace {

// Assembly, so that neither compiler finds a shorter way to the same result.
struct MultiplyAdd {
  using Value = std::uint32_t;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int,
                                      std::uint32_t a, std::uint32_t b) {
    Value& x = values[chain];
#ifdef __CUDA_ARCH__
    asm volatile("mad.lo.u32 %0, %0, %1, %2;" : "+r"(x) : "r"(a), "r"(b));
#else
    x = x * a + b;
#endif
  }
};

/// Both words are factors, so that both matter; a bit set now and then keeps them from becoming
/// zero.
struct MultiplyWide {
  using Value = std::uint64_t;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int step,
                                      std::uint32_t, std::uint32_t) {
    Value& x = values[chain];
    const auto low = static_cast<std::uint32_t>(x), high = static_cast<std::uint32_t>(x >> 32);
#ifdef __CUDA_ARCH__
    asm volatile("mul.wide.u32 %0, %1, %2;" : "=l"(x) : "r"(low), "r"(high));
#else
    x = std::uint64_t{low} * high;
#endif
    if (step % 4 == 3) x |= (std::uint64_t{1} << 32) | 1;
  }
};

struct MultiplyAddHigh {
  using Value = std::uint32_t;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int,
                                      std::uint32_t a, std::uint32_t b) {
    Value& x = values[chain];
#ifdef __CUDA_ARCH__
    asm volatile("mad.hi.u32 %0, %0, %1, %2;" : "+r"(x) : "r"(a), "r"(b));
#else
    x = static_cast<std::uint32_t>((std::uint64_t{x} * a) >> 32) + b;
#endif
  }
};

struct MinimumMaximum {
  using Value = std::uint32_t;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int step,
                                      std::uint32_t a, std::uint32_t b) {
    Value& x = values[chain];
#ifdef __CUDA_ARCH__
    if (step % 2 == 0) {
      asm volatile("min.u32 %0, %0, %1;" : "+r"(x) : "r"(a));
    } else {
      asm volatile("max.u32 %0, %0, %1;" : "+r"(x) : "r"(b));
    }
#else
    x = step % 2 == 0 ? (x < a ? x : a) : (x > b ? x : b);
#endif
  }
};

struct FunnelShift {
  using Value = std::uint32_t;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int,
                                      std::uint32_t a, std::uint32_t b) {
    Value& x = values[chain];
#ifdef __CUDA_ARCH__
    asm volatile("shf.l.wrap.b32 %0, %1, %0, %2;" : "+r"(x) : "r"(b), "r"(a));
#else
    const std::uint32_t shift = a & 31;
    x = static_cast<std::uint32_t>((((std::uint64_t{x} << 32) | b) << shift) >> 32);
#endif
  }
};

struct FusedMultiplyAdd {
  using Value = float;
  static VELUM_HOST_DEVICE void apply(Value (&values)[kProbeChains], int chain, int,
                                      std::uint32_t a, std::uint32_t b) {
    Value& x = values[chain];
    // a / 2^32 and b / 2^32, a factor below 1.
    const float factor = static_cast<float>(a >> 8) * 0x1p-24f;
    const float term = static_cast<float>(b >> 8) * 0x1p-24f;
#ifdef __CUDA_ARCH__
    asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(factor), "f"(term));
#else
    x = std::fma(x, factor, term);
#endif
  }
};

VELUM_HOST_DEVICE std::uint32_t start_of(std::uint32_t block, std::uint32_t thread, int chain) {
  return (block * kProbeThreads + thread + 1) * 0x9E3779B1u +
         static_cast<std::uint32_t>(chain) * 0x85EBCA77u;
}

template <typename Instruction>
VELUM_HOST_DEVICE void begin(typename Instruction::Value (&x)[kProbeChains], std::uint32_t block,
                             std::uint32_t thread) {
  for (int chain = 0; chain < kProbeChains; ++chain) {
    const std::uint32_t start = start_of(block, thread, chain);
    if constexpr (std::is_same_v<typename Instruction::Value, float>) {
      x[chain] = static_cast<float>(start >> 8) * 0x1p-24f;
    } else {
      x[chain] = start;
      if constexpr (sizeof(x[chain]) == 8) x[chain] = x[chain] << 32 | (start ^ 0xFFFFFFFFu);
    }
  }
}

template <typename Instruction>
VELUM_HOST_DEVICE void apply_round(typename Instruction::Value (&x)[kProbeChains], std::uint32_t a,
                                   std::uint32_t b) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int step = 0; step < kProbeUnroll; ++step) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int chain = 0; chain < kProbeChains; ++chain) Instruction::apply(x, chain, step, a, b);
  }
}

VELUM_HOST_DEVICE std::uint32_t bits_of(std::uint32_t x) { return x; }
VELUM_HOST_DEVICE std::uint32_t bits_of(std::uint64_t x) {
  return static_cast<std::uint32_t>(x) ^ static_cast<std::uint32_t>(x >> 32);
}
VELUM_HOST_DEVICE std::uint32_t bits_of(float x) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}

template <typename Instruction>
VELUM_HOST_DEVICE std::uint32_t sum_of(const typename Instruction::Value (&x)[kProbeChains]) {
  std::uint32_t sum = 0;
  for (int chain = 0; chain < kProbeChains; ++chain) sum += bits_of(x[chain]);
  return sum;
}

template <typename Instruction>
__global__ void __launch_bounds__(kProbeThreads, 1)
    arithmetic_probe_kernel(std::uint32_t a, std::uint32_t b, int rounds, std::uint32_t* results,
                            std::int64_t* cycles) {
  typename Instruction::Value x[kProbeChains];
  begin<Instruction>(x, blockIdx.x, threadIdx.x);
  __syncthreads();
  const std::int64_t start = clock64();
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) apply_round<Instruction>(x, a, b);
  __syncthreads();
  const std::int64_t end = clock64();
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - start;
  results[blockIdx.x * kProbeThreads + threadIdx.x] = sum_of<Instruction>(x);
}

template <typename Instruction>
std::uint32_t run_on_host(std::uint32_t block, std::uint32_t thread, std::uint32_t a,
                          std::uint32_t b, int rounds) {
  typename Instruction::Value x[kProbeChains];
  begin<Instruction>(x, block, thread);
  for (int round = 0; round < rounds; ++round) apply_round<Instruction>(x, a, b);
  return sum_of<Instruction>(x);
}

/// Calls `function` with an object of the instruction's type.
template <typename Function>
auto with_instruction(ProbedInstruction instruction, const Function& function) {
  switch (instruction) {
    case ProbedInstruction::kMultiplyAdd:
      return function(MultiplyAdd{});
    case ProbedInstruction::kMultiplyWide:
      return function(MultiplyWide{});
    case ProbedInstruction::kMultiplyAddHigh:
      return function(MultiplyAddHigh{});
    case ProbedInstruction::kMinimumMaximum:
      return function(MinimumMaximum{});
    case ProbedInstruction::kFunnelShift:
      return function(FunnelShift{});
    case ProbedInstruction::kFusedMultiplyAdd:
      break;
  }
  return function(FusedMultiplyAdd{});
}

/// What stands in word `index` of the shared memory of a block.
VELUM_HOST_DEVICE std::uint32_t shared_word(std::uint32_t block, std::uint32_t index) {
  return (block + 1) * 0x9E3779B1u + index * 0x85EBCA77u;
}

/// Bytes from a thread's own vector to the one that its load `i` takes.
VELUM_HOST_DEVICE constexpr std::uint32_t shared_offset(int i) {
  return static_cast<std::uint32_t>(i) % (kProbeSharedVectors / kProbeThreads) * kProbeThreads * 16;
}

__device__ void fill_shared(uint4* memory) {
  for (std::uint32_t i = threadIdx.x; i < kProbeSharedVectors; i += kProbeThreads) {
    memory[i] = {shared_word(blockIdx.x, 4 * i), shared_word(blockIdx.x, 4 * i + 1),
                 shared_word(blockIdx.x, 4 * i + 2), shared_word(blockIdx.x, 4 * i + 3)};
  }
}

/// From the block's own shared memory.
struct LoadOwn {
  static __device__ uint4 from(std::uint32_t address) {
    uint4 v;
    asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(address));
    return v;
  }
};

#if __CUDA_ARCH__ >= 900
/// From that of any block of the cluster.
struct LoadOfCluster {
  static __device__ uint4 from(std::uint32_t address) {
    uint4 v;
    asm volatile("ld.volatile.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(address));
    return v;
  }
};

__device__ void wait_for_cluster() {
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}
#endif

/// Loads from `address` on, the thread's own vector, for `rounds` rounds.
template <typename Load>
__device__ void read_shared(std::uint32_t address, int rounds, std::uint32_t* results,
                            std::int64_t* cycles) {
  std::uint32_t sum = 0;
  const std::int64_t start = clock64();
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kProbeSharedLoads; ++i) {
      const uint4 v = Load::from(address + shared_offset(i));
      sum += v.x + v.y + v.z + v.w;
    }
  }
  __syncthreads();
  const std::int64_t end = clock64();
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - start;
  results[blockIdx.x * kProbeThreads + threadIdx.x] = sum;
}

__global__ void __launch_bounds__(kProbeThreads, 1)
    shared_probe_kernel(int rounds, std::uint32_t* results, std::int64_t* cycles) {
  __shared__ uint4 memory[kProbeSharedVectors];
  fill_shared(memory);
  __syncthreads();
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(memory + threadIdx.x));
  read_shared<LoadOwn>(address, rounds, results, cycles);
}

__global__ void __cluster_dims__(kProbeClusterBlocks, 1, 1) __launch_bounds__(kProbeThreads, 1)
    cluster_probe_kernel(int rounds, std::uint32_t* results, std::int64_t* cycles) {
#if __CUDA_ARCH__ >= 900
  __shared__ uint4 memory[kProbeSharedVectors];
  fill_shared(memory);
  wait_for_cluster();
  std::uint32_t rank, address;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(memory + threadIdx.x))),
        "r"(rank ^ 1));
  read_shared<LoadOfCluster>(address, rounds, results, cycles);
  wait_for_cluster();  // the other block may still be reading this one's memory
#endif
}

__global__ void __launch_bounds__(kProbeThreads)
    read_probe_kernel(int rounds, const uint4* data, std::int64_t vectors, std::uint32_t* results) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kProbeThreads + threadIdx.x;
  const std::int64_t stride = std::int64_t{gridDim.x} * kProbeThreads;
  std::uint32_t sum = 0;
  for (int round = 0; round < rounds; ++round) {
    for (std::int64_t i = first; i < vectors; i += stride) {
      uint4 v;
      asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                   : "l"(data + i));
      sum += v.x + v.y + v.z + v.w;
    }
  }
  results[first] = sum;
}

__global__ void __launch_bounds__(kProbeThreads)
    copy_probe_kernel(const uint4* from, uint4* to, std::int64_t vectors) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kProbeThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kProbeThreads + threadIdx.x; i < vectors;
       i += stride) {
    to[i] = from[i];
  }
}

}  // namespace

std::uint32_t expected_arithmetic(ProbedInstruction instruction, std::uint32_t block,
                                  std::uint32_t thread, std::uint32_t a, std::uint32_t b,
                                  int rounds) {
  return with_instruction(instruction, [&]<typename Instruction>(Instruction) {
    return run_on_host<Instruction>(block, thread, a, b, rounds);
  });
}

std::uint32_t expected_shared(std::uint32_t block, std::uint32_t thread, int rounds) {
  std::uint32_t sum = 0;
  for (int i = 0; i < kProbeSharedLoads; ++i) {
    const std::uint32_t vector = thread + shared_offset(i) / 16;
    for (std::uint32_t word = 0; word < 4; ++word) sum += shared_word(block, 4 * vector + word);
  }
  return sum * static_cast<std::uint32_t>(rounds);
}

cudaError_t launch_arithmetic_probe(ProbedInstruction instruction, int blocks, int rounds,
                                    std::uint32_t a, std::uint32_t b, std::uint32_t* results,
                                    std::int64_t* cycles, cudaStream_t stream) {
  return with_instruction(instruction, [&]<typename Instruction>(Instruction) {
    arithmetic_probe_kernel<Instruction>
        <<<blocks, kProbeThreads, 0, stream>>>(a, b, rounds, results, cycles);
    return cudaGetLastError();
  });
}

cudaError_t launch_shared_probe(int blocks, int rounds, std::uint32_t* results,
                                std::int64_t* cycles, cudaStream_t stream) {
  shared_probe_kernel<<<blocks, kProbeThreads, 0, stream>>>(rounds, results, cycles);
  return cudaGetLastError();
}

cudaError_t launch_cluster_probe(int blocks, int rounds, std::uint32_t* results,
                                 std::int64_t* cycles, cudaStream_t stream) {
  cluster_probe_kernel<<<blocks, kProbeThreads, 0, stream>>>(rounds, results, cycles);
  return cudaGetLastError();
}

cudaError_t launch_read_probe(int blocks, int rounds, const std::uint32_t* data,
                              std::int64_t vectors, std::uint32_t* results, cudaStream_t stream) {
  read_probe_kernel<<<blocks, kProbeThreads, 0, stream>>>(
      rounds, reinterpret_cast<const uint4*>(data), vectors, results);
  return cudaGetLastError();
}

cudaError_t launch_copy_probe(int blocks, const std::uint32_t* from, std::uint32_t* to,
                              std::int64_t vectors, cudaStream_t stream) {
  copy_probe_kernel<<<blocks, kProbeThreads, 0, stream>>>(reinterpret_cast<const uint4*>(from),
                                                          reinterpret_cast<uint4*>(to), vectors);
  return cudaGetLastError();
}

}  // namespace velum::benchmarking
