#!/usr/bin/env python3
"""Writes pld_values.h: delta of composed mechanisms by methods that velum does not use.

Needs mpmath, numpy and scipy. velum puts losses on a lattice and convolves by FFT; here no loss is
ever rounded to a lattice and nothing is convolved:

  1 release     delta = P(S) - exp(epsilon) Q(S), S = {loss > epsilon}, in 50 digits.
  2, 3          the same for the last release, integrated over the first one or two: Gauss-Legendre
                on pieces that shrink geometrically towards the end of the range of the loss.
  2, 3, 10      one release after the other, delta of the earlier ones being a piecewise polynomial
                (log(delta) as a function of epsilon, by Chebyshev interpolation).
  30 to 10^6    the inversion integral
                    delta(epsilon) = 1/(2 pi) int M(z)^T exp(-z epsilon) / (z (z + 1)) dw,  z = c + iw,
                M(z) = E exp(z loss), whose integrand falls at least as 1/|z|^2, by the trapezoidal
                rule (exponentially exact: what remains are copies of delta one period away, bounded by
                Chernoff), M by the trapezoidal rule over the noise. The value must not depend on c.

Each value is computed twice, with other nodes and, for the integral, at another c; if the two differ by
more than half of the error that the header states, this program fails. It also compares the methods with
each other where two of them converge. What the integral would take too long for is left out and named on
standard error.

  exact sums    randomised response, discrete Gaussian and Laplace, composed: sums over all outcomes
                in 50 digits; Laplace by the piecewise polynomial density of a sum of uniforms.

Usage: pld_values.py > pld_values.h     (a few minutes)
"""

import concurrent.futures
import math
import sys

import mpmath
import numpy as np
from mpmath import mp, mpf
from scipy.special import erfc

mp.dps = 50
ERROR = 1e-7  # relative, of every value that is not a sum in 50 digits


class Sampled:
    """(1 - q) N(0, s^2) + q N(1, s^2) and N(0, s^2); with `add` the same exchanged."""

    def __init__(self, q, sigma, add=False):
        self.q, self.sigma, self.add = q, sigma, add
        self.edge = math.log1p(-q) * (-1.0 if add else 1.0) if q < 1 else 0.0

    def loss(self, x):
        u = (2 * x - 1) / (2 * self.sigma**2)
        if self.q == 1:
            return -u if self.add else u
        above = u + np.log(self.q + (1 - self.q) * np.exp(-np.maximum(u, 1.0)))
        result = np.where(u > 1, above, np.log1p(self.q * np.expm1(np.minimum(u, 1.0))))
        return -result if self.add else result

    def at_loss(self, loss):
        """x of a loss; infinite outside of the range."""
        loss = -np.asarray(loss) if self.add else np.asarray(loss)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.expm1(np.minimum(loss, 600.0)) / self.q
            x = 0.5 + self.sigma**2 * np.log1p(np.maximum(ratio, -1.0))
        return x

    def log_density(self, x):
        base = -x * x / (2 * self.sigma**2) - math.log(self.sigma * math.sqrt(2 * math.pi))
        return base if self.add else base + self.loss(x)

    def nodes(self, tilt, frequency, refine):
        """Losses and logarithms of weights: sum of weight exp((tilt + iw) loss), |w| <= frequency."""
        s = self.sigma
        # Tilting moves the mass: upwards by the tilt, downwards until the loss is flat.
        low, high = -14 * s, 1 + 14 * s
        if not self.add:
            high += tilt
        elif self.q < 1:
            low -= min(tilt, 2 + s**2 * math.log1p(tilt * self.q / (1 - self.q)))
        else:
            low -= tilt
        width = 1 / math.sqrt(1 / s**2 + tilt / (4 * s**4))  # of the narrowest peak
        step = min(s**2 / 8, 2 * math.pi / (frequency / s**2 + 50 / width))
        x = np.arange(low, high, step / refine)
        return self.loss(x), self.log_density(x) + math.log(step / refine)

    def delta1(self, epsilon):
        x = self.at_loss(epsilon)
        s, q, e = self.sigma, self.q, np.exp(np.minimum(epsilon, 700.0))

        def tail(z):
            return 0.5 * erfc(z / math.sqrt(2.0))

        with np.errstate(invalid="ignore"):
            if self.add:
                value = (1 - e * (1 - q)) * tail(-x / s) - e * q * tail(-(x - 1) / s)
                return np.where(epsilon >= self.edge, 0.0, np.maximum(value, 0.0))
            value = q * tail((x - 1) / s) - (np.expm1(np.minimum(epsilon, 700.0)) + q) * tail(x / s)
            inside = np.where(epsilon > 600.0, 0.0, np.maximum(value, 0.0))
            return np.where(epsilon <= self.edge, -np.expm1(np.minimum(epsilon, 0.0)), inside)


class Atoms:
    def __init__(self, losses, masses):
        self.losses, self.masses = np.array(losses), np.array(masses)

    def nodes(self, tilt, frequency, refine):
        return self.losses, np.log(self.masses)


class Laplace:
    """Noise of a given scale on a number that moves by 1."""

    def __init__(self, scale):
        self.epsilon = 1.0 / scale

    def nodes(self, tilt, frequency, refine):
        e = self.epsilon
        panels = int(math.ceil(refine * (2 + frequency * 2 * e / 8)))
        t, w = np.polynomial.legendre.leggauss(24)
        width = 2 * e / panels
        loss = (-e + width * (np.arange(panels)[:, None] + 0.5 * (1 + t))).ravel()
        weight = np.tile(w * 0.5 * width, panels) * np.exp((loss - e) / 2) / 4
        return (
            np.concatenate([[-e], loss, [e]]),
            np.log(np.concatenate([[0.5 * math.exp(-e)], weight, [0.5]])),
        )


def gaussian(sigma):
    return Sampled(1.0, sigma)


def randomized_response(categories, truth):
    other = (1 - truth) / (categories - 1)
    loss = math.log(truth / other)
    if categories == 2:
        return Atoms([-loss, loss], [other, truth])
    return Atoms([-loss, 0.0, loss], [other, (categories - 2) * other, truth])


def discrete_gaussian(sigma, shift):
    k = np.arange(-int(14 * sigma) - 2, int(14 * sigma) + 3)
    mass = np.exp(-k * k / (2.0 * sigma**2))
    return Atoms((shift * shift - 2.0 * shift * k) / (2.0 * sigma**2), mass / mass.sum())


# ---- Inversion integral --------------------------------------------------------------------------


def cumulants(mechanism, tilt):
    """log M, mean and variance of the tilted loss."""
    loss, log_weight = mechanism.nodes(tilt, 0.0, 1.0)
    exponent = tilt * loss
    with np.errstate(over="ignore"):
        small = np.sum(
            np.where(exponent < 30, np.exp(log_weight) * np.expm1(np.minimum(exponent, 30)), 0.0)
        )
    largest = float(np.max(exponent + log_weight))
    if largest > 600:
        log_m = largest + math.log(float(np.sum(np.exp(exponent + log_weight - largest))))
    else:
        large = np.where(exponent < 30, -np.inf, exponent + log_weight)
        log_m = math.log1p(float(small + np.sum(np.exp(large))))
    weight = np.exp(exponent + log_weight - log_m)
    mean = float(np.sum(weight * loss))
    return log_m, mean, float(np.sum(weight * (loss - mean) ** 2))


def summed(parts, tilt):
    return sum(t * np.array(cumulants(m, tilt)) for m, t in parts)


def saddle(parts, epsilon):
    """Where M^T exp(-c epsilon) / c is least, about: the integrand is then largest at w = 0."""
    low = high = 1e-6
    while summed(parts, high)[1] - 1 / high < epsilon:
        low, high = high, 2 * high
    while high / low > 1.002:
        middle = math.sqrt(low * high)
        low, high = (
            (middle, high) if summed(parts, middle)[1] - 1 / middle < epsilon else (low, middle)
        )
    return low


def inversion(parts, epsilon, tilt, refine=1.0):
    log_m, _, variance = summed(parts, tilt)
    base = log_m - tilt * epsilon
    log_delta = base - math.log1p(2.5 * tilt * math.sqrt(variance)) - math.log1p(tilt)
    # exp(tilt e) delta(epsilon + e), relative to delta(epsilon), is what a copy at a distance e adds.
    rates = [
        tilt * f for f in (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2, 2.5, 3, 4, 6)
    ]
    chernoff = [(s, summed(parts, s)[0] - s * epsilon) for s in rates]

    def copy(distance):
        bounds = [v - s * distance for s, v in chernoff if (s > tilt) == (distance > 0)]
        return min(bounds + [0.0]) + tilt * distance - log_delta

    period = 4 * math.sqrt(variance)
    while max(copy(period), copy(-period)) > -36:
        period *= 1.15
    h = 2 * math.pi / (period * refine)
    total, first, size = 0.0, 0, 64
    while True:
        k = np.arange(first, first + size)
        log_ratio = np.zeros(size, complex)  # of M^T to its value at w = 0
        for mechanism, count in parts:
            loss, log_weight = mechanism.nodes(tilt, (first + size) * h, refine)
            weight = np.exp(log_weight + tilt * loss - cumulants(mechanism, tilt)[0])
            keep = weight > 1e-24 * weight.max()
            loss, weight = loss[keep], weight[keep]
            ratio = np.empty(size, complex)  # less 1
            if count >= 3000:
                for i in range(size):
                    angle = k[i] * h * loss
                    ratio[i] = complex(
                        -2 * np.sum(weight * np.sin(angle / 2) ** 2), np.sum(weight * np.sin(angle))
                    )
            else:
                turn = np.exp(1j * h * loss)
                for i in range(size):
                    if i % 64 == 0:
                        turned = weight * np.exp(1j * (k[i] * h) * loss)
                    ratio[i] = turned.sum() - 1.0
                    turned *= turn
            with np.errstate(divide="ignore"):
                log_ratio += count * (
                    np.log1p(ratio) if count >= 3000 else np.log(1 + ratio + 1e-300)
                )
        z = tilt + 1j * k * h
        term = np.exp(log_ratio - 1j * k * h * epsilon) / (z * (z + 1))
        if first == 0:
            term[0] *= 0.5
        total += float(np.sum(term.real))
        # The terms fall faster than 1/w^2: as many again, and the sum of the rest is below this.
        if 4 * size * float(np.max(np.abs(term[-size // 2 :]))) < 1e-12 * abs(total):
            return math.exp(base) * h / math.pi * total
        first, size = first + size, min(2 * size, 2048)
        if first * loss.size > 5e7:
            raise TooSlow


class TooSlow(ArithmeticError):
    pass


def agree(first, second, what):
    if not abs(first / second - 1) <= ERROR / 2:
        raise ArithmeticError(
            f"{what}: {first!r} and {second!r} differ by {first / second - 1:.1e}"
        )
    return first


def by_inversion(parts, epsilon):
    tilt = saddle(parts, epsilon)
    what = f"{[(vars(m), t) for m, t in parts] if len(parts) == 1 else len(parts)} {epsilon}"
    return agree(
        inversion(parts, epsilon, tilt), inversion(parts, epsilon, 0.87 * tilt, 1.37), what
    ), tilt


# ---- Nested integrals ----------------------------------------------------------------------------


def pieces_quadrature(mechanism, function, edge, epsilon, base, nodes):
    """E function(epsilon - loss) for every epsilon; `edge`: where `function` is not analytic."""
    s = mechanism.sigma
    epsilon = np.atleast_1d(epsilon)
    low, high = -13 * s, 1 + 13 * s
    fixed = np.linspace(low, high, int((high - low) / (base * s)) + 1)
    grades = 2.0 ** -np.arange(0, 46)
    distances = np.concatenate([-grades, [0.0], grades]) * max(1.0, abs(edge))
    cuts = mechanism.at_loss(epsilon[:, None] - edge - distances[None, :])
    cuts = np.clip(np.nan_to_num(cuts, nan=low, neginf=low, posinf=high), low, high)
    cuts = np.sort(np.concatenate([np.tile(fixed, (epsilon.size, 1)), cuts], axis=1), axis=1)
    t, w = np.polynomial.legendre.leggauss(nodes)
    result = np.empty(epsilon.size)
    for i in range(epsilon.size):
        width = np.diff(cuts[i])
        keep = width > 1e-14 * s
        start, width = cuts[i][:-1][keep], width[keep]
        x = (start[:, None] + 0.5 * width[:, None] * (1 + t)).ravel()
        weight = (0.5 * width[:, None] * w).ravel() * np.exp(mechanism.log_density(x))
        use = weight > 1e-40
        result[i] = np.sum(weight[use] * function(epsilon[i] - mechanism.loss(x[use])))
    return result


def nested(mechanism, count, epsilon, base, nodes):
    def two(e):
        return pieces_quadrature(mechanism, mechanism.delta1, mechanism.edge, e, base, nodes)

    if count == 2:
        return float(two(epsilon)[0])
    return float(pieces_quadrature(mechanism, two, 2 * mechanism.edge, epsilon, base, nodes)[0])


def by_nesting(mechanism, count, epsilon):
    return agree(
        nested(mechanism, count, epsilon, 0.5, 12),
        nested(mechanism, count, epsilon, 0.37, 16),
        f"{vars(mechanism)} {count} {epsilon}",
    )


class Repeated:
    """delta of 1, 2, .. releases as functions of a = |epsilon - n edge|, from one to the next:

      delta_n(epsilon) = E delta_(n-1)(epsilon - loss), which only needs smaller a.

    log(delta) is a polynomial on each of many panels; each expectation is integrated piecewise between
    the points where the argument passes from one panel to the next.
    """

    def __init__(self, mechanism, largest, degree, ratio, width, nodes):
        self.mechanism, self.sign = mechanism, -1.0 if mechanism.add else 1.0
        s, q = mechanism.sigma, mechanism.q
        smallest = q * math.exp(-10 / s - 1 / (2 * s * s))
        cuts = [0.0, smallest]
        while cuts[-1] < largest:
            cuts.append(min(cuts[-1] * ratio, cuts[-1] + width, largest))
        self.cuts = np.array(cuts)
        self.nodes = nodes
        self.cosines = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
        order = np.arange(degree + 1)
        self.to_coefficients = np.cos(np.outer(order, np.arccos(self.cosines))) * 2 / (degree + 1)
        self.to_coefficients[0] *= 0.5
        middle, half = 0.5 * (self.cuts[1:] + self.cuts[:-1]), 0.5 * np.diff(self.cuts)
        self.targets = middle[1:, None] + half[1:, None] * self.cosines[None, :]
        self.count = 1
        self.set_values(mechanism.delta1(self.sign * self.targets + mechanism.edge))
        x = np.linspace(-13 * s, 1 + 13 * s, int((1 + 26 * s) / (0.5 * s)) + 1)
        self.fixed = x

    def set_values(self, delta):
        self.coefficients = np.log(np.maximum(delta, 1e-90)) @ self.to_coefficients.T

    def below(self, a):
        """Where the first panel would be: nothing less than its edge has been lost yet, or gained."""
        if self.mechanism.add:
            return np.zeros_like(a)
        return -np.expm1(np.minimum(self.count * self.mechanism.edge + a, 0.0))

    def at(self, a, panel):
        low, high = self.cuts[panel + 1], self.cuts[panel + 2]
        t = (2 * a - low - high) / (high - low)
        b1 = np.zeros_like(a)
        b2 = np.zeros_like(a)
        for k in range(self.coefficients.shape[1] - 1, 0, -1):
            b1, b2 = self.coefficients[panel, k] + 2 * t * b1 - b2, b1
        value = np.exp(np.minimum(self.coefficients[panel, 0] + t * b1 - b2, 0.0))
        return np.where(a <= self.cuts[1], self.below(a), value)

    def panel_of(self, a):
        return np.clip(np.searchsorted(self.cuts, a) - 2, 0, len(self.cuts) - 3)

    def delta(self, epsilon):
        a = np.array([self.sign * (epsilon - self.count * self.mechanism.edge)])
        return float(self.at(a, self.panel_of(a))[0])

    def step(self):
        m = self.mechanism
        t, w = np.polynomial.legendre.leggauss(self.nodes)
        result = np.empty(self.targets.shape)
        for i, row in enumerate(self.targets):
            inner = row[:, None] - self.cuts[None, :]  # increments at which a panel begins
            cuts = m.at_loss(m.edge + self.sign * np.maximum(inner, 0.0))
            low, high = self.fixed[0], self.fixed[-1]
            cuts = np.clip(np.nan_to_num(cuts, nan=low, neginf=low, posinf=high), low, high)
            cuts = np.concatenate([np.tile(self.fixed, (row.size, 1)), cuts], axis=1)
            cuts.sort(axis=1)
            width = np.diff(cuts, axis=1)
            target, piece = np.nonzero(width > 1e-13 * m.sigma)
            width = width[target, piece][:, None]
            x = cuts[target, piece][:, None] + 0.5 * width * (1 + t)  # [pieces, nodes]
            argument = row[target][:, None] - self.sign * (m.loss(x) - m.edge)
            panel = self.panel_of(argument[:, self.nodes // 2])[:, None]  # no piece crosses a cut
            value = width * 0.5 * w * np.exp(m.log_density(x)) * self.at(argument, panel)
            result[i] = np.bincount(target, value.sum(axis=1), row.size)
        self.count += 1
        self.set_values(result)


def one_release(mechanism, epsilon):
    q, s, e = mpf(mechanism.q), mpf(mechanism.sigma), mpf(epsilon)

    def tail(z):
        return mpmath.erfc(z / mpmath.sqrt(2)) / 2

    ratio = mpmath.expm1(-e if mechanism.add else e) / q
    if ratio <= -1:
        return mpf(0)
    x = mpf(1) / 2 + s * s * mpmath.log1p(ratio)
    if mechanism.add:
        return (1 - mpmath.exp(e) * (1 - q)) * tail(-x / s) - mpmath.exp(e) * q * tail(-(x - 1) / s)
    return q * tail((x - 1) / s) - (mpmath.expm1(e) + q) * tail(x / s)


# ---- Exact sums ----------------------------------------------------------------------------------


def payoff(log_p, loss, epsilon):
    return mpmath.exp(log_p) * -mpmath.expm1(epsilon - loss) if loss > epsilon else mpf(0)


def response_sum(categories, truth, count, epsilon):
    p = mpf(truth)
    o = (1 - p) / (categories - 1)
    unit = mpmath.log(p / o)
    total = mpf(0)
    for yes in range(count + 1):
        for no in range(count + 1 - yes):
            rest = count - yes - no
            if rest > 0 and categories == 2:
                continue
            ways = mpmath.binomial(count, yes) * mpmath.binomial(count - yes, no)
            middle = ((categories - 2) * o) ** rest if rest else mpf(1)
            mass = ways * p**yes * o**no * middle
            loss = unit * (yes - no)
            if loss > epsilon:
                total += mass * -mpmath.expm1(epsilon - loss)
    return total


def discrete_gaussian_sum(sigma, shift, count, epsilon):
    s = mpf(sigma)
    reach = int(18 * sigma) + 4
    mass = [mpmath.exp(-mpf(k * k) / (2 * s * s)) for k in range(-reach, reach + 1)]
    normal = mpmath.fsum(mass)
    mass = [m / normal for m in mass]
    result = [mpf(1)]
    for _ in range(count):  # of the sum of the noises
        longer = [mpf(0)] * (len(result) + len(mass) - 1)
        for i, a in enumerate(result):
            for j, b in enumerate(mass):
                longer[i + j] += a * b
        result = longer
    total = mpf(0)
    for i, m in enumerate(result):
        loss = (count * shift * shift - 2 * shift * mpf(i - count * reach)) / (2 * s * s)
        if loss > epsilon:
            total += m * -mpmath.expm1(epsilon - loss)
    return total


def laplace_sum(scale, count, epsilon):
    """`up` losses of +e, `down` of -e, the others with density exp((l - e) / 2) / 4 on (-e, e)."""
    e = 1 / mpf(scale)
    total = mpf(0)
    for up in range(count + 1):
        for down in range(count + 1 - up):
            m = count - up - down
            ways = mpmath.binomial(count, up) * mpmath.binomial(count - up, down)
            atoms = ways * mpf(1) / 2**up * (mpmath.exp(-e) / 2) ** down
            at = (up - down) * e
            if m == 0:
                if at > epsilon:
                    total += atoms * -mpmath.expm1(epsilon - at)
                continue

            def density(s, m=m):  # of m uniforms on (-e, e), times (2 e)^m; Irwin and Hall
                v = (s + m * e) / (2 * e)
                value = mpf(0)
                for k in range(int(mpmath.floor(v)) + 1):
                    value += (-1) ** k * mpmath.binomial(m, k) * (v - k) ** (m - 1)
                return value * (2 * e) ** (m - 1) / mpmath.factorial(m - 1)

            def integrand(s, at=at, m=m):
                if at + s <= epsilon:
                    return mpf(0)
                return density(s) * mpmath.exp((s - m * e) / 2) * -mpmath.expm1(epsilon - at - s)

            knots = [(2 * k - m) * e for k in range(m + 1)]
            start = mpf(epsilon) - at
            knots = [start] + [k for k in knots if k > start] if start > knots[0] else knots
            if len(knots) < 2:
                continue
            total += atoms / mpf(4) ** m * mpmath.quad(integrand, knots, method="gauss-legendre")
    return total


# ---- What is written -----------------------------------------------------------------------------

PAIRS = [(0.001, 0.5), (0.01, 1.0), (0.1, 0.8), (0.3, 2.0), (0.9, 5.0)]
REPEATED = [2, 3, 10]
INVERTED = [30, 100, 1000, 10**4, 10**6]
TARGETS = [1e-2, 1e-5, 1e-8, 1e-12, 1e-15]


def rounded(x):
    return float(f"{x:.4g}")


def epsilon_near(function, target, largest=1e6):
    """Epsilon with function(epsilon) near the target, to four digits; None if there is none."""
    low, high = 0.0, 1e-6
    if not function(1e-7) > 1.1 * target:
        return None
    while high < largest and function(high) > target:
        low, high = high, 2 * high
    high = min(high, largest)
    while high - low > 1e-3 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if function(middle) > target else (low, middle)
    result = rounded(0.5 * (low + high))
    return result if 0 < result < largest else None


def epsilon_about(parts, target):
    """Epsilon > 0 where the Chernoff bound on delta is a few times the target, or None."""
    lines = []  # of log(delta) over epsilon
    tilt = 1e-5
    while True:
        log_m, mean, _ = summed(parts, tilt)
        # The largest of exp(-tilt x) (1 - exp(-x)).
        lines.append((tilt, log_m + tilt * math.log(tilt) - (1 + tilt) * math.log1p(tilt)))
        if log_m - tilt * mean < -60 or tilt > 1e7:
            break
        tilt *= 1.15

    def bound(epsilon):
        return math.exp(min(0.0, min(value - slope * epsilon for slope, value in lines)))

    return epsilon_near(bound, min(5 * target, 0.3))


def text(value, error):
    return f"{mpmath.nstr(mpf(value), 20 if error == 0 else 12, min_fixed=0, max_fixed=0)}L"


def targets_of(i):
    return [t for j, t in enumerate(TARGETS) if (i + j) % 2 == 1 or t == 1e-15]


def values_of(mechanism):
    """(count, epsilon, delta, error)"""

    def limit(count):  # of the loss
        return 0.999 * count * mechanism.edge if mechanism.add else 1e6

    for target in targets_of(0):
        epsilon = epsilon_near(lambda e: float(one_release(mechanism, e)), target, limit(1))
        if epsilon is not None:
            yield 1, epsilon, one_release(mechanism, epsilon), 0.0
    last = REPEATED[-1]
    if mechanism.add:
        largest = last * mechanism.edge
    else:
        largest = 1.05 * epsilon_about([(mechanism, last)], 1e-16) - last * mechanism.edge
    first = Repeated(mechanism, largest, 15, 1.6, 0.3, 12)
    second = Repeated(mechanism, largest, 17, 1.5, 0.25, 13)
    for i, count in enumerate(REPEATED):
        while first.count < count:
            first.step()
            second.step()
        for target in targets_of(i):
            epsilon = epsilon_near(first.delta, target, limit(count))
            if epsilon is None:
                continue
            what = f"{vars(mechanism)} {count} {epsilon}"
            delta = agree(first.delta(epsilon), second.delta(epsilon), what)
            if count == 2 or (count == 3 and target == 1e-8):  # three-fold integrals take long
                delta = agree(by_nesting(mechanism, count, epsilon), delta, what)
            yield count, epsilon, delta, ERROR
    for i, count in enumerate(INVERTED):
        parts = [(mechanism, count)]
        for target in targets_of(i):
            epsilon = epsilon_about(parts, target)
            if epsilon is None:
                continue
            try:
                yield count, epsilon, by_inversion(parts, epsilon)[0], ERROR
            except TooSlow:
                print(f"left out: {vars(mechanism)} {count} {epsilon}", file=sys.stderr)


def values_with_tilt(pair):
    (q, sigma), add = pair
    mechanism = Sampled(q, sigma, add)
    result = []
    for count, epsilon, delta, error in values_of(mechanism):
        # Near the largest loss several targets may round to one epsilon.
        if 1e-18 < delta < 0.999 and (count, epsilon) not in [(r[2], r[4]) for r in result]:
            tilt = saddle([(mechanism, count)], epsilon)
            result.append((q, sigma, count, add, epsilon, delta, tilt, error))
    print(q, sigma, add, len(result), file=sys.stderr, flush=True)
    return result


def sampled_values():
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for values in pool.map(
            values_with_tilt, [(p, add) for p in PAIRS for add in (False, True)]
        ):
            yield from values


MIXED = [  # kinds as the test knows them
    ("PoissonAndGaussian", [(Sampled(0.01, 1.0), 1000), (gaussian(20.0), 2)]),
    ("TwoPoissons", [(Sampled(0.02, 0.8), 100), (Sampled(0.001, 0.6), 5000)]),
    ("PoissonAndLaplace", [(Sampled(0.02, 1.0), 200), (Laplace(4.0), 3)]),
    ("PoissonAndResponse", [(Sampled(0.05, 1.5), 50), (randomized_response(2, 0.6), 5)]),
    ("DiscreteAndGaussian", [(discrete_gaussian(5.0, 2), 4), (gaussian(4.0), 1)]),
]


def main():
    # Where two methods converge, they give the same number.
    for q, sigma, add, epsilon in [
        (0.3, 2.0, False, 0.7),
        (0.3, 2.0, True, 0.5),
        (0.9, 5.0, False, 0.5),
    ]:
        m = Sampled(q, sigma, add)
        repeated = Repeated(m, 10 * abs(m.edge) + epsilon, 15, 1.6, 0.3, 12)
        for count in (2, 3, 10):
            while repeated.count < count:
                repeated.step()
            inverted = inversion([(m, count)], epsilon, saddle([(m, count)], epsilon))
            agree(repeated.delta(epsilon), inverted, "repeated and inversion")
            if count <= 3:
                agree(by_nesting(m, count, epsilon), inverted, "nested and inversion")
    print(
        f"""// Written by pld_values.py; not to be edited.
#pragma once

#include <cstdint>

namespace velum::testing {{

inline constexpr double kPldValueError = {ERROR!r};  // relative, where an entry says so

/// Of `count` Poisson-sampled Gaussians in one direction: what the other data set lacks (remove) or has
/// more (add). `tilt`: near the saddle point of M^count exp(-tilt epsilon) / tilt.
struct SampledDelta {{
  double sampling_rate;
  double noise_multiplier;
  std::int64_t count;
  bool add;
  double epsilon;
  long double delta;
  double tilt;
  double error;
}};

struct MixedDelta {{
  const char* kind;
  double epsilon;
  long double delta;
}};

/// `first` and `second` are the parameters of the mechanism.
struct EnumeratedDelta {{
  double first;
  double second;
  std::int64_t count;
  double epsilon;
  long double delta;
}};

// clang-format off
inline constexpr MixedDelta kMixedDeltas[] = {{"""
    )
    for kind, parts in MIXED:
        for target in [1e-3, 1e-6, 1e-10, 1e-14]:
            epsilon = epsilon_about(parts, target)
            delta, _ = by_inversion(parts, epsilon)
            print(f'    {{"{kind}", {epsilon!r}, {text(delta, ERROR)}}},', flush=True)
    print("};\n\n/// Categories, probability of the truth.")
    print("inline constexpr EnumeratedDelta kRandomizedResponseDeltas[] = {")
    for categories, truth, count in [
        (2, 0.6, 10),
        (2, 0.75, 40),
        (2, 0.51, 300),
        (5, 0.4, 12),
        (100, 0.05, 20),
    ]:
        unit = math.log(truth * (categories - 1) / (1 - truth))
        for part in [0.0, 0.1, 0.3, 0.55, 0.8, 0.97]:
            epsilon = rounded(part * count * unit)
            value = response_sum(categories, truth, count, epsilon)
            if value > 1e-18:
                print(
                    f"    {{{float(categories)!r}, {truth!r}, {count}, {epsilon!r}, {text(value, 0)}}},"
                )
    print("};\n\n/// Standard deviation, sensitivity.")
    print("inline constexpr EnumeratedDelta kDiscreteGaussianDeltas[] = {")
    for sigma, shift, count in [(0.5, 1, 6), (1.0, 1, 10), (2.5, 1, 4), (3.0, 2, 8), (0.8, 3, 2)]:
        for target in [1e-1, 1e-3, 1e-6, 1e-9, 1e-15]:
            epsilon = epsilon_near(
                lambda e, s=sigma, d=shift, n=count: gaussian_delta(d * math.sqrt(n) / s, e),
                target,
                1e6,
            )
            value = discrete_gaussian_sum(sigma, shift, count, epsilon) if epsilon else 0
            if value > 1e-18:
                print(
                    f"    {{{sigma!r}, {float(shift)!r}, {count}, {epsilon!r}, {text(value, 0)}}},",
                    flush=True,
                )
    print("};\n\n/// Scale.")
    print("inline constexpr EnumeratedDelta kLaplaceDeltas[] = {")
    for scale, count in [(0.7, 2), (2.0, 3), (5.0, 6), (20.0, 12)]:
        for part in [0.0, 0.15, 0.4, 0.7, 0.95]:
            epsilon = rounded(part * count / scale)
            value = laplace_sum(scale, count, epsilon)
            if value > 1e-18:
                print(
                    f"    {{{scale!r}, 0.0, {count}, {epsilon!r}, {text(value, 0)}}},", flush=True
                )
    print("};\n\ninline constexpr SampledDelta kSampledDeltas[] = {")
    for q, sigma, count, add, epsilon, delta, tilt, error in sampled_values():
        print(
            f"    {{{q!r}, {sigma!r}, {count}, {str(add).lower()}, {epsilon!r}, "
            f"{text(delta, error)}, {tilt:.3g}, {error!r}}},",
            flush=True,
        )
    print("};\n// clang-format on\n\n}  // namespace velum::testing")


def gaussian_delta(mu, epsilon):
    def tail(z):
        return 0.5 * math.erfc(z / math.sqrt(2))

    return tail(epsilon / mu - mu / 2) - math.exp(epsilon) * tail(epsilon / mu + mu / 2)


if __name__ == "__main__":
    main()
