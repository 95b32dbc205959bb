"""Training under differential privacy: per-sample gradients of unmodified torch models."""

from collections.abc import Iterable

import torch

from . import _core

__all__ = ["explain", "per_sample_gradients", "per_sample_norms"]


def per_sample_gradients(
    losses: torch.Tensor, params: Iterable[torch.Tensor], *, allow_slow_rules: bool = False
) -> list[torch.Tensor]:
    """The gradient of every loss with respect to every parameter, read off the autograd graph.

    One backward pass, and no copy or wrapper of the model: the operations that use a parameter are
    found in the graph of `losses`, and their gradients are taken sample by sample. It is proved on
    the way that no operation mixes samples. The graph is kept; no `.grad` is read or written.

        losses = torch.nn.functional.cross_entropy(model(x), y, reduction="none")  # [B]
        gradients = velum.per_sample_gradients(losses, model.parameters())

    Args:
        losses: [B], one loss per sample, with its graph (reduction="none").
        params: leaves that require grad, each once, in float32, float64, bfloat16 or float16, on
            one device; every trainable leaf of the graph is among them.
        allow_slow_rules: treat an operation without a rule of its own by its own backward, once per
            sample: exact, and slow. Without, it is refused by name.

    Returns:
        A tensor `[B, *param.shape]` for each parameter, in the order of `params`: float64 for a
        parameter of that type, else float32; zeros where a parameter is not used.

    Raises:
        ValueError: if losses are not such a vector, if an operation mixes samples (batch
            normalisation) or has no rule, or if the graph holds a trainable leaf that is not in
            `params`; the text names the operation and the remedy.
        RuntimeError: if the gradients could not be proved to be those of single samples.
    """
    return _core.per_sample_gradients(losses, list(params), allow_slow_rules)


def per_sample_norms(
    losses: torch.Tensor, params: Iterable[torch.Tensor], *, allow_slow_rules: bool = False
) -> torch.Tensor:
    """The L2 norm of every loss's gradient with respect to all parameters together.

    As `per_sample_gradients`, but the gradients themselves are not materialised where a rule can do
    without.

    Args:
        losses, params, allow_slow_rules: as `per_sample_gradients`.

    Returns:
        [B], on the device of the parameters; float64 if a parameter is of that type, else float32.

    Raises:
        As `per_sample_gradients`.
    """
    tracked = list(params)
    norms = _core.per_sample_norms(losses, tracked, allow_slow_rules)
    double = any(param.dtype == torch.float64 for param in tracked)
    return norms.to(tracked[0].device, torch.float64 if double else torch.float32)


def explain(
    losses: torch.Tensor, params: Iterable[torch.Tensor], *, allow_slow_rules: bool = False
) -> str:
    """A table of what is done with each use of each parameter, and what that should cost.

    Runs the backward pass and the proof, as a first step would; changes nothing.

    Args:
        losses, params, allow_slow_rules: as `per_sample_gradients`; at least one loss.

    Returns:
        Lines for people: the operation, how norms are taken, operations, bytes, predicted time.

    Raises:
        As `per_sample_gradients`.
    """
    return _core.explain(losses, list(params), allow_slow_rules)
