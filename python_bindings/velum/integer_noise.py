"""Exact integer noise that several clients add together, and the rounding that comes before it.

    rounding = QuantizationPlan(clipping_norm=1.0, granularity=granularity_of_bits(1.0, 16),
                                dimension=d)
    noise = plan_integer_noise("skellam", variance=(sigma / rounding.granularity) ** 2,
                               honest_clients=8)
    # each client, of which at least 8 keep their share to themselves
    vector = clip_and_round_to_integers(update, rounding) + integer_noise_share(noise, d)
    # of the sum over all
    books.compose(noise.mechanism(d, rounding.sensitivity()))

Sums of integers are exact, whoever adds them in whatever order, so the guarantee is about what is
really sent. `velum.he.aggregation.PrivateStateDictSum` does all of this for a state_dict.

Noise and rounding are ChaCha20 with a new key of the operating system for every call: no share is
ever drawn twice, in a forked child neither. Papers: Kairouz, Liu and Steinke 2021 (arXiv 2102.06387);
Agarwal, Kairouz and Liu 2021 (arXiv 2110.04995).
"""

import numpy as np
import numpy.typing as npt

from ._core import integer_noise as _noise
from ._core.integer_noise import IntegerNoisePlan, IntegerSensitivity, QuantizationPlan
from .accounting import Neighbouring

__all__ = [
    "IntegerNoisePlan",
    "IntegerSensitivity",
    "QuantizationPlan",
    "clip_and_round_to_integers",
    "granularity_of_bits",
    "honest_clients_condition",
    "integer_noise_share",
    "integer_sensitivity",
    "nearest_integer_sensitivity",
    "plan_integer_noise",
    "round_to_integers",
]


def plan_integer_noise(noise: str, *, variance: float, honest_clients: int) -> IntegerNoisePlan:
    """A plan whose shares add up to at least `variance` on every coordinate.

    Args:
        noise: "discrete_gaussian", a little less noise at large variances of a share, which must be
            1/4 or more; or "skellam", whose shares may be as small as one likes.
        variance: of the sum of `honest_clients` shares, in squared steps of the integers; > 0 and
            at most 2**60.
        honest_clients: clients that are counted on, 1 to 2**31. Clients that may fail, leave or
            collude with those who see the sum do not count.

    Raises:
        ValueError: if a value is out of range.
    """
    return _noise.plan_integer_noise(noise, variance, honest_clients)


def integer_noise_share(
    plan: IntegerNoisePlan,
    dimension: int,
    *,
    threads: int = 1,
    insecure_test_key: bytes | None = None,
) -> npt.NDArray[np.int64]:
    """One client's share: independent draws of the plan's distribution, exactly.

    It depends on no data: draw it before the values are known, so that its time tells nothing.

    Args:
        plan: of all clients.
        dimension: 0 to 2**32.
        threads: to use.
        insecure_test_key: 32 bytes: the same draws for the same key, for tests alone. Without, a
            new key of the operating system.

    Returns:
        [dimension] int64.

    Raises:
        ValueError: if a value is out of range.
    """
    return _noise.integer_noise_share(plan, dimension, threads, insecure_test_key)


def integer_sensitivity(
    squared_norm_limit: int,
    dimension: int,
    neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE,
) -> IntegerSensitivity:
    """Of a sum in which each client's vector has `dimension` integers and at most that squared norm.

    Args:
        squared_norm_limit: 1 to 2**62.
        dimension: >= 1.
        neighbouring: of clients: present or absent, or with another vector (twice as much).

    Raises:
        ValueError: if a value is out of range.
    """
    return _noise.integer_sensitivity(squared_norm_limit, dimension, neighbouring)


def nearest_integer_sensitivity(
    clipping_norm: float,
    granularity: float,
    dimension: int,
    neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE,
) -> IntegerSensitivity:
    """Of a sum of vectors that each client rounds to the nearest multiples of `granularity`, where
    one example moves one client's vector by at most `clipping_norm` in L2.

    Args:
        clipping_norm: C, before rounding; finite and > 0.
        granularity: the value of the integer 1; C / 2**30 to C.
        dimension: 1 to 2**32.
        neighbouring: of examples: under REPLACE_ONE the vector moves by up to 2 C.

    Raises:
        ValueError: if a value is out of range.
    """
    return _noise.nearest_integer_sensitivity(clipping_norm, granularity, dimension, neighbouring)


def honest_clients_condition(honest_clients: int) -> str:
    """What a guarantee of such noise stands on, for people: "at least 40 clients draw ...".

    Raises:
        ValueError: if honest_clients is out of range.
    """
    return _noise.honest_clients_condition(honest_clients)


def granularity_of_bits(clipping_norm: float, bits: int) -> float:
    """The granularity at which no rounded number of a vector exceeds 2**(bits - 1) - 1.

    Args:
        clipping_norm: C, the largest L2 norm of a vector; finite and > 0.
        bits: 2 to 31.

    Raises:
        ValueError: if a value is out of range.
    """
    return _noise.granularity_of_bits(clipping_norm, bits)


def round_to_integers(
    values: npt.ArrayLike, plan: QuantizationPlan, *, insecure_test_key: bytes | None = None
) -> npt.NDArray[np.int64]:
    """Each value / granularity, rounded up or down at random with the right mean.

    The squared norm of the result is at most `plan.squared_norm_limit`, for any values: a rounding
    that exceeds it is drawn again.

    Args:
        values: [plan.dimension] finite numbers of L2 norm at most plan.clipping_norm.
        plan: of all clients.
        insecure_test_key: 32 bytes: the same rounding for the same key, for tests alone.

    Returns:
        [plan.dimension] int64.

    Raises:
        ValueError: if the size differs, a value is not finite, or the norm is too large.
    """
    return _noise.round_to_integers(np.asarray(values), plan, insecure_test_key)


def clip_and_round_to_integers(
    values: npt.ArrayLike, plan: QuantizationPlan, *, insecure_test_key: bytes | None = None
) -> npt.NDArray[np.int64]:
    """`round_to_integers`, with values of a larger norm scaled down to plan.clipping_norm first."""
    return _noise.clip_and_round_to_integers(np.asarray(values), plan, insecure_test_key)
