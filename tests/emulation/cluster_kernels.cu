#include <cooperative_groups.h>

#include "cluster_kernels.h"

namespace velum::emulation::clusters {
namespace {

namespace cg = cooperative_groups;

// The instructions

__device__ std::uint32_t address_of(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ std::uint32_t rank() {
  std::uint32_t rank = 0;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ std::uint32_t map(std::uint32_t address, std::uint32_t to) {
  std::uint32_t mapped = 0;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(to));
  return mapped;
}
__device__ int load_of_cluster(std::uint32_t address) {
  int value = 0;
  asm volatile("ld.shared::cluster.s32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
  return value;
}
__device__ void store_to_cluster(std::uint32_t address, int value) {
  asm volatile("st.shared::cluster.s32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}
__device__ void arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ void arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory"); }
__device__ void wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ void synchronise() {
  asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory");
}

__device__ bool is_own(std::uint64_t generic) {
  std::uint32_t is = 0;
  asm volatile("{ .reg .pred p; isspacep.shared::cta p, %1; selp.u32 %0, 1, 0, p; }"
               : "=r"(is)
               : "l"(generic));
  return is != 0;
}
__device__ bool is_of_cluster(std::uint64_t generic) {
  std::uint32_t is = 0;
  asm volatile("{ .reg .pred p; isspacep.shared::cluster p, %1; selp.u32 %0, 1, 0, p; }"
               : "=r"(is)
               : "l"(generic));
  return is != 0;
}

// What a block is told

__global__ void read_registers_kernel(Registers* registers) {
  if (threadIdx.x != 0) return;
  Registers& r = registers[blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)];
  asm("mov.u32 %0, %%cluster_ctaid.x;" : "=r"(r.block_in_cluster.x));
  asm("mov.u32 %0, %%cluster_ctaid.y;" : "=r"(r.block_in_cluster.y));
  asm("mov.u32 %0, %%cluster_ctaid.z;" : "=r"(r.block_in_cluster.z));
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(r.cluster_blocks.x));
  asm("mov.u32 %0, %%cluster_nctaid.y;" : "=r"(r.cluster_blocks.y));
  asm("mov.u32 %0, %%cluster_nctaid.z;" : "=r"(r.cluster_blocks.z));
  asm("mov.u32 %0, %%clusterid.x;" : "=r"(r.cluster.x));
  asm("mov.u32 %0, %%clusterid.y;" : "=r"(r.cluster.y));
  asm("mov.u32 %0, %%clusterid.z;" : "=r"(r.cluster.z));
  asm("mov.u32 %0, %%nclusterid.x;" : "=r"(r.clusters.x));
  asm("mov.u32 %0, %%nclusterid.y;" : "=r"(r.clusters.y));
  asm("mov.u32 %0, %%nclusterid.z;" : "=r"(r.clusters.z));
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r.rank));
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(r.blocks));
  asm("{ .reg .pred p; mov.pred p, %%is_explicit_cluster; selp.u32 %0, 1, 0, p; }"
      : "=r"(r.is_explicit));
}

__global__ void ask_about_addresses_kernel(std::uint32_t* answers) {
  __shared__ int values[3];
  int& value = values[2];
  const std::uint32_t mine = rank();
  const auto size = static_cast<std::uint32_t>(cg::this_cluster().num_blocks());
  const std::uint32_t own = address_of(&value);
  for (std::uint32_t to = 0; to < size; ++to) {
    std::uint32_t* at =
        answers + ((blockIdx.x / size * size + mine) * std::uint64_t{size} + to) * kAnswers;
    const std::uint32_t there = map(own, to);
    std::uint32_t of_there = 0;
    asm volatile("getctarank.shared::cluster.u32 %0, %1;" : "=r"(of_there) : "r"(there));
    std::uint64_t wide = 0;
    asm volatile("mapa.shared::cluster.u64 %0, %1, %2;"
                 : "=l"(wide)
                 : "l"(std::uint64_t{own}), "r"(to));
    std::uint32_t of_wide = 0;
    asm volatile("getctarank.shared::cluster.u64 %0, %1;" : "=r"(of_wide) : "l"(wide));
    std::uint64_t generic = 0;
    asm volatile("mapa.u64 %0, %1, %2;" : "=l"(generic) : "l"(&value), "r"(to));
    std::uint32_t of_generic = 0;
    asm volatile("getctarank.u64 %0, %1;" : "=r"(of_generic) : "l"(generic));
    std::uint64_t converted = 0;
    asm volatile("cvta.shared::cluster.u64 %0, %1;" : "=l"(converted) : "l"(wide));
    std::uint64_t back = 0;
    asm volatile("cvta.to.shared::cluster.u64 %0, %1;" : "=l"(back) : "l"(generic));
    // The other block's variable: each block writes to the next, which tells who did.
    std::uint32_t written = 0;
    if (to == (mine + 1) % size) {
      synchronise();
      if (threadIdx.x == 0) store_to_cluster(there, static_cast<int>(mine));
      synchronise();
      written = static_cast<std::uint32_t>(value);
    }
    const std::uint32_t found[kAnswers] = {of_there,
                                           of_wide,
                                           of_generic,
                                           wide == there,
                                           converted == generic,
                                           back == wide,
                                           is_own(generic),
                                           is_of_cluster(generic),
                                           there == own,
                                           map(there, mine) == own,
                                           is_of_cluster(reinterpret_cast<std::uint64_t>(answers)),
                                           written};
    for (int i = 0; i < kAnswers && threadIdx.x == 0; ++i) at[i] = found[i];
  }
}

// Two blocks that exchange their values

template <Mistake kMistake>
__global__ void __cluster_dims__(2) exchange_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  const std::uint32_t there = map(address_of(values + kThreads - 1 - i),
                                  rank() ^ (kMistake == Mistake::kWrongRank ? 2 : 1));
  values[i] = in[at + i];
  if (kMistake == Mistake::kBlockBarrier) {
    __syncthreads();
  } else if (kMistake == Mistake::kRelaxed) {
    arrive_relaxed();
    wait();
  } else if (kMistake == Mistake::kNoArrival) {
    wait();
  } else if (kMistake == Mistake::kArrivesTwice) {
    arrive();
    arrive();
  } else if (kMistake != Mistake::kNoFirstBarrier) {
    arrive();
    if (kMistake == Mistake::kAccessInBetween) values[i] = 0;
    wait();
  }
  if (kMistake == Mistake::kOwnSpace) {
    asm volatile("ld.shared::cta.s32 %0, [%1];" : "=r"(out[at + i]) : "r"(there) : "memory");
  } else {
    out[at + i] = load_of_cluster(there);
  }
  if (kMistake != Mistake::kNoLastBarrier) synchronise();
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2) read_one_way_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  values[i] = in[at + i];
  synchronise();
  if (rank() == 0) {
    out[at + i] = load_of_cluster(map(address_of(values + i), 1));
  } else {
    for (int k = 0; k < 64; ++k) __syncthreads();
    out[at + i] = values[i];
  }
  if (kMistake != Mistake::kNoLastBarrier) synchronise();
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2) exchange_by_fences_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  values[i] = in[at + i];
  if (kMistake == Mistake::kNarrowScope) {
    asm volatile("fence.acq_rel.cta;" ::: "memory");
  } else if (kMistake != Mistake::kNoFence) {
    asm volatile("fence.acq_rel.cluster;" ::: "memory");
  }
  arrive_relaxed();
  wait();
  out[at + i] = load_of_cluster(map(address_of(values + kThreads - 1 - i), rank() ^ 1));
  synchronise();
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2)
    exchange_in_device_memory_kernel(const int* in, int* between, int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  const int other = static_cast<int>(blockIdx.x ^ 1) * kThreads;
  between[at + i] = in[at + i];
  if (kMistake == Mistake::kRelaxed) {
    arrive_relaxed();
    wait();
  } else if (kMistake == Mistake::kBlockBarrier) {
    __syncthreads();
  } else {
    synchronise();
  }
  out[at + i] = between[other + kThreads - 1 - i];
  if (kMistake == Mistake::kBlockBarrier) synchronise();  // so that it is a kernel of clusters
}

__global__ void pass_around_kernel(const int* in, int* out) {
  __shared__ int values[2][kThreads];
  const cg::cluster_group cluster = cg::this_cluster();
  const unsigned i = threadIdx.x;
  const unsigned next = (cluster.block_rank() + 1) % cluster.num_blocks();
  values[0][i] = in[blockIdx.x * kThreads + i];
  for (int round = 0; round < kRounds; ++round) {
    cluster.sync();
    int* const there = cluster.map_shared_rank(values[(round + 1) % 2], next);
    there[kThreads - 1 - i] = values[round % 2][i] + 1;
  }
  cluster.sync();
  out[blockIdx.x * kThreads + i] = values[kRounds % 2][i];
}

// mbarriers of the other block

__device__ void init(const std::uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_of(barrier)), "r"(count)
               : "memory");
}
__device__ void wait_for_phase_0(const std::uint64_t* barrier, bool narrow) {
  std::uint32_t complete = 0;
  while (complete == 0) {
    if (narrow) {
      asm volatile(
          "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], 0;\n"
          "selp.u32 %0, 1, 0, p; }"
          : "=r"(complete)
          : "r"(address_of(barrier))
          : "memory");
    } else {
      asm volatile(
          "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0;\n"
          "selp.u32 %0, 1, 0, p; }"
          : "=r"(complete)
          : "r"(address_of(barrier))
          : "memory");
    }
  }
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2) exchange_by_mbarrier_kernel(const int* in, int* out, int way) {
  __shared__ std::uint64_t barrier;
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  if (i == 0 && kMistake != Mistake::kNoInit) {
    init(&barrier,
         (way == 3 ? 2 * kThreads : kThreads) + (kMistake == Mistake::kTooManyExpected ? 1 : 0));
    if (kMistake != Mistake::kNoFence) {
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
  }
  arrive_relaxed();
  wait();
  const std::uint32_t other = rank() ^ 1;
  const std::uint32_t there = map(address_of(&barrier), other);
  store_to_cluster(map(address_of(values + kThreads - 1 - i), other), in[at + i]);
  if (kMistake == Mistake::kNarrowScope) {
    asm volatile("mbarrier.arrive.release.cta.shared::cluster.b64 _, [%0];" ::"r"(there)
                 : "memory");
  } else if (kMistake == Mistake::kRelaxed) {
    asm volatile("mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [%0];" ::"r"(there)
                 : "memory");
  } else if (way == 0) {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(there)
                 : "memory");
  } else if (way == 1) {
    asm volatile("mbarrier.arrive_drop.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(there)
                 : "memory");
  } else if (way == 2) {
    asm volatile(
        "mbarrier.arrive.expect_tx.release.cluster.shared::cluster.b64 _, [%0], 8;\n\t"
        "mbarrier.expect_tx.relaxed.cluster.shared::cluster.b64 [%0], 4;\n\t"
        "mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [%0], 12;" ::"r"(there)
        : "memory");
  } else {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0], 2;" ::"r"(there)
                 : "memory");
  }
  if (kMistake != Mistake::kNoWait) {
    wait_for_phase_0(&barrier, kMistake == Mistake::kNarrowWait);
  }
  out[at + i] = values[i];
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2) exchange_by_bulk_copy_kernel(const int* in, int* out) {
  __shared__ std::uint64_t barrier;
  __shared__ alignas(16) int source[kThreads];
  __shared__ alignas(16) int target[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int at = static_cast<int>(blockIdx.x) * kThreads;
  source[kThreads - 1 - i] = in[at + i];
  if (i == 0) {
    init(&barrier, 1);
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address_of(&barrier)),
        "r"(static_cast<int>(sizeof target))
        : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  synchronise();
  const std::uint32_t other = rank() ^ 1;
  if (i == 0) {
    const std::uint32_t counted =
        kMistake == Mistake::kOwnMbarrier ? address_of(&barrier) : map(address_of(&barrier), other);
    asm volatile(
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, "
        "[%3];" ::"r"(map(address_of(target), other)),
        "r"(address_of(source)), "r"(static_cast<int>(sizeof target)), "r"(counted)
        : "memory");
  }
  if (kMistake == Mistake::kOverwrites) source[i] = 0;
  if (kMistake != Mistake::kNoWait) wait_for_phase_0(&barrier, false);
  out[at + i] = target[i];
  // Neither block ends before the other has read from it.
  if (kMistake != Mistake::kNoLastBarrier) synchronise();
}

template <Mistake kMistake>
__global__ void __cluster_dims__(2) exchange_by_flag_kernel(const int* in, int* out) {
  __shared__ int flag;
  __shared__ int value;
  const bool is_first = threadIdx.x == 0;
  if (is_first) flag = 0;
  synchronise();
  if (is_first) {
    const std::uint32_t other = rank() ^ 1;
    const std::uint32_t there = map(address_of(&flag), other);
    store_to_cluster(map(address_of(&value), other), in[blockIdx.x]);
    if (kMistake == Mistake::kRelaxed) {
      asm volatile("st.relaxed.cluster.shared::cluster.s32 [%0], 1;" ::"r"(there) : "memory");
    } else if (kMistake == Mistake::kNarrowScope) {
      asm volatile("st.release.cta.shared::cluster.s32 [%0], 1;" ::"r"(there) : "memory");
    } else {
      asm volatile("st.release.cluster.shared::cluster.s32 [%0], 1;" ::"r"(there) : "memory");
    }
    int seen = 0;
    while (seen == 0) {
      asm volatile("ld.acquire.cluster.shared::cta.s32 %0, [%1];"
                   : "=r"(seen)
                   : "r"(address_of(&flag))
                   : "memory");
    }
    out[blockIdx.x] = value;
  }
  synchronise();
}

__global__ void count_threads_kernel(unsigned* counts) {
  __shared__ unsigned counter;
  if (threadIdx.x == 0) counter = 0;
  synchronise();
  const std::uint32_t there = map(address_of(&counter), 0);
  if (threadIdx.x % 2 == 0) {
    unsigned before = 0;
    asm volatile("atom.relaxed.cluster.shared::cluster.add.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "r"(there)
                 : "memory");
    if (before >= kThreads * cg::this_cluster().num_blocks()) __trap();
  } else {
    asm volatile("red.relaxed.cluster.shared::cluster.add.u32 [%0], 1;" ::"r"(there) : "memory");
  }
  synchronise();
  const auto size = static_cast<unsigned>(cg::this_cluster().num_blocks());
  if (threadIdx.x == 0 && rank() == 0) counts[blockIdx.x / size] = counter;
}

__global__ void wait_without_the_exited_kernel(int* out) {
  __shared__ int value;
  // A whole block may be gone before the others wait.
  if (threadIdx.x < 32 || (rank() == 1 && blockIdx.x < 4)) return;
  if (threadIdx.x == 32) value = static_cast<int>(blockIdx.x);
  synchronise();
  synchronise();
  if (threadIdx.x == 32) out[blockIdx.x] = value;
}

template <bool kAligned>
__global__ void __cluster_dims__(2) reach_at_different_places_kernel() {
  if (threadIdx.x % 2 == 0) {
    if (kAligned) {
      asm volatile("barrier.cluster.arrive.aligned;" ::: "memory");
    } else {
      asm volatile("barrier.cluster.arrive;" ::: "memory");
    }
  } else {  // another text, so that nothing makes one place of the two
    if (kAligned) {
      asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    } else {
      asm volatile("barrier.cluster.arrive.release;" ::: "memory");
    }
  }
  asm volatile("barrier.cluster.wait;" ::: "memory");
}

__global__ void __cluster_dims__(2) leave_a_block_out_kernel() {
  if (rank() == 1) asm volatile("barrier.sync 1, 128;" ::: "memory");
  synchronise();
}

__global__ void spin_on_device_memory_kernel(int* flag) {
  volatile int* const shown = flag;
  if (threadIdx.x != 0) return;
  const auto size = static_cast<unsigned>(cg::this_cluster().num_blocks());
  if (blockIdx.x % size == 0) {
    while (shown[blockIdx.x / size] == 0) {
    }
  } else if (blockIdx.x % size == size - 1) {
    shown[blockIdx.x / size] = 1;
  }
}

__global__ void any_kernel() { __syncthreads(); }
__global__ void __cluster_dims__(2, 1, 1) required_kernel() { __syncthreads(); }

// Launches

template <typename... Arguments>
cudaError_t launch(void (*kernel)(Arguments...), dim3 grid, dim3 cluster, int shared,
                   bool cooperative, Arguments... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared);
  config.attrs = attributes;
  if (cluster.x != 0) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs].val.clusterDim.x = cluster.x;
    attributes[config.numAttrs].val.clusterDim.y = cluster.y;
    attributes[config.numAttrs].val.clusterDim.z = cluster.z;
    ++config.numAttrs;
  }
  if (cooperative) {
    attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
    attributes[config.numAttrs].val.cooperative = 1;
    ++config.numAttrs;
  }
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}
template <typename... Arguments>
cudaError_t launch(void (*kernel)(Arguments...), int blocks, int size, Arguments... arguments) {
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(size)), 0,
                false, arguments...);
}

}  // namespace

#define LAUNCH_CASE(kernel, kind, ...)                                               \
  case Mistake::kind:                                                                \
    kernel<Mistake::kind><<<static_cast<unsigned>(blocks), kThreads>>>(__VA_ARGS__); \
    break

cudaError_t read_registers(dim3 grid, dim3 cluster, Registers* registers) {
  return launch(read_registers_kernel, grid, cluster, 0, false, registers);
}
cudaError_t ask_about_addresses(int clusters, int size, std::uint32_t* answers) {
  return launch(ask_about_addresses_kernel, clusters * size, size, answers);
}
cudaError_t exchange(int blocks, const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_kernel, kNone, in, out);
    LAUNCH_CASE(exchange_kernel, kNoFirstBarrier, in, out);
    LAUNCH_CASE(exchange_kernel, kNoLastBarrier, in, out);
    LAUNCH_CASE(exchange_kernel, kBlockBarrier, in, out);
    LAUNCH_CASE(exchange_kernel, kRelaxed, in, out);
    LAUNCH_CASE(exchange_kernel, kAccessInBetween, in, out);
    LAUNCH_CASE(exchange_kernel, kNoArrival, in, out);
    LAUNCH_CASE(exchange_kernel, kArrivesTwice, in, out);
    LAUNCH_CASE(exchange_kernel, kWrongRank, in, out);
    LAUNCH_CASE(exchange_kernel, kOwnSpace, in, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t read_one_way(int blocks, const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(read_one_way_kernel, kNone, in, out);
    LAUNCH_CASE(read_one_way_kernel, kNoLastBarrier, in, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t exchange_by_fences(int blocks, const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_by_fences_kernel, kNone, in, out);
    LAUNCH_CASE(exchange_by_fences_kernel, kNarrowScope, in, out);
    LAUNCH_CASE(exchange_by_fences_kernel, kNoFence, in, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t exchange_in_device_memory(int blocks, const int* in, int* between, int* out,
                                      Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_in_device_memory_kernel, kNone, in, between, out);
    LAUNCH_CASE(exchange_in_device_memory_kernel, kRelaxed, in, between, out);
    LAUNCH_CASE(exchange_in_device_memory_kernel, kBlockBarrier, in, between, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t pass_around(int blocks, int size, const int* in, int* out, bool cooperative) {
  return launch(pass_around_kernel, dim3(static_cast<unsigned>(blocks)),
                dim3(static_cast<unsigned>(size)), 0, cooperative, in, out);
}
cudaError_t exchange_by_mbarrier(int blocks, const int* in, int* out, int way, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNone, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNarrowScope, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNarrowWait, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kRelaxed, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNoWait, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kTooManyExpected, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNoInit, in, out, way);
    LAUNCH_CASE(exchange_by_mbarrier_kernel, kNoFence, in, out, way);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t exchange_by_bulk_copy(int blocks, const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_by_bulk_copy_kernel, kNone, in, out);
    LAUNCH_CASE(exchange_by_bulk_copy_kernel, kNoWait, in, out);
    LAUNCH_CASE(exchange_by_bulk_copy_kernel, kOwnMbarrier, in, out);
    LAUNCH_CASE(exchange_by_bulk_copy_kernel, kOverwrites, in, out);
    LAUNCH_CASE(exchange_by_bulk_copy_kernel, kNoLastBarrier, in, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t exchange_by_flag(int blocks, const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(exchange_by_flag_kernel, kNone, in, out);
    LAUNCH_CASE(exchange_by_flag_kernel, kRelaxed, in, out);
    LAUNCH_CASE(exchange_by_flag_kernel, kNarrowScope, in, out);
    default:
      return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}
cudaError_t count_threads(int blocks, int size, unsigned* counts) {
  return launch(count_threads_kernel, blocks, size, counts);
}
cudaError_t wait_without_the_exited(int blocks, int size, int* out) {
  return launch(wait_without_the_exited_kernel, blocks, size, out);
}
cudaError_t reach_at_different_places(int blocks, bool aligned) {
  const auto grid = static_cast<unsigned>(blocks);
  if (aligned) {
    reach_at_different_places_kernel<true><<<grid, kThreads>>>();
  } else {
    reach_at_different_places_kernel<false><<<grid, kThreads>>>();
  }
  return cudaGetLastError();
}
cudaError_t leave_a_block_out() {
  leave_a_block_out_kernel<<<2, kThreads>>>();
  return cudaGetLastError();
}
cudaError_t spin_on_device_memory(int size, int* flag) {
  return launch(spin_on_device_memory_kernel, 2 * size, size, flag);
}

cudaError_t launch_any(dim3 grid, dim3 cluster, int shared) {
  const cudaError_t error =
      cudaFuncSetAttribute(any_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  return error != cudaSuccess ? error : launch(any_kernel, grid, cluster, shared, false);
}
cudaError_t allow_large_clusters(bool allow) {
  return cudaFuncSetAttribute(any_kernel, cudaFuncAttributeNonPortableClusterSizeAllowed,
                              allow ? 1 : 0);
}
cudaError_t launch_required(dim3 grid, dim3 cluster) {
  return launch(required_kernel, grid, cluster, 0, false);
}
cudaFuncAttributes attributes_of_required() {
  cudaFuncAttributes attributes{};
  static_cast<void>(cudaFuncGetAttributes(&attributes, required_kernel));
  return attributes;
}
int active_clusters(int size, int shared) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = static_cast<unsigned>(size);
  attribute.val.clusterDim.y = 1;
  attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(size));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared);
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = -1;
  static_cast<void>(cudaOccupancyMaxActiveClusters(&clusters, any_kernel, &config));
  return clusters;
}
int potential_cluster_size(int shared) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(16);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared);
  int size = -1;
  static_cast<void>(cudaOccupancyMaxPotentialClusterSize(&size, any_kernel, &config));
  return size;
}

}  // namespace velum::emulation::clusters
