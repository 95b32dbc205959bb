# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Audit your own model
#
# **Question.** A training claims ε. Is the claim true of *your* model, in the code that really runs?
#
# An accountant computes ε from two facts: one record moves the sum of gradients by at most C, and noise of σ C is added
# to it. Both can be looked at from outside, and that is done here by hand, with the functions of the package: first the
# sums without noise, then the releases with noise, in the role of an attacker.
#
# `velum.audit` and the program `velum audit` do this, and a check of the noise itself and of the sampling, on whole trainings
# with their own statistics, and write a report (`docs/auditing.md`).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset
from velum import accounting as acc

plt.rcParams.update(
    {
        "figure.figsize": (6, 3.4),
        "figure.dpi": 90,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"

# %% [markdown]
# ## Your model
#
# Any torch model. In float64, so that rounding cannot be mistaken for a leak. The records are made up, and an eighth of
# the labels is wrong. The model is looked at after a little training (not private: the records do not exist), when it
# fits some of them and not others.

# %%
torch.manual_seed(5)  # of model and data, of nothing private
RECORDS, C = 40, 0.5
model = nn.Sequential(
    nn.Conv1d(1, 6, 3), nn.GroupNorm(2, 6), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 14, 3)
).double()
x = torch.randn(RECORDS, 1, 16, dtype=torch.float64)
labels = x[:, 0, :15].reshape(RECORDS, 3, 5).sum(2).argmax(1)
labels[::8] = (labels[::8] + 1) % 3
data = TensorDataset(x, labels)


def losses_of(batch: list[torch.Tensor]) -> torch.Tensor:
    features, classes = batch
    return F.cross_entropy(model(features), classes, reduction="none")


optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(25):
    optimizer.zero_grad()
    losses_of(list(data.tensors)).mean().backward()
    optimizer.step()

norms = velum.per_sample_norms(losses_of(list(data.tensors)), model.parameters()).numpy()
velum.plot.private_norm_histogram(norms, clipping_norm=C)
plt.show()

# %% [markdown]
# Norms of single records are as private as the records: this histogram is for the owner's eyes only.
#
# ## One record away
#
# Sums before the noise, as the engine makes them: `noise_multiplier=0`, and everybody in the batch. Once with all
# records, and once for each record without it. **No two sums may be further apart than C.**


# %%
def exact_sum(dataset: torch.utils.data.Dataset) -> torch.Tensor:
    """The engine's sum of clipped gradients, without noise. Not private, and only for audits."""
    engine = velum.PrivacyEngine(accountant="rdp")
    loader = engine.attach(
        model.parameters(),
        DataLoader(dataset, batch_size=len(dataset)),
        noise_multiplier=0.0,
        max_grad_norm=C,
    )
    for batch in loader:
        engine.backward(losses_of(batch))
        engine.finish_step()
    engine.detach()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    return gradient * loader.expected_batch_size


def without(record: int) -> Subset:
    return Subset(data, [i for i in range(RECORDS) if i != record])


everybody = exact_sum(data)
moved = np.array([float((everybody - exact_sum(without(i))).norm()) for i in range(RECORDS)])
print(f"furthest apart: {moved.max() / C:.12f} C")
assert moved.max() <= C * (1 + 1e-9)

# %% [markdown]
# The same for a mistake that is easily made: each *layer* clipped to C, and C stated for the whole.

# %%
gradients = velum.per_sample_gradients(losses_of(list(data.tensors)), model.parameters())
of_layers = torch.stack([g.flatten(1).norm(dim=1) for g in gradients])  # [layers, records]
mistaken = of_layers.clamp(max=C).norm(dim=0).numpy()
assert mistaken.max() > C

figure, axes = plt.subplots(layout="constrained")
order = np.argsort(moved)
axes.plot(mistaken[order], ".", color=ORANGE, label="clipped layer by layer, C stated")
axes.plot(moved[order], ".", color=BLUE, label="velum")
axes.axhline(C, color=GREY, linestyle=":")
axes.text(0, C, "C", color=GREY, va="bottom")
axes.set(xlabel="record that is left out, in order", ylabel="how far the sum moves", ylim=(0, None))
axes.legend(loc="upper left")
plt.show()

# %% [markdown]
# Every orange dot above the line is a person whose ε is larger than stated.
#
# ## A model that mixes records
#
# Batch normalisation lets one record change the gradients of all others. Clipping cannot bound that, so it is refused
# before anything is released.

# %%
mixing = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
try:
    mixed = F.cross_entropy(mixing(x.flatten(1)), labels, reduction="none")
    velum.per_sample_norms(mixed, mixing.parameters())
except ValueError as error:
    print(error)
else:
    raise AssertionError("a model that mixes records was not refused")

# %% [markdown]
# ## The attacker
#
# Now with noise, σ = 1. The attacker knows the model, all records but one, and that one record as well; only not
# *whether it took part*. Sees one release, subtracts what is known, and looks how far the rest points along that record's
# gradient. We play this many times, with the record and without.

# %%
RELEASES, SIGMA, DELTA = 2000, 1.0, 1e-5
target = int(np.argmax(norms))
known = exact_sum(without(target))
direction = everybody - known  # of norm C: an outlier, as attackers like them


def scores(dataset: torch.utils.data.Dataset, noise_multiplier: float) -> np.ndarray:
    """What the attacker reads from RELEASES releases, each with noise of its own."""
    engine = velum.PrivacyEngine(accountant="rdp")
    loader = engine.attach(
        model.parameters(),
        DataLoader(dataset, batch_size=len(dataset)),
        noise_multiplier=noise_multiplier,
        max_grad_norm=C,
    )
    seen = []
    while len(seen) < RELEASES:
        for batch in loader:  # one step; the model stays where it is
            engine.backward(losses_of(batch))
            engine.finish_step()
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
            rest = gradient * loader.expected_batch_size - known
            seen.append(float(rest @ direction / direction.norm()) / C)
    engine.detach()
    return np.array(seen)


with_target, without_target = scores(data, SIGMA), scores(without(target), SIGMA)
bins = np.linspace(-5, 6, 56)
figure, axes = plt.subplots(layout="constrained")
axes.hist(without_target, bins, color=GREY, alpha=0.7, label="without the record")
axes.hist(with_target, bins, color=BLUE, alpha=0.6, label="with the record")
axes.set(xlabel="what the attacker reads, in units of C", ylabel="releases")
axes.legend()
plt.show()

# %% [markdown]
# The two hills overlap: from one release the attacker cannot tell. ε says how much they must overlap, so counting how
# often a guess is right gives a **lower** bound of ε. A threshold is chosen on one half of the releases and judged on the
# other; the counts get Clopper-Pearson intervals, which together hold with 95 %.


# %%
def upper_limit(hits: int, tries: int, miss: float = 0.025) -> float:
    """Clopper-Pearson: the largest rate at which so few hits still have probability `miss`."""
    if hits == tries:
        return 1.0
    counts = np.arange(hits + 1)
    ways = np.array(
        [math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1) for k in counts]
    )
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        at_most = np.exp(ways + counts * np.log(rate) + (tries - counts) * np.log1p(-rate)).sum()
        low, high = (rate, high) if at_most > miss else (low, rate)
    return high


def bound(inside: np.ndarray, outside: np.ndarray, threshold: float) -> float:
    """A lower bound of epsilon at DELTA from guesses "took part" above the threshold."""
    false_alarms = upper_limit(int((outside > threshold).sum()), len(outside))
    found = 1 - upper_limit(int((inside <= threshold).sum()), len(inside))
    return math.log(max((found - DELTA) / false_alarms, 1.0))


def audit(inside: np.ndarray, outside: np.ndarray) -> float:
    half = RELEASES // 2
    candidates = np.linspace(-1, 3, 81)
    bounds = np.array([bound(inside[:half], outside[:half], t) for t in candidates])
    best = np.median(candidates[bounds == bounds.max()])  # not at the edge of what works
    return math.floor(100 * bound(inside[half:], outside[half:], float(best))) / 100


books = acc.PldAccountant()
books.compose(acc.GaussianMechanism(SIGMA))  # one release, everybody in it
claimed = math.ceil(100 * books.epsilon(DELTA)) / 100  # bounds are rounded outwards
measured = audit(with_target, without_target)
print(f"claimed: ε ≤ {claimed:.2f}; this attack proves ε ≥ {measured:.2f}")
assert measured <= claimed

# %% [markdown]
# No contradiction. Would this have found a fault? A common one is noise that misses the factor C: with C = 8 in force,
# the noise is then 8 times too small. We play it, by σ / 8, and hold it to the claim for σ.

# %%
faulty = audit(scores(data, SIGMA / 8), scores(without(target), SIGMA / 8))
print(f"claimed: ε ≤ {claimed:.2f}; this attack proves ε ≥ {faulty:.2f}")
assert faulty > claimed

figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
bars = axes.barh(["velum", "noise without C"], [measured, faulty], color=[BLUE, ORANGE], height=0.6)
axes.bar_label(bars, fmt="ε ≥ %.2f", padding=8)
axes.axvline(claimed, color=GREY, linestyle=":")
axes.text(claimed, -0.5, "claimed: at most", color=GREY, ha="center", va="bottom")
axes.set(xlabel=f"proved by the attack, at δ = {DELTA:g}", xlim=(0, 1.3 * max(faulty, claimed)))
axes.set_ylim(1.5, -0.5)
plt.show()

# %% [markdown]
# **What one may conclude.** On this model and these records no record moved a sum by more than C, and an
# attacker with all that knowledge did not beat the claim. A training whose noise is far too small would have been caught.
#
# **What one may not.** An audit finds faults and never proves their absence: the blue bar is far below the claim because
# counting is crude, not because the truth is there. A noise that is a tenth too small passes this one. And this was
# one step; a whole training, its sampling and its noise generator are what `velum audit` looks at.
