"""velum.recipes: the plans, models and images of `velum train`."""

import copy
import gzip
import json
import math
import os
import struct
import subprocess

import numpy as np
import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from velum import accounting as acc
from velum import recipes


def test_the_plan_of_the_network_is_that_of_the_program():
    # The defaults that docs/fashion_mnist.md tells of.
    plan = recipes.plan_training("cnn", dataset_size=60_000, epsilon=3.0, delta=1e-5)
    assert plan.model == "cnn" and plan.dataset_size == 60_000
    assert (plan.epsilon, plan.delta, plan.preparation) == (3.0, 1e-5, [])
    assert plan.sampling_rate == 2048 / 60_000 and plan.steps == 1172
    assert plan.steps_per_epoch == 29 and plan.views == 0
    assert plan.clipping == velum.Clipping.flat(0.1)
    assert (plan.learning_rate, plan.momentum) == (4.0, 0.9)
    assert plan.average_decay == 0.995 and plan.centre_pixels
    assert plan.noise_multiplier == pytest.approx(1.93, abs=0.01)
    books = acc.RdpAccountant()
    books.compose(
        acc.PoissonSampledGaussianMechanism(plan.sampling_rate, plan.noise_multiplier), plan.steps
    )
    assert 2.9 < books.epsilon(1e-5) <= 3.0
    assert plan.planned_releases.total_count == plan.steps
    assert json.loads(plan.to_json())["model"] == "cnn"
    assert "cnn, 1172 steps" in repr(plan)


def test_what_is_said_is_taken():
    said = {
        "noise_multiplier": 2.5, "steps": 7, "sampling_rate": 0.25, "clipping_norm": 0.5, "learning_rate": 0.3,
        "momentum": 0.5, "views": 3, "average_decay": 0.5, "centre_pixels": False,
    }  # fmt: skip
    plan = recipes.plan_training("mlp", dataset_size=100, **said)
    for name, value in said.items():
        if name != "clipping_norm":
            assert getattr(plan, name) == value, name
    assert plan.clipping == velum.Clipping.flat(0.5)
    assert recipes.plan_training("mlp", dataset_size=100, epsilon=1, batch_size=5).steps == 1200
    assert recipes.plan_training("mlp", dataset_size=100, epsilon=1, epochs=2).steps == 8
    linear = recipes.plan_training("scatter-linear", dataset_size=60_000, epsilon=1.0)
    assert linear.sampling_rate == 1 and linear.steps == 60 and len(linear.preparation) == 1


def test_models_have_the_layers_that_are_promised():
    cnn = recipes.make_model("cnn")
    sizes = [list(p.shape) for p in cnn.parameters()]
    assert sizes == [[16, 1, 8, 8], [16], [32, 16, 4, 4], [32], [32, 512], [32], [10, 32], [10]]
    x = torch.randn(3, 1, 28, 28)
    shapes = []
    for layer in cnn:
        x = layer(x)
        shapes.append(list(x.shape[1:]))
    assert shapes[0] == [16, 14, 14] and shapes[3] == [32, 5, 5] and shapes[6] == [512]
    assert shapes[-1] == [10]
    mlp = recipes.make_model("mlp")
    assert [list(p.shape) for p in mlp.parameters()] == [[256, 784], [256], [10, 256], [10]]
    assert mlp(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    linear = recipes.make_model("scatter-linear", 7)
    assert [list(p.shape) for p in linear.parameters()] == [[10, 7]]
    assert not linear[0].weight.any()


UNIT = 2.0**-53  # u of float64


def rounding_bound(model, x):
    """[n, classes]: what the rounding of two forward passes can make their outputs differ by.

    A layer that sums m products in any order, and a bias, errs by less than (m + 2) u |W||x| + u |b|;
    tanh and the pools take no difference further, and tanh itself errs by less than 4 u |x|. So the
    error at the end is less than the sum of all these factors times what a model of absolute values,
    without tanh, makes of |x| (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3).
    """
    magnitudes = copy.deepcopy(model)
    factor = 0
    for name, layer in list(magnitudes.named_children()):
        if isinstance(layer, nn.Tanh):
            magnitudes.register_module(name, nn.Identity())
            factor += 4
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            factor += layer.weight[0].numel() + 2
    for parameter in magnitudes.parameters():
        parameter.abs_()
    return 1.01 * 2 * factor * UNIT * magnitudes(x.abs())


@pytest.mark.skipif(
    "VELUM_RECIPE_MODELS" not in os.environ,
    reason="VELUM_RECIPE_MODELS is not set to the program recipe_models of the build",
)
@pytest.mark.parametrize("name, inputs", [("scatter-linear", 3970), ("cnn", 784), ("mlp", 784)])
@torch.no_grad()
def test_models_compute_what_those_of_the_program_do(name, inputs, tmp_path):
    path = tmp_path / "model.pt"
    subprocess.run([os.environ["VELUM_RECIPE_MODELS"], name, str(inputs), path], check=True)
    state = torch.jit.load(path).state_dict()
    x, targets, outputs, losses = (
        state.pop(f"test_{part}") for part in ("samples", "targets", "outputs", "losses")
    )
    model = recipes.make_model(name, inputs).double()
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state)  # strict: all names, all shapes
    found = model(x)
    bound = rounding_bound(model, x)
    assert found.shape == outputs.shape == (33, 10)
    # Samples that all look alike would show nothing, nor would a bound that allows for anything.
    assert outputs.std(0).min() > 1e6 * bound.max()
    assert ((found - outputs).abs() <= bound).all()
    # A cross entropy moves by at most twice what its row does; it sums ten terms and errs by less than
    # 20 u of its largest.
    found_losses = F.cross_entropy(found, targets, reduction="none")
    largest = 2 * outputs.abs().max(1).values + math.log(10)
    allowed = 2 * bound.max(1).values + 2 * 20 * UNIT * largest
    assert losses.std() > 1e6 * allowed.max()
    assert ((found_losses - losses).abs() <= allowed).all()


def write(folder, name, values, compressed):
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    data = header + values.tobytes()
    if compressed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    else:
        (folder / name).write_bytes(data)


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(1)
    written = {}
    for part, count in (("train", 40), ("t10k", 12)):
        labels = random.integers(10, size=count, dtype=np.uint8)
        images = random.integers(256, size=(count, 28, 28), dtype=np.uint8)
        write(tmp_path, f"{part}-images-idx3-ubyte", images, part == "train")
        write(tmp_path, f"{part}-labels-idx1-ubyte", labels, part == "t10k")
        written[part] = images, labels
    return tmp_path, written


def test_images_are_those_of_the_files(files):
    folder, written = files
    for found, part in zip(recipes.load_images("idx", folder), ("train", "t10k")):
        for array, expected in zip(found, written[part]):
            assert array.dtype == np.uint8 and np.array_equal(array, expected)
    images = written["train"][0]
    x = recipes.pixels(images, centred=False)
    assert x.shape == (40, 1, 28, 28) and x.dtype == torch.float32
    assert np.allclose(x.numpy()[:, 0] * 255, images, atol=1e-4)
    assert torch.equal(recipes.pixels(images, centred=True), 2 * x - 1)
    assert x.min() == 0 and x.max() == 1


def test_files_that_are_not_what_they_should_be_are_named(files):
    folder, _ = files
    with pytest.raises(recipes.DataError, match="fashion-mnist|60,?000"):
        recipes.load_images("fashion-mnist", folder)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(RuntimeError, match="t10k-images-idx3-ubyte"):
        recipes.load_images("idx", folder)


def test_a_training_by_a_plan_keeps_its_budget(files):
    folder, _ = files
    plan = recipes.plan_training(
        "cnn", dataset_size=40, epsilon=5.0, delta=1e-3, batch_size=10, epochs=2, views=2
    )
    (images, labels), _ = recipes.load_images("idx", folder)
    data = TensorDataset(
        recipes.pixels(images, centred=plan.centre_pixels), torch.from_numpy(labels).long()
    )
    model = recipes.make_model("cnn")
    engine = velum.PrivacyEngine(accountant="rdp")
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), plan.learning_rate, plan.momentum),
        data_loader=DataLoader(data, batch_size=round(plan.sampling_rate * len(data))),
        noise_multiplier=plan.noise_multiplier,
        clipping=plan.clipping,
        views=velum.ImageViews(plan.views),
    )
    average = velum.WeightAverage(model, plan.average_decay)
    for _ in range(plan.steps // plan.steps_per_epoch):
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            average.update()
    assert average.updates == plan.steps == engine.report().steps == 8
    assert engine.get_epsilon(1e-3) <= 5.0
    assert engine.accountant.composition.to_json() == plan.planned_releases.to_json()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": "resnet"}, "resnet"),
        ({"dataset_size": 0}, "dataset_size|examples"),
        ({"epsilon": -1.0}, "epsilon = -1"),
        ({"epsilon": None}, "epsilon"),
        ({"noise_multiplier": 1.0}, "epsilon"),
        ({"delta": 1.5}, "delta = 1.5"),
        ({"views": 1025}, "views"),
        ({"average_decay": 1.0}, "average"),
        ({"batch_size": 200}, "batch_size = 200"),
        ({"sampling_rate": 0.0}, "sampling_rate"),
        ({"model": "scatter-linear", "views": 2}, "views"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    given = {"model": "cnn", "dataset_size": 100, "epsilon": 1.0, **options}
    with pytest.raises(ValueError, match=message):
        recipes.plan_training(given.pop("model"), **given)


def test_there_are_no_other_models_and_data_sets():
    with pytest.raises(ValueError, match="name = 'resnet', expected scatter-linear, cnn or mlp"):
        recipes.make_model("resnet")
    with pytest.raises(ValueError, match="inputs = 0, expected >= 1"):
        recipes.make_model("scatter-linear", 0)
    with pytest.raises(ValueError, match="cifar"):
        recipes.load_images("cifar")
