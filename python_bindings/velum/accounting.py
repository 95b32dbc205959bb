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

from collections.abc import Callable, Sequence
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
    NegativeBinomialTrials,
    Neighbouring,
    Phase,
    PldAccountant,
    PoissonSampledGaussianMechanism,
    PoissonTrials,
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
    "NegativeBinomialTrials",
    "Neighbouring",
    "Phase",
    "PldAccountant",
    "PoissonSampledGaussianMechanism",
    "PoissonTrials",
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
    "calibrate_gaussian_releases",
    "calibrate_noise",
    "calibrate_noise_multiplier",
    "calibrate_sampling_rate",
    "calibrate_steps",
    "epsilon_over_steps",
    "expected_trials",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "group_composition",
    "group_guarantee",
    "group_mechanism",
    "make_accountant",
    "make_privacy_statement",
    "mechanism_of_batches",
    "negative_binomial_trials",
    "rdp",
    "rdp_to_delta",
    "rdp_to_epsilon",
    "search_guarantee",
    "steps_of_epochs",
    "zcdp_to_delta",
    "zcdp_to_epsilon",
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


def calibrate_noise(
    mechanism: Callable[[float], Mechanism],
    *,
    epsilon: float,
    delta: float,
    steps: int,
    spent: Accountant | None = None,
    tolerance: float = 1e-6,
) -> float:
    """The smallest noise multiplier of `steps` releases of any mechanism that has one.

    Args:
        mechanism: the mechanism of one release at a noise multiplier; more noise must cost no more.
        epsilon, delta, steps, spent, tolerance: as of `calibrate_noise_multiplier`.

    Returns:
        Rounded up.

    Raises:
        ValueError: if a value is out of range or `spent` alone leaves no budget.
        RuntimeError: if answers contradict that more noise costs no more.
    """
    books = RdpAccountant() if spent is None else spent
    return _accounting.calibrate_noise(books, mechanism, steps, epsilon, delta, tolerance)


def calibrate_gaussian_releases(
    epsilon: float, delta: float, releases: Sequence[tuple[str, int, float | None]]
) -> list[float]:
    """Noise multipliers of several unsampled Gaussian releases that share one budget.

        calibrate_gaussian_releases(3.0, 1e-5, [("private mean", 1, 0.12), ("training", 60, None)])

    Args:
        epsilon, delta: of all together.
        releases: a label, how many, and the part of the budget's mu that these take together, in
            (0, 1]; the squares of all parts sum to at most 1. One may be None: what is left.

    Returns:
        One for each.

    Raises:
        ValueError: if a value is out of range, the shares exceed the budget, or two are open.
    """
    return _accounting.calibrate_gaussian_releases(epsilon, delta, list(releases))


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


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu = 1 / sigma of unsampled Gaussian releases that spends no more than the budget.

    Releases compose to the root of the sum of the squares of their mu (arXiv 1905.02383).

    Raises:
        ValueError: if epsilon is not finite and >= 0, or delta is not in (0, 1).
    """
    return _accounting.gaussian_mu(epsilon, delta)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The exact epsilon of unsampled Gaussian releases of that mu, rounded up (arXiv 1805.06530).

    Raises:
        ValueError: if mu < 0 or NaN, or delta is not in (0, 1).
    """
    return _accounting.gaussian_epsilon(mu, delta)


def gaussian_delta(mu: float, epsilon: float) -> float:
    """The exact delta of unsampled Gaussian releases of that mu, rounded up.

    Raises:
        ValueError: if mu < 0, epsilon < 0, or either is NaN.
    """
    return _accounting.gaussian_delta(mu, epsilon)


def rdp_to_epsilon(
    orders: npt.ArrayLike, rdps: npt.ArrayLike, delta: float
) -> tuple[float, float | None]:
    """The smallest epsilon at `delta` that a Renyi curve allows, rounded up, and the order that gave
    it (arXiv 2004.00010, Proposition 12).

    Args:
        orders: [k], each > 1.
        rdps: [k], >= 0; an infinite one is passed over.
        delta: in (0, 1).

    Raises:
        ValueError: if sizes differ or a value is out of range.
    """
    return _accounting.rdp_to_epsilon(_list_of(orders), _list_of(rdps), delta)


def rdp_to_delta(
    orders: npt.ArrayLike, rdps: npt.ArrayLike, epsilon: float
) -> tuple[float, float | None]:
    """The smallest delta at `epsilon` >= 0 that a Renyi curve allows, rounded up, and its order.

    Arguments and errors as of `rdp_to_epsilon`.
    """
    return _accounting.rdp_to_delta(_list_of(orders), _list_of(rdps), epsilon)


def zcdp_to_epsilon(rho: float, delta: float) -> tuple[float, float | None]:
    """Epsilon at `delta` of a rho-zCDP release, rounded up, and the Renyi order that gave it.

    Raises:
        ValueError: if rho is not finite and >= 0, or delta is not in (0, 1).
    """
    return _accounting.zcdp_to_epsilon(rho, delta)


def zcdp_to_delta(rho: float, epsilon: float) -> tuple[float, float | None]:
    """Delta at `epsilon` of a rho-zCDP release, rounded up, and the Renyi order that gave it.

    Raises:
        ValueError: if a value is not finite and >= 0.
    """
    return _accounting.zcdp_to_delta(rho, epsilon)


def group_composition(releases: Composition, group_size: int) -> Composition:
    """`group_mechanism` of every release.

    Raises:
        ValueError: as of `group_mechanism`.
    """
    return _accounting.group_composition(releases, group_size)


def negative_binomial_trials(shape: float, mean: float) -> NegativeBinomialTrials:
    """The truncated negative binomial number of trials of that shape and mean.

    The number must be drawn with the gamma that is returned.

    Args:
        shape: finite and > -1: 1 geometric, 0 logarithmic.
        mean: in [1, 1e6].

    Raises:
        ValueError: if a value is out of range.
    """
    return _accounting.negative_binomial_trials(shape, mean)


def expected_trials(trials: NegativeBinomialTrials | PoissonTrials) -> float:
    """The mean number of trials, within 1e-9 (relative)."""
    return _accounting.expected_trials(trials)


def search_guarantee(
    trial: RdpAccountant, trials: NegativeBinomialTrials | PoissonTrials, delta: float
) -> PrivacyGuarantee:
    """What a search of settings costs that releases the best of a random number of trials alone.

    The number is drawn from `trials` and stays secret, as do the other trials and their scores; every
    trial draws its settings anew from one distribution that does not depend on the data (arXiv
    2110.03620). A fixed number of trials costs their full composition.

    Args:
        trial: with what one trial releases.
        trials: how their number is drawn.
        delta: in (0, 1).

    Raises:
        ValueError: if a value is out of range or a release has a term of delta.
    """
    return _accounting.search_guarantee(trial, trials, delta)


def make_privacy_statement(
    releases: Composition,
    guarantee: PrivacyGuarantee,
    accountant: str,
    *,
    unit: str = "example",
    group_size: int = 1,
    whole_units: bool = False,
    batches: BatchSampling = BatchSampling.POISSON,
    search: NegativeBinomialTrials | PoissonTrials | None = None,
    size_is_public: bool = True,
) -> PrivacyStatement:
    """A guarantee in words: for what `Accountant.statement` does not know of.

    Args:
        releases: what it is about.
        guarantee: of an accountant, `group_guarantee` or `search_guarantee`.
        accountant: the accountant's name.
        unit: whose presence is protected.
        group_size: how many examples of a unit are protected together.
        whole_units: the releases draw and bound whole units, each with all its examples.
        batches: FIXED_BATCHES or SHUFFLED_BATCHES: the unsampled Gaussian releases stand for such
            batches (`mechanism_of_batches`). Any other value says nothing.
        search: of a guarantee about a search of settings.
        size_is_public: the number of examples is treated as public.

    Raises:
        ValueError: if group_size < 1, the unit is empty, or whole_units goes with group_size > 1 or
            with fixed or shuffled batches.
    """
    return _accounting.make_privacy_statement(
        releases,
        guarantee,
        accountant,
        unit,
        group_size,
        whole_units,
        batches,
        search,
        size_is_public,
    )


def _list_of(values: npt.ArrayLike) -> list[float]:
    """The numbers of an array [k]."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"accounting: an array has {array.ndim} dimensions, expected 1")
    numbers: list[float] = array.tolist()
    return numbers
