"""Training under differential privacy: per-sample gradients of unmodified torch models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import torch

from . import _core
from ._core import UseExplanation

__all__ = ["Explanation", "explain", "per_sample_gradients", "per_sample_norms"]

#: The method for all uses of a parameter, given by itself or by its index.
MethodOverrides = Mapping[torch.Tensor | int, str]


def per_sample_gradients(
    losses: torch.Tensor,
    params: Iterable[torch.Tensor],
    *,
    allow_slow_rules: bool = False,
    method_overrides: MethodOverrides | None = None,
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
        method_overrides: how the gradients of a parameter are taken, in place of the cheapest way:
            a parameter, or its index in `params`, and one of the methods that `explain` lists.

    Returns:
        A tensor `[B, *param.shape]` for each parameter, in the order of `params`: float64 for a
        parameter of that type, else float32; zeros where a parameter is not used.

    Raises:
        ValueError: if losses are not such a vector, if an operation mixes samples (batch
            normalisation) or has no rule, if the graph holds a trainable leaf that is not in
            `params`, or a parameter has no such method; the text names the operation and the remedy.
        RuntimeError: if the gradients could not be proved to be those of single samples.
    """
    tracked = list(params)
    overrides = _overrides_of("per_sample_gradients", tracked, method_overrides)
    return _core.per_sample_gradients(losses, tracked, allow_slow_rules, overrides)


def per_sample_norms(
    losses: torch.Tensor,
    params: Iterable[torch.Tensor],
    *,
    allow_slow_rules: bool = False,
    method_overrides: MethodOverrides | None = None,
) -> torch.Tensor:
    """The L2 norm of every loss's gradient with respect to all parameters together.

    As `per_sample_gradients`, but the gradients themselves are not materialised where a rule can do
    without.

    Args:
        losses, params, allow_slow_rules, method_overrides: as `per_sample_gradients`.

    Returns:
        [B], on the device of the parameters; float64 if a parameter is of that type, else float32.

    Raises:
        As `per_sample_gradients`.
    """
    tracked = list(params)
    overrides = _overrides_of("per_sample_norms", tracked, method_overrides)
    norms = _core.per_sample_norms(losses, tracked, allow_slow_rules, overrides)
    double = any(param.dtype == torch.float64 for param in tracked)
    return norms.to(tracked[0].device, torch.float64 if double else torch.float32)


@dataclass(frozen=True)
class Explanation(Sequence[UseExplanation]):
    """What `explain` found: a row for each parameter and use, which prints as a table.

    In a notebook it shows as one. `len`, indices and loops are over the rows, in the order of the
    parameters; uses that are computed together are one row.
    """

    rows: tuple[UseExplanation, ...]
    #: For people, with a line for the sum and one for the cost model's source.
    table: str

    @property
    def flops(self) -> float:
        """Operations of all rows."""
        return sum(row.flops for row in self.rows)

    @property
    def bytes_moved(self) -> float:
        """Read and written, of all rows."""
        return sum(row.bytes_moved for row in self.rows)

    @property
    def seconds(self) -> float:
        """Predicted, of all rows but those of unknown cost."""
        return sum(row.seconds or 0.0 for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[UseExplanation]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> UseExplanation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[UseExplanation]: ...
    def __getitem__(self, index: int | slice) -> UseExplanation | Sequence[UseExplanation]:
        return self.rows[index]

    def __str__(self) -> str:
        return self.table

    def __repr__(self) -> str:
        return f"<{len(self.rows)} uses of parameters, predicted {self.seconds * 1e3:.3g} ms>"


def explain(
    losses: torch.Tensor,
    params: Iterable[torch.Tensor],
    *,
    allow_slow_rules: bool = False,
    method_overrides: MethodOverrides | None = None,
) -> Explanation:
    """What is done with each use of each parameter, and what that should cost.

    Runs the backward pass and the proof, as a first step would; changes nothing.

        print(velum.explain(losses, model.parameters()))

    Args:
        losses, params, allow_slow_rules, method_overrides: as `per_sample_gradients`; at least one
            loss.

    Returns:
        The rows, which print as a table: the operation, how norms are taken, operations, bytes,
        predicted time.

    Raises:
        As `per_sample_gradients`.
    """
    tracked = list(params)
    overrides = _overrides_of("explain", tracked, method_overrides)
    rows, table = _core.explain(losses, tracked, allow_slow_rules, overrides)
    return Explanation(tuple(rows), table)


def _overrides_of(
    function: str, parameters: Sequence[torch.Tensor], given: MethodOverrides | None
) -> dict[int, str]:
    """Methods by the index of a parameter."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{function}: method_overrides is a {type(given).__name__}, expected a dictionary of "
            "parameters and methods"
        )
    index_of = {id(parameter): index for index, parameter in enumerate(parameters)}
    overrides: dict[int, str] = {}
    for parameter, method in given.items():
        index = index_of.get(id(parameter)) if isinstance(parameter, torch.Tensor) else parameter
        if not isinstance(index, int) or not 0 <= index < len(parameters):
            found = (
                f"a tensor of shape {list(parameter.shape)} that is none of them"
                if isinstance(parameter, torch.Tensor)
                else repr(parameter)
            )
            raise ValueError(
                f"{function}: method_overrides has {found}, expected one of the "
                f"{len(parameters)} parameters or its index"
            )
        overrides[index] = method
    return overrides
