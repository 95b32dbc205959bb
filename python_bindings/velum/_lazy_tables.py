"""Tables whose rows get their noise when they are read: `lazy_tables` of `PrivacyEngine.make_private`."""

from __future__ import annotations

import math
import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from . import _core

LookupLayer = nn.Embedding | nn.EmbeddingBag


class LazyTables:
    """The lazy tables of one model, and the hooks by which nobody reads a row without its noise."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        layers: Sequence[LookupLayer],
        lock: threading.RLock,
    ) -> None:
        self._lock = lock
        self._weights = list({id(w): w for w in (_weight_of(layer) for layer in layers)}.values())
        self._tables: list[_core.LazyTable] = []
        self._hooks: list[RemovableHandle] = []
        self.in_pass = False  # backward may compute a forward pass again, on another thread
        if not all(any(m is layer for m in module.modules()) for layer in layers):
            raise ValueError("make_private: lazy_tables holds a layer that is not in module")
        self._users = [self._users_of(module, weight) for weight in self._weights]
        self.check(optimizer)

    def _users_of(self, module: nn.Module, weight: torch.Tensor) -> list[LookupLayer]:
        """All layers of module that look rows of the weight up; nothing else may have it."""
        users: list[LookupLayer] = []
        for name, layer in module.named_modules():
            if any(p is weight for p in layer._parameters.values()):
                _weight_of(layer, f"{name} has the weight of a lazy table and")
                users.append(layer)
        return users

    def check(self, optimizer: torch.optim.Optimizer) -> list[float]:
        """The learning rates of the tables, if the optimizer's update is that of SGD."""
        rates = []
        for weight in self._weights:
            groups = [g for g in optimizer.param_groups if any(p is weight for p in g["params"])]
            if len(groups) != 1:
                raise ValueError(
                    "make_private: the optimizer does not train a layer of lazy_tables"
                )
            if type(optimizer) is not torch.optim.SGD or any(
                groups[0][name] for name in ("momentum", "weight_decay", "maximize")
            ):
                raise ValueError(
                    f"make_private: lazy_tables with {type(optimizer).__name__}, expected "
                    "torch.optim.SGD with momentum = 0, weight_decay = 0 and maximize = False, at "
                    "every step (OneCycleLR needs cycle_momentum=False): for any other update the "
                    "noise of several steps is no single draw"
                )
            rate = float(groups[0]["lr"])
            if not math.isfinite(rate) or rate < 0:
                raise ValueError(
                    f"make_private: lr = {rate} of a lazy table, expected >= 0, finite"
                )
            rates.append(rate)
        return rates

    def new_tables(self) -> list[_core.LazyTable]:
        """For another engine; `adopt` them once it is made."""
        self.release()
        return [_core.LazyTable(weight) for weight in self._weights]

    def adopt(self, tables: list[_core.LazyTable]) -> None:
        self._tables = tables
        if self._hooks or not tables:
            return
        for number, users in enumerate(self._users):
            for layer in users:
                forward = layer.register_forward_pre_hook(
                    _BeforeForward(self, number), with_kwargs=True
                )
                saving = layer.register_state_dict_pre_hook(  # type: ignore[no-untyped-call]
                    _BeforeStateDict(self)
                )
                loading = layer.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
                    _BeforeStateDict(self)
                )
                self._hooks += [forward, saving, loading]
        if "torch._dynamo" in sys.modules:  # what was compiled before does not know of the hooks
            torch._dynamo.reset()
        _all.add(self)

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def holds(self, parameters: Iterable[torch.Tensor]) -> bool:
        mine = {id(w) for w in self._weights}
        return any(id(p) in mine for p in parameters)

    @property
    def is_released(self) -> bool:
        return all(table.is_released for table in self._tables)

    def catch_up(self, number: int, indices: torch.Tensor) -> None:
        if self.in_pass:
            return
        with self._lock:
            self._tables[number].catch_up(indices)

    def release(self) -> None:
        if self.is_released:
            return
        with self._lock:
            for table in self._tables:
                table.release()

    def step(self, rates: list[float]) -> None:
        for table, rate in zip(self._tables, rates, strict=True):
            table.step(rate)


class _Hook:
    """Holds the tables, so that a model is safe for as long as it lives, with or without its engine."""

    def __init__(self, tables: LazyTables) -> None:
        self._tables = tables

    def _of_a_copy(self) -> None:
        if not self._tables.is_released:
            raise RuntimeError(
                "PrivacyEngine: a model is copied or pickled while rows of its lazy tables lack "
                "noise; call PrivacyEngine.release_tables() first, or save its state_dict()"
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> _NoHook:
        self._of_a_copy()
        return _NoHook()

    def __reduce__(self) -> tuple[type[_NoHook], tuple[()]]:
        self._of_a_copy()
        return _NoHook, ()


class _BeforeForward(_Hook):
    """Training reads rows with their noise; any other forward pass a table with all of it."""

    def __init__(self, tables: LazyTables, number: int) -> None:
        super().__init__(tables)
        self._number = number

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if layer.training and torch.is_grad_enabled():
            self._tables.catch_up(self._number, args[0] if args else kwargs["input"])
        else:
            self._tables.release()


class _BeforeStateDict(_Hook):
    """Also before another is loaded: afterwards nobody could tell what lacks noise."""

    def __call__(self, *_: Any) -> None:
        self._tables.release()


class _NoHook:
    """In a copy of a model, which has a table of its own."""

    def __call__(self, *_: Any) -> None:
        pass


_all: weakref.WeakSet[LazyTables] = weakref.WeakSet()


def release_tables_of(parameters: Iterable[torch.Tensor]) -> None:
    """Adds to lazy tables among the parameters the noise that their rows lack."""
    known = list(parameters)
    for tables in list(_all):
        if tables.holds(known):
            tables.release()


def _weight_of(layer: nn.Module, what: str = "lazy_tables holds a layer that") -> torch.Tensor:
    """Of a layer whose forward pass looks up the rows that it is given."""
    forward = type(layer).forward
    if forward not in (nn.Embedding.forward, nn.EmbeddingBag.forward):
        raise TypeError(
            f"make_private: {what} is a {type(layer).__name__}, expected torch.nn.Embedding or "
            "torch.nn.EmbeddingBag, with a forward pass of torch's"
        )
    assert isinstance(layer, nn.Embedding | nn.EmbeddingBag)
    if layer.max_norm is not None:
        raise ValueError(
            f"make_private: {what} has max_norm = {layer.max_norm}, expected None: it changes "
            "weights in the forward pass"
        )
    if isinstance(layer, nn.EmbeddingBag) and layer.mode == "max":
        raise ValueError(
            f'make_private: {what} has mode = "max", expected "sum" or "mean": maxima choose '
            "elements of rows"
        )
    return layer.weight
