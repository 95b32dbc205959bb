"""Exact sums of vectors that nobody shows: several owners' models, averaged under encryption.

Each owner sends one encrypted vector a round; whoever adds them up sees none of them, and the sum
comes out when the parties' decryption shares are put together. Nothing but the sum comes out. Who
learns what: docs/threat_model.md; scheme and proofs: docs/noise.md, "Aggregation".

    models = StateDictSum(model.state_dict(), owners=3, step=2**-12)
    identity = Identity.generate()                  # each member; public halves go into the roster
    roster = Roster(aggregator_identity, owner_identities, nonce)
    owner = Owner(models.context, roster, number, identity, OnceDirectory(path))
    aggregator = Aggregator(models.context, roster, identity)

`Owner` and `Aggregator` take and give signed bytes, which anybody may carry: set-up once, by
`start_setup`, `setup_keys`, `deal`, `shares_for`, `finish_setup`; then rounds, by `start_round`,
`submit`, `close_submissions`, `confirm`, `request_shares`, `share`, `finish`. An owner submits
`models.pack(state_dict)`, and `models.unpack(sums)` is the sum of all.

Below them, for protocols of another kind: VectorEncryptor, EncryptedSum, PartialDecryptor and
decrypt_sum, whose callers agree on keys and on who takes part by themselves.

The sum itself is no secret. `PrivateStateDictSum` makes it differentially private: every owner adds
its share of exact integer noise before it encrypts, and the books count the noise of those owners who
are trusted to keep theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from .. import accounting, integer_noise
from .._core.he.aggregation import (
    Aggregator,
    Context,
    DecryptionShare,
    EncryptedSum,
    EncryptedVector,
    Identity,
    Owner,
    PartialDecryptor,
    Plan,
    ProtocolError,
    Roster,
    SecretPart,
    VectorEncryptor,
    decrypt_sum,
    share_secret,
    to_integers,
    to_numbers,
)
from .._core.ledger import require_books_for
from ..accounting import Accountant, Neighbouring, PrivacyStatement, RdpAccountant
from ..ledger import ReleaseGuard
from .threshold import AlreadyUsed, OnceDirectory

__all__ = [
    "Aggregator",
    "AlreadyUsed",
    "Context",
    "DecryptionShare",
    "EncryptedSum",
    "EncryptedVector",
    "Identity",
    "OnceDirectory",
    "Owner",
    "PartialDecryptor",
    "Plan",
    "PrivateStateDictSum",
    "ProtocolError",
    "Roster",
    "SecretPart",
    "StateDictSum",
    "VectorEncryptor",
    "decrypt_sum",
    "share_secret",
    "to_integers",
    "to_numbers",
]


class StateDictSum:
    """How the state_dicts of a group of owners become vectors, and sums of vectors state_dicts.

    Numbers become multiples of `step`, to the nearest: each is off by at most step / 2, a sum of K
    by K step / 2, and nothing else is lost.
    """

    def __init__(
        self,
        template: Mapping[str, torch.Tensor],
        owners: int,
        *,
        step: float,
        bits: int = 16,
        threshold: int = 0,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Plans sums of state_dicts like `template`.

        Args:
            template: names, shapes and types; values are not read.
            owners: as many state_dicts as a sum may have, 2 to 1024.
            step: what a number is rounded to multiples of.
            bits: a number is at most step * 2**(bits - 1) in magnitude; 2 to 24.
            threshold: how many decrypt; 0: all whose state_dicts are in the sum.
            threads, device: as of `velum.he.Context`.

        Raises:
            ValueError: if a number is out of range, or a tensor is not of floating point: counters
                are left out by the caller.
        """
        if not 0 < step < float("inf"):
            raise ValueError(f"StateDictSum: step = {step}, expected finite and > 0")
        self.step = float(step)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        for name, tensor in template.items():
            if not tensor.is_floating_point():
                raise ValueError(
                    f"StateDictSum: {name} is of type {tensor.dtype}, expected floating point; "
                    "leave it out"
                )
            self.shapes[name] = tuple(tensor.shape)
            self.dtypes[name] = tensor.dtype
        values = sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values())
        plan = Plan(values, bits, owners, threshold=threshold)
        self.context = Context(plan, threads=threads, device=device)

    def pack(self, state_dict: Mapping[str, torch.Tensor]) -> npt.NDArray[np.int32]:
        """The vector of a state_dict.

        Returns:
            [plan.values] int32, names in the order of the template.

        Raises:
            ValueError: if names or shapes differ from the template's, or a number is out of range:
                its position in the vector is named, and it is not.
        """
        return to_integers(self.context.plan, self._numbers(state_dict), self.step)

    def _numbers(self, state_dict: Mapping[str, torch.Tensor]) -> npt.NDArray[np.float64]:
        """All numbers of a state_dict, in the order of the template."""
        if list(state_dict) != list(self.shapes):
            raise ValueError(
                f"StateDictSum: the names are {list(state_dict)}, expected {list(self.shapes)}"
            )
        parts = []
        for name, tensor in state_dict.items():
            if tuple(tensor.shape) != self.shapes[name]:
                raise ValueError(
                    f"StateDictSum: {name} has shape {list(tensor.shape)}, expected "
                    f"{list(self.shapes[name])}"
                )
            parts.append(tensor.detach().to("cpu", torch.float64).numpy().ravel())
        return np.concatenate(parts)

    def unpack(self, sums: npt.NDArray[np.int32]) -> dict[str, torch.Tensor]:
        """The state_dict of sums that a vector of sums stands for, in the types of the template.

        Args:
            sums: [plan.values] int32, of `decrypt_sum`.
        """
        if sums.shape != (self.context.plan.values,):
            raise ValueError(
                f"StateDictSum: sums has shape {list(sums.shape)}, expected "
                f"[{self.context.plan.values}]"
            )
        numbers = torch.from_numpy(to_numbers(sums, self.step))
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values()]
        parts: Iterable[torch.Tensor] = torch.split(numbers, sizes)
        return {
            name: part.reshape(shape).to(self.dtypes[name])
            for (name, shape), part in zip(self.shapes.items(), parts)
        }


class PrivateStateDictSum(StateDictSum):
    """Sums of state_dicts that are differentially private: each owner adds its share of exact noise.

        models = PrivateStateDictSum(update, owners=3, honest_owners=2, clipping_norm=1.0,
                                     target_epsilon=3.0, target_delta=1e-6, rounds=10)
        owner.submit(start, models.pack(update))    # each owner, each round
        update = models.unpack(sums)                # of all owners, with the noise of all
        print(models.statement(1e-6))

    What is protected is, by `unit`,

    "owner": an owner with all it holds. The whole state_dict is clipped to `clipping_norm` in L2 and
    rounded at random, so that its mean is right (`velum.integer_noise.QuantizationPlan`).

    "example": one example of one owner, which moves the owner's state_dict by at most
    `clipping_norm` in L2. The caller sees to that, by a sum of clipped per-sample gradients for
    example, in float64: a sum in float32 may be rounded by more than a step. Nothing is clipped as a
    whole, and numbers are rounded to the nearest.

    Sums of integers are exact, so epsilon is about what is really sent, but for what no delta that
    is asked for tells from it: a coordinate with its share is cut off at the end of its `bits`, with a
    probability below 2**-100. It holds towards everybody else together, those who add up, see the sum and all but `honest_owners` owners among them. Owners who
    may leave before the end of a round, or collude, do not count as honest (docs/accounting.md,
    "Noise from many clients"; docs/threat_model.md). Sampling of owners or examples is not counted.

    `step`, `noise` (an `IntegerNoisePlan`) and `mechanism` are what came out; `accountant` has the
    books.
    """

    def __init__(
        self,
        template: Mapping[str, torch.Tensor],
        owners: int,
        *,
        honest_owners: int,
        clipping_norm: float,
        noise_multiplier: float | None = None,
        target_epsilon: float | None = None,
        target_delta: float | None = None,
        rounds: int | None = None,
        unit: str = "owner",
        largest: float | None = None,
        neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE,
        noise: str = "discrete_gaussian",
        bits: int = 20,
        threshold: int = 0,
        accountant: Accountant | None = None,
        release_guard: ReleaseGuard | None = None,
        label: str = "state_dict",
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Plans the sums, the noise and what they cost.

        Args:
            template, owners, threshold, threads, device: as of `StateDictSum`.
            honest_owners: so many owners at least are in every sum and tell nobody their share of
                the noise; 1 to `owners`.
            clipping_norm: C, in units of the numbers; finite and > 0.
            noise_multiplier: sigma: the shares of the honest owners together have the standard
                deviation sigma times the L2 sensitivity, rounding included; finite and > 0. None:
                the least that keeps `rounds` sums within (target_epsilon, target_delta).
            target_epsilon, target_delta, rounds: the budget; only without a noise_multiplier.
            unit: "owner" or "example".
            largest: no number of a state_dict of at most this magnitude is cut off. By default C, which
                holds an owner's vector; with "example" it must be said.
            neighbouring: of the unit: present or absent, or another one in its place.
            noise: "discrete_gaussian" or "skellam"; see `velum.integer_noise.plan_integer_noise`.
            bits: that a number takes on its way, 2 to 24, with owners * 2**bits at most 2**31. The
                more, the finer `step`.
            accountant: the books, an `RdpAccountant` for `neighbouring`; by default an empty one.
            release_guard: asked before every vector: a `velum.ledger.LedgerGuard`, of a data set for
                `neighbouring`; for "owner" its unit is the owner, for "example" the record.
            label: of the releases in the books.

        Raises:
            ValueError: if a value is out of range, or the noise leaves no room for the numbers.
        """
        if unit not in ("owner", "example"):
            raise ValueError(f"PrivateStateDictSum: unit = {unit!r}, expected owner or example")
        if not 1 <= honest_owners <= owners:
            raise ValueError(
                f"PrivateStateDictSum: honest_owners = {honest_owners}, expected 1 to {owners}"
            )
        if unit == "example" and largest is None:
            raise ValueError(
                'PrivateStateDictSum: largest is not given, expected with unit = "example": what a '
                "number of an owner's state_dict may be"
            )
        if not 2 <= bits <= 24:
            raise ValueError(f"PrivateStateDictSum: bits = {bits}, expected 2 to 24")
        self.unit = unit
        self.honest_owners = honest_owners
        self.label = label
        self.accountant = RdpAccountant(neighbouring) if accountant is None else accountant
        relation = self.accountant.composition.neighbouring
        if relation != neighbouring:
            raise ValueError(
                f"PrivateStateDictSum: accountant is for {relation.name}, expected one for "
                f"neighbouring = {neighbouring.name}"
            )
        require_books_for(release_guard, neighbouring, unit, "PrivateStateDictSum")
        self.release_guard = release_guard
        dimension = sum(int(np.prod(t.shape, dtype=np.int64)) for t in template.values())

        def planned(multiplier: float) -> _PrivateVectors:
            return _PrivateVectors(
                dimension, bits, honest_owners, clipping_norm, multiplier, unit,
                clipping_norm if largest is None else largest, neighbouring, noise,
            )  # fmt: skip

        if noise_multiplier is None:
            if target_epsilon is None or target_delta is None or rounds is None:
                raise ValueError(
                    "PrivateStateDictSum: expected noise_multiplier, or target_epsilon, target_delta "
                    "and rounds"
                )

            def mechanism(multiplier: float) -> accounting.Mechanism:
                try:
                    return planned(multiplier).mechanism
                except ValueError:  # no room; it is said below, if this is what is found
                    return accounting.ZeroConcentratedMechanism(0.5 / multiplier**2)

            noise_multiplier = accounting.calibrate_noise(
                mechanism,
                epsilon=target_epsilon,
                delta=target_delta,
                steps=rounds,
                spent=self.accountant,
                tolerance=1e-4,
            )
        elif not (target_epsilon is None and target_delta is None and rounds is None):
            raise ValueError(
                "PrivateStateDictSum: noise_multiplier is given beside a target, expected one of them"
            )
        self.noise_multiplier = noise_multiplier
        self._vectors = planned(noise_multiplier)
        self.noise = self._vectors.noise
        self.mechanism = self._vectors.mechanism
        super().__init__(
            template,
            owners,
            step=self._vectors.step,
            bits=bits,
            threshold=threshold,
            threads=threads,
            device=device,
        )

    def pack(self, state_dict: Mapping[str, torch.Tensor]) -> npt.NDArray[np.int32]:
        """The vector of a state_dict with this owner's share of the noise: to be encrypted, once.

        The release stands in the books before the noise is drawn. A second vector of the same
        state_dict has other noise: two of them sent cost twice, and are counted so.

        Returns:
            [plan.values] int32.

        Raises:
            ValueError: if names or shapes differ from the template's, or a number is not finite.
            velum.ledger.BudgetExceeded: if the release guard refuses: nothing was made then.
        """
        numbers = self._numbers(state_dict)
        if not np.isfinite(numbers).all():
            raise ValueError("PrivateStateDictSum: a number of the state_dict is not finite")
        if self.release_guard is not None:
            self.release_guard.before_release(self.mechanism, self.label)
        self.accountant.compose(self.mechanism, 1, self.label)
        return self._vectors.noised(self.context.plan, numbers)

    def get_epsilon(self, delta: float) -> float:
        """Epsilon at `delta` of every vector in the books, rounded up."""
        return self.accountant.epsilon(delta)

    def statement(self, delta: float) -> PrivacyStatement:
        """What is promised at `delta`, about whom, and on what condition."""
        by_owner = self.unit == "owner"
        statement = self.accountant.statement(delta, self.unit, by_owner)
        conditions = [
            *statement.conditions,
            integer_noise.honest_clients_condition(self.honest_owners),
        ]
        if not by_owner:
            conditions.append(
                f"one example moves the state_dict of one owner by at most "
                f"{self._vectors.clipping_norm:g} in L2"
            )
        statement.conditions = conditions
        return statement


class _PrivateVectors:
    """How numbers become integers with noise: the finest steps that leave room for both."""

    def __init__(
        self,
        dimension: int,
        bits: int,
        honest_owners: int,
        clipping_norm: float,
        noise_multiplier: float,
        unit: str,
        largest: float,
        neighbouring: Neighbouring,
        noise: str,
    ) -> None:
        for name, number in (
            ("clipping_norm", clipping_norm),
            ("largest", largest),
            ("noise_multiplier", noise_multiplier),
        ):
            if not 0 < number < math.inf:
                raise ValueError(f"PrivateStateDictSum: {name} = {number}, expected finite and > 0")
        self.clipping_norm = clipping_norm
        self.room = 2 ** (bits - 1) - 1
        for halvings in range(30, -1, -1):
            self.step = math.ldexp(clipping_norm, -halvings)
            if largest / self.step > self.room:
                continue
            self.rounding = (
                integer_noise.QuantizationPlan(clipping_norm, self.step, dimension)
                if unit == "owner"
                else None
            )
            sensitivity = (
                self.rounding.sensitivity(neighbouring)
                if self.rounding is not None
                else integer_noise.nearest_integer_sensitivity(
                    clipping_norm, self.step, dimension, neighbouring
                )
            )
            variance = (noise_multiplier * sensitivity.l2) ** 2 * (1 + 2.0**-50)
            if variance > self.room**2 * honest_owners:
                continue
            self.noise = integer_noise.plan_integer_noise(
                noise, variance=variance, honest_clients=honest_owners
            )
            self.limit = self.room - _largest_noise(self.noise)
            if largest / self.step + 1 <= self.limit:
                self.mechanism = self.noise.mechanism(dimension, sensitivity)
                return
        raise ValueError(
            f"PrivateStateDictSum: noise_multiplier = {noise_multiplier:g} leaves no room in {bits} "
            "bits: take more bits, less noise or a smaller `largest`"
        )

    def noised(self, plan: Plan, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        # Noise first: how long it takes tells nothing of numbers that it does not see.
        share = integer_noise.integer_noise_share(self.noise, numbers.size)
        if self.rounding is not None:
            integers = integer_noise.clip_and_round_to_integers(numbers, self.rounding)
        else:
            largest = self.limit * self.step
            integers = to_integers(plan, np.clip(numbers, -largest, largest), self.step).astype(
                np.int64
            )
        values = np.clip(integers, -self.limit, self.limit) + share
        vector: npt.NDArray[np.int32] = np.clip(values, -self.room, self.room).astype(np.int32)
        return vector


def _largest_noise(noise: integer_noise.IntegerNoisePlan) -> int:
    """What a coordinate of a share exceeds in magnitude with a probability below 2**-100."""
    variance = noise.share_variance
    if noise.noise == "discrete_gaussian":
        # P(|X| >= t) <= 2 exp(-t^2 / (2 variance)): arXiv 2004.00010, Corollary 9.
        return math.ceil(12 * math.sqrt(variance)) + 1

    def exponent(t: int) -> float:
        """Of the Chernoff bound 2 exp(-x) of P(|X| >= t), at its best point asinh(t / variance)."""
        best = math.asinh(t / variance)
        return t * best - 2 * variance * math.sinh(best / 2) ** 2

    # Skellam noise of a small variance has the tails of a Poisson distribution, which are heavier.
    most = math.ceil(12 * math.sqrt(variance)) + 1
    while exponent(most + 1) < 72:  # 2 exp(-72) < 2^-102
        most += max(1, most // 64)
    return most
