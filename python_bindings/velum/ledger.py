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

from ._core.accounting import BudgetExceeded
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
]
