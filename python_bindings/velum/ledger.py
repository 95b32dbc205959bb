"""One budget for all runs: a crash-safe record of every private release on a data set.

    ledger = velum.ledger.Ledger.create("books.db")
    ledger.add_data_set("survey", epsilon=3.0, delta=1e-5, public_size=60_000)
    guard = velum.ledger.LedgerGuard(ledger, "survey", run="cnn-1", block=len(loader))
    engine.make_private(..., release_guard=guard)
    ...                                   # optimizer.step() raises BudgetExceeded at its end
    guard.give_back_unused()

Every step is entered, durably, before it happens; where the data set's budget would be exceeded it
is refused and nothing is released. A data set's budget is about one unit (`unit=`: "record", "user",
...) and one neighbouring relation: whatever releases for another one refuses the guard. Several
processes may share one file. The file is that of the
program `velum ledger`. Not for two threads at once, nor for a forked child (RuntimeError).
"""

from ._core import ledger as _ledger
from ._core.accounting import BudgetExceeded, Composition, Neighbouring
from ._core.ledger import (
    DataSetStatus,
    Ledger,
    LedgerDamaged,
    LedgerError,
    LedgerGuard,
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
