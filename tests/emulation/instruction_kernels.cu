#include <cuda_runtime.h>

#include <stdexcept>

#include "instruction_kernels.h"

namespace velum::emulation::instructions {
namespace {

constexpr int kWarp = 32;

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

template <typename T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    check(cudaMalloc(&data_, size * sizeof(T)));
    check(cudaMemset(data_, 0, size * sizeof(T)));
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> to_host() const {
    std::vector<T> values(size_);
    check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

#define SHUFFLE(name)                                                       \
  asm volatile("{ .reg .pred p; shfl.sync." name                            \
               ".b32 %0|p, %2, %3, %4, 0xffffffff; selp.u32 %1, 1, 0, p; }" \
               : "=r"(value), "=r"(predicate)                               \
               : "r"(values[threadIdx.x]), "r"(offsets[threadIdx.x]), "r"(c))

template <Shuffle kMode>
__global__ void shuffle_kernel(const std::uint32_t* values, const std::uint32_t* offsets,
                               std::uint32_t c, std::uint32_t* out, std::uint32_t* predicates) {
  std::uint32_t value = 0;
  std::uint32_t predicate = 0;
  if (kMode == Shuffle::kUp) SHUFFLE("up");
  if (kMode == Shuffle::kDown) SHUFFLE("down");
  if (kMode == Shuffle::kButterfly) SHUFFLE("bfly");
  if (kMode == Shuffle::kIndexed) SHUFFLE("idx");
  out[threadIdx.x] = value;
  predicates[threadIdx.x] = predicate;
}

__global__ void vote_kernel(const std::uint32_t* predicates, std::uint32_t mask, std::uint32_t* all,
                            std::uint32_t* any, std::uint32_t* uniform, std::uint32_t* ballot) {
  const unsigned i = threadIdx.x;
  if (!((mask >> i) & 1)) return;
  const int mine = predicates[i] != 0;
  all[i] = __all_sync(mask, mine) != 0;
  any[i] = __any_sync(mask, mine) != 0;
  uniform[i] = __uni_sync(mask, mine) != 0;
  ballot[i] = __ballot_sync(mask, mine);
}

__global__ void match_kernel(const std::uint32_t* values, std::uint32_t* any, std::uint32_t* all,
                             std::uint32_t* predicates) {
  const unsigned i = threadIdx.x;
  int predicate = 0;
  any[i] = __match_any_sync(0xFFFFFFFF, values[i]);
  all[i] = __match_all_sync(0xFFFFFFFF, values[i], &predicate);
  predicates[i] = predicate != 0;
}

__global__ void reduce_kernel(const std::uint32_t* values, std::uint32_t* out) {
  const unsigned i = threadIdx.x;
  const std::uint32_t x = values[i];
  const int s = static_cast<int>(x);
  out[i] = __reduce_add_sync(0xFFFFFFFF, x);
  out[kWarp + i] = __reduce_min_sync(0xFFFFFFFF, x);
  out[2 * kWarp + i] = __reduce_max_sync(0xFFFFFFFF, x);
  out[3 * kWarp + i] = static_cast<std::uint32_t>(__reduce_min_sync(0xFFFFFFFF, s));
  out[4 * kWarp + i] = static_cast<std::uint32_t>(__reduce_max_sync(0xFFFFFFFF, s));
  out[5 * kWarp + i] = __reduce_and_sync(0xFFFFFFFF, x);
  out[6 * kWarp + i] = __reduce_or_sync(0xFFFFFFFF, x);
  out[7 * kWarp + i] = __reduce_xor_sync(0xFFFFFFFF, x);
}

__device__ std::uint32_t apply(Atomic operation, std::uint32_t* p, std::uint32_t x,
                               std::uint32_t second) {
  switch (operation) {
    case Atomic::kAdd:
      return atomicAdd(p, x);
    case Atomic::kMin:
      return atomicMin(p, x);
    case Atomic::kMax:
      return atomicMax(p, x);
    case Atomic::kAnd:
      return atomicAnd(p, x);
    case Atomic::kOr:
      return atomicOr(p, x);
    case Atomic::kXor:
      return atomicXor(p, x);
    case Atomic::kExchange:
      return atomicExch(p, x);
    case Atomic::kIncrement:
      return atomicInc(p, x);
    case Atomic::kDecrement:
      return atomicDec(p, x);
    case Atomic::kCompareAndSwap:
      return atomicCAS(p, x, second);
  }
  return 0;
}
/// out: the value afterwards, then the value that the instruction gave.
__global__ void update_kernel(Atomic operation, std::uint32_t x, std::uint32_t second,
                              bool in_shared, std::uint32_t* out) {
  __shared__ std::uint32_t cell;
  if (in_shared) {
    cell = out[0];
    out[1] = apply(operation, &cell, x, second);
    out[0] = cell;
  } else {
    out[1] = apply(operation, out, x, second);
  }
}

template <typename T>
__global__ void add_kernel(const T* values, bool in_shared, T* out) {
  __shared__ T cell;
  if (threadIdx.x == 0) cell = 0;
  __syncthreads();
  atomicAdd(in_shared ? &cell : out, values[threadIdx.x]);
  __syncthreads();
  if (in_shared && threadIdx.x == 0) *out = cell;
}

__global__ void branch_kernel(const std::uint32_t* values, std::uint32_t* out) {
  std::uint32_t result = 0;
  asm volatile(
      "{ .reg .b32 r; and.b32 r, %1, 3;\n"
      "targets: .branchtargets L0, L1, L2, L3;\n"
      "brx.idx r, targets;\n"
      "L0: mov.u32 %0, 100; bra.uni end;\n"
      "L1: mov.u32 %0, 201; bra.uni end;\n"
      "L2: mov.u32 %0, 302; bra.uni end;\n"
      "L3: mov.u32 %0, 403;\n"
      "end: }"
      : "=r"(result)
      : "r"(values[threadIdx.x]));
  out[threadIdx.x] = result;
}

__global__ void reverse_vectors_kernel(const uint4* values, uint4* out) {
  const uint4 v = values[threadIdx.x];
  out[threadIdx.x] = make_uint4(v.w, v.z, v.y, v.x);
}

__global__ void swap_halves_kernel(const std::uint64_t* values, std::uint64_t* out) {
  std::uint64_t result = 0;
  asm volatile("{ .reg .b32 low, high; mov.b64 {low, high}, %1; mov.b64 %0, {high, low}; }"
               : "=l"(result)
               : "l"(values[threadIdx.x]));
  out[threadIdx.x] = result;
}

__global__ void signed_parts_kernel(const std::uint32_t* values, std::int32_t* out) {
  const auto* const bytes = reinterpret_cast<const signed char*>(values + threadIdx.x);
  const auto* const words = reinterpret_cast<const short*>(values + threadIdx.x);
  volatile std::int32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum = sum + bytes[i];
  for (int i = 0; i < 2; ++i) sum = sum + words[i];
  out[threadIdx.x] = sum;
}

__global__ void block_vote_kernel(const std::uint32_t* predicates, std::uint32_t* out) {
  const unsigned i = threadIdx.x;
  const int mine = predicates[i] != 0;
  out[i] = static_cast<std::uint32_t>(__syncthreads_count(mine));
  out[kWarp + i] = __syncthreads_and(mine) != 0;
  out[2 * kWarp + i] = __syncthreads_or(mine) != 0;
}

__global__ void address_spaces_kernel(std::uint32_t* out) {
  __shared__ int shared;
  volatile int local = 0;
  const void* const pointers[] = {out, &shared, const_cast<const int*>(&local)};
  for (int i = 0; i < 3; ++i) {
    out[3 * i] = __isGlobal(pointers[i]);
    out[3 * i + 1] = __isShared(pointers[i]);
    out[3 * i + 2] = __isLocal(pointers[i]);
  }
}

Lanes part(const Lanes& all, int index) {
  const auto start = all.begin() + static_cast<std::ptrdiff_t>(index) * kWarp;
  return {start, start + kWarp};
}

}  // namespace

Shuffled shuffle(Shuffle mode, const Lanes& values, const Lanes& offsets, std::uint32_t c) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> by(offsets);
  const Array<std::uint32_t> out(kWarp);
  const Array<std::uint32_t> predicates(kWarp);
  auto* const kernel = mode == Shuffle::kUp          ? shuffle_kernel<Shuffle::kUp>
                       : mode == Shuffle::kDown      ? shuffle_kernel<Shuffle::kDown>
                       : mode == Shuffle::kButterfly ? shuffle_kernel<Shuffle::kButterfly>
                                                     : shuffle_kernel<Shuffle::kIndexed>;
  kernel<<<1, kWarp>>>(in.data(), by.data(), c, out.data(), predicates.data());
  return {out.to_host(), predicates.to_host()};
}

Votes vote(const Lanes& predicates, std::uint32_t mask) {
  const Array<std::uint32_t> in(predicates);
  const Array<std::uint32_t> all(kWarp);
  const Array<std::uint32_t> any(kWarp);
  const Array<std::uint32_t> uniform(kWarp);
  const Array<std::uint32_t> ballot(kWarp);
  vote_kernel<<<1, kWarp>>>(in.data(), mask, all.data(), any.data(), uniform.data(), ballot.data());
  return {all.to_host(), any.to_host(), uniform.to_host(), ballot.to_host()};
}

Matches match(const Lanes& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> any(kWarp);
  const Array<std::uint32_t> all(kWarp);
  const Array<std::uint32_t> predicates(kWarp);
  match_kernel<<<1, kWarp>>>(in.data(), any.data(), all.data(), predicates.data());
  return {any.to_host(), all.to_host(), predicates.to_host()};
}

Reductions reduce(const Lanes& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> out(8 * kWarp);
  reduce_kernel<<<1, kWarp>>>(in.data(), out.data());
  const Lanes all = out.to_host();
  return {part(all, 0), part(all, 1), part(all, 2), part(all, 3),
          part(all, 4), part(all, 5), part(all, 6), part(all, 7)};
}

Updated update(Atomic operation, std::uint32_t start, std::uint32_t operand, std::uint32_t second,
               bool in_shared) {
  const Array<std::uint32_t> out(Lanes{start, 0});
  update_kernel<<<1, 1>>>(operation, operand, second, in_shared, out.data());
  const Lanes values = out.to_host();
  return {values[1], values[0]};
}

float add_floats(const std::vector<float>& values, bool in_shared) {
  const Array<float> in(values);
  const Array<float> out(1);
  if (in_shared) {
    add_kernel<float><<<1, static_cast<unsigned>(values.size())>>>(in.data(), true, out.data());
  } else {
    add_kernel<float><<<1, static_cast<unsigned>(values.size())>>>(in.data(), false, out.data());
  }
  return out.to_host()[0];
}
double add_doubles(const std::vector<double>& values) {
  const Array<double> in(values);
  const Array<double> out(1);
  add_kernel<double><<<1, static_cast<unsigned>(values.size())>>>(in.data(), false, out.data());
  return out.to_host()[0];
}

Lanes branch_by_table(const Lanes& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> out(kWarp);
  branch_kernel<<<1, kWarp>>>(in.data(), out.data());
  return out.to_host();
}

Lanes reverse_vectors(const Lanes& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> out(values.size());
  reverse_vectors_kernel<<<1, static_cast<unsigned>(values.size() / 4)>>>(
      reinterpret_cast<const uint4*>(in.data()), reinterpret_cast<uint4*>(out.data()));
  return out.to_host();
}

std::vector<std::uint64_t> swap_halves(const std::vector<std::uint64_t>& values) {
  const Array<std::uint64_t> in(values);
  const Array<std::uint64_t> out(values.size());
  swap_halves_kernel<<<1, static_cast<unsigned>(values.size())>>>(in.data(), out.data());
  return out.to_host();
}

std::vector<std::int32_t> signed_parts(const Lanes& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::int32_t> out(values.size());
  signed_parts_kernel<<<1, static_cast<unsigned>(values.size())>>>(in.data(), out.data());
  return out.to_host();
}

BlockVotes block_vote(const Lanes& predicates) {
  const Array<std::uint32_t> in(predicates);
  const Array<std::uint32_t> out(3 * kWarp);
  block_vote_kernel<<<1, kWarp>>>(in.data(), out.data());
  const Lanes all = out.to_host();
  return {part(all, 0), part(all, 1), part(all, 2)};
}

std::vector<std::uint32_t> address_spaces() {
  const Array<std::uint32_t> out(9);
  address_spaces_kernel<<<1, 1>>>(out.data());
  return out.to_host();
}

}  // namespace velum::emulation::instructions
