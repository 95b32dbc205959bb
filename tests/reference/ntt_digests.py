#!/usr/bin/env python3
"""Writes ntt_digests.h: SHA-256 of negacyclic transforms, in Python's integers.

The transform is the textbook's: coefficients times powers of psi, a recursive transform of the even
and odd ones, and the values put in bit-reversed order.

Usage: ntt_digests.py > ntt_digests.h     (some seconds)
"""

import hashlib


def is_prime(n):
    if n < 2 or n % 2 == 0:
        return n == 2
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        if n == base:
            return True
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def largest_prime(bits, log_n):
    """Below 2^bits and 1 modulo 2 N."""
    q = (1 << bits) + 1 - (2 << log_n)
    while not is_prime(q):
        q -= 2 << log_n
    return q


def smallest_root(log_n, q):
    """The smallest x with x^N = -1."""
    x = 2
    while True:
        root = pow(x, (q - 1) >> (log_n + 1), q)
        if pow(root, 1 << log_n, q) == q - 1:
            break
        x += 1
    square = root * root % q
    smallest = root
    for _ in range(1 << log_n):
        root = root * square % q
        smallest = min(smallest, root)
    return smallest


def cyclic(a, omega, q):
    """sum_i a[i] omega^(i j) for every j, omega of order len(a)."""
    if len(a) == 1:
        return a
    even = cyclic(a[0::2], omega * omega % q, q)
    odd = cyclic(a[1::2], omega * omega % q, q)
    power = 1
    values = [0] * len(a)
    for j in range(len(even)):
        term = power * odd[j]
        values[j] = (even[j] + term) % q
        values[j + len(even)] = (even[j] - term) % q
        power = power * omega % q
    return values


def reverse_order(a, log_n):
    return [a[int(format(j, f"0{log_n}b")[::-1], 2)] for j in range(len(a))]


def forward(a, log_n, psi, q):
    twisted = [x * pow(psi, i, q) % q for i, x in enumerate(a)]
    return reverse_order(cyclic(twisted, psi * psi % q, q), log_n)


def inverse(values, log_n, psi, q):
    psi_inverse = pow(psi, -1, q)
    sums = cyclic(reverse_order(values, log_n), psi_inverse * psi_inverse % q, q)
    degree_inverse = pow(len(values), -1, q)
    return [x * degree_inverse * pow(psi_inverse, i, q) % q for i, x in enumerate(sums)]


def digest(words, word_bytes):
    return hashlib.sha256(b"".join(x.to_bytes(word_bytes, "little") for x in words)).hexdigest()


def main():
    print("// Written by ntt_digests.py; not to be edited.\n#pragma once\n")
    print("namespace velum::testing {\n")
    print("/// SHA-256 of the transforms of the words (i^3 + 7 i + 1) mod q, little-endian, q the")
    print("/// largest prime of `bits` bits that is 1 modulo 2 N.")
    print(
        "struct NttDigest {\n  int bits;\n  int log_n;\n  const char* forward;\n"
        "  const char* inverse;\n};"
    )
    print("inline constexpr NttDigest kNttDigests[] = {")
    cases = [(30, log_n) for log_n in (4, 8, 10, 11, 12, 13, 14, 15, 16, 17)]
    cases += [(61, log_n) for log_n in (4, 10, 12, 15)]
    for bits, log_n in cases:
        q = largest_prime(bits, log_n)
        psi = smallest_root(log_n, q)
        a = [(i**3 + 7 * i + 1) % q for i in range(1 << log_n)]
        values = forward(a, log_n, psi, q)
        assert inverse(values, log_n, psi, q) == a
        word_bytes = 4 if bits == 30 else 8
        print(f'    {{{bits}, {log_n}, "{digest(values, word_bytes)}",')
        print(f'     "{digest(inverse(a, log_n, psi, q), word_bytes)}"}},')
    print("};\n")
    print("}  // namespace velum::testing")


if __name__ == "__main__":
    main()
