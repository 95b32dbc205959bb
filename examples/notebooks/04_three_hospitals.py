# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Three hospitals train together under encryption
#
# **Question.** Three hospitals want one model. None may show its patients, and none wants to show the others its own
# model. What can they do with somebody in the middle who adds up numbers, and whom nobody trusts?
#
# The patients are made up. All parties run in this one notebook; between them go signed bytes and nothing else.
#
# Two protections meet here, and they protect from different things:
#
# - **differential privacy** in each hospital: whatever comes out tells little about any one patient;
# - **encrypted sums**: whoever adds up sees no hospital's model, only the sum of all three comes out.
#
# Here each hospital adds its noise alone, so its ε holds even if all others conspire. Noise that is *shared*, of which the
# sum needs only as much as one data set would, is what the program `velum federate` adds.

# %%
import secrets
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from velum.he import aggregation

HOSPITALS, PATIENTS, MEASURES, ROUNDS = 3, 1500, 21, 8
EPSILON, DELTA = 3.0, 1e-5

plt.rcParams.update(
    {
        "figure.figsize": (6, 3.4),
        "figure.dpi": 90,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)
BLUE, GREY = "#0072b2", "#777777"

# %% [markdown]
# ## The patients
#
# Each hospital lacks one of three machines, so a third of the measures is always 0 there. No hospital alone can learn
# what those mean; the patients who are to be judged later have all of them.

# %%
generator = torch.Generator().manual_seed(4)  # of the made-up patients, of nothing private
truth = torch.randn(MEASURES, generator=generator)


def patients(count: int, lacking: int | None) -> TensorDataset:
    x = torch.randn(count, MEASURES, generator=generator)
    if lacking is not None:
        x[:, lacking::HOSPITALS] = 0
    ill = torch.sigmoid(2 * x @ truth) > torch.rand(count, generator=generator)
    return TensorDataset(x, ill.float())


data = [patients(PATIENTS, lacking) for lacking in range(HOSPITALS)]
later_x, later_y = patients(4000, None).tensors


def accuracy(model: nn.Module) -> float:
    with torch.no_grad():
        return float(((model(later_x)[:, 0] > 0) == (later_y > 0.5)).float().mean())


# %% [markdown]
# ## A hospital
#
# A model, an optimiser, and a `PrivacyEngine` that makes its training private for the whole plan of rounds.


# %%
class Hospital:
    def __init__(self, dataset: TensorDataset) -> None:
        self.engine = velum.PrivacyEngine()
        model = nn.Linear(MEASURES, 1)
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        self.model, self.optimizer, self.loader = self.engine.make_private_with_epsilon(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
            data_loader=DataLoader(dataset, batch_size=150, shuffle=True),
            target_epsilon=EPSILON,
            target_delta=DELTA,
            epochs=ROUNDS,
            max_grad_norm=1.0,
        )

    def train(self) -> None:
        """One pass over its own patients."""
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(self.model(x)[:, 0], y, reduction="none")
            loss.backward()
            self.optimizer.step()


# %% [markdown]
# First, for comparison, each one alone. (These patients do not exist. With real ones this would be a second training on
# the same data, and cost a second ε.)

# %%
alone = []
for dataset in data:
    hospital = Hospital(dataset)
    curve = [accuracy(hospital.model)]
    for _ in range(ROUNDS):
        hospital.train()
        curve.append(accuracy(hospital.model))
    alone.append(curve)
print("alone:", ", ".join(f"{curve[-1]:.1%}" for curve in alone))

# %% [markdown]
# ## Setting up the sums
#
# Each party has an identity to sign with; the roster lists them. A number of a model becomes a multiple of `step`. The
# owners' directories remember what must happen only once, such as a share of one sum, even after a crash.

# %%
models = aggregation.StateDictSum(
    nn.Linear(MEASURES, 1).state_dict(), owners=HOSPITALS, step=2.0**-12
)
identities = [aggregation.Identity.generate() for _ in range(HOSPITALS + 1)]
public = [identity.public_identity for identity in identities]
roster = aggregation.Roster(public[0], public[1:], secrets.token_bytes(32))

folder = tempfile.TemporaryDirectory()
middle = aggregation.Aggregator(models.context, roster, identities[0])
owners = [
    aggregation.Owner(
        models.context,
        roster,
        number,
        identities[number],
        aggregation.OnceDirectory(Path(folder.name) / f"hospital-{number}"),
    )
    for number in range(1, HOSPITALS + 1)
]

for owner in owners:
    middle.receive(owner.start_setup())
keys = middle.setup_keys()
for owner in owners:
    for dealt in owner.deal(keys):
        middle.receive(dealt)
for owner in owners:
    middle.receive(owner.finish_setup(middle.shares_for(owner.number)))
print(models.context.plan)

# %% [markdown]
# ## Rounds
#
# Train at home, submit the encrypted model, agree on whose models are in, give a share of the decryption. The sum opens
# when all three shares are there. Then everybody goes on from the mean.

# %%
hospitals = [Hospital(dataset) for dataset in data]
together = [accuracy(hospitals[0].model)]
first: list[np.ndarray] = []
for _ in range(ROUNDS):
    start = middle.start_round()
    vectors = []
    for hospital, owner in zip(hospitals, owners):
        hospital.train()
        vectors.append(models.pack(hospital.model.state_dict()))
        submitted = owner.submit(start, vectors[-1])
        middle.receive(submitted)
    first = first or vectors
    summary = middle.close_submissions()
    for owner in owners:
        middle.receive(owner.confirm(summary))
    request = middle.request_shares()
    for owner in owners:
        middle.receive(owner.share(request))
    middle.finish()
    for hospital, owner in zip(hospitals, owners):
        sums = owner.result(middle.result())
        assert np.array_equal(sums, np.sum(vectors, axis=0))  # exact; nobody but us could check
        mean = {name: total / HOSPITALS for name, total in models.unpack(sums).items()}
        hospital.model.load_state_dict(mean)
    together.append(accuracy(hospitals[0].model))
folder.cleanup()
spent = [hospital.engine.get_epsilon(DELTA) for hospital in hospitals]
print(f"together: {together[-1]:.1%}")
print("ε of each hospital's patients:", ", ".join(f"{epsilon:.3f}" for epsilon in spent))
assert max(spent) <= EPSILON and together[-1] > max(curve[-1] for curve in alone)

# %%
figure, axes = plt.subplots(layout="constrained")
for number, curve in enumerate(alone):
    axes.plot(curve, color=GREY, label="each hospital alone" if number == 0 else None)
axes.plot(together, "o-", color=BLUE, label="together, under encryption")
axes.set(xlabel="round", ylabel="accuracy on later patients", ylim=(0.45, 1))
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## What came out, and what did not
#
# The weights of the first round. A hospital without a machine has nothing but noise in the weights of its measures; the
# mean has them all. Only the last row left the encryption: whoever adds up got these bytes from each hospital, and the sum.

# %%
rows = [*first, np.mean(first, axis=0)]
names = [*(f"hospital {number}, at home" for number in (1, 2, 3)), "the mean, opened"]
figure, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
weights = np.array(rows) * models.step
largest = np.abs(weights).max()
picture = axes.imshow(weights, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
axes.set_xticks(range(0, MEASURES, HOSPITALS))
axes.set_yticks(range(4), names)
axes.set(xlabel="weight, the bias last")
axes.hlines(2.5, -0.5, MEASURES + 0.5, color="white", linewidth=4)
axes.spines[:].set_visible(False)
figure.colorbar(picture, ax=axes)
plt.show()
print(f"a hospital sent {len(submitted)} bytes a round; 64 of them, before its signature:")
print(submitted[-128:-64].hex())

# %% [markdown]
# **What one may conclude.** The common model is better than any hospital's own. Whoever adds up, and each hospital,
# learns the sums and who took part. What the sums, or any hospital's model, tell about one patient is
# bounded by that hospital's ε, over all rounds.
#
# **What one may not.** Two hospitals that put their models together can subtract them from the sum and have the third
# one's model (though its patients keep their ε). Nobody proves that a hospital submitted an honest model: a liar can
# spoil the common one. And a patient who was in two hospitals pays both ε. Who learns what, in full: `docs/threat_model.md`,
# "Sums under encryption".
