#!/usr/bin/env python3
"""Steps of training in Python, plain and private, on the same models and the same random batch.

A way to take a step is one of

  plain  torch alone
  velum  velum.PrivacyEngine.make_private, with every sample in every batch (sampling rate 1), so
         that all ways see the same one
  hooks  Opacus with per-sample gradients from hooks
  ghost  Opacus with ghost clipping

As a program it takes a model and a way and prints the memory of their steps, as JSON:

  first_peak_mb  of the first steps, in which velum proves a new graph and checks it again
  peak_mb        of two steps after these

each the resident memory at its highest (VmHWM, in 10^6 bytes) over that before the model was made;
or `failure`, the reason why there is no such step.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MODELS = [
    "tanh_cnn",
    "mlp",
    "groupnorm_cnn",
    "transformer",
    "language_model",
    "gru",
    "lstm",
    "embedding",
]
WAYS = ["plain", "velum", "hooks", "ghost"]
BY_OPACUS = ["hooks", "ghost"]
VOCABULARY = {"transformer": 1000, "language_model": 1000, "embedding": 100_000}
FIRST_STEPS = {"plain": 1, "velum": 5, "hooks": 1, "ghost": 1}  # not like the steps after them


@dataclass
class Step:
    prepare: Callable[[], None]  # no part of the step: the batch is handed out
    run: Callable[[], None]  # forward, backward, optimiser

    def __call__(self) -> None:
        self.prepare()
        self.run()


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.embedding = nn.Embedding(VOCABULARY["transformer"], 128)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(128, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embedding(tokens)).mean(1))


class LanguageModel(nn.Module):
    """Predicts every next token; the table is the output layer, too."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.embedding = nn.Embedding(VOCABULARY["language_model"], 128)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(128, VOCABULARY["language_model"], bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        inputs = tokens[:, :-1]
        ahead = torch.full(2 * inputs.shape[1:], float("-inf")).triu(1)
        return self.head(self.encoder(self.embedding(inputs), mask=ahead))


class NextTokenLoss(nn.Module):
    """Of logits [batch, steps, vocabulary]: the mean of a sample's, and with "mean" of all samples."""

    reduction = "mean"

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return losses.mean(1) if self.reduction == "none" else losses.mean(1).mean()


class Recurrent(nn.Module):
    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__()
        self.layer = layer(28, 128, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(images.squeeze(1))[0][:, -1])


class EmbeddingClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY["embedding"], 64)
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens).mean(1))


def make_model(name: str, for_opacus: bool = False) -> nn.Module:
    """The model of a name; with the layers that Opacus needs in place of torch's, if it is for it."""
    if for_opacus:
        import opacus.layers as layers
    if name == "tanh_cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, 8, 2, 3), nn.Tanh(), nn.MaxPool2d(2, 1),
            nn.Conv2d(16, 32, 4, 2), nn.Tanh(), nn.MaxPool2d(2, 1),
            nn.Flatten(), nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10),
        )  # fmt: skip
    if name == "mlp":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(),
            nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10),
        )  # fmt: skip
    if name in ("transformer", "language_model"):
        model = Transformer() if name == "transformer" else LanguageModel()
        for layer in model.encoder.layers if for_opacus else []:  # as ModuleValidator.fix does
            layer.self_attn = layers.DPMultiheadAttention(128, 4, dropout=0.0, batch_first=True)
        return model
    if name == "gru":
        return Recurrent(layers.DPGRU if for_opacus else nn.GRU)
    if name == "lstm":
        return Recurrent(layers.DPLSTM if for_opacus else nn.LSTM)
    if name == "embedding":
        return EmbeddingClassifier()

    def block(channels_in: int, channels_out: int) -> list[nn.Module]:
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        return [conv, nn.GroupNorm(8, channels_out), nn.ReLU()]

    return nn.Sequential(
        *block(1, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2),
        *block(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def make_batch(name: str, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images [batch, 1, 28, 28], or tokens [batch, 64] for a model of these; and labels."""
    torch.manual_seed(1)
    if name in VOCABULARY:
        x = torch.randint(VOCABULARY[name], (batch, 64))
        if name == "language_model":
            return x, x[:, 1:]
    else:
        x = torch.randn(batch, 1, 28, 28)
    return x, torch.randint(10, (batch,))


def sgd(module: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(module.parameters(), 0.01)


def make_step(name: str, way: str, batch: int) -> Step:
    """A step of a model; whatever torch, velum or Opacus raises where it cannot be made."""
    x, y = make_batch(name, batch)
    criterion: Callable[..., torch.Tensor] = (
        NextTokenLoss() if name == "language_model" else nn.CrossEntropyLoss()
    )
    hand_out: Callable[[], None] = lambda: None  # noqa: E731
    model = make_model(name, for_opacus=way in BY_OPACUS)
    optimizer: torch.optim.Optimizer = sgd(model)
    if way == "velum":
        import velum

        model, optimizer, loader = velum.PrivacyEngine().make_private(
            module=model,
            optimizer=optimizer,
            data_loader=DataLoader(TensorDataset(x, y), batch_size=batch),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
        )

        def hand_out() -> None:
            nonlocal x, y
            x, y = next(iter(loader))

    elif way in BY_OPACUS:
        from opacus import grad_sample, optimizers
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        private = {
            "noise_multiplier": 1.0,
            "max_grad_norm": 1.0,
            "expected_batch_size": batch,
            "loss_reduction": "mean",
        }
        if way == "hooks":
            model = grad_sample.GradSampleModule(model)
            optimizer = optimizers.DPOptimizer(optimizer, **private)
        else:
            model = grad_sample.GradSampleModuleFastGradientClipping(
                model, max_grad_norm=1.0, use_ghost_clipping=True, loss_reduction="mean"
            )
            optimizer = optimizers.DPOptimizerFastGradientClipping(optimizer, **private)
            criterion = DPLossFastGradientClipping(
                model, optimizer, criterion, loss_reduction="mean"
            )

    def run() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return Step(hand_out, run)


def reason(error: Exception) -> str:
    """Why there is no such step, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def within_memory() -> None:
    """Turns what this machine cannot hold into an error of the allocation."""
    import resource

    info = Path("/proc/meminfo").read_text()
    available = int(re.search(r"^MemAvailable:\s*(\d+)", info, re.MULTILINE).group(1)) << 10
    limit = of_this_process("VmSize") + available * 3 // 4
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def of_this_process(field: str) -> int:
    """Bytes, from /proc/self/status."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s*(\d+)", status, re.MULTILINE).group(1)) << 10


def peak_memory(name: str, way: str, batch: int) -> dict[str, float]:
    """What the program prints; in a process that has made no step before."""
    # Code that is loaded for the first step of any model is no memory of this one's.
    if way != "plain":
        importlib.import_module("velum" if way == "velum" else "opacus")
    anything = nn.Linear(1, 1)
    optimizer = sgd(anything)
    nn.CrossEntropyLoss()(anything(torch.ones(1, 1)), torch.zeros(1, dtype=torch.long)).backward()
    optimizer.step()
    gc.collect()
    before = of_this_process("VmRSS")
    peaks = []
    step = make_step(name, way, batch)
    for count in (FIRST_STEPS[way], 2):
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
        for _ in range(count):
            step()
        peaks.append((of_this_process("VmHWM") - before) * 1e-6)
    return {"first_peak_mb": round(peaks[0], 3), "peak_mb": round(peaks[1], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--batch", type=int, default=256, help="samples (default: 256)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)
    within_memory()
    try:
        result: dict[str, object] = {**peak_memory(arguments.model, arguments.way, arguments.batch)}
    except Exception as error:
        if arguments.way not in BY_OPACUS:
            raise
        result = {"failure": reason(error)}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
