# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train Fashion-MNIST privately
#
# **Question.** What changes in a training loop when no single image may be learnt by heart, and what does it cost in
# accuracy?
#
# A small network on all 60 000 images, so that it takes seconds. The same with a convolutional one, and the best
# that velum knows for ε = 3 (90 %):
#
#     .venv/bin/python examples/05_train_with_dp_sgd.py --epsilon 3 --epochs 10
#     .venv/bin/velum train --dataset fashion-mnist --model scatter-linear --epsilon 3 --delta 1e-5 --out runs/a
#
# The images are those of the Debian package `dataset-fashion-mnist`.

# %%
import gzip
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

FOLDER = Path("/usr/share/datasets/fashion-mnist")
BATCH_SIZE, EPOCHS = 1500, 6
EPSILON, DELTA = 3.0, 1e-5
CLASSES = ["T-shirt", "trousers", "pullover", "dress", "coat"]
CLASSES += ["sandal", "shirt", "sneaker", "bag", "boot"]

BLUE, ORANGE = "#0072b2", "#d55e00"


def read(part: str) -> TensorDataset:
    """The images, in [-1, 1], and their classes, of "train" or "t10k"."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(FOLDER / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    x = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.float32)) / 127.5 - 1
    return TensorDataset(x, torch.from_numpy(labels.astype(np.int64)))


train, test = read("train"), read("t10k")

# %% [markdown]
# ## A model and a loop, as always


# %%
def make_model() -> nn.Module:
    torch.manual_seed(1)  # of the weights to start from, of nothing private
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.Tanh(), nn.Linear(64, 10))


def accuracy(model: nn.Module) -> float:
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(test, 500))
    return right / len(test)


def epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> None:
    for x, y in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


plain = make_model()
optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True)
plain_accuracy = []
for _ in range(EPOCHS):
    epoch(plain, optimizer, loader)
    plain_accuracy.append(accuracy(plain))
print("without privacy:", ", ".join(f"{value:.1%}" for value in plain_accuracy))

# %% [markdown]
# ## The same, private
#
# `make_private_with_epsilon` finds the noise for the budget. The model stays the same object and the loop is the very
# function from above: `backward` now clips the gradient of every single image, `step` adds noise, and the loader draws
# Poisson samples.

# %%
model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True)

engine = velum.PrivacyEngine()
model, optimizer, loader = engine.make_private_with_epsilon(
    module=model,
    optimizer=optimizer,
    data_loader=loader,
    target_epsilon=EPSILON,
    target_delta=DELTA,
    epochs=EPOCHS,
    max_grad_norm=0.5,
)
private_accuracy, spent = [], []
for _ in range(EPOCHS):
    epoch(model, optimizer, loader)
    private_accuracy.append(accuracy(model))
    spent.append(engine.get_epsilon(DELTA))
    print(f"accuracy {private_accuracy[-1]:.1%} at ε = {spent[-1]:.2f}")
assert spent[-1] <= EPSILON

# %% [markdown]
# ## What it cost

# %%
axes = velum.plot.accuracy_over_epsilon(
    spent, private_accuracy, delta=DELTA, without_privacy=plain_accuracy[-1]
)
axes.set_xticks(spent, [f"{epsilon:.2f}" for epsilon in spent])
axes.set(xlabel=f"ε spent after each epoch, at δ = {DELTA:g}", ylabel="test accuracy", ylim=(0, 1))
plt.show()

# %% [markdown]
# Epochs are bought with ε: the first is the dearest. The curve ends where the budget does; the noise was chosen so.

# %%
x, y = test[:16]
with torch.no_grad():
    guesses = model(x).argmax(1)
figure, grid = plt.subplots(2, 8, figsize=(8, 2.6), layout="constrained")
for axes, image, guess, label in zip(grid.flat, x, guesses, y):
    axes.imshow(image[0], cmap="gray_r")
    axes.set_title(CLASSES[guess], fontsize=9, color=BLUE if guess == label else ORANGE)
    axes.axis("off")
plt.show()

# %% [markdown]
# What the private model says of the first test images; orange is wrong.
#
# ## What is promised

# %%
engine.report()

# %% [markdown]
# **What one may conclude.** Whoever has the trained model, all its states on the way included, and knows every image but
# one, learns about that one at most what ε = 3 at δ = 1e-5 allows, whatever they compute.
#
# **What one may not.** That one accuracy of one run is a measurement: the noise moves it, and so does the choice of
# test images. That the gap is what privacy costs in general: noise is shared by the images of a batch, so it shrinks with
# more of them, and depends on the model. And settings tried on the same images before are not in this ε.
