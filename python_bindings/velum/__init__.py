"""velum: private machine learning on torch.

Train an unmodified torch.nn model under differential privacy, and say what was spent.

    per_sample_gradients   the gradient of every single loss, from the autograd graph
    per_sample_norms       their norms, without the gradients
    he                     computing on encrypted numbers
    kernels                the arithmetic below, on NumPy arrays

Errors: ValueError for a value out of range or what cannot be treated privately, IndexError for an
index, RuntimeError for misuse of state, and `CudaError` and `BackendUnavailable`, both of them
RuntimeErrors. Each text names the function, the value and what was expected.
"""

from . import _torch as _torch  # first: refuses another torch before the extension meets it
from . import he, kernels
from ._build_info import VERSION as __version__
from ._core import BackendUnavailable, CudaError, built_with_cuda
from .dpsgd import per_sample_gradients, per_sample_norms

__all__ = [
    "BackendUnavailable",
    "CudaError",
    "__version__",
    "built_with_cuda",
    "he",
    "kernels",
    "per_sample_gradients",
    "per_sample_norms",
]
