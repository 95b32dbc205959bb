#!/usr/bin/env python3
"""Writes rns_answers.h: digests of what the operations on residues give, for every backend to meet.

Integers of Python and nothing else: residues by %, base conversion, division and extension through the
whole number by the Chinese remainder theorem. Polynomials are kept as coefficients; where an operation
takes or gives NTT form the test transforms.

Usage: rns_answers.py > rns_answers.h     (a few seconds)
"""

import hashlib
from math import prod

DEGREE = 256
POLYS = 2
# Primes 1 modulo 2^18, of 20 to 30 bits; tests/kernels/rns_fixture.h has the same.
MODULI = [1073479681, 1068236801, 1062469633, 786433, 1056440321, 536608769, 7340033, 1056178177]
MASK = (1 << 64) - 1


def words(seed, count):
    """SplitMix64 (Steele, Lea and Flood, 2014)."""
    state = seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def polynomials(seed, moduli, polys=POLYS):
    """[polys][limbs][N]; word after word, each reduced by its limb's modulus."""
    source = words(seed, polys * len(moduli) * DEGREE)
    return [[[next(source) % q for _ in range(DEGREE)] for q in moduli] for _ in range(polys)]


def digest(values):
    flat = b"".join(x.to_bytes(4, "little") for poly in values for limb in poly for x in limb)
    return hashlib.sha256(flat).hexdigest()


def each(operation, moduli, *operands):
    return [
        [
            [operation(*x) % q for x in zip(*limbs, strict=True)]
            for q, *limbs in zip(moduli, *polys, strict=True)
        ]
        for polys in zip(*operands, strict=True)
    ]


def crt(residues, moduli):
    """The number in [0, Q)."""
    whole = prod(moduli)
    return (
        sum(
            x * pow(whole // q, -1, q) % q * (whole // q)
            for x, q in zip(residues, moduli, strict=True)
        )
        % whole
    )


def numbers(poly, moduli):
    return [crt(residues, moduli) for residues in zip(*poly, strict=True)]


def centred(x, modulus):
    return x - modulus if 2 * x >= modulus else x


def uncorrected(residues, moduli):
    """x + e Q: the sum over the basis without its reduction modulo Q."""
    whole = prod(moduli)
    return sum(
        x * pow(whole // q, -1, q) % q * (whole // q) for x, q in zip(residues, moduli, strict=True)
    )


def residues_of(values, moduli):
    return [[x % q for x in values] for q in moduli]


def automorphism(limb, q, element):
    out = [0] * DEGREE
    for i, x in enumerate(limb):
        k = i * element % (2 * DEGREE)
        out[k % DEGREE] = (-x if k >= DEGREE else x) % q
    return out


def rounded(x, divisor):
    return (2 * x + divisor) // (2 * divisor)  # the divisor is odd: there are no ties


def main():
    a, b, c = (polynomials(seed, MODULI) for seed in (1, 2, 3))
    factors = [next(words(100 + i, 1)) % q for i, q in enumerate(MODULI)]
    answers = {
        "kAdd": each(lambda x, y: x + y, MODULI, a, b),
        "kSubtract": each(lambda x, y: x - y, MODULI, a, b),
        "kNegate": each(lambda x: -x, MODULI, a),
        "kMultiply": each(lambda x, y: x * y, MODULI, a, b),
        "kMultiplyAccumulate": each(lambda x, y, z: z + x * y, MODULI, a, b, c),
        "kMultiplyFactors": [
            [[x * f % q for x in limb] for limb, f, q in zip(poly, factors, MODULI, strict=True)]
            for poly in a
        ],
        "kMultiplyFactorsAccumulate": [
            [
                [(z + x * f) % q for x, z in zip(p, r, strict=True)]
                for p, r, f, q in zip(*limbs, factors, MODULI, strict=True)
            ]
            for limbs in zip(a, c, strict=True)
        ],
        "kAddConstants": [
            [[(x + f) % q for x in limb] for limb, f, q in zip(poly, factors, MODULI, strict=True)]
            for poly in a
        ],
    }
    digits = polynomials(4, MODULI, 3)
    keys = polynomials(5, MODULI, 6)
    answers["kInnerProduct"] = [
        each(lambda *x: sum(x[d] * x[3 + d] for d in range(3)), MODULI,
             *([poly] for poly in digits), *([keys[2 * d + k]] for d in range(3)))[0]
        for k in range(2)
    ]  # fmt: skip
    for element in (5, 2 * DEGREE - 1):
        answers[f"kAutomorphism{element}"] = [
            [automorphism(limb, q, element) for limb, q in zip(poly, MODULI, strict=True)]
            for poly in a
        ]
    source, target = MODULI[:3], MODULI[3:]
    d = polynomials(6, source)
    whole = prod(source)
    answers["kConversion"] = [
        residues_of([uncorrected(r, source) for r in zip(*poly, strict=True)], target) for poly in d
    ]
    answers["kCentredConversion"] = [
        residues_of([centred(x, whole) for x in numbers(poly, source)], target) for poly in d
    ]
    # The last three moduli are dropped, then the last one alone.
    for name, count in (("kDivision", 3), ("kRescale", 1)):
        kept, dropped = MODULI[:-count], MODULI[-count:]
        divisor = prod(dropped)
        answers[name] = [
            residues_of([rounded(x, divisor) for x in numbers(poly, MODULI)], kept) for poly in a
        ]
    # The digit is limbs 2 to 4.
    digit = MODULI[2:5]
    e = polynomials(7, digit)
    answers["kExtension"] = [
        residues_of([uncorrected(r, digit) for r in zip(*poly, strict=True)], MODULI) for poly in e
    ]
    print("// Written by rns_answers.py; not to be edited.\n#pragma once\n")
    print(
        "/// SHA-256 of the residues as little-endian words, polynomial by polynomial, limb by limb."
    )
    print("namespace velum::testing::rns_answers {\n")
    for name, values in answers.items():
        print(f'inline constexpr const char* {name} =\n    "{digest(values)}";')
    print("\n}  // namespace velum::testing::rns_answers")


main()
