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
from . import recipes
from . import audit
__all__: list[str] = ['BackendUnavailable', 'Clipping', 'CudaError', 'ImageViews', 'LazyTable', 'PoissonSampler', 'PrivacyEngine', 'UseExplanation', 'UserPoissonSampler', 'WeightAverage', 'accounting', 'audit', 'built_with_cuda', 'explain', 'features', 'he', 'integer_noise', 'keep_freed_memory', 'kernels', 'ledger', 'per_sample_gradients', 'per_sample_losses', 'per_sample_norms', 'recipes']
class CudaError(RuntimeError):
    """
    A CUDA call failed; the text names the call, the error and the place.
    """
class BackendUnavailable(RuntimeError):
    """
    A backend was asked for that this build does not have.
    """
class UseExplanation:
    """
    How the gradients of the samples are taken for one use of one parameter, and what that should cost.
    """
    def __repr__(self) -> str:
        ...
    @property
    def bytes_moved(self) -> float:
        """
        Read and written for them.
        """
    @property
    def flops(self) -> float:
        """
        Operations of norms and weighted sum, of the whole batch.
        """
    @property
    def method(self) -> str:
        """
        "outer product", "gram", "tiles", "kept", "segments", "at hand" or "sample backward".
        """
    @property
    def operation(self) -> str:
        """
        The autograd node; "and 27 more" where uses are taken together.
        """
    @property
    def parameter(self) -> int:
        """
        Its index among the parameters.
        """
    @property
    def parameter_sizes(self) -> list[int]:
        """
        Of the whole parameter.
        """
    @property
    def seconds(self) -> float | None:
        """
        Predicted; None for a backward of unknown cost.
        """
    @property
    def seconds_by_method(self) -> dict[str, float | None]:
        """
        Predicted, of every method that `method_overrides` may choose.
        """
    @property
    def shape(self) -> str:
        """
        Of the use, per sample: "64 steps, 128 -> 512".
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
class LazyTable:
    """
    A table whose rows get their noise when they are read next; see `lazy_tables` of velum.PrivacyEngine.make_private.
    """
    def __init__(self, weight: torch.Tensor) -> None:
        ...
    def catch_up(self, indices: torch.Tensor) -> None:
        """
        Adds to these rows the noise that they lack.
        """
    def release(self) -> None:
        """
        Adds to all rows the noise that they lack.
        """
    def step(self, learning_rate: typing.SupportsFloat) -> None:
        """
        The update of SGD by the gradient of the engine's last step.
        """
    @property
    def is_released(self) -> bool:
        ...
class PrivacyEngine:
    """
    Makes the gradient of a logical batch private; see velum.PrivacyEngine.
    """
    def __init__(self, parameters: collections.abc.Sequence[torch.Tensor], sampler: PoissonSampler | UserPoissonSampler, clipping: Clipping, noise_multiplier: typing.SupportsFloat, accountant: accounting.Accountant, allow_slow_rules: bool, release_guard: ledger.ReleaseGuard | None, user_gradient: str, method_overrides: collections.abc.Mapping[int, str], lazy_tables: collections.abc.Sequence[LazyTable], state: dict[str, typing.Any] | None) -> None:
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
class ImageViews:
    """
    Several random views of each image, shifted and mirrored, whose losses are averaged before the
    clip: augmentation that costs no privacy, for a sample still has one gradient.

        engine.make_private(..., views=velum.ImageViews(count=4))    # the loop stays as it is

    or in a loop of your own, on any batch:

        views = velum.ImageViews(count=4)
        losses = F.cross_entropy(model(views(x)), views.repeat(y), reduction="none")
        views.mean(losses).backward()                                # [b]

    Never give the views as losses of their own: a sample in `count` rows would move the sum by
    `count` times the clipping norm.

    Paper: Unlocking High-Accuracy Differentially Private Image Classification through Scale
    (arXiv 2204.13650), section 3, "augmentation multiplicity". Every call draws anew, by ChaCha20
    with a key of the operating system.

    Args:
        count: views of each image, 1 to 1024.
        max_shift: each axis moves by -max_shift to max_shift pixels; 0 to 1024.
        fill: what moves in at the border.
        mirror: left and right change places with probability 1/2.

    Raises:
        ValueError: if a number is out of range.
    """
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """
        The views of a batch, those of one image one after another.

        Args:
            images: [b, ..., height, width], of any type and device.

        Returns:
            [b * count, ..., height, width].

        Raises:
            ValueError: if images has less than three dimensions.
        """
    def __init__(self, count: typing.SupportsInt = 4, *, max_shift: typing.SupportsInt = 2, fill: typing.SupportsFloat = 0.0, mirror: bool = True) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def mean(self, losses: torch.Tensor) -> torch.Tensor:
        """
        Losses of the views, [b * count], as losses of the samples, [b]: their means.

        Raises:
            ValueError: if losses is no such vector.
        """
    def repeat(self, targets: torch.Tensor) -> torch.Tensor:
        """
        Targets of the images, [b, ...], as those of the views, [b * count, ...].
        """
    @property
    def count(self) -> int:
        ...
    @property
    def fill(self) -> float:
        ...
    @property
    def max_shift(self) -> int:
        ...
    @property
    def mirror(self) -> bool:
        ...
class WeightAverage:
    """
    See velum.WeightAverage.
    """
    def __init__(self, parameters: collections.abc.Sequence[torch.Tensor], decay: typing.SupportsFloat) -> None:
        ...
    def restore(self, values: collections.abc.Sequence[torch.Tensor], updates: typing.SupportsInt) -> None:
        ...
    def swap(self) -> None:
        ...
    def update(self) -> None:
        ...
    @property
    def decay(self) -> float:
        ...
    @property
    def swapped(self) -> bool:
        ...
    @property
    def updates(self) -> int:
        ...
    @property
    def values(self) -> list[torch.Tensor]:
        ...
def built_with_cuda() -> bool:
    """
    Whether this build has the CUDA backend.
    """
def explain(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool, method_overrides: collections.abc.Mapping[int, str]) -> tuple[list[UseExplanation], str]:
    """
    (rows, table)
    """
def keep_freed_memory() -> bool:
    """
    Keeps what the process frees for what it allocates next, instead of giving it back.

    Without, glibc hands memory that a training step frees to the system, and takes it again in the next
    step, page by page and filled with zeros. With it the process holds at least the most that it needed
    at once, and more where blocks of different sizes leave gaps. For the whole process and for good:
    for one that trains, in its main thread, and does little else; before the first step. An allocator
    that is preloaded in place of glibc's (jemalloc, tcmalloc) is not changed.

    Returns:
        Whether the C library has these settings (M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3)) and took
        them; True does not say that its malloc is the one in use.
    """
def per_sample_gradients(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool, method_overrides: collections.abc.Mapping[int, str]) -> list[torch.Tensor]:
    ...
def per_sample_losses(loss: torch.Tensor, mean: bool, samples: typing.SupportsInt) -> torch.Tensor:
    ...
def per_sample_norms(losses: torch.Tensor, params: collections.abc.Sequence[torch.Tensor], allow_slow_rules: bool, method_overrides: collections.abc.Mapping[int, str]) -> torch.Tensor:
    ...
