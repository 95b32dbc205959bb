#!/usr/bin/env python3
"""Writes kernels/src/random/discrete_gaussian_table.h: the distribution of discrete_gaussian_fill.

Needs mpmath. Entry k is round(2^124 P(|X| >= k)) for P(X = x) proportional to exp(-x^2 / (2 sigma^2))
over all integers x, in words of 31 bits; k goes from 1 as long as the entry is not 0.
kernels_small_polynomial_test proves each entry in arithmetic of its own.

Usage: discrete_gaussian_table.py > discrete_gaussian_table.h
"""

from mpmath import exp, mp, mpf, nint

SIGMA = "3.19"
BITS = 124
WORD = 31

mp.dps = 120


def thresholds():
    variance = mpf(SIGMA) ** 2
    weights = [
        exp(-(mpf(x) ** 2) / (2 * variance)) for x in range(200)
    ]  # the next are below 10^-850
    total = weights[0] + 2 * sum(weights[1:])
    k = 1
    while True:
        entry = int(nint(2 * sum(weights[k:]) / total * mpf(2) ** BITS))
        if entry == 0:
            return
        yield entry
        k += 1


def main():
    rows = []
    for entry in thresholds():
        words = [entry >> (WORD * j) & (2**WORD - 1) for j in range(BITS // WORD)]
        rows.append("    {" + ", ".join(f"0x{word:08x}" for word in words) + "},\n")
    print(
        f"""#pragma once

// Made by tests/reference/discrete_gaussian_table.py.

#include <cstdint>

namespace velum::kernels {{

/// Row k - 1 holds round(2^{BITS} P(|X| >= k)), k = 1 .. {len(rows)}, in words of {WORD} bits, the lowest first, for
/// P(X = x) proportional to exp(-x^2 / (2 sigma^2)), sigma = {SIGMA}. For k = {len(rows) + 1} it would be 0.
inline constexpr int kDiscreteGaussianCut = {len(rows)};  ///< The largest |x|.
inline constexpr std::int32_t kDiscreteGaussianThresholds[kDiscreteGaussianCut][{BITS // WORD}] = {{
{"".join(rows)}}};

}}  // namespace velum::kernels"""
    )


if __name__ == "__main__":
    main()
