"""Refuses a torch that the extension module was not built with, before the two meet."""

import torch

from ._build_info import TORCH_VERSION


def check_version(found: str) -> None:
    """Raises ImportError unless `found` is the version that velum was built with, on any device.

    velum reads the nodes of torch's autograd graph, whose layout changes with every release.
    """
    if found.split("+")[0] != TORCH_VERSION:
        raise ImportError(
            f"velum was built with torch {TORCH_VERSION}, but torch {found} is installed: it reads "
            f"that version's autograd graph. Install torch=={TORCH_VERSION}, or build velum anew "
            "with the torch that you have, if it supports it."
        )


check_version(torch.__version__)
