"""What private releases cost: mechanisms, accountants, plans and statements, as values.

    from velum import accounting as acc

    books = acc.PldAccountant()                       # or acc.RdpAccountant()
    step = acc.PoissonSampledGaussianMechanism(sampling_rate=0.01, noise_multiplier=1.0)
    books.compose(step, count=10_000)
    books.epsilon(1e-5)                               # never below the truth
    print(books.statement(1e-5))                      # what is promised, about whom

Mechanisms are values with named fields, equal by value, hashable and picklable; a value out of range is
a ValueError when they are made. Every guarantee names its neighbouring relation. Results are rounded
towards less privacy. Epsilon is in natural logarithms, delta in (0, 1). Curves are NumPy arrays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import accounting as _accounting
from ._core.accounting import (
    Accountant,
    AccuracyNotReached,
    ApproximateDpMechanism,
    BatchSampling,
    BudgetExceeded,
    Composition,
    DiscreteGaussianMechanism,
    DominatingPairMechanism,
    GaussianMechanism,
    LaplaceMechanism,
    Neighbouring,
    Phase,
    PldAccountant,
    PoissonSampledGaussianMechanism,
    PrivacyGuarantee,
    PrivacyStatement,
    RandomizedResponseMechanism,
    RdpAccountant,
    SkellamMechanism,
    StatedReleases,
    TrainingReport,
    TruncatedPoissonSampledGaussianMechanism,
    WithoutReplacementSampledGaussianMechanism,
    ZeroConcentratedMechanism,
)

__all__ = [
    "Accountant",
    "AccuracyNotReached",
    "ApproximateDpMechanism",
    "BatchSampling",
    "BudgetExceeded",
    "Composition",
    "DiscreteGaussianMechanism",
    "DominatingPairMechanism",
    "GaussianMechanism",
    "LaplaceMechanism",
    "Mechanism",
    "Neighbouring",
    "Phase",
    "PldAccountant",
    "PoissonSampledGaussianMechanism",
    "PrivacyGuarantee",
    "PrivacyStatement",
    "RandomizedResponseMechanism",
    "RdpAccountant",
    "SkellamMechanism",
    "StatedReleases",
    "TrainingReport",
    "TruncatedPoissonSampledGaussianMechanism",
    "WithoutReplacementSampledGaussianMechanism",
    "ZeroConcentratedMechanism",
    "calibrate_batch_size",
    "calibrate_noise_multiplier",
    "calibrate_sampling_rate",
    "calibrate_steps",
    "epsilon_over_steps",
    "group_guarantee",
    "group_mechanism",
    "make_accountant",
    "mechanism_of_batches",
    "rdp",
    "steps_of_epochs",
]

Mechanism = (
    GaussianMechanism
    | PoissonSampledGaussianMechanism
    | TruncatedPoissonSampledGaussianMechanism
    | WithoutReplacementSampledGaussianMechanism
    | LaplaceMechanism
    | DiscreteGaussianMechanism
    | SkellamMechanism
    | RandomizedResponseMechanism
    | ApproximateDpMechanism
    | ZeroConcentratedMechanism
    | DominatingPairMechanism
)
"""Any one of them."""


def make_accountant(
    name: str, neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE
) -> Accountant:
    """The empty accountant of that name, "rdp" or "pld".

    "pld" is the tight numerical one, with a proved interval; "rdp" the Renyi bound, quick enough for
    a value after every step.

    Raises:
        ValueError: if there is none of that name.
    """
    return _accounting.make_accountant(name, neighbouring)


def calibrate_noise_multiplier(
    *,
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    spent: Accountant | None = None,
    tolerance: float = 1e-6,
) -> float:
    """The smallest noise multiplier, up to `tolerance`, that stays within (epsilon, delta).

    Args:
        epsilon: finite and > 0.
        delta: in (0, 1).
        sampling_rate: Poisson inclusion probability, in [0, 1]; 1: no sampling.
        steps: number of releases, >= 0.
        spent: the accountant to calibrate with, holding what the data has already paid; not
            changed. By default an empty `RdpAccountant`.
        tolerance: relative, in (0, 1).

    Returns:
        The standard deviation of the noise over the clipping norm.

    Raises:
        ValueError: if a value is out of range or `spent` alone leaves no budget.
    """
    books = RdpAccountant() if spent is None else spent
    return _accounting.calibrate_noise_multiplier(
        books, epsilon, delta, sampling_rate, steps, tolerance
    )


def calibrate_sampling_rate(
    *,
    epsilon: float,
    delta: float,
    noise_multiplier: float,
    steps: int,
    spent: Accountant | None = None,
    tolerance: float = 1e-6,
) -> float:
    """The largest sampling rate, rounded down, that stays within (epsilon, delta).

    Poisson samples under add-or-remove-one, samples without replacement under replace-one: the
    relation of `spent`. 0 if not even a rate of 1e-12 is affordable. Arguments as of
    `calibrate_noise_multiplier`.
    """
    books = RdpAccountant() if spent is None else spent
    return _accounting.calibrate_sampling_rate(
        books, noise_multiplier, steps, epsilon, delta, tolerance
    )


def calibrate_batch_size(
    *,
    epsilon: float,
    delta: float,
    noise_multiplier: float,
    steps: int,
    dataset_size: int,
    spent: Accountant | None = None,
) -> int:
    """The largest expected batch size in [0, dataset_size] that stays within (epsilon, delta)."""
    books = RdpAccountant() if spent is None else spent
    return _accounting.calibrate_batch_size(
        books, dataset_size, noise_multiplier, steps, epsilon, delta
    )


def calibrate_steps(
    mechanism: Mechanism,
    *,
    epsilon: float,
    delta: float,
    spent: Accountant | None = None,
    largest_steps: int = 1_000_000_000,
) -> int:
    """The largest number of releases of `mechanism` that stays within (epsilon, delta)."""
    books = RdpAccountant() if spent is None else spent
    return _accounting.calibrate_steps(books, mechanism, epsilon, delta, largest_steps)


def epsilon_over_steps(
    mechanism: Mechanism,
    *,
    steps: int,
    delta: float,
    steps_per_point: int = 1,
    spent: Accountant | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Epsilon at `delta` in the course of a planned run.

    Args:
        mechanism: what each step releases.
        steps: how many, >= 0.
        delta: in (0, 1).
        steps_per_point: a value after every so many steps, and after the last; >= 1.
        spent: the accountant, holding what the data has already paid; by default an empty
            `RdpAccountant`.

    Returns:
        steps [k], epsilon [k], and its proved lower bound [k], NaN where the accountant has none.
    """
    books = RdpAccountant() if spent is None else spent
    points: tuple[Any, Any, Any] = _accounting.epsilon_schedule(
        books, mechanism, steps, steps_per_point, delta
    )
    return points


def rdp(mechanism: Mechanism, orders: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Renyi differential privacy of one release at each order.

    Args:
        mechanism: what is released.
        orders: [k], each > 1 and at most 2**30.

    Returns:
        [k] upper bounds; infinite where nothing is known.
    """
    return _accounting.rdp(mechanism, np.asarray(orders, dtype=np.float64))


def group_mechanism(mechanism: Mechanism, group_size: int) -> Mechanism:
    """A mechanism that costs one example at least what `mechanism` costs `group_size` together.

    Raises:
        ValueError: if group_size < 1 or the mechanism has none (Gaussians, Poisson-sampled or not,
            Laplace, discrete Gaussian and zCDP have).
    """
    return _accounting.group_mechanism(mechanism, group_size)


def group_guarantee(one: Accountant, group_size: int, delta: float) -> PrivacyGuarantee:
    """What is promised to `group_size` examples together, such as all of one person, at `delta`."""
    return _accounting.group_guarantee(one, group_size, delta)


def steps_of_epochs(epochs: float, sampling_rate: float) -> int:
    """Number of batches in so many epochs: epochs / sampling_rate, rounded up."""
    return _accounting.steps_of_epochs(epochs, sampling_rate)


def mechanism_of_batches(
    sampling: BatchSampling,
    *,
    noise_multiplier: float,
    steps: int,
    sampling_rate: float = 1.0,
    dataset_size: int = 0,
    largest_batch_size: int = 0,
) -> Mechanism:
    """The mechanism whose `steps` releases cost what a loop with such batches costs.

    Shuffled and fixed batches are no Poisson samples: they count as releases without sampling, of
    which an example sees one an epoch, so `steps` is then the number of epochs.

    Args:
        sampling: how batches come to be.
        noise_multiplier: of every step.
        steps: number of batches; of fixed and shuffled ones the most that see any one example.
        sampling_rate: batch size over data set size; not used by fixed and shuffled batches.
        dataset_size, largest_batch_size: of truncated Poisson samples only.
    """
    return _accounting.mechanism_of_batches(
        sampling, sampling_rate, noise_multiplier, steps, dataset_size, largest_batch_size
    )
