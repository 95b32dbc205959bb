"""
Documented in velum.recipes.
"""
from __future__ import annotations
import os
import typing
import velum._core
import velum._core.accounting
__all__: list[str] = ['DataError', 'TrainingPlan', 'load_images', 'plan_training']
class DataError(RuntimeError):
    """
    A data file is missing, damaged, or not what its name promises; the text says what to do.
    """
class TrainingPlan:
    """
    A training with nothing left open; see velum.recipes.plan_training.
    """
    def __repr__(self) -> str:
        ...
    def to_json(self) -> str:
        """
        JSON object.
        """
    @property
    def average_decay(self) -> float:
        """
        Of `velum.WeightAverage`; 0: the last weights.
        """
    @property
    def centre_pixels(self) -> bool:
        """
        Whether pixels are in [-1, 1] instead of [0, 1].
        """
    @property
    def clipping(self) -> velum._core.Clipping:
        """
        A `velum.Clipping`.
        """
    @property
    def dataset_size(self) -> int:
        ...
    @property
    def delta(self) -> float:
        ...
    @property
    def epsilon(self) -> float:
        """
        Of the whole plan, at `delta`.
        """
    @property
    def learning_rate(self) -> float:
        ...
    @property
    def model(self) -> str:
        ...
    @property
    def momentum(self) -> float:
        ...
    @property
    def noise_multiplier(self) -> float:
        """
        Of a step.
        """
    @property
    def physical_batch_size(self) -> int:
        """
        Most samples that are computed at once.
        """
    @property
    def planned_releases(self) -> velum._core.accounting.Composition:
        """
        All of them, if nothing goes wrong: a Composition.
        """
    @property
    def preparation(self) -> list[tuple[str, float]]:
        """
        Gaussian releases before the training: label and noise multiplier of each.
        """
    @property
    def sampling_rate(self) -> float:
        ...
    @property
    def steps(self) -> int:
        ...
    @property
    def steps_per_epoch(self) -> int:
        ...
    @property
    def views(self) -> int:
        """
        Of each image (`velum.ImageViews`); 0: the image itself.
        """
def load_images(dataset: str, directory: os.PathLike[str] | str | bytes) -> tuple[typing.Any, ...]:
    ...
def plan_training(model: str, dataset_size: typing.SupportsInt, epsilon: typing.SupportsFloat | None, noise_multiplier: typing.SupportsFloat | None, delta: typing.SupportsFloat, epochs: typing.SupportsFloat | None, steps: typing.SupportsInt | None, sampling_rate: typing.SupportsFloat | None, batch_size: typing.SupportsInt | None, clipping_norm: typing.SupportsFloat | None, learning_rate: typing.SupportsFloat | None, momentum: typing.SupportsFloat | None, views: typing.SupportsInt | None, average_decay: typing.SupportsFloat | None, centre_pixels: bool | None) -> TrainingPlan:
    ...
