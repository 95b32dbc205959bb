#pragma once

// The language of the random kernels: one text, compiled by nvcc for the emulated device and by g++
// as plain C++ whose results the emulation must give, bit for bit.
//
// A kernel is a list of steps. `LANES` begins what every thread does on its own; everything else is
// done by all threads together. On the host a variable of a kernel is an array with a value for
// each thread of the block, LANES is a loop over them, and a barrier is the end of that loop.
// Nothing here may have undefined or unspecified behaviour, for then the two may differ.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#ifndef __CUDACC__
#include <bit>
#include <vector>
#endif

namespace velum::emulation::fuzz {

using u8 = std::uint8_t;
using s8 = std::int8_t;
using u16 = std::uint16_t;
using s16 = std::int16_t;
using u32 = unsigned int;
using s32 = int;
using u64 = unsigned long long;
using s64 = long long;
using f32 = float;
using f64 = double;

inline constexpr u32 kWarp = 32;
inline constexpr u32 kThreads = 64;  // of a block
inline constexpr u32 kBlocks = 2;
inline constexpr u32 kInputs = 256;  // elements of each input array, a power of two
inline constexpr u32 kOutputs = 16;  // results of a thread
inline constexpr u32 kSums = 16;     // targets of atomic operations in global memory

/// A 16-byte element, which nvcc reads and writes as a vector.
struct alignas(16) Four {
  u32 x[4];
};

/// What a kernel is called with. Scalars are equal in all threads and unknown to the compilers.
struct Arguments {
  const u32* in_u32;  // [kInputs], as are the other inputs
  const s32* in_s32;
  const u64* in_u64;
  const s64* in_s64;
  const f32* in_f32;
  const f64* in_f64;
  const u8* in_u8;
  const s16* in_s16;
  const Four* in_four;
  u64* out;   // [kOutputs, kBlocks * kThreads]
  u32* sums;  // [kSums]
  u64* wide;  // [kSums]
  u32 small;  // 0 to 5: the bound of a loop
  u8 flags;
  s32 param_s32;
  u64 param_u64;
  f32 param_f32;
  f64 param_f64;
};

#ifdef __CUDACC__
#define FUZZ_INLINE __device__ inline
#define NOINLINE __device__ __noinline__
#define TABLE(T, name) __constant__ const T name[]
#define KERNEL(name) extern "C" __global__ void name(const Arguments a)
#define BEGIN const u32 lane = threadIdx.x, block = blockIdx.x;
#define LANES
#define VAR(T, name) T name
#define V(name) name
#define SHARED(T, name) __shared__ T name[kThreads]
#define SYNC __syncthreads()
#else
#define FUZZ_INLINE inline
#define NOINLINE [[maybe_unused]] static
#define TABLE(T, name) [[maybe_unused]] static const T name[]
#define KERNEL(name)                                                                       \
  static void name([[maybe_unused]] const Arguments& a, [[maybe_unused]] const u32 block); \
  static const Registration registration_of_##name(#name, &name);                          \
  static void name([[maybe_unused]] const Arguments& a, [[maybe_unused]] const u32 block)
#define BEGIN
#define LANES for (u32 lane = 0; lane < kThreads; ++lane)
#define VAR(T, name) T name[kThreads]
#define V(name) name[lane]
#define SHARED(T, name) T name[kThreads]
#define SYNC static_cast<void>(0)

/// The kernels of the program, as plain C++.
struct HostKernel {
  const char* name;
  void (*function)(const Arguments&, u32 block);
};
inline std::vector<HostKernel>& host_kernels() {
  static std::vector<HostKernel> kernels;
  return kernels;
}
struct Registration {
  Registration(const char* name, void (*function)(const Arguments&, u32)) {
    host_kernels().push_back({name, function});
  }
};
#endif

// Bits. The bits of a NaN are left open, so nothing sees them.

template <typename T>
FUZZ_INLINE bool is_nan(T x) {
  return x != x;
}
FUZZ_INLINE u32 bits(f32 x) {
  u32 result = 0x7FFFFFFF;
  if (!is_nan(x)) memcpy(&result, &x, sizeof result);
  return result;
}
FUZZ_INLINE u64 bits(f64 x) {
  u64 result = 0x7FFFFFFFFFFFFFFF;
  if (!is_nan(x)) memcpy(&result, &x, sizeof result);
  return result;
}
FUZZ_INLINE f32 float_of(u32 x) {
  f32 result = 0;
  memcpy(&result, &x, sizeof result);
  return result;
}
FUZZ_INLINE f64 double_of(u64 x) {
  f64 result = 0;
  memcpy(&result, &x, sizeof result);
  return result;
}
template <typename T>
FUZZ_INLINE u64 output(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return bits(x);
  } else {
    return static_cast<u64>(x);
  }
}

// Integers. Signed arithmetic that may overflow goes through unsigned.

template <typename T>
inline constexpr u32 kBits = 8 * sizeof(T);

template <typename T>
FUZZ_INLINE T add(T a, T b) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
}
template <typename T>
FUZZ_INLINE T sub(T a, T b) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(a) - static_cast<U>(b));
}
template <typename T>
FUZZ_INLINE T mul(T a, T b) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
}
/// b, or 1 where C++ does not define a / b. Not a branch around the division: nvcc may execute it
/// before the branch, for on the device a division by zero only gives a value that nobody uses.
template <typename T>
FUZZ_INLINE T divisor(T a, T b) {
  constexpr T kLowest = static_cast<T>(std::make_unsigned_t<T>{1} << (kBits<T> - 1));
  const bool undefined = b == 0 || (std::is_signed_v<T> && a == kLowest && b == static_cast<T>(-1));
  return undefined ? T{1} : b;
}
template <typename T>
FUZZ_INLINE T divide(T a, T b) {
  return a / divisor(a, b);
}
template <typename T>
FUZZ_INLINE T remainder(T a, T b) {
  return a % divisor(a, b);
}
/// The shifts of C++, by the low bits of n.
template <typename T>
FUZZ_INLINE T shift_left(T a, u32 n) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) << (n & (kBits<T> - 1)));
}
template <typename T>
FUZZ_INLINE T shift_right(T a, u32 n) {
  return a >> (n & (kBits<T> - 1));
}
/// The shifts of PTX, for which a count of the width and more is defined.
template <typename T>
FUZZ_INLINE T shift_left_clamped(T a, u32 n) {
#ifdef __CUDACC__
  T result;
  if constexpr (sizeof(T) == 4) asm("shl.b32 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(n));
  if constexpr (sizeof(T) == 8) asm("shl.b64 %0, %1, %2;" : "=l"(result) : "l"(a), "r"(n));
  return result;
#else
  return n < kBits<T> ? shift_left(a, n) : T{0};
#endif
}
template <typename T>
FUZZ_INLINE T shift_right_clamped(T a, u32 n) {
#ifdef __CUDACC__
  T result;
  if constexpr (std::is_same_v<T, u32>) asm("shr.u32 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(n));
  if constexpr (std::is_same_v<T, s32>) asm("shr.s32 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(n));
  if constexpr (std::is_same_v<T, u64>) asm("shr.u64 %0, %1, %2;" : "=l"(result) : "l"(a), "r"(n));
  if constexpr (std::is_same_v<T, s64>) asm("shr.s64 %0, %1, %2;" : "=l"(result) : "l"(a), "r"(n));
  return result;
#else
  return n < kBits<T> ? shift_right(a, n) : (a < 0 ? T(-1) : T{0});
#endif
}
template <typename T>
FUZZ_INLINE T rotate_left(T a, u32 n) {
  using U = std::make_unsigned_t<T>;
  n &= kBits<T> - 1;
  if (n == 0) return a;
  return static_cast<T>(static_cast<U>(a) << n | static_cast<U>(a) >> (kBits<T> - n));
}
template <typename T>
FUZZ_INLINE T absolute(T a) {
  return a < 0 ? sub(T{0}, a) : a;
}
template <typename T>
FUZZ_INLINE T minimum(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
FUZZ_INLINE T maximum(T a, T b) {
  return a < b ? b : a;
}
/// `bits` bits of a from `first` on, as if a were signed where T is.
template <typename T, u32 kFirst, u32 kCount>
FUZZ_INLINE T field(T a) {
  static_assert(kCount > 0 && kFirst + kCount <= kBits<T>);
  return shift_right(shift_left(a, kBits<T> - kFirst - kCount), kBits<T> - kCount);
}

FUZZ_INLINE u32 count_ones(u32 a) {
#ifdef __CUDACC__
  return __popc(a);
#else
  return static_cast<u32>(std::popcount(a));
#endif
}
FUZZ_INLINE u32 count_ones(u64 a) {
#ifdef __CUDACC__
  return __popcll(a);
#else
  return static_cast<u32>(std::popcount(a));
#endif
}
FUZZ_INLINE u32 leading_zeros(u32 a) {
#ifdef __CUDACC__
  return __clz(a);
#else
  return static_cast<u32>(std::countl_zero(a));
#endif
}
FUZZ_INLINE u32 leading_zeros(u64 a) {
#ifdef __CUDACC__
  return __clzll(a);
#else
  return static_cast<u32>(std::countl_zero(a));
#endif
}
FUZZ_INLINE u32 first_one(u32 a) {
#ifdef __CUDACC__
  return __ffs(a);
#else
  return static_cast<u32>(__builtin_ffs(static_cast<int>(a)));
#endif
}
FUZZ_INLINE u32 reverse(u32 a) {
#ifdef __CUDACC__
  return __brev(a);
#else
  u32 result = 0;
  for (u32 i = 0; i < 32; ++i) result |= (a >> i & 1) << (31 - i);
  return result;
#endif
}
FUZZ_INLINE u32 high_product(u32 a, u32 b) {
#ifdef __CUDACC__
  return __umulhi(a, b);
#else
  return static_cast<u32>(u64{a} * b >> 32);
#endif
}
FUZZ_INLINE s32 high_product(s32 a, s32 b) {
#ifdef __CUDACC__
  return __mulhi(a, b);
#else
  return static_cast<s32>(s64{a} * b >> 32);
#endif
}
FUZZ_INLINE u64 high_product(u64 a, u64 b) {
  return static_cast<u64>(static_cast<unsigned __int128>(a) * b >> 64);
}
FUZZ_INLINE s64 high_product(s64 a, s64 b) {
  return static_cast<s64>(static_cast<__int128>(a) * b >> 64);
}
FUZZ_INLINE u32 select_bytes(u32 a, u32 b, u32 selectors) {
  selectors &= 0x7777;
#ifdef __CUDACC__
  return __byte_perm(a, b, selectors);
#else
  const u64 bytes = u64{b} << 32 | a;
  u32 result = 0;
  for (u32 i = 0; i < 4; ++i) {
    result |= static_cast<u32>(bytes >> 8 * (selectors >> 4 * i & 7) & 0xFF) << 8 * i;
  }
  return result;
#endif
}
FUZZ_INLINE u32 funnel_left(u32 low, u32 high, u32 n) {
#ifdef __CUDACC__
  return __funnelshift_l(low, high, n);
#else
  return static_cast<u32>((u64{high} << 32 | low) << (n & 31) >> 32);
#endif
}
FUZZ_INLINE u32 funnel_right_clamped(u32 low, u32 high, u32 n) {
#ifdef __CUDACC__
  return __funnelshift_rc(low, high, n);
#else
  return static_cast<u32>((u64{high} << 32 | low) >> (n < 32 ? n : 32));
#endif
}
FUZZ_INLINE u32 dot4(u32 a, u32 b, u32 c) {
#ifdef __CUDACC__
  return __dp4a(a, b, c);
#else
  for (u32 i = 0; i < 32; i += 8) c += (a >> i & 0xFF) * (b >> i & 0xFF);
  return c;
#endif
}
FUZZ_INLINE u32 sum_of_difference(u32 a, u32 b, u32 c) {
#ifdef __CUDACC__
  return __usad(a, b, c);
#else
  return c + (a < b ? b - a : a - b);
#endif
}
/// Bits 64 to 127 of sums and products of 128 bits, which carry from word to word.
FUZZ_INLINE u64 high_sum(u64 a_low, u64 a_high, u64 b_low, u64 b_high) {
  const auto a = static_cast<unsigned __int128>(a_high) << 64 | a_low;
  const auto b = static_cast<unsigned __int128>(b_high) << 64 | b_low;
  return static_cast<u64>((a + b) >> 64);
}
FUZZ_INLINE u64 high_difference(u64 a_low, u64 a_high, u64 b_low, u64 b_high) {
  const auto a = static_cast<unsigned __int128>(a_high) << 64 | a_low;
  const auto b = static_cast<unsigned __int128>(b_high) << 64 | b_low;
  return static_cast<u64>((a - b) >> 64);
}
FUZZ_INLINE u64 shifted_product(u64 a, u64 b, u64 c, u32 n) {
  return static_cast<u64>((static_cast<unsigned __int128>(a) * b + c) >> (n & 127));
}

// Floating point

template <typename T>
FUZZ_INLINE T fused(T a, T b, T c) {
  if constexpr (sizeof(T) == 4) return fmaf(a, b, c);
  if constexpr (sizeof(T) == 8) return fma(a, b, c);
}
template <typename T>
FUZZ_INLINE T root(T a) {
  if constexpr (sizeof(T) == 4) return sqrtf(a);
  if constexpr (sizeof(T) == 8) return sqrt(a);
}
template <typename T>
FUZZ_INLINE T magnitude(T a) {
  if constexpr (sizeof(T) == 4) return fabsf(a);
  if constexpr (sizeof(T) == 8) return fabs(a);
}
template <typename T>
FUZZ_INLINE T round_down(T a) {
  if constexpr (sizeof(T) == 4) return floorf(a);
  if constexpr (sizeof(T) == 8) return floor(a);
}
template <typename T>
FUZZ_INLINE T round_up(T a) {
  if constexpr (sizeof(T) == 4) return ceilf(a);
  if constexpr (sizeof(T) == 8) return ceil(a);
}
template <typename T>
FUZZ_INLINE T round_to_zero(T a) {
  if constexpr (sizeof(T) == 4) return truncf(a);
  if constexpr (sizeof(T) == 8) return trunc(a);
}
template <typename T>
FUZZ_INLINE T round_to_nearest(T a) {
  if constexpr (sizeof(T) == 4) return rintf(a);
  if constexpr (sizeof(T) == 8) return rint(a);
}
/// The sign of a NaN is one of its bits.
template <typename T>
FUZZ_INLINE T with_sign(T a, T sign) {
  if (is_nan(sign)) return a;
  if constexpr (sizeof(T) == 4) return copysignf(a, sign);
  if constexpr (sizeof(T) == 8) return copysign(a, sign);
}
// By their instructions: of two zeros of known signs nvcc itself computes fmin and fmax, and gives
// the first, as C++ allows.
#ifdef __CUDACC__
#define FUZZ_EXTREME_OF_FLOATS(INSTRUCTION)                               \
  T extreme;                                                              \
  if constexpr (sizeof(T) == 4) {                                         \
    asm(INSTRUCTION ".f32 %0, %1, %2;" : "=f"(extreme) : "f"(a), "f"(b)); \
  } else {                                                                \
    asm(INSTRUCTION ".f64 %0, %1, %2;" : "=d"(extreme) : "d"(a), "d"(b)); \
  }                                                                       \
  return extreme
#endif
/// The number if one operand is NaN; -0 is less than +0, which C++ leaves open and PTX does not.
template <typename T>
FUZZ_INLINE T minimum_of_floats(T a, T b) {
#ifdef __CUDACC__
  FUZZ_EXTREME_OF_FLOATS("min");
#else
  if (is_nan(a)) return b;
  if (is_nan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
#endif
}
template <typename T>
FUZZ_INLINE T maximum_of_floats(T a, T b) {
#ifdef __CUDACC__
  FUZZ_EXTREME_OF_FLOATS("max");
#else
  if (is_nan(a)) return b;
  if (is_nan(b)) return a;
  if (a == b) return std::signbit(a) ? b : a;
  return a < b ? b : a;
#endif
}
/// `otherwise` where the value is not in the range of the integer type.
template <typename T, typename F>
FUZZ_INLINE T to_integer(F x, T otherwise) {
  const F end = static_cast<F>(std::is_signed_v<T> ? 0x1p-1 : 0x1p0) *
                static_cast<F>(sizeof(T) == 8 ? 0x1p64 : 0x1p32);
  const bool above = std::is_signed_v<T> ? x >= -end : x > F{-1};
  return above && x < end ? static_cast<T>(x) : otherwise;
}

// What the threads of a warp or a block do together. `target` is a variable of the kernel; the
// other operands are expressions in each thread's own variables.

#ifdef __CUDACC__
#define SHUFFLE_INDEX(T, target, value, source, width) \
  target = __shfl_sync(~0U, static_cast<T>(value), static_cast<int>((source)&31), width)
#define SHUFFLE_UP(T, target, value, delta, width) \
  target = __shfl_up_sync(~0U, static_cast<T>(value), (delta)&31, width)
#define SHUFFLE_DOWN(T, target, value, delta, width) \
  target = __shfl_down_sync(~0U, static_cast<T>(value), (delta)&31, width)
#define SHUFFLE_XOR(T, target, value, mask, width) \
  target = __shfl_xor_sync(~0U, static_cast<T>(value), static_cast<int>((mask)&31), width)
#define BALLOT(target, condition) target = __ballot_sync(~0U, condition)
#define ANY(target, condition) target = __any_sync(~0U, condition) != 0
#define ALL(target, condition) target = __all_sync(~0U, condition) != 0
#define MATCH(target, value) target = __match_any_sync(~0U, value)
#define REDUCE_ADD(target, value) target = __reduce_add_sync(~0U, value)
#define REDUCE_MIN(target, value) target = __reduce_min_sync(~0U, value)
#define REDUCE_MAX(target, value) target = __reduce_max_sync(~0U, value)
#define REDUCE_XOR(target, value) target = __reduce_xor_sync(~0U, value)
/// Where the condition holds: the value of the first thread of the warp in which it holds.
#define FROM_FIRST(T, target, condition, value)                                           \
  do {                                                                                    \
    const bool member = (condition);                                                      \
    const u32 members = __ballot_sync(~0U, member);                                       \
    if (member) target = __shfl_sync(members, static_cast<T>(value), __ffs(members) - 1); \
  } while (false)
/// Where the condition holds: the sum over the threads of the warp in which it holds.
#define SUM_OF_MEMBERS(target, condition, value)            \
  do {                                                      \
    const bool member = (condition);                        \
    const u32 members = __ballot_sync(~0U, member);         \
    if (member) target = __reduce_add_sync(members, value); \
  } while (false)
#define BLOCK_COUNT(target, condition) target = static_cast<u32>(__syncthreads_count(condition))
#define BLOCK_AND(target, condition) target = __syncthreads_and(condition) != 0
#define BLOCK_OR(target, condition) target = __syncthreads_or(condition) != 0
#define ATOMIC_ADD(place, value) atomicAdd(&(place), value)
#define ATOMIC_MIN(place, value) atomicMin(&(place), value)
#define ATOMIC_MAX(place, value) atomicMax(&(place), value)
#define ATOMIC_AND(place, value) atomicAnd(&(place), value)
#define ATOMIC_OR(place, value) atomicOr(&(place), value)
#define ATOMIC_XOR(place, value) atomicXor(&(place), value)
#else
/// Gives each thread `combine(values, lane)`, where `values` is what all threads of the block had.
#define TOGETHER(T, target, value, combined)    \
  do {                                          \
    T values[kThreads];                         \
    LANES values[lane] = static_cast<T>(value); \
    T results[kThreads];                        \
    LANES results[lane] = (combined);           \
    LANES target[lane] = results[lane];         \
  } while (false)
/// The lane that the shuffle reads, from the CUDA C++ Programming Guide.
inline u32 source_of_index(u32 lane, u32 source, u32 width) {
  return (lane & ~(width - 1)) + (source & 31) % width;
}
inline u32 source_of_up(u32 lane, u32 delta, u32 width) {
  return lane % width >= (delta & 31) ? lane - (delta & 31) : lane;
}
inline u32 source_of_down(u32 lane, u32 delta, u32 width) {
  return lane % width + (delta & 31) < width ? lane + (delta & 31) : lane;
}
inline u32 source_of_xor(u32 lane, u32 mask, u32 width) {
  // A thread may read from an earlier group of its warp, not from a later one.
  const u32 source = (lane & ~31U) | ((lane ^ mask) & 31);
  return source < (lane & ~(width - 1)) + width ? source : lane;
}
#define SHUFFLE_INDEX(T, target, value, source, width) \
  TOGETHER(T, target, value, values[source_of_index(lane, source, width)])
#define SHUFFLE_UP(T, target, value, delta, width) \
  TOGETHER(T, target, value, values[source_of_up(lane, delta, width)])
#define SHUFFLE_DOWN(T, target, value, delta, width) \
  TOGETHER(T, target, value, values[source_of_down(lane, delta, width)])
#define SHUFFLE_XOR(T, target, value, mask, width) \
  TOGETHER(T, target, value, values[source_of_xor(lane, mask, width)])
template <typename T, typename Function>
T fold_warp(const T* values, u32 lane, T first, Function function) {
  T result = first;
  for (u32 i = lane & ~31U; i < (lane | 31U) + 1; ++i) result = function(result, values[i], i & 31);
  return result;
}
inline u32 ballot(const u32* values, u32 lane) {
  return fold_warp(values, lane, 0U,
                   [](u32 r, u32 x, u32 i) { return r | (x != 0 ? 1U : 0U) << i; });
}
inline u32 match(const u32* values, u32 lane) {
  const u32 mine = values[lane];
  return fold_warp(values, lane, 0U,
                   [mine](u32 r, u32 x, u32 i) { return r | (x == mine ? 1U : 0U) << i; });
}
inline u32 count_block(const u32* values) {
  u32 count = 0;
  LANES count += values[lane] != 0 ? 1 : 0;
  return count;
}
#define BALLOT(target, condition) TOGETHER(u32, target, condition, ballot(values, lane))
#define ANY(target, condition) TOGETHER(u32, target, condition, ballot(values, lane) != 0)
#define ALL(target, condition) TOGETHER(u32, target, condition, ballot(values, lane) == ~0U)
#define MATCH(target, value) TOGETHER(u32, target, value, match(values, lane))
#define REDUCE_ADD(target, value) \
  TOGETHER(u32, target, value, fold_warp(values, lane, 0U, [](u32 r, u32 x, u32) { return r + x; }))
#define REDUCE_MIN(target, value) \
  TOGETHER(s32, target, value,    \
           fold_warp(values, lane, values[lane], [](s32 r, s32 x, u32) { return minimum(r, x); }))
#define REDUCE_MAX(target, value) \
  TOGETHER(u32, target, value,    \
           fold_warp(values, lane, values[lane], [](u32 r, u32 x, u32) { return maximum(r, x); }))
#define REDUCE_XOR(target, value) \
  TOGETHER(u32, target, value, fold_warp(values, lane, 0U, [](u32 r, u32 x, u32) { return r ^ x; }))
#define MEMBERS(condition)                  \
  u32 member[kThreads];                     \
  LANES member[lane] = (condition) ? 1 : 0; \
  u32 members[kThreads];                    \
  LANES members[lane] = ballot(member, lane)
#define FROM_FIRST(T, target, condition, value)                                                \
  do {                                                                                         \
    MEMBERS(condition);                                                                        \
    T given[kThreads];                                                                         \
    LANES given[lane] = static_cast<T>(value);                                                 \
    LANES if (member[lane] != 0) {                                                             \
      target[lane] = given[(lane & ~31U) + static_cast<u32>(std::countr_zero(members[lane]))]; \
    }                                                                                          \
  } while (false)
#define SUM_OF_MEMBERS(target, condition, value)                                          \
  do {                                                                                    \
    MEMBERS(condition);                                                                   \
    u32 given[kThreads];                                                                  \
    LANES given[lane] = member[lane] != 0 ? static_cast<u32>(value) : 0;                  \
    LANES if (member[lane] != 0) {                                                        \
      target[lane] = fold_warp(given, lane, 0U, [](u32 r, u32 x, u32) { return r + x; }); \
    }                                                                                     \
  } while (false)
#define BLOCK_COUNT(target, condition) TOGETHER(u32, target, condition, count_block(values))
#define BLOCK_AND(target, condition) \
  TOGETHER(u32, target, condition, count_block(values) == kThreads)
#define BLOCK_OR(target, condition) TOGETHER(u32, target, condition, count_block(values) != 0)
#define ATOMIC_ADD(place, value) place += (value)
#define ATOMIC_MIN(place, value) place = minimum(place, value)
#define ATOMIC_MAX(place, value) place = maximum(place, value)
#define ATOMIC_AND(place, value) place &= (value)
#define ATOMIC_OR(place, value) place |= (value)
#define ATOMIC_XOR(place, value) place ^= (value)
#endif

}  // namespace velum::emulation::fuzz
