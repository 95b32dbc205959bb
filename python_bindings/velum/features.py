"""Features of grey images that cost no privacy, and means and moments that are released with noise.

What `velum train --model scatter-linear` trains on (90 % on Fashion-MNIST at epsilon = 3), as arrays:

    transform = velum.features.ScatteringTransform()            # 28 x 28
    rows = sqrt_to_unit_rows(scattering(transform, images))     # [n, 3969], of norm 1
    books = velum.accounting.PldAccountant()
    mean = private_mean(rows, clipping_norm=1.0, noise_multiplier=60.0, public_count=60_000,
                        accountant=books)
    evened = random_shapes_preconditioner(transform)
    features = precondition_rows(rows, mean, evened)            # [n, 3970], of norm about 1
    engine = velum.PrivacyEngine(accountant=books)              # goes on with the same books

Everything else is a fixed map of each image alone. Noise is ChaCha20 with a new key of the operating
system for every call. Work runs without the GIL, on the CPU.
"""

import numpy as np
import numpy.typing as npt

from ._core import features as _features
from ._core.features import Preconditioner, ScatteringTransform
from ._core.ledger import require_books_for
from .accounting import Accountant, GaussianMechanism, Neighbouring
from .ledger import ReleaseGuard

__all__ = [
    "Preconditioner",
    "ScatteringTransform",
    "make_preconditioner",
    "precondition_rows",
    "private_mean",
    "private_second_moments",
    "random_shapes_preconditioner",
    "scattering",
    "sqrt_to_unit_rows",
]


def scattering(
    transform: ScatteringTransform, images: npt.ArrayLike, *, threads: int = 1
) -> npt.NDArray[np.float32]:
    """The transform of every image.

    Args:
        transform: for images of this size.
        images: [n, height, width] or [n, height * width]; uint8, which stand for value / 255, or
            numbers, by convention in [0, 1].
        threads: to use.

    Returns:
        [n, transform.output_size] float32: channel, row, column.

    Raises:
        ValueError: if the shape is another one.
        TypeError: if the images are no numbers.
    """
    array = np.asarray(images)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"scattering: images are of type {array.dtype}, expected numbers")
    if array.ndim == 3:
        array = array.reshape(array.shape[0], array.shape[1] * array.shape[2])
    if array.dtype == np.uint8:
        return transform.transform_bytes(array, threads)
    return transform.transform_floats(array.astype(np.float32, copy=False), threads)


def sqrt_to_unit_rows(rows: npt.ArrayLike, *, threads: int = 1) -> npt.NDArray[np.float32]:
    """sqrt(max(x, 0)) / norm of every row: of L2 norm at most 1.

    A row without a positive number, or with one that is not finite, becomes zero.

    Args:
        rows: [n, size] numbers.
        threads: to use.

    Returns:
        [n, size] float32.

    Raises:
        ValueError: if the shape is another one.
    """
    return _features.sqrt_to_unit_rows(np.asarray(rows, np.float32), threads)


def private_mean(
    rows: npt.ArrayLike,
    *,
    clipping_norm: float,
    noise_multiplier: float,
    public_count: int,
    accountant: Accountant,
    label: str = "private mean",
    release_guard: ReleaseGuard | None = None,
    unit: str = "example",
    threads: int = 1,
) -> npt.NDArray[np.float32]:
    """The mean of rows, released with Gaussian noise.

        (sum of the rows, clipped to C, + N(0, (noise_multiplier C)^2)) / public_count

    The release stands in the books before it is made: a Gaussian mechanism without sampling.
    Adding or removing a row moves the sum by at most C, so the books must be for that relation.
    A row is what is protected, a `unit`: where that is a user, one row must be all of a user.

    Args:
        rows: [n, size] private numbers; a row that is not finite adds nothing.
        clipping_norm: C, finite and > 0; 1 leaves rows of `sqrt_to_unit_rows` as they are.
        noise_multiplier: finite and > 0.
        public_count: the divisor, > 0. It is published, so it must be known beforehand and not be
            counted in the rows.
        accountant: the books, for ADD_OR_REMOVE_ONE.
        label: of the release.
        release_guard: asked before: a `velum.ledger.LedgerGuard`, of a data set for that relation
            and about this unit.
        unit: what a row is: "example", or "user", "person", ... with all that one has.
        threads: to use.

    Returns:
        [size] float32.

    Raises:
        ValueError: if a value is out of range; it may stand in the books then. Also if the books or
            the ledger are for another neighbouring relation: then nothing was entered.
        velum.ledger.BudgetExceeded: if the guard refuses: nothing is released.
    """
    array = np.asarray(rows, np.float32)
    _enter(accountant, release_guard, [noise_multiplier], label, unit)
    return _features.private_mean(array, clipping_norm, noise_multiplier, public_count, threads)


def private_second_moments(
    rows: npt.ArrayLike,
    mean: npt.ArrayLike,
    *,
    channels: int,
    positions: int,
    clipping_norm: float,
    channel_noise_multiplier: float,
    spatial_noise_multiplier: float,
    accountant: Accountant,
    label: str = "private second moments",
    release_guard: ReleaseGuard | None = None,
    unit: str = "example",
    threads: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Second moments of features that are matrices Y [channels, positions], released with noise.

    Each row less `mean` is clipped to norm R; the sums of Y Y^T and of Y^T Y get Gaussian noise of
    deviation R^2 times the noise multiplier. Two releases, which stand in the books before.

    Args:
        rows: [n, channels * positions] private numbers.
        mean: [channels * positions], public, such as of `private_mean`.
        channels, positions: >= 1.
        clipping_norm: R, finite and > 0.
        channel_noise_multiplier, spatial_noise_multiplier: finite and > 0.
        accountant, label, release_guard, unit, threads: as of `private_mean`.

    Returns:
        [channels, channels] and [positions, positions] float64, for `make_preconditioner`.

    Raises:
        As `private_mean`.
    """
    array = np.asarray(rows, np.float32)
    centre = np.asarray(mean, np.float32)
    multipliers = [channel_noise_multiplier, spatial_noise_multiplier]
    _enter(accountant, release_guard, multipliers, label, unit)
    return _features.private_second_moments(
        array,
        centre,
        channels,
        positions,
        clipping_norm,
        channel_noise_multiplier,
        spatial_noise_multiplier,
        threads,
    )


def make_preconditioner(
    channel: npt.ArrayLike,
    spatial: npt.ArrayLike,
    *,
    channel_power: float = 0.35,
    spatial_power: float = 0.25,
    floor: float = 1e-3,
) -> Preconditioner:
    """(C / trace C + floor)^-power of both matrices, by eigenvalues; negative ones count as zero.

    Args:
        channel, spatial: [channels, channels] and [positions, positions], such as of
            `private_second_moments`.
        channel_power, spatial_power: of the two.
        floor: added to the eigenvalues, which are first divided by their sum; > 0.

    Raises:
        ValueError: if a matrix is not square or not finite, or has no positive eigenvalue.
    """
    return _features.make_preconditioner(
        np.asarray(channel, np.float64),
        np.asarray(spatial, np.float64),
        channel_power,
        spatial_power,
        floor,
    )


def random_shapes_preconditioner(
    transform: ScatteringTransform,
    *,
    channel_power: float = 0.35,
    spatial_power: float = 0.25,
    floor: float = 1e-3,
    threads: int = 1,
) -> Preconditioner:
    """The preconditioner of features of random shapes, which knows nothing of any data set.

    It is a constant of the program and costs no privacy; takes a few seconds.

    Args:
        transform: of the features.
        channel_power, spatial_power, floor: as of `make_preconditioner`.
        threads: to use.
    """
    return _features.random_shapes_preconditioner(
        transform, channel_power, spatial_power, floor, threads
    )


def precondition_rows(
    rows: npt.ArrayLike,
    mean: npt.ArrayLike,
    preconditioner: Preconditioner,
    *,
    bias: float = 0.3,
    threads: int = 1,
) -> npt.NDArray[np.float32]:
    """channel (x - mean) spatial of every row, scaled to norm 1, and `bias` as one more feature.

    Args:
        rows: [n, channels * positions].
        mean: [channels * positions].
        preconditioner: of that size.
        bias: the constant feature.
        threads: to use.

    Returns:
        [n, channels * positions + 1] float32. A row depends on its own input only.

    Raises:
        ValueError: if sizes do not match.
    """
    return _features.precondition_rows(
        np.asarray(rows, np.float32), np.asarray(mean, np.float32), preconditioner, bias, threads
    )


def _enter(
    accountant: Accountant,
    release_guard: ReleaseGuard | None,
    noise_multipliers: list[float],
    label: str,
    unit: str,
) -> None:
    """Writes Gaussian releases without sampling into the books."""
    mechanisms = [GaussianMechanism(multiplier) for multiplier in noise_multipliers]
    # The mechanism is for either relation, with noise relative to the sensitivity under it: where a
    # row is replaced that is twice what the noise is drawn for.
    relation = accountant.composition.neighbouring
    if relation != Neighbouring.ADD_OR_REMOVE_ONE:
        raise ValueError(
            f"{label}: accountant is for {relation.name}, expected one for ADD_OR_REMOVE_ONE"
        )
    require_books_for(release_guard, Neighbouring.ADD_OR_REMOVE_ONE, unit, label)
    if release_guard is not None:
        for mechanism in mechanisms:
            release_guard.before_release(mechanism, label)
    for mechanism in mechanisms:
        accountant.compose(mechanism, 1, label)
