"""What `velum train` trains with: the plans of its models, the models, and the images.

    recipes = velum.recipes
    plan = recipes.plan_training("cnn", dataset_size=60_000, epsilon=3.0, delta=1e-5)
    (images, labels), (test_images, test_labels) = recipes.load_images()
    x = recipes.pixels(images, centred=plan.centre_pixels)
    data = TensorDataset(x, torch.from_numpy(labels).long())
    model = recipes.make_model("cnn")
    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), plan.learning_rate, plan.momentum),
        data_loader=DataLoader(data, batch_size=round(plan.sampling_rate * len(data))),
        noise_multiplier=plan.noise_multiplier, clipping=plan.clipping)
    average = velum.WeightAverage(model, plan.average_decay)

How the values were chosen is in docs/fashion_mnist.md. The program's own training (checkpoints, books
that survive a crash) is `velum train`.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ._core import recipes as _recipes
from ._core.recipes import DataError, TrainingPlan

__all__ = ["DataError", "TrainingPlan", "load_images", "make_model", "pixels", "plan_training"]


def plan_training(
    model: str,
    *,
    dataset_size: int,
    epsilon: float | None = None,
    noise_multiplier: float | None = None,
    delta: float = 1e-5,
    epochs: float | None = None,
    steps: int | None = None,
    sampling_rate: float | None = None,
    batch_size: int | None = None,
    clipping_norm: float | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    views: int | None = None,
    average_decay: float | None = None,
    centre_pixels: bool | None = None,
) -> TrainingPlan:
    """The plan that `velum train` would make: what is left open gets the default of the model.

    With an epsilon, the noise is the least with which all planned releases stay within (epsilon,
    delta), by Renyi accounting.

    Args:
        model: "scatter-linear", "cnn" or "mlp".
        dataset_size: samples to train on, >= 1; treated as public.
        epsilon, noise_multiplier: one of them; finite and > 0.
        delta: in (0, 1).
        epochs, steps: one of them, or neither; > 0.
        sampling_rate, batch_size: one of them, or neither; in (0, 1], or 1 to dataset_size.
        clipping_norm: C of flat clipping, finite and > 0; by default 0.1.
        learning_rate, momentum: of SGD; > 0, and in [0, 1).
        views: of each image, 0 to 1024; 0: the image itself.
        average_decay: of the average of the weights, in [0, 1); 0: the last ones.
        centre_pixels: pixels in [-1, 1] instead of [0, 1].

    Raises:
        ValueError: if a value is out of range or belongs to another model, or the budget allows no
            training.
    """
    return _recipes.plan_training(
        model,
        dataset_size,
        epsilon,
        noise_multiplier,
        delta,
        epochs,
        steps,
        sampling_rate,
        batch_size,
        clipping_norm,
        learning_rate,
        momentum,
        views,
        average_decay,
        centre_pixels,
    )


def make_model(name: str, inputs: int = 3970) -> nn.Sequential:
    """A model of `velum train` with new first weights by torch's generator.

    The names and shapes of its state_dict are those of the program's model.pt (torch.jit.load).

    Args:
        name: "cnn": two tanh convolutions and two linear layers, input [B, 1, 28, 28] (arXiv
            2007.14191, Table 1); "mlp": one tanh layer, the same input; "scatter-linear": softmax
            regression without bias, all weights zero, input [B, inputs].
        inputs: features of a sample, >= 1; of "scatter-linear" alone.

    Raises:
        ValueError: if there is no such model, or inputs is out of range.
    """
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, 8, stride=2, padding=3),
            nn.Tanh(),
            nn.MaxPool2d(2, stride=1),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.Tanh(),
            nn.MaxPool2d(2, stride=1),
            nn.Flatten(),
            nn.Linear(512, 32),
            nn.Tanh(),
            nn.Linear(32, 10),
        )
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 10))
    if name != "scatter-linear":
        raise ValueError(f"make_model: name = {name!r}, expected scatter-linear, cnn or mlp")
    if inputs < 1:
        raise ValueError(f"make_model: inputs = {inputs}, expected >= 1")
    linear = nn.Linear(inputs, 10, bias=False)
    nn.init.zeros_(linear.weight)
    return nn.Sequential(linear)


def load_images(
    dataset: str = "fashion-mnist", directory: str | os.PathLike[str] = ""
) -> tuple[
    tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
]:
    """28 x 28 grey images of ten classes: (images, labels) to train on, which are what is protected,
    and (images, labels) to test on.

    Args:
        dataset: "fashion-mnist", checked to be that data set; or "idx": any number of images in
            files of the same names and format (train-images-idx3-ubyte, train-labels-idx1-ubyte,
            t10k-..., each with or without ".gz").
        directory: of the four files; "", for fashion-mnist: where Debian's package
            dataset-fashion-mnist put them.

    Returns:
        [n, 28, 28] and [n], uint8: 0 black to 255 white, and 0 to 9.

    Raises:
        DataError: if a file is missing or is not what it should be.
        ValueError: for an unknown data set.
    """
    train, test = _recipes.load_images(dataset, os.fspath(directory))
    return train, test


def pixels(images: npt.NDArray[np.uint8], *, centred: bool) -> torch.Tensor:
    """[n, 1, height, width] float32 of images [n, height, width]: in [-1, 1], or in [0, 1].

    A constant of the program and no statistic of the data, so it costs nothing.
    """
    values = torch.from_numpy(np.asarray(images, np.float32)).unsqueeze(1) / 255
    return 2 * values - 1 if centred else values
