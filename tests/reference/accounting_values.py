#!/usr/bin/env python3
"""Writes accounting_values.h: exact privacy values to compare the accountant with.

Needs mpmath. Nothing here shares a formula with velum's code where that is avoidable:

  rdp       integer order: the binomial sum in 60 digits, term by term as published (Mironov, Talwar
            and Zhang, arXiv 1908.10530, section 3.3).
            fractional order: Gauss-Legendre quadrature of the plain moment
            E[(1 - q + q exp((2 x - 1) / (2 sigma^2)))^order] in 60 digits, the 1 subtracted afterwards;
            where the published series of error functions converges, it must agree to 1e-18.
  without   the order-th moment as an integral of Gaussian hockey-stick divergences over all thresholds,
            in 30 digits beyond its size (velum integrates over the noise).
  laplace   quadrature over the three pieces of the line.
  discrete, response, skellam
            sums over outcomes as they stand. The Skellam values are exact in one dimension: what the
            published bound must be above.
  gaussian  epsilon as the root of Phi(mu/2 - e/mu) - exp(e) Phi(-mu/2 - e/mu) = delta in 60 digits.

Usage: accounting_values.py > accounting_values.h     (about ten minutes)
"""

import sys

from mpmath import (
    besseli,
    binomial,
    ceil,
    erfc,
    exp,
    floor,
    log,
    log1p,
    mp,
    mpf,
    nstr,
    pi,
    quad,
    sqrt,
)

mp.dps = 60

RATES = [1e-6, 1e-4, 256 / 6e4, 0.01, 8192 / 6e4, 0.4, 0.9]
SIGMAS = [0.3, 0.6, 1.1, 2.5, 12.0, 100.0]
INTEGERS = [2, 3, 11, 32, 59, 64, 256, 1024]
FRACTIONS = [1.01, 1.1, 1.5, 2.5, 3.9, 8.7, 10.9, 59.3]
EXTRA = [  # (q, sigma, order)
    (0.01, 2.5, 1.5),
    (0.01, 1.1, 8.7),
    (0.04, 1.5, 3.9),
    (256 / 6e4, 1.1, 10.9),
    (0.1, 4.0, 16.0),
    (0.5, 8.0, 20.0),
    (0.001, 0.8, 4.3),
    (0.4, 12.0, 58.7),
    (0.4, 12.0, 59.5),
    (0.4, 12.0, 257.5),
    (0.999, 1.0, 1.3),
    (0.999, 0.5, 7.7),
    (1e-12, 1.0, 2.2),
    (1e-12, 3.0, 4.0),
    (1e-30, 1.0, 1.7),
    (0.01, 0.1, 1.25),
    (0.01, 0.1, 6.5),
    (1e-5, 0.1, 1.25),
    (0.5, 0.05, 1.5),
    (0.01, 1000.0, 3.3),
    (1e-6, 1e4, 10.9),
    (0.2, 2.0, 4095.0),
    (0.001, 30.0, 4096.0),
]
FAR_RATES = [1e-9, 1e-3, 0.3, 0.999999]
FAR_SIGMAS = [0.1, 0.5, 1.0, 30.0, 1000.0]
FAR_ORDERS = [1.000001, 1.0001, 2.0, 65.5, 1000.5, 4097.0, 10000.0]
LAPLACE = [(s, a) for s in [0.05, 0.3, 1.0, 7.0, 1e3, 1e8] for a in [1.0001, 1.5, 2.0, 17.3, 1e4]]
RESPONSE = [
    (k, p, a)
    for k, p in [
        (2, 0.75),
        (2, 0.5000001),
        (2, 0.999),
        (2, 0.1),
        (10, 0.3),
        (10, 0.05),
        (1000, 0.9),
    ]
    for a in [1.0001, 1.5, 2.0, 17.3, 1e4]
]
DISCRETE = [
    (s, d, a)
    for s in [0.1, 0.3, 0.49, 0.5, 0.8, 3.0, 50.0]
    for d in [1, 2, 5]
    for a in [1.0001, 1.5, 2.0, 3.7, 33.3]
]
SKELLAM = [(v, d, a) for v in [0.5, 4.0, 100.0] for d in [1, 3] for a in [1.5, 2.0, 8.0, 20.0]]
WITHOUT = [
    (q, s, a) for q in [1e-9, 0.01, 0.3] for s in [0.3, 1.0, 10.0] for a in [1.01, 2.0, 8.0, 33.3]
]


def moment_minus_1_binomial(q, sigma, order):
    q, sigma = mpf(q), mpf(sigma)
    return (
        sum(
            binomial(order, i) * q**i * (1 - q) ** (order - i) * exp((i * i - i) / (2 * sigma**2))
            for i in range(order + 1)
        )
        - 1
    )


def moment_minus_1_quadrature(q, sigma, order):
    q, sigma, order = mpf(q), mpf(sigma), mpf(order)
    c = 1 / sigma

    def integrand(t):  # t = x / sigma
        ratio = 1 - q + q * exp(c * t - c * c / 2)
        return exp(-t * t / 2 + order * log(ratio)) / sqrt(2 * pi)

    reach = sqrt(2 * (60 - 2 * log(q) - 2 * log(min(c, mpf(1)))))
    low, high = -reach, order * c + reach
    pieces = int(floor((high - low) / min(mpf(1), 2 * sigma))) + 1
    points = [low + (high - low) * k / pieces for k in range(pieces + 1)]
    moment, error = quad(integrand, points, method="gauss-legendre", maxdegree=6, error=True)
    assert error < mpf(10) ** -19 * (moment - 1), (q, sigma, order, moment - 1, error)
    return moment - 1


def moment_minus_1_series(q, sigma, order):
    """The published series of error functions, or None where it converges too slowly."""
    q, sigma, order = mpf(q), mpf(sigma), mpf(order)
    z0 = sigma**2 * log(1 / q - 1) + mpf(1) / 2
    total = mpf(0)
    root2 = sqrt(mpf(2))
    for i in range(1500):
        j = order - i
        c = binomial(order, i)
        a = (
            c
            * q**i
            * (1 - q) ** j
            * exp((i * i - i) / (2 * sigma**2))
            * erfc((i - z0) / (root2 * sigma))
            / 2
        )
        b = (
            c
            * q**j
            * (1 - q) ** i
            * exp((j * j - j) / (2 * sigma**2))
            * erfc((z0 - j) / (root2 * sigma))
            / 2
        )
        total += a + b
        if i > order and abs(a) + abs(b) < mpf(10) ** -50:
            return total - 1
    return None


def rdp(q, sigma, order):
    mp.dps = 60 + max(0, int(-2 * log(mpf(q), 10)))  # A - 1 is about q^2
    if order == int(order):
        excess = moment_minus_1_binomial(q, sigma, int(order))
    else:
        excess = moment_minus_1_quadrature(q, sigma, order)
        series = moment_minus_1_series(q, sigma, order)
        if series is not None:
            assert abs(series / excess - 1) < mpf(10) ** -18, (q, sigma, order, excess, series)
            print(".", end="", file=sys.stderr, flush=True)
        else:
            print("-", end="", file=sys.stderr, flush=True)
    return log1p(excess) / (mpf(order) - 1)


def without_replacement(q, sigma, order):
    """With h(s) the hockey-stick divergence at threshold s >= 1 of (1 - q) N(0) + q N(1) from N(0),
    A - 1 = integral over s >= 1 of order (order - 1) (s^(order - 2) + s^(-order - 1)) h(s)."""
    mp.dps = 30 + max(0, int(-3 * log(mpf(q), 10)))
    q, sigma, order = mpf(q), mpf(sigma), mpf(order)
    mu = 1 / sigma

    def hockey_stick(s):
        threshold = 1 + (s - 1) / q
        e = log(threshold)
        return q * (upper_tail(e / mu - mu / 2) - threshold * upper_tail(e / mu + mu / 2))

    def integrand(v):  # s = 1 - q + q exp(mu v), ds = q mu exp(mu v) dv
        w = exp(mu * v)
        s = 1 + q * (w - 1)
        return (s ** (order - 2) + s ** (-order - 1)) * hockey_stick(s) * q * mu * w

    high = order * mu + sqrt(2 * (60 - 2 * log(q)))
    pieces = int(high / min(mpf(2), 2 * sigma)) + 1
    points = [high * k / pieces for k in range(pieces + 1)]
    excess, error = quad(integrand, points, method="gauss-legendre", maxdegree=5, error=True)
    excess *= order * (order - 1)
    assert error * order * (order - 1) < mpf(10) ** -14 * excess, (q, sigma, order)
    return log1p(excess) / (order - 1)


def laplace(scale, order):
    mp.dps = 60
    x, a = 1 / mpf(scale), mpf(order)
    # exp(-|t|) (P at 0) and exp(-|t - x|): the ratio is exp(x), exp(x - 2 t), exp(-x).
    middle = quad(lambda t: exp(-t + (a - 1) * (x - 2 * t)), [0, x / 2, x]) / 2
    return log(exp((a - 1) * x) / 2 + middle + exp(-a * x) / 2) / (a - 1)


def randomized_response(categories, p, order):
    mp.dps = 80
    p, a = mpf(p), mpf(order)
    o = (1 - p) / (categories - 1)
    return log(p**a * o ** (1 - a) + o**a * p ** (1 - a) + (categories - 2) * o) / (a - 1)


def discrete_gaussian(sigma, sensitivity, order):
    mp.dps = 60
    sigma, a = mpf(sigma), mpf(order)
    reach = int(ceil(sigma * 20)) + 10

    def shifted(k):
        centre = int(a * k)
        total = sum(
            exp(-(a * (x - k) ** 2 + (1 - a) * x * x) / (2 * sigma**2))
            for x in range(centre - reach, centre + reach + 1)
        )
        return log(
            total / sum(exp(-mpf(x * x) / (2 * sigma**2)) for x in range(-reach, reach + 1))
        ) / (a - 1)

    return max(shifted(k) for k in range(1, sensitivity + 1))


def skellam(variance, sensitivity, order):
    mp.dps = 60
    a = mpf(order)
    reach = int(6 * variance**0.5 * (2 + order**0.5)) + 60 + int(order * sensitivity)
    mass = [exp(-mpf(variance)) * besseli(x, variance) for x in range(reach + sensitivity + 1)]
    total = sum(
        mass[abs(x - sensitivity)] ** a * mass[abs(x)] ** (1 - a) for x in range(-reach, reach + 1)
    )
    return log(total) / (a - 1)


def upper_tail(x):
    return erfc(x / sqrt(mpf(2))) / 2


def gaussian_log_delta(mu, epsilon):
    a, b = epsilon / mu - mu / 2, epsilon / mu + mu / 2
    return log(upper_tail(a) - exp(epsilon) * upper_tail(b))


def gaussian_epsilon(mu, delta):
    """Bisection: the root is simple and the bracket sure."""
    mp.dps = 60
    mu, target = mpf(mu), log(mpf(delta))
    low, high = mpf(0), mu * mu / 2 + mu * sqrt(-2 * target)
    if gaussian_log_delta(mu, low) <= target:
        return mpf(0)
    for _ in range(150):
        middle = (low + high) / 2
        if gaussian_log_delta(mu, middle) > target:
            low = middle
        else:
            high = middle
    return high


def main():
    print("""// Written by accounting_values.py; not to be edited.
#pragma once

namespace velum::testing {

struct RdpValue {
  double sampling_rate;
  double noise_multiplier;
  double order;
  long double rdp;
};

/// Of a mechanism with two parameters.
struct MechanismValue {
  double first;
  double second;
  double order;
  long double rdp;
};

struct GaussianValue {
  double mu;
  double delta;
  long double epsilon;
};

// clang-format off
inline constexpr RdpValue kRdpValues[] = {""")
    cases = [(q, s, float(a)) for q in RATES for s in SIGMAS for a in INTEGERS]
    cases += [(q, s, a) for q in RATES for s in SIGMAS for a in FRACTIONS if not (a > 20 and s < 1)]
    cases += EXTRA
    # Quadrature takes pieces of one deviation, or of sigma.
    cases += [
        (q, s, a)
        for q in FAR_RATES
        for s in FAR_SIGMAS
        for a in FAR_ORDERS
        if a == int(a) or a < 3 or s >= 1
    ]
    for q, sigma, order in cases:
        value = rdp(q, sigma, order)
        print(f"    {{{q!r}, {sigma!r}, {order!r}, {nstr(value, 22, min_fixed=0, max_fixed=0)}L}},")
    print("};")
    for name, cases, function in [
        ("WithoutReplacement", WITHOUT, without_replacement),
        ("Laplace", [(s, 0.0, a) for s, a in LAPLACE], lambda s, _, a: laplace(s, a)),
        ("RandomizedResponse", RESPONSE, randomized_response),
        ("DiscreteGaussian", DISCRETE, discrete_gaussian),
        ("Skellam", SKELLAM, skellam),
    ]:
        print(f"\ninline constexpr MechanismValue k{name}Values[] = {{")
        for case in cases:
            value = function(*case)
            first, second, order = (repr(float(x)) for x in case)
            print(
                f"    {{{first}, {second}, {order}, {nstr(value, 22, min_fixed=0, max_fixed=0)}L}},",
                flush=True,
            )
        print("};")
    print("\ninline constexpr GaussianValue kGaussianValues[] = {")
    for mu in [1e-6, 1e-3, 0.05, 0.26805, 0.71912, 1.0, 1.5, 2.0, 5.0, 20.0, 100.0]:
        for delta in [0.3, 1e-3, 1e-5, 1e-10, 1e-20, 1e-100]:
            value = gaussian_epsilon(mu, delta)
            print(f"    {{{mu!r}, {delta!r}, {nstr(value, 22, min_fixed=0, max_fixed=0)}L}},")
    print("};\n// clang-format on\n\n}  // namespace velum::testing")


if __name__ == "__main__":
    main()
