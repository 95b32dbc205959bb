"""velum.per_sample_gradients and per_sample_norms against torch.func and single-sample backwards."""

import threading

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A CNN with groups, stride, dilation and normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1, stride=2)
        self.norm = nn.GroupNorm(2, 8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.head((x + self.grouped(x)).mean((2, 3)))


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.gru = nn.GRU(6, 7, batch_first=True)
        self.head = nn.Linear(7, 5)

    def forward(self, x):
        return self.head(self.gru(self.table(x))[0].mean(1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.position = nn.Parameter(torch.randn(6, 8) * 0.1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.layer(self.table(x) + self.position).mean(1))


class Tied(nn.Module):
    """A language model whose table is its output layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x):
        return self.head(torch.tanh(self.mix(self.table(x % 5).mean(1))))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(12, 5)
        self.unused = nn.Parameter(torch.ones(3, 2))

    def forward(self, x):
        return self.used(x)


def mlp():
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.LayerNorm(9), nn.Linear(9, 5))


def points():
    return torch.randn(4, 12)


def images():
    return torch.randn(4, 2, 9, 9)


def tokens():
    return torch.randint(11, (4, 6))


MODELS = [
    (mlp, points),
    (Unused, points),
    (Residual, images),
    (Gru, tokens),
    (Attention, tokens),
    (Tied, tokens),
]


@pytest.fixture(params=MODELS, ids=lambda pair: pair[0].__name__)
def problem(request):
    torch.manual_seed(3)
    make_model, make_inputs = request.param
    return make_model().double(), make_inputs(), torch.randint(5, (4,))


def as_type(model, x, dtype):
    return model.to(dtype), x.to(dtype) if x.is_floating_point() else x


def losses_of(model, x, y):
    return F.cross_entropy(model(x), y, reduction="none")


def one_by_one(model, x, y):
    """Gradients by a backward for every sample alone."""
    params = list(model.parameters())
    rows = []
    for i in range(len(x)):
        loss = losses_of(model, x[i : i + 1], y[i : i + 1]).sum()
        gradients = torch.autograd.grad(loss, params, allow_unused=True)
        rows.append([torch.zeros_like(p) if g is None else g for p, g in zip(params, gradients)])
    return [torch.stack([row[k] for row in rows]) for k in range(len(params))]


def norms_of(gradients):
    return torch.stack([g.double().flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()


def test_gradients_are_those_of_single_samples(problem):
    model, x, y = as_type(*problem[:2], torch.float64) + problem[2:]
    params = list(model.parameters())
    gradients = velum.per_sample_gradients(losses_of(model, x, y), model.parameters())
    expected = one_by_one(model, x, y)
    assert isinstance(gradients, list) and len(gradients) == len(params)
    for gradient, reference, param in zip(gradients, expected, params):
        assert gradient.shape == (4, *param.shape) and gradient.dtype == torch.float64
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
    assert all(p.grad is None for p in params)

    norms = velum.per_sample_norms(losses_of(model, x, y), params)
    assert norms.shape == (4,) and norms.dtype == torch.float64
    torch.testing.assert_close(norms, norms_of(expected), rtol=1e-10, atol=0)


@pytest.mark.parametrize("make_model,make_inputs", [MODELS[0], MODELS[2], MODELS[5]])
def test_gradients_are_those_of_vmap_of_grad(make_model, make_inputs):
    torch.manual_seed(4)
    model, x, y = make_model(), make_inputs(), torch.randint(5, (4,))
    names = [name for name, _ in model.named_parameters()]

    def loss(parameters, x, y):
        logits = torch.func.functional_call(model, parameters, (x[None],))
        return F.cross_entropy(logits, y[None])

    expected = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(
        dict(model.named_parameters()), x, y
    )
    gradients = velum.per_sample_gradients(losses_of(model, x, y), model.parameters())
    for name, gradient in zip(names, gradients):
        torch.testing.assert_close(gradient, expected[name].detach(), rtol=1e-5, atol=1e-6)


def test_float32_is_measured_in_float32(problem):
    model, x, y = as_type(*problem[:2], torch.float64) + problem[2:]
    expected = one_by_one(model, x, y)
    model, x = as_type(model, x, torch.float32)
    gradients = velum.per_sample_gradients(losses_of(model, x, y), model.parameters())
    for gradient, reference in zip(gradients, expected):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient.double(), reference, rtol=1e-4, atol=1e-5)
    norms = velum.per_sample_norms(losses_of(model, x, y), model.parameters())
    assert norms.dtype == torch.float32
    torch.testing.assert_close(norms.double(), norms_of(expected), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_measured_in_float32(problem):
    # Beside single samples of the same bfloat16 model: both round activations to 8 bits.
    model, x, y = as_type(*problem[:2], torch.bfloat16) + problem[2:]
    expected = one_by_one(model, x, y)
    gradients = velum.per_sample_gradients(losses_of(model, x, y), model.parameters())
    for gradient, reference in zip(gradients, expected):
        assert gradient.dtype == torch.float32
        scale = reference.float().abs().max().item() + 1e-3
        torch.testing.assert_close(gradient, reference.float(), rtol=0, atol=0.06 * scale)
    norms = velum.per_sample_norms(losses_of(model, x, y), model.parameters())
    assert norms.dtype == torch.float32
    torch.testing.assert_close(norms.double(), norms_of(gradients), rtol=1e-3, atol=1e-3)


def test_an_unused_parameter_has_zeros_in_its_place():
    torch.manual_seed(5)
    model, x, y = Unused(), points(), torch.randint(5, (4,))
    params = list(model.parameters())
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        gradients = velum.per_sample_gradients(losses_of(model, x, y), [params[i] for i in order])
        for gradient, i in zip(gradients, order):
            assert gradient.shape == (4, *params[i].shape)
            assert (gradient == 0).all() == (params[i] is model.unused)


def test_an_empty_batch_has_no_rows():
    model = mlp()
    losses = losses_of(model, torch.zeros(0, 12), torch.zeros(0, dtype=torch.long))
    gradients = velum.per_sample_gradients(losses, model.parameters())
    assert [g.shape for g in gradients] == [(0, *p.shape) for p in model.parameters()]
    assert velum.per_sample_norms(losses, model.parameters()).shape == (0,)


def test_what_mixes_samples_is_refused_by_name():
    model = nn.Sequential(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Linear(9, 5))
    losses = losses_of(model, points(), torch.randint(5, (4,)))
    with pytest.raises(ValueError, match="[Bb]atch"):
        velum.per_sample_gradients(losses, model.parameters())


def test_bad_arguments_are_named():
    model, x, y = mlp(), points(), torch.randint(5, (4,))
    losses = losses_of(model, x, y)
    params = list(model.parameters())
    for function in (velum.per_sample_gradients, velum.per_sample_norms):
        with pytest.raises(ValueError, match="reduction none"):
            function(losses.mean(), params)
        with pytest.raises(ValueError, match="no autograd graph"):
            function(losses.detach(), params)
        with pytest.raises(ValueError, match="trainable leaf"):
            function(losses, params[1:])
        with pytest.raises(ValueError, match="expected all"):
            function(losses, params + params[:1])
        with pytest.raises(ValueError):
            function(losses, [])
        for wrong in (None, 3, "losses", [losses], losses.detach().numpy()):
            with pytest.raises(TypeError):
                function(wrong, params)
        for wrong in ([None], [3], [params]):
            with pytest.raises(TypeError):
                function(losses, wrong)


class Doubled(torch.autograd.Function):
    """A function in Python: its backward needs the GIL, on whatever thread it runs."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        assert threading.get_ident() != 0
        return 2 * gradient


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise LookupError("from the backward pass")


def test_functions_in_python_on_the_way_are_exact():
    torch.manual_seed(6)
    model, x, y = mlp().double(), points().double(), torch.randint(5, (4,))
    losses = F.cross_entropy(Doubled.apply(model(x)), y, reduction="none")
    plain = F.cross_entropy(2 * model(x), y, reduction="none")
    for a, b in zip(
        velum.per_sample_gradients(losses, model.parameters()),
        velum.per_sample_gradients(plain, model.parameters()),
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_an_error_in_a_python_function_arrives_as_it_is():
    model, x, y = mlp(), points(), torch.randint(5, (4,))
    losses = F.cross_entropy(Raising.apply(model(x)), y, reduction="none")
    with pytest.raises(LookupError, match="from the backward pass"):
        velum.per_sample_gradients(losses, model.parameters())


def test_threads_of_python_work_side_by_side():
    torch.manual_seed(7)
    results = {}

    def work(i):
        model, x, y = mlp(), points(), torch.randint(5, (4,))
        losses = F.cross_entropy(Doubled.apply(model(x)), y, reduction="none")
        results[i] = (
            velum.per_sample_gradients(losses, model.parameters()),
            one_by_one(nn.Sequential(model, _Twice()), x, y),
        )

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [0, 1, 2, 3]
    for gradients, expected in results.values():
        for a, b in zip(gradients, expected):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


class _Twice(nn.Module):
    def forward(self, x):
        return 2 * x
