"""The operands of the tests: chosen for their edges."""

from fractions import Fraction

from exact_float import BF16, F16, F32, TF32
from ptx_definitions import FORMATS, PAIRS, WIDTH

CASES = 96

_INTEGER_EDGES = [
    0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 0x7FFF, 0x8000,
    0xFFFF, 0x10000, 259, 2049, 2051, 65504, 65519, 65520, 0x7FFFFF, 0x800000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32,
    0x7FFFFFFFFFFFFFFF, 1 << 63, (1 << 63) + 1, (1 << 64) - 2, (1 << 64) - 1, 0x0123456789ABCDEF, 0xF0E1D2C3B4A59687,
]  # fmt: skip
_VALUES = [
    0.0, 1.0, 1.5, 2.0, 2.5, 0.5, 0.25, 3.5, 0.1, 3.14159265358979, 100.5, 127.0, 127.5, 128.0, 255.0, 255.5, 256.0,
    32767.0, 32768.0, 65535.5, 2.0**23, 2.0**23 + 1, 2.0**24, 2.0**31, 2.0**31 - 128, 2.0**32, 2.0**32 - 256, 2.0**52 + 1,
    2.0**53, 2.0**63, 2.0**63 - 1024, 2.0**64, 1e-3, 1e10, 1e30, 1e-30,
]  # fmt: skip


def float_edges(f):
    values = [f.round(Fraction(v), "rn") for v in _VALUES]
    one = f.emax << f.fraction_bits
    nan = f.infinity | 1 << f.fraction_bits - 1
    values += [
        1, 2, 3, f.smallest_normal - 1, f.smallest_normal, f.smallest_normal + 1, f.largest, f.largest - 1, f.infinity,
        nan, nan | 5, one + 1, one - 1, one + 3, (f.emin + f.emax + 1) << f.fraction_bits,
    ]  # fmt: skip
    # Halfway between two numbers of each narrower format, and next to that: near 1, at the ends of the subnormal and of
    # all numbers.
    for narrow in (F16, BF16, TF32, F32):
        if narrow.fraction_bits < f.fraction_bits and narrow.emax <= f.emax:
            top = narrow.emax << narrow.fraction_bits
            for below in (top, top + 1, 0, 1, narrow.smallest_normal - 1, narrow.largest - 1):
                tie = f.round((narrow.value(below) + narrow.value(below + 1)) / 2, "rn")
                values += [tie - 1, tie, tie + 1]
            largest = narrow.value(narrow.largest)
            tie = f.round(largest + (largest - narrow.value(narrow.largest - 1)) / 2, "rn")
            values += [tie - 1, tie, tie + 1]
    return values + [v | f.sign_bit for v in values]


_FLOAT_EDGES = {name: float_edges(f) for name, f in FORMATS.items()}


def draw(generator, type_, near):
    """An operand: mostly from the edges, some at random, some close to the operand before."""
    if type_ in PAIRS:
        width = WIDTH[PAIRS[type_]]
        near = [None, None] if near is None else [near % (1 << width), near >> width]
        low, high = (draw(generator, PAIRS[type_], half) for half in near)
        return high << width | low
    width = WIDTH[type_]
    kind = generator.random()
    if type_ in _FLOAT_EDGES:
        f = FORMATS[type_]
        if kind < 0.6:
            return generator.choice(_FLOAT_EDGES[type_])
        if kind < 0.8 and near is not None:
            return (near ^ generator.choice([0, 1, 2, 4, f.sign_bit])) % (1 << width)
        spread = min(30, f.emax - 1)
        exponent = f.emax + generator.randrange(-spread, spread + 1)
        sign = generator.choice([0, f.sign_bit])
        return sign | exponent << f.fraction_bits | generator.getrandbits(f.fraction_bits)
    if kind < 0.7:
        value = generator.choice(_INTEGER_EDGES)
        return (value if generator.random() < 0.8 else -value) % (1 << width)
    if kind < 0.8 and near is not None:
        return (near + generator.choice([-1, 0, 1])) % (1 << width)
    return generator.getrandbits(width)
