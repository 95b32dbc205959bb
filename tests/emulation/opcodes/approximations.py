"""The exact values behind the .approx and .full forms, to 60 digits: by series and by the arithmetic of `decimal`."""

import decimal
from fractions import Fraction

from exact_float import CANONICAL_HALF_NAN, CANONICAL_NAN, F32, NAN

_DIGITS = decimal.Context(prec=160, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
_SMALL = decimal.Decimal(10) ** -70


def _decimal(value):
    return _DIGITS.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))


def _arctangent_of_inverse(n):
    """Gregory's series."""
    with decimal.localcontext(_DIGITS):
        total = term = decimal.Decimal(1) / n
        k = 1
        while abs(term) > decimal.Decimal(10) ** -150:
            term = -term / (n * n)
            k += 2
            total += term / k
        return total


# Machin's formula
_PI = _DIGITS.multiply(
    decimal.Decimal(4),
    _DIGITS.subtract(
        _DIGITS.multiply(decimal.Decimal(4), _arctangent_of_inverse(5)), _arctangent_of_inverse(239)
    ),
)


def _sine(x, shift):
    """The sine of x + shift * pi / 2."""
    with decimal.localcontext(_DIGITS):
        x = _decimal(x)
        quarters = (x / (_PI / 2)).to_integral_value()
        x -= quarters * (_PI / 2)
        quadrant = (int(quarters) + shift) % 4
        # sin x, or cos x: the Taylor series on [-pi/4, pi/4]
        term = x if quadrant % 2 == 0 else decimal.Decimal(1)
        k = 1 if quadrant % 2 == 0 else 0
        total = term
        while abs(term) > _SMALL * _SMALL:
            term = -term * x * x / ((k + 1) * (k + 2))
            k += 2
            total += term
        return -total if quadrant >= 2 else total


def _power_of_two(x):
    """2^x; beyond all formats at the ends."""
    x = max(min(x, Fraction(5000)), Fraction(-5000))
    with decimal.localcontext(_DIGITS):
        return (_decimal(x) * decimal.Decimal(2).ln()).exp()


def _hyperbolic_tangent(x):
    x = max(min(x, Fraction(200)), Fraction(-200))
    with decimal.localcontext(_DIGITS):
        doubled = (2 * _decimal(x)).exp()
        return (doubled - 1) / (doubled + 1)


def _binary_logarithm(x):
    with decimal.localcontext(_DIGITS):
        return _decimal(x).ln() / decimal.Decimal(2).ln()


def _of_finite(root, f, a):
    """(exact value, or None for NaN or a string of bits) of a finite operand that is no pole."""
    x = f.value(a)
    if root in ("sqrt", "rsqrt"):
        if x < 0:
            return None
        with decimal.localcontext(_DIGITS):
            value = _decimal(x).sqrt()
            return value if root == "sqrt" else 1 / value
    if root == "lg2":
        return _binary_logarithm(x) if x > 0 else None
    if root == "ex2":
        return _power_of_two(x)
    if root == "tanh":
        return _hyperbolic_tangent(x)
    return _sine(x, 0 if root == "sin" else 1)


def _of_infinite(root, f, negative):
    """The bits of the result at an infinity, None for NaN."""
    one = f.emax << f.fraction_bits
    if root in ("sin", "cos") or (negative and root in ("sqrt", "rsqrt", "lg2")):
        return None
    if root == "rsqrt" or (root == "ex2" and negative):
        return 0
    if root == "tanh":
        return one | (f.sign_bit if negative else 0)
    return f.infinity


def _of_zero(root, f, sign):
    one = f.emax << f.fraction_bits
    return {
        "sqrt": sign, "rsqrt": sign | f.infinity, "lg2": f.sign_bit | f.infinity, "ex2": one, "tanh": sign, "sin": sign,
        "cos": one,
    }[root]  # fmt: skip


def approximate(root, f, a):
    """The nearest number to the function of a."""
    nan = {16: CANONICAL_HALF_NAN, 32: CANONICAL_NAN, 64: NAN}[f.width]
    negative = f.is_negative(a)
    if f.is_nan(a):
        return nan
    if f.is_infinite(a):
        bits = _of_infinite(root, f, negative)
    elif f.is_zero(a):
        bits = _of_zero(root, f, f.sign_bit if negative else 0)
    else:
        value = _of_finite(root, f, a)
        bits = None if value is None else f.round(Fraction(value), "rn", negative)
    return nan if bits is None else bits


def divide_approximately(f, a, b, divide):
    """div.approx: over 2^126 < |b| < 2^128 a finite a gives zero and an infinite one NaN."""
    large = (F32.emax + 126) << F32.fraction_bits
    if large < b & ~f.sign_bit < f.infinity and not f.is_nan(a):
        return CANONICAL_NAN if f.is_infinite(a) else (a ^ b) & f.sign_bit
    return divide(a, b)


def gross(root, f, a, unit):
    """rcp and rsqrt of the upper half of an f64: the low half is dropped, subnormal numbers are zeros, and the result is
    rounded to 20 bits of fraction."""
    if f.is_nan(a):
        return NAN
    a = f.flush(a & ~0xFFFFFFFF)
    if root == "rcp":
        exact = unit.div(f.emax << f.fraction_bits, a, "rn")
    else:
        exact = approximate("rsqrt", f, a)
    if exact == NAN or f.is_infinite(exact):
        return exact
    return f.flush((exact + (1 << 31)) & ~0xFFFFFFFF)
