"""lazy_tables: the loop of make_private stays as it is, and nothing is seen without its noise."""

import io
import math

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

ROWS, WIDTH, SAMPLES, TOKENS = 500, 16, 40, 5
CLIP, RATE = 0.5, 0.2


class Classifier(nn.Module):
    def __init__(self, layer=nn.EmbeddingBag):
        super().__init__()
        torch.manual_seed(3)
        self.table = layer(ROWS, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, tokens):
        rows = self.table(tokens)
        return self.head(rows if rows.dim() == 2 else rows.mean(1))


def make_private(lazy, noise, layer=nn.EmbeddingBag, optimizer=None, batch_size=SAMPLES):
    """With SAMPLES every sample is in every step."""
    torch.manual_seed(4)
    data = TensorDataset(torch.randint(ROWS, (SAMPLES, TOKENS)), torch.randint(3, (SAMPLES,)))
    model = Classifier(layer)
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    else:
        optimizer = optimizer(model.parameters())
    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(data, batch_size=batch_size),
        noise_multiplier=noise,
        max_grad_norm=CLIP,
        lazy_tables=[model.table] if lazy else [],
    )
    return engine, model, optimizer, loader


def train(model, optimizer, loader, epochs):
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_without_noise_it_is_the_dense_update(layer):
    trained = []
    for lazy in (False, True):
        _, model, optimizer, loader = make_private(lazy, 0.0, layer)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        for _ in range(4):
            train(model, optimizer, loader, 1)
            schedule.step()
        assert (model.table.weight.grad is None) == lazy
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-6, atol=1e-7)


def read_evaluating(engine, model, loader):
    model.eval()
    model(loader.dataset.tensors[0][:1])
    return model.table.weight.detach()


def read_without_gradients(engine, model, loader):
    with torch.no_grad():
        model(loader.dataset.tensors[0][:1])
    return model.table.weight.detach()


def read_checkpoint(engine, model, loader):
    file = io.BytesIO()
    engine.save_checkpoint(path=file, module=model)
    file.seek(0)
    return torch.load(file, weights_only=True)["module_state_dict"]["table.weight"]


def after(release):
    def read(engine, model, loader):
        release(engine)
        return model.table.weight.detach()

    return read


@pytest.mark.parametrize(
    "read",
    [
        read_evaluating,
        read_without_gradients,
        read_checkpoint,
        lambda engine, model, loader: model.state_dict()["table.weight"],
        after(lambda engine: engine.release_tables()),
        after(lambda engine: engine.statement(1e-5)),
        after(lambda engine: engine.report(1e-5)),
        after(lambda engine: engine.state_dict()),
        after(lambda engine: engine.detach()),
    ],
)
def test_who_reads_the_table_reads_all_of_its_noise(read):
    engine, model, optimizer, loader = make_private(True, 2.0)
    first = model.table.weight.detach().clone()
    unread = torch.ones(ROWS, dtype=torch.bool)
    unread[loader.dataset.tensors[0]] = False
    assert unread.sum() > 200
    steps = 5
    train(model, optimizer, loader, steps)
    changed = (model.table.weight.detach() - first)[unread]
    assert (changed == 0).all()  # as the name says
    changed = (read(engine, model, loader) - first)[unread]
    deviation = RATE * 2.0 * CLIP / SAMPLES * math.sqrt(steps)
    assert abs(changed.std().item() / deviation - 1) < 5 / math.sqrt(2 * changed.numel())


def test_physical_batches_and_empty_ones():
    engine, model, optimizer, loader = make_private(True, 1.0, batch_size=1)
    with velum.BatchMemoryManager(data_loader=loader, max_physical_batch_size=1) as small:
        train(model, optimizer, small, 2)
    assert engine.report(1e-5).steps == 2 * SAMPLES
    engine.release_tables()


def test_a_resumed_training_goes_on():
    engine, model, optimizer, loader = make_private(True, 1.0)
    train(model, optimizer, loader, 2)
    file = io.BytesIO()
    engine.save_checkpoint(path=file, module=model, optimizer=optimizer)
    file.seek(0)
    again, other, other_optimizer, other_loader = make_private(True, 1.0)
    again.load_checkpoint(path=file, module=other, optimizer=other_optimizer)
    torch.testing.assert_close(other.table.weight, model.table.weight, rtol=0, atol=0)
    train(other, other_optimizer, other_loader, 2)
    assert again.report(1e-5).steps == 4


def test_nothing_stays_after_detach():
    engine, model, optimizer, loader = make_private(True, 1.0)
    train(model, optimizer, loader, 1)
    engine.detach()
    model(loader.dataset.tensors[0]).sum().backward()
    assert model.table.weight.grad is not None
    assert not model.table._forward_pre_hooks and not model.table._state_dict_pre_hooks


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=1e-4),
        lambda p: torch.optim.SGD(p, lr=RATE, maximize=True),
        lambda p: torch.optim.Adam(p, lr=RATE),
    ],
)
def test_other_updates_are_refused(optimizer):
    with pytest.raises(ValueError, match="expected torch.optim.SGD"):
        make_private(True, 1.0, optimizer=optimizer)


def test_other_layers_are_refused():
    model = Classifier()
    common = dict(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        data_loader=DataLoader(TensorDataset(torch.zeros(8, 2)), batch_size=2),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    with pytest.raises(TypeError, match="expected torch.nn.Embedding"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[model.head])
    with pytest.raises(ValueError, match="not in module"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[nn.Embedding(3, 4)])
    model.table.max_norm = 1.0
    with pytest.raises(ValueError, match="max_norm"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[model.table])
