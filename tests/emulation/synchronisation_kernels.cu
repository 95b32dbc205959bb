#include <cooperative_groups.h>

#include <cuda/barrier>
#include <cuda/pipeline>
#include <utility>

#include "synchronisation_kernels.h"

namespace velum::emulation::synchronisation {
namespace {

namespace cg = cooperative_groups;

int fault_line = 0;

__device__ std::uint32_t address_of(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Named barriers

__device__ void sync_part(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ void arrive_part(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

constexpr int kFull = 1;
constexpr int kEmpty = 2;
constexpr int kHalf = kThreads / 2;

template <Mistake kMistake>
__global__ void produce_and_consume_kernel(const int* in, int* out) {
  __shared__ int values[kHalf];
  const int i = static_cast<int>(threadIdx.x) % kHalf;
  if (static_cast<int>(threadIdx.x) < kHalf) {
    for (int round = 0; round < kRounds; ++round) {
      if (round != 0 && kMistake != Mistake::kNoWaitForEmpty) sync_part(kEmpty, kThreads);
      values[i] = in[round * kHalf + i];
      arrive_part(kFull, kMistake == Mistake::kWrongCount && round == 2 ? 96 : kThreads);
    }
  } else {
    for (int round = 0; round < kRounds; ++round) {
      if (kMistake != Mistake::kNoWait) {
        sync_part(kMistake == Mistake::kWrongBarrier && round == 2 ? 5 : kFull, kThreads);
      }
      out[round * kHalf + i] = values[kHalf - 1 - i];
      if (round + 1 < kRounds && kMistake != Mistake::kNoWaitForEmpty) {
        arrive_part(kEmpty, kThreads);
      }
    }
  }
}

template <Mistake kMistake>
__global__ void reverse_halves_kernel(const int* in, int* out) {
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const bool is_upper = i >= kHalf;
  values[i] = 0;
  __syncthreads();
  values[i] = in[i];
  sync_part(is_upper ? 2 : 1, kHalf);
  if (kMistake == Mistake::kNoWait && is_upper) {
    for (int k = 0; k < 8; ++k) sync_part(2, kHalf);  // the lower half has most likely finished
    out[i] = values[kThreads - 1 - i];
  } else {
    out[i] = values[(is_upper ? kThreads + kHalf : kHalf) - 1 - i];
  }
}

__global__ void reduce_part_kernel(const unsigned* predicates, unsigned* out) {
  const unsigned i = threadIdx.x;
  if (i < kHalf) return;
  const unsigned mine = predicates[i];
  unsigned count = 0;
  unsigned all = 0;
  unsigned any = 0;
  asm volatile(
      "{ .reg .pred p, q;\n"
      "setp.ne.u32 p, %3, 0;\n"
      "barrier.cta.red.popc.aligned.u32 %0, 3, 64, p;\n"
      "bar.red.and.pred q, 3, 64, p;\n"
      "selp.u32 %1, 1, 0, q;\n"
      "barrier.red.or.pred q, 3, 64, p;\n"
      "selp.u32 %2, 1, 0, q; }"
      : "=r"(count), "=r"(all), "=r"(any)
      : "r"(mine)
      : "memory");
  out[i] = count;
  out[kThreads + i] = all;
  out[2 * kThreads + i] = any;
}

template <bool kAligned>
__global__ void reach_at_different_places_kernel(int* out) {
  __shared__ int values[kHalf];
  const int i = static_cast<int>(threadIdx.x);
  values[i] = i;
  if (i % 2 == 0) {
    if (kAligned) {
      asm volatile("bar.sync 1, 64;" ::: "memory");
    } else {
      asm volatile("barrier.sync 1, 64;" ::: "memory");
    }
    out[i] = values[kHalf - 1 - i];
  } else {
    if (kAligned) {
      asm volatile("bar.sync 1, 64;" ::: "memory");
    } else {
      asm volatile("barrier.sync 1, 64;" ::: "memory");
    }
    out[i] = -values[kHalf - 1 - i];
  }
}

__global__ void misuse_barrier_kernel(int barrier, int threads) {
  if (threadIdx.x < kHalf) {
    asm volatile("bar.sync 1;" ::: "memory");
  } else {
    sync_part(barrier, threads);
  }
}

// mbarriers

__device__ void init(const std::uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_of(barrier)), "r"(count)
               : "memory");
}
__device__ std::uint64_t arrive(const std::uint64_t* barrier) {
  std::uint64_t state = 0;
  asm volatile("mbarrier.arrive.shared::cta.b64 %0, [%1];"
               : "=l"(state)
               : "r"(address_of(barrier))
               : "memory");
  return state;
}
__device__ bool is_complete(const std::uint64_t* barrier, std::uint64_t state) {
  unsigned complete = 0;
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(complete)
      : "r"(address_of(barrier)), "l"(state)
      : "memory");
  return complete != 0;
}
__device__ bool is_parity_complete(const std::uint64_t* barrier, int parity) {
  unsigned complete = 0;
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p; }"
      : "=r"(complete)
      : "r"(address_of(barrier)), "r"(parity)
      : "memory");
  return complete != 0;
}
__device__ bool try_state(const std::uint64_t* barrier, std::uint64_t state) {
  unsigned complete = 0;
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.acquire.cta.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p; }"
      : "=r"(complete)
      : "r"(address_of(barrier)), "l"(state)
      : "memory");
  return complete != 0;
}
__device__ bool try_parity(const std::uint64_t* barrier, int parity) {
  unsigned complete = 0;
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2, %3;\n"
      "selp.u32 %0, 1, 0, p; }"
      : "=r"(complete)
      : "r"(address_of(barrier)), "r"(parity), "r"(1000)
      : "memory");
  return complete != 0;
}
__device__ unsigned pending_count(std::uint64_t state) {
  unsigned count = 0;
  asm("mbarrier.pending_count.b64 %0, %1;" : "=r"(count) : "l"(state));
  return count;
}

__global__ void walk_through_phases_kernel(unsigned* answers) {
  __shared__ std::uint64_t barrier;
  const std::uint32_t address = address_of(&barrier);
  std::uint64_t state = 0;
  int at = 0;
  init(&barrier, 3);
  // Phase 0: one arrival, and two at once.
  state = arrive(&barrier);
  answers[at++] = pending_count(state);
  answers[at++] = is_complete(&barrier, state);
  answers[at++] = is_parity_complete(&barrier, 0);
  answers[at++] = is_parity_complete(&barrier, 1);  // the phase before counts as complete
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0], 2;" ::"r"(address) : "memory");
  answers[at++] = is_complete(&barrier, state);
  answers[at++] = is_parity_complete(&barrier, 0);
  answers[at++] = is_parity_complete(&barrier, 1);
  // Phase 1: arrivals and bytes, which come before they are expected.
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 48;" ::"r"(address)
               : "memory");
  asm volatile("mbarrier.arrive.noComplete.release.cta.shared::cta.b64 %0, [%1], 2;"
               : "=l"(state)
               : "r"(address)
               : "memory");
  answers[at++] = pending_count(state);
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 %0, [%1], 64;"
               : "=l"(state)
               : "r"(address)
               : "memory");
  answers[at++] = pending_count(state);
  answers[at++] = is_complete(&barrier, state);  // 16 bytes are missing
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(address)
               : "memory");
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(address)
               : "memory");
  answers[at++] = is_complete(&barrier, state);
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(address)
               : "memory");
  answers[at++] = is_complete(&barrier, state);
  // Phase 2: one drops out; phase 3 expects two.
  asm volatile("mbarrier.arrive_drop.shared::cta.b64 %0, [%1];"
               : "=l"(state)
               : "r"(address)
               : "memory");
  answers[at++] = pending_count(state);
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], 2;" ::"r"(address) : "memory");
  answers[at++] = is_complete(&barrier, state);
  state = arrive(&barrier);
  answers[at++] = pending_count(state);
  answers[at++] = is_complete(&barrier, state);
  arrive(&barrier);
  answers[at++] = is_complete(&barrier, state);
  answers[at++] = is_parity_complete(&barrier, 1);
  // Its bytes serve again.
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(address) : "memory");
  barrier = 77;
  answers[at++] = static_cast<unsigned>(barrier);
  init(&barrier, 1);
  state = arrive(&barrier);
  answers[at++] = try_state(&barrier, state);
}

template <Mistake kMistake>
__global__ void rotate_by_mbarrier_kernel(const int* in, int* out, bool by_parity) {
  __shared__ std::uint64_t barrier;
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0 && kMistake != Mistake::kNoInit) {
    init(&barrier, kMistake == Mistake::kWrongCount        ? kThreads - 1
                   : kMistake == Mistake::kTooManyExpected ? kThreads + 1
                                                           : kThreads);
  }
  if (kMistake != Mistake::kNoSync) __syncthreads();
  int value = in[i];
  int phase = 0;
  std::uint64_t first = 0;
  const auto wait = [&](int round) {
    std::uint64_t state = arrive(&barrier);
    if (round == 0) first = state;
    if (kMistake == Mistake::kStaleState && round == 3) state = first;
    if (kMistake == Mistake::kNoWait && round == 2) {
      ++phase;
      return;
    }
    const int parity = kMistake == Mistake::kWrongPhase && round == 2 ? 1 - (phase & 1) : phase & 1;
    if (kMistake == Mistake::kWaitOnce) {
      try_state(&barrier, state);
    } else if (by_parity) {
      while (!try_parity(&barrier, parity)) {
      }
    } else {
      while (!try_state(&barrier, state)) {
      }
    }
    ++phase;
  };
  for (int round = 0; round < kRounds; ++round) {
    values[i] = value;
    wait(round);
    value = values[(i + 1) % kThreads];
    if (kMistake == Mistake::kNoWaitForEmpty) continue;
    wait(round);
  }
  out[i] = value;
  __syncthreads();
  if (i == 0) {
    asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(address_of(&barrier)) : "memory");
  }
  if (kMistake == Mistake::kUseAfterInval) {
    __syncthreads();
    arrive(&barrier);
  }
}

template <Mistake kMistake>
__global__ void read_upper_half_kernel(const int* in, int* out) {
  __shared__ std::uint64_t barrier;
  __shared__ int values[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const bool is_upper = i >= kHalf;
  constexpr bool kUpperArrives = kMistake != Mistake::kNoSync;
  if (i == 0) init(&barrier, kUpperArrives ? kThreads : kHalf);
  values[i] = 0;
  __syncthreads();
  values[i] = in[i];
  if (is_upper) {
    if (kUpperArrives) arrive(&barrier);
    for (int k = 0; k < 8; ++k) sync_part(1, kHalf);  // the lower half has most likely written
    if (kMistake == Mistake::kNoWait) out[i] = values[kThreads - 1 - i];
  } else {
    for (int phase = 0; phase < (kUpperArrives ? 1 : 8); ++phase) {
      arrive(&barrier);
      while (!try_parity(&barrier, phase % 2)) {
      }
    }
    out[i] = values[kThreads - 1 - i];
  }
}

template <Mistake kMistake>
__global__ void look_at_mbarrier_kernel(int* out) {
  __shared__ std::uint64_t barrier;
  if (threadIdx.x == 0) init(&barrier, kThreads);
  __syncthreads();
  out[threadIdx.x] = static_cast<int>(barrier);
}
constexpr int kLookAtMbarrierLine = __LINE__ - 2;

// Asynchronous copies

template <int kWidth>
__device__ void copy_async(const void* shared, const void* global, int filled) {
  if constexpr (kWidth == 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address_of(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(filled)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address_of(shared)),
                 "l"(__cvta_generic_to_global(global)), "n"(kWidth), "r"(filled)
                 : "memory");
  }
}
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kNewest>
__device__ void wait_for_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}

template <int kWidth>
struct alignas(kWidth) Element {
  unsigned char bytes[kWidth];
};

template <int kWidth, Mistake kMistake>
__global__ void copy_elements_kernel(const Element<kWidth>* in, Element<kWidth>* out, int filled,
                                     Waiting waiting) {
  __shared__ Element<kWidth> elements[kThreads];
  __shared__ std::uint64_t barrier;
  const unsigned i = threadIdx.x;
  const std::uint32_t address = address_of(&barrier);
  if (i == 0) {
    init(&barrier, kMistake == Mistake::kTooManyExpected ? kThreads + 1 : kThreads);
  }
  __syncthreads();
  copy_async<kWidth>(&elements[i], &in[i], filled);
  if (kMistake != Mistake::kNoCommit) commit();
  if (kMistake == Mistake::kWrongGroup) commit();
  switch (waiting) {
    case Waiting::kGroup:
      if (kMistake == Mistake::kWrongGroup) {
        wait_for_groups<2>();
      } else if (kMistake != Mistake::kNoWait) {
        wait_for_groups<0>();
      }
      if (kMistake != Mistake::kNoSync) __syncthreads();
      break;
    case Waiting::kAll:
      asm volatile("cp.async.wait_all;" ::: "memory");
      __syncthreads();
      break;
    case Waiting::kMbarrier:
      asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(address) : "memory");
      arrive(&barrier);
      while (kMistake != Mistake::kNoWait && !try_parity(&barrier, 0)) {
      }
      if (kMistake == Mistake::kNoWait) __syncthreads();
      break;
    case Waiting::kMbarrierCounted:
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(address) : "memory");
      while (!is_parity_complete(&barrier, 0)) {
      }
      break;
  }
  out[i] = elements[kThreads - 1 - i];
}

template <Mistake kMistake>
__global__ void sum_rows_kernel(const int* in, int* out) {
  __shared__ int rows[2][kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int opposite = kThreads - 1 - i;
  copy_async<4>(&rows[0][i], &in[i], 4);
  commit();
  int sum = 0;
  for (int row = 0; row < kRounds; ++row) {
    if (row + 1 < kRounds) {
      copy_async<4>(&rows[(row + 1) % 2][i], &in[(row + 1) * kThreads + i], 4);
    }
    commit();
    if (kMistake == Mistake::kWrongGroup) {
      wait_for_groups<2>();
    } else {
      wait_for_groups<1>();
    }
    __syncthreads();
    sum += rows[row % 2][opposite];
    if (kMistake != Mistake::kNoWaitForEmpty) __syncthreads();
  }
  out[i] = sum;
}

__global__ void overwrite_source_kernel(int* in, int* out) {
  __shared__ int value;
  if (threadIdx.x == 0) {
    copy_async<4>(&value, in, 4);
    commit();
  }
  __syncwarp();
  if (threadIdx.x == 0) {
    *in = 2;
    wait_for_groups<0>();
    *out = value;
  }
}

template <Mistake kMistake>
__global__ void reverse_by_bulk_copies_kernel(const int* in, int* out) {
  __shared__ alignas(16) int values[kThreads];
  __shared__ alignas(16) int reversed[kThreads];
  __shared__ std::uint64_t barrier;
  constexpr int kBytes = kThreads * sizeof(int);
  const int i = static_cast<int>(threadIdx.x);
  const std::uint32_t address = address_of(&barrier);
  if (i == 0) {
    init(&barrier, 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (i == 0) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(address_of(values)),
        "l"(__cvta_generic_to_global(in)), "r"(kBytes), "r"(address)
        : "memory");
    asm volatile(
        "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(address),
        "r"(kMistake == Mistake::kTooManyExpected ? kBytes + 16 : kBytes)
        : "memory");
  }
  if (kMistake == Mistake::kNoWait) {
    __syncthreads();
  } else {
    while (!try_parity(&barrier, kMistake == Mistake::kWrongPhase ? 1 : 0)) {
    }
  }
  reversed[kThreads - 1 - i] = values[i];
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  if (kMistake != Mistake::kNoSync) __syncthreads();
  if (i == 0) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                     __cvta_generic_to_global(out)),
                 "r"(address_of(reversed)), "r"(kBytes)
                 : "memory");
    if (kMistake != Mistake::kNoCommit) {
      asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    }
    if (kMistake == Mistake::kNoWaitForEmpty) {
      reversed[0] = 0;
    } else {
      asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
      reversed[0] = 0;
      asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
  }
}

// libcu++

using Barrier = cuda::barrier<cuda::thread_scope_block>;

__global__ void reverse_by_cuda_barrier_kernel(const int* in, int* out) {
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ Barrier barrier;
  __shared__ alignas(16) int values[kThreads];
  const unsigned i = threadIdx.x;
  if (i == 0) init(&barrier, kThreads);
  __syncthreads();
  if (i % 4 == 0) {
    cuda::memcpy_async(&values[i], &in[i], cuda::aligned_size_t<16>(16), barrier);
  }
  barrier.arrive_and_wait();
  const int mine = values[kThreads - 1 - i];
  auto token = barrier.arrive();
  barrier.wait(std::move(token));
  values[i] = mine;
  barrier.arrive_and_wait();
  out[i] = values[i];
  barrier.arrive_and_drop();
}

__global__ void reverse_by_cuda_pipeline_kernel(const int* in, int* out) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, 2> state;
  __shared__ alignas(16) int rows[2][kThreads];
  const auto block = cg::this_thread_block();
  auto pipeline = cuda::make_pipeline(block, &state);
  for (int row = 0; row < kRounds; ++row) {
    pipeline.producer_acquire();
    cuda::memcpy_async(block, rows[row % 2], in + row * kThreads,
                       cuda::aligned_size_t<16>(sizeof rows[0]), pipeline);
    pipeline.producer_commit();
    pipeline.consumer_wait();
    out[row * kThreads + threadIdx.x] = rows[row % 2][kThreads - 1 - threadIdx.x];
    pipeline.consumer_release();
  }
}

template <bool kSynchronises>
__global__ void add_to_unwritten_kernel(int* out) {
  __shared__ int counter;
  atomicAdd(&counter, 1);
  __syncthreads();
  if (kSynchronises) sync_part(1, kThreads);
  if (threadIdx.x == 0) *out = counter;
}
constexpr int kAddToUnwrittenLine = __LINE__ - 5;

template <int kWidth, Mistake kMistake>
void launch_copy_elements(const void* in, void* out, int filled, Waiting waiting) {
  copy_elements_kernel<kWidth, kMistake><<<1, kThreads>>>(
      static_cast<const Element<kWidth>*>(in), static_cast<Element<kWidth>*>(out), filled, waiting);
}

}  // namespace

int line_of_fault() { return fault_line; }

#define LAUNCH_CASE(kernel, kind, ...)                   \
  case Mistake::kind:                                    \
    kernel<Mistake::kind><<<1, kThreads>>>(__VA_ARGS__); \
    break

void produce_and_consume(const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(produce_and_consume_kernel, kNone, in, out);
    LAUNCH_CASE(produce_and_consume_kernel, kNoWait, in, out);
    LAUNCH_CASE(produce_and_consume_kernel, kNoWaitForEmpty, in, out);
    LAUNCH_CASE(produce_and_consume_kernel, kWrongCount, in, out);
    LAUNCH_CASE(produce_and_consume_kernel, kWrongBarrier, in, out);
    default:
      break;
  }
}
void reverse_halves(const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(reverse_halves_kernel, kNone, in, out);
    LAUNCH_CASE(reverse_halves_kernel, kNoWait, in, out);
    default:
      break;
  }
}
void reduce_part(const unsigned* predicates, unsigned* out) {
  reduce_part_kernel<<<1, kThreads>>>(predicates, out);
}
void reach_at_different_places(int* out, Mistake mistake) {
  if (mistake == Mistake::kNone) {
    reach_at_different_places_kernel<false><<<1, kHalf>>>(out);
  } else {
    reach_at_different_places_kernel<true><<<1, kHalf>>>(out);
  }
}
void misuse_barrier(Mistake mistake) {
  misuse_barrier_kernel<<<1, kThreads>>>(mistake == Mistake::kWrongBarrier ? 1 : 16, kHalf);
}
void read_upper_half(const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(read_upper_half_kernel, kNone, in, out);
    LAUNCH_CASE(read_upper_half_kernel, kNoSync, in, out);
    LAUNCH_CASE(read_upper_half_kernel, kNoWait, in, out);
    default:
      break;
  }
}
void walk_through_phases(unsigned* answers) { walk_through_phases_kernel<<<1, 1>>>(answers); }
void rotate_by_mbarrier(const int* in, int* out, bool by_parity, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kNone, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kNoWait, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kNoWaitForEmpty, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kWrongCount, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kTooManyExpected, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kWrongPhase, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kNoSync, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kNoInit, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kUseAfterInval, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kStaleState, in, out, by_parity);
    LAUNCH_CASE(rotate_by_mbarrier_kernel, kWaitOnce, in, out, by_parity);
    case Mistake::kOrdinaryAccess:
      fault_line = kLookAtMbarrierLine;
      look_at_mbarrier_kernel<Mistake::kOrdinaryAccess><<<1, kThreads>>>(out);
      break;
    default:
      break;
  }
}
void copy_elements(const void* in, void* out, int width, int filled, Waiting waiting,
                   Mistake mistake) {
  switch (mistake) {
    case Mistake::kNone:
      if (width == 4) launch_copy_elements<4, Mistake::kNone>(in, out, filled, waiting);
      if (width == 8) launch_copy_elements<8, Mistake::kNone>(in, out, filled, waiting);
      if (width == 16) launch_copy_elements<16, Mistake::kNone>(in, out, filled, waiting);
      break;
    case Mistake::kNoWait:
      launch_copy_elements<16, Mistake::kNoWait>(in, out, filled, waiting);
      break;
    case Mistake::kNoSync:
      launch_copy_elements<16, Mistake::kNoSync>(in, out, filled, waiting);
      break;
    case Mistake::kNoCommit:
      launch_copy_elements<16, Mistake::kNoCommit>(in, out, filled, waiting);
      break;
    case Mistake::kWrongGroup:
      launch_copy_elements<16, Mistake::kWrongGroup>(in, out, filled, waiting);
      break;
    case Mistake::kTooManyExpected:
      launch_copy_elements<16, Mistake::kTooManyExpected>(in, out, filled, waiting);
      break;
    default:
      break;
  }
}
void sum_rows(const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(sum_rows_kernel, kNone, in, out);
    LAUNCH_CASE(sum_rows_kernel, kWrongGroup, in, out);
    LAUNCH_CASE(sum_rows_kernel, kNoWaitForEmpty, in, out);
    default:
      break;
  }
}
void overwrite_source(int* in, int* out) { overwrite_source_kernel<<<1, 2>>>(in, out); }
void reverse_by_bulk_copies(const int* in, int* out, Mistake mistake) {
  switch (mistake) {
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kNone, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kNoWait, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kNoWaitForEmpty, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kTooManyExpected, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kWrongPhase, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kNoSync, in, out);
    LAUNCH_CASE(reverse_by_bulk_copies_kernel, kNoCommit, in, out);
    default:
      break;
  }
}
#undef LAUNCH_CASE

void reverse_by_cuda_barrier(const int* in, int* out) {
  reverse_by_cuda_barrier_kernel<<<1, kThreads>>>(in, out);
}
void reverse_by_cuda_pipeline(const int* in, int* out) {
  reverse_by_cuda_pipeline_kernel<<<1, kThreads>>>(in, out);
}
void add_to_unwritten(int* out, bool synchronises) {
  fault_line = kAddToUnwrittenLine;
  if (synchronises) {
    add_to_unwritten_kernel<true><<<1, kThreads>>>(out);
  } else {
    add_to_unwritten_kernel<false><<<1, kThreads>>>(out);
  }
}

}  // namespace velum::emulation::synchronisation
