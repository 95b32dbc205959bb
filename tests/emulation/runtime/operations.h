#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "runtime/types.h"

/// The arithmetic of PTX, after the definitions in the PTX ISA manual. Everything here is exact:
/// what has no written definition of its bits is not here, and the translator refuses it.
namespace velum::emulation {

enum class Round { rn, rz, rm, rp, rni, rzi, rmi, rpi };
enum class BitMode { clamp, wrap };
enum class Direction { l, r };
enum class Permute { none, f4e, b4e, rc8, ecl, ecr, rc16 };
enum class Half { lo, hi };
enum class FloatClass { finite, infinite, number, notanumber, normal, subnormal };
enum class Compare { eq_, ne_, lt_, le_, gt_, ge_, equ_, neu_, ltu_, leu_, gtu_, geu_, num_, nan_ };

template <std::size_t Bytes>
using Unsigned = std::conditional_t<
    Bytes == 1, u8,
    std::conditional_t<
        Bytes == 2, u16,
        std::conditional_t<Bytes == 4, u32, std::conditional_t<Bytes == 8, u64, u128>>>>;
template <typename T>
inline constexpr u32 kBits = 8 * sizeof(T);

/// The low bits of a register, as a T.
template <typename T, typename Register>
constexpr T read(Register value) {
  if constexpr (std::is_same_v<T, Register>) {
    return value;
  } else {
    static_assert(sizeof(T) <= sizeof(Register));
    const auto bits = std::bit_cast<Unsigned<sizeof(Register)>>(value);
    return std::bit_cast<T>(static_cast<Unsigned<sizeof(T)>>(bits));
  }
}

/// Sets a register to a T, which is extended by its sign if the register is wider.
template <typename T, typename Register>
constexpr void write(Register& target, std::type_identity_t<T> value) {
  if constexpr (std::is_same_v<T, Register>) {
    target = value;
  } else if constexpr (sizeof(T) == sizeof(Register)) {
    target = std::bit_cast<Register>(value);
  } else if constexpr (std::is_integral_v<T>) {
    using Wide =
        std::conditional_t<std::is_signed_v<T>, std::make_signed_t<Unsigned<sizeof(Register)>>,
                           Unsigned<sizeof(Register)>>;
    target = std::bit_cast<Register>(static_cast<Wide>(value));
  } else {
    target = std::bit_cast<Register>(
        static_cast<Unsigned<sizeof(Register)>>(std::bit_cast<Unsigned<sizeof(T)>>(value)));
  }
}

template <typename T>
T load(const u8* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void store(u8* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// Integers

template <typename T>
constexpr T add(T a, T b) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
}
template <typename T>
constexpr T sub(T a, T b) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b)));
}
constexpr s32 clamp_to_s32(s64 x) {
  if (x > std::numeric_limits<s32>::max()) return std::numeric_limits<s32>::max();
  if (x < std::numeric_limits<s32>::min()) return std::numeric_limits<s32>::min();
  return static_cast<s32>(x);
}
constexpr s32 add_saturating(s32 a, s32 b) { return clamp_to_s32(s64{a} + b); }
constexpr s32 sub_saturating(s32 a, s32 b) { return clamp_to_s32(s64{a} - b); }

template <typename T, bool SetsCarry = true>
constexpr T add_carry(T a, T b, bool carry_in, bool& carry) {
  using U = std::make_unsigned_t<T>;
  const u128 sum = u128{static_cast<U>(a)} + static_cast<U>(b) + (carry_in ? 1U : 0U);
  if (SetsCarry) carry = (sum >> kBits<T>) != 0;
  return static_cast<T>(static_cast<U>(sum));
}
/// The carry flag holds the borrow.
template <typename T, bool SetsCarry = true>
constexpr T sub_borrow(T a, T b, bool borrow_in, bool& borrow) {
  using U = std::make_unsigned_t<T>;
  const u128 difference = u128{static_cast<U>(a)} - static_cast<U>(b) - (borrow_in ? 1U : 0U);
  if (SetsCarry) borrow = ((difference >> kBits<T>)&1) != 0;
  return static_cast<T>(static_cast<U>(difference));
}

template <typename T>
constexpr T mul_low(T a, T b) {
  return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b));
}
template <typename T>
constexpr T mul_high(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    return static_cast<T>((s128{a} * b) >> kBits<T>);
  } else {
    return static_cast<T>((u128{a} * b) >> kBits<T>);
  }
}
template <typename T>
constexpr auto mul_wide(T a, T b) {
  using U = Unsigned<2 * sizeof(T)>;
  if constexpr (std::is_signed_v<T>) {
    return static_cast<std::make_signed_t<U>>(s64{a} * b);
  } else {
    return static_cast<U>(u64{a} * b);
  }
}

template <typename T>
constexpr s64 product24(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    return (s64{static_cast<s32>(static_cast<u32>(a) << 8)} >> 8) *
           (s64{static_cast<s32>(static_cast<u32>(b) << 8)} >> 8);
  } else {
    return static_cast<s64>(u64{a & 0xFFFFFFU} * (b & 0xFFFFFFU));
  }
}
template <typename T>
constexpr T mul24_low(T a, T b) {
  return static_cast<T>(product24(a, b));
}
template <typename T>
constexpr T mul24_high(T a, T b) {
  return static_cast<T>(product24(a, b) >> 16);
}

template <typename T>
constexpr T absolute_difference(T a, T b) {
  return a < b ? sub<T>(b, a) : sub<T>(a, b);
}
template <typename T>
constexpr T absolute(T a) {
  return a < 0 ? sub<T>(0, a) : a;
}
template <typename T>
constexpr T minimum(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
constexpr T maximum(T a, T b) {
  return a < b ? b : a;
}

template <typename T>
constexpr u32 population_count(T a) {
  return static_cast<u32>(std::popcount(a));
}
template <typename T>
constexpr u32 leading_zeros(T a) {
  return static_cast<u32>(std::countl_zero(a));
}
template <typename T, bool ShiftAmount>
constexpr u32 find_leading(T a) {
  using U = std::make_unsigned_t<T>;
  const U bits = static_cast<U>(a < 0 ? ~a : a);
  if (bits == 0) return 0xFFFFFFFFU;
  const u32 zeros = static_cast<u32>(std::countl_zero(bits));
  return ShiftAmount ? zeros : kBits<T> - 1 - zeros;
}
template <typename T>
constexpr T reverse_bits(T a) {
  T result = 0;
  for (u32 i = 0; i < kBits<T>; ++i) {
    result = static_cast<T>(result << 1 | (a & 1));
    a >>= 1;
  }
  return result;
}

template <typename T>
constexpr T extract_field(T a, u32 position, u32 length) {
  position &= 0xFF;
  length &= 0xFF;
  if (length == 0) return 0;
  constexpr u32 kMsb = kBits<T> - 1;
  using U = std::make_unsigned_t<T>;
  const U bits = static_cast<U>(a);
  const u32 last = position + length - 1 < kMsb ? position + length - 1 : kMsb;
  const bool sign = std::is_signed_v<T> && ((bits >> last) & 1) != 0;
  const U field = position > kMsb ? 0 : static_cast<U>(bits >> position);
  const u32 present =
      position > kMsb ? 0 : (length < kBits<T> - position ? length : kBits<T> - position);
  const U mask =
      present == kBits<T> ? static_cast<U>(~U{0}) : static_cast<U>((U{1} << present) - 1);
  return static_cast<T>((field & mask) | (sign ? static_cast<U>(~mask) : U{0}));
}
template <typename T>
constexpr T insert_field(T a, T b, u32 position, u32 length) {
  position &= 0xFF;
  length &= 0xFF;
  if (position >= kBits<T> || length == 0) return b;
  const T ones = length >= kBits<T> ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
  const T mask = static_cast<T>(ones << position);
  return static_cast<T>((b & ~mask) | ((a << position) & mask));
}
template <BitMode Mode>
constexpr u32 bit_mask(u32 a, u32 b) {
  if (Mode == BitMode::clamp) {
    if (a >= 32) return 0;
  } else {
    a &= 31;
    b &= 31;
  }
  const u64 end = u64{a} + b;
  const u32 below_end = end >= 32 ? ~u32{0} : (u32{1} << end) - 1;
  return below_end & (~u32{0} << a);
}
template <typename T, BitMode Mode>
constexpr T extend_from_bit(T a, u32 b) {
  if (Mode == BitMode::clamp && b >= 32) return a;
  b &= 31;
  if (b == 0) return 0;
  const u32 shift = 32 - b;
  return static_cast<T>(static_cast<T>(static_cast<u32>(a) << shift) >> shift);
}
template <typename A, typename B>
constexpr u32 dot4(u32 a, u32 b, u32 c) {
  using ByteA = std::conditional_t<std::is_signed_v<A>, s8, u8>;
  using ByteB = std::conditional_t<std::is_signed_v<B>, s8, u8>;
  for (u32 i = 0; i < 32; i += 8) {
    c += static_cast<u32>(s32{static_cast<ByteA>(a >> i)} * s32{static_cast<ByteB>(b >> i)});
  }
  return c;
}
template <Half Which, typename A, typename B>
constexpr u32 dot2(u32 a, u32 b, u32 c) {
  using HalfA = std::conditional_t<std::is_signed_v<A>, s16, u16>;
  using ByteB = std::conditional_t<std::is_signed_v<B>, s8, u8>;
  const u32 start = Which == Half::hi ? 16 : 0;
  for (u32 i = 0; i < 2; ++i) {
    c += static_cast<u32>(s32{static_cast<HalfA>(a >> (16 * i))} *
                          s32{static_cast<ByteB>(b >> (start + 8 * i))});
  }
  return c;
}

// Logic and shifts

template <typename T>
constexpr T bit_not(T a) {
  if constexpr (std::is_same_v<T, bool>) {
    return !a;
  } else {
    return static_cast<T>(~a);
  }
}
template <u32 Table>
constexpr u32 lookup3(u32 a, u32 b, u32 c) {
  static_assert(Table < 256);
  u32 result = 0;
  for (u32 row = 0; row < 8; ++row) {
    if ((Table >> row) & 1) result |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
  }
  return result;
}
template <typename T>
constexpr T shift_left(T a, u32 n) {
  return n >= kBits<T> ? T{0} : static_cast<T>(a << n);
}
template <typename T>
constexpr T shift_right(T a, u32 n) {
  if (n >= kBits<T>) return std::is_signed_v<T> && a < 0 ? static_cast<T>(-1) : T{0};
  return static_cast<T>(a >> n);
}
template <Direction To, BitMode Mode>
constexpr u32 funnel_shift(u32 a, u32 b, u32 c) {
  const u32 n = Mode == BitMode::wrap ? c & 31 : (c < 32 ? c : 32);
  const u64 both = u64{b} << 32 | a;
  return To == Direction::l ? static_cast<u32>((both << n) >> 32) : static_cast<u32>(both >> n);
}
template <Permute Mode>
constexpr u32 permute(u32 a, u32 b, u32 c) {
  const u64 bytes = u64{b} << 32 | a;
  const u32 n = c & 3;
  u32 result = 0;
  for (u32 i = 0; i < 4; ++i) {
    u32 selector = 0;
    switch (Mode) {
      case Permute::none:
        selector = (c >> (4 * i)) & 15;
        break;
      case Permute::f4e:
        selector = n + i;
        break;
      case Permute::b4e:
        selector = (n + 8 - i) & 7;
        break;
      case Permute::rc8:
        selector = n;
        break;
      case Permute::ecl:
        selector = i < n ? n : i;
        break;
      case Permute::ecr:
        selector = i < n ? i : n;
        break;
      case Permute::rc16:
        selector = 2 * (n & 1) + (i & 1);
        break;
    }
    u32 byte = static_cast<u32>(bytes >> (8 * (selector & 7))) & 0xFF;
    if (Mode == Permute::none && (selector & 8)) byte = byte & 0x80 ? 0xFF : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// Floating point. Rounding to nearest is the host's; the other directions are in rounding.cpp.

/// What every f32 operation gives for NaN.
inline f32 canonical_nan() { return std::bit_cast<f32>(u32{0x7FFFFFFF}); }
inline f32 canonical(f32 x) { return std::isnan(x) ? canonical_nan() : x; }

template <bool Ftz>
inline f32 flush(f32 x) {
  if (Ftz && std::fabs(x) < std::numeric_limits<f32>::min()) return std::copysign(0.0F, x);
  return x;
}
template <bool Saturates>
inline f32 saturate(f32 x) {
  if (!Saturates) return canonical(x);
  return x > 0.0F ? (x < 1.0F ? x : 1.0F) : 0.0F;  // NaN and -0 give +0
}

enum class Operation { add, mul, div, fma, sqrt };
/// The operation in a directed rounding mode.
template <typename T>
T rounded(Operation operation, Round round, T a, T b, T c);
f32 narrow_rounded(Round round, f64 a);
template <typename T>
T from_integer_rounded(Round round, bool negative, u64 magnitude);

template <Round R, typename T>
inline T apply(Operation operation, T a, T b = T{0}, T c = T{0}) {
  if constexpr (R == Round::rn) {
    switch (operation) {
      case Operation::add:
        return a + b;
      case Operation::mul:
        return a * b;
      case Operation::div:
        return a / b;
      case Operation::fma:
        return std::fma(a, b, c);
      case Operation::sqrt:
        return std::sqrt(a);
    }
    return a;
  } else {
    return rounded<T>(operation, R, a, b, c);
  }
}
/// A sum of two floats that is subnormal is exact, so flushing it needs no rule about rounding.
template <Round R, bool Ftz, bool Sat>
inline f32 add_f32(f32 a, f32 b) {
  return saturate<Sat>(flush<Ftz>(apply<R>(Operation::add, flush<Ftz>(a), flush<Ftz>(b))));
}
template <Round R, bool Sat>
inline f32 mul_f32(f32 a, f32 b) {
  return saturate<Sat>(apply<R>(Operation::mul, a, b));
}
template <Round R, bool Sat>
inline f32 fma_f32(f32 a, f32 b, f32 c) {
  return saturate<Sat>(apply<R>(Operation::fma, a, b, c));
}
template <Round R>
inline f32 div_f32(f32 a, f32 b) {
  return canonical(apply<R>(Operation::div, a, b));
}
template <Round R>
inline f32 sqrt_f32(f32 a) {
  return canonical(apply<R>(Operation::sqrt, a));
}
template <Round R>
inline f64 add_f64(f64 a, f64 b) {
  return apply<R>(Operation::add, a, b);
}
template <Round R>
inline f64 mul_f64(f64 a, f64 b) {
  return apply<R>(Operation::mul, a, b);
}
template <Round R>
inline f64 fma_f64(f64 a, f64 b, f64 c) {
  return apply<R>(Operation::fma, a, b, c);
}
template <Round R>
inline f64 div_f64(f64 a, f64 b) {
  return apply<R>(Operation::div, a, b);
}
template <Round R>
inline f64 sqrt_f64(f64 a) {
  return apply<R>(Operation::sqrt, a);
}

/// By its bit: GCC makes one instruction of -fma(a, b, c), and its zeros have the other sign.
template <typename T>
inline T negate(T a) {
  using Bits = Unsigned<sizeof(T)>;
  return std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(a) ^ Bits{1} << (kBits<T> - 1)));
}
template <bool Ftz>
inline f32 negate_f32(f32 a) {
  return negate(flush<Ftz>(a));
}
template <bool Ftz>
inline f32 absolute_f32(f32 a) {
  return std::fabs(flush<Ftz>(a));
}
template <typename T>
inline T quiet_nan() {
  if constexpr (std::is_same_v<T, f32>) {
    return canonical_nan();
  } else {
    return std::bit_cast<f64>(u64{0x7FFFFFFFFFFFFFFF});
  }
}
/// -0 is less than +0.
template <typename T>
inline bool less(T a, T b) {
  return a < b || (a == b && std::signbit(a) && !std::signbit(b));
}
template <typename T, bool Ftz, bool PropagatesNan>
inline T minimum_float(T a, T b) {
  if constexpr (Ftz) {
    a = flush<true>(a);
    b = flush<true>(b);
  }
  const bool nan_a = std::isnan(a);
  const bool nan_b = std::isnan(b);
  if ((nan_a && nan_b) || (PropagatesNan && (nan_a || nan_b))) return quiet_nan<T>();
  if (nan_a) return b;
  if (nan_b) return a;
  return less(b, a) ? b : a;
}
template <typename T, bool Ftz, bool PropagatesNan>
inline T maximum_float(T a, T b) {
  if constexpr (Ftz) {
    a = flush<true>(a);
    b = flush<true>(b);
  }
  const bool nan_a = std::isnan(a);
  const bool nan_b = std::isnan(b);
  if ((nan_a && nan_b) || (PropagatesNan && (nan_a || nan_b))) return quiet_nan<T>();
  if (nan_a) return b;
  if (nan_b) return a;
  return less(a, b) ? b : a;
}
/// The magnitude of b with the sign of a.
template <typename T>
inline T copy_sign(T a, T b) {
  return std::copysign(b, a);
}
template <FloatClass Class, typename T>
inline bool test_property(T a) {
  switch (Class) {
    case FloatClass::finite:
      return std::isfinite(a);
    case FloatClass::infinite:
      return std::isinf(a);
    case FloatClass::number:
      return !std::isnan(a);
    case FloatClass::notanumber:
      return std::isnan(a);
    case FloatClass::normal:
      return std::isnormal(a);
    case FloatClass::subnormal:
      return std::fpclassify(a) == FP_SUBNORMAL;
  }
  return false;
}
template <Compare C, typename T>
inline bool compare_float(T a, T b) {
  const bool unordered = std::isunordered(a, b);
  switch (C) {
    case Compare::eq_:
      return a == b;
    case Compare::ne_:
      return !unordered && a != b;
    case Compare::lt_:
      return a < b;
    case Compare::le_:
      return a <= b;
    case Compare::gt_:
      return a > b;
    case Compare::ge_:
      return a >= b;
    case Compare::equ_:
      return unordered || a == b;
    case Compare::neu_:
      return unordered || a != b;
    case Compare::ltu_:
      return unordered || a < b;
    case Compare::leu_:
      return unordered || a <= b;
    case Compare::gtu_:
      return unordered || a > b;
    case Compare::geu_:
      return unordered || a >= b;
    case Compare::num_:
      return !unordered;
    case Compare::nan_:
      return unordered;
  }
  return false;
}

// Conversions

template <typename D, typename S>
constexpr D convert_saturating(S a) {
  constexpr s128 kLow = std::numeric_limits<D>::min();
  constexpr s128 kHigh = std::numeric_limits<D>::max();
  const s128 wide = a;
  return static_cast<D>(wide < kLow ? kLow : (wide > kHigh ? kHigh : wide));
}
template <typename T, Round R>
inline T round_to_integral(T a) {
  if constexpr (R == Round::rni) return std::nearbyint(a);
  if constexpr (R == Round::rzi) return std::trunc(a);
  if constexpr (R == Round::rmi) return std::floor(a);
  if constexpr (R == Round::rpi) return std::ceil(a);
}
/// Values out of range are clamped. NaN gives 0 if the source is f32 and the result has at most 32
/// bits, else the highest bit alone.
template <typename D, typename S, Round R>
inline D float_to_integer(S a) {
  using U = std::make_unsigned_t<D>;
  if (std::isnan(a)) {
    const bool zero = std::is_same_v<S, f32> && sizeof(D) < 8;
    return zero ? D{0} : static_cast<D>(static_cast<U>(U{1} << (kBits<D> - 1)));
  }
  const S x = round_to_integral<S, R>(a);
  const S end = std::ldexp(S{1}, static_cast<int>(kBits<D>) - (std::is_signed_v<D> ? 1 : 0));
  if (x >= end) return std::numeric_limits<D>::max();
  if (x < (std::is_signed_v<D> ? -end : S{0})) return std::numeric_limits<D>::min();
  return static_cast<D>(x);
}
template <typename D, Round R, typename S>
inline D integer_to_float(S a) {
  if constexpr (R == Round::rn) {
    return static_cast<D>(a);
  } else {
    const bool negative = a < 0;
    const u64 bits = static_cast<u64>(a);
    return from_integer_rounded<D>(R, negative, negative ? u64{0} - bits : bits);
  }
}
template <Round R>
inline f32 narrow(f64 a) {
  if constexpr (R == Round::rn) {
    return static_cast<f32>(a);
  } else {
    return narrow_rounded(R, a);
  }
}

// The 16-bit floats of half.h
template <bool Ftz, bool Sat, typename T>
T add_half(T a, T b);

// Atomic operations: one host thread runs all, so a plain read and write is atomic. Each gives the
// old value.

template <typename T, typename Function>
inline T update(u8* p, Function function) {
  const T old = load<T>(p);
  store<T>(p, function(old));
  return old;
}
template <typename T>
inline T atomic_add(u8* p, T value) {
  if constexpr (std::is_same_v<T, f64>) {
    return update<T>(p, [=](T old) { return old + value; });
  } else if constexpr (std::is_class_v<T>) {
    return update<T>(p, [=](T old) { return add_half<false, false>(old, value); });
  } else {
    return update<T>(p, [=](T old) { return add<T>(old, value); });
  }
}
inline f32 atomic_add_f32(u8* p, f32 value, bool flushes) {
  return update<f32>(p, [=](f32 old) {
    return flushes ? add_f32<Round::rn, true, false>(old, value)
                   : add_f32<Round::rn, false, false>(old, value);
  });
}
template <typename T>
inline T atomic_min(u8* p, T value) {
  return update<T>(p, [=](T old) { return minimum(old, value); });
}
template <typename T>
inline T atomic_max(u8* p, T value) {
  return update<T>(p, [=](T old) { return maximum(old, value); });
}
template <typename T>
inline T atomic_and(u8* p, T value) {
  return update<T>(p, [=](T old) { return old & value; });
}
template <typename T>
inline T atomic_or(u8* p, T value) {
  return update<T>(p, [=](T old) { return old | value; });
}
template <typename T>
inline T atomic_xor(u8* p, T value) {
  return update<T>(p, [=](T old) { return old ^ value; });
}
template <typename T>
inline T atomic_exch(u8* p, T value) {
  return update<T>(p, [=](T) { return value; });
}
template <typename T>
inline T atomic_cas(u8* p, T expected, T value) {
  return update<T>(p, [=](T old) { return old == expected ? value : old; });
}
template <typename T>
inline T atomic_inc(u8* p, T value) {
  return update<T>(p, [=](T old) { return old >= value ? T{0} : old + 1; });
}
template <typename T>
inline T atomic_dec(u8* p, T value) {
  return update<T>(p, [=](T old) { return old == 0 || old > value ? value : old - 1; });
}

}  // namespace velum::emulation
