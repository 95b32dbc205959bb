#!/usr/bin/env python3
"""Prints the SHA-256 that tests/kernels/integer_noise_test.cpp expects.

Written from RFC 8439 and docs/numerics.md, "Integer noise", in integers and fractions of any size.
Shares no code with velum and needs no package.

Usage: integer_noise_digests.py     (a few seconds)
"""

import hashlib
import math
from fractions import Fraction

from sampling_digests import INTEGER, keystream_block, nonce_of

INTEGER_NOISE = 14  # Purpose
DISCRETE_GAUSSIAN, SKELLAM = 1, 2  # SubstreamUse


def substream_key(step, tensor):
    return keystream_block(nonce_of(INTEGER_NOISE, INTEGER, step, tensor), 2**32 - 1)[:8]


class Bits:
    """The bits of one element's substream, as one number that grows."""

    def __init__(self, key, use, element):
        self.key, self.use, self.element = key, use, element
        self.blocks, self.number, self.length = 0, 0, 0

    def take(self, count):
        while self.length < count:
            for word in keystream_block([self.blocks, 0, self.use], self.element, self.key):
                self.number |= word << self.length
                self.length += 32
            self.blocks += 1
        taken = self.number & ((1 << count) - 1)
        self.number >>= count
        self.length -= count
        return taken

    def coin(self, probability):
        """True with the probability, by digits of base 256."""
        if probability >= 1:
            return True
        while probability > 0:
            scaled = 256 * probability - self.take(8)
            if scaled < 0:
                return False
            if scaled >= 1:
                return True
            probability = scaled
        return False

    def below(self, bound):
        width = (bound - 1).bit_length()
        while True:
            x = self.take(width)
            if x < bound:
                return x


def exp_minus_at_most_one(bits, x, coin=lambda: True):
    k = 1
    while bits.coin(Fraction(x, k)) and coin():
        k += 1
    return k % 2 == 1


def exp_minus(bits, x):
    while x >= 1:
        if not exp_minus_at_most_one(bits, 1):
            return False
        x -= 1
    return exp_minus_at_most_one(bits, x)


def exp_minus_coin(bits, x, coin):
    pieces = max(1, math.ceil(x))
    return all(exp_minus_at_most_one(bits, Fraction(x) / pieces, coin) for _ in range(pieces))


def log_scale_of(square):
    """The largest k >= 0 with 4^k / 2 <= square."""
    k = 0
    while Fraction(4 ** (k + 1), 2) <= square:
        k += 1
    return k


def laplace(bits, k):
    u = bits.take(k)
    if not exp_minus_at_most_one(bits, Fraction(u, 2**k)):
        return None
    v = 0
    while exp_minus_at_most_one(bits, 1):
        v += 1
    negative = bits.take(1) == 1
    y = u + 2**k * v
    if negative and y == 0:
        return None
    return -y if negative else y


def discrete_gaussian(bits, variance):
    k = log_scale_of(variance)
    while True:
        y = laplace(bits, k)
        if y is None:
            continue
        if exp_minus(bits, (abs(y) - variance / 2**k) ** 2 / (2 * variance)):
            return y


def proportional_index(bits, n):
    a = bits.below(n + 1)
    b = bits.below(n)
    return a if b < a else n - a


def ceil_16(x):
    return Fraction(math.ceil(x * 2**16), 2**16)


def tail_factor(bits, k, ratio):
    step = 1
    while bits.take(2) == 0:
        if not bits.coin(Fraction(4, step * 2**k)):
            return False
        step += 1
    return bits.coin(Fraction(4, 3) * ratio)


def integer_poisson(bits, m):
    k = max(2, log_scale_of(m))
    t = 2**k
    c = ceil_16(Fraction(m, 2 * t**2)) + max(
        ceil_16(Fraction(m, 2 * t**3)),
        ceil_16(Fraction(1, 2 * t)) + ceil_16(Fraction(1, 8 * m)),
    )
    while True:
        y = laplace(bits, k)
        if y is None or y < -m:
            continue
        if y >= 0:
            n = min(y, m // 2)
            exponent = Fraction(n * (n + 1), 2 * m) - Fraction(
                n * (n + 1) * (2 * n + 1), 12 * m * m
            )
            if not exp_minus(bits, exponent - Fraction(n, t) + c):
                continue

            def coin(n=n):
                i = proportional_index(bits, n)
                if not bits.coin(Fraction(i, n)) or not bits.coin(Fraction(i, m)):
                    return False
                j = 1
                while bits.coin(Fraction(i * (j + 2), m * (j + 3))):
                    j += 1
                return j % 2 == 1

            if n > 0 and not exp_minus_coin(bits, Fraction(n * n * (n + 1), 6 * m * m), coin):
                continue
            ratios = [Fraction(m, m + i) for i in range(n + 1, y + 1)]
        else:
            n = min(-y, (m + 1) // 2)
            if not exp_minus(bits, Fraction(n * (n - 1), 2 * m) - Fraction(n, t) + c):
                continue

            def coin(n=n):
                i = proportional_index(bits, n - 1)
                if not bits.coin(Fraction(i, n)):
                    return False
                j = 1
                while bits.take(1):
                    if not bits.coin(Fraction(2 * i * (j + 1), m * (j + 2))):
                        return False
                    j += 1
                return True

            if n > 1 and not exp_minus_coin(bits, Fraction(n * n * (n - 1), 2 * m * m), coin):
                continue
            ratios = [Fraction(m - i, m) for i in range(n, -y)]
        if all(tail_factor(bits, k, ratio) for ratio in ratios):
            return m + y


def small_poisson(bits, mean):
    """Of a mean of at most 1/2."""
    while True:
        count, kept = 0, True
        while bits.coin(mean):
            count += 1
            kept = kept and bits.coin(Fraction(1, count))
        if kept:
            return count


def skellam(bits, variance):
    mean = variance / 2
    whole = math.floor(mean) if mean >= 3 else 0
    rest = mean - whole
    pieces = (2 if rest else 0) if whole else math.ceil(2 * rest)

    def poisson():
        total = sum(small_poisson(bits, rest / pieces) for _ in range(pieces))
        return total + (integer_poisson(bits, whole) if whole else 0)

    first = poisson()
    return first - poisson()


def show(name, sampler, use, variance, count):
    key = substream_key(6, 7)
    first_element = 2**31 - 5
    draws = [sampler(Bits(key, use, first_element + i), variance) for i in range(count)]
    data = b"".join(draw.to_bytes(8, "little", signed=True) for draw in draws)
    print(f"{name:18} {str(variance):24} {hashlib.sha256(data).hexdigest()}  {draws[:4]}")


def main():
    for variance in (Fraction(1, 50), Fraction(100, 7), Fraction(10**9 + 7), Fraction(2**64 - 1)):
        show("discrete_gaussian", discrete_gaussian, DISCRETE_GAUSSIAN, variance, 2000)
    for variance in map(Fraction, ("1/3", "22/7", "22/3", 2**40 + 1, 2**60)):
        show("skellam", skellam, SKELLAM, variance, 2000)


if __name__ == "__main__":
    main()
