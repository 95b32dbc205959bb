"""Models as users write them, unmodified: gradients beside torch.func and Opacus, and private steps.

torchvision and Opacus are peers (scripts/requirements-peers.txt); what needs them is left out where
they are not installed.
"""

import copy
import math

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset
from velum import accounting as acc

BATCH = 3


class Block(nn.Module):
    """Of a decoder: causal attention and an MLP, both after a LayerNorm."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(c, dim=2)
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(b, t, c))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """A small GPT: learned positions, and the table of words is the output layer."""

    def __init__(self, words=17, width=16, heads=2, depth=2, context=8):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, x):
        x = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(x)))


class Tagger(nn.Module):
    """A word's tag from two LSTM layers in both directions."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(19, 8)
        self.lstm = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        return self.head(self.lstm(self.table(x))[0])


class Vit(nn.Module):
    """A vision transformer: patches by a convolution, a class token, torch's own encoder."""

    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.1)
        self.position = nn.Parameter(torch.randn(1, 17, width) * 0.1)
        layer = nn.TransformerEncoderLayer(
            width, 2, 32, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.head(self.encoder(x)[:, 0])


def resnet():
    models = pytest.importorskip("torchvision.models")
    return models.resnet18(num_classes=10, norm_layer=lambda channels: nn.GroupNorm(8, channels))


def images(n):
    return torch.randn(n, 3, 16, 16), torch.randint(10, (n,))


def big_images(n):
    return torch.randn(n, 3, 32, 32), torch.randint(10, (n,))


def text(n):
    x = torch.randint(17, (n, 9))
    return x[:, :-1].contiguous(), x[:, 1:].contiguous()


def tags(n):
    return torch.randint(19, (n, 7)), torch.randint(5, (n, 7))


PROBLEMS = {
    "gpt": (Gpt, text),
    "lstm": (Tagger, tags),
    "vit": (Vit, images),
    "resnet18": (resnet, big_images),
}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    torch.manual_seed(11)
    make, data = PROBLEMS[request.param]
    return request.param, make(), *data(BATCH)


def loss_of(out, y):
    """The mean over samples; of sequences, over all their steps, as such models are trained."""
    return (
        F.cross_entropy(out.view(-1, out.shape[-1]), y.view(-1))
        if y.dim() == 2
        else F.cross_entropy(out, y)
    )


def losses_of(out, y):
    if y.dim() == 2:
        return F.cross_entropy(out.transpose(1, 2), y, reduction="none").mean(1)
    return F.cross_entropy(out, y, reduction="none")


def references(name, model, x, y):
    """torch.func.vmap(grad) in float64; a backward a sample for the LSTM, which vmap refuses."""
    model, x = copy.deepcopy(model).double(), x.double() if x.is_floating_point() else x
    params = dict(model.named_parameters())
    if name == "lstm":
        rows = [
            torch.autograd.grad(loss_of(model(x[i : i + 1]), y[i : i + 1]), list(params.values()))
            for i in range(len(x))
        ]
        return [torch.stack(column) for column in zip(*rows)]

    def loss(parameters, x, y):
        return loss_of(
            torch.func.functional_call(model, parameters, (x[None],), tie_weights=True), y[None]
        )

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(params, x, y)
    return [gradients[name].detach() for name in params]


def relative_errors(found, expected):
    """Of each sample's whole gradient, in its norm."""
    difference = sum((f.double() - e).flatten(1).square().sum(1) for f, e in zip(found, expected))
    size = sum(e.flatten(1).square().sum(1) for e in expected)
    return (difference / size).sqrt()


def test_gradients_are_those_of_torch_func_to_1e_5(problem):
    name, model, x, y = problem
    found = velum.per_sample_gradients(losses_of(model(x), y), model.parameters())
    expected = references(name, model, x, y)
    assert relative_errors(found, expected).max() < 1e-5
    norms = velum.per_sample_norms(losses_of(model(x), y), model.parameters())
    exact = sum(e.flatten(1).square().sum(1) for e in expected).sqrt()
    torch.testing.assert_close(norms.double(), exact, rtol=1e-5, atol=0)


def test_a_few_private_steps_of_the_users_own_loop(problem):
    name, model, x, y = problem
    make, data = PROBLEMS[name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    engine = velum.PrivacyEngine(accountant="rdp")
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(TensorDataset(*data(8)), batch_size=4),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    before = [p.detach().clone() for p in model.parameters()]
    for x, y in loader:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    assert all(bool((p != b).any()) for p, b in zip(model.parameters(), before))
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert engine.report(1e-5).steps == 2 and 0 < engine.get_epsilon(1e-5) < math.inf


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 49, 10),
    )


def pooled_words():
    return nn.Sequential(
        nn.Embedding(19, 8),
        nn.LayerNorm(8),
        nn.Linear(8, 6),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(42, 5),
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make,data", [(cnn, images), (pooled_words, tags)], ids=["cnn", "words"])
def test_gradients_are_those_of_opacus_to_1e_5(make, data):
    # Models that Opacus takes; its hooks refuse those above (in-place sums, attention, LSTM, ties).
    opacus = pytest.importorskip("opacus")
    torch.manual_seed(12)
    model, (x, y) = make(), data(BATCH)
    y = y if y.dim() == 1 else y[:, 0]
    found = velum.per_sample_gradients(losses_of(model(x), y), model.parameters())
    hooked = opacus.GradSampleModule(copy.deepcopy(model))
    F.cross_entropy(hooked(x), y).backward()
    expected = [p.grad_sample.double() for p in hooked.parameters()]
    assert relative_errors(found, expected).max() < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_epsilon_is_not_above_that_of_opacus():
    accountants = pytest.importorskip("opacus.accountants")
    q, sigma, steps, delta = 0.02, 1.1, 500, 1e-5
    theirs = accountants.RDPAccountant()
    for _ in range(steps):
        theirs.step(noise_multiplier=sigma, sample_rate=q)
    ours, tight = acc.RdpAccountant(), acc.PldAccountant()
    for books in (ours, tight):
        books.compose(acc.PoissonSampledGaussianMechanism(q, sigma), steps)
    assert ours.epsilon(delta) <= theirs.get_epsilon(delta) <= ours.epsilon(delta) * 1.01
    prv = accountants.PRVAccountant()
    for _ in range(steps):
        prv.step(noise_multiplier=sigma, sample_rate=q)
    guarantee = tight.guarantee(delta)
    assert guarantee.lower <= prv.get_epsilon(delta) <= guarantee.epsilon * 1.03


class Checkpointed(nn.Module):
    """Layers of which the middle one is computed again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 3)
        self.middle = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
        self.reentrant = reentrant
        self.passes = 0

    def compute_middle(self, x):
        self.passes += 1
        return self.middle(x)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        x = checkpoint(self.compute_middle, x, use_reentrant=self.reentrant)
        return self.last(torch.tanh(x))


def test_a_checkpointed_part_is_computed_again_once_and_its_gradients_are_exact():
    torch.manual_seed(1)
    model = Checkpointed(reentrant=False)
    x, y = torch.randn(BATCH, 5), torch.tensor([0, 2, 1])
    parameters = list(model.parameters())
    for _ in range(2):  # proved, and known
        losses = F.cross_entropy(model(x), y, reduction="none")
        gradients = velum.per_sample_gradients(losses, parameters)
        for i in range(BATCH):
            loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
            for ours, theirs in zip(gradients, torch.autograd.grad(loss, parameters)):
                torch.testing.assert_close(ours[i], theirs, rtol=1e-5, atol=1e-6)

    engine = velum.PrivacyEngine()
    data = TensorDataset(torch.randn(40, 5), torch.randint(3, (40,)))
    private, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(parameters, lr=0.1),
        data_loader=DataLoader(data, batch_size=20),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    passes = []
    for _ in range(8):
        for x, y in loader:
            model.passes = 0
            optimizer.zero_grad()
            F.cross_entropy(private(x), y).backward()
            optimizer.step()
            passes.append(model.passes)
    # Once in the forward pass and once again, but where the graph is proved or checked.
    assert min(passes) == 2
    assert passes.count(2) >= len(passes) // 2


def test_a_reentrant_checkpoint_is_refused_with_the_remedy():
    model = Checkpointed(reentrant=True)
    losses = F.cross_entropy(
        model(torch.randn(BATCH, 5)), torch.tensor([0, 2, 1]), reduction="none"
    )
    with pytest.raises(ValueError, match="CheckpointFunctionBackward.*use_reentrant=False"):
        velum.per_sample_gradients(losses, model.parameters())
