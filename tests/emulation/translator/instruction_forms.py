"""The instructions that the translator knows: every legal form, and its meaning as a C++ expression.

A pattern is an opcode and its modifiers in their order. `<T:u32|s32>` is one of the alternatives, named T; `[R:rn|rz]` one
of them or nothing; `[ftz]` the modifier or nothing. What no pattern matches is an error.

Operands are `name:type`, the first one being the result; a type is a PTX type or the name of a group of the
pattern. `wide` is T with twice the bits, `unsigned` T without a sign. The expression is over functions of runtime/operations.h, or
plain C++; `{R}` stands for the group, or for the default in DEFAULTS, or true/false for a plain optional modifier.

A last number in a line is the first architecture that has the form, if that is later than compute_75.

The approximations are forms of their own (_APPROXIMATE): the manual bounds their error and leaves their bits open, so the
translator takes them only if it is told to (--approximations), and gives the nearest number. With .ftz, whether a product that
rounds up to the smallest normal number counts as subnormal is not written down: such a result is a fault of the kernel.
"""

import itertools
import re
from dataclasses import dataclass

DEFAULTS = {"R": "rn", "M": "none"}

_INTEGERS = "u16|s16|u32|s32|u64|s64"
_CARRY = "u32|s32|u64|s64"
_BITS = "b16|b32|b64"
_ROUNDING = "rn|rz|rm|rp"
_TO_INTEGRAL = "rni|rzi|rmi|rpi"
_ALL_INTEGERS = "u8|s8|u16|s16|u32|s32|u64|s64"
_WIDE_INTEGERS = "u16|s16|u32|s32|u64|s64"  # what converts to and from bf16
FIRST_ARCHITECTURE = 75


def _saturating_conversions():
    """.sat is legal only where the source has values that the result has not."""

    def bounds(type_):
        bits = int(type_[1:])
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if type_[0] == "s" else (0, (1 << bits) - 1)

    for target in _ALL_INTEGERS.split("|"):
        low, high = bounds(target)
        sources = [s for s in _ALL_INTEGERS.split("|") if bounds(s)[0] < low or bounds(s)[1] > high]
        pattern = f"cvt.sat.<D:{target}>.<S:{'|'.join(sources)}>"
        yield pattern, "d:D a:S", "convert_saturating<{D}, {S}>(a)"


_TO_HALF = "to_half<{{D}}, Round::{{R}}, Overflow::{}, {}, {}>({})"

# The commonest instructions, as plain expressions: a call for each of the tens of thousands in one of
# velum's files would take most of the compiler's time. Unsigned, so that nothing overflows.
_SUM = "static_cast<{T}>(static_cast<{unsigned}>(a) + static_cast<{unsigned}>(b))"
_DIFFERENCE = "static_cast<{T}>(static_cast<{unsigned}>(a) - static_cast<{unsigned}>(b))"
_LOW_PRODUCT = "static_cast<{T}>(static_cast<u64>(a) * static_cast<u64>(b))"
_WIDE_PRODUCT = "static_cast<{wide}>(static_cast<{wide}>(a) * static_cast<{wide}>(b))"

# (pattern, operands, expression, first architecture)
_PURE = [
    # Integer arithmetic
    (f"add.<T:{_INTEGERS}>", "d:T a:T b:T", _SUM),
    ("add.sat.s32", "d:s32 a:s32 b:s32", "add_saturating(a, b)"),
    (f"sub.<T:{_INTEGERS}>", "d:T a:T b:T", _DIFFERENCE),
    ("sub.sat.s32", "d:s32 a:s32 b:s32", "sub_saturating(a, b)"),
    (f"add.cc.<T:{_CARRY}>", "d:T a:T b:T", "add_carry<{T}>(a, b, false, cc)"),
    (f"addc.[cc].<T:{_CARRY}>", "d:T a:T b:T", "add_carry<{T}, {cc}>(a, b, cc, cc)"),
    (f"sub.cc.<T:{_CARRY}>", "d:T a:T b:T", "sub_borrow<{T}>(a, b, false, cc)"),
    (f"subc.[cc].<T:{_CARRY}>", "d:T a:T b:T", "sub_borrow<{T}, {cc}>(a, b, cc, cc)"),
    (f"mul.lo.<T:{_INTEGERS}>", "d:T a:T b:T", _LOW_PRODUCT),
    (f"mul.hi.<T:{_INTEGERS}>", "d:T a:T b:T", "mul_high<{T}>(a, b)"),
    ("mul.wide.<T:u16|s16|u32|s32>", "d:wide a:T b:T", _WIDE_PRODUCT),
    (f"mad.lo.<T:{_INTEGERS}>", "d:T a:T b:T c:T", "add<{T}>(mul_low<{T}>(a, b), c)"),
    (f"mad.hi.<T:{_INTEGERS}>", "d:T a:T b:T c:T", "add<{T}>(mul_high<{T}>(a, b), c)"),
    ("mad.hi.sat.s32", "d:s32 a:s32 b:s32 c:s32", "add_saturating(mul_high<s32>(a, b), c)"),
    ("mad.wide.<T:u16|s16|u32|s32>", "d:wide a:T b:T c:wide", "add<{wide}>(mul_wide<{T}>(a, b), c)"),
    (f"mad.lo.cc.<T:{_CARRY}>", "d:T a:T b:T c:T", "add_carry<{T}>(mul_low<{T}>(a, b), c, false, cc)"),
    (f"mad.hi.cc.<T:{_CARRY}>", "d:T a:T b:T c:T", "add_carry<{T}>(mul_high<{T}>(a, b), c, false, cc)"),
    (f"madc.lo.[cc].<T:{_CARRY}>", "d:T a:T b:T c:T", "add_carry<{T}, {cc}>(mul_low<{T}>(a, b), c, cc, cc)"),
    (f"madc.hi.[cc].<T:{_CARRY}>", "d:T a:T b:T c:T", "add_carry<{T}, {cc}>(mul_high<{T}>(a, b), c, cc, cc)"),
    ("mul24.lo.<T:u32|s32>", "d:T a:T b:T", "mul24_low<{T}>(a, b)"),
    ("mul24.hi.<T:u32|s32>", "d:T a:T b:T", "mul24_high<{T}>(a, b)"),
    ("mad24.lo.<T:u32|s32>", "d:T a:T b:T c:T", "add<{T}>(mul24_low<{T}>(a, b), c)"),
    ("mad24.hi.<T:u32|s32>", "d:T a:T b:T c:T", "add<{T}>(mul24_high<{T}>(a, b), c)"),
    (f"sad.<T:{_INTEGERS}>", "d:T a:T b:T c:T", "add<{T}>(c, absolute_difference<{T}>(a, b))"),
    (f"div.<T:{_INTEGERS}>", "d:T a:T b:T", "divide<{T}>(a, b, t, {site})"),
    (f"rem.<T:{_INTEGERS}>", "d:T a:T b:T", "remainder<{T}>(a, b, t, {site})"),
    ("abs.<T:s16|s32|s64>", "d:T a:T", "absolute<{T}>(a)"),
    ("neg.<T:s16|s32|s64>", "d:T a:T", "sub<{T}>({T}{{0}}, a)"),
    (f"min.<T:{_INTEGERS}>", "d:T a:T b:T", "minimum<{T}>(a, b)"),
    (f"max.<T:{_INTEGERS}>", "d:T a:T b:T", "maximum<{T}>(a, b)"),
    ("min.relu.s32", "d:s32 a:s32 b:s32", "maximum<s32>(minimum<s32>(a, b), 0)", 90),
    ("max.relu.s32", "d:s32 a:s32 b:s32", "maximum<s32>(maximum<s32>(a, b), 0)", 90),
    ("popc.<T:b32|b64>", "d:u32 a:T", "population_count<{T}>(a)"),
    ("clz.<T:b32|b64>", "d:u32 a:T", "leading_zeros<{T}>(a)"),
    ("bfind.[shiftamt].<T:u32|s32|u64|s64>", "d:u32 a:T", "find_leading<{T}, {shiftamt}>(a)"),
    ("brev.<T:b32|b64>", "d:T a:T", "reverse_bits<{T}>(a)"),
    ("bfe.<T:u32|s32|u64|s64>", "d:T a:T b:u32 c:u32", "extract_field<{T}>(a, b, c)"),
    ("bfi.<T:b32|b64>", "d:T a:T b:T c:u32 e:u32", "insert_field<{T}>(a, b, c, e)"),
    ("bmsk.<M:clamp|wrap>.b32", "d:u32 a:u32 b:u32", "bit_mask<BitMode::{M}>(a, b)"),
    ("szext.<M:clamp|wrap>.<T:u32|s32>", "d:T a:T b:u32", "extend_from_bit<{T}, BitMode::{M}>(a, b)"),
    ("dp4a.<A:u32|s32>.<B:u32|s32>", "d:u32 a:u32 b:u32 c:u32", "dot4<{A}, {B}>(a, b, c)"),
    ("dp2a.<H:lo|hi>.<A:u32|s32>.<B:u32|s32>", "d:u32 a:u32 b:u32 c:u32", "dot2<Half::{H}, {A}, {B}>(a, b, c)"),
    # Floating point
    (f"add.[R:{_ROUNDING}].[ftz].[sat].f32", "d:f32 a:f32 b:f32", "add_f32<Round::{R}, {ftz}, {sat}>(a, b)"),
    (f"sub.[R:{_ROUNDING}].[ftz].[sat].f32", "d:f32 a:f32 b:f32", "add_f32<Round::{R}, {ftz}, {sat}>(a, negate(b))"),
    (f"mul.[R:{_ROUNDING}].[sat].f32", "d:f32 a:f32 b:f32", "mul_f32<Round::{R}, {sat}>(a, b)"),
    (f"mul.[R:{_ROUNDING}].ftz.[sat].f32", "d:f32 a:f32 b:f32", "mul_f32_flushed<Round::{R}, {sat}>(a, b, t, {site})"),
    (f"fma.<R:{_ROUNDING}>.[sat].f32", "d:f32 a:f32 b:f32 c:f32", "fma_f32<Round::{R}, {sat}>(a, b, c)"),
    (f"fma.<R:{_ROUNDING}>.ftz.[sat].f32", "d:f32 a:f32 b:f32 c:f32", "fma_f32_flushed<Round::{R}, {sat}>(a, b, c, t, {site})"),
    (f"mad.<R:{_ROUNDING}>.[sat].f32", "d:f32 a:f32 b:f32 c:f32", "fma_f32<Round::{R}, {sat}>(a, b, c)"),
    (f"mad.<R:{_ROUNDING}>.ftz.[sat].f32", "d:f32 a:f32 b:f32 c:f32", "fma_f32_flushed<Round::{R}, {sat}>(a, b, c, t, {site})"),
    (f"div.<R:{_ROUNDING}>.f32", "d:f32 a:f32 b:f32", "div_f32<Round::{R}>(a, b)"),
    (f"div.<R:{_ROUNDING}>.ftz.f32", "d:f32 a:f32 b:f32", "div_f32_flushed<Round::{R}>(a, b, t, {site})"),
    (f"rcp.<R:{_ROUNDING}>.f32", "d:f32 a:f32", "div_f32<Round::{R}>(1.0F, a)"),
    (f"rcp.<R:{_ROUNDING}>.ftz.f32", "d:f32 a:f32", "div_f32_flushed<Round::{R}>(1.0F, a, t, {site})"),
    (f"sqrt.<R:{_ROUNDING}>.[ftz].f32", "d:f32 a:f32", "sqrt_f32<Round::{R}>(flush<{ftz}>(a))"),
    (f"add.[R:{_ROUNDING}].f64", "d:f64 a:f64 b:f64", "add_f64<Round::{R}>(a, b)"),
    (f"sub.[R:{_ROUNDING}].f64", "d:f64 a:f64 b:f64", "add_f64<Round::{R}>(a, negate(b))"),
    (f"mul.[R:{_ROUNDING}].f64", "d:f64 a:f64 b:f64", "mul_f64<Round::{R}>(a, b)"),
    (f"fma.<R:{_ROUNDING}>.f64", "d:f64 a:f64 b:f64 c:f64", "fma_f64<Round::{R}>(a, b, c)"),
    (f"mad.<R:{_ROUNDING}>.f64", "d:f64 a:f64 b:f64 c:f64", "fma_f64<Round::{R}>(a, b, c)"),
    (f"div.<R:{_ROUNDING}>.f64", "d:f64 a:f64 b:f64", "div_f64<Round::{R}>(a, b)"),
    (f"rcp.<R:{_ROUNDING}>.f64", "d:f64 a:f64", "div_f64<Round::{R}>(1.0, a)"),
    (f"sqrt.<R:{_ROUNDING}>.f64", "d:f64 a:f64", "sqrt_f64<Round::{R}>(a)"),
    ("neg.[ftz].f32", "d:f32 a:f32", "negate_f32<{ftz}>(a)"),
    ("neg.f64", "d:f64 a:f64", "negate<f64>(a)"),
    ("abs.[ftz].f32", "d:f32 a:f32", "absolute_f32<{ftz}>(a)"),
    ("abs.f64", "d:f64 a:f64", "__builtin_fabs(a)"),
    ("min.[ftz].f32", "d:f32 a:f32 b:f32", "minimum_float<f32, {ftz}, false>(a, b)"),
    ("min.[ftz].NaN.f32", "d:f32 a:f32 b:f32", "minimum_float<f32, {ftz}, true>(a, b)", 80),
    ("max.[ftz].f32", "d:f32 a:f32 b:f32", "maximum_float<f32, {ftz}, false>(a, b)"),
    ("max.[ftz].NaN.f32", "d:f32 a:f32 b:f32", "maximum_float<f32, {ftz}, true>(a, b)", 80),
    ("min.f64", "d:f64 a:f64 b:f64", "minimum_float<f64, false, false>(a, b)"),
    ("max.f64", "d:f64 a:f64 b:f64", "maximum_float<f64, false, false>(a, b)"),
    ("copysign.<T:f32|f64>", "d:T a:T b:T", "copy_sign<{T}>(a, b)"),
    ("testp.<P:finite|infinite|number|notanumber|normal|subnormal>.<T:f32|f64>", "d:pred a:T", "test_property<FloatClass::{P}, {T}>(a)"),
    # Floating point of 16 bits, alone or in pairs
    ("add.[R:rn].[ftz].[sat].<T:f16|f16x2>", "d:T a:T b:T", "add_half<{ftz}, {sat}>(a, b)"),
    ("sub.[R:rn].[ftz].[sat].<T:f16|f16x2>", "d:T a:T b:T", "add_half<{ftz}, {sat}>(a, negate_half<false>(b))"),
    ("mul.[R:rn].[sat].<T:f16|f16x2>", "d:T a:T b:T", "mul_half<{sat}>(a, b)"),
    ("mul.[R:rn].ftz.[sat].<T:f16|f16x2>", "d:T a:T b:T", "mul_half_flushed<{sat}>(a, b, t, {site})"),
    ("fma.<R:rn>.[sat].<T:f16|f16x2>", "d:T a:T b:T c:T", "fma_half<{sat}, false>(a, b, c)"),
    ("fma.<R:rn>.ftz.[sat].<T:f16|f16x2>", "d:T a:T b:T c:T", "fma_half_flushed<{sat}, false>(a, b, c, t, {site})"),
    ("fma.<R:rn>.relu.<T:f16|f16x2>", "d:T a:T b:T c:T", "fma_half<false, true>(a, b, c)", 80),
    ("fma.<R:rn>.ftz.relu.<T:f16|f16x2>", "d:T a:T b:T c:T", "fma_half_flushed<false, true>(a, b, c, t, {site})", 80),
    ("neg.[ftz].<T:f16|f16x2>", "d:T a:T", "negate_half<{ftz}>(a)"),
    ("abs.[ftz].<T:f16|f16x2>", "d:T a:T", "absolute_half<{ftz}>(a)"),
    ("min.[ftz].[NaN].<T:f16|f16x2>", "d:T a:T b:T", "extremum_half<false, {ftz}, {NaN}>(a, b)", 80),
    ("max.[ftz].[NaN].<T:f16|f16x2>", "d:T a:T b:T", "extremum_half<true, {ftz}, {NaN}>(a, b)", 80),
    ("add.[R:rn].<T:bf16|bf16x2>", "d:T a:T b:T", "add_half<false, false>(a, b)", 90),
    ("sub.[R:rn].<T:bf16|bf16x2>", "d:T a:T b:T", "add_half<false, false>(a, negate_half<false>(b))", 90),
    ("mul.[R:rn].<T:bf16|bf16x2>", "d:T a:T b:T", "mul_half<false>(a, b)", 90),
    ("fma.<R:rn>.[relu].<T:bf16|bf16x2>", "d:T a:T b:T c:T", "fma_half<false, {relu}>(a, b, c)", 80),
    ("neg.<T:bf16|bf16x2>", "d:T a:T", "negate_half<false>(a)", 80),
    ("abs.<T:bf16|bf16x2>", "d:T a:T", "absolute_half<false>(a)", 80),
    ("min.[NaN].<T:bf16|bf16x2>", "d:T a:T b:T", "extremum_half<false, false, {NaN}>(a, b)", 80),
    ("max.[NaN].<T:bf16|bf16x2>", "d:T a:T b:T", "extremum_half<true, false, {NaN}>(a, b)", 80),
    # Pairs of f32
    (f"add.[R:{_ROUNDING}].[ftz].<T:f32x2>", "d:T a:T b:T", "add_f32x2<Round::{R}, {ftz}>(a, b)", 100),
    (f"sub.[R:{_ROUNDING}].[ftz].<T:f32x2>", "d:T a:T b:T", "add_f32x2<Round::{R}, {ftz}>(a, negate_f32x2(b))", 100),
    (f"mul.[R:{_ROUNDING}].<T:f32x2>", "d:T a:T b:T", "each(&mul_f32<Round::{R}, false>, a, b)", 100),
    (f"mul.[R:{_ROUNDING}].ftz.<T:f32x2>", "d:T a:T b:T",
     "each([&](f32 x, f32 y) {{ return mul_f32_flushed<Round::{R}, false>(x, y, t, {site}); }}, a, b)", 100),
    (f"fma.<R:{_ROUNDING}>.<T:f32x2>", "d:T a:T b:T c:T", "each(&fma_f32<Round::{R}, false>, a, b, c)", 100),
    (f"fma.<R:{_ROUNDING}>.ftz.<T:f32x2>", "d:T a:T b:T c:T",
     "each([&](f32 x, f32 y, f32 z) {{ return fma_f32_flushed<Round::{R}, false>(x, y, z, t, {site}); }}, a, b, c)", 100),
    # Logic and shifts
    (f"and.<T:pred|{_BITS}>", "d:T a:T b:T", "static_cast<{T}>(a & b)"),
    (f"or.<T:pred|{_BITS}>", "d:T a:T b:T", "static_cast<{T}>(a | b)"),
    (f"xor.<T:pred|{_BITS}>", "d:T a:T b:T", "static_cast<{T}>(a ^ b)"),
    (f"not.<T:pred|{_BITS}>", "d:T a:T", "bit_not<{T}>(a)"),
    (f"cnot.<T:{_BITS}>", "d:T a:T", "{T}(a == 0)"),
    ("lop3.b32", "d:b32 a:b32 b:b32 c:b32 e:imm", "lookup3<e>(a, b, c)"),
    (f"shl.<T:{_BITS}>", "d:T a:T b:u32", "shift_left<{T}>(a, b)"),
    (f"shr.<T:{_BITS}|{_INTEGERS}>", "d:T a:T b:u32", "shift_right<{T}>(a, b)"),
    ("shf.<D:l|r>.<M:clamp|wrap>.b32", "d:b32 a:b32 b:b32 c:u32", "funnel_shift<Direction::{D}, BitMode::{M}>(a, b, c)"),
    ("prmt.[M:f4e|b4e|rc8|ecl|ecr|rc16].b32", "d:b32 a:b32 b:b32 c:b32", "permute<Permute::{M}>(a, b, c)"),
    # Selection
    (f"selp.<T:{_BITS}|{_INTEGERS}|f32|f64>", "d:T a:T b:T c:pred", "c ? a : b"),
    (f"slct.<T:{_BITS}|{_INTEGERS}|f32|f64>.s32", "d:T a:T b:T c:s32", "c >= 0 ? a : b"),
    (f"slct.[ftz].<T:{_BITS}|{_INTEGERS}|f32|f64>.f32", "d:T a:T b:T c:f32", "flush<{ftz}>(c) >= 0.0F ? a : b"),
    # Conversions
    (f"cvt.<D:{_ALL_INTEGERS}>.<S:{_ALL_INTEGERS}>", "d:D a:S", "static_cast<{D}>(a)"),
    *_saturating_conversions(),
    (f"cvt.<R:{_TO_INTEGRAL}>.[ftz].[sat].<D:{_ALL_INTEGERS}>.f32", "d:D a:f32", "float_to_integer<{D}, f32, Round::{R}>(flush<{ftz}>(a))"),
    (f"cvt.<R:{_TO_INTEGRAL}>.[sat].<D:{_ALL_INTEGERS}>.f64", "d:D a:f64", "float_to_integer<{D}, f64, Round::{R}>(a)"),
    (f"cvt.<R:{_ROUNDING}>.[ftz].[sat].f32.<S:{_ALL_INTEGERS}>", "d:f32 a:S", "saturate<{sat}>(integer_to_float<f32, Round::{R}>(a))"),
    (f"cvt.<R:{_ROUNDING}>.f64.<S:{_ALL_INTEGERS}>", "d:f64 a:S", "integer_to_float<f64, Round::{R}>(a)"),
    (f"cvt.<R:{_ROUNDING}>.[sat].f32.f64", "d:f32 a:f64", "saturate<{sat}>(narrow<Round::{R}>(a))"),
    (f"cvt.<R:{_ROUNDING}>.ftz.[sat].f32.f64", "d:f32 a:f64", "narrow_flushed<Round::{R}, {sat}>(a, t, {site})"),
    ("cvt.[ftz].f64.f32", "d:f64 a:f32", "static_cast<f64>(flush<{ftz}>(a))"),
    (f"cvt.<R:{_TO_INTEGRAL}>.[ftz].[sat].f32.f32", "d:f32 a:f32", "saturate<{sat}>(flush<{ftz}>(round_to_integral<f32, Round::{R}>(flush<{ftz}>(a))))"),
    ("cvt.[ftz].sat.f32.f32", "d:f32 a:f32", "saturate<true>(flush<{ftz}>(a))"),
    (f"cvt.<R:{_TO_INTEGRAL}>.f64.f64", "d:f64 a:f64", "round_to_integral<f64, Round::{R}>(a)"),
    # To and from 16 bits: .ftz is about the f32
    (f"cvt.<R:{_ROUNDING}>.[ftz].[sat].<D:f16>.f32", "d:D a:f32", _TO_HALF.format("infinity", "{sat}", "false", "flush<{ftz}>(a)")),
    (f"cvt.<R:{_ROUNDING}>.[ftz].<D:bf16>.f32", "d:D a:f32", _TO_HALF.format("infinity", "false", "false", "flush<{ftz}>(a)"), 80),
    ("cvt.<R:rn|rz>.satfinite.<D:f16>.f32", "d:D a:f32", _TO_HALF.format("finite", "false", "false", "a")),
    ("cvt.<R:rn|rz>.satfinite.<D:bf16>.f32", "d:D a:f32", _TO_HALF.format("finite", "false", "false", "a"), 80),
    ("cvt.<R:rn|rz>.relu.<D:f16|bf16>.f32", "d:D a:f32", _TO_HALF.format("infinity", "false", "true", "a"), 80),
    ("cvt.<R:rn|rz>.relu.satfinite.<D:f16|bf16>.f32", "d:D a:f32", _TO_HALF.format("finite", "false", "true", "a"), 80),
    ("cvt.<R:rn|rz>.[relu].f16x2.f32", "d:f16x2 a:f32 b:f32", "to_half_pair<f16, Round::{R}, Overflow::infinity, {relu}>(a, b)", 80),
    ("cvt.<R:rn|rz>.[relu].bf16x2.f32", "d:bf16x2 a:f32 b:f32", "to_half_pair<bf16, Round::{R}, Overflow::infinity, {relu}>(a, b)", 80),
    ("cvt.<R:rn|rz>.[relu].satfinite.f16x2.f32", "d:f16x2 a:f32 b:f32", "to_half_pair<f16, Round::{R}, Overflow::finite, {relu}>(a, b)", 80),
    ("cvt.<R:rn|rz>.[relu].satfinite.bf16x2.f32", "d:bf16x2 a:f32 b:f32", "to_half_pair<bf16, Round::{R}, Overflow::finite, {relu}>(a, b)", 80),
    (f"cvt.<R:{_ROUNDING}>.[sat].<D:f16>.f64", "d:D a:f64", _TO_HALF.format("infinity", "{sat}", "false", "a")),
    (f"cvt.<R:{_ROUNDING}>.<D:bf16>.f64", "d:D a:f64", _TO_HALF.format("infinity", "false", "false", "a"), 90),
    (f"cvt.<R:{_ROUNDING}>.[sat].<D:f16>.<S:{_ALL_INTEGERS}>", "d:D a:S", _TO_HALF.format("infinity", "{sat}", "false", "integer_to_odd(a)")),
    (f"cvt.<R:{_ROUNDING}>.<D:bf16>.<S:{_WIDE_INTEGERS}>", "d:D a:S", _TO_HALF.format("infinity", "false", "false", "integer_to_odd(a)"), 90),
    (f"cvt.<R:{_ROUNDING}>.<D:f16>.<S:bf16>", "d:D a:S", _TO_HALF.format("infinity", "false", "false", "widen(a)"), 90),
    (f"cvt.<R:{_ROUNDING}>.<D:bf16>.<S:f16>", "d:D a:S", _TO_HALF.format("infinity", "false", "false", "widen(a)"), 90),
    ("cvt.[ftz].[sat].f32.<S:f16>", "d:f32 a:S", "saturate<{sat}>(flush<{ftz}>(static_cast<f32>(widen(a))))"),
    ("cvt.f32.<S:bf16>", "d:f32 a:S", "canonical(static_cast<f32>(widen(a)))", 80),
    ("cvt.ftz.f32.<S:bf16>", "d:f32 a:S", "canonical(flush<true>(static_cast<f32>(widen(a))))", 90),
    ("cvt.f64.<S:f16>", "d:f64 a:S", "widen(a)"),
    ("cvt.f64.<S:bf16>", "d:f64 a:S", "widen(a)", 90),
    (f"cvt.<R:{_TO_INTEGRAL}>.[sat].<D:{_ALL_INTEGERS}>.<S:f16>", "d:D a:S", "float_to_integer<{D}, f32, Round::{R}>(static_cast<f32>(widen(a)))"),
    (f"cvt.<R:{_TO_INTEGRAL}>.<D:{_WIDE_INTEGERS}>.<S:bf16>", "d:D a:S", "float_to_integer<{D}, f32, Round::{R}>(static_cast<f32>(widen(a)))", 90),
    (f"cvt.<R:{_TO_INTEGRAL}>.[sat].<D:f16>.<S:f16>", "d:D a:S", "saturate_half<{sat}>(round_half_to_integral<{D}, Round::{R}>(a))"),
    (f"cvt.<R:{_TO_INTEGRAL}>.<D:bf16>.<S:bf16>", "d:D a:S", "round_half_to_integral<{D}, Round::{R}>(a)", 90),
    ("cvt.sat.<D:f16>.<S:f16>", "d:D a:S", "saturate_half<true>(a)"),
    # tf32 is what the matrix instructions read
    ("cvt.rna.tf32.f32", "d:tf32 a:f32", "to_tf32<Round::rn, true, Overflow::infinity, false>(a)", 80),
    ("cvt.rna.satfinite.tf32.f32", "d:tf32 a:f32", "to_tf32<Round::rn, true, Overflow::finite, false>(a)", 80),
    ("cvt.<R:rn|rz>.[relu].tf32.f32", "d:tf32 a:f32", "to_tf32<Round::{R}, false, Overflow::infinity, {relu}>(a)", 90),
    ("cvt.<R:rn|rz>.satfinite.[relu].tf32.f32", "d:tf32 a:f32", "to_tf32<Round::{R}, false, Overflow::finite, {relu}>(a)", 100),
]  # fmt: skip

# The manual's bounds: 1 ulp for rcp, 2 ulp for ex2, div (2^-126 <= |b| <= 2^126) and div.full; a relative error of 2^-23 for
# sqrt, 2^-22.9 for rsqrt and 2^-11 for tanh; an absolute one of 2^-20.5 for sin and cos in [-2 pi, 2 pi], and of 2^-22 for lg2
# in (0.5, 2), relative outside. For f16 and bf16 they are wider than half a unit of the last place. There are none for rcp and
# rsqrt of the upper half of an f64.
_APPROXIMATE = [
    ("rcp.approx.[ftz].f32", "d:f32 a:f32", "reciprocal<{ftz}>(a)"),
    ("sqrt.approx.[ftz].f32", "d:f32 a:f32", "square_root<{ftz}>(a)"),
    ("rsqrt.approx.[ftz].f32", "d:f32 a:f32", "reciprocal_square_root<{ftz}>(a)"),
    ("ex2.approx.[ftz].f32", "d:f32 a:f32", "power_of_two<{ftz}>(a)"),
    ("lg2.approx.[ftz].f32", "d:f32 a:f32", "binary_logarithm<{ftz}>(a)"),
    ("sin.approx.[ftz].f32", "d:f32 a:f32", "sine<{ftz}>(a)"),
    ("cos.approx.[ftz].f32", "d:f32 a:f32", "cosine<{ftz}>(a)"),
    ("tanh.approx.f32", "d:f32 a:f32", "hyperbolic_tangent(a)"),
    ("div.approx.[ftz].f32", "d:f32 a:f32 b:f32", "quotient<false, {ftz}>(a, b)"),
    ("div.full.[ftz].f32", "d:f32 a:f32 b:f32", "quotient<true, {ftz}>(a, b)"),
    ("rcp.approx.ftz.f64", "d:f64 a:f64", "gross_reciprocal(a)"),
    ("rsqrt.approx.ftz.f64", "d:f64 a:f64", "gross_reciprocal_square_root(a)"),
    ("rsqrt.approx.f64", "d:f64 a:f64", "1.0 / std::sqrt(a)"),
    ("ex2.approx.<T:f16|f16x2>", "d:T a:T", "half_by_double<false>(&std::exp2, a)"),
    ("ex2.approx.ftz.<T:bf16|bf16x2>", "d:T a:T", "half_by_double<true>(&std::exp2, a)", 90),
    ("tanh.approx.<T:f16|f16x2>", "d:T a:T", "half_by_double<false>(&std::tanh, a)"),
    ("tanh.approx.<T:bf16|bf16x2>", "d:T a:T", "half_by_double<false>(&std::tanh, a)", 90),
]  # fmt: skip

_COMPARE_INTEGER = "eq|ne|lt|le|gt|ge"
_COMPARE_UNSIGNED = "lo|ls|hi|hs"
_COMPARE_FLOAT = "eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|num|nan"
_BOOLEAN = "and|or|xor"
_SHARED = "shared|shared::cta"
_CLUSTER_SPACE = "shared::cluster"
_SCOPE = "cta|cluster|gpu|sys"
_FRAGMENTS = "m16n16k16|m8n32k16|m32n8k16"
_ELEMENT = "b8|u8|s8|b16|u16|s16|b32|u32|s32|f32"
_ELEMENT_64 = "b64|u64|s64|f64"
_CACHE = "L1::evict_normal|L1::evict_unchanged|L1::evict_first|L1::evict_last|L1::no_allocate"
_PREFETCH = "L2::64B|L2::128B|L2::256B"


def _accesses():
    """Loads and stores. Cache operators, eviction priorities and prefetch sizes change no result: the first are for weak
    accesses, the others for global memory and generic addresses, and an operator and a priority exclude each other."""
    memory, shared, cluster = "[S:global]", f"<S:{_SHARED}>", f"<S:{_CLUSTER_SPACE}>"
    for opcode, kind, operators, sync, size, other in (
        ("ld", "load", "[ca|cg|cs|lu|cv]", "acquire", f".[P:{_PREFETCH}]", "<S:local|param|const>"),
        ("st", "store", "[wb|cg|cs|wt]", "release", "", "<S:local|param>"),
    ):
        priority, strong = f"<E:{_CACHE}>", f"{opcode}.<O:relaxed|{sync}>.<Q:{_SCOPE}>"
        weak, volatile = f"{opcode}.[weak]", f"{opcode}.<O:volatile>"
        heads = [
            (f"{weak}.{memory}.{operators}{size}", memory),
            (f"{weak}.{memory}.{priority}{size}", memory),
            (f"{volatile}.{memory}{size}", memory),
            (f"{strong}.{memory}.[E:{_CACHE}]{size}", memory),
            (f"{weak}.{other}.{operators}", other),
        ]
        if opcode == "ld":
            heads += [
                (f"ld.<S:global>.[ca|cg|cs].nc{size}", memory),
                (f"ld.<S:global>.nc.{priority}{size}", memory),
            ]
        for place in (shared, cluster):
            heads += [
                (f"{weak}.{place}.{operators}", place),
                (f"{volatile}.{place}", place),
                (f"{strong}.{place}", place),
            ]
        for head, place in heads:
            first = 90 if place == cluster else FIRST_ARCHITECTURE
            yield f"{head}.[V:v2|v4].<T:{_ELEMENT}>", kind, first
            yield f"{head}.[V:v2].<T:{_ELEMENT_64}>", kind, first
            yield f"{head}.<T:b128>", kind, first
            if place == memory:  # vectors of 32 bytes
                yield f"{head}.<V:v8>.<T:b32|u32|s32|f32>", kind, 100
                yield f"{head}.<V:v4>.<T:{_ELEMENT_64}>", kind, 100


def _atomics():
    """Order, scope and space stand before the operation, as in the manual; the compiler also writes the space before the
    scope, and libcu++ the operation first. ptxas takes all three."""
    scope = f"[Q:{_SCOPE}]"
    spaces = (("[S:global|shared|shared::cta]", 75), (f"<S:{_CLUSTER_SPACE}>", 90))
    for opcode, (space, first) in itertools.product(("atom", "red"), spaces):
        order = "[O:relaxed|acquire|release|acq_rel]" if opcode == "atom" else "[O:relaxed|release]"
        operations = [
            ("<F:and|or|xor>", "<T:b32|b64>", 75),
            ("<F:add>", "<T:u32|s32|u64|f32|f64>", 75),
            ("<F:inc|dec>", "<T:u32>", 75),
            ("<F:min|max>", "<T:u32|s32|u64|s64>", 75),
            ("<F:add>.noftz", "<T:f16|f16x2>", 75),
            ("<F:add>.noftz", "<T:bf16|bf16x2>", 90),
        ]
        if opcode == "atom":
            operations += [
                ("<F:exch>", "<T:b32|b64>", 75),
                ("<F:cas>", "<T:b16|b32|b64>", 75),
                ("<F:exch|cas>", "<T:b128>", 90),
            ]
        for operation, type_, since in operations:
            architecture = max(since, first)
            yield f"{opcode}.{order}.{scope}.{space}.{operation}.{type_}", "atomic", architecture
            yield (
                f"{opcode}.<{space[1:-1]}>.<{scope[1:-1]}>.{operation}.{type_}",
                "atomic",
                architecture,
            )
            if first == FIRST_ARCHITECTURE:  # of no space
                yield (
                    f"{opcode}.{operation}.{order}.<{scope[1:-1]}>.{type_}",
                    "atomic",
                    architecture,
                )
        if first != FIRST_ARCHITECTURE:
            continue
        # Vectors, each element for itself; in global memory only.
        for operation, length, type_ in (
            ("<F:add>", "<V:v2|v4>", "<T:f32>"),
            ("<F:add>.noftz", "<V:v2|v4|v8>", "<T:f16|bf16>"),
            ("<F:add>.noftz", "<V:v2|v4>", "<T:f16x2|bf16x2>"),
        ):
            prefix = f"{opcode}.{order}.{scope}.[S:global]"
            yield f"{prefix}.{operation}.{length}.{type_}", "atomic", 90
            yield f"{prefix}.{length}.{type_}.{operation}", "atomic", 90
            yield f"{opcode}.<S:global>.<Q:{_SCOPE}>.{operation}.{length}.{type_}", "atomic", 90


# Forms that are more than an expression over their operands; each `kind` is a method of the emitter.
_OTHER = [
    (f"setp.<C:{_COMPARE_INTEGER}>.[B:{_BOOLEAN}].<T:{_INTEGERS}>", "compare"),
    (f"setp.<C:eq|ne>.[B:{_BOOLEAN}].<T:{_BITS}>", "compare"),
    (f"setp.<C:{_COMPARE_UNSIGNED}>.[B:{_BOOLEAN}].<T:u16|u32|u64>", "compare"),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<T:f32>", "compare"),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<T:f64>", "compare"),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<T:f16>", "compare_half"),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<T:bf16>", "compare_half", 90),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<T:f16x2>", "compare_half"),
    (f"setp.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<T:bf16x2>", "compare_half", 90),
    (f"set.<C:{_COMPARE_INTEGER}>.[B:{_BOOLEAN}].<D:u32|s32|f32>.<T:{_INTEGERS}>", "compare"),
    (f"set.<C:eq|ne>.[B:{_BOOLEAN}].<D:u32|s32|f32>.<T:{_BITS}>", "compare"),
    (f"set.<C:{_COMPARE_UNSIGNED}>.[B:{_BOOLEAN}].<D:u32|s32|f32>.<T:u16|u32|u64>", "compare"),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<D:u32|s32|f32>.<T:f32>", "compare"),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<D:u32|s32|f32>.<T:f64>", "compare"),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<D:f16>.<T:f16>", "compare_half"),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<D:bf16>.<T:bf16>", "compare_half", 90),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].[ftz].<D:f16x2|u32>.<T:f16x2>", "compare_half"),
    (f"set.<C:{_COMPARE_FLOAT}>.[B:{_BOOLEAN}].<D:bf16x2|u32>.<T:bf16x2>", "compare_half", 90),
    (f"mov.<T:pred|{_BITS}|b128|{_INTEGERS}|f32|f64>", "move"),
    ("cvta.<S:global|shared|shared::cta|local|const|param>.<T:u64>", "to_generic"),
    ("cvta.to.<S:global|shared|shared::cta|local|const|param>.<T:u64>", "from_generic"),
    ("isspacep.<S:global|shared|shared::cta|local|const>", "is_space"),
    ("cvta.<S:shared::cluster>.<T:u64>", "to_generic", 90),
    ("cvta.to.<S:shared::cluster>.<T:u64>", "from_generic", 90),
    ("isspacep.<S:shared::cluster>", "is_space", 90),
    *_accesses(),
    *_atomics(),
    ("membar.<Q:cta|gl|sys>", "ordering"),
    (f"fence.[O:sc|acq_rel|acquire|release].<Q:{_SCOPE}>", "ordering"),
    ("fence.proxy.async.[S:global|shared::cta|shared::cluster]", "ordering", 90),
    ("fence.mbarrier_init.release.cluster", "init_fence", 90),
    ("griddepcontrol.<Q:launch_dependents|wait>", "ordering", 90),
    ("prefetch.[S:global|local].<Q:L1|L2>", "prefetch"),
    ("prefetchu.L1", "prefetch"),
    ("nanosleep.u32", "sleep"),
    # Control
    ("bra.[uni]", "branch"),
    ("brx.idx.[uni]", "branch_indexed"),
    ("call.[uni]", "call"),
    ("ret.[uni]", "leave"),
    ("exit", "leave_kernel"),
    ("trap", "trap"),
    # Barriers and warps
    *[
        (f"{name}.{form}", kind)
        for name, aligned in (("bar.[cta]", ""), ("barrier.[cta]", ".[aligned]"))
        for form, kind in (
            (f"sync{aligned}", "barrier"),
            (f"arrive{aligned}", "barrier_arrive"),
            (f"red.<F:popc>{aligned}.u32", "barrier_reduce"),
            (f"red.<F:and|or>{aligned}.pred", "barrier_reduce"),
        )
    ],
    ("bar.warp.sync", "warp_barrier"),
    # Clusters
    ("mapa.<S:shared::cluster>.<T:u32|u64>", "map_to_block", 90),
    ("mapa.<T:u64>", "map_to_block", 90),
    ("getctarank.<S:shared::cluster>.<T:u32|u64>", "block_of_address", 90),
    ("getctarank.<T:u64>", "block_of_address", 90),
    ("barrier.cluster.arrive.[O:release|relaxed].[aligned]", "cluster_arrive", 90),
    ("barrier.cluster.wait.[acquire].[aligned]", "cluster_wait", 90),
    # mbarriers
    (f"mbarrier.init.[S:{_SHARED}].b64", "mbarrier_init", 80),
    (f"mbarrier.inval.[S:{_SHARED}].b64", "mbarrier_inval", 80),
    (f"mbarrier.expect_tx.relaxed.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_tx", 90),
    (f"mbarrier.complete_tx.relaxed.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_tx", 90),
    (f"mbarrier.<K:arrive|arrive_drop>.[S:{_SHARED}].b64", "mbarrier_arrive", 80),
    (f"mbarrier.<K:arrive|arrive_drop>.<O:release>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_arrive", 80),
    (f"mbarrier.<K:arrive|arrive_drop>.<O:relaxed>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_arrive", 90),
    (f"mbarrier.<K:arrive|arrive_drop>.<X:expect_tx>.[S:{_SHARED}].b64", "mbarrier_arrive", 90),
    (f"mbarrier.<K:arrive|arrive_drop>.<X:expect_tx>.<O:release|relaxed>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_arrive", 90),
    (f"mbarrier.<K:arrive|arrive_drop>.<X:noComplete>.[S:{_SHARED}].b64", "mbarrier_arrive", 80),
    (f"mbarrier.<K:arrive|arrive_drop>.<X:noComplete>.<O:release>.<Q:cta>.[S:{_SHARED}].b64", "mbarrier_arrive", 80),
    ("mbarrier.expect_tx.relaxed.<Q:cta|cluster>.<S:shared::cluster>.b64", "mbarrier_tx", 90),
    ("mbarrier.complete_tx.relaxed.<Q:cta|cluster>.<S:shared::cluster>.b64", "mbarrier_tx", 90),
    ("mbarrier.<K:arrive|arrive_drop>.[X:expect_tx].<S:shared::cluster>.b64", "mbarrier_arrive", 90),
    ("mbarrier.<K:arrive|arrive_drop>.[X:expect_tx].<O:release|relaxed>.<Q:cta|cluster>.<S:shared::cluster>.b64", "mbarrier_arrive", 90),
    (f"mbarrier.<K:test_wait>.[P:parity].[S:{_SHARED}].b64", "mbarrier_wait", 80),
    (f"mbarrier.<K:test_wait>.[P:parity].<O:acquire>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_wait", 80),
    (f"mbarrier.<K:test_wait>.[P:parity].<O:relaxed>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_wait", 90),
    (f"mbarrier.<K:try_wait>.[P:parity].[S:{_SHARED}].b64", "mbarrier_wait", 90),
    (f"mbarrier.<K:try_wait>.[P:parity].<O:acquire|relaxed>.<Q:cta|cluster>.[S:{_SHARED}].b64", "mbarrier_wait", 90),
    ("mbarrier.pending_count.b64", "mbarrier_pending_count", 80),
    # Asynchronous copies
    (f"cp.async.<C:ca|cg>.<S:{_SHARED}>.global.[P:{_PREFETCH}]", "copy_async", 80),
    ("cp.async.commit_group", "copy_async_commit", 80),
    ("cp.async.wait_group", "copy_async_wait", 80),
    ("cp.async.wait_all", "copy_async_wait_all", 80),
    (f"cp.async.mbarrier.arrive.[noinc].[S:{_SHARED}].b64", "copy_async_arrive", 80),
    ("cp.async.bulk.<D:shared::cta|shared::cluster>.<S:global>.mbarrier::complete_tx::bytes", "bulk_copy", 90),
    ("cp.async.bulk.<D:shared::cluster>.<S:shared::cta>.mbarrier::complete_tx::bytes", "bulk_copy", 90),
    ("cp.async.bulk.<D:global>.<S:shared::cta>.bulk_group", "bulk_copy", 90),
    ("cp.async.bulk.commit_group", "bulk_commit", 90),
    ("cp.async.bulk.wait_group.[read]", "bulk_wait", 90),
    ("cp.async.bulk.prefetch.L2.global", "prefetch", 90),
    ("shfl.sync.<M:up|down|bfly|idx>.b32", "shuffle"),
    ("vote.sync.<M:all|any|uni>.pred", "vote"),
    ("vote.sync.<M:ballot>.b32", "vote"),
    ("vote.<M:ballot>.sync.b32", "vote"),  # an order that CUB writes and ptxas takes
    ("match.<M:any>.sync.<T:b32|b64>", "match"),
    ("match.<M:all>.sync.<T:b32|b64>", "match"),
    ("redux.sync.<F:add|min|max>.<T:u32|s32>", "redux", 80),
    ("redux.sync.<F:and|or|xor>.<T:b32>", "redux", 80),
    ("elect.sync", "elect", 90),
    # Matrices. The sums of integers are exact; those of doubles are rounded as by fma, in an order that is open;
    # those of other floats are approximations.
    ("mma.sync.aligned.<K:m8n8k16>.row.col.[satfinite].s32.<A:s8|u8>.<B:s8|u8>.s32", "matrix_product"),
    ("mma.sync.aligned.<K:m16n8k16|m16n8k32>.row.col.[satfinite].s32.<A:s8|u8>.<B:s8|u8>.s32", "matrix_product", 80),
    ("mma.sync.aligned.<K:m16n8k8>.row.col.<D:f32>.<A:f16>.<B:f16>.f32", "matrix_product"),
    ("mma.sync.aligned.<K:m16n8k8>.row.col.<D:f16>.<A:f16>.<B:f16>.f16", "matrix_product"),
    ("mma.sync.aligned.<K:m16n8k16>.row.col.<D:f32>.<A:f16>.<B:f16>.f32", "matrix_product", 80),
    ("mma.sync.aligned.<K:m16n8k16>.row.col.<D:f16>.<A:f16>.<B:f16>.f16", "matrix_product", 80),
    ("mma.sync.aligned.<K:m16n8k8|m16n8k16>.row.col.<D:f32>.<A:bf16>.<B:bf16>.f32", "matrix_product", 80),
    ("mma.sync.aligned.<K:m16n8k4|m16n8k8>.row.col.<D:f32>.<A:tf32>.<B:tf32>.f32", "matrix_product", 80),
    ("mma.sync.aligned.<K:m8n8k4>.row.col.<D:f64>.<A:f64>.<B:f64>.f64", "matrix_product", 80),
    ("mma.sync.aligned.<K:m16n8k4|m16n8k8>.row.col.<D:f64>.<A:f64>.<B:f64>.f64", "matrix_product", 90),
    ("ldmatrix.sync.aligned.m8n8.<N:x1|x2|x4>.[trans].[S:shared|shared::cta].b16", "matrix_load"),
    # The fragments of wmma are opaque: three instructions that agree on a layout of their own.
    (f"wmma.load.<X:a|b>.sync.aligned.<L:row|col>.<K:{_FRAGMENTS}>.[S:global|shared|shared::cta].<T:f16|s8|u8>", "fragment_load"),
    (f"wmma.load.<X:a|b>.sync.aligned.<L:row|col>.<K:{_FRAGMENTS}>.[S:global|shared|shared::cta].<T:bf16>", "fragment_load", 80),
    (f"wmma.load.<X:c>.sync.aligned.<L:row|col>.<K:{_FRAGMENTS}>.[S:global|shared|shared::cta].<T:f16|f32|s32>", "fragment_load"),
    (f"wmma.store.<X:d>.sync.aligned.<L:row|col>.<K:{_FRAGMENTS}>.[S:global|shared|shared::cta].<T:f16|f32|s32>", "fragment_store"),
    (f"wmma.mma.sync.aligned.<L:row|col>.<W:row|col>.<K:{_FRAGMENTS}>.<D:f16|f32>.<C:f16|f32>", "fragment_product"),
    (f"wmma.mma.sync.aligned.<L:row|col>.<W:row|col>.<K:{_FRAGMENTS}>.<D:f32>.<T:bf16>.bf16.<C:f32>", "fragment_product", 80),
    (f"wmma.mma.sync.aligned.<L:row|col>.<W:row|col>.<K:{_FRAGMENTS}>.<D:s32>.<T:s8>.s8.<C:s32>.[satfinite]", "fragment_product"),
    (f"wmma.mma.sync.aligned.<L:row|col>.<W:row|col>.<K:{_FRAGMENTS}>.<D:s32>.<T:u8>.u8.<C:s32>.[satfinite]", "fragment_product"),
    ("activemask.b32", "active_mask"),
]  # fmt: skip


def _split(pattern):
    return re.findall(r"<[^>]*>|\[[^\]]*\]|[^.<\[]+", pattern)


def _alternatives(segment):
    """(name, alternatives) of one segment; the empty string stands for nothing."""
    inner = segment.strip("<>[]")
    name, colon, choices = inner.partition(":")
    if not colon or "|" in name or name.startswith(("L1", "L2")):
        name, choices = (inner if "|" not in inner else ""), inner
    choices = choices.split("|")
    return name, ([""] if segment[0] == "[" else []) + choices


@dataclass(frozen=True)
class Form:
    pattern: str
    operands: tuple = ()
    expression: str = ""
    kind: str = "expression"
    architecture: int = FIRST_ARCHITECTURE

    def opcode(self):
        return _split(self.pattern)[0]

    def regex(self):
        regex = ""
        for i, segment in enumerate(_split(self.pattern)):
            name, choices = _alternatives(segment) if segment[0] in "<[" else ("", [segment])
            body = "|".join(re.escape(c) for c in choices if c)
            group = f"(?P<{name}>{body})" if name.isidentifier() else f"(?:{body})"
            dot = r"\." if i else ""
            regex += f"(?:{dot}{group})" + ("?" if "" in choices else "")
        return re.compile(regex + "$")

    def instances(self):
        """Every opcode that the pattern stands for, with its groups."""
        segments = [_alternatives(s) if s[0] in "<[" else ("", [s]) for s in _split(self.pattern)]
        regex = self.regex()
        for choice in itertools.product(*[choices for _, choices in segments]):
            opcode = ".".join(c for c in choice if c)
            match = regex.match(opcode)
            if match:
                yield opcode, self.groups(match)

    def groups(self, match):
        groups = {}
        for name, value in match.groupdict().items():
            if len(name) == 1:
                groups[name] = value if value is not None else DEFAULTS.get(name)
            else:
                groups[name] = "true" if value else "false"
        type_ = groups.get("T")
        if type_ and re.fullmatch(r"[us](16|32)", type_):
            groups["wide"] = type_[0] + str(2 * int(type_[1:]))
        if type_ and re.fullmatch(r"[us](16|32|64)", type_):
            groups["unsigned"] = "u" + type_[1:]
        return groups

    def first_architecture(self, groups):
        """Of one of its instances."""
        return max(
            self.architecture,
            90 if groups.get("Q") == "cluster" else 0,
            80 if groups.get("P") == "L2::256B" else 0,
        )

    def operand_types(self, groups):
        return [(name, groups.get(type_, type_)) for name, type_ in self.operands]


def _operands(text):
    return tuple(tuple(part.split(":")) for part in text.split())


FORMS = [Form(p, _operands(o), e, "expression", *a) for p, o, e, *a in _PURE]
FORMS += [Form(p, _operands(o), e, "approximation", *a) for p, o, e, *a in _APPROXIMATE]
FORMS += [Form(p, (), "", k, *a) for p, k, *a in _OTHER]

_BY_OPCODE = {}
for _form in FORMS:
    _first = _split(_form.pattern)[0]
    for _opcode in _alternatives(_first)[1] if _first[0] == "<" else [_first]:
        _BY_OPCODE.setdefault(_opcode, []).append((_form.regex(), _form))


def find(opcode):
    """The form of an opcode with its modifiers, and its groups; (None, reason) if there is none."""
    candidates = _BY_OPCODE.get(opcode.split(".")[0])
    if candidates is None:
        return None, "unknown opcode"
    for regex, form in candidates:
        match = regex.match(opcode)
        if match:
            return form, form.groups(match)
    return None, "unknown modifiers"
