"""
Documented in velum.integer_noise.
"""
from __future__ import annotations
import numpy
import numpy.typing
import typing
import velum._core.accounting
__all__: list[str] = ['IntegerNoisePlan', 'IntegerSensitivity', 'QuantizationPlan', 'clip_and_round_to_integers', 'granularity_of_bits', 'honest_clients_condition', 'integer_noise_share', 'integer_sensitivity', 'nearest_integer_sensitivity', 'plan_integer_noise', 'round_to_integers']
class IntegerSensitivity:
    """
    By how much one client changes a sum of integer vectors, in steps of the integers.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __init__(self, l1: typing.SupportsFloat, l2: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    @property
    def l1(self) -> float:
        ...
    @property
    def l2(self) -> float:
        ...
class IntegerNoisePlan:
    """
    Noise that no one client knows: each of at least honest_clients clients adds a share, and the shares of any honest_clients of them add up to the variance that was asked for.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def mechanism(self, dimension: typing.SupportsInt, sensitivity: IntegerSensitivity) -> velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism:
        """
        Of a sum of vectors of `dimension` integers with this noise, for an accountant.
        Raises ValueError if a value is out of range.
        """
    @property
    def honest_clients(self) -> int:
        ...
    @property
    def noise(self) -> str:
        ...
    @property
    def share_variance(self) -> float:
        """
        Of each coordinate of one client's share, as it is accounted for: rounded down.
        """
class QuantizationPlan:
    """
    How vectors of numbers become vectors of integers that can be summed exactly: value / granularity, rounded up or down at random so that the mean is right.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __init__(self, clipping_norm: typing.SupportsFloat, granularity: typing.SupportsFloat, dimension: typing.SupportsInt, beta: typing.SupportsFloat = 0.6065306597126334) -> None:
        """
        Args:
            clipping_norm: C, the largest L2 norm of a vector; finite and > 0.
            granularity: the value of the integer 1; C / 2**30 to C (`granularity_of_bits`).
            dimension: d, numbers in a vector; 1 to 2**32.
            beta: a rounding is drawn again with at most this probability; in (0, 0.9]. A
                smaller one means a larger norm.

        Raises:
            ValueError: if a value is out of range.
        """
    def __repr__(self) -> str:
        ...
    def sensitivity(self, neighbouring: velum._core.accounting.Neighbouring = ...) -> IntegerSensitivity:
        """
        What a client changes in the sum of rounded vectors: IntegerSensitivity.
        """
    @property
    def beta(self) -> float:
        ...
    @property
    def clipping_norm(self) -> float:
        ...
    @property
    def dimension(self) -> int:
        ...
    @property
    def granularity(self) -> float:
        ...
    @property
    def squared_norm_limit(self) -> int:
        """
        The largest squared L2 norm of a rounded vector (arXiv 2102.06387, section 4.2).
        """
def clip_and_round_to_integers(values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], plan: QuantizationPlan, insecure_test_key: bytes | None) -> numpy.typing.NDArray[numpy.int64]:
    ...
def granularity_of_bits(clipping_norm: typing.SupportsFloat, bits: typing.SupportsInt) -> float:
    ...
def honest_clients_condition(honest_clients: typing.SupportsInt) -> str:
    ...
def integer_noise_share(plan: IntegerNoisePlan, dimension: typing.SupportsInt, threads: typing.SupportsInt, insecure_test_key: bytes | None) -> numpy.typing.NDArray[numpy.int64]:
    ...
def integer_sensitivity(squared_norm_limit: typing.SupportsInt, dimension: typing.SupportsInt, neighbouring: velum._core.accounting.Neighbouring) -> IntegerSensitivity:
    ...
def nearest_integer_sensitivity(clipping_norm: typing.SupportsFloat, granularity: typing.SupportsFloat, dimension: typing.SupportsInt, neighbouring: velum._core.accounting.Neighbouring) -> IntegerSensitivity:
    ...
def plan_integer_noise(noise: str, variance: typing.SupportsFloat, honest_clients: typing.SupportsInt) -> IntegerNoisePlan:
    ...
def round_to_integers(values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], plan: QuantizationPlan, insecure_test_key: bytes | None) -> numpy.typing.NDArray[numpy.int64]:
    ...
