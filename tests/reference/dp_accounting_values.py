#!/usr/bin/env python3
"""Writes dp_accounting_values.h: delta by Google's dp_accounting 0.6 at random points of the box.

Needs dp-accounting 0.6, numpy and scipy, and pld_values.py beside it. The box: sampling rate 1e-9 to 1,
noise multiplier 0.1 to 10^3, 1 to 10^7 steps, epsilon 10^-3 to 10^3, all log-uniform from one seed; epsilon is
taken where delta is about 10^-12 to 10^-1, a point without one in its range is drawn again and counted.

Three values each, over both directions: privacy buckets rounded up and down, and connect-the-dots (up).
None of them covers its own rounding, so each has an allowance, from a formula and not from the outcome:

  transforms   An output of an FFT of N points is within eta = 5 u log2 N of the sum of its absolute inputs, so
               phi^T is within T |phi|^(T-1) eta (twice that, for the power itself), and the composed
               masses, by Parseval and Cauchy-Schwarz, within 2 eta T sqrt(sum over k of
               |phi_k|^(2T-2)) + eta sqrt(N) |masses|_2 in l1, which bounds the error of delta.
  masses       differences of a distribution function within 2 u of the true one; delta as a function of one
               release's loss is monotone, with variation at most 1: 4 u T.
  truncation   10^-18 is added to the mass at infinity, on the optimistic side too.
  dots         masses from differences of delta over h: they do not sum to 1, and T times what is
               missing or too much is allowed.

Points are left out where none of the three can be computed in 2 * 10^6 points (counted, with the reason).

Usage: dp_accounting_values.py > dp_accounting_values.h     (a few minutes)
"""

import concurrent.futures
import math
import warnings

import numpy as np
from dp_accounting.pld import common, privacy_loss_distribution
from pld_values import Sampled, cumulants, epsilon_about
from scipy import fft

warnings.filterwarnings("ignore")

POINTS = 300
SEED = 20260131
UNIT = 2.0**-53
TRUNCATION = 1e-18
LARGEST = 2_000_000


def of_direction(pmf, count, epsilon):
    """delta, its allowance and what its masses lack; None if too large."""
    pmf = pmf.to_dense_pmf()
    masses = np.asarray(pmf._probs)
    lacking = abs(math.fsum(masses) + pmf._infinity_mass - 1)
    if count == 1:
        return float(pmf.get_delta_for_epsilon(epsilon)), 4 * UNIT, lacking
    low, high = common.compute_self_convolve_bounds(masses, count, TRUNCATION)
    size = fft.next_fast_len(max(high - low + 1, masses.size))
    if size > LARGEST:
        return None
    composed = pmf.self_compose(count, TRUNCATION)
    eta = 5 * UNIT * math.log2(size)
    spectrum = np.minimum(np.abs(fft.fft(masses, size)), 1.0)
    norm = float(np.linalg.norm(composed._probs))
    transforms = 2 * eta * count * math.sqrt(float(np.sum(spectrum ** (2 * count - 2))))
    transforms += eta * math.sqrt(size) * norm
    delta = float(composed.get_delta_for_epsilon(epsilon))
    return delta, transforms + 4 * UNIT * count + TRUNCATION, count * lacking


def worse(q, sigma, count, epsilon, interval, pessimistic, dots):
    """(delta, allowance) over both directions; None if too large."""
    pld = privacy_loss_distribution.from_gaussian_mechanism(
        sigma,
        sampling_prob=q,
        value_discretization_interval=interval,
        pessimistic_estimate=pessimistic,
        use_connect_dots=dots,
    )
    values = [of_direction(pmf, count, epsilon) for pmf in (pld._pmf_remove, pld._pmf_add)]
    if None in values:
        return None
    return (
        max(delta for delta, _, _ in values),
        max(allowance + (lacking if dots else 0.0) for _, allowance, lacking in values),
    )


def values_at(point):
    """The three values and their allowances; None if none can be computed."""
    q, sigma, count, epsilon = point
    mechanism = Sampled(q, sigma)
    losses = mechanism.loss(np.array([-14 * sigma, 1 + 14 * sigma]))
    deviation = math.sqrt(count * cumulants(mechanism, 0.0)[2])
    reach = float(losses[1] - losses[0])
    values = []
    for pessimistic, dots, points in [(True, False, 3e4), (True, True, 1e4), (False, False, 3e4)]:
        interval = float(f"{max(reach / points, 20 * deviation / 2e5):.2g}")
        values.append(worse(q, sigma, count, epsilon, interval, pessimistic, dots))
    if all(value is None for value in values):
        return None
    return [value or (0.0 if i == 2 else 1.0, 0.0) for i, value in enumerate(values)]


def main():
    random = np.random.default_rng(SEED)
    print(
        """// Written by dp_accounting_values.py; not to be edited.
#pragma once

#include <cstdint>

namespace velum::testing {

/// delta by dp_accounting 0.6 and how much its own rounding may have moved it; the trivial 1, or 0
/// below, where it was too large to compute.
struct DpAccountingDelta {
  double sampling_rate;
  double noise_multiplier;
  std::int64_t count;
  double epsilon;
  double buckets_up, dots_up, buckets_down;
  double buckets_up_allowance, dots_up_allowance, buckets_down_allowance;
};

// clang-format off
inline constexpr DpAccountingDelta kDpAccountingDeltas[] = {"""
    )
    points, outside = [], 0
    while len(points) < POINTS:
        draw = random.uniform(size=4)
        q = 1.0 if len(points) % 10 == 9 else float(f"{10 ** (-9 * draw[0]):.3g}")
        sigma = float(f"{10 ** (-1 + 4 * draw[1]):.3g}")
        count = int(10 ** (7 * draw[2]))
        epsilon = epsilon_about([(Sampled(q, sigma), count)], 10 ** (-12 + 11 * draw[3]))
        if epsilon is None or not 1e-3 <= epsilon <= 1e3:
            outside += 1
        else:
            points.append((q, sigma, count, epsilon))
    too_large = 0
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for point, values in zip(points, pool.map(values_at, points)):
            if values is None:
                too_large += 1
                continue
            numbers = [f"{v[0]!r}" for v in values] + [f"{v[1]:.2e}" for v in values]
            print(f"    {{{', '.join(map(repr, point))}, {', '.join(numbers)}}},", flush=True)
    print(
        f"""}};
// clang-format on

inline constexpr int kDpAccountingOutsideOfBox = {outside};  // drawn again: epsilon out of range
inline constexpr int kDpAccountingTooLarge = {too_large};

}}  // namespace velum::testing"""
    )


if __name__ == "__main__":
    main()
