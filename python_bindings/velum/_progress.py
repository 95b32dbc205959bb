"""How far a private training is, and what it has cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ._rounding import rounded_up
from .data import PoissonDataLoader
from .privacy_engine import PrivacyEngine

__all__ = ["progress"]


def progress(
    data_loader: PoissonDataLoader,
    engine: PrivacyEngine,
    *,
    delta: float | None = None,
    description: str = "",
) -> Iterator[Any]:
    """One pass over the loader, with a bar that shows the batch and the epsilon so far.

        for x, y in velum.progress(loader, engine):
            ...                                  # your loop, as it is

    Epsilon is that of everything the engine has released, rounded up, in whatever run. It is asked
    for anew only as often as takes a twentieth of the time, and at the end of the pass. The bar is
    tqdm's (`pip install 'velum[progress]'`), in terminals and notebooks; without tqdm the batches
    come without one.

    Args:
        data_loader: that `make_private` returned, or its `BatchMemoryManager`, of which the number of
            batches is known only about.
        engine: whose epsilon is shown.
        delta: as of `PrivacyEngine.report`.
        description: in front of the bar, such as the epoch.

    Raises:
        RuntimeError: before `make_private`.
    """
    engine.statement(delta)  # a wrong delta is an error before the first batch
    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ImportError:
        return iter(data_loader)
    return _with_bar(tqdm, data_loader, engine, delta, description)


def _with_bar(
    tqdm: Any,
    data_loader: PoissonDataLoader,
    engine: PrivacyEngine,
    delta: float | None,
    description: str,
) -> Iterator[Any]:
    due = 0.0  # when to ask again, by time.monotonic()
    with tqdm(total=len(data_loader), desc=description or None, unit="batch") as bar:

        def show_epsilon() -> None:
            nonlocal due
            begin = time.monotonic()
            spent = engine.statement(delta)
            bar.set_postfix_str(
                f"ε ≤ {rounded_up(spent.epsilon, 3)} at δ = {spent.delta:g}", refresh=False
            )
            due = time.monotonic() + 19 * (time.monotonic() - begin)

        for batch in data_loader:
            yield batch
            if time.monotonic() >= due:
                show_epsilon()
            bar.update()
        show_epsilon()
        bar.refresh()
