"""velum.integer_noise: shares that add up, roundings within their limit, and what both cost."""

import math
import multiprocessing

import numpy as np
import pytest
from velum import accounting as acc
from velum import integer_noise as noise

KEY = bytes(range(32))


@pytest.mark.parametrize("kind", ["discrete_gaussian", "skellam"])
def test_shares_add_up_to_the_variance(kind):
    plan = noise.plan_integer_noise(kind, variance=36.0, honest_clients=4)
    assert plan.noise == kind and plan.honest_clients == 4
    assert plan.share_variance == pytest.approx(9.0, rel=1e-9)
    d = 100_000
    shares = [noise.integer_noise_share(plan, d) for _ in range(4)]
    assert all(s.dtype == np.int64 and s.shape == (d,) for s in shares)
    total = np.sum(shares, axis=0)
    # Of d normals: the mean has deviation 6 / sqrt(d), the variance 36 sqrt(2 / d); six of each, so
    # false alarms below 1e-8.
    assert abs(total.mean()) < 6 * 6 / math.sqrt(d)
    assert abs(total.var() - 36) < 6 * 36 * math.sqrt(2 / d)


def test_a_share_is_never_drawn_twice():
    plan = noise.plan_integer_noise("skellam", variance=1e6, honest_clients=1)
    shares = {noise.integer_noise_share(plan, 20).tobytes() for _ in range(20)}
    assert len(shares) == 20
    same = [noise.integer_noise_share(plan, 20, threads=t, insecure_test_key=KEY) for t in (1, 2)]
    assert (same[0] == same[1]).all()
    assert noise.integer_noise_share(plan, 0).shape == (0,)


def _draw(queue):
    plan = noise.plan_integer_noise("skellam", variance=1e6, honest_clients=1)
    queue.put(noise.integer_noise_share(plan, 20).tobytes())


def test_forked_children_draw_noise_of_their_own():
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    children = [fork.Process(target=_draw, args=(queue,)) for _ in range(3)]
    for child in children:
        child.start()
    shares = {queue.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    _draw(queue)
    assert len(shares | {queue.get(timeout=60)}) == 4


def test_the_mechanism_is_that_of_the_noise():
    plan = noise.plan_integer_noise("skellam", variance=400.0, honest_clients=8)
    sensitivity = noise.IntegerSensitivity(l1=10.0, l2=3.0)
    mechanism = plan.mechanism(50, sensitivity)
    assert isinstance(mechanism, acc.SkellamMechanism)
    assert (mechanism.l1_sensitivity, mechanism.l2_sensitivity) == (10.0, 3.0)
    assert 400.0 * (1 - 1e-9) < mechanism.variance <= 8 * plan.share_variance * (1 + 1e-12)
    one = noise.plan_integer_noise("discrete_gaussian", variance=400.0, honest_clients=1)
    zcdp = one.mechanism(50, sensitivity)
    # One client: rho = l2^2 / (2 variance), nothing for the sum of several.
    assert zcdp.rho == pytest.approx(9 / 800, rel=1e-9) and zcdp.rho >= 9 / 800 * (1 - 1e-9)
    books = acc.RdpAccountant()
    books.compose(mechanism)
    assert math.isfinite(books.epsilon(1e-6))
    assert "8 clients" in noise.honest_clients_condition(8)


@pytest.mark.parametrize("cut", [noise.round_to_integers, noise.clip_and_round_to_integers])
def test_roundings_are_unbiased_and_within_their_limit(cut):
    d, c = 64, 1.0
    plan = noise.QuantizationPlan(c, noise.granularity_of_bits(c, 6), d)
    values = np.sin(np.arange(d))
    values *= 0.9 / np.linalg.norm(values)
    steps = values / plan.granularity
    total = np.zeros(d)
    rounds = 2000
    for _ in range(rounds):
        integers = cut(values, plan)
        assert integers.dtype == np.int64
        assert (np.abs(integers - steps) < 1).all()
        assert (integers**2).sum() <= plan.squared_norm_limit
        total += integers
    # A rounding has a deviation of at most 1/2; 6 of them for 64 means: false alarms below 1e-6.
    assert np.abs(total / rounds - steps).max() < 6 * 0.5 / math.sqrt(rounds)
    assert (
        cut(values, plan, insecure_test_key=KEY) == cut(values, plan, insecure_test_key=KEY)
    ).all()


def test_larger_vectors_are_clipped_or_refused():
    plan = noise.QuantizationPlan(clipping_norm=1.0, granularity=0.01, dimension=3)
    with pytest.raises(ValueError, match="norm"):
        noise.round_to_integers([3.0, 0.0, 4.0], plan)
    clipped = noise.clip_and_round_to_integers([3.0, 0.0, 4.0], plan)
    assert (np.abs(clipped - np.array([60, 0, 80])) <= 1).all()
    with pytest.raises(ValueError, match="values.size"):
        noise.round_to_integers([0.5], plan)
    with pytest.raises(ValueError, match="2 dimensions, expected 1"):
        noise.round_to_integers([[0.1, 0.1, 0.1]], plan)
    with pytest.raises(ValueError, match="not finite"):
        noise.round_to_integers([math.nan, 0.0, 0.0], plan)


def test_the_limit_is_the_papers():
    plan = noise.QuantizationPlan(clipping_norm=2.0, granularity=0.125, dimension=100, beta=0.5)
    c, d = 16.0, 100  # Kairouz, Liu and Steinke 2021, section 4.2
    root = (c + math.sqrt(d)) ** 2
    tail = c**2 + d / 4 + math.sqrt(2 * math.log(1 / 0.5)) * (c + math.sqrt(d) / 2)
    assert plan.squared_norm_limit == math.floor(min(root, tail))
    limit = plan.squared_norm_limit
    one, replaced = (
        plan.sensitivity(),
        plan.sensitivity(acc.Neighbouring.REPLACE_ONE),
    )
    assert one == noise.integer_sensitivity(limit, d)
    assert one.l2 == pytest.approx(math.sqrt(limit)) and one.l1 == pytest.approx(
        min(math.sqrt(d * limit), limit)
    )
    assert replaced.l2 == pytest.approx(2 * one.l2)
    assert noise.granularity_of_bits(2.0, 5) >= 2.0 / 15


@pytest.mark.parametrize(
    "call",
    [
        lambda: noise.plan_integer_noise("laplace", variance=1.0, honest_clients=1),
        lambda: noise.plan_integer_noise("skellam", variance=0.0, honest_clients=1),
        lambda: noise.plan_integer_noise("skellam", variance=math.nan, honest_clients=1),
        lambda: noise.plan_integer_noise("discrete_gaussian", variance=1.0, honest_clients=8),
        lambda: noise.plan_integer_noise("skellam", variance=1.0, honest_clients=0),
        lambda: noise.QuantizationPlan(0.0, 0.1, 3),
        lambda: noise.QuantizationPlan(1.0, 2.0, 3),
        lambda: noise.QuantizationPlan(1.0, 0.1, 0),
        lambda: noise.QuantizationPlan(1.0, 0.1, 3, beta=0.95),
        lambda: noise.granularity_of_bits(1.0, 1),
        lambda: noise.integer_sensitivity(0, 3),
        lambda: noise.integer_noise_share(
            noise.plan_integer_noise("skellam", variance=1.0, honest_clients=1), -1
        ),
        lambda: noise.integer_noise_share(
            noise.plan_integer_noise("skellam", variance=1.0, honest_clients=1),
            3,
            insecure_test_key=b"short",
        ),
        lambda: noise.integer_noise_share(
            noise.plan_integer_noise("skellam", variance=1.0, honest_clients=1), 3, threads=0
        ),
    ],
)
def test_what_is_out_of_range_is_refused(call):
    with pytest.raises(ValueError):
        call()


def test_an_object_that_was_never_made_is_an_error():
    for cls in (noise.IntegerNoisePlan, noise.QuantizationPlan, noise.IntegerSensitivity):
        with pytest.raises(TypeError):
            repr(cls.__new__(cls))
    plan = noise.IntegerNoisePlan.__new__(noise.IntegerNoisePlan)
    with pytest.raises(TypeError):
        noise.integer_noise_share(plan, 3)
    with pytest.raises(TypeError):
        noise.round_to_integers([], noise.QuantizationPlan.__new__(noise.QuantizationPlan))
