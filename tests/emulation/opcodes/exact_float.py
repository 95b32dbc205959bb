"""IEEE 754 arithmetic from its definition: exact rationals, rounded once. Shares nothing with a floating-point unit."""

from fractions import Fraction
from math import isqrt


class Format:
    def __init__(self, width, precision, exponent_bits):
        self.width = width
        self.fraction_bits = precision - 1
        self.emax = (1 << (exponent_bits - 1)) - 1
        self.emin = 1 - self.emax
        self.sign_bit = 1 << (width - 1)
        self.infinity = (2 * self.emax + 1) << self.fraction_bits
        self.largest = self.infinity - 1
        self.smallest_normal = 1 << self.fraction_bits

    def is_nan(self, bits):
        return bits & ~self.sign_bit > self.infinity

    def is_infinite(self, bits):
        return bits & ~self.sign_bit == self.infinity

    def is_negative(self, bits):
        return bool(bits & self.sign_bit)

    def is_zero(self, bits):
        return bits & ~self.sign_bit == 0

    def is_subnormal(self, bits):
        return 0 < bits & ~self.sign_bit < self.smallest_normal

    def value(self, bits):
        """The exact value of a finite number."""
        magnitude = bits & ~self.sign_bit
        exponent = magnitude >> self.fraction_bits
        fraction = magnitude & (self.smallest_normal - 1)
        if exponent == 0:
            exponent = 1
        else:
            fraction |= self.smallest_normal
        scaled = Fraction(fraction) * Fraction(2) ** (exponent - 1 + self.emin - self.fraction_bits)
        return -scaled if self.is_negative(bits) else scaled

    def flush(self, bits):
        return bits & self.sign_bit if self.is_subnormal(bits) else bits

    def round(self, value, mode, negative_zero=False):
        """The bits of an exact value, rounded. `negative_zero`: the sign of an exact zero."""
        if value == 0:
            return self.sign_bit if negative_zero else 0
        negative = value < 0
        magnitude = -value if negative else value
        # The unit in the last place at this magnitude, never below that of subnormal numbers.
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if Fraction(2) ** exponent > magnitude:
            exponent -= 1
        exponent = max(exponent, self.emin)
        ulp = Fraction(2) ** (exponent - self.fraction_bits)
        count = magnitude / ulp
        units = count.numerator // count.denominator
        rest = count - units
        half = Fraction(1, 2)
        if mode == "rna":  # ties away from zero
            units += rest >= half
        elif mode == "rn":
            units += rest > half or (rest == half and units & 1 == 1)
        elif mode == "rp":
            units += rest > 0 and not negative
        elif mode == "rm":
            units += rest > 0 and negative
        else:
            assert mode == "rz"
        sign = self.sign_bit if negative else 0
        # units * ulp is representable, or one step above the largest number.
        bits = units + ((exponent - self.emin) << self.fraction_bits)
        if bits >= self.infinity:
            to_infinity = (
                mode in ("rn", "rna")
                or (mode == "rp" and not negative)
                or (mode == "rm" and negative)
            )
            bits = self.infinity if to_infinity else self.largest
        return sign | bits

    def round_root(self, value, mode):
        """The square root of a positive exact value."""
        scale = 4 ** (self.fraction_bits + 8 + max(0, -2 * self.emin))
        scaled = value * scale
        root = isqrt(scaled.numerator // scaled.denominator)
        exact = root * root == scaled
        # A little more than the root stands for what lies above it; no tie is that close.
        approximation = Fraction(2 * root + (0 if exact else 1), 2) / isqrt(scale)
        return self.round(approximation, mode)


F16 = Format(16, 11, 5)
BF16 = Format(16, 8, 8)
TF32 = Format(19, 11, 8)
F32 = Format(32, 24, 8)
F64 = Format(64, 53, 11)
NAN = "nan"  # any NaN
UNDOCUMENTED = "undocumented"  # whether .ftz flushes it
CANONICAL_NAN = 0x7FFFFFFF
CANONICAL_HALF_NAN = 0x7FFF


class Arithmetic:
    """Operations on bits; a NaN result is `nan`."""

    def __init__(self, format_, nan):
        self.f = format_
        self.nan = nan

    def add(self, a, b, mode):
        f = self.f
        if f.is_nan(a) or f.is_nan(b):
            return self.nan
        if f.is_infinite(a) or f.is_infinite(b):
            if f.is_infinite(a) and f.is_infinite(b) and a != b:
                return self.nan
            return a if f.is_infinite(a) else b
        total = f.value(a) + f.value(b)
        # x + (-x) is +0, or -0 rounding down; a sum of equal zeros keeps their sign.
        if f.is_zero(a) and f.is_zero(b) and f.is_negative(a) == f.is_negative(b):
            return a
        return f.round(total, mode, negative_zero=mode == "rm")

    def mul(self, a, b, mode):
        f = self.f
        negative = f.is_negative(a) != f.is_negative(b)
        if f.is_nan(a) or f.is_nan(b):
            return self.nan
        if f.is_infinite(a) or f.is_infinite(b):
            if f.is_zero(a) or f.is_zero(b):
                return self.nan
            return f.infinity | (f.sign_bit if negative else 0)
        return f.round(f.value(a) * f.value(b), mode, negative_zero=negative)

    def fma(self, a, b, c, mode):
        f = self.f
        negative = f.is_negative(a) != f.is_negative(b)
        if f.is_nan(a) or f.is_nan(b) or f.is_nan(c):
            return self.nan
        if f.is_infinite(a) or f.is_infinite(b):
            if f.is_zero(a) or f.is_zero(b):
                return self.nan
            if f.is_infinite(c) and f.is_negative(c) != negative:
                return self.nan
            return f.infinity | (f.sign_bit if negative else 0)
        if f.is_infinite(c):
            return c
        product = f.value(a) * f.value(b)
        total = product + f.value(c)
        if total == 0 and product == 0 and negative == f.is_negative(c):
            return f.sign_bit if negative else 0
        return f.round(total, mode, negative_zero=mode == "rm")

    def div(self, a, b, mode):
        f = self.f
        negative = f.is_negative(a) != f.is_negative(b)
        sign = f.sign_bit if negative else 0
        if f.is_nan(a) or f.is_nan(b):
            return self.nan
        if f.is_infinite(a):
            return self.nan if f.is_infinite(b) else f.infinity | sign
        if f.is_infinite(b):
            return sign
        if f.is_zero(b):
            return self.nan if f.is_zero(a) else f.infinity | sign
        return f.round(f.value(a) / f.value(b), mode, negative_zero=negative)

    def sqrt(self, a, mode):
        f = self.f
        if f.is_nan(a) or (f.is_negative(a) and not f.is_zero(a)):
            return self.nan
        if f.is_zero(a) or f.is_infinite(a):
            return a
        return f.round_root(f.value(a), mode)
