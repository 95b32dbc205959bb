"""Loops as users of Opacus write them, with another import, and the example of the Python package."""

import gzip
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from velum import BatchMemoryManager, PrivacyEngine  # from opacus import PrivacyEngine
from velum.accounting import PldAccountant, PoissonSampledGaussianMechanism

ROOT = Path(__file__).parents[2]
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def convnet(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 32, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(32, 64, kernel_size=3, stride=1, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(start_dim=1, end_dim=-1),
        nn.Linear(64, num_classes, bias=True),
    )


def train(model, train_loader, optimizer, privacy_engine, delta):
    """Averages of losses and accuracies as such scripts print them (they are private values)."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    losses, accuracies = [], []
    with BatchMemoryManager(
        data_loader=train_loader, max_physical_batch_size=16, optimizer=optimizer
    ) as memory_safe_data_loader:
        for images, target in memory_safe_data_loader:
            optimizer.zero_grad()
            output = model(images)
            loss = criterion(output, target)
            predictions = np.argmax(output.detach().numpy(), axis=1)
            accuracies.append((predictions == target.numpy()).mean() if len(target) else np.nan)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
    return np.nanmean(losses), np.nanmean(accuracies), privacy_engine.get_epsilon(delta)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("with_epsilon", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cifar_loop_trains_by_its_import_alone(with_epsilon, workers):
    torch.manual_seed(0)
    # CIFAR-shaped random images, whose classes can be told by their brightness.
    target = torch.randint(2, (96,))
    images = torch.randn(96, 3, 32, 32) * 0.3 + target[:, None, None, None] - 0.5
    train_loader = DataLoader(
        TensorDataset(images, target),
        batch_size=32,
        shuffle=True,
        num_workers=workers,
        pin_memory=False,
    )
    model = convnet(num_classes=2)
    optimizer = optim.RMSprop(model.parameters(), lr=1e-2)
    privacy_engine = PrivacyEngine(secure_mode=False)
    common = {"module": model, "optimizer": optimizer, "data_loader": train_loader}
    if with_epsilon:
        model, optimizer, train_loader = privacy_engine.make_private_with_epsilon(
            **common, target_epsilon=50.0, target_delta=1e-3, epochs=4, max_grad_norm=1.2
        )
    else:
        model, optimizer, train_loader = privacy_engine.make_private(
            **common, noise_multiplier=0.8, max_grad_norm=[0.5] * 6, clipping="per_layer"
        )
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
    epsilons = []
    for _ in range(4):
        loss, accuracy, epsilon = train(model, train_loader, optimizer, privacy_engine, 1e-3)
        scheduler.step()
        epsilons.append(epsilon)
    assert all(a < b for a, b in zip(epsilons, epsilons[1:]))
    if with_epsilon:
        assert 45 < epsilon <= 50.0
        assert accuracy > 0.8  # of two equal classes


def fashion_mnist_of(folder, **sizes):
    """The first samples of Fashion-MNIST, in files of the same format."""
    folder.mkdir()
    for part, size in sizes.items():
        for kind, header, of_sample in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            name = f"{part}-{kind}-ubyte"
            with gzip.open(FASHION_MNIST / f"{name}.gz") as file:
                content = file.read(header + size * of_sample)
            (folder / name).write_bytes(content[:4] + struct.pack(">I", size) + content[8:])
    return folder


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs the package dataset-fashion-mnist")
@pytest.mark.parametrize("mode", ["hooks", "functorch"])
def test_an_mnist_script_trains_by_its_import_alone(tmp_path, mode):
    script = (Path(__file__).parent / "opacus_scripts" / "mnist.py").read_text()
    assert script.count("opacus import PrivacyEngine") == 1
    (tmp_path / "mnist.py").write_text(
        script.replace("from opacus import PrivacyEngine", "from velum import PrivacyEngine")
    )
    data = fashion_mnist_of(tmp_path / "data", train=4000, t10k=1000)
    run = subprocess.run(
        [
            *(sys.executable, "mnist.py", "--data-root", data, "--quiet", "--save-model"),
            *("--batch-size", "100", "--epochs", "3", "--n-runs", "2", "--lr", "0.5"),
            *("--sigma", "0.8", "--secure-rng", "--grad-sample-mode", mode),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    spent = [float(e) for e in re.findall(r"ε = ([\d.]+), δ = 1e-05", run.stdout)]
    # Of a run: after every epoch what 40 steps at a rate of 1/40 cost; each run has its own books.
    books = PldAccountant()
    expected = []
    for _ in range(3):
        books.compose(PoissonSampledGaussianMechanism(1 / 40, 0.8), 40)
        expected.append(books.epsilon(1e-5))
    assert np.allclose(spent, expected * 2, atol=0.006)
    accuracies = torch.load(next(tmp_path.glob("run_results_mnist_*.pt")))
    assert len(accuracies) == 2 and min(accuracies) > 0.3  # of ten classes
    weights = torch.load(next(tmp_path.glob("mnist_cnn_*.pt")))
    assert list(weights) == [
        f"{n}.{k}" for n in ("conv1", "conv2", "fc1", "fc2") for k in ("weight", "bias")
    ]


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_the_example_learns_fashion_mnist():
    run = subprocess.run(
        [
            *(sys.executable, ROOT / "examples" / "05_train_with_dp_sgd.py"),
            *("--limit", "6000", "--epochs", "5", "--batch-size", "300", "--epsilon", "8"),
        ],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    accuracy, epsilon = re.findall(
        r"epoch 5: test accuracy ([\d.]+)%, epsilon ([\d.]+)", run.stdout
    )[0]
    assert float(epsilon) <= 8.0 and float(accuracy) > 40  # 58, of ten classes
    assert "Privacy report" in run.stdout
