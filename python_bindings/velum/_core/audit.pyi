"""
Documented in velum.audit.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
import velum._core
import velum._core.accounting
import velum._core.ledger
__all__: list[str] = ['AuditReport', 'AuditedEngineSettings', 'CanaryAuditResult', 'CanaryGuesses', 'ConformanceCheck', 'ConformanceResult', 'MembershipCounts', 'OneRunGuesses', 'ReplayComparison', 'ReplayResult', 'canary_audit', 'clopper_pearson_lower', 'clopper_pearson_upper', 'engine_conformance', 'epsilon_lower_bound_of_one_run', 'epsilon_lower_bound_of_runs', 'neighbour_replay', 'one_run_p_value']
class AuditedEngineSettings:
    """
    What an audit asks an engine of DP-SGD to be.
    """
    @property
    def accountant(self) -> velum._core.accounting.Accountant:
        """
        The books to write into; None: the engine's own.
        """
    @property
    def clipping(self) -> velum._core.Clipping:
        ...
    @property
    def dataset_size(self) -> int:
        """
        Number of examples.
        """
    @property
    def insecure_noise_key(self) -> bytes | None:
        """
        32 bytes, the same for two runs that shall have the same noise; None: a secret one.
        """
    @property
    def insecure_sampling_key(self) -> bytes | None:
        """
        The same of sampling.
        """
    @property
    def noise_multiplier(self) -> float:
        """
        sigma. With 0 what the engine hands out is the sum of clipped gradients over the divisor.
        """
    @property
    def release_guard(self) -> velum._core.ledger.ReleaseGuard:
        """
        Asked at the end of every step, before anything is released; or None.
        """
    @property
    def retain_graph(self) -> bool:
        """
        Keep the graph of the losses after `accumulate`.
        """
    @property
    def sampling_rate(self) -> float:
        """
        q, of an example or user; the divisor of the noised sum is q times their number.
        """
    @property
    def user_gradient(self) -> str:
        """
        What of a user is bounded: "mean" or "sum".
        """
    @property
    def user_of_example(self) -> list[int]:
        """
        The user of each example, if whole users are drawn and bounded; else empty.
        """
class ReplayComparison:
    """
    One comparison of two runs. Private.
    """
    @property
    def allowance(self) -> float:
        """
        For rounding, on top.
        """
    @property
    def batch_size(self) -> int:
        """
        Examples of the first run.
        """
    @property
    def bound(self) -> float:
        """
        What it may be in exact arithmetic.
        """
    @property
    def change(self) -> str:
        """
        In what the second run differs.
        """
    @property
    def distance(self) -> float:
        """
        L2 distance of the sums before noise and division; NaN: not finite.
        """
    @property
    def holds(self) -> bool:
        ...
    @property
    def step(self) -> int:
        """
        From 0.
        """
    @property
    def unit(self) -> int | None:
        """
        The example (its index) or user that differs; None: none.
        """
class ReplayResult:
    """
    What `neighbour_replay` saw. Private.
    """
    @property
    def comparisons(self) -> list[ReplayComparison]:
        ...
    @property
    def holds(self) -> bool:
        """
        Whether every comparison does.
        """
    @property
    def worst(self) -> ReplayComparison | None:
        """
        The comparison that is nearest to its bound, or farthest beyond it.
        """
class ConformanceCheck:
    """
    One property of an engine.
    """
    @property
    def found(self) -> str:
        """
        What was seen, where it is worst.
        """
    @property
    def name(self) -> str:
        ...
    @property
    def p_value(self) -> float:
        """
        At most the probability of what was seen, or worse, if the property holds; 0 or 1 where chance has no part.
        """
    @property
    def statistical(self) -> bool:
        ...
class ConformanceResult:
    """
    What `engine_conformance` saw. Private.
    """
    @property
    def checks(self) -> list[ConformanceCheck]:
        ...
    @property
    def false_alarm_probability(self) -> float:
        ...
    @property
    def holds(self) -> bool:
        """
        Whether every check does.
        """
    @property
    def threshold(self) -> float:
        """
        Below this p-value a statistical check fails.
        """
    @property
    def violations(self) -> list[str]:
        """
        Names of the checks that fail.
        """
class OneRunGuesses:
    """
    What an attacker said after one run of training on `canaries` examples, each of which took part by the toss of a fair coin of its own. guesses: how many it decided about, fixed before; correct: of these, right.
    """
    def __init__(self, canaries: typing.SupportsInt, guesses: typing.SupportsInt, correct: typing.SupportsInt) -> None:
        ...
    @property
    def canaries(self) -> int:
        ...
    @property
    def correct(self) -> int:
        ...
    @property
    def guesses(self) -> int:
        ...
class MembershipCounts:
    """
    What an attacker said over many independent runs of training, in each of which one example took part or did not.
    """
    def __init__(self, members: typing.SupportsInt, members_recognised: typing.SupportsInt, non_members: typing.SupportsInt, non_members_accused: typing.SupportsInt) -> None:
        ...
    @property
    def members(self) -> int:
        """
        Runs with the example.
        """
    @property
    def members_recognised(self) -> int:
        """
        Of these: said to be with it.
        """
    @property
    def non_members(self) -> int:
        """
        Runs without it.
        """
    @property
    def non_members_accused(self) -> int:
        """
        Of these: said to be with it.
        """
class CanaryGuesses:
    """
    Guesses about a share of the canaries of one run.
    """
    @property
    def counts(self) -> OneRunGuesses:
        ...
    @property
    def epsilon_lower(self) -> float:
        ...
    @property
    def share(self) -> float:
        ...
class CanaryAuditResult:
    """
    What `canary_audit` found. Private.
    """
    @property
    def confidence(self) -> float:
        """
        Of all lower bounds together.
        """
    @property
    def delta(self) -> float:
        ...
    @property
    def epsilon_lower(self) -> float:
        """
        The largest lower bound.
        """
    @property
    def epsilon_upper(self) -> float:
        """
        Upper end of the certified epsilon of the engine's books at delta; infinite if they promise nothing.
        """
    @property
    def guesses(self) -> list[CanaryGuesses]:
        ...
    @property
    def holds(self) -> bool:
        """
        False: the engine is refuted, but for a chance of at most 1 - confidence.
        """
    @property
    def runs(self) -> MembershipCounts | None:
        """
        Of the counting half of the further runs; or None.
        """
    @property
    def runs_epsilon_lower(self) -> float:
        ...
class AuditReport:
    """
    What audits of one engine and one model found. A report on data that are secret is itself secret.
    """
    def __init__(self, subject: collections.abc.Sequence[tuple[str, str]], *, replay: ReplayResult | None = None, conformance: ConformanceResult | None = None, canaries: CanaryAuditResult | None = None) -> None:
        """
        subject: what was audited, pairs of a name and a text, in the order of the report; then
        the results of what was done.
        """
    def __str__(self) -> str:
        ...
    def _repr_markdown_(self) -> str:
        ...
    def to_json(self) -> str:
        """
        JSON object. An infinite or undefined number is null.
        """
    def to_markdown(self) -> str:
        """
        For people.
        """
    @property
    def holds(self) -> bool:
        """
        Nothing was refuted.
        """
def canary_audit(parameters: collections.abc.Sequence[torch.Tensor], dataset_size: typing.SupportsInt, user_of_example: collections.abc.Sequence[typing.SupportsInt], losses: collections.abc.Callable[[torch.Tensor], torch.Tensor], engine: collections.abc.Callable[[list[torch.Tensor], AuditedEngineSettings], typing.Any] | None, allow_slow_rules: bool, kind: str, canaries: typing.SupportsInt, steps: typing.SupportsInt, sampling_rate: typing.SupportsFloat, clipping: velum._core.Clipping, noise_multiplier: typing.SupportsFloat, user_gradient: str, learning_rate: typing.SupportsFloat, physical_batch_size: typing.SupportsInt, guessed_shares: collections.abc.Sequence[typing.SupportsFloat], runs: typing.SupportsInt, delta: typing.SupportsFloat, confidence: typing.SupportsFloat, canary_losses: collections.abc.Callable[[torch.Tensor], torch.Tensor] | None, insecure_seed: typing.SupportsInt | None, progress: collections.abc.Callable[[int, int], object] | None) -> CanaryAuditResult:
    ...
def clopper_pearson_lower(trials: typing.SupportsInt, successes: typing.SupportsInt, error_probability: typing.SupportsFloat) -> float:
    ...
def clopper_pearson_upper(trials: typing.SupportsInt, successes: typing.SupportsInt, error_probability: typing.SupportsFloat) -> float:
    ...
def engine_conformance(parameters: collections.abc.Sequence[torch.Tensor], dataset_size: typing.SupportsInt, user_of_example: collections.abc.Sequence[typing.SupportsInt], losses: collections.abc.Callable[[torch.Tensor], torch.Tensor], engine: collections.abc.Callable[[list[torch.Tensor], AuditedEngineSettings], typing.Any] | None, allow_slow_rules: bool, lazy_tables: collections.abc.Sequence[torch.Tensor], sampling_rate: typing.SupportsFloat, clipping: velum._core.Clipping, noise_multiplier: typing.SupportsFloat, user_gradient: str, steps_of_each_kind: typing.SupportsInt, physical_batch_size: typing.SupportsInt, draws: typing.SupportsInt, false_alarm_probability: typing.SupportsFloat, insecure_seed: typing.SupportsInt, progress: collections.abc.Callable[[int, int], object] | None) -> ConformanceResult:
    ...
def epsilon_lower_bound_of_one_run(guesses: OneRunGuesses, delta: typing.SupportsFloat, confidence: typing.SupportsFloat) -> float:
    ...
def epsilon_lower_bound_of_runs(counts: MembershipCounts, delta: typing.SupportsFloat, confidence: typing.SupportsFloat) -> float:
    ...
def neighbour_replay(parameters: collections.abc.Sequence[torch.Tensor], dataset_size: typing.SupportsInt, user_of_example: collections.abc.Sequence[typing.SupportsInt], losses: collections.abc.Callable[[torch.Tensor], torch.Tensor], engine: collections.abc.Callable[[list[torch.Tensor], AuditedEngineSettings], typing.Any] | None, allow_slow_rules: bool, lazy_tables: collections.abc.Sequence[torch.Tensor], steps: typing.SupportsInt, sampling_rate: typing.SupportsFloat, clipping: velum._core.Clipping, noise_multiplier: typing.SupportsFloat, user_gradient: str, learning_rate: typing.SupportsFloat, physical_batch_size: typing.SupportsInt, units_per_step: typing.SupportsInt, positions: typing.SupportsInt, insecure_seed: typing.SupportsInt, progress: collections.abc.Callable[[int, int], object] | None) -> ReplayResult:
    ...
def one_run_p_value(guesses: OneRunGuesses, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat) -> float:
    ...
