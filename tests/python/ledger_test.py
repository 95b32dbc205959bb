"""velum.ledger: budgets that hold over runs, and a training that stops at one."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from velum import PrivacyEngine
from velum import accounting as acc
from velum import ledger as books

STEP = acc.GaussianMechanism(4.0)


@pytest.fixture
def ledger(tmp_path):
    ledger = books.Ledger.create(tmp_path / "books.db")
    ledger.add_data_set("survey", epsilon=3.0, delta=1e-5, public_size=8, unit="sample")
    return ledger


def affordable():
    """By the closed form: the most releases of STEP within (3, 1e-5)."""
    count = 0
    while True:
        accountant = acc.RdpAccountant()
        accountant.compose(STEP, count + 1)
        if accountant.epsilon(1e-5) > 3.0:
            return count
        count += 1


def test_a_budget_is_never_exceeded(ledger):
    limit = affordable()
    assert ledger.affordable("survey", STEP, 1000) == limit
    reservation, count = ledger.reserve("survey", STEP, 3, label="census")
    assert count == 3
    with pytest.raises(books.BudgetExceeded):
        ledger.reserve("survey", STEP, limit - 2)
    assert ledger.reserve_up_to("survey", STEP, 1000)[1] == limit - 3
    with pytest.raises(books.BudgetExceeded):
        ledger.reserve_up_to("survey", STEP, 1)
    status = ledger.status("survey")
    assert status.spent.total_count == limit and status.guarantee.epsilon <= 3.0
    assert status.unit == "sample" and status.public_size == 8 and not status.over_budget
    ledger.give_back(reservation, 2, "never happened")
    assert ledger.affordable("survey", STEP, 10) == 2
    foreign = acc.Composition()
    foreign.append(STEP, 5)
    ledger.record_foreign("survey", foreign, "made before")
    assert ledger.status("survey").over_budget
    ledger.change_budget("survey", epsilon=5.0, delta=1e-5, reason="the board agreed")
    assert not ledger.status("survey").over_budget


def test_a_ledger_is_kept_copied_and_verified(ledger, tmp_path):
    ledger.note("begun")
    head = ledger.head
    ledger.reserve("survey", STEP)
    again = books.Ledger.open(ledger.path, read_only=True)
    assert again.id == ledger.id and again.data_sets == ["survey"] and again.verify(head) == []
    with pytest.raises(books.LedgerError):
        again.note("no")
    restored = books.Ledger.restore(tmp_path / "copy.db", ledger.export_json_lines())
    assert restored.head == ledger.head
    ledger.backup(tmp_path / "backup.db")
    assert books.Ledger.open(tmp_path / "backup.db").head == ledger.head
    fewer = ledger.export_json_lines().splitlines()[:-2]
    short = books.Ledger.restore(tmp_path / "short.db", "\n".join(fewer) + "\n")
    assert short.verify() == [] and short.verify(head) != []
    with pytest.raises(ValueError):
        books.Ledger.restore(
            tmp_path / "bad.db", ledger.export_json_lines().replace("begun", "done")
        )
    with pytest.raises(books.LedgerError):
        books.Ledger.open(tmp_path / "none.db")
    with pytest.raises(books.LedgerError):
        books.Ledger.create(ledger.path)
    (tmp_path / "text").write_text("no ledger")
    with pytest.raises(books.LedgerError):
        books.Ledger.open(tmp_path / "text")
    for bad in (math.nan, -1.0):
        with pytest.raises(ValueError):
            books.Ledger.open(ledger.path, patience=bad)
        with pytest.raises(ValueError):
            ledger.add_data_set("other", epsilon=bad, delta=1e-5)


def test_what_is_made_once_is_claimed_once(ledger):
    digest, other = bytes(range(32)), bytes(32)
    assert ledger.claim_once("share", digest) is True
    assert ledger.claim_once("share", digest) is False
    assert ledger.claim_once("share", other) is True
    assert ledger.claim_once("vector", digest) is True
    reopened = books.Ledger.open(ledger.path)
    assert reopened.claim_once("share", digest) is False
    before = reopened.head
    for domain, wrong in (("share", b"short"), ("share", bytes(33)), ("", digest)):
        with pytest.raises(ValueError):
            reopened.claim_once(domain, wrong)
    with pytest.raises(TypeError):
        reopened.claim_once("share", "text")
    assert reopened.head == before and reopened.verify() == []


def test_a_loop_finds_the_end_of_the_budget_before_it_computes(ledger):
    guard = books.LedgerGuard(ledger, "survey", "run-1", block=5)
    guard.reserve_ahead(STEP, "training", 3)
    assert ledger.reserved_by_run("run-1").total_count == 3
    for _ in range(3):
        guard.before_release(STEP, "training")
    assert ledger.reserved_by_run("run-1").total_count == 3
    guard.before_release(STEP, "training")  # a block of its own
    assert ledger.reserved_by_run("run-1").total_count == 3 + min(5, affordable() - 3)
    guard.give_back_unused()
    assert ledger.reserved_by_run("run-1").total_count == 4
    with pytest.raises(books.BudgetExceeded):
        while True:
            guard.before_release(STEP, "training")
    with pytest.raises(books.BudgetExceeded):
        guard.reserve_ahead(STEP, "training", 1)


def test_releases_made_elsewhere_are_read(ledger):
    lines = (
        '{"mechanism": {"kind": "gaussian", "noise_multiplier": 2}, "count": 3, "label": "census"}\n'
        "\n"
        '{"mechanism": {"kind": "gaussian", "noise_multiplier": 4}}\n'
    )
    releases = books.parse_foreign_releases(lines)
    assert [(p.mechanism, p.count, p.label) for p in releases.phases] == [
        (acc.GaussianMechanism(2.0), 3, "census"),
        (acc.GaussianMechanism(4.0), 1, ""),
    ]
    ledger.record_foreign("survey", releases, "before the ledger")
    assert ledger.status("survey").spent.total_count == 4
    with pytest.raises(ValueError, match="line 1"):
        books.parse_foreign_releases("census")


def make_private(guard, **options):
    model = nn.Linear(3, 2)
    data = TensorDataset(torch.randn(8, 3), torch.randint(2, (8,)))
    return PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=8),
        noise_multiplier=2.0,
        max_grad_norm=1.0,
        release_guard=guard,
        **options,
    )


def test_training_is_refused_where_an_example_is_replaced(ledger):
    # Of all samples a step is a Gaussian mechanism, which is for either relation: the ledger would
    # take noise of sigma C for sigma 2 C.
    ledger.add_data_set("panel", epsilon=9.0, delta=1e-5, neighbouring=acc.Neighbouring.REPLACE_ONE)
    guard = books.LedgerGuard(ledger, "panel", "run-2", block=4)
    assert guard.neighbouring == acc.Neighbouring.REPLACE_ONE
    with pytest.raises(
        ValueError,
        match="PrivacyEngine: release_guard keeps books for replace-one, expected add-or-remove-one",
    ):
        make_private(guard)
    assert ledger.status("panel").spent.total_count == 0


USERS = [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("unit", ["record", "example", "sample", "image", "person", "user"])
def test_training_on_samples_or_on_users_is_refused_where_the_budget_is_about_others(ledger, unit):
    ledger.add_data_set("panel", epsilon=9.0, delta=1e-5, unit=unit)
    guard = books.LedgerGuard(ledger, "panel", "run-2", block=4)
    assert guard.unit == unit
    assert books.LedgerGuard(ledger, "survey", "run-3").unit == "sample"
    fits, other = {}, {"user_of_sample": USERS}
    if unit in ("person", "user"):
        fits, other = other, fits
    make_private(guard, **fits)
    expected = "user" if other else "example"
    with pytest.raises(
        ValueError,
        match=f"PrivacyEngine: release_guard keeps books about one {unit}, expected one {expected}: .*; ",
    ):
        make_private(guard, **other)
    assert ledger.status("panel").spent.total_count == 0


def test_training_stops_at_its_budget(ledger):
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = TensorDataset(torch.randn(8, 3), torch.randint(2, (8,)))
    guard = books.LedgerGuard(ledger, "survey", "run-1", block=4)
    engine = PrivacyEngine(accountant="rdp")
    _, _, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(data, batch_size=8),
        noise_multiplier=STEP.noise_multiplier,
        max_grad_norm=1.0,
        release_guard=guard,
    )
    steps = 0
    with pytest.raises(books.BudgetExceeded):
        while True:
            for x, y in loader:
                before = model.weight.detach().clone()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                steps += 1
    assert steps == affordable() == engine.accountant.composition.total_count
    assert bool((model.weight == before).all())  # the step that was refused released nothing
    guard.give_back_unused()
    assert ledger.status("survey").spent.total_count == steps
    assert engine.get_epsilon(1e-5) <= 3.0
