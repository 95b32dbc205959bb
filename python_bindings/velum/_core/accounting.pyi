"""
Mechanisms, accountants and statements; documented in velum.accounting.
"""
from __future__ import annotations
import builtins
import collections.abc
import enum
import numpy
import numpy.typing
import typing
__all__: list[str] = ['Accountant', 'AccuracyNotReached', 'ApproximateDpMechanism', 'BatchSampling', 'BudgetExceeded', 'Composition', 'DiscreteGaussianMechanism', 'DominatingPairMechanism', 'GaussianMechanism', 'LaplaceMechanism', 'NegativeBinomialTrials', 'Neighbouring', 'Phase', 'PldAccountant', 'PoissonSampledGaussianMechanism', 'PoissonTrials', 'PrivacyGuarantee', 'PrivacyStatement', 'RandomizedResponseMechanism', 'RdpAccountant', 'SkellamMechanism', 'StatedReleases', 'TrainingReport', 'TruncatedPoissonSampledGaussianMechanism', 'WithoutReplacementSampledGaussianMechanism', 'ZeroConcentratedMechanism', 'calibrate_batch_size', 'calibrate_gaussian_releases', 'calibrate_noise', 'calibrate_noise_multiplier', 'calibrate_sampling_rate', 'calibrate_steps', 'epsilon_schedule', 'expected_trials', 'gaussian_delta', 'gaussian_epsilon', 'gaussian_mu', 'group_composition', 'group_guarantee', 'group_mechanism', 'make_accountant', 'make_privacy_statement', 'mechanism_of_batches', 'negative_binomial_trials', 'rdp', 'rdp_to_delta', 'rdp_to_epsilon', 'search_guarantee', 'steps_of_epochs', 'zcdp_to_delta', 'zcdp_to_epsilon']
class AccuracyNotReached(RuntimeError):
    """
    The width asked of a certified interval cannot be reached; the text says what can.
    """
class BudgetExceeded(RuntimeError):
    """
    The budget of a data set does not allow the release.
    """
class Neighbouring(enum.Enum):
    """
    When two data sets count as neighbours.
    """
    ADD_OR_REMOVE_ONE = ...
    REPLACE_ONE = ...
class BatchSampling(enum.Enum):
    """
    How the batches of a training loop come to be.
    """
    FIXED_BATCHES = ...
    POISSON = ...
    SHUFFLED_BATCHES = ...
    TRUNCATED_POISSON = ...
    WITHOUT_REPLACEMENT = ...
class GaussianMechanism:
    """
    Gaussian noise on a function of all examples, without sampling. noise_multiplier: its standard deviation over the L2 sensitivity, finite and >= 0.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, noise_multiplier: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def noise_multiplier(self) -> float:
        ...
class PoissonSampledGaussianMechanism:
    """
    The same on a Poisson sample, in which every example is with probability sampling_rate, independently, drawn anew for each release. Shuffled batches are no such samples. Add-or-remove-one.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, sampling_rate: typing.SupportsFloat, noise_multiplier: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def noise_multiplier(self) -> float:
        ...
    @property
    def sampling_rate(self) -> float:
        ...
class TruncatedPoissonSampledGaussianMechanism:
    """
    The same, but a sample of more than largest_batch_size examples is cut down to that many, by uniform choice. Costs a term of delta.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, sampling_rate: typing.SupportsFloat, noise_multiplier: typing.SupportsFloat, dataset_size: typing.SupportsInt, largest_batch_size: typing.SupportsInt) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def dataset_size(self) -> int:
        ...
    @property
    def largest_batch_size(self) -> int:
        ...
    @property
    def noise_multiplier(self) -> float:
        ...
    @property
    def sampling_rate(self) -> float:
        ...
class WithoutReplacementSampledGaussianMechanism:
    """
    Gaussian noise on a uniform sample of fixed size. Replace-one: noise_multiplier is relative to 2 C for gradients clipped to C.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, sampling_rate: typing.SupportsFloat, noise_multiplier: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def noise_multiplier(self) -> float:
        ...
    @property
    def sampling_rate(self) -> float:
        ...
class LaplaceMechanism:
    """
    Laplace noise; noise_multiplier: its scale over the L1 sensitivity.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, noise_multiplier: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def noise_multiplier(self) -> float:
        ...
class DiscreteGaussianMechanism:
    """
    Discrete Gaussian noise on one integer that neighbours change by at most sensitivity.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, standard_deviation: typing.SupportsFloat, sensitivity: typing.SupportsInt) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def sensitivity(self) -> int:
        ...
    @property
    def standard_deviation(self) -> float:
        ...
class SkellamMechanism:
    """
    Skellam noise on an integer vector.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, variance: typing.SupportsFloat, l1_sensitivity: typing.SupportsFloat, l2_sensitivity: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def l1_sensitivity(self) -> float:
        ...
    @property
    def l2_sensitivity(self) -> float:
        ...
    @property
    def variance(self) -> float:
        ...
class RandomizedResponseMechanism:
    """
    One answer of so many categories: the true one with truth_probability, else another one at random.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, categories: typing.SupportsInt, truth_probability: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def categories(self) -> int:
        ...
    @property
    def truth_probability(self) -> float:
        ...
class ApproximateDpMechanism:
    """
    A release of which only (epsilon, delta)-DP is known.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def delta(self) -> float:
        ...
    @property
    def epsilon(self) -> float:
        ...
class ZeroConcentratedMechanism:
    """
    A release of which only rho-zCDP is known.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, rho: typing.SupportsFloat) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def rho(self) -> float:
        ...
class DominatingPairMechanism:
    """
    A release known by a dominating pair of distributions: p with the example, q without, over the same outcomes.
    """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, p: collections.abc.Sequence[typing.SupportsFloat], q: collections.abc.Sequence[typing.SupportsFloat], name: str) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def p(self) -> list[float]:
        ...
    @property
    def q(self) -> list[float]:
        ...
class Phase:
    """
    So many releases of one mechanism, one after the other.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def label(self) -> str:
        """
        What was released.
        """
    @property
    def mechanism(self) -> GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism:
        ...
class Composition:
    """
    Everything that was released from one data set, in order. It only grows.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    @staticmethod
    def from_json(json: str) -> Composition:
        """
        Reads what `to_json` wrote; anything else is a ValueError.
        """
    def __eq__(self, other: object) -> bool:
        ...
    def __getstate__(self) -> str:
        ...
    def __init__(self, neighbouring: Neighbouring = ...) -> None:
        ...
    def __len__(self) -> int:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def append(self, mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, count: typing.SupportsInt = 1, label: str = '') -> None:
        """
        Adds `count` releases of a mechanism.
        """
    def to_json(self) -> str:
        """
        JSON text; `from_json` gives an equal composition.
        """
    @property
    def neighbouring(self) -> Neighbouring:
        ...
    @property
    def phases(self) -> list[Phase]:
        ...
    @property
    def total_count(self) -> int:
        """
        Number of releases in all phases.
        """
class PrivacyGuarantee:
    """
    What an accountant states: epsilon (natural log), delta, and how they were found.
    """
    def __repr__(self) -> str:
        ...
    @property
    def delta(self) -> float:
        ...
    @property
    def epsilon(self) -> float:
        ...
    @property
    def lower(self) -> float | None:
        """
        Proved lower bound of what was computed, where there is one.
        """
    @property
    def method(self) -> str:
        ...
    @property
    def order(self) -> float | None:
        """
        Renyi order, where the method has one.
        """
class StatedReleases:
    """
    Some releases of a statement, in words.
    """
    @property
    def count(self) -> int:
        ...
    @property
    def label(self) -> str:
        ...
    @property
    def mechanism(self) -> str:
        ...
    @property
    def sampling(self) -> str:
        ...
class PrivacyStatement:
    """
    What is promised, about whom, and on what condition: complete enough to stand in a paper alone.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    @staticmethod
    def _repr_html_(statement: PrivacyStatement) -> str:
        """
        A PrivacyStatement as a table, with its text behind a fold.
        """
    def __eq__(self, other: object) -> bool:
        ...
    def __str__(self) -> str:
        ...
    def to_json(self) -> str:
        """
        JSON object with the names above.
        """
    def to_text(self, columns: typing.SupportsInt = 80) -> str:
        """
        Lines of at most `columns` >= 40 columns, the promise first.
        """
    @property
    def accountant(self) -> str:
        ...
    @property
    def assumed_public(self) -> list[str]:
        ...
    @property
    def certified_lower(self) -> float | None:
        ...
    @property
    def conditions(self) -> list[str]:
        """
        Sentences without which it does not hold. A list by value: assign to it.
        """
    @conditions.setter
    def conditions(self, arg0: collections.abc.Sequence[str]) -> None:
        ...
    @property
    def delta(self) -> float:
        ...
    @property
    def epsilon(self) -> float:
        ...
    @property
    def group_size(self) -> int:
        ...
    @property
    def method(self) -> str:
        ...
    @property
    def neighbouring(self) -> Neighbouring:
        ...
    @property
    def not_covered(self) -> list[str]:
        ...
    @property
    def order(self) -> float | None:
        ...
    @property
    def releases(self) -> list[StatedReleases]:
        ...
    @property
    def unit(self) -> str:
        """
        Whose presence is protected: "example".
        """
    @property
    def version(self) -> str:
        ...
class Accountant:
    """
    Composes mechanisms and says what they cost together.
    """
    def __repr__(self) -> str:
        ...
    def compose(self, mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, count: typing.SupportsInt = 1, label: str = '') -> None:
        """
        Adds `count` releases of a mechanism; before they happen, so that a crash leaves the books too large and never too small.
        """
    def compose_all(self, composition: Composition) -> None:
        """
        Adds all phases of a composition.
        """
    def copy(self) -> Accountant:
        """
        An independent accountant with the same history.
        """
    def delta(self, epsilon: typing.SupportsFloat) -> float:
        """
        Smallest delta known at `epsilon` >= 0, rounded up.
        """
    def delta_curve(self, epsilons: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        [k] delta at each of the epsilons.
        """
    def epsilon(self, delta: typing.SupportsFloat) -> float:
        """
        Smallest epsilon known at `delta` in (0, 1), rounded up.
        """
    def epsilon_curve(self, deltas: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        [k] epsilon at each of the deltas.
        """
    def get_epsilon(self, delta: typing.SupportsFloat) -> float:
        """
        Opacus' name of `epsilon`.
        """
    def guarantee(self, delta: typing.SupportsFloat) -> PrivacyGuarantee:
        """
        Epsilon at `delta`, with how it was found.
        """
    def guarantee_at_epsilon(self, epsilon: typing.SupportsFloat) -> PrivacyGuarantee:
        """
        Delta at `epsilon`, with how it was found.
        """
    def statement(self, delta: typing.SupportsFloat, unit: str = 'example', whole_units: bool = False) -> PrivacyStatement:
        """
        What is promised at `delta`, in words. `unit`: whose presence is protected;
        `whole_units`: the releases draw and bound whole units, each with all its examples, as
        training by users does.
        """
    @property
    def composition(self) -> Composition:
        """
        Everything that was composed.
        """
    @property
    def name(self) -> str:
        ...
class RdpAccountant(Accountant):
    """
    Renyi accountant, minimised over all orders (or over a list, as other programs do); exact where every mechanism is an unsampled Gaussian.
    """
    def __init__(self, neighbouring: Neighbouring = ..., orders: collections.abc.Sequence[typing.SupportsFloat] | None = None) -> None:
        ...
class PldAccountant(Accountant):
    """
    Tight numerical accountant by privacy loss distributions, between proved bounds: epsilon is the upper one, `guarantee(delta).lower` the lower one.
    """
    def __init__(self, neighbouring: Neighbouring = ..., relative_width: typing.SupportsFloat = 0.001, accept_wider: bool = True) -> None:
        ...
class TrainingReport:
    """
    What a training run promises and on what assumptions.
    """
    backend: str
    clipping: str
    dataset: str
    model: str
    secure_randomness: bool
    @staticmethod
    def _repr_html_(report: TrainingReport) -> str:
        """
        A TrainingReport as a table, with its text behind a fold.
        """
    def __init__(self, accountant: Accountant, delta: typing.SupportsFloat, unit: str = 'example') -> None:
        """
        unit: what is drawn and bounded as a whole: "example", or for example "user".
        """
    def __str__(self) -> str:
        ...
    def statement(self) -> PrivacyStatement:
        """
        The promise as it can stand in a paper.
        """
    def to_json(self) -> str:
        """
        JSON object.
        """
    def to_text(self) -> str:
        """
        For people: about 60 lines.
        """
    @property
    def accountant(self) -> str:
        ...
    @property
    def assumptions(self) -> list[str]:
        ...
    @assumptions.setter
    def assumptions(self, arg0: collections.abc.Sequence[str]) -> None:
        ...
    @property
    def clipping_norm(self) -> float:
        ...
    @clipping_norm.setter
    def clipping_norm(self, arg0: typing.SupportsFloat) -> None:
        ...
    @property
    def composition(self) -> Composition:
        ...
    @property
    def dataset_size(self) -> int:
        ...
    @dataset_size.setter
    def dataset_size(self, arg0: typing.SupportsInt) -> None:
        ...
    @property
    def expected_batch_size(self) -> float:
        ...
    @expected_batch_size.setter
    def expected_batch_size(self, arg0: typing.SupportsFloat) -> None:
        ...
    @property
    def guarantee(self) -> PrivacyGuarantee:
        ...
    @property
    def is_private(self) -> bool:
        """
        Whether the randomness was secure and epsilon is finite.
        """
    @property
    def noise_multiplier(self) -> float:
        ...
    @noise_multiplier.setter
    def noise_multiplier(self, arg0: typing.SupportsFloat) -> None:
        ...
    @property
    def sampling_rate(self) -> float:
        ...
    @sampling_rate.setter
    def sampling_rate(self, arg0: typing.SupportsFloat) -> None:
        ...
    @property
    def steps(self) -> int:
        ...
    @steps.setter
    def steps(self, arg0: typing.SupportsInt) -> None:
        ...
    @property
    def test_accuracy(self) -> float | None:
        """
        Percent.
        """
    @test_accuracy.setter
    def test_accuracy(self, arg0: typing.SupportsFloat | None) -> None:
        ...
    @property
    def threads(self) -> int:
        ...
    @threads.setter
    def threads(self, arg0: typing.SupportsInt) -> None:
        ...
    @property
    def training_seconds(self) -> float | None:
        ...
    @training_seconds.setter
    def training_seconds(self, arg0: typing.SupportsFloat | None) -> None:
        ...
    @property
    def unit(self) -> str:
        ...
    @property
    def unit_count(self) -> int | None:
        """
        Of another unit than an example; treated as public.
        """
    @unit_count.setter
    def unit_count(self, arg0: typing.SupportsInt | None) -> None:
        ...
    @property
    def versions(self) -> dict[str, str]:
        ...
    @versions.setter
    def versions(self, arg0: collections.abc.Mapping[str, str]) -> None:
        ...
class NegativeBinomialTrials:
    """
    A random number of trials, truncated negative binomial: shape 1 is geometric with mean 1 / gamma, shape 0 logarithmic. shape finite and > -1, gamma in (0, 1).
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __init__(self, shape: typing.SupportsFloat, gamma: typing.SupportsFloat) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def gamma(self) -> float:
        ...
    @property
    def shape(self) -> float:
        ...
class PoissonTrials:
    """
    A random number of trials, Poisson. mean finite and > 0.
    """
    __hash__: typing.ClassVar[None] = None  # type: ignore[assignment]
    def __eq__(self, other: object) -> bool:
        ...
    def __init__(self, mean: typing.SupportsFloat) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def mean(self) -> float:
        ...
def calibrate_batch_size(spent: Accountant, dataset_size: typing.SupportsInt, noise_multiplier: typing.SupportsFloat, steps: typing.SupportsInt, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat) -> int:
    ...
def calibrate_gaussian_releases(epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, releases: collections.abc.Sequence[tuple[str, typing.SupportsInt, typing.SupportsFloat | None]]) -> list[float]:
    ...
def calibrate_noise(spent: Accountant, mechanism: collections.abc.Callable[[float], GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism], steps: typing.SupportsInt, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, tolerance: typing.SupportsFloat) -> float:
    ...
def calibrate_noise_multiplier(spent: Accountant, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, sampling_rate: typing.SupportsFloat, steps: typing.SupportsInt, tolerance: typing.SupportsFloat) -> float:
    ...
def calibrate_sampling_rate(spent: Accountant, noise_multiplier: typing.SupportsFloat, steps: typing.SupportsInt, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, tolerance: typing.SupportsFloat) -> float:
    ...
def calibrate_steps(spent: Accountant, mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, epsilon: typing.SupportsFloat, delta: typing.SupportsFloat, largest_steps: typing.SupportsInt) -> int:
    ...
def epsilon_schedule(spent: Accountant, mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, steps: typing.SupportsInt, steps_per_point: typing.SupportsInt, delta: typing.SupportsFloat) -> tuple[typing.Any, ...]:
    ...
def expected_trials(trials: NegativeBinomialTrials | PoissonTrials) -> float:
    ...
def gaussian_delta(mu: typing.SupportsFloat, epsilon: typing.SupportsFloat) -> float:
    ...
def gaussian_epsilon(mu: typing.SupportsFloat, delta: typing.SupportsFloat) -> float:
    ...
def gaussian_mu(epsilon: typing.SupportsFloat, delta: typing.SupportsFloat) -> float:
    ...
def group_composition(releases: Composition, group_size: typing.SupportsInt) -> Composition:
    ...
def group_guarantee(one: Accountant, group_size: typing.SupportsInt, delta: typing.SupportsFloat) -> PrivacyGuarantee:
    ...
def group_mechanism(mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, group_size: typing.SupportsInt) -> GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism:
    ...
def make_accountant(name: str, neighbouring: Neighbouring) -> Accountant:
    ...
def make_privacy_statement(releases: Composition, guarantee: PrivacyGuarantee, accountant: str, unit: str, group_size: typing.SupportsInt, whole_units: bool, batches: BatchSampling, search: NegativeBinomialTrials | PoissonTrials | None, size_is_public: bool) -> PrivacyStatement:
    ...
def mechanism_of_batches(sampling: BatchSampling, sampling_rate: typing.SupportsFloat, noise_multiplier: typing.SupportsFloat, steps: typing.SupportsInt, dataset_size: typing.SupportsInt, largest_batch_size: typing.SupportsInt) -> GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism:
    ...
def negative_binomial_trials(shape: typing.SupportsFloat, mean: typing.SupportsFloat) -> NegativeBinomialTrials:
    ...
def rdp(mechanism: GaussianMechanism | PoissonSampledGaussianMechanism | TruncatedPoissonSampledGaussianMechanism | WithoutReplacementSampledGaussianMechanism | LaplaceMechanism | DiscreteGaussianMechanism | SkellamMechanism | RandomizedResponseMechanism | ApproximateDpMechanism | ZeroConcentratedMechanism | DominatingPairMechanism, orders: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    ...
def rdp_to_delta(orders: collections.abc.Sequence[typing.SupportsFloat], rdps: collections.abc.Sequence[typing.SupportsFloat], epsilon: typing.SupportsFloat) -> tuple[float, float | None]:
    ...
def rdp_to_epsilon(orders: collections.abc.Sequence[typing.SupportsFloat], rdps: collections.abc.Sequence[typing.SupportsFloat], delta: typing.SupportsFloat) -> tuple[float, float | None]:
    ...
def search_guarantee(trial: RdpAccountant, trials: NegativeBinomialTrials | PoissonTrials, delta: typing.SupportsFloat) -> PrivacyGuarantee:
    ...
def steps_of_epochs(epochs: typing.SupportsFloat, sampling_rate: typing.SupportsFloat) -> int:
    ...
def zcdp_to_delta(rho: typing.SupportsFloat, epsilon: typing.SupportsFloat) -> tuple[float, float | None]:
    ...
def zcdp_to_epsilon(rho: typing.SupportsFloat, delta: typing.SupportsFloat) -> tuple[float, float | None]:
    ...
