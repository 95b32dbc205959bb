#!/usr/bin/env python3
"""Prints tests/reference/distributed_noise_values.h: exact Renyi divergences of sums of discrete
Gaussians, in 50 digits, from their definition: the probabilities of a sum by convolution, the
divergence from the shifted sum by summation. Needs mpmath.

Usage: distributed_noise_values.py > distributed_noise_values.h     (about a minute)
"""

from mpmath import exp, log, mp, mpf, nstr

CASES = [
    (variance, shares, shift, order)
    for variance, shares in [(0.25, 2), (0.25, 5), (0.5, 2), (0.5, 12), (1.0, 3), (4.0, 3)]
    for shift in [1, 3]
    for order in [1.5, 2.0, 8.0]
]


def discrete_gaussian(variance, reach):
    weights = [exp(-(mpf(x) ** 2) / (2 * mpf(variance))) for x in range(-reach, reach + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def convolved(a, b):
    out = [mpf(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def main():
    mp.dps = 50
    print(
        """#pragma once

// Written by distributed_noise_values.py.

namespace velum::testing {

/// The Renyi divergence of a sum of `shares` discrete Gaussians of parameter `variance` from the
/// same shifted by `shift`.
struct DiscreteGaussianSumValue {
  double variance;
  int shares;
  int shift;
  double order;
  double divergence;
};

inline constexpr DiscreteGaussianSumValue kDiscreteGaussianSumValues[] = {"""
    )
    sums = {}
    for variance, shares, shift, order in CASES:
        if (variance, shares) not in sums:
            one = discrete_gaussian(variance, int(16 * variance**0.5) + 8)
            mass = one
            for _ in range(shares - 1):
                mass = convolved(mass, one)
            sums[variance, shares] = mass
        mass = sums[variance, shares]
        a = mpf(order)
        # Where both are of the finite tables; what is left out is below 10^-40 of the sum.
        total = sum(
            mass[i + shift] ** a * mass[i] ** (1 - a)
            for i in range(len(mass) - shift)
            if mass[i] > 0
        )
        value = log(total) / (a - 1)
        print(f"    {{{variance}, {shares}, {shift}, {order}, {nstr(value, 17)}}},")
    print(
        """};

}  // namespace velum::testing"""
    )


if __name__ == "__main__":
    main()
