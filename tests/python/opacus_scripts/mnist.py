"""Trains a small convolutional network on MNIST's files with differential privacy.

Written as scripts on Opacus are; `from_opacus_test.py` runs it with the line of the import changed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

MEAN, DEVIATION = 0.2860, 0.3530  # of Fashion-MNIST's training pixels


class Images(Dataset):
    """Images and labels in the files of MNIST, one pair a sample."""

    def __init__(self, root, train):
        name = "train" if train else "t10k"
        self.images = self._read(root / f"{name}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
        self.labels = self._read(root / f"{name}-labels-idx1-ubyte", 8)

    @staticmethod
    def _read(path, header):
        return np.frombuffer(path.read_bytes(), np.uint8, offset=header)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        pixels = torch.from_numpy(self.images[index].astype(np.float32)) / 255
        return (pixels - MEAN) / DEVIATION, int(self.labels[index])


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 8, 2, padding=3)
        self.conv2 = nn.Conv2d(16, 32, 4, 2)
        self.fc1 = nn.Linear(32 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2, 1)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2, 1)
        x = x.view(-1, 32 * 4 * 4)
        return self.fc2(F.relu(self.fc1(x)))


def train(args, model, device, train_loader, optimizer, privacy_engine, epoch):
    model.train()
    criterion = nn.CrossEntropyLoss()
    losses = []
    for data, target in tqdm(train_loader, disable=args.quiet):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    if args.disable_dp:
        print(f"Train Epoch: {epoch} \t Loss: {np.mean(losses):.6f}")
    else:
        epsilon = privacy_engine.accountant.get_epsilon(delta=args.delta)
        print(
            f"Train Epoch: {epoch} \t"
            f"Loss: {np.mean(losses):.6f} "
            f"(ε = {epsilon:.2f}, δ = {args.delta})"
        )


def test(model, device, test_loader):
    model.eval()
    criterion = nn.CrossEntropyLoss()
    test_loss = 0
    correct = 0
    with torch.no_grad():
        for data, target in test_loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            test_loss += criterion(output, target).item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()

    test_loss /= len(test_loader)
    accuracy = correct / len(test_loader.dataset)
    print(f"Test set: Average loss: {test_loss:.4f}, Accuracy: {100 * accuracy:.2f}%")
    return accuracy


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("-b", "--batch-size", type=int, default=64)
    parser.add_argument("--test-batch-size", type=int, default=1024)
    parser.add_argument("-n", "--epochs", type=int, default=10)
    parser.add_argument("-r", "--n-runs", type=int, default=1, help="runs to average over")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--sigma", type=float, default=1.0, help="noise multiplier")
    parser.add_argument("-c", "--max-per-sample-grad-norm", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--device", type=str, default="cpu")
    parser.add_argument("--save-model", action="store_true", default=False)
    parser.add_argument("--disable-dp", action="store_true", default=False)
    parser.add_argument("--secure-rng", action="store_true", default=False)
    parser.add_argument("--grad-sample-mode", type=str, default="hooks")
    parser.add_argument("--data-root", type=Path, default=Path("mnist"))
    parser.add_argument("--quiet", action="store_true", default=False)
    args = parser.parse_args()
    device = torch.device(args.device)

    train_loader = DataLoader(
        Images(args.data_root, train=True),
        batch_size=args.batch_size,
        num_workers=0,
        pin_memory=True,
    )
    test_loader = DataLoader(
        Images(args.data_root, train=False),
        batch_size=args.test_batch_size,
        shuffle=True,
        num_workers=0,
        pin_memory=True,
    )
    run_results = []
    for _ in range(args.n_runs):
        model = ConvNet().to(device)
        optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0)
        privacy_engine = None
        if not args.disable_dp:
            privacy_engine = PrivacyEngine(secure_mode=args.secure_rng)
            model, optimizer, train_loader = privacy_engine.make_private(
                module=model,
                optimizer=optimizer,
                data_loader=train_loader,
                noise_multiplier=args.sigma,
                max_grad_norm=args.max_per_sample_grad_norm,
                grad_sample_mode=args.grad_sample_mode,
            )
        for epoch in range(1, args.epochs + 1):
            train(args, model, device, train_loader, optimizer, privacy_engine, epoch)
        run_results.append(test(model, device, test_loader))

    if len(run_results) > 1:
        print(
            f"Accuracy averaged over {len(run_results)} runs: "
            f"{np.mean(run_results) * 100:.2f}% ± {np.std(run_results) * 100:.2f}%"
        )
    settings = f"mnist_{args.lr}_{args.sigma}_{args.max_per_sample_grad_norm}_{args.batch_size}_{args.epochs}"
    torch.save(run_results, f"run_results_{settings}.pt")
    if args.save_model:
        torch.save(model.state_dict(), f"mnist_cnn_{settings}.pt")


if __name__ == "__main__":
    main()
