"""user_of_sample: whole users are drawn, clipped as one and promised something, end to end."""

import math
from collections import Counter

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from velum import accounting as acc

# Samples of a user do not stand together, one user has one sample, and the numbers are any.
USERS = [7, -3, 7, 900, 7, -3, 12, 900, 7, 12, -3, 5]
SAMPLES = len(USERS)
NAMES = sorted(set(USERS))
CLIP = 0.3


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def make_data(samples=SAMPLES):
    torch.manual_seed(2)
    return TensorDataset(torch.randn(samples, 5).double(), torch.randint(3, (samples,)))


def make_private(batch_size=SAMPLES, users=USERS, workers=0, engine=None, **options):
    """Every user in every step, without noise, unless told."""
    model = make_model()
    engine = velum.PrivacyEngine() if engine is None else engine
    settings = {"noise_multiplier": 0.0, "max_grad_norm": CLIP, **options}
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(make_data(), batch_size=batch_size, num_workers=workers),
        user_of_sample=users,
        **settings,
    )
    return engine, model, optimizer, loader


def expected_sum(of_user, samples_of=None):
    """The oracle: a backward for every sample alone; `of_user` joins those of one user."""
    model, data = make_model(), make_data()
    total = [torch.zeros_like(p) for p in model.parameters()]
    for user in NAMES:
        samples = [i for i in range(len(USERS)) if USERS[i] == user]
        gradients = []
        for i in samples if samples_of is None else samples_of(samples):
            x, y = data[i]
            loss = F.cross_entropy(model(x[None]), y[None])
            gradients.append(torch.autograd.grad(loss, list(model.parameters())))
        joined = [of_user(torch.stack(g)) for g in zip(*gradients)]
        norm = math.sqrt(sum(g.square().sum().item() for g in joined))
        for t, g in zip(total, joined):
            t += g * min(1.0, CLIP / norm)
    return total


def one_step(model, optimizer, batches):
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def check(model, expected):
    for p, e in zip(model.parameters(), expected):
        torch.testing.assert_close(p.grad, e / len(NAMES), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "gradient, join", [("mean", lambda g: g.mean(0)), ("sum", lambda g: g.sum(0))]
)
def test_what_is_clipped_once_is_the_gradient_of_a_user(gradient, join, workers):
    _, model, optimizer, loader = make_private(user_gradient=gradient, workers=workers)
    one_step(model, optimizer, loader)
    check(model, expected_sum(join))
    # The clip had something to do, and not for every user.
    alone = expected_sum(join, lambda samples: samples[:1])
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(expected_sum(join), alone))


def test_at_most_so_many_samples_of_a_user_take_part():
    _, model, optimizer, loader = make_private(max_samples_per_user=2, sample_choice="first")
    one_step(model, optimizer, loader)
    check(model, expected_sum(lambda g: g.mean(0), lambda samples: samples[:2]))
    _, model, _, loader = make_private(max_samples_per_user=2)
    seen = set()
    for _ in range(200):  # user 7 has four samples: a pair is left out with probability < 1e-15
        rows = [data for data in loader]
        assert len(rows) == 1 and len(rows[0][0]) == 2 + 2 + 2 + 2 + 1
        seen |= {tuple(row.tolist()) for row in rows[0][0]}
    assert len(seen) == len(USERS)


def test_users_are_drawn_whole_and_independently():
    engine, model, _, loader = make_private(batch_size=3)  # 4 steps a pass, so a rate of 1/4
    model.eval()  # nothing is trained
    assert loader.sampling_rate == 0.25 and loader.expected_batch_size == len(NAMES) / 4
    data = make_data()
    index_of = {tuple(data[i][0].tolist()): i for i in range(len(USERS))}
    drawn, passes = Counter(), 100
    for _ in range(passes):
        for x, _ in loader:
            users = Counter(USERS[index_of[tuple(row.tolist())]] for row in x)
            assert all(users[user] == USERS.count(user) for user in users)
            drawn.update(users.keys())
    # 400 draws at 1/4: beyond 6.5 standard deviations for any of 5 users with probability < 1e-9.
    for user in NAMES:
        assert abs(drawn[user] - 100) < 6.5 * math.sqrt(400 * 0.25 * 0.75), user


def test_physical_batches_are_cut_between_users():
    _, whole, optimizer, loader = make_private()
    one_step(whole, optimizer, loader)
    _, model, optimizer, loader = make_private()
    with velum.BatchMemoryManager(
        data_loader=loader, max_physical_batch_size=6, optimizer=optimizer
    ) as small:
        rows = []
        for x, y in small:
            rows.append(len(x))
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert rows == [3 + 1, 4 + 2, 2]  # of users -3 and 5, 7 and 12, 900
    for p, q in zip(model.parameters(), whole.parameters()):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-10, atol=1e-13)
    with pytest.raises(ValueError, match="max_physical_batch_size = 3, expected >= 4, the most"):
        loader.limited(3)


def test_an_empty_batch_is_a_step():
    engine, model, optimizer, loader = make_private(batch_size=1, noise_multiplier=1.0)
    for _ in range(3):  # a rate of 1/12: a batch is empty with probability 0.65
        one_step(model, optimizer, loader)
    assert engine.accountant.composition.total_count == 36


def test_the_promise_is_about_a_user():
    engine, model, optimizer, loader = make_private(batch_size=3, noise_multiplier=1.5)
    one_step(model, optimizer, loader)
    books = acc.PldAccountant()
    books.compose(acc.PoissonSampledGaussianMechanism(0.25, 1.5), 4)
    assert engine.get_epsilon(1e-5) == books.epsilon(1e-5)
    (phase,) = engine.accountant.composition.phases
    assert phase.label == "training, by user"
    statement = engine.statement(1e-5)
    assert statement.unit == "user" and "user" in statement.releases[0].sampling
    assert statement.epsilon == engine.get_epsilon(1e-5)
    report = engine.report()
    assert report.unit == "user" and report.unit_count == len(NAMES)
    assert report.dataset_size == len(USERS) and report.expected_batch_size == len(NAMES) / 4
    assert "One user with all examples is what is protected" in " ".join(report.to_text().split())
    plain = velum.PrivacyEngine()
    make_private(users=None, engine=plain)
    assert plain.statement(1e-5).unit == plain.report().unit == "example"


def test_the_default_delta_goes_by_users():
    samples = 30_000
    for users, delta in (
        (None, 0.1 / samples),
        ([i % 20_000 for i in range(samples)], 0.1 / 20_000),
    ):
        engine = velum.PrivacyEngine()
        model = nn.Linear(1, 1)
        data = TensorDataset(torch.zeros(samples, 1), torch.zeros(samples, 1))
        engine.make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            data_loader=DataLoader(data, batch_size=1000),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            user_of_sample=users,
        )
        assert engine.statement().delta == delta


def test_a_budget_for_users_is_kept():
    engine = velum.PrivacyEngine()
    model = make_model()
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model,
        optimizer=torch.optim.Adam(model.parameters()),
        data_loader=DataLoader(make_data(), batch_size=4, shuffle=True),
        target_epsilon=4.0,
        target_delta=1e-4,
        epochs=2,
        max_grad_norm=CLIP,
        user_of_sample=torch.tensor(USERS),  # an array of any kind
        max_samples_per_user=3,
    )
    for _ in range(2):
        one_step(model, optimizer, loader)
    assert 3.9 < engine.get_epsilon(1e-4) <= 4.0


def test_a_resumed_training_keeps_its_books():
    engine, model, optimizer, loader = make_private(batch_size=6, noise_multiplier=2.0)
    one_step(model, optimizer, loader)
    state = engine.state_dict()
    resumed, model, optimizer, loader = make_private(batch_size=6, noise_multiplier=2.0)
    resumed.load_state_dict(state)
    one_step(model, optimizer, loader)
    assert resumed.accountant.composition.total_count == 4
    assert {p.label for p in resumed.accountant.composition.phases} == {"training, by user"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"users": USERS[:-1]}, r"user_of_sample has shape \[11\] and type int64, expected \[12\]"),
        ({"users": [float(u) for u in USERS]}, "type float64, expected .* integers"),
        ({"users": [[u] for u in USERS]}, r"shape \[12, 1\]"),
        ({"users": ["a"] * 12}, "expected .* integers"),
        ({"user_gradient": "median"}, 'user_gradient = "median", expected mean or sum'),
        ({"user_gradient": ""}, 'user_gradient = "", expected mean or sum'),
        ({"sample_choice": "last"}, 'sample_choice = "last", expected uniform or first'),
        ({"max_samples_per_user": 0}, "max_samples_per_user = 0, expected at least 1"),
        ({"users": None, "max_samples_per_user": 2}, "without user_of_sample"),
        ({"users": None, "sample_choice": "first"}, "without user_of_sample"),
        ({"users": None, "sample_choice": "uniform"}, "'uniform' without user_of_sample"),
        ({"users": None, "user_gradient": "sum"}, "user_gradient = 'sum' without user_of_sample"),
        ({"users": None, "user_gradient": "mean"}, "user_gradient = 'mean' without user_of_sample"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_private(**options)


def test_books_are_about_users_or_about_samples():
    engine, *_ = make_private()
    with pytest.raises(ValueError, match="about users or about samples"):
        make_private(users=None, engine=engine)
