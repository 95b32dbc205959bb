#include <cuda/atomic>

#include "race_kernels.h"

namespace velum::emulation::races {
namespace {

int race_line = 0;

template <LastBlock How>
__global__ void sum_in_last_block_kernel(const int* in, int* partial, unsigned* ticket, int* out) {
  __shared__ bool is_last;
  const unsigned at = blockIdx.x * kThreads + threadIdx.x;
  partial[at] = in[at];
  if (How != LastBlock::kWithoutBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (How == LastBlock::kWithFenceOfBlock) {
      __threadfence_block();
    } else if (How != LastBlock::kWithoutRelease) {
      __threadfence();
    }
    is_last = atomicAdd(ticket, 1) == gridDim.x - 1;
    if (How != LastBlock::kWithoutAcquire) __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x == 0) {
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x * kThreads; ++i) sum += partial[i];
    *out = sum;
  }
}
constexpr int kSumLine = __LINE__ - 4;

template <Chain How>
__global__ void chain_kernel(const int* in, int* out, int* flags) {
  using Flag = cuda::atomic_ref<int, cuda::thread_scope_device>;
  const unsigned b = blockIdx.x;
  int sum = in[b];
  if (b > 0) {
    if (How == Chain::kWithRelease) {
      while (Flag(flags[b - 1]).load(cuda::memory_order_acquire) == 0) {
      }
    } else {
      while (*reinterpret_cast<volatile int*>(flags + b - 1) == 0) {
      }
      if (How != Chain::kWithoutFence) __threadfence();
    }
    sum += out[b - 1];
  }
  out[b] = sum;
  if (How == Chain::kWithRelease) {
    Flag(flags[b]).store(1, cuda::memory_order_release);
    return;
  }
  if (How != Chain::kWithoutFence) __threadfence();
  if (How == Chain::kWithPlainFlag) {
    flags[b] = 1;
  } else {
    *reinterpret_cast<volatile int*>(flags + b) = 1;
  }
}
constexpr int kChainValueLine = __LINE__ - 14;
constexpr int kChainFlagLine = __LINE__ - 19;

__global__ void shift_kernel(const int* from, int* to) { to[blockIdx.x] = from[blockIdx.x + 1]; }
constexpr int kShiftLine = __LINE__ - 1;

__global__ void set_bytes_kernel(unsigned char* out, int size, int count) {
  for (int i = 0; i < count; ++i) out[static_cast<int>(blockIdx.x) * size + i] = 1;
}
constexpr int kSetBytesLine = __LINE__ - 2;

template <Count How>
__global__ void count_kernel(int* out) {
  if (How == Count::kAfterSetting && blockIdx.x == 0 && threadIdx.x == 0) *out = 0;
  if (How == Count::kPlainly) {
    *out += 1;
  } else {
    atomicAdd(out, 1);
  }
}

template <typename Flag>
__global__ void set_flag_kernel(Flag* flag) {
  *flag = 1;
}
constexpr int kSetFlagLine = __LINE__ - 2;

template <bool kWithBarrier>
__global__ void rotate_kernel(const int* in, int* shared, int* out) {
  shared[threadIdx.x] = in[threadIdx.x];
  if (kWithBarrier) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % kThreads];
}

struct alignas(16) Three {
  int values[3];
};
__global__ void read_beside_kernel(int* data, int* out) {
  if (blockIdx.x == 0) {
    const Three three = *reinterpret_cast<const Three*>(data);  // a load of 16 bytes
    *out = three.values[0] + three.values[1] + three.values[2];
  } else {
    data[3] = 7;
  }
}

__global__ void fence_often_kernel(int* out, int fences) {
  for (int i = 0; i < fences; ++i) __threadfence();
  out[blockIdx.x] = 1;
  for (int i = 0; i < fences; ++i) __threadfence();
  out[blockIdx.x] += 1;
}

__global__ void add_one_kernel(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x] + 1; }

}  // namespace

int line_of_race() { return race_line; }

void sum_in_last_block(const int* in, int* partial, unsigned* ticket, int* out, LastBlock how) {
  race_line = kSumLine;
  switch (how) {
    case LastBlock::kRight:
      return sum_in_last_block_kernel<LastBlock::kRight>
          <<<kBlocks, kThreads>>>(in, partial, ticket, out);
    case LastBlock::kWithoutBarrier:
      return sum_in_last_block_kernel<LastBlock::kWithoutBarrier>
          <<<kBlocks, kThreads>>>(in, partial, ticket, out);
    case LastBlock::kWithoutRelease:
      return sum_in_last_block_kernel<LastBlock::kWithoutRelease>
          <<<kBlocks, kThreads>>>(in, partial, ticket, out);
    case LastBlock::kWithoutAcquire:
      return sum_in_last_block_kernel<LastBlock::kWithoutAcquire>
          <<<kBlocks, kThreads>>>(in, partial, ticket, out);
    case LastBlock::kWithFenceOfBlock:
      return sum_in_last_block_kernel<LastBlock::kWithFenceOfBlock>
          <<<kBlocks, kThreads>>>(in, partial, ticket, out);
  }
}
void chain_of_blocks(const int* in, int* out, int* flags, Chain how) {
  race_line = how == Chain::kWithPlainFlag ? kChainFlagLine : kChainValueLine;
  switch (how) {
    case Chain::kRight:
      return chain_kernel<Chain::kRight><<<kBlocks, 1>>>(in, out, flags);
    case Chain::kWithoutFence:
      return chain_kernel<Chain::kWithoutFence><<<kBlocks, 1>>>(in, out, flags);
    case Chain::kWithPlainFlag:
      return chain_kernel<Chain::kWithPlainFlag><<<kBlocks, 1>>>(in, out, flags);
    case Chain::kWithRelease:
      return chain_kernel<Chain::kWithRelease><<<kBlocks, 1>>>(in, out, flags);
  }
}
void shift(const int* from, int* to) {
  race_line = kShiftLine;
  shift_kernel<<<kBlocks, 1>>>(from, to);
}
void set_bytes(unsigned char* out, int size, bool one_more) {
  race_line = kSetBytesLine;
  set_bytes_kernel<<<kBlocks, 1>>>(out, size, size + (one_more ? 1 : 0));
}
void count(int* out, Count how) {
  switch (how) {
    case Count::kAtomically:
      return count_kernel<Count::kAtomically><<<kBlocks, kThreads>>>(out);
    case Count::kPlainly:
      return count_kernel<Count::kPlainly><<<kBlocks, kThreads>>>(out);
    case Count::kAfterSetting:
      return count_kernel<Count::kAfterSetting><<<kBlocks, kThreads>>>(out);
  }
}
void set_flag(int* flag, bool as_volatile) {
  race_line = kSetFlagLine;
  if (as_volatile) {
    set_flag_kernel<volatile int><<<kBlocks, kThreads>>>(flag);
  } else {
    set_flag_kernel<int><<<kBlocks, kThreads>>>(flag);
  }
}
void rotate(const int* in, int* shared, int* out, bool with_barrier) {
  if (with_barrier) {
    rotate_kernel<true><<<1, kThreads>>>(in, shared, out);
  } else {
    rotate_kernel<false><<<1, kThreads>>>(in, shared, out);
  }
}
void read_beside(int* data, int* out) { read_beside_kernel<<<2, 1>>>(data, out); }
void fence_often(int* out, int fences) { fence_often_kernel<<<2, 1>>>(out, fences); }
void add_one(const int* in, int* out, cudaStream_t stream) {
  add_one_kernel<<<1, kThreads, 0, stream>>>(in, out);
}

}  // namespace velum::emulation::races
