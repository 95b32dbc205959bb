"""Numbers as text, rounded to the side on which nothing is promised that does not hold."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

__all__ = ["rounded_down", "rounded_up"]


def _rounded(value: float, digits: int, rounding: str) -> str:
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        return str(float(value))
    return f"{number.quantize(Decimal(1).scaleb(-digits), rounding):f}"


def rounded_up(value: float, digits: int) -> str:
    """`value` with so many decimals, never below it: of epsilons."""
    return _rounded(value, digits, ROUND_CEILING)


def rounded_down(value: float, digits: int) -> str:
    """`value` with so many decimals, never above it: of what is left."""
    return _rounded(value, digits, ROUND_FLOOR)
