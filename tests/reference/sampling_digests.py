#!/usr/bin/env python3
"""Prints the SHA-256 that tests/kernels/{residues,small_polynomial}_test.cpp expect.

Written from RFC 8439 and the doc comments of random_stream.h, residues.h and small_polynomial.h, in
integers of any size; thresholds of the discrete Gaussian from decimal's correctly rounded exp. Shares
no code with velum and needs no package.

Usage: sampling_digests.py     (about ten seconds)
"""

import hashlib
from decimal import Decimal, getcontext

KEY = list(range(0x01020300, 0x01020308))  # eight words
EPOCH = 5
SECRET_KEY, UNIFORM, ERROR, TERNARY = 7, 8, 9, 10  # Purpose
BITS, GAUSSIAN, INTEGER, SELECTION = 0, 1, 2, 3  # DrawKind
MASK = 2**32 - 1


def quarter(x, a, b, c, d):
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[first] = (x[first] + x[second]) & MASK
        mixed = x[third] ^ x[first]
        x[third] = (mixed << bits | mixed >> (32 - bits)) & MASK


def keystream_block(nonce, counter, key=KEY):
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter, *nonce]
    x = list(state)
    for _ in range(10):
        quarter(x, 0, 4, 8, 12)
        quarter(x, 1, 5, 9, 13)
        quarter(x, 2, 6, 10, 14)
        quarter(x, 3, 7, 11, 15)
        quarter(x, 0, 5, 10, 15)
        quarter(x, 1, 6, 11, 12)
        quarter(x, 2, 7, 8, 13)
        quarter(x, 3, 4, 9, 14)
    return [(a + b) & MASK for a, b in zip(x, state)]


def nonce_of(purpose, kind, step, tensor):
    """6 bits of purpose, 2 of kind, 24 of tensor, 44 of step, 20 of key epoch."""
    packed = purpose | kind << 6 | tensor << 8 | step << 32 | EPOCH << 76
    return [packed >> 32 * i & MASK for i in range(3)]


def integers(nonce, words, count):
    """`count` integers of `words` consecutive words of keystream, the lowest word first."""
    stream = []
    for counter in range((count * words + 15) // 16):
        stream += keystream_block(nonce, counter)
    return [sum(stream[words * i + j] << 32 * j for j in range(words)) for i in range(count)]


def residues_32(nonce, q, degree):
    out = [0] * (-(-degree // 256) * 256)
    for group in range(len(out) // 256):
        for lane in range(16):
            blocks = [keystream_block(nonce, 48 * group + 16 * b + lane) for b in range(3)]
            triples = [block[3 * s : 3 * s + 3] for block in blocks for s in range(5)]
            triples.append([block[15] for block in blocks])
            for slot, (u0, u1, u2) in enumerate(triples):
                u = u0 + (u1 << 32) + (u2 << 64)
                out[256 * group + 16 * slot + lane] = u * q >> 96
    return out[:degree]


def residues_64(nonce, q, degree):
    return [u * q >> 128 for u in integers(nonce, 4, degree)]


def ternary(nonce, size):
    third = (2**64 - 1) // 3
    return [(u > third) + (u > 2 * third) - 1 for u in integers(nonce, 2, size)]


def discrete_gaussian(nonce, size):
    getcontext().prec = 100
    weights = [(-Decimal(x * x) / (2 * Decimal("3.19") ** 2)).exp() for x in range(150)]
    total = weights[0] + 2 * sum(weights[1:])
    thresholds = [
        int((2 * sum(weights[k:]) / total * 2**124).to_integral_value()) for k in range(1, 60)
    ]
    assert sum(t > 0 for t in thresholds) == 41
    out = []
    for draw in integers(nonce, 4, size):
        u = sum((draw >> 32 * j + 1 & 2**31 - 1) << 31 * j for j in range(4))
        magnitude = sum(u < t for t in thresholds)
        out.append(magnitude if draw >> 96 & 1 else -magnitude)
    return out


def fixed_weight(nonce, weight, size):
    draws = integers(nonce, 2, size)
    out = [0] * size
    for i in sorted(range(size), key=lambda i: (draws[i] >> 1, i))[:weight]:
        out[i] = -1 if draws[i] & 1 else 1
    return out


def show(name, values, bytes_each):
    data = b"".join((v % 256**bytes_each).to_bytes(bytes_each, "little") for v in values)
    print(f"{name:20} {hashlib.sha256(data).hexdigest()}")


def residues(of, moduli, polys, degree):
    """Polynomials from step 2^32 - 1 on, limbs of moduli 2, 0, 1."""
    return [
        residue
        for poly in range(polys)
        for index in (2, 0, 1)
        for residue in of(
            nonce_of(UNIFORM, INTEGER, 2**32 - 1 + poly, index), moduli[index], degree
        )
    ]


def main():
    show("uint32", residues(residues_32, [1073741789, 5, 33554393], 2, 1024), 4)
    show("uint64", residues(residues_64, [2305843009213693951, 5, 1073741789], 2, 1024), 8)
    show("ternary", ternary(nonce_of(TERNARY, BITS, 6, 7), 10000), 1)
    show("discrete_gaussian", discrete_gaussian(nonce_of(ERROR, GAUSSIAN, 6, 7), 10000), 1)
    show("fixed_weight", fixed_weight(nonce_of(SECRET_KEY, SELECTION, 6, 7), 192, 5000), 1)


if __name__ == "__main__":
    main()
