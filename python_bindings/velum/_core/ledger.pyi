"""
Documented in velum.ledger.
"""
from __future__ import annotations
import os
import pathlib
import typing
import velum._core.accounting
__all__: list[str] = ['DataSetStatus', 'Ledger', 'LedgerDamaged', 'LedgerError', 'LedgerGuard', 'ReleaseGuard', 'parse_foreign_releases', 'require_books_for']
class LedgerError(RuntimeError):
    """
    The file cannot be read or written, or is no ledger; the text names it.
    """
class LedgerDamaged(LedgerError):
    """
    The file is not what a ledger writes.
    """
class DataSetStatus:
    """
    Where a data set stands.
    """
    @property
    def budget_delta(self) -> float:
        ...
    @property
    def budget_epsilon(self) -> float:
        ...
    @property
    def description(self) -> str:
        ...
    @property
    def guarantee(self) -> velum._core.accounting.PrivacyGuarantee:
        """
        Of `spent`, at the budget's delta.
        """
    @property
    def id(self) -> str:
        ...
    @property
    def over_budget(self) -> bool:
        ...
    @property
    def public_size(self) -> int | None:
        ...
    @property
    def spent(self) -> velum._core.accounting.Composition:
        """
        All releases, in no special order.
        """
    @property
    def unit(self) -> str:
        ...
class Ledger:
    """
    A crash-safe record, in an SQLite file, of every private release on some data sets: entered, durably, before it happens, and refused where it would exceed the budget.
    """
    @staticmethod
    def create(path: os.PathLike[str] | str | bytes) -> Ledger:
        """
        Makes a new, empty ledger. LedgerError if anything is there.
        """
    @staticmethod
    def open(path: os.PathLike[str] | str | bytes, read_only: bool = False, patience: typing.SupportsFloat = 60.0) -> Ledger:
        """
        Opens a ledger; `patience`: seconds to wait for other processes before LedgerError.
        """
    @staticmethod
    def restore(path: os.PathLike[str] | str | bytes, json_lines: str) -> Ledger:
        """
        Makes a new ledger of an export, after a check of all of it.
        """
    def add_data_set(self, id: str, *, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, unit: str = 'record', neighbouring: velum._core.accounting.Neighbouring = ..., public_size: typing.SupportsInt | None = None, accountant: str = '', description: str = '') -> None:
        """
        Adds a data set with its budget; accountant "": the default, "pld".
        """
    def affordable(self, data_set: str, mechanism: velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism, count: typing.SupportsInt) -> int:
        """
        How many of `count` the budget allows at this moment.
        """
    def backup(self, target: os.PathLike[str] | str | bytes) -> None:
        """
        Copies the ledger into a new file.
        """
    def begin_run(self, run: str, data_set: str, description: str = '') -> None:
        ...
    def change_budget(self, data_set: str, *, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, reason: str, accountant: str = '') -> None:
        ...
    def claim_once(self, domain: str, digest: bytes) -> bool:
        """
        Enters, durably, that something is made that must never be made a second time, such as a
        decryption share: True, and make it only then; False if the pair was entered before.
        The method is a register for velum.he.threshold.Party and velum.he.aggregation.Owner.

        Args:
            domain: what is made; as the id of a data set.
            digest: 32 bytes, of what it is about.

        Raises:
            ValueError: if the domain is none or the digest has another size.
            LedgerError: if it could not be entered; nothing must be made then.
        """
    def export_json_lines(self) -> str:
        """
        All events, one JSON object a line.
        """
    def give_back(self, reservation: typing.SupportsInt, count: typing.SupportsInt, reason: str) -> None:
        """
        Takes back releases that provably never happened.
        """
    def note(self, text: str) -> None:
        ...
    def record_foreign(self, data_set: str, releases: velum._core.accounting.Composition, reason: str) -> None:
        """
        Enters releases that happened without this ledger; no budget refuses them.
        """
    def reserve(self, data_set: str, mechanism: velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism, count: typing.SupportsInt = 1, run: str | None = None, label: str = '', reason: str = '') -> tuple[typing.Any, ...]:
        """
        Enters `count` releases, all or none; BudgetExceeded where they do not fit. Release only after it returned. Gives (reservation, count).
        """
    def reserve_up_to(self, data_set: str, mechanism: velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism, count: typing.SupportsInt, run: str | None = None, label: str = '', reason: str = '') -> tuple[typing.Any, ...]:
        """
        As many of `count` as the budget allows, one at least. Gives (reservation, count).
        """
    def reserved_by_run(self, run: str) -> velum._core.accounting.Composition:
        """
        What a run has reserved and not given back: a Composition.
        """
    def status(self, data_set: str) -> DataSetStatus:
        """
        Where a data set stands.
        """
    def verify(self, expected_head: str | None = None) -> list[str]:
        """
        Checks everything; what is wrong, at most 20 findings, none if all is well.
        """
    @property
    def data_sets(self) -> list[str]:
        """
        Their ids.
        """
    @property
    def head(self) -> str:
        """
        Number of events and the hash of the last: note it elsewhere, and give it to `verify`.
        """
    @property
    def id(self) -> str:
        ...
    @property
    def path(self) -> pathlib.Path:
        ...
class ReleaseGuard:
    """
    Asked before every private release; keeps books or refuses.
    """
    def before_release(self, mechanism: velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism, label: str) -> None:
        """
        Returns when one release may happen and stands in the books. BudgetExceeded where a budget
        refuses it: then nothing may be released. For releases of your own; engines ask by themselves.
        """
    @property
    def neighbouring(self) -> velum._core.accounting.Neighbouring | None:
        """
        For which relation the books are kept; None: for any.
        """
    @property
    def unit(self) -> str | None:
        """
        Whose presence the books protect, "record" or "user" for example; None: of any unit.
        """
class LedgerGuard(ReleaseGuard):
    """
    Enters the releases of one run into a ledger, `block` at a time, before each happens.

    For `release_guard` of `velum.PrivacyEngine.make_private` and other private releases, which
    refuse one whose data set is kept for another relation, or about another unit.

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
    def __init__(self, ledger: Ledger, data_set: str, run: str, block: typing.SupportsInt = 1, description: str = '') -> None:
        ...
    def give_back_unused(self) -> None:
        """
        Gives back what was entered and never asked for; at the end of a training.
        """
    def reserve_ahead(self, mechanism: velum._core.accounting.GaussianMechanism | velum._core.accounting.PoissonSampledGaussianMechanism | velum._core.accounting.TruncatedPoissonSampledGaussianMechanism | velum._core.accounting.WithoutReplacementSampledGaussianMechanism | velum._core.accounting.LaplaceMechanism | velum._core.accounting.DiscreteGaussianMechanism | velum._core.accounting.SkellamMechanism | velum._core.accounting.RandomizedResponseMechanism | velum._core.accounting.ApproximateDpMechanism | velum._core.accounting.ZeroConcentratedMechanism | velum._core.accounting.DominatingPairMechanism, label: str, count: typing.SupportsInt) -> None:
        """
        Makes sure that a release is reserved, at most `count` with it, without using it, so that a
        loop finds the end of the budget before it computes a step. The label of an engine's steps
        is "training", or "training, by user". BudgetExceeded where there is no room for one.
        """
def parse_foreign_releases(json_lines: str, neighbouring: velum._core.accounting.Neighbouring) -> velum._core.accounting.Composition:
    ...
def require_books_for(guard: ReleaseGuard | None, neighbouring: velum._core.accounting.Neighbouring, unit: str, function: str) -> None:
    """
    ValueError for a guard whose books are for another relation or about another unit.
    """
