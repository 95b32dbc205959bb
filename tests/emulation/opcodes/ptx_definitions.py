"""What each instruction does, written from the definitions in the PTX ISA manual, on Python integers.

`expected(opcode, groups, operands)` takes the operands as unsigned integers (bit patterns) and gives the bits of the
result, NAN for any NaN, or UNDOCUMENTED where the manual leaves them open. It shares nothing with runtime/operations.h.
"""

from fractions import Fraction

from approximations import approximate, divide_approximately, gross
from exact_float import (
    BF16,
    CANONICAL_HALF_NAN,
    CANONICAL_NAN,
    F16,
    F32,
    F64,
    NAN,
    TF32,
    UNDOCUMENTED,
    Arithmetic,
)

WIDTH = {
    "pred": 1, "b8": 8, "u8": 8, "s8": 8, "u16": 16, "s16": 16, "b16": 16, "f16": 16, "bf16": 16, "u32": 32, "s32": 32, "b32": 32,
    "f32": 32, "f16x2": 32, "bf16x2": 32, "tf32": 32, "f32x2": 64, "u64": 64, "s64": 64, "b64": 64, "f64": 64, "b128": 128,
}  # fmt: skip
FORMATS = {"f16": F16, "bf16": BF16, "f32": F32, "f64": F64}
PAIRS = {"f16x2": "f16", "bf16x2": "bf16", "f32x2": "f32"}
_NANS = {"f16": CANONICAL_HALF_NAN, "bf16": CANONICAL_HALF_NAN, "f32": CANONICAL_NAN, "f64": NAN}
_UNITS = {name: Arithmetic(FORMATS[name], _NANS[name]) for name in FORMATS}


def signed(x, width):
    return x - (1 << width) if x >> (width - 1) else x


def number(x, type_):
    return signed(x, WIDTH[type_]) if type_[0] == "s" else x


def wrap(x, type_):
    return x % (1 << WIDTH[type_])


def bounds(type_):
    width = WIDTH[type_]
    return (-(1 << width - 1), (1 << width - 1) - 1) if type_[0] == "s" else (0, (1 << width) - 1)


def clamp(x, type_):
    low, high = bounds(type_)
    return wrap(min(max(x, low), high), type_)


def bit(x, i):
    return (x >> i) & 1


def _saturate(bits, g, f=F32):
    if g.get("sat") != "true" or bits in (NAN, UNDOCUMENTED):
        return bits
    if f.is_nan(bits) or f.is_negative(bits):
        return 0
    return min(bits, f.emax << f.fraction_bits)


def _relu(bits, g, f):
    """Negative results, -0 among them, become +0."""
    if g.get("relu") != "true" or bits in (NAN, UNDOCUMENTED) or f.is_nan(bits):
        return bits
    return 0 if f.is_negative(bits) else bits


def _flush(bits, g, f=F32):
    return f.flush(bits) if g.get("ftz") == "true" else bits


def _flush_result(rounded, truncated, g, f):
    """A result with .ftz. `truncated` is the one rounded towards zero: only what is subnormal there and normal after
    rounding is left open by the manual."""
    if g.get("ftz") != "true" or rounded == NAN:
        return rounded
    if not f.is_nan(rounded) and rounded & ~f.sign_bit == f.smallest_normal:
        if truncated & ~f.sign_bit < f.smallest_normal:
            return UNDOCUMENTED
    return f.flush(rounded)


def _arithmetic(opcode, g, x):
    """add, sub, mul, fma, mad, div, rcp, sqrt on floats."""
    type_ = opcode.split(".")[-1]
    unit, f = _UNITS[type_], FORMATS[type_]
    x = [_flush(v, g, f) for v in x]
    root = opcode.split(".")[0]
    one = f.emax << f.fraction_bits

    def rounded(mode):
        if root == "add":
            return unit.add(x[0], x[1], mode)
        if root == "sub":
            return unit.add(x[0], x[1] ^ f.sign_bit, mode)
        if root == "mul":
            return unit.mul(x[0], x[1], mode)
        if root in ("fma", "mad"):
            return unit.fma(x[0], x[1], x[2], mode)
        if root == "div":
            return unit.div(x[0], x[1], mode)
        if root == "rcp":
            return unit.div(one, x[0], mode)
        return unit.sqrt(x[0], mode)

    result = _flush_result(rounded(g["R"]), rounded("rz"), g, f)
    return _relu(_saturate(result, g, f), g, f)


def _order(bits, f):
    """A key in whose order -0 is less than +0; for numbers."""
    magnitude = bits & ~f.sign_bit
    return -magnitude - 1 if f.is_negative(bits) else magnitude


def _extremum(opcode, g, x):
    type_ = opcode.split(".")[-1]
    f, nan = FORMATS[type_], _NANS[type_]
    x = [_flush(v, g, f) for v in x]
    numbers = [v for v in x if not f.is_nan(v)]
    if not numbers or (".NaN." in opcode and len(numbers) < 2):
        return nan
    pick = min if opcode.startswith("min") else max
    return pick(numbers, key=lambda v: _order(v, f))


def _bfe(type_, a, b, c):
    width = WIDTH[type_]
    position, length = b & 0xFF, c & 0xFF
    msb = width - 1
    if type_[0] == "u" or length == 0:
        fill = 0
    else:
        fill = bit(a, min(position + length - 1, msb))
    result = 0
    for i in range(width):
        result |= (bit(a, position + i) if i < length and position + i <= msb else fill) << i
    return result


def _bfi(type_, a, b, c, d):
    width = WIDTH[type_]
    position, length = c & 0xFF, d & 0xFF
    result = b
    for i in range(length):
        if position + i < width:
            at = position + i
            result = result & ~(1 << at) | bit(a, i) << at
    return result


def _bmsk(mode, a, b):
    ones = 0xFFFFFFFF
    a1, b1 = a & 31, b & 31
    mask0 = ones << a1 & ones
    total = a1 + b1
    mask1 = ones << total & ones
    position_overflow = width_overflow = False
    if mode == "clamp":
        if a >= 32:
            position_overflow = True
            mask0 = 0
        width_overflow = b >= 32
    if total >= 32 or position_overflow or width_overflow:
        mask1 = 0
    return mask0 & ~mask1 & ones


def _szext(type_, mode, a, b):
    ones = 0xFFFFFFFF
    b1 = b & 31
    too_large = b >= 32 and mode == "clamp"
    mask = 0 if too_large else ones << b1 & ones
    fill = 0 if b1 == 0 or too_large or type_ != "s32" else bit(a, (b1 - 1) & 31)
    return a & ~mask & ones | (mask if fill else 0)


def _prmt(mode, a, b, c):
    by = [(b << 32 | a) >> 8 * i & 0xFF for i in range(8)]
    if mode == "none":
        result = 0
        for i in range(4):
            selector = c >> 4 * i & 15
            value = by[selector & 7]
            if selector & 8:
                value = 0xFF if value & 0x80 else 0
            result |= value << 8 * i
        return result
    # The manual's table, by mode and c & 3: source bytes of d.b3 d.b2 d.b1 d.b0.
    table = {
        "f4e": ("3210", "4321", "5432", "6543"),
        "b4e": ("5670", "6701", "7012", "0123"),
        "rc8": ("0000", "1111", "2222", "3333"),
        "ecl": ("3210", "3211", "3222", "3333"),
        "ecr": ("0000", "1110", "2210", "3210"),
        "rc16": ("1010", "3232", "1010", "3232"),
    }[mode][c & 3]
    return sum(by[int(source)] << 8 * (3 - i) for i, source in enumerate(table))


def _bfind(opcode, g, a):
    type_ = g["T"]
    msb = WIDTH[type_] - 1
    if type_[0] == "s" and bit(a, msb):
        a = ~a & ((1 << WIDTH[type_]) - 1)
    result = 0xFFFFFFFF
    for i in range(msb, -1, -1):
        if bit(a, i):
            result = i
            break
    if g["shiftamt"] == "true" and result != 0xFFFFFFFF:
        result = msb - result
    return result


def _to_integral(value, mode):
    floor = value.numerator // value.denominator
    rest = value - floor
    if mode == "rmi" or rest == 0:
        return floor
    if mode == "rpi":
        return floor + 1
    if mode == "rzi":
        return floor + (1 if value < 0 else 0)
    if rest * 2 == 1:
        return floor + (floor & 1)
    return floor + (1 if rest * 2 > 1 else 0)


def _convert(opcode, g, a):
    parts = opcode.split(".")
    target, source = parts[-2], parts[-1]
    g = {name: "true" for name in ("sat", "ftz", "relu", "satfinite") if name in parts} | {
        "R": "rna" if "rna" in parts else g.get("R") or "rn"
    }
    if target not in FORMATS and target != "tf32" and source not in FORMATS:
        value = number(a, source)
        return clamp(value, target) if "sat" in g else wrap(value, target)
    if source not in FORMATS:
        f = FORMATS[target]
        return _saturate(f.round(Fraction(number(a, source)), g["R"]), g, f)
    f = FORMATS[source]
    if source == "f32":
        a = _flush(a, g)
    if target not in FORMATS and target != "tf32":
        if f.is_nan(a):
            zero = source != "f64" and WIDTH[target] != 64
            return 0 if zero else 1 << WIDTH[target] - 1
        low, high = bounds(target)
        if f.is_infinite(a):
            return wrap(low if f.is_negative(a) else high, target)
        return clamp(_to_integral(f.value(a), g["R"]), target)
    if target == "tf32":
        # Its layout is open; here the bits of f32 above the 13 lowest.
        if f.is_nan(a):
            return NAN
        return _relu(_narrowed(f, TF32, a, g), g, TF32) << 13
    to = FORMATS[target]
    if f.is_nan(a):
        return 0 if "sat" in g else _NANS[target]
    result = _narrowed(f, to, a, g)
    return _relu(_saturate(result, g, to), g, to)


def _narrowed(f, to, a, g):
    """A number in another format: rounded, flushed if it is f32 with .ftz, finite if it is to be."""
    sign = to.sign_bit if f.is_negative(a) else 0
    if f.is_infinite(a):
        return sign | (to.largest if "satfinite" in g else to.infinity)
    value, negative = f.value(a), f.is_negative(a)
    if "satfinite" in g and abs(value) > to.value(to.largest):
        return sign | to.largest
    mode = g["R"]
    if mode.endswith("i"):
        result = to.round(Fraction(_to_integral(value, mode)), "rn", negative)
        return _flush(result, g) if to is F32 else result
    result = to.round(value, mode, negative)
    if to is F32:
        return _flush_result(result, to.round(value, "rz", negative), g, to)
    return result


def _dot(opcode, g, a, b, c):
    def parts(x, count, width, type_):
        return [
            number(x >> width * i & ((1 << width) - 1), type_[0] + str(width)) for i in range(count)
        ]

    if opcode.startswith("dp4a"):
        pairs = zip(parts(a, 4, 8, g["A"]), parts(b, 4, 8, g["B"]))
    else:
        half = parts(b, 4, 8, g["B"])
        pairs = zip(parts(a, 2, 16, g["A"]), half[2:] if g["H"] == "hi" else half[:2])
    return wrap(c + sum(x * y for x, y in pairs), "u32")


def _carry_in(x):
    """The carry flag that the generated kernels set before an instruction that may read it."""
    return x & 1


def with_carry(opcode, g, x, carry_in):
    """(result, carry flag after) of the instructions with .cc and of addc, subc, madc."""
    type_ = g["T"]
    width = WIDTH[type_]
    root = opcode.split(".")[0]
    reads = root.endswith("c")
    writes = ".cc" in opcode
    carry = carry_in if reads else 0
    if root in ("sub", "subc"):
        total = x[0] - x[1] - carry
        out = 1 if total < 0 else 0
    else:
        if root in ("mad", "madc"):
            product = number(x[0], type_) * number(x[1], type_)
            part = product >> width if ".hi" in opcode else product
            total = wrap(part, type_) + x[2] + carry
        else:
            total = x[0] + x[1] + carry
        out = total >> width
    return wrap(total, type_), out if writes else carry_in


def comparison(opcode, g, x):
    """(first result, second) of set and setp: p = (a cmp b) op c, q = !(a cmp b) op c."""
    compare, type_ = g["C"], g["T"]
    if type_ in PAIRS:
        return _comparison_of_pairs(opcode, g, x)
    if type_ in FORMATS:
        f = FORMATS[type_]
        a, b = (_flush(v, g, f) for v in x[:2])
        unordered = f.is_nan(a) or f.is_nan(b)

        def key(bits):  # -0 equals +0
            return 0 if f.is_zero(bits) else _order(bits, f)

        if compare in ("num", "nan"):
            truth = unordered == (compare == "nan")
        elif unordered:
            truth = len(compare) == 3  # equ, neu, ltu, ...
        else:
            truth = _holds(compare[:2], key(a), key(b))
    else:
        names = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
        truth = _holds(names.get(compare, compare), number(x[0], type_), number(x[1], type_))
    first, second = truth, not truth
    boolean = g.get("B")
    if boolean:
        c = bool(x[2])
        first, second = (
            {"and": v and c, "or": v or c, "xor": v != c}[boolean] for v in (first, second)
        )
    if opcode.startswith("setp"):
        return int(first), int(second)
    f = FORMATS.get(g["D"])
    one = f.emax << f.fraction_bits if f else (1 << WIDTH[g["D"]]) - 1
    return one if first else 0, 0


def _comparison_of_pairs(opcode, g, x):
    """setp gives the predicate of the low half, then that of the high one; set puts both in one register."""
    scalar = dict(g, T=PAIRS[g["T"]])
    if g.get("D"):
        scalar["D"] = PAIRS.get(g["D"], "u16")
    low, high = (
        comparison(opcode, scalar, [x[0] >> shift & 0xFFFF, x[1] >> shift & 0xFFFF, *x[2:]])[0]
        for shift in (0, 16)
    )
    return (low, high) if opcode.startswith("setp") else (high << 16 | low, 0)


def _holds(compare, a, b):
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[
        compare
    ]


def _approximation(opcode, g, x):
    """The number nearest to the exact value; the manual allows others, see `tolerance`."""
    root, type_ = opcode.split(".")[0], opcode.split(".")[-1]
    f, unit = FORMATS[type_], _UNITS[type_]
    if opcode in ("rcp.approx.ftz.f64", "rsqrt.approx.ftz.f64"):
        return gross(root, f, x[0], unit)
    g = {"ftz": "true" if ".ftz" in opcode else "false"}
    x = [_flush(v, g, f) for v in x]
    if root == "rcp":
        result = unit.div(f.emax << f.fraction_bits, x[0], "rn")
    elif opcode.startswith("div.full"):
        result = unit.div(x[0], x[1], "rn")
    elif root == "div":
        result = divide_approximately(f, x[0], x[1], lambda a, b: unit.div(a, b, "rn"))
    else:
        result = approximate(root, f, x[0])
    return result if result == NAN else _flush(result, g, f)


def tolerance(opcode):
    """How far from the nearest number an approximation may be, in units of its last place; the others are exact. All bounds
    of the manual allow 1 (see _APPROXIMATE); the upper half of an f64 has 32 bits less."""
    if not any(part in ("approx", "full") for part in opcode.split(".")):
        return 0
    return 1 << 32 if opcode.endswith(".approx.ftz.f64") else 1


def atomic(operation, type_, old, operands, in_global):
    """What an atomic operation leaves in memory. Additions of f32 flush subnormal numbers in global memory and not in
    shared memory; those of 16 bits (.noftz) never do."""
    b = operands[0]
    if operation == "add" and type_ in PAIRS:
        low, high = (
            atomic("add", PAIRS[type_], old >> shift & 0xFFFF, [b >> shift & 0xFFFF], in_global)
            for shift in (0, 16)
        )
        return high << 16 | low
    if operation == "add" and type_ in FORMATS:
        g = {"ftz": "true" if type_ == "f32" and in_global else "false"}
        f = FORMATS[type_]
        total = _UNITS[type_].add(_flush(old, g, f), _flush(b, g, f), "rn")
        return total if total == NAN else _flush(total, g, f)
    if operation == "add":
        return wrap(old + b, type_)
    if operation in ("min", "max"):
        pick = min if operation == "min" else max
        return wrap(pick(number(old, type_), number(b, type_)), type_)
    if operation == "inc":
        return 0 if old >= b else old + 1
    if operation == "dec":
        return b if old == 0 or old > b else old - 1
    if operation == "cas":
        return operands[1] if old == b else old
    return {"and": old & b, "or": old | b, "xor": old ^ b, "exch": b}[operation]


def load(type_, cell, width):
    """What a load of these bytes leaves in a register of `width` bits, which may have more than the type: signed integers
    are extended by their sign, all others by zeros."""
    x = int.from_bytes(cell, "little")
    return (signed(x, WIDTH[type_]) if type_[0] == "s" else x) % (1 << width)


def store(type_, x):
    """The bytes that a store of a register leaves in memory: the register may have more bits than the type."""
    return (x % (1 << WIDTH[type_])).to_bytes(WIDTH[type_] // 8, "little")


def _of_pairs(opcode, g, x):
    """An instruction on pairs is one on each half. A half that may be any NaN is not told apart: such operands are drawn
    anew, as those with a result that the manual leaves open."""
    type_ = PAIRS[g["T"]]
    width = WIDTH[type_]
    scalar = opcode.replace(g["T"], type_)
    halves = [
        expected(scalar, dict(g, T=type_), [v >> shift & (1 << width) - 1 for v in x])
        for shift in (0, width)
    ]
    if NAN in halves or UNDOCUMENTED in halves:
        return UNDOCUMENTED
    return halves[1] << width | halves[0]


def expected(opcode, g, x):
    g = dict(g, **{name: "true" for name in ("ftz", "sat", "relu") if name in opcode.split(".")})
    root = opcode.split(".")[0]
    type_ = g.get("T")
    last = opcode.split(".")[-1]
    if type_ in PAIRS:
        return _of_pairs(opcode, g, x)
    if root == "cvt" and opcode.split(".")[-2] in PAIRS:
        # The first operand gives the high half.
        scalar = opcode.replace("x2.f32", ".f32")
        return _convert(scalar, g, x[0]) << 16 | _convert(scalar, g, x[1])
    is_float = last in FORMATS
    n = [number(v, type_) for v in x] if type_ and type_ not in FORMATS and type_ != "pred" else x
    if tolerance(opcode):
        return _approximation(opcode, g, x)
    if root in ("add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt") and is_float:
        return _arithmetic(opcode, g, x)
    if root in ("min", "max") and is_float:
        return _extremum(opcode, g, x)
    if root in ("neg", "abs") and is_float:
        f = FORMATS[last]
        a = _flush(x[0], g, f)
        if f.is_nan(a):
            return NAN
        return a ^ f.sign_bit if root == "neg" else a & ~f.sign_bit
    if root == "copysign":
        f = FORMATS[last]
        return x[1] & ~f.sign_bit | x[0] & f.sign_bit
    if root == "testp":
        f = FORMATS[last]
        a = x[0]
        normal = not (f.is_nan(a) or f.is_infinite(a) or f.is_zero(a) or f.is_subnormal(a))
        return int(
            {
                "finite": not f.is_nan(a) and not f.is_infinite(a), "infinite": f.is_infinite(a),
                "number": not f.is_nan(a), "notanumber": f.is_nan(a), "normal": normal, "subnormal": f.is_subnormal(a),
            }[g["P"]]
        )  # fmt: skip
    if root == "cvt":
        return _convert(opcode, g, x[0])
    if opcode in ("add.sat.s32", "sub.sat.s32"):
        a, b = signed(x[0], 32), signed(x[1], 32)
        return clamp(a + b if root == "add" else a - b, "s32")
    if root == "add":
        return wrap(n[0] + n[1], type_)
    if root == "sub":
        return wrap(n[0] - n[1], type_)
    if root in ("mul", "mad"):
        if opcode == "mad.hi.sat.s32":
            a, b, c = (signed(v, 32) for v in x)
            return clamp((a * b >> 32) + c, "s32")
        product = n[0] * n[1]
        target = g["wide"] if ".wide" in opcode else type_
        if ".hi" in opcode:
            product >>= WIDTH[type_]
        return wrap(product + (number(x[2], target) if root == "mad" else 0), target)
    if root in ("mul24", "mad24"):

        def low24(v):
            v &= 0xFFFFFF
            return signed(v, 24) if type_ == "s32" else v

        product = low24(x[0]) * low24(x[1])
        part = product >> 16 if ".hi" in opcode else product
        return wrap(part + (n[2] if root == "mad24" else 0), type_)
    if root == "sad":
        return wrap(n[2] + abs(n[0] - n[1]), type_)
    if root in ("div", "rem"):
        quotient = abs(n[0]) // abs(n[1]) * (1 if (n[0] < 0) == (n[1] < 0) else -1)
        return wrap(quotient if root == "div" else n[0] - n[1] * quotient, type_)
    if root == "abs":
        return wrap(abs(n[0]), type_)
    if root == "neg":
        return wrap(-n[0], type_)
    if root in ("min", "max"):
        if ".relu" in opcode:
            a, b = signed(x[0], 32), signed(x[1], 32)
            return max(0, min(a, b) if root == "min" else max(a, b))
        return wrap(min(n[0], n[1]) if root == "min" else max(n[0], n[1]), type_)
    if root == "popc":
        return bin(x[0]).count("1")
    if root == "clz":
        return WIDTH[type_] - x[0].bit_length()
    if root == "bfind":
        return _bfind(opcode, g, x[0])
    if root == "brev":
        return int(f"{x[0]:0{WIDTH[type_]}b}"[::-1], 2)
    if root == "bfe":
        return _bfe(type_, *x)
    if root == "bfi":
        return _bfi(type_, *x)
    if root == "bmsk":
        return _bmsk(g["M"], *x)
    if root == "szext":
        return _szext(type_, g["M"], *x)
    if root in ("dp4a", "dp2a"):
        return _dot(opcode, g, *x)
    if root == "and":
        return x[0] & x[1]
    if root == "or":
        return x[0] | x[1]
    if root == "xor":
        return x[0] ^ x[1]
    if root == "not":
        return x[0] ^ ((1 << WIDTH[type_]) - 1)
    if root == "cnot":
        return int(x[0] == 0)
    if root == "lop3":
        result = 0
        for i in range(32):
            result |= bit(x[3], bit(x[0], i) << 2 | bit(x[1], i) << 1 | bit(x[2], i)) << i
        return result
    if root in ("shl", "shr"):
        amount = min(x[1], WIDTH[type_])
        return wrap(x[0] << amount if root == "shl" else n[0] >> amount, type_)
    if root == "shf":
        amount = x[2] & 31 if g["M"] == "wrap" else min(x[2], 32)
        if g["D"] == "l":
            return (x[1] << amount | x[0] >> (32 - amount)) & 0xFFFFFFFF
        return (x[1] << (32 - amount) | x[0] >> amount) & 0xFFFFFFFF
    if root == "prmt":
        return _prmt(g["M"], *x)
    if root == "selp":
        return x[0] if x[2] else x[1]
    if root == "slct":
        if opcode.endswith("s32"):
            return x[0] if signed(x[2], 32) >= 0 else x[1]
        c = _flush(x[2], g)
        return x[0] if not F32.is_nan(c) and (F32.is_zero(c) or not F32.is_negative(c)) else x[1]
    raise NotImplementedError(opcode)
