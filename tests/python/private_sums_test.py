"""PrivateStateDictSum: owners' state_dicts in, one sum with exact noise out, and what it costs."""

import math

import numpy as np
import pytest
import torch
from velum import accounting as acc
from velum import integer_noise
from velum import ledger as books
from velum.he import aggregation

OWNERS, HONEST = 3, 2


def state_dicts(scale=1.0):
    torch.manual_seed(1)
    return [
        {
            "layer.weight": scale * torch.randn(8, 5, dtype=torch.float64),
            "layer.bias": scale * torch.randn(8),
        }
        for _ in range(OWNERS)
    ]


def norm_of(state_dict):
    return math.sqrt(sum(float(t.double().square().sum()) for t in state_dict.values()))


def make(**options):
    settings = {"honest_owners": HONEST, "clipping_norm": 2.0, "noise_multiplier": 0.5, **options}
    return aggregation.PrivateStateDictSum(state_dicts()[0], OWNERS, **settings)


class Carried:
    """A group whose messages go from hand to hand, with ledgers as registers."""

    def __init__(self, context, folder):
        identities = [aggregation.Identity.generate() for _ in range(OWNERS + 1)]
        public = [i.public_identity for i in identities]
        roster = aggregation.Roster(public[0], public[1:], bytes(range(32)))
        self.aggregator = aggregation.Aggregator(context, roster, identities[0])
        self.ledgers = [books.Ledger.create(folder / f"{i}.db") for i in range(OWNERS)]
        self.owners = [
            aggregation.Owner(context, roster, i, identities[i], self.ledgers[i - 1].claim_once)
            for i in range(1, OWNERS + 1)
        ]
        for owner in self.owners:
            self.aggregator.receive(owner.start_setup())
        keys = self.aggregator.setup_keys()
        for owner in self.owners:
            for dealt in owner.deal(keys):
                self.aggregator.receive(dealt)
        for owner in self.owners:
            self.aggregator.receive(owner.finish_setup(self.aggregator.shares_for(owner.number)))

    def sum(self, vectors):
        start = self.aggregator.start_round()
        for owner, vector in zip(self.owners, vectors):
            self.aggregator.receive(owner.submit(start, vector))
        summary = self.aggregator.close_submissions()
        for owner in self.owners:
            self.aggregator.receive(owner.confirm(summary))
        request = self.aggregator.request_shares()
        for party in self.aggregator.parties:
            self.aggregator.receive(self.owners[party - 1].share(request))
        return self.aggregator.finish()


def test_the_encrypted_sum_is_that_of_the_noised_vectors(tmp_path):
    models = make()
    group = Carried(models.context, tmp_path)
    owned = state_dicts()
    vectors = [models.pack(state_dict) for state_dict in owned]
    sums = group.sum(vectors)
    assert np.array_equal(sums, np.sum(vectors, axis=0))
    total = models.unpack(sums)
    assert list(total) == list(owned[0])
    for name, values in total.items():
        assert values.shape == owned[0][name].shape and values.dtype == owned[0][name].dtype
    # The registers were the ledgers: set-up, vector, confirmation and share of every owner.
    for ledger in group.ledgers:
        assert ledger.export_json_lines().count('"kind":"claim"') >= 4 and ledger.verify() == []


def test_an_owners_vector_is_clipped_rounded_without_bias_and_noised():
    models = make()
    (state_dict, *_) = state_dicts()
    flat = torch.cat([t.double().flatten() for t in state_dict.values()]).numpy()
    clipped = flat * (2.0 / norm_of(state_dict))
    assert norm_of(state_dict) > 2.0
    draws = np.stack([models.pack(state_dict) for _ in range(600)])
    deviation = math.sqrt(models.noise.share_variance)
    # Rounding adds at most 1/4 to the variance of a coordinate. 48 means of 600 draws, beyond 6
    # deviations with probability below 1e-7; the variance of all 28800 likewise.
    error = draws.mean(0) - clipped / models.step
    assert np.abs(error).max() < 6 * math.hypot(deviation, 0.5) / math.sqrt(600)
    residual = draws - clipped / models.step
    assert (
        abs(residual.var() / deviation**2 - 1)
        < 6 * math.sqrt(2 / residual.size) + 0.25 / deviation**2
    )
    assert models.step <= 2.0 / 2**10  # fine enough for the rounding not to matter


def test_small_vectors_are_left_as_they_are():
    models = make(noise_multiplier=1e-3)
    (state_dict, *_) = state_dicts(0.01)
    mean = np.mean([models.pack(state_dict) for _ in range(50)], axis=0) * models.step
    flat = torch.cat([t.double().flatten() for t in state_dict.values()]).numpy()
    assert np.abs(mean - flat).max() < 1e-2


@pytest.mark.parametrize("noise", ["discrete_gaussian", "skellam"])
def test_the_books_are_those_of_the_honest_owners_noise(noise):
    models = make(noise=noise, noise_multiplier=2.0)
    (state_dict, *_) = state_dicts()
    for _ in range(3):
        models.pack(state_dict)
    # By hand: the sensitivity of the rounding, the noise of two shares.
    rounding = integer_noise.QuantizationPlan(2.0, models.step, 48)
    sensitivity = rounding.sensitivity()
    variance = HONEST * models.noise.share_variance
    assert variance >= (2.0 * sensitivity.l2) ** 2 * (1 - 1e-9)
    expected = acc.RdpAccountant()
    if noise == "skellam":
        expected.compose(acc.SkellamMechanism(variance, sensitivity.l1, sensitivity.l2), 3)
    else:
        expected.compose(acc.ZeroConcentratedMechanism(sensitivity.l2**2 / (2 * variance)), 3)
    assert models.get_epsilon(1e-6) == pytest.approx(expected.epsilon(1e-6), rel=1e-6)
    assert models.get_epsilon(1e-6) >= expected.epsilon(1e-6) * (1 - 1e-9)
    statement = models.statement(1e-6)
    assert statement.unit == "owner" and statement.epsilon == models.get_epsilon(1e-6)
    assert any("2 clients" in condition for condition in statement.conditions)
    assert "2 clients" in statement.to_text()
    alone = make(noise=noise, noise_multiplier=2.0, honest_owners=1)
    assert alone.noise.share_variance == pytest.approx(2 * models.noise.share_variance, rel=1e-3)


def test_a_budget_is_kept():
    models = make(noise_multiplier=None, target_epsilon=2.0, target_delta=1e-6, rounds=5)
    (state_dict, *_) = state_dicts()
    for _ in range(5):
        models.pack(state_dict)
    assert 1.99 < models.get_epsilon(1e-6) <= 2.0


def test_replacing_an_owner_costs_twice_the_norm():
    one = make(noise_multiplier=2.0)
    replaced = make(noise_multiplier=2.0, neighbouring=acc.Neighbouring.REPLACE_ONE)
    assert replaced.accountant.composition.neighbouring == acc.Neighbouring.REPLACE_ONE
    ratio = (
        replaced.noise.share_variance * replaced.step**2 / one.noise.share_variance / one.step**2
    )
    assert ratio == pytest.approx(4.0, rel=0.05)


def test_examples_are_protected_where_the_caller_bounds_them():
    models = make(unit="example", largest=40.0, bits=24, noise_multiplier=4.0)
    # The sum over an owner's examples is larger than C, and is not clipped.
    (state_dict, *_) = state_dicts(10.0)
    flat = torch.cat([t.double().flatten() for t in state_dict.values()]).numpy()
    assert norm_of(state_dict) > 10.0
    draws = np.stack([models.pack(state_dict) for _ in range(200)])
    deviation = math.sqrt(models.noise.share_variance)
    error = draws.mean(0) - flat / models.step
    assert np.abs(error).max() < 6 * deviation / math.sqrt(200) + 0.5
    # One example moves the sum by C before rounding, and by sqrt(48) steps more after it.
    l2 = 2.0 / models.step + math.sqrt(48)
    assert HONEST * models.noise.share_variance >= (4.0 * l2) ** 2
    statement = models.statement(1e-6)
    assert statement.unit == "example"
    assert any("at most 2 in L2" in condition for condition in statement.conditions)
    # What is beyond `largest` is cut off, coordinate by coordinate.
    state_dict["layer.bias"][0] = 1e9
    limit = 2**23 - 1 - math.ceil(12 * deviation) - 1
    assert limit * models.step >= 40.0
    assert abs(models.pack(state_dict)[40] - limit) < 8 * deviation


def skellam_log2_tail(variance, least):
    """log2 P(|X| >= least), X the difference of two Poisson numbers: term by term."""
    mean = variance / 2

    def log_probability(k):
        return k * math.log(mean) - mean - math.lgamma(k + 1)

    logs = [
        log_probability(k) + log_probability(j)
        for j in range(int(mean + 40 * math.sqrt(mean)) + 60)
        for k in range(least + j, least + j + 60)
    ]
    largest = max(logs)
    return (largest + math.log(2 * sum(math.exp(x - largest) for x in logs))) / math.log(2)


@pytest.mark.parametrize("variance", [0.01, 1.0, 25.0, 400.0, 4000.0])
def test_hardly_any_noise_is_cut_off(variance):
    noise = integer_noise.plan_integer_noise("skellam", variance=variance, honest_clients=1)
    most = aggregation._largest_noise(noise)
    assert -130 < skellam_log2_tail(variance, most + 1) < -100
    noise = integer_noise.plan_integer_noise(
        "discrete_gaussian", variance=4 * variance + 1, honest_clients=1
    )
    exponent = (aggregation._largest_noise(noise) + 1) ** 2 / (2 * noise.share_variance)
    assert 2 * math.exp(-exponent) < 2**-100  # sub-Gaussian with that parameter


def test_a_ledger_is_asked_before_every_vector(tmp_path):
    ledger = books.Ledger.create(tmp_path / "books.db")
    ledger.add_data_set("survey", epsilon=3.0, delta=1e-6, accountant="rdp", unit="owner")
    guard = books.LedgerGuard(ledger, "survey", "run")
    models = make(noise_multiplier=6.0, release_guard=guard)
    (state_dict, *_) = state_dicts()
    packed = 0
    with pytest.raises(books.BudgetExceeded):
        while True:
            models.pack(state_dict)
            packed += 1
    assert packed > 0 and ledger.status("survey").spent.total_count == packed
    assert models.accountant.composition.total_count == packed
    assert models.get_epsilon(1e-6) <= 3.0


def test_a_ledger_of_another_relation_is_refused(tmp_path):
    ledger = books.Ledger.create(tmp_path / "books.db")
    ledger.add_data_set(
        "survey",
        epsilon=3.0,
        delta=1e-6,
        accountant="rdp",
        unit="owner",
        neighbouring=acc.Neighbouring.REPLACE_ONE,
    )
    guard = books.LedgerGuard(ledger, "survey", "run")
    with pytest.raises(
        ValueError, match="StateDictSum: .* books for replace-one, expected add-or-remove-one"
    ):
        make(release_guard=guard)
    make(release_guard=guard, neighbouring=acc.Neighbouring.REPLACE_ONE)


def test_a_ledger_about_another_unit_is_refused(tmp_path):
    ledger = books.Ledger.create(tmp_path / "books.db")
    for unit in ("owner", "record"):
        ledger.add_data_set(unit, epsilon=3.0, delta=1e-6, accountant="rdp", unit=unit)
    of_owners = books.LedgerGuard(ledger, "owner", "run-1")
    of_records = books.LedgerGuard(ledger, "record", "run-2")
    make(release_guard=of_owners)
    make(release_guard=of_records, unit="example", largest=1.0)
    with pytest.raises(ValueError, match="about one record, expected one owner"):
        make(release_guard=of_records)
    with pytest.raises(ValueError, match="about one owner, expected one example"):
        make(release_guard=of_owners, unit="example", largest=1.0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"honest_owners": 0}, "honest_owners = 0, expected 1 to 3"),
        ({"honest_owners": 4}, "honest_owners = 4, expected 1 to 3"),
        ({"clipping_norm": 0.0}, "clipping_norm = 0.0"),
        ({"clipping_norm": math.nan}, "clipping_norm = nan"),
        ({"noise_multiplier": 0.0}, "noise_multiplier = 0.0"),
        ({"noise_multiplier": 1e9}, "leaves no room in 20 bits"),
        ({"noise_multiplier": 8.0, "bits": 3}, "leaves no room in 3 bits"),
        ({"unit": "person"}, "unit = 'person', expected owner or example"),
        ({"unit": "example"}, "largest is not given"),
        ({"largest": -1.0}, "largest = -1.0"),
        ({"noise": "laplace"}, 'noise = "laplace"'),
        ({"noise_multiplier": None}, "expected noise_multiplier, or target_epsilon"),
        ({"target_epsilon": 1.0}, "expected one of them"),
        ({"bits": 30}, "bits = 30, expected 2 to 24"),
        (
            {"accountant": acc.RdpAccountant(acc.Neighbouring.REPLACE_ONE)},
            "accountant is for REPLACE_ONE, expected one for neighbouring = ADD_OR_REMOVE_ONE",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_number_that_is_not_finite_is_no_release():
    models = make()
    (state_dict, *_) = state_dicts()
    state_dict["layer.bias"][3] = math.inf
    with pytest.raises(ValueError, match="not finite"):
        models.pack(state_dict)
    assert models.accountant.composition.total_count == 0
