"""velum.accounting as values, against closed forms in high precision."""

import json
import math
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from velum import accounting as acc

mpmath.mp.dps = 40


def gaussian_delta(mu, epsilon):
    """Balle and Wang (arXiv 1805.06530), Theorem 8."""
    mu, epsilon = mpmath.mpf(mu), mpmath.mpf(epsilon)
    return mpmath.ncdf(mu / 2 - epsilon / mu) - mpmath.exp(epsilon) * mpmath.ncdf(
        -mu / 2 - epsilon / mu
    )


def poisson_rdp(q, sigma, order):
    """Mironov, Talwar and Zhang (arXiv 1908.10530), section 3.3, for a whole order."""
    total = mpmath.fsum(
        mpmath.binomial(order, k)
        * mpmath.mpf(q) ** k
        * (1 - mpmath.mpf(q)) ** (order - k)
        * mpmath.exp(mpmath.mpf(k * (k - 1)) / (2 * mpmath.mpf(sigma) ** 2))
        for k in range(order + 1)
    )
    return mpmath.log(total) / (order - 1)


MECHANISMS = [
    acc.GaussianMechanism(noise_multiplier=1.5),
    acc.PoissonSampledGaussianMechanism(0.01, 1.1),
    acc.TruncatedPoissonSampledGaussianMechanism(0.01, 1.1, 1000, 40),
    acc.WithoutReplacementSampledGaussianMechanism(0.01, 2.2),
    acc.LaplaceMechanism(2.0),
    acc.DiscreteGaussianMechanism(3.0, 1),
    acc.SkellamMechanism(100.0, 2.0, 1.0),
    acc.RandomizedResponseMechanism(4, 0.6),
    acc.ApproximateDpMechanism(0.5, 1e-6),
    acc.ZeroConcentratedMechanism(0.1),
    acc.DominatingPairMechanism([0.6, 0.4], [0.4, 0.6], "coin"),
]


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: type(m).__name__)
def test_mechanisms_are_values(mechanism):
    again = pickle.loads(pickle.dumps(mechanism))
    assert again == mechanism and hash(again) == hash(mechanism) and again is not mechanism
    assert eval(repr(mechanism), vars(acc)) == mechanism
    assert all(mechanism != other for other in MECHANISMS if other is not mechanism)
    assert (mechanism == 3) is False and len(str(mechanism)) > 5
    releases = acc.Composition(
        acc.Neighbouring.REPLACE_ONE
        if isinstance(mechanism, acc.WithoutReplacementSampledGaussianMechanism)
        else acc.Neighbouring.ADD_OR_REMOVE_ONE
    )
    releases.append(mechanism, 3, label="x")
    (phase,) = acc.Composition.from_json(releases.to_json()).phases
    assert phase.mechanism == mechanism and phase.count == 3 and phase.label == "x"
    assert pickle.loads(pickle.dumps(releases)) == releases


@pytest.mark.parametrize("make", [acc.RdpAccountant, acc.PldAccountant])
@pytest.mark.parametrize("sigma,count,delta", [(1.0, 1, 1e-5), (5.0, 100, 1e-6), (0.7, 3, 1e-9)])
def test_gaussians_cost_what_the_closed_form_says(make, sigma, count, delta):
    books = make()
    books.compose(acc.GaussianMechanism(sigma), count)
    epsilon = books.epsilon(delta)
    mu = math.sqrt(count) / sigma
    assert gaussian_delta(mu, epsilon) <= delta <= gaussian_delta(mu, epsilon * (1 - 1e-6))
    at_one = books.delta(1.0)
    assert gaussian_delta(mu, 1.0) <= at_one <= gaussian_delta(mu, 1.0) * (1 + mpmath.mpf("1e-6"))


@pytest.mark.parametrize("q,sigma", [(0.01, 1.0), (0.2, 2.0), (1e-4, 0.6)])
def test_renyi_divergences_of_poisson_samples_are_the_binomial_sums(q, sigma):
    orders = np.array([2, 3, 8, 32])
    values = acc.rdp(acc.PoissonSampledGaussianMechanism(q, sigma), orders)
    assert values.shape == (4,) and values.dtype == np.float64
    for order, value in zip(orders.tolist(), values.tolist()):
        exact = poisson_rdp(q, sigma, order)
        assert exact <= value * (1 + 1e-12) and value <= exact * (1 + mpmath.mpf("1e-8"))


def test_the_figures_of_the_readme():
    step = acc.PoissonSampledGaussianMechanism(0.01, 1.0)
    tight, renyi = acc.PldAccountant(), acc.RdpAccountant()
    for books in (tight, renyi):
        books.compose(step, 10_000)
    guarantee = tight.guarantee(1e-5)
    assert round(guarantee.lower, 3) == 6.186 and round(guarantee.epsilon, 3) == 6.190
    assert round(renyi.epsilon(1e-5), 3) == 6.712 and renyi.guarantee(1e-5).lower is None


def test_calibration_ends_just_within_the_budget():
    plan = {"delta": 1e-5, "sampling_rate": 0.02, "steps": 1000}

    def cost(sigma):
        books = acc.RdpAccountant()
        books.compose(acc.PoissonSampledGaussianMechanism(0.02, sigma), 1000)
        return books.epsilon(1e-5)

    sigma = acc.calibrate_noise_multiplier(epsilon=2.0, **plan)
    assert cost(sigma) <= 2.0 < cost(sigma * 0.99999)
    spent = acc.RdpAccountant()
    spent.compose(acc.GaussianMechanism(2.0))
    assert acc.calibrate_noise_multiplier(epsilon=3.0, **plan, spent=spent) > sigma
    assert spent.composition.total_count == 1  # not changed
    with pytest.raises(ValueError):
        acc.calibrate_noise_multiplier(epsilon=1e-3, **plan, spent=spent)

    step = acc.PoissonSampledGaussianMechanism(0.02, sigma)
    assert 1000 <= acc.calibrate_steps(step, epsilon=2.0, delta=1e-5) <= 1001
    rate = acc.calibrate_sampling_rate(epsilon=2.0, delta=1e-5, noise_multiplier=sigma, steps=1000)
    assert rate == pytest.approx(0.02, rel=1e-4)
    size = acc.calibrate_batch_size(
        epsilon=2.0, delta=1e-5, noise_multiplier=sigma, steps=1000, dataset_size=50_000
    )
    assert 999 <= size <= 1000


def test_curves_are_arrays():
    step = acc.PoissonSampledGaussianMechanism(0.05, 1.2)
    steps, epsilon, lower = acc.epsilon_over_steps(
        step, steps=25, steps_per_point=10, delta=1e-5, spent=acc.PldAccountant()
    )
    assert steps.tolist() == [10, 20, 25] and steps.dtype == np.int64
    assert (np.diff(epsilon) > 0).all() and (lower <= epsilon).all() and (lower > 0).all()
    books = acc.PldAccountant()
    books.compose(step, 25)
    assert epsilon[-1] == books.epsilon(1e-5)
    assert np.isnan(acc.epsilon_over_steps(step, steps=5, delta=1e-5)[2]).all()

    deltas = np.array([1e-7, 1e-5, 1e-3])
    curve = books.epsilon_curve(deltas)
    assert curve.tolist() == [books.epsilon(d) for d in deltas]
    assert books.delta_curve([0.5, 1.0]).tolist() == [books.delta(0.5), books.delta(1.0)]
    assert books.epsilon_curve(np.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match="2 dimensions"):
        books.epsilon_curve(deltas[None])


def test_statements_say_the_promise_and_its_conditions():
    books = acc.PldAccountant()
    books.compose(acc.PoissonSampledGaussianMechanism(0.01, 1.0), 100, "training")
    statement = books.statement(1e-5)
    assert statement.epsilon == books.epsilon(1e-5) and statement.unit == "example"
    assert "training" in str(statement) and statement.conditions and statement.not_covered
    assert json.loads(statement.to_json())["epsilon"] == statement.epsilon
    copy = books.copy()
    copy.compose(acc.GaussianMechanism(1.0))
    assert copy.statement(1e-5) != statement == books.statement(1e-5)


def test_shuffled_batches_count_as_releases_without_sampling():
    shuffled = acc.mechanism_of_batches(
        acc.BatchSampling.SHUFFLED_BATCHES, noise_multiplier=1.0, steps=10
    )
    assert shuffled == acc.GaussianMechanism(1.0)
    poisson = acc.mechanism_of_batches(
        acc.BatchSampling.POISSON, noise_multiplier=1.0, steps=10, sampling_rate=0.1
    )
    assert poisson == acc.PoissonSampledGaussianMechanism(0.1, 1.0)
    assert acc.steps_of_epochs(0.1, 0.01) == 10


def test_groups_cost_more():
    one = acc.RdpAccountant()
    one.compose(acc.GaussianMechanism(3.0))
    assert acc.group_mechanism(acc.GaussianMechanism(3.0), 3).noise_multiplier <= 1.0
    assert acc.group_guarantee(one, 2, 1e-5).epsilon > one.epsilon(1e-5)


@pytest.mark.parametrize(
    "call,text",
    [
        (lambda: acc.GaussianMechanism(-1.0), "noise_multiplier"),
        (lambda: acc.GaussianMechanism(math.nan), "noise_multiplier"),
        (lambda: acc.PoissonSampledGaussianMechanism(1.5, 1.0), "sampling_rate"),
        (lambda: acc.DominatingPairMechanism([0.5], [0.2], "x"), "sum"),
        (lambda: acc.RdpAccountant().epsilon(0.0), "delta"),
        (lambda: acc.RdpAccountant().epsilon(1.0), "delta"),
        (lambda: acc.RdpAccountant().delta(-1.0), "epsilon"),
        (lambda: acc.RdpAccountant().compose(acc.GaussianMechanism(1.0), -1), "count"),
        (lambda: acc.RdpAccountant(orders=[1.0]), "order"),
        (lambda: acc.PldAccountant(acc.Neighbouring.REPLACE_ONE).compose(MECHANISMS[1]), "replace-one"),
        (lambda: acc.PldAccountant().compose(acc.ZeroConcentratedMechanism(0.1)), "zero"),
        (lambda: acc.make_accountant("gdp"), "gdp"),
        (lambda: acc.Composition.from_json("{}"), "JSON|json|version"),
        (lambda: acc.rdp(acc.GaussianMechanism(1.0), [0.5]), "order"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(call, text):
    with pytest.raises(ValueError, match=f"(?i){text}"):
        call()


numbers = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=2),
    st.lists(st.floats(), max_size=3), st.sampled_from(MECHANISMS),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_argument_crashes(data):
    make = data.draw(st.sampled_from([type(m) for m in MECHANISMS]))
    try:
        mechanism = make(*data.draw(st.lists(numbers, max_size=4)))
        books = acc.RdpAccountant()
        books.compose(mechanism, data.draw(numbers))
        books.epsilon(data.draw(numbers))
    except (TypeError, ValueError, OverflowError):
        pass


def test_gaussian_releases_share_a_budget():
    mu = acc.gaussian_mu(3.0, 1e-5)
    assert float(gaussian_delta(mu, 3.0)) == pytest.approx(1e-5, rel=1e-9)
    assert acc.gaussian_delta(mu, 3.0) == pytest.approx(1e-5, rel=1e-9)
    assert acc.gaussian_epsilon(mu, 1e-5) == pytest.approx(3.0, rel=1e-9)
    first, rest = acc.calibrate_gaussian_releases(
        3.0, 1e-5, [("mean", 1, 0.12), ("training", 60, None)]
    )
    assert first == pytest.approx(1 / (0.12 * mu))
    assert 1 / first**2 + 60 / rest**2 == pytest.approx(mu**2)
    with pytest.raises(ValueError, match="two releases without share"):
        acc.calibrate_gaussian_releases(3.0, 1e-5, [("a", 1, None), ("b", 1, None)])


def test_any_mechanism_is_calibrated():
    def skellam(noise_multiplier):
        return acc.SkellamMechanism((100 * noise_multiplier) ** 2, 1000.0, 100.0)

    noise = acc.calibrate_noise(skellam, epsilon=2.0, delta=1e-6, steps=5)
    for factor, within in ((1.0, True), (0.999, False)):
        books = acc.RdpAccountant()
        books.compose(skellam(noise * factor), 5)
        assert (books.epsilon(1e-6) <= 2.0) is within
    with pytest.raises(ZeroDivisionError):
        acc.calibrate_noise(lambda noise: 1 / 0, epsilon=2.0, delta=1e-6, steps=5)


def test_renyi_curves_are_converted():
    rho, delta = 0.1, 1e-6
    orders = np.linspace(1.5, 200, 2000)
    epsilon, order = acc.rdp_to_epsilon(orders, rho * orders, delta)
    by_hand = rho * orders + np.log1p(-1 / orders) - np.log(delta * orders) / (orders - 1)
    assert epsilon == pytest.approx(by_hand.min(), rel=1e-12)
    assert order == orders[by_hand.argmin()]
    exact, _ = acc.zcdp_to_epsilon(rho, delta)
    assert exact <= epsilon <= exact * (1 + 1e-4)
    books = acc.RdpAccountant()
    books.compose(acc.ZeroConcentratedMechanism(rho))
    assert exact == pytest.approx(books.epsilon(delta), rel=1e-12)
    assert acc.zcdp_to_delta(rho, exact)[0] == pytest.approx(delta, rel=1e-6)
    assert acc.rdp_to_delta(orders, rho * orders, epsilon)[0] == pytest.approx(delta, rel=1e-6)
    with pytest.raises(ValueError):
        acc.rdp_to_epsilon([2.0, 3.0], [0.1], delta)
    with pytest.raises(ValueError, match="2 dimensions"):
        acc.rdp_to_epsilon([[2.0]], [[0.1]], delta)


def test_a_search_of_settings_has_its_price():
    trial = acc.RdpAccountant()
    trial.compose(acc.GaussianMechanism(4.0))
    trials = acc.negative_binomial_trials(1.0, 10.0)
    assert trials.shape == 1.0 and trials.gamma == pytest.approx(0.1)
    assert acc.expected_trials(trials) == pytest.approx(10.0)
    search = acc.search_guarantee(trial, trials, 1e-5)
    assert trial.epsilon(1e-5) < search.epsilon
    many = acc.RdpAccountant()
    many.compose(acc.GaussianMechanism(4.0), 10)
    assert search.epsilon < many.epsilon(1e-5)
    poisson = acc.search_guarantee(trial, acc.PoissonTrials(10.0), 1e-5)
    assert poisson.epsilon > trial.epsilon(1e-5)
    statement = acc.make_privacy_statement(trial.composition, search, "rdp", search=trials)
    assert statement.epsilon == search.epsilon and "geometric" in statement.to_text()
    for call in (
        lambda: acc.NegativeBinomialTrials(-1.0, 0.5),
        lambda: acc.NegativeBinomialTrials(1.0, 1.5),
        lambda: acc.PoissonTrials(0.0),
        lambda: acc.negative_binomial_trials(1.0, 0.5),
        lambda: acc.make_privacy_statement(trial.composition, search, "rdp", unit=""),
    ):
        with pytest.raises(ValueError):
            call()


def test_statements_name_the_unit():
    books = acc.RdpAccountant()
    books.compose(acc.PoissonSampledGaussianMechanism(0.1, 1.0), 10, "training, by user")
    by_user = books.statement(1e-5, "user", True)
    assert by_user.unit == "user" and "every user" in by_user.releases[0].sampling
    assert books.statement(1e-5).unit == "example"
    assert books.get_epsilon(1e-5) == books.epsilon(1e-5) == by_user.epsilon
    more = [*by_user.conditions, "the moon is up"]
    by_user.conditions = more
    assert "the moon is up" in " ".join(by_user.to_text().split())
    report = acc.TrainingReport(books, 1e-5, "user")
    report.unit_count = 12
    assert report.unit == "user" and "12" in report.to_text()
    grouped = acc.group_composition(books.composition, 3)
    assert grouped.phases[0].mechanism == acc.group_mechanism(
        acc.PoissonSampledGaussianMechanism(0.1, 1.0), 3
    )
