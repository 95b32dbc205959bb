"""One budget for all runs: a crash-safe record of every private release on a data set.

    ledger = velum.ledger.Ledger.create("books.db")
    ledger.add_data_set("survey", epsilon=3.0, delta=1e-5, public_size=60_000)
    guard = velum.ledger.LedgerGuard(ledger, "survey", run="cnn-1", block=len(loader))
    engine.make_private(..., release_guard=guard)
    ...                                   # optimizer.step() raises BudgetExceeded at its end
    guard.give_back_unused()

Every step is entered, durably, before it happens; where the data set's budget would be exceeded it
is refused and nothing is released. Several processes may share one file. The file is that of the
program `velum ledger`. Not for two threads at once, nor for a forked child (RuntimeError).
"""

from ._core import ledger as _ledger
from ._core.accounting import BudgetExceeded, Composition, Neighbouring
from ._core.ledger import (
    DataSetStatus,
    Ledger,
    LedgerDamaged,
    LedgerError,
    ReleaseGuard,
)

__all__ = [
    "BudgetExceeded",
    "DataSetStatus",
    "Ledger",
    "LedgerDamaged",
    "LedgerError",
    "LedgerGuard",
    "ReleaseGuard",
    "parse_foreign_releases",
]


class LedgerGuard(_ledger.LedgerGuard):
    """Enters the releases of one run into a ledger, `block` at a time, before each happens.

    For `release_guard` of `velum.PrivacyEngine.make_private` and other private releases.

    Args:
        ledger: with the data set.
        data_set: its id.
        run: a name for this run; it is entered, if it is not in the ledger.
        block: releases of a mechanism to reserve at once, >= 1; the last one what is left.
        description: of the run.

    Raises:
        ValueError: if a value is out of range, the data set is unknown, or the run is one on another.
        LedgerError: if it cannot be entered.
    """

    def __init__(
        self, ledger: Ledger, data_set: str, run: str, block: int = 1, description: str = ""
    ) -> None:
        super().__init__(ledger, data_set, run, block, description)
        self._neighbouring = ledger.reserved_by_run(run).neighbouring

    @property
    def neighbouring(self) -> Neighbouring:
        """For which relation the data set is kept; releases for another one are refused."""
        return self._neighbouring


def check_relation(guard: ReleaseGuard | None, neighbouring: Neighbouring, function: str) -> None:
    """Refuses a ledger where the noise of a release would be taken for another one.

    Mechanisms without sampling are for either relation, with noise relative to the sensitivity under
    it, so the ledger itself cannot tell.

    Raises:
        ValueError: if the guard's data set is kept for another relation.
    """
    if isinstance(guard, LedgerGuard) and guard.neighbouring != neighbouring:
        raise ValueError(
            f"{function}: release_guard is of a data set kept for {guard.neighbouring.name}, expected "
            f"one for {neighbouring.name}"
        )


def parse_foreign_releases(
    json_lines: str, neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE
) -> Composition:
    """Reads releases that were made elsewhere, for `Ledger.record_foreign`: a JSON object a line.

        {"mechanism": {"kind": "gaussian", "noise_multiplier": 2}, "count": 3, "label": "census"}

    Args:
        json_lines: `count` and `label` may be left out: 1, "". Empty lines are passed over.
        neighbouring: of the data set.

    Raises:
        ValueError: naming the line.
    """
    return _ledger.parse_foreign_releases(json_lines, neighbouring)
