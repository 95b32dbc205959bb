"""
What velum computes in C++; import velum for the documented names.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
from . import kernels
from . import he
from . import accounting
from . import integer_noise
from . import features
from . import ledger
from . import audit
__all__: list[str] = ['BackendUnavailable', 'Clipping', 'CudaError', 'PoissonSampler', 'PrivacyEngine', 'UserPoissonSampler', 'accounting', 'audit', 'built_with_cuda', 'explain', 'features', 'he', 'integer_noise', 'kernels', 'ledger', 'per_sample_gradients', 'per_sample_losses', 'per_sample_norms']
class CudaError(RuntimeError):
    """
    A CUDA call failed; the text names the call, the error and the place.
    """
class BackendUnavailable(RuntimeError):
    """
    A backend was asked for that this build does not have.
    """
class Clipping:
    """
    How the gradient of one sample is bounded before the samples are summed. A sample whose norm is not finite adds exactly zero.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    @staticmethod
    def adaptive(initial_norm: typing.SupportsFloat, count_noise: typing.SupportsFloat, quantile: typing.SupportsFloat = 0.5, learning_rate: typing.SupportsFloat = 0.2, smallest_norm: typing.SupportsFloat = 9.094947017729282e-13, largest_norm: typing.SupportsFloat = 1099511627776.0) -> Clipping:
        """
        A bound that follows a quantile of the norms (arXiv 1905.03871); the noised count is accounted for in the step.
        """
    @staticmethod
    def automatic(clipping_norm: typing.SupportsFloat, stability: typing.SupportsFloat = 0.01) -> Clipping:
        """
        AUTO-S (arXiv 2206.07136): g C / (||g|| + stability).
        """
    @staticmethod
    def by_groups(groups: collections.abc.Sequence[tuple[collections.abc.Sequence[typing.SupportsInt], typing.SupportsFloat]]) -> Clipping:
        """
        A bound for each group of parameters: pairs of the indices of parameters that require grad and C_g, which together name every parameter once.
        """
    @staticmethod
    def flat(clipping_norm: typing.SupportsFloat) -> Clipping:
        """
        One bound C for the gradient over all parameters together: g min(1, C / ||g||).
        """
    @staticmethod
    def from_json(json: str) -> Clipping:
        """
        Reads what `to_json` wrote.
        """
    @staticmethod
    def per_layer(clipping_norms: collections.abc.Sequence[typing.SupportsFloat]) -> Clipping:
        """
        A bound for each parameter tensor that requires grad, in their order; the sensitivity is the root of the sum of squares.
        """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    def to_json(self) -> str:
        """
        JSON object.
        """
    @property
    def kind(self) -> str:
        ...
    @property
    def sensitivity(self) -> float:
        """
        By how much, at most, one sample moves the sum in L2.
        """
class PoissonSampler:
    """
    Draws logical batches: at every step each sample is included independently with probability sampling_rate. The key is the operating system's.
    """
    def __init__(self, dataset_size: typing.SupportsInt, sampling_rate: typing.SupportsFloat) -> None:
        ...
    def next(self) -> list[int]:
        """
        The indices of the next batch, ascending; maybe none.
        """
    @property
    def dataset_size(self) -> int:
        ...
    @property
    def expected_batch_size(self) -> float:
        ...
    @property
    def sampling_rate(self) -> float:
        ...
class UserPoissonSampler:
    """
    Draws logical batches of whole users: at every step each user is included independently with probability sampling_rate, with all of the user's samples or a choice of them. The key is the operating system's.
    """
    def __init__(self, user_of_sample: collections.abc.Sequence[typing.SupportsInt], sampling_rate: typing.SupportsFloat, max_samples_per_user: typing.SupportsInt | None = None, sample_choice: str = 'uniform') -> None:
        ...
    def next(self) -> tuple[list[int], list[int]]:
        """
        (samples, users): the indices of the next batch, those of a user together and ascending, and the user of each; maybe none.
        """
    @property
    def dataset_size(self) -> int:
        """
        Number of samples of all users together.
        """
    @property
    def expected_batch_size(self) -> float:
        """
        sampling_rate * user_count.
        """
    @property
    def most_samples_of_a_user(self) -> int:
        """
        That a batch can have; depends on the data.
        """
    @property
    def sampling_rate(self) -> float:
        """
        Of a user.
        """
    @property
    def user_count(self) -> int:
        ...
class PrivacyEngine:
    """
    Makes the gradient of a logical batch private; see velum.PrivacyEngine.
    """
    def __init__(self, parameters: collections.abc.Sequence[torch.Tensor], sampler: PoissonSampler | UserPoissonSampler, clipping: Clipping, noise_multiplier: typing.SupportsFloat, accountant: accounting.Accountant, allow_slow_rules: bool, release_guard: ledger.ReleaseGuard | None, user_gradient: str, state: dict[str, typing.Any] | None) -> None:
        ...
    def abandon_step(self) -> None:
        ...
    def accumulate(self, losses: torch.Tensor, users: collections.abc.Sequence[typing.SupportsInt] | None) -> None:
        """
        `users`: of each loss, where users are sampled.
        """
    def finish_step(self) -> list[str]:
        """
        Names of the operations that were treated by their own backward.
        """
    def reached_by(self, loss: torch.Tensor) -> bool:
        """
        Whether the graph of `loss` holds a parameter of this engine.
        """
    def state(self) -> dict[str, typing.Any]:
        ...
    def statement(self, delta: typing.SupportsFloat) -> accounting.PrivacyStatement:
        ...
    def unsafe_per_sample_norms(self) -> list[float]:
        ...
    @property
    def expected_batch_size(self) -> float:
        ...
    @property
    def mechanism(self) -> accounting.GaussianMechanism | accounting.PoissonSampledGaussianMechanism | accounting.TruncatedPoissonSampledGaussianMechanism | accounting.WithoutReplacementSampledGaussianMechanism | accounting.LaplaceMechanism | accounting.DiscreteGaussianMechanism | accounting.SkellamMechanism | accounting.RandomizedResponseMechanism | accounting.ApproximateDpMechanism | accounting.ZeroConcentratedMechanism | accounting.DominatingPairMechanism:
        ...
    @property
    def sensitivity(self) -> float:
        ...
def built_with_cuda() -> bool:
    """
    Whether this build has the CUDA backend.
    """
def explain(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool) -> str:
    ...
def per_sample_gradients(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool) -> list[torch.Tensor]:
    ...
def per_sample_losses(loss: torch.Tensor, mean: bool, samples: typing.SupportsInt) -> torch.Tensor:
    ...
def per_sample_norms(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool) -> torch.Tensor:
    ...
