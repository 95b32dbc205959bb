"""What each instruction does, written from the definitions in the PTX ISA manual, on Python integers.

`expected(opcode, groups, operands)` takes the operands as unsigned integers (bit patterns) and gives the bits of the
result, or NAN for any NaN. It shares nothing with runtime/operations.h.
"""

from exact_float import CANONICAL_NAN, F32, F64, NAN, Arithmetic

WIDTH = {
    "pred": 1, "u8": 8, "s8": 8, "u16": 16, "s16": 16, "b16": 16, "u32": 32, "s32": 32, "b32": 32, "f32": 32,
    "u64": 64, "s64": 64, "b64": 64, "f64": 64,
}  # fmt: skip
A32 = Arithmetic(F32, CANONICAL_NAN)
A64 = Arithmetic(F64, NAN)


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


def _format(type_):
    return F32 if type_ == "f32" else F64


def _saturate(bits, g):
    if g.get("sat") != "true" or bits == NAN:
        return bits
    if F32.is_nan(bits) or F32.is_negative(bits):
        return 0
    return min(bits, 0x3F800000)


def _flush(bits, g):
    return F32.flush(bits) if g.get("ftz") == "true" else bits


def _arithmetic(opcode, g, x):
    """add, sub, mul, fma, mad, div, rcp, sqrt on floats."""
    is_f32 = opcode.endswith("f32")
    unit, f = (A32, F32) if is_f32 else (A64, F64)
    mode = g["R"]
    x = [_flush(v, g) for v in x]
    root = opcode.split(".")[0]
    one = f.emax << f.fraction_bits
    if root == "add":
        result = unit.add(x[0], x[1], mode)
    elif root == "sub":
        result = unit.add(x[0], x[1] ^ f.sign_bit, mode)
    elif root == "mul":
        result = unit.mul(x[0], x[1], mode)
    elif root in ("fma", "mad"):
        result = unit.fma(x[0], x[1], x[2], mode)
    elif root == "div":
        result = unit.div(x[0], x[1], mode)
    elif root == "rcp":
        result = unit.div(one, x[0], mode)
    else:
        result = unit.sqrt(x[0], mode)
    return _saturate(_flush(result, g), g)


def _order(bits, f):
    """A key in whose order -0 is less than +0; for numbers."""
    magnitude = bits & ~f.sign_bit
    return -magnitude - 1 if f.is_negative(bits) else magnitude


def _extremum(opcode, g, x):
    f = _format(opcode.split(".")[-1])
    x = [_flush(v, g) for v in x]
    nan = CANONICAL_NAN if f is F32 else NAN
    numbers = [v for v in x if not f.is_nan(v)]
    if not numbers or (g.get("NaN") == "true" and len(numbers) < 2):
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
    is_float = {"f32", "f64"}
    if target not in is_float and source not in is_float:
        value = number(a, source)
        return clamp(value, target) if "sat" in parts else wrap(value, target)
    if source not in is_float:
        value = number(a, source)
        f = _format(target)
        from fractions import Fraction

        return _saturate(f.round(Fraction(value), g["R"]), g)
    f = _format(source)
    if source == "f32":
        a = _flush(a, g)
    if target not in is_float:
        if f.is_nan(a):
            zero = source != "f64" and WIDTH[target] != 64
            return 0 if zero else 1 << WIDTH[target] - 1
        low, high = bounds(target)
        if f.is_infinite(a):
            return wrap(low if f.is_negative(a) else high, target)
        return clamp(_to_integral(f.value(a), g["R"]), target)
    to = _format(target)
    if f.is_nan(a):
        return (
            0 if g.get("sat") == "true" or "sat" in parts else (CANONICAL_NAN if to is F32 else NAN)
        )
    sat = {"sat": "true" if "sat" in parts else "false"}
    sign = to.sign_bit if f.is_negative(a) else 0
    if f.is_infinite(a):
        return _saturate(to.infinity | sign, sat)
    mode = g.get("R") or "rn"
    if mode.endswith("i"):
        return _saturate(
            _flush_if(to, to.round(_whole(f.value(a), mode), "rn", f.is_negative(a)), g), sat
        )
    return _saturate(to.round(f.value(a), mode, f.is_negative(a)), sat)


def _whole(value, mode):
    from fractions import Fraction

    return Fraction(_to_integral(value, mode))


def _flush_if(f, bits, g):
    return _flush(bits, g) if f is F32 else bits


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
    if type_ in ("f32", "f64"):
        f = _format(type_)
        a, b = (_flush(v, g) for v in x[:2])
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
    one = 0x3F800000 if g["D"] == "f32" else 0xFFFFFFFF
    return one if first else 0, 0


def _holds(compare, a, b):
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[
        compare
    ]


def expected(opcode, g, x):
    root = opcode.split(".")[0]
    type_ = g.get("T")
    last = opcode.split(".")[-1]
    is_float = last in ("f32", "f64")
    n = [number(v, type_) for v in x] if type_ and type_ not in ("f32", "f64", "pred") else x
    if root in ("add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt") and is_float:
        return _arithmetic(opcode, g, x)
    if root in ("min", "max") and is_float:
        return _extremum(opcode, g, x)
    if root in ("neg", "abs") and is_float:
        f = _format(last)
        a = _flush(x[0], g)
        if f.is_nan(a):
            return NAN
        return a ^ f.sign_bit if root == "neg" else a & ~f.sign_bit
    if root == "copysign":
        f = _format(last)
        return x[1] & ~f.sign_bit | x[0] & f.sign_bit
    if root == "testp":
        f = _format(last)
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
