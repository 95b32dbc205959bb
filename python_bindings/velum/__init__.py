"""velum: private machine learning on torch.

Train an unmodified torch.nn model under differential privacy, and say what was spent:

    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model, optimizer=optimizer, data_loader=loader,
        noise_multiplier=1.1, max_grad_norm=1.0)
    ...                                    # your loop, as it is
    print(engine.report(delta=1e-5))

    PrivacyEngine          models that train privately; BatchMemoryManager, PoissonDataLoader
    clipped_step           the same without touching the optimiser
    Clipping               how a sample's gradient is bounded
    ImageViews             several random views of an image, averaged before the clip
    WeightAverage          of a training's steps, often better than the last weights
    accounting             mechanisms, accountants, calibration, statements
    ledger                 one budget for all runs on a data set
    audit                  is the claim true of your model, in the code that runs?
    integer_noise          exact noise that several clients add together
    features               of images, at no cost; means and moments that are released
    per_sample_gradients   the gradient of every single loss, from the autograd graph
    per_sample_norms       their norms, without the gradients
    explain                how these are taken for your model, and at what cost
    plot                   figures of budgets, accuracies, norms and noise
    recipes                plans, models and images of `velum train`
    progress               a bar around the loader, with the epsilon so far
    he                     computing on encrypted numbers
    keep_freed_memory      for the next step, where the process trains and does little else
    kernels                the arithmetic below, on NumPy arrays

Errors: ValueError for a value out of range or what cannot be treated privately, IndexError for an
index, RuntimeError for misuse of state, and `CudaError` and `BackendUnavailable`, both of them
RuntimeErrors. Each text names the function, the value and what was expected.
"""

# isort: off
from . import _torch as _torch  # first: refuses another torch before the extension meets it

# isort: on
from . import _html as _html
from . import accounting, audit, features, he, integer_noise, kernels, ledger, plot, recipes
from ._build_info import VERSION as __version__
from ._core import (
    BackendUnavailable,
    Clipping,
    CudaError,
    ImageViews,
    UseExplanation,
    built_with_cuda,
    keep_freed_memory,
)
from ._progress import progress
from .data import PoissonDataLoader
from .dpsgd import Explanation, explain, per_sample_gradients, per_sample_norms
from .privacy_engine import BatchMemoryManager, PrivacyEngine, clipped_step
from .weight_average import WeightAverage

__all__ = [
    "BackendUnavailable",
    "BatchMemoryManager",
    "Clipping",
    "CudaError",
    "Explanation",
    "ImageViews",
    "PoissonDataLoader",
    "PrivacyEngine",
    "UseExplanation",
    "WeightAverage",
    "__version__",
    "accounting",
    "audit",
    "built_with_cuda",
    "he",
    "integer_noise",
    "clipped_step",
    "explain",
    "features",
    "keep_freed_memory",
    "kernels",
    "ledger",
    "per_sample_gradients",
    "per_sample_norms",
    "plot",
    "progress",
    "recipes",
]
