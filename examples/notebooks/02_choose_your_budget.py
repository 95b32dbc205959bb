# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Choose your budget
#
# **Question.** You have 60 000 records, want to train for 20 epochs, and have promised ε ≤ 3 at δ = 1e-5. How much
# noise does that take, does it depend on who counts, and may you keep your shuffling loader?
#
# Nothing is trained here: a budget is chosen before the data are touched. All numbers are upper bounds of what a run
# costs; what a model is worth at that noise is another question (the first notebook).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import velum
from velum import accounting as acc

RECORDS, EPOCHS, EPSILON, DELTA = 60_000, 20, 3.0, 1e-5

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
# ## How much noise
#
# The noise multiplier σ is the standard deviation of the noise over the clipping norm. A larger batch needs more of
# it, because every record is in more of the batches, but the noise is then shared by more records: what the mean
# gradient feels is σ / batch size.

# %%
batch_sizes = np.array([128, 256, 512, 1024, 2048, 4096])
sigmas = np.array(
    [
        acc.calibrate_noise_multiplier(
            epsilon=EPSILON,
            delta=DELTA,
            sampling_rate=size / RECORDS,
            steps=acc.steps_of_epochs(EPOCHS, size / RECORDS),
        )
        for size in batch_sizes
    ]
)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.semilogx(batch_sizes, sigmas, "o-", color=BLUE, base=2)
left.set(title="noise multiplier σ", xlabel="expected batch size", ylim=(0, None))
right.loglog(batch_sizes, sigmas / batch_sizes, "o-", color=BLUE, base=2)
right.set(title="noise per record, σ / batch size", xlabel="expected batch size")
for axes in (left, right):
    axes.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    axes.minorticks_off()
right.set_yticks([0.0005, 0.001, 0.002, 0.004], ["0.0005", "0.001", "0.002", "0.004"])
plt.show()

# %% [markdown]
# The left curve rises, the right one falls: at one budget, larger batches give cleaner gradients, at the price of fewer
# steps. That is why private training likes batches of a thousand and more.

# %% [markdown]
# ## Who counts
#
# Two accountants are at hand. The Rényi bound (`RdpAccountant`) is quick. The privacy loss distribution
# (`PldAccountant`) is tight: it also proves a lower bound, so one sees how little there is left to gain.

# %%
batch_size = 1024
rate = batch_size / RECORDS
steps = acc.steps_of_epochs(EPOCHS, rate)
sigma = float(sigmas[list(batch_sizes).index(batch_size)])
step = acc.PoissonSampledGaussianMechanism(sampling_rate=rate, noise_multiplier=sigma)

accountants = {"Rényi": acc.RdpAccountant(), "tight": acc.PldAccountant()}
axes = velum.plot.epsilon_over_steps(step, steps=steps, delta=DELTA, accountants=accountants)
axes.axhline(EPSILON, color=GREY, linestyle=":")
axes.text(0, EPSILON, " the promise", color=GREY, va="bottom")
plt.show()

# %% [markdown]
# Both curves are true upper bounds for the *same* training; the lower one just knows more, and leaves next to nothing
# to know: its text has the proved lower bound as well. What it saves can be turned into less noise, for nothing:

# %%
tight = acc.calibrate_noise_multiplier(
    epsilon=EPSILON,
    delta=DELTA,
    sampling_rate=rate,
    steps=steps,
    spent=acc.PldAccountant(),
    tolerance=1e-3,
)
print(f"σ by Rényi: {sigma:.4f}; by the tight accountant: {tight:.4f}")
assert tight < sigma

# %% [markdown]
# ## The shuffling trap
#
# All of the above holds for **Poisson** samples: each record is in each batch with probability q, independently. A
# usual loader shuffles once an epoch and cuts the list. That is a different mechanism, for which the gain from
# sampling is not proved: every record is in exactly one batch an epoch, so an epoch must be counted as one release
# *without* sampling. (Why the two may not be taken for each other: arXiv 2403.17673.)

# %%
sampling = {
    "Poisson samples": (acc.BatchSampling.POISSON, steps),
    "shuffled batches": (acc.BatchSampling.SHUFFLED_BATCHES, EPOCHS),
}
costs = {}
for name, (kind, count) in sampling.items():
    mechanism = acc.mechanism_of_batches(
        kind, sampling_rate=rate, noise_multiplier=sigma, steps=count
    )
    accountant = acc.PldAccountant()
    accountant.compose(mechanism, count=count)
    costs[name] = math.ceil(100 * accountant.epsilon(DELTA)) / 100  # a bound is rounded up
    print(f"{name}: {count} releases, {mechanism}: ε ≤ {costs[name]:.2f}")
assert costs["shuffled batches"] > EPSILON > costs["Poisson samples"]

# %%
figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
bars = axes.barh(list(costs), list(costs.values()), color=[BLUE, ORANGE], height=0.6)
axes.bar_label(bars, fmt="ε ≤ %.2f", padding=8)
axes.axvline(EPSILON, color=GREY, linestyle=":")
axes.text(EPSILON, -0.55, "the promise", color=GREY, ha="center", va="bottom")
axes.set(xlabel=f"what can be promised, at δ = {DELTA:g}", xlim=(0, 1.25 * max(costs.values())))
axes.set_ylim(1.5, -0.5)
plt.show()

# %% [markdown]
# Same batch size, same noise, same number of epochs. Whoever shuffles and reports the upper bar has promised something
# that nobody has proved. `velum.PrivacyEngine` therefore takes your loader and gives back one that draws Poisson samples.
#
# ## What to write down

# %%
plan = acc.PldAccountant()
plan.compose(
    acc.PoissonSampledGaussianMechanism(rate, tight), count=steps, label="planned training"
)
plan.statement(DELTA)

# %% [markdown]
# **What one may conclude.** With σ as calibrated and Poisson samples, 20 epochs keep the promise, and σ is within
# a thousandth of the smallest for which the tight accountant can prove it.
#
# **What one may not.** ε says nothing about several records of one person (`group_guarantee`), about settings tried
# before this run on the same data, or about records that are known to be correlated. The bars do not show that shuffling
# *is* that bad, only that no more can be promised for it.
