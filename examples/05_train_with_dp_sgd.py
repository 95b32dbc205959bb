#!/usr/bin/env python3
"""Trains a small CNN on Fashion-MNIST under differential privacy.

    .venv/bin/python examples/05_train_with_dp_sgd.py --epsilon 3 --epochs 10

Everything but the three marked places is what one writes without privacy.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
import velum  # 1
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 8, stride=2, padding=3)
        self.conv2 = nn.Conv2d(16, 32, 4, stride=2)
        self.fc1 = nn.Linear(32 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2, 1)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2, 1)
        return self.fc2(torch.tanh(self.fc1(x.flatten(1))))


def read(folder: Path, part: str, limit: int | None) -> TensorDataset:
    """The images in [-1, 1] and the labels of "train" or "t10k"."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    x = torch.from_numpy(images[:limit].astype(np.float32)) / 127.5 - 1
    return TensorDataset(x, torch.from_numpy(labels[:limit].astype(np.int64)))


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(data, 1000))
    model.train()
    return right / len(data)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epsilon", type=float, default=3.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=1024, help="expected; a logical batch")
    parser.add_argument("--memory", type=int, default=256, help="most images at once")
    parser.add_argument("--lr", type=float, default=2.0)
    parser.add_argument("--clip", type=float, default=0.1)
    parser.add_argument("--limit", type=int, help="train on the first images only")
    args = parser.parse_args()

    train, test = read(args.data, "train", args.limit), read(args.data, "t10k", None)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    loader = DataLoader(train, batch_size=args.batch_size, shuffle=True)
    criterion = nn.CrossEntropyLoss()

    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private_with_epsilon(  # 2
        module=model,
        optimizer=optimizer,
        data_loader=loader,
        target_epsilon=args.epsilon,
        target_delta=args.delta,
        epochs=args.epochs,
        max_grad_norm=args.clip,
    )
    for epoch in range(1, args.epochs + 1):
        with velum.BatchMemoryManager(  # 3
            data_loader=loader, max_physical_batch_size=args.memory, optimizer=optimizer
        ) as small:
            for x, y in small:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
        print(
            f"epoch {epoch}: test accuracy {accuracy(model, test):.2%}, "
            f"epsilon {engine.get_epsilon(args.delta):.2f}",
            flush=True,
        )
    print(engine.report())


if __name__ == "__main__":
    main()
