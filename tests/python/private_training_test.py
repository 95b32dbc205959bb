"""velum.PrivacyEngine: exact clipped sums, one release a step, and nothing else that gets through."""

import copy
import inspect
import math
import multiprocessing
import os
import pickle
import sys

import numpy as np
import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from velum import accounting as acc

SAMPLES = 12
CLIP = 0.3


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def make_data(samples=SAMPLES):
    torch.manual_seed(2)
    return TensorDataset(torch.randn(samples, 5).double(), torch.randint(3, (samples,)))


def make_private(model=None, data=None, batch_size=None, optimizer=None, engine=None, **options):
    """A whole data set a step (no randomness in who is drawn), without noise, unless told."""
    model = make_model() if model is None else model
    data = make_data() if data is None else data
    engine = velum.PrivacyEngine() if engine is None else engine
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0) if optimizer is None else optimizer
    settings = {"noise_multiplier": 0.0, "max_grad_norm": CLIP, **options}
    loader = DataLoader(data, batch_size=batch_size or len(data), shuffle=True)
    result = engine.make_private(module=model, optimizer=optimizer, data_loader=loader, **settings)
    return engine, *result


def clipped_sum(model, data, loss, clip=CLIP):
    """The oracle: a backward for every sample alone; loss takes (model, x, y) of one sample."""
    total = [torch.zeros_like(p) for p in model.parameters()]
    for i in range(len(data)):
        x, y = data[i]
        y = y if isinstance(y, torch.Tensor) else torch.tensor(y)
        gradient = torch.autograd.grad(loss(model, x[None], y[None]), list(model.parameters()))
        norm = math.sqrt(sum(g.square().sum().item() for g in gradient))
        for t, g in zip(total, gradient):
            t += g * min(1.0, clip / norm)
    return total


def check_gradients(model, expected, divisor=SAMPLES):
    for p, e in zip(model.parameters(), expected):
        torch.testing.assert_close(p.grad, e / divisor, rtol=1e-10, atol=1e-13)


def regression(samples=SAMPLES):
    torch.manual_seed(3)
    return TensorDataset(torch.randn(samples, 5).double(), torch.rand(samples, 3).double())


def mean_of_sample(elementwise):
    return lambda model, x, y: elementwise(model(x), y).flatten(1).mean(1).sum()


SMOOTH = nn.CrossEntropyLoss(label_smoothing=0.1)
LOSSES = {
    "cross_entropy": (F.cross_entropy, make_data, None),
    "module": (nn.CrossEntropyLoss(), make_data, None),
    "nll_of_log_softmax": (lambda o, y: F.nll_loss(F.log_softmax(o, 1), y), make_data, None),
    "vector": (lambda o, y: F.cross_entropy(o, y, reduction="none"), make_data, F.cross_entropy),
    "mean_of_vector": (
        lambda o, y: F.cross_entropy(o, y, reduction="none").mean(),
        make_data,
        F.cross_entropy,
    ),
    "mean_over_dimension_0": (
        lambda o, y: F.cross_entropy(o, y, reduction="none").mean(0),
        make_data,
        F.cross_entropy,
    ),
    "sum_over_size": (
        lambda o, y: F.cross_entropy(o, y, reduction="sum") / len(o),
        make_data,
        F.cross_entropy,
    ),
    "label_smoothing": (SMOOTH, make_data, SMOOTH),
    "scaled": (
        lambda o, y: 0.5 * F.cross_entropy(o, y) / 3 + 1,
        make_data,
        lambda o, y: F.cross_entropy(o, y) / 6,
    ),
    "two_terms": (
        lambda o, y: F.cross_entropy(o, y) + 0.1 * o.square().mean(),
        make_data,
        lambda o, y: F.cross_entropy(o, y) + 0.1 * o.square().mean(),
    ),
    "difference": (
        lambda o, y: F.cross_entropy(o, y) - 0.1 * o.abs().mean(),
        make_data,
        lambda o, y: F.cross_entropy(o, y) - 0.1 * o.abs().mean(),
    ),
    "mse": (F.mse_loss, regression, None),
    "l1": (F.l1_loss, regression, None),
    "smooth_l1": (F.smooth_l1_loss, regression, None),
    "huber": (F.huber_loss, regression, None),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, regression, None),
    "bce": (lambda o, y: F.binary_cross_entropy(torch.sigmoid(o), y), regression, None),
    "mse_sum_over_size": (
        lambda o, y: F.mse_loss(o, y, reduction="sum") / len(o),
        regression,
        lambda o, y: F.mse_loss(o, y, reduction="sum"),
    ),
    "mse_sum_over_elements": (
        lambda o, y: F.mse_loss(o, y, reduction="sum") / o.numel(),
        regression,
        F.mse_loss,
    ),
    "mean_of_squares": (lambda o, y: (o - y).pow(2).mean(), regression, F.mse_loss),
    "negative_mean": (lambda o, y: -(o * y).mean(), regression, lambda o, y: -(o * y).mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_has_the_clipped_mean_of_the_gradients_of_single_samples(name):
    criterion, make, alone = LOSSES[name]
    engine, model, optimizer, loader = make_private(data=make())
    expected = clipped_sum(model, loader.dataset, lambda m, x, y: (alone or criterion)(m(x), y))
    (batch,) = list(loader)
    x, y = batch
    assert len(x) == SAMPLES
    for x, y in loader:
        optimizer.zero_grad()
        before = [p.detach().clone() for p in model.parameters()]
        loss = criterion(model(x), y)
        loss.backward()
        assert all(p.grad is None for p in model.parameters())  # no raw gradient, ever
        optimizer.step()
    check_gradients(model, expected)
    for p, b in zip(model.parameters(), before):
        torch.testing.assert_close(p.detach(), b - p.grad, rtol=1e-12, atol=1e-14)


def test_a_sum_over_samples_has_the_same_gradient_when_it_is_called_one():
    engine, model, optimizer, loader = make_private(loss_reduction="sum")
    expected = clipped_sum(model, loader.dataset, lambda m, x, y: F.cross_entropy(m(x), y))
    for x, y in loader:
        F.cross_entropy(model(x), y, reduction="sum").backward()
        optimizer.step()
    check_gradients(model, expected)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.table = nn.Embedding(9, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.lstm(self.table(x))[0])


def test_steps_of_a_sequence_are_one_loss_of_their_sample():
    torch.manual_seed(5)
    data = TensorDataset(torch.randint(9, (SAMPLES, 6)), torch.randint(4, (SAMPLES, 6)))
    for flat in (True, False):
        engine, model, optimizer, loader = make_private(model=Tagger().double(), data=data)
        expected = clipped_sum(
            model, data, lambda m, x, y: F.cross_entropy(m(x).flatten(0, 1), y.flatten())
        )
        for x, y in loader:
            out = model(x)
            if flat:
                F.cross_entropy(out.view(-1, 4), y.view(-1)).backward()
            else:
                F.cross_entropy(out.transpose(1, 2), y).backward()
            optimizer.step()
        check_gradients(model, expected)


REFUSED = {
    "class weights": (
        lambda o, y: F.cross_entropy(o, y, weight=torch.tensor([1.0, 2.0, 3.0]).double()),
        "class weights",
    ),
    "ignored targets": (lambda o, y: F.cross_entropy(o, y, ignore_index=int(y[0])), "ignore_index"),
    "sum for a mean": (lambda o, y: F.cross_entropy(o, y, reduction="sum"), "sum over the samples"),
    "a masked mean": (
        lambda o, y: (F.cross_entropy(o, y, reduction="none") * (y > 0)).sum() / (y > 0).sum(),
        "tensor, which may depend on the batch",
    ),
    "mean of some": (lambda o, y: F.cross_entropy(o[:5], y[:5]), "sizes \\[5\\]"),
    "augmentations one after the other": (
        lambda o, y: F.cross_entropy(torch.cat([o, o]), torch.cat([y, y])),
        "sizes \\[24\\]",
    ),
    "vector of some": (lambda o, y: F.cross_entropy(o[:5], y[:5], reduction="none"), "12"),
    "regularised": (
        lambda o, y: F.cross_entropy(o, y) + 0.1 * torch.linalg.vector_norm(o),
        "LinalgVectorNormBackward0",
    ),
    "maximum": (lambda o, y: F.cross_entropy(o, y, reduction="none").max(), "MaxBackward1"),
    "product": (lambda o, y: F.cross_entropy(o, y) * o.mean(), "MulBackward0"),
    "matrix": (lambda o, y: o, "sizes \\[12, 3\\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_of_which_samples_share_is_refused_with_the_remedy(name):
    criterion, text = REFUSED[name]
    engine, model, optimizer, loader = make_private()
    for x, y in loader:
        with pytest.raises(ValueError, match=text) as error:
            criterion(model(x), y).backward()
        assert "reduction none" in str(error.value)
        assert all(p.grad is None for p in model.parameters())
        F.cross_entropy(model(x), y).backward()  # nothing was added: it can be put right
        optimizer.step()
    assert engine.accountant.composition.total_count == 1


def test_a_prediction_that_is_broadcast_to_other_targets_is_refused():
    torch.manual_seed(6)
    data = TensorDataset(torch.randn(SAMPLES, 5), torch.randn(SAMPLES))
    engine, model, optimizer, loader = make_private(model=nn.Linear(5, 1), data=data)
    for x, y in loader:
        with pytest.warns(UserWarning), pytest.raises(ValueError, match="broadcast"):
            F.mse_loss(model(x), y).backward()
        F.mse_loss(model(x)[:, 0], y).backward()
        optimizer.step()


def test_the_objects_stay_what_they_were():
    model = make_model()
    keys, hooks = list(model.state_dict()), [len(m._forward_hooks) for m in model.modules()]
    optimizer = torch.optim.AdamW(model.parameters())
    engine, private, same, loader = make_private(model=model, optimizer=optimizer)
    assert private is model and same is optimizer
    assert list(model.state_dict()) == keys
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert isinstance(same, torch.optim.AdamW)
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


OPTIMIZERS = [
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adamax,
    torch.optim.ASGD,
    torch.optim.Rprop,
]


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("scheduled", ["before", "after"])
def test_any_optimizer_steps_with_the_private_gradient(kind, scheduled):
    model, plain = make_model(), make_model()
    optimizer, other = kind(model.parameters(), lr=0.1), kind(plain.parameters(), lr=0.1)

    def schedule(o):
        return torch.optim.lr_scheduler.StepLR(o, 1, 0.5)

    before = schedule(optimizer) if scheduled == "before" else None
    engine, _, _, loader = make_private(model=model, optimizer=optimizer)
    schedulers = [before or schedule(optimizer), schedule(other)]
    for _ in range(3):
        for x, y in loader:
            expected = clipped_sum(plain, loader.dataset, lambda m, x, y: F.cross_entropy(m(x), y))
            for p, e in zip(plain.parameters(), expected):
                p.grad = e / SAMPLES
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            other.step()
            for scheduler in schedulers:
                scheduler.step()
    for p, q in zip(model.parameters(), plain.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-9)


def test_a_closure_is_refused():
    engine, model, optimizer, loader = make_private()
    for x, y in loader:
        with pytest.raises(ValueError, match="closure"):
            optimizer.step(lambda: 0.0)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_no_raw_gradient_gets_through_any_other_way():
    engine, model, optimizer, loader = make_private()
    for x, y in loader:
        with pytest.raises(RuntimeError, match="raw gradient"):
            torch.autograd.backward(F.cross_entropy(model(x), y))
        with pytest.raises(RuntimeError, match="raw gradient"):
            F.cross_entropy(model(x), y).backward(inputs=list(model.parameters()))
        for options in (
            {"gradient": torch.ones(())},
            {"retain_graph": True},
            {"create_graph": True},
        ):
            with pytest.raises(ValueError, match="expected none"):
                F.cross_entropy(model(x), y).backward(**options)
        with pytest.raises(RuntimeError, match="before loss.backward"):
            optimizer.step()
        assert all(p.grad is None for p in model.parameters())
        # Gradients of inputs are asked for in another way, and other models are as ever.
        x.requires_grad_()
        assert torch.autograd.grad(F.cross_entropy(model(x), y), x)[0].shape == x.shape
        stranger = nn.Linear(5, 3).double()
        F.cross_entropy(stranger(x), y).backward()
        assert stranger.weight.grad is not None and x.grad is not None
        F.cross_entropy(model(x.detach()), y).backward()
        optimizer.step()
    assert engine.accountant.composition.total_count == 1


def test_a_step_is_one_sample_and_one_backward():
    engine, model, optimizer, loader = make_private()
    x, y = make_data().tensors
    with pytest.raises(RuntimeError, match="data_loader that make_private returned"):
        F.cross_entropy(model(x), y).backward()
    with pytest.raises(RuntimeError, match="without a new batch"):
        optimizer.step()
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        with pytest.raises(RuntimeError, match="second loss.backward"):
            F.cross_entropy(model(x), y).backward()
        optimizer.step()
        with pytest.raises(RuntimeError, match="without a new batch"):
            optimizer.step()
        with pytest.raises(RuntimeError, match="data_loader that make_private returned"):
            F.cross_entropy(model(x), y).backward()
    engine.detach()

    engine, model, optimizer, loader = make_private(batch_size=6)
    with pytest.raises(RuntimeError, match="no optimizer.step\\(\\) followed"):
        for x, y in loader:
            if len(x):
                F.cross_entropy(model(x), y).backward()
    # A loop that was broken off leaves nothing behind.
    engine.detach()
    engine, model, optimizer, loader = make_private()
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        break
    expected = clipped_sum(model, loader.dataset, lambda m, x, y: F.cross_entropy(m(x), y))
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    check_gradients(model, expected)
    assert engine.accountant.composition.total_count == 1


def test_an_empty_batch_has_rows_of_the_right_kind_and_is_a_step():
    # Twelve samples at rate 1/12: a batch is empty with probability 0.35; none in 200: 1e-37.
    engine, model, optimizer, loader = make_private(batch_size=1, noise_multiplier=1.0)
    seen = steps = 0
    for _ in range(17):
        for x, y in loader:
            assert x.shape[1:] == (5,) and x.dtype == torch.float64
            assert y.dtype == torch.int64 and len(y) == len(x)
            seen += len(x) == 0
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
            assert any(bool((p.grad != 0).any()) for p in model.parameters())
            steps += 1
    assert seen > 0
    (phase,) = engine.accountant.composition.phases
    assert phase.count == steps == 17 * 12
    assert phase.mechanism == acc.PoissonSampledGaussianMechanism(1 / 12, 1.0)


def test_an_empty_batch_may_not_be_left_out():
    engine, model, optimizer, loader = make_private(batch_size=1, noise_multiplier=1.0)
    with pytest.raises(RuntimeError, match="an empty batch is a step like any other"):
        for _ in range(50):
            for x, y in loader:
                if len(x) == 0:
                    continue
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    engine.detach()
    # To look at the data is no training.
    engine, model, optimizer, loader = make_private(batch_size=1, noise_multiplier=1.0)
    model.eval()
    for _ in range(10):
        assert sum(1 for _ in loader) == 12


class Named(torch.utils.data.Dataset):
    """Samples of several kinds, for a collation into a dictionary."""

    def __len__(self):
        return SAMPLES

    def __getitem__(self, i):
        return {"x": torch.full((5,), float(i)), "pair": (i, torch.ones(2, 3)), "name": f"n{i}"}


def test_empty_batches_of_nested_samples():
    loader = velum.PoissonDataLoader(DataLoader(Named(), batch_size=1))
    for batch in (b for _ in range(60) for b in loader):
        n = len(batch["x"])
        assert batch["x"].shape == (n, 5) and batch["pair"][1].shape == (n, 2, 3)
        assert batch["pair"][0].shape == (n,) and len(batch["name"]) == n
        if n == 0:
            break
    else:
        raise AssertionError("no batch of 720 was empty")
    with pytest.raises(ValueError, match="collate_fn gives a int"):
        velum.PoissonDataLoader(DataLoader(Named(), collate_fn=len))


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_hand_out_the_same_kind_of_batches(persistent):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain = DataLoader(
        make_data(), batch_size=4, num_workers=2, persistent_workers=persistent, prefetch_factor=3
    )
    engine = velum.PrivacyEngine()
    _, _, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=plain,
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    assert loader.num_workers == 2 and loader.prefetch_factor == 3 and len(loader) == 3
    for _ in range(3):
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert engine.accountant.composition.total_count == 9


def test_every_sample_comes_with_its_probability():
    loader = velum.PoissonDataLoader(DataLoader(TensorDataset(torch.arange(8)), batch_size=2))
    assert loader.sampling_rate == 0.25 and loader.expected_batch_size == 2.0
    counts, sizes = torch.zeros(8), []
    for _ in range(500):
        for (indices,) in loader:
            assert len(set(indices.tolist())) == len(indices)
            counts[indices] += 1
            sizes.append(len(indices))
    # Binomial(2000, 1/4): 6 standard deviations; of all 8: a false alarm in 6e7.
    assert (counts - 500).abs().max() < 6 * math.sqrt(2000 * 0.25 * 0.75)
    variance = torch.tensor(sizes).double().var().item()
    assert abs(variance - 1.5) < 0.35  # of a binomial; a fixed size would have 0


@pytest.mark.parametrize("limit", [1, 5, 12, 100])
def test_parts_of_a_batch_are_one_step(limit):
    engine, model, optimizer, loader = make_private()
    expected = clipped_sum(model, loader.dataset, lambda m, x, y: F.cross_entropy(m(x), y))
    sizes, before = [], [p.detach().clone() for p in model.parameters()]
    with velum.BatchMemoryManager(
        data_loader=loader, max_physical_batch_size=limit, optimizer=optimizer
    ) as small:
        for x, y in small:
            if sizes and sum(sizes) < SAMPLES:
                assert all(bool((p == b).all()) for p, b in zip(model.parameters(), before))
            sizes.append(len(x))
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert sizes == [limit] * (SAMPLES // limit) + [SAMPLES % limit] * (SAMPLES % limit > 0)
    check_gradients(model, expected)
    assert engine.accountant.composition.total_count == 1


def test_noise_has_the_standard_deviation_that_is_accounted_for():
    data = TensorDataset(torch.zeros(10, 400), torch.zeros(10, 500))
    model = nn.Linear(400, 500)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    engine, model, optimizer, loader = make_private(
        model=model, data=data, noise_multiplier=2.0, max_grad_norm=0.5
    )
    gradients = []
    for _ in range(2):
        for x, _ in loader:
            (model(x) - model(x).detach()).square().mean().backward()  # a gradient of zero
            optimizer.step()
            gradients.append(model.weight.grad.clone())
    # 2e5 draws: the standard deviation within 6 / sqrt(4e5) of 1, a false alarm in 5e8.
    for gradient in gradients:
        assert abs(gradient.std().item() / (2.0 * 0.5 / 10) - 1) < 0.0095
    assert abs(torch.corrcoef(torch.stack([g.flatten() for g in gradients]))[0, 1]) < 0.014


def test_per_layer_and_adaptive_clipping():
    engine, model, optimizer, loader = make_private(
        clipping="per_layer", max_grad_norm=[0.1, 0.2, 0.3, 0.4]
    )
    expected = [torch.zeros_like(p) for p in model.parameters()]
    for x, y in loader.dataset:
        loss = F.cross_entropy(model(x[None]), y[None])
        for e, g, c in zip(
            expected, torch.autograd.grad(loss, list(model.parameters())), [0.1, 0.2, 0.3, 0.4]
        ):
            e += g * min(1.0, c / g.norm().item())
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    check_gradients(model, expected)

    engine, model, optimizer, loader = make_private(
        clipping="adaptive", noise_multiplier=1.0, max_grad_norm=1.0, unclipped_num_std=2.0,
        target_unclipped_quantile=0.4,
    )  # fmt: skip
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert engine.state_dict()["clipping_norm"] != 1.0
    assert "quantile" in engine.report().clipping
    for options, text in [
        ({"clipping": "adaptive"}, "unclipped_num_std"),
        ({"clipping": "per_layer"}, "a list"),
        ({"clipping": "soft"}, "soft"),
        ({"clipping": velum.Clipping.flat(1.0)}, "beside a velum.Clipping"),
        ({"max_grad_norm": -1.0}, "clipping_norm = -1"),
        ({"max_grad_norm": None}, "max_grad_norm = None"),
        ({"max_grad_norm": [1.0]}, "max_grad_norm = \\[1.0\\]"),
        ({"clipping": "per_layer", "max_grad_norm": [1.0]}, "parameters"),
        ({"noise_multiplier": -1.0}, "noise_multiplier = -1"),
        ({"noise_multiplier": math.nan}, "noise_multiplier = nan"),
        ({"loss_reduction": "max"}, "max"),
    ]:
        with pytest.raises(ValueError, match=text):
            make_private(**options)
    with pytest.raises(TypeError, match="unknown"):
        make_private(no_such_option=1.0)


def test_what_would_not_be_private_is_refused_with_the_reason():
    model = make_model()
    for options, text in [
        ({"poisson_sampling": False}, "shuffled"),
        ({"noise_generator": torch.Generator()}, "ChaCha20"),
        ({"grad_sample_mode": "none"}, "grad_sample_mode"),
        ({"optimizer": torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=1)}, "without privacy"),
        ({"model": nn.DataParallel(make_model())}, "DataParallel"),
    ]:
        with pytest.raises(ValueError, match=text):
            make_private(**{"model": model, **options})
    with pytest.raises(ValueError, match="gdp"):
        velum.PrivacyEngine(accountant="gdp")
    with pytest.raises(ValueError):
        velum.PrivacyEngine(accountant="magic")
    engine = make_private(model=model)[0]
    with pytest.raises(ValueError, match="private already"):
        make_private(model=model)
    with pytest.raises(ValueError, match="private already"):
        velum.PrivacyEngine().attach(
            model.parameters(), DataLoader(make_data()), noise_multiplier=1.0, max_grad_norm=1.0
        )
    engine.detach()
    make_private(model=model, max_grad_norm=np.float32(1.0))

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    for loader, text in [
        (DataLoader(Stream()), "stream"),
        (DataLoader(make_data(), sampler=WeightedRandomSampler([1.0] * 12, 12)), "WeightedRandom"),
        (DataLoader(make_data(), batch_sampler=[[0, 1], [2]]), "list"),
        (DataLoader(make_data(), batch_size=None), "NoneType"),
        (
            DataLoader(
                make_data(), sampler=torch.utils.data.RandomSampler(make_data(), replacement=True)
            ),
            "RandomS",
        ),
    ]:
        with pytest.raises(ValueError, match=text):
            velum.PoissonDataLoader(loader)
    assert len(velum.PoissonDataLoader(DataLoader(Subset(make_data(), [1, 2, 3])))) == 3


def test_batch_normalisation_and_untracked_leaves_are_refused():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    engine, model, optimizer, loader = make_private(model=model)
    for x, y in loader:
        with pytest.raises(ValueError, match="[Bb]atch"):
            F.cross_entropy(model(x), y).backward()
    engine, model, optimizer, loader = make_private()
    outside = nn.Linear(3, 3).double()
    for x, y in loader:
        with pytest.raises(ValueError, match="trainable leaf"):
            F.cross_entropy(outside(model(x)), y).backward()


def test_a_compiled_model_is_refused():
    engine, model, optimizer, loader = make_private()
    compiled = torch.compile(model, backend="aot_eager")
    for x, y in loader:
        with pytest.raises((ValueError, RuntimeError), match="Compiled"):
            F.cross_entropy(compiled(x), y).backward()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_a_budget_is_kept():
    engine = velum.PrivacyEngine(accountant="rdp")
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(make_data(40), batch_size=10),
        target_epsilon=2.0,
        target_delta=1e-4,
        epochs=3,
        max_grad_norm=1.0,
    )
    for _ in range(3):
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert 1.98 < engine.get_epsilon(1e-4) <= 2.0
    report = engine.report()
    assert report.is_private and report.guarantee.delta == 1e-4 and report.steps == 12
    assert "epsilon" in str(report) and report.dataset_size == 40
    # What was spent before counts.
    sigma = report.noise_multiplier
    other = make_model()
    engine.detach()
    engine.make_private_with_epsilon(
        module=other,
        optimizer=torch.optim.SGD(other.parameters(), lr=0.1),
        data_loader=DataLoader(make_data(40), batch_size=10),
        target_epsilon=2.5,
        target_delta=1e-4,
        epochs=3,
        max_grad_norm=1.0,
    )
    alone = acc.calibrate_noise_multiplier(
        epsilon=2.5, delta=1e-4, sampling_rate=0.25, steps=12, spent=acc.RdpAccountant()
    )
    assert engine._runs[-1].noise_multiplier > sigma > alone
    with pytest.raises(ValueError):
        engine.make_private_with_epsilon(
            module=make_model(), optimizer=optimizer, data_loader=DataLoader(make_data()),
            target_epsilon=1.0, target_delta=1e-4, epochs=1, max_grad_norm=1.0,
        )  # fmt: skip


def test_a_checkpoint_keeps_the_books_and_changes_the_key(tmp_path):
    def train(engine, model, optimizer, loader):
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    engine, model, optimizer, loader = make_private(noise_multiplier=1.0, batch_size=4)
    train(engine, model, optimizer, loader)
    path = tmp_path / "checkpoint.pt"
    engine.save_checkpoint(
        path=path, module=model, optimizer=optimizer, checkpoint_dict={"epoch": 1}
    )
    with pytest.raises(RuntimeError, match="released something"):
        engine.load_checkpoint(path=path, module=model, optimizer=optimizer)

    resumed, other, second, loader = make_private(noise_multiplier=1.0, batch_size=4)
    found = resumed.load_checkpoint(path=path, module=other, optimizer=second)
    assert found["epoch"] == 1
    assert all(bool((p == q).all()) for p, q in zip(model.parameters(), other.parameters()))
    assert resumed.accountant.composition == engine.accountant.composition
    assert resumed.state_dict()["key_epoch"] == engine.state_dict()["key_epoch"] + 1
    assert resumed.get_epsilon(1e-5) == engine.get_epsilon(1e-5)
    train(resumed, other, second, loader)
    assert resumed.accountant.composition.total_count == 6 and resumed.report().steps == 6
    assert resumed.get_epsilon(1e-5) > engine.get_epsilon(1e-5)

    fresh = make_private()[0]
    for state in ({}, {"version": 1}, {**engine.state_dict(), "version": 2}, None, [1]):
        with pytest.raises(ValueError):
            fresh.load_state_dict(state)
    with pytest.raises(ValueError):
        fresh.load_state_dict({**engine.state_dict(), "composition": "{}"})
    torch.save({"module_state_dict": {}}, path)
    with pytest.raises(ValueError, match="what it has cost is unknown"):
        fresh.load_checkpoint(path=path, module=model)


def in_a_fork(function):
    """What `function` raises, or returns, in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = repr(function())
        except BaseException as error:  # handed to the parent
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_a_forked_child_never_repeats_the_noise_of_its_parent():
    # No backward pass before the fork: torch's threads do not survive one.
    engine, model, optimizer, loader = make_private(noise_multiplier=1.0, batch_size=1)
    run = engine._runs[0]
    run.batch = None
    for function in (
        lambda: run.core.finish_step(),
        lambda: run.core.accumulate(torch.zeros(0), None),
        lambda: loader.poisson.sampler.next(),
        lambda: next(iter(loader)),
    ):
        assert in_a_fork(function).startswith("RuntimeError: ") and "forked" in in_a_fork(function)

    # An engine that is made there has a key of its own: another one in every child.
    def fresh():
        core = make_private(model=make_model(), noise_multiplier=1.0)[0]._runs[0].core
        core.finish_step()
        return core.expected_batch_size

    assert in_a_fork(fresh) == "12.0"
    run.core.finish_step()  # the parent's is as it was

    def noise():
        private = make_private(model=make_model(), noise_multiplier=1.0)
        private[0]._runs[0].core.finish_step()
        return [p.grad.flatten()[0].item() for p in private[1].parameters()]

    assert len({in_a_fork(noise) for _ in range(3)}) == 3


def test_a_spawned_child_gets_no_engine():
    engine, model, optimizer, loader = make_private()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=print, args=(engine,))
    with pytest.raises(TypeError, match="pickle"):
        process.start()
    with pytest.raises(TypeError):
        copy.deepcopy(engine._runs[0].core)


def test_the_native_way_replaces_nothing():
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    engine = velum.PrivacyEngine()
    loader = engine.attach(
        model.parameters(),
        DataLoader(make_data(), batch_size=SAMPLES),
        noise_multiplier=0.0,
        max_grad_norm=CLIP,
    )
    assert "step" not in optimizer.__dict__
    expected = clipped_sum(model, loader.dataset, lambda m, x, y: F.cross_entropy(m(x), y))
    for x, y in loader:
        losses = F.cross_entropy(model(x), y, reduction="none")
        assert velum.clipped_step(losses, engine, optimizer)
    check_gradients(model, expected)
    with velum.BatchMemoryManager(data_loader=loader, max_physical_batch_size=7) as small:
        stepped = [
            velum.clipped_step(F.cross_entropy(model(x), y, reduction="none"), engine, optimizer)
            for x, y in small
        ]
    assert stepped == [False, True]
    with pytest.raises(TypeError, match="make_private returned"):
        with velum.BatchMemoryManager(
            data_loader=DataLoader(make_data()), max_physical_batch_size=7
        ):
            pass


def test_two_models_share_the_books():
    engine = velum.PrivacyEngine()
    pairs = [make_private(engine=engine, noise_multiplier=1.0) for _ in range(2)]
    for _, model, optimizer, loader in pairs:
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert engine.accountant.composition.total_count == 2
    one = acc.RdpAccountant()
    one.compose(acc.GaussianMechanism(1.0), 2)
    assert engine.get_epsilon(1e-5) == pytest.approx(one.epsilon(1e-5), rel=1e-9)


def test_detaching_gives_everything_back():
    engine, model, optimizer, loader = make_private()
    engine.detach()
    x, y = make_data().tensors
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "step" not in optimizer.__dict__
    optimizer.step()


def test_ghost_mode_returns_the_criterion_too():
    criterion = nn.CrossEntropyLoss()
    engine, model, optimizer, same, loader = make_private(
        grad_sample_mode="ghost", criterion=criterion
    )
    assert same is criterion and len(loader) == 1


def test_the_names_are_those_of_opacus():
    names = "module optimizer criterion data_loader noise_multiplier max_grad_norm batch_first "
    names += "loss_reduction poisson_sampling clipping noise_generator grad_sample_mode"
    parameters = inspect.signature(velum.PrivacyEngine.make_private).parameters
    assert set(names.split()) <= set(parameters)
    with_epsilon = inspect.signature(velum.PrivacyEngine.make_private_with_epsilon).parameters
    assert {"target_epsilon", "target_delta", "epochs"} <= set(with_epsilon)


def test_a_report_is_a_table_in_notebooks():
    engine, model, optimizer, loader = make_private(noise_multiplier=1.0)
    with pytest.raises(RuntimeError, match="make_private first"):
        velum.PrivacyEngine().report()
    html = engine.report(delta=1e-5)._repr_html_()
    assert html.startswith("<") and "<script" not in html and "Sequential" in html
    assert "1e-05" in html or "1e-5" in html
    assert "<" in engine.statement()._repr_html_()
