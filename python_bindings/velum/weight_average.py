"""The average of a model's weights over a training: often better than the last ones, and as private."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from . import _core
from ._lazy_tables import release_tables_of

__all__ = ["WeightAverage"]


class WeightAverage:
    """A moving average of a model's weights over the steps of a training.

        average = velum.WeightAverage(model, decay=0.99)
        for x, y in loader:
            ...
            optimizer.step()
            average.update()
        with average.applied():                     # the model holds the average
            test(model)
        torch.save(average.averaged_state_dict(), "model.pt")

    Often more accurate than the last weights, because it averages the noise of DP-SGD. It is computed
    of released weights alone, so it costs no privacy (lazy tables are released for it):

        a_0 = w_0;   a_t = d_t a_{t-1} + (1 - d_t) w_t,   d_t = min(decay, (1 + t) / (10 + t))

    `update` belongs after every step that was one; where a `BatchMemoryManager` cuts batches, not
    every `optimizer.step()` is: `optimizer.register_step_post_hook(lambda *_: average.update())`
    follows those that are. In bfloat16 and float16 the average is rounded to that type at every
    update, so a decay near 1 loses small changes.

    Paper: Unlocking High-Accuracy Differentially Private Image Classification through Scale
    (arXiv 2204.13650), section 3, "parameter averaging", with its warm-up of the decay.

    Args:
        model: any; its parameters that require grad now are averaged, buffers and others are not.
        decay: >= 0 and < 1; 0 keeps the last weights.

    Raises:
        ValueError: if decay is out of range, or no parameter requires grad.
        TypeError: if model is no torch.nn.Module.
    """

    def __init__(self, model: nn.Module, decay: float = 0.99) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"WeightAverage: model is a {type(model).__name__}, expected a torch.nn.Module"
            )
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not named:
            raise ValueError("WeightAverage: no parameter of model requires grad, expected one")
        self._model = model
        self._parameters = named
        release_tables_of(named.values())
        self._core = _core.WeightAverage(list(named.values()), decay)

    @property
    def decay(self) -> float:
        """The weight of the past, after the warm-up."""
        return self._core.decay

    @property
    def updates(self) -> int:
        """Steps that are in the average."""
        return self._core.updates

    def update(self) -> None:
        """Takes the present weights in: once after every step of the optimiser.

        Raises:
            RuntimeError: inside `applied`, where the model holds the average.
        """
        release_tables_of(self._parameters.values())
        self._core.update()

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The model holds the average inside of the block, and its own weights again after it.

        For evaluation: what a training changed inside would be lost.

        Raises:
            RuntimeError: inside another such block.
        """
        if self._core.swapped:
            raise RuntimeError("WeightAverage.applied: the model holds the average already")
        release_tables_of(self._parameters.values())
        self._core.swap()
        try:
            yield self._model
        finally:
            self._core.swap()

    def averaged_state_dict(self) -> dict[str, Any]:
        """The model's state_dict with averages in the place of weights: copies, which stay as they are.

        What is not averaged is there as the model has it now. `model.load_state_dict` of it makes the
        model the average.
        """
        values: list[torch.Tensor] = list(self._parameters.values())
        if not self._core.swapped:
            values = self._core.values
        average_of = {id(p): a for p, a in zip(self._parameters.values(), values)}
        return {
            name: average_of.get(id(value), value).detach().clone()
            if isinstance(value, torch.Tensor)
            else value
            for name, value in self._model.state_dict(keep_vars=True).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the model: plain values and copies of the averages.

        Raises:
            RuntimeError: inside `applied`.
        """
        if self._core.swapped:
            raise RuntimeError(
                "WeightAverage.state_dict: the model holds the average; leave the block of applied()"
            )
        averages = zip(self._parameters, self._core.values)
        return {
            "version": 1,
            "updates": self._core.updates,
            "averages": {name: average.clone() for name, average in averages},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken, with the decay of this object.

        Raises:
            ValueError: if `state` is no such state, or of another model.
            RuntimeError: inside `applied`.
        """
        if self._core.swapped:
            raise RuntimeError(
                "WeightAverage.load_state_dict: the model holds the average; leave the block of "
                "applied()"
            )
        if not isinstance(state, dict) or state.get("version") != 1:
            raise ValueError(
                "WeightAverage.load_state_dict: expected what state_dict() gave, version 1"
            )
        averages, updates = state.get("averages"), state.get("updates")
        if not isinstance(averages, dict) or list(averages) != list(self._parameters):
            names = list(averages) if isinstance(averages, dict) else averages
            raise ValueError(
                f"WeightAverage.load_state_dict: averages of {names}, expected of "
                f"{list(self._parameters)}"
            )
        if not isinstance(updates, int):
            raise ValueError(
                f"WeightAverage.load_state_dict: updates = {updates!r}, expected a number >= 0"
            )
        self._core.restore(list(averages.values()), updates)

    def __repr__(self) -> str:
        return (
            f"<average of {len(self._parameters)} parameters over {self.updates} steps, "
            f"decay {self.decay:g}>"
        )
