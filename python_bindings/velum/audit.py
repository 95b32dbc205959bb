"""Is the claimed epsilon true of *your* model, in the code that really runs?

    model = velum.audit.AuditedModel(
        parameters=list(net.parameters()),
        dataset_size=len(x),
        losses=lambda i: F.cross_entropy(net(x[i]), y[i], reduction="none"))
    replay = velum.audit.neighbour_replay(model, clipping=velum.Clipping.flat(1.0))
    print(velum.audit.AuditReport([("model", "net")], replay=replay))

    neighbour_replay      two runs that differ in one example, step by step, held to the sensitivity
    engine_conformance    clipping, divisor, noise, sampling and books of an engine
    canary_audit          what an attacker guesses right, and the epsilon that it refutes
    epsilon_lower_bound_of_runs, epsilon_lower_bound_of_one_run, one_run_p_value
    clopper_pearson_lower, clopper_pearson_upper

What fails an audit is broken; what passes is not thereby private (docs/auditing.md). Results hold
private values: distances of sums, batch sizes, indices of examples, guesses.

The engine that is audited is velum's own, or one of yours: `engine` takes any function
(parameters, settings: AuditedEngineSettings) -> AuditedEngine.

Results differ from run to run only where it is said. Work runs without the GIL, but for your own
functions; an exception of theirs, KeyboardInterrupt too, ends the audit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ._core import Clipping
from ._core import audit as _audit
from ._core.audit import (
    AuditedEngineSettings,
    AuditReport,
    CanaryAuditResult,
    CanaryGuesses,
    ConformanceCheck,
    ConformanceResult,
    MembershipCounts,
    OneRunGuesses,
    ReplayComparison,
    ReplayResult,
)
from .accounting import Composition, PrivacyStatement

__all__ = [
    "AuditReport",
    "AuditedEngine",
    "AuditedEngineSettings",
    "AuditedModel",
    "CanaryAuditResult",
    "CanaryGuesses",
    "ConformanceCheck",
    "ConformanceResult",
    "MembershipCounts",
    "OneRunGuesses",
    "ReplayComparison",
    "ReplayResult",
    "canary_audit",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "engine_conformance",
    "epsilon_lower_bound_of_one_run",
    "epsilon_lower_bound_of_runs",
    "neighbour_replay",
    "one_run_p_value",
]


@dataclass(frozen=True)
class AuditedModel:
    """A model with its data, as an audit drives it."""

    parameters: Sequence[torch.Tensor]
    """Of the model that `losses` computes with; changed by the audit as by an optimiser."""
    dataset_size: int
    """Number of examples, >= 1."""
    losses: Callable[[torch.Tensor], torch.Tensor]
    """From indices [n] int64, n >= 1, in [0, dataset_size), to the losses [n] of these examples, with
    their graph."""
    user_of_example: Sequence[int] = ()
    """[dataset_size]: the user of each example, if users are what is protected."""

    def _arguments(self) -> dict[str, Any]:
        return {
            "parameters": list(self.parameters),
            "dataset_size": self.dataset_size,
            "user_of_example": [int(user) for user in self.user_of_example],
            "losses": self.losses,
        }


class AuditedEngine(Protocol):
    """What an engine of DP-SGD that is written in Python has, with its sampler and its books.

    A step is any number of `accumulate`, then `finish_step`, which leaves the private average
    gradient in `.grad` of every parameter.
    """

    def next_batch(self) -> Sequence[int]:
        """Indices of the examples of the next logical batch, in [0, dataset_size); possibly none."""
        ...

    def accumulate(self, losses: torch.Tensor, users: list[int]) -> None:
        """Adds clipped gradients.

        Args:
            losses: [batch], with its graph; [0] for an empty batch.
            users: [batch] if users are drawn: the user of each loss, all examples of a user in one
                call. Else empty.
        """
        ...

    def finish_step(self) -> None:
        """Ends the step."""
        ...

    def books(self) -> Composition:
        """Every release so far, as the engine accounts for it."""
        ...

    def sensitivity(self) -> float:
        """By how much an example or user can move the next step's sum of clipped gradients."""
        ...

    def statement(self, delta: float) -> PrivacyStatement:
        """What is promised at `delta`, about whom."""
        ...

    def resumed(self) -> "AuditedEngine":
        """A second engine that goes on from here, as a run does that is resumed from a checkpoint:
        with these books, and with the same keys where they are known."""
        ...


EngineFactory = Callable[[list[torch.Tensor], AuditedEngineSettings], AuditedEngine]
"""Makes an engine for these parameters, which several engines may share."""
Progress = Callable[[int, int], object]
"""Told what is done and how much there is in all; may raise to stop."""


def _checked_tables(
    tables: Sequence[torch.Tensor], model: AuditedModel, engine: EngineFactory | None
) -> list[torch.Tensor]:
    if tables and engine is not None:
        raise ValueError("lazy_tables: expected none beside engine, which has tables of its own")
    for i, table in enumerate(tables):
        if not any(table is parameter for parameter in model.parameters):
            raise ValueError(f"lazy_tables[{i}]: expected one of the model's parameters")
    return list(tables)


def neighbour_replay(
    model: AuditedModel,
    *,
    steps: int = 10,
    sampling_rate: float = 0.1,
    clipping: Clipping | None = None,
    noise_multiplier: float = 1.0,
    user_gradient: str = "mean",
    learning_rate: float = 0.1,
    physical_batch_size: int = 64,
    units_per_step: int = 2,
    positions: int = 1,
    insecure_seed: int = 1,
    engine: EngineFactory | None = None,
    allow_slow_rules: bool = False,
    lazy_tables: Sequence[torch.Tensor] = (),
    progress: Progress | None = None,
) -> ReplayResult:
    """Trains twice on data that differ in one example, with the same random streams, and holds the
    sums of clipped gradients to what the accounting assumes, step by step.

    Shows: on these batches no example (or user) moves the sum by more than the sensitivity. Does not
    show: that none could. The parameters are left where training took them.

    Args:
        model: with its data.
        steps: >= 1.
        sampling_rate: of an example or user, in (0, 1].
        clipping: by default `Clipping.flat(1.0)`.
        noise_multiplier: sigma, finite and > 0.
        user_gradient: "mean" or "sum"; only for a model with users.
        learning_rate: of the plain SGD that moves the parameters; finite and >= 0.
        physical_batch_size: most examples at once; >= 1.
        units_per_step: examples (or users) of every drawn batch that the second run is made to
            differ in, one at a time; >= 1.
        positions: most positions (time steps, pixels) over which the gradient of an example is
            summed: enters the allowance for rounding only; >= 1.
        insecure_seed: of noise, sampling and the choice of examples: the same result for the same.
        engine: by default velum's own.
        allow_slow_rules: of velum's own; as of `PrivacyEngine.make_private`.
        lazy_tables: of velum's own: those of the model's parameters that are tables noised lazily.
            Float64 only: rounding would hide what the audit looks for.
        progress: told steps done and steps in all.

    Raises:
        ValueError: if a value is out of range, the model has no parameters, examples or losses, or
            lazy_tables are none of its parameters, of another type, or meant for another engine than
            velum's.
    """
    return _audit.neighbour_replay(
        **model._arguments(),
        engine=engine,
        allow_slow_rules=allow_slow_rules,
        lazy_tables=_checked_tables(lazy_tables, model, engine),
        steps=steps,
        sampling_rate=sampling_rate,
        clipping=clipping if clipping is not None else Clipping.flat(1.0),
        noise_multiplier=noise_multiplier,
        user_gradient=user_gradient,
        learning_rate=learning_rate,
        physical_batch_size=physical_batch_size,
        units_per_step=units_per_step,
        positions=positions,
        insecure_seed=insecure_seed,
        progress=progress,
    )


def engine_conformance(
    model: AuditedModel,
    *,
    sampling_rate: float = 0.1,
    clipping: Clipping | None = None,
    noise_multiplier: float = 1.3,
    user_gradient: str = "mean",
    steps_of_each_kind: int = 8,
    physical_batch_size: int = 64,
    draws: int = 200,
    false_alarm_probability: float = 1e-6,
    insecure_seed: int = 1,
    engine: EngineFactory | None = None,
    allow_slow_rules: bool = False,
    lazy_tables: Sequence[torch.Tensor] = (),
    progress: Progress | None = None,
) -> ConformanceResult:
    """Holds an engine to what its accounting takes for granted: sums, refusals, noise, sampling,
    books (docs/auditing.md has the list).

    The parameters keep their values. What is to be secret is drawn by the engine itself, so p-values
    of sampling differ from run to run.

    Args:
        model: with its data.
        sampling_rate: of an example or user, in (0, 1].
        clipping: by default `Clipping.flat(0.5)`.
        noise_multiplier: sigma, finite and > 0.
        user_gradient: "mean" or "sum"; only for a model with users.
        steps_of_each_kind: whose noise is measured; >= 2.
        physical_batch_size: most examples at once; >= 1.
        draws: batches that the sampler is judged by; >= 2.
        false_alarm_probability: that a sound engine fails, at most, all statistical checks together;
            in (0, 1).
        insecure_seed: of the noise that is measured and the choices of the audit.
        engine, allow_slow_rules, lazy_tables: as of `neighbour_replay`.
        progress: told checks done and checks in all.

    Raises:
        ValueError: if a value is out of range, the model has no parameters, examples or losses, or
            lazy_tables are none of its parameters, of another type, or meant for another engine than
            velum's.
    """
    return _audit.engine_conformance(
        **model._arguments(),
        engine=engine,
        allow_slow_rules=allow_slow_rules,
        lazy_tables=_checked_tables(lazy_tables, model, engine),
        sampling_rate=sampling_rate,
        clipping=clipping if clipping is not None else Clipping.flat(0.5),
        noise_multiplier=noise_multiplier,
        user_gradient=user_gradient,
        steps_of_each_kind=steps_of_each_kind,
        physical_batch_size=physical_batch_size,
        draws=draws,
        false_alarm_probability=false_alarm_probability,
        insecure_seed=insecure_seed,
        progress=progress,
    )


def canary_audit(
    model: AuditedModel,
    *,
    kind: str = "dirac",
    canaries: int = 1000,
    steps: int = 10,
    sampling_rate: float = 0.1,
    clipping: Clipping | None = None,
    noise_multiplier: float = 1.0,
    user_gradient: str = "mean",
    learning_rate: float = 0.1,
    physical_batch_size: int = 64,
    guessed_shares: Sequence[float] = (1.0, 0.4, 0.1),
    runs: int = 0,
    delta: float = 1e-5,
    confidence: float = 0.95,
    canary_losses: Callable[[torch.Tensor], torch.Tensor] | None = None,
    insecure_seed: int | None = None,
    engine: EngineFactory | None = None,
    allow_slow_rules: bool = False,
    progress: Progress | None = None,
) -> CanaryAuditResult:
    """Trains the model with canaries in its data, guesses which took part, and bounds epsilon from
    below by how many guesses are right, against what the books of the engine promise.

    The parameters are put back as they were. Papers: Steinke, Nasr and Jagielski 2023 (arXiv
    2305.08846); Nasr et al. 2023 (arXiv 2302.07956).

    Args:
        model: with its data.
        kind: "dirac", a gradient along one coordinate of a tensor that nothing else uses, the
            strongest; "gradient", random signs on the model's own parameters; "input", examples of
            yours, recognised by how much their loss fell.
        canaries: each in the run by the toss of a coin; >= 1.
        steps: >= 1.
        sampling_rate: of an example or user, in (0, 1].
        clipping: by default `Clipping.flat(1.0)`.
        noise_multiplier: sigma, finite and > 0.
        user_gradient: "mean" or "sum"; only for a model with users.
        learning_rate: of plain SGD; finite and >= 0.
        physical_batch_size: most examples at once; >= 1.
        guessed_shares: shares of the canaries that are guessed about, each in (0, 1]; all are tried,
            and the choice of the best is paid for.
        runs: further runs, with one Dirac canary by the toss of a coin; 0, or >= 4.
        delta: in (0, 1).
        confidence: of all bounds together, in (0, 1).
        canary_losses: of kind "input": from numbers [n] of canaries to their losses [n].
        insecure_seed: everything from a known seed; without one coins, noise and sampling are
            secret, so that the confidence means what it says.
        engine, allow_slow_rules: as of `neighbour_replay`.
        progress: told steps done and steps in all.

    Raises:
        ValueError: if a value is out of range, there are more gradient canaries than parameters, or
            no canary_losses where they are needed.
    """
    return _audit.canary_audit(
        **model._arguments(),
        engine=engine,
        allow_slow_rules=allow_slow_rules,
        kind=kind,
        canaries=canaries,
        steps=steps,
        sampling_rate=sampling_rate,
        clipping=clipping if clipping is not None else Clipping.flat(1.0),
        noise_multiplier=noise_multiplier,
        user_gradient=user_gradient,
        learning_rate=learning_rate,
        physical_batch_size=physical_batch_size,
        guessed_shares=[float(share) for share in guessed_shares],
        runs=runs,
        delta=delta,
        confidence=confidence,
        canary_losses=canary_losses,
        insecure_seed=insecure_seed,
        progress=progress,
    )


def clopper_pearson_lower(trials: int, successes: int, error_probability: float) -> float:
    """The smallest success probability that so many successes do not refute, rounded down.

    Args:
        trials: 1 to 2**40.
        successes: 0 to `trials`.
        error_probability: that the result exceeds the true probability, at most; in (0, 1).

    Raises:
        ValueError: if a value is out of range.
    """
    return _audit.clopper_pearson_lower(trials, successes, error_probability)


def clopper_pearson_upper(trials: int, successes: int, error_probability: float) -> float:
    """The largest success probability that so many successes do not refute, rounded up.

    Arguments and errors as of `clopper_pearson_lower`.
    """
    return _audit.clopper_pearson_upper(trials, successes, error_probability)


def epsilon_lower_bound_of_runs(
    counts: MembershipCounts, *, delta: float, confidence: float
) -> float:
    """Lower bound of epsilon at `delta` from many runs (Kairouz, Oh and Viswanath, arXiv 1311.0776).

    Args:
        counts: what an attacker said, whose attack was fixed before the runs.
        delta: in [0, 1).
        confidence: in (0, 1): the bound exceeds the true epsilon with probability at most
            1 - confidence.

    Raises:
        ValueError: if there is no run of either kind, or a value is out of range.
    """
    return _audit.epsilon_lower_bound_of_runs(counts, delta, confidence)


def one_run_p_value(guesses: OneRunGuesses, *, epsilon: float, delta: float) -> float:
    """Probability of so many or more right guesses if the run is (epsilon, delta)-DP, at most.

    Paper: Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), Theorem 5.2.

    Args:
        guesses: 0 <= correct <= guesses <= canaries, 1 <= canaries <= 2**40.
        epsilon: finite and >= 0.
        delta: in [0, 1].

    Raises:
        ValueError: if a value is out of range.
    """
    return _audit.one_run_p_value(guesses, epsilon, delta)


def epsilon_lower_bound_of_one_run(
    guesses: OneRunGuesses, *, delta: float, confidence: float
) -> float:
    """Lower bound of epsilon at `delta` from one run: one that `one_run_p_value` refutes.

    Args:
        guesses: as of `one_run_p_value`.
        delta: in [0, 1].
        confidence: in (0, 1): the bound exceeds the true epsilon with probability at most
            1 - confidence.

    Raises:
        ValueError: if a value is out of range.
    """
    return _audit.epsilon_lower_bound_of_one_run(guesses, delta, confidence)
