# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Compute on encrypted vectors
#
# **Question.** A clinic wants a risk score for its patients. A service has the model. Can the service compute the score
# without seeing a single measurement, and how exact is the answer?
#
# The patients below are made up. Both parties live in this one notebook; the only things that the service uses are
# marked as such.

# %%
import pickle

import matplotlib.pyplot as plt
import numpy as np
import velum

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
# ## The clinic encrypts
#
# CKKS computes on approximate real numbers. `depth` is how many products may follow one another. The first axis of an
# encrypted tensor, here the patients, lies side by side in the slots of a ciphertext, so one operation treats all of them.

# %%
generator = np.random.default_rng(1)
PATIENTS, MEASURES = 500, 6
measures = np.clip(generator.normal(0, 0.35, (PATIENTS, MEASURES)), -1, 1)

keys = velum.he.ckks_keys(depth=4, precision_bits=30, rotations=False)
encrypted = keys.encrypt_tensor(measures)  # values within [-1, 1], which is public
print(encrypted)

sent = pickle.dumps((keys.public(), encrypted))
print(f"{measures.nbytes / 1e3:.0f} kB of numbers became {len(sent) / 1e6:.1f} MB, keys included")

# %% [markdown]
# The secret key stays: `keys.public()` has none, and pickling the clinic's own keys is an error.

# %%
try:
    pickle.dumps(keys)
except TypeError as error:
    print(error)
else:
    raise AssertionError("a secret key went out")

# %% [markdown]
# ## The service computes
#
# Its model is a linear map, followed by a sigmoid. There is no exponential under encryption, so the sigmoid becomes a
# polynomial of degree 5, fitted to it on [-4, 4].

# %%
weights = np.array([[1.4], [-0.9], [0.7], [0.5], [-0.4], [0.3]])  # the service's own

grid = np.linspace(-4, 4, 401)
sigmoid = 1 / (1 + np.exp(-grid))
coefficients = np.polynomial.Polynomial.fit(grid / 4, sigmoid, 5, domain=[-1, 1]).convert().coef

# What the service has: the bytes that were sent, from a clinic that it trusts to send a pickle.
service_keys, received = pickle.loads(sent)
received.link(service_keys)
scores = (received @ (weights / 4)).polyval(coefficients)
answer = pickle.dumps(scores)
print(scores, f"{len(answer) / 1e6:.2f} MB go back")

try:
    service_keys.decrypt_for_owner(scores)
except RuntimeError as error:
    print("service:", error)
else:
    raise AssertionError("decrypted without a secret key")

# %% [markdown]
# ## The clinic decrypts, and looks

# %%
decrypted = keys.decrypt_for_owner(pickle.loads(answer).link(keys))[:, 0]
logits = (measures @ weights)[:, 0]
in_the_clear = np.polynomial.Polynomial(coefficients)(logits / 4)
true_scores = 1 / (1 + np.exp(-logits))
from_encryption = np.abs(decrypted - in_the_clear)
from_polynomial = np.abs(in_the_clear - true_scores)
print(
    f"largest error: {from_encryption.max():.1e} by encryption, "
    f"{from_polynomial.max():.1e} by the polynomial"
)
assert from_encryption.max() < 1e-5

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
left.plot(grid, sigmoid, color=GREY, label="sigmoid")
left.plot(logits, decrypted, ".", color=BLUE, markersize=3, label="decrypted scores")
left.set(xlabel="true input of the sigmoid", ylabel="score", xlim=(-4, 4))
left.legend(loc="upper left")
bins = np.logspace(-13, -1, 49)
right.hist(from_encryption, bins, color=BLUE, label="by encryption")
right.hist(from_polynomial, bins, color=ORANGE, label="by the polynomial")
right.set(xscale="log", xlabel="error of a score", ylabel="patients")
right.legend(loc="upper left")
plt.show()

# %% [markdown]
# The price in accuracy is the polynomial, not the encryption: the orange errors are larger by orders of magnitude.
#
# ## Exact integers
#
# BFV computes on integers modulo a prime, without any error, as long as its *noise budget* lasts. Every product eats
# from it.

# %%
counting = velum.he.bfv_keys(depth=3, plaintext_bits=20, rotations=False)
cases = counting.encrypt([1, 2, 3, 4])
circuit, measured = [("fresh", cases)], [counting.noise_budget_for_owner(cases)]
power, plain = cases, np.array([1, 2, 3, 4])
for number in (1, 2, 3):
    power = power * cases
    plain = plain * np.array([1, 2, 3, 4])
    assert np.array_equal(counting.decrypt_for_owner(power), plain)
    circuit.append((f"product {number}", power))
    measured.append(counting.noise_budget_for_owner(power))

velum.plot.noise_budget(circuit)
plt.show()
print("measured with the secret key:", ", ".join(f"{bits:.1f}" for bits in measured), "bits")

# %% [markdown]
# The bars are proved and known to everybody. What the owner measures is more: a proof is for the worst case. At zero a
# decryption could be wrong.
#
# **What one may conclude.** The service saw keys and ciphertexts only. Under the hardness assumption of the parameters
# (ring learning with errors, 128 bits) they tell nothing about the measurements but their number and their public bound.
#
# **What one may not.** That the service computed what it promised: nothing here proves it. That the scores are
# harmless: they are the clinic's own, and a decrypted CKKS value that goes to anybody else needs `decrypt_for_release`,
# as its error tells about the key. And that a model is secret from a clinic that may ask often.
