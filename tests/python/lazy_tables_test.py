"""lazy_tables: the loop of make_private stays as it is, and nothing is seen without its noise."""

import copy
import gc
import io
import math
import os
import pickle

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
    assert abs(changed.std().item() / deviation - 1) < 6 / math.sqrt(2 * changed.numel())


def lacks_noise(model, first):
    """Whether rows that no sample reads are as they were."""
    tokens = torch.randint(ROWS, (SAMPLES, TOKENS), generator=torch.Generator().manual_seed(4))
    unread = torch.ones(ROWS, dtype=torch.bool)
    unread[tokens] = False
    return bool((model.table.weight.detach() == first)[unread].all(1).any())


def test_a_model_is_safe_without_its_engine():
    def trained():
        _, model, optimizer, loader = make_private(True, 2.0)
        first = model.table.weight.detach().clone()
        train(model, optimizer, loader, 3)
        return model, first

    model, first = trained()
    gc.collect()
    assert lacks_noise(model, first)
    model.state_dict()
    assert not lacks_noise(model, first)


def test_copies_are_made_of_released_tables():
    engine, model, optimizer, loader = make_private(True, 2.0)
    train(model, optimizer, loader, 1)
    for copying in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="release_tables"):
            copying(model)
    engine.release_tables()
    same = pickle.loads(pickle.dumps(model))
    for other in (copy.deepcopy(model), same):
        torch.testing.assert_close(other.table.weight, model.table.weight, rtol=0, atol=0)
        other.eval()
        other(loader.dataset.tensors[0])
    train(model, optimizer, loader, 1)
    before = same.table.weight.detach().clone()
    same.state_dict()
    assert torch.equal(same.table.weight.detach(), before)


def test_averages_are_of_released_tables():
    engine, model, optimizer, loader = make_private(True, 2.0)
    first = model.table.weight.detach().clone()
    average = velum.WeightAverage(model, decay=0.0)
    optimizer.register_step_post_hook(lambda *_: average.update())
    train(model, optimizer, loader, 1)
    assert not (average.averaged_state_dict()["table.weight"] == first).all(1).any()
    train(model, optimizer, loader, 2)
    own = model.table.weight.detach().clone()
    with average.applied():
        model.eval()
        model(loader.dataset.tensors[0])
    assert torch.equal(model.table.weight.detach(), own)
    train(model, optimizer, loader, 1)


def test_an_average_that_begins_late_is_of_released_tables():
    _, model, optimizer, loader = make_private(True, 2.0)
    first = model.table.weight.detach().clone()
    train(model, optimizer, loader, 2)
    average = velum.WeightAverage(model, decay=0.5)
    assert not (average.averaged_state_dict()["table.weight"] == first).all(1).any()


def test_the_best_weights_can_be_loaded_again():
    engine, model, optimizer, loader = make_private(True, 2.0)
    train(model, optimizer, loader, 1)
    best = copy.deepcopy(model.state_dict())
    train(model, optimizer, loader, 2)
    model.load_state_dict(best)
    torch.testing.assert_close(model.table.weight.detach(), best["table.weight"], rtol=0, atol=0)
    model.eval()
    model(loader.dataset.tensors[0])
    train(model, optimizer, loader, 1)
    assert engine.report(1e-5).steps == 4


def test_a_model_that_was_compiled_before():
    torch.manual_seed(4)
    model = Classifier()
    compiled = torch.compile(model, backend="eager")
    data = TensorDataset(torch.randint(ROWS, (SAMPLES, TOKENS)), torch.randint(3, (SAMPLES,)))
    compiled(data.tensors[0])
    first = model.table.weight.detach().clone()
    model, optimizer, loader = velum.PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        data_loader=DataLoader(data, batch_size=SAMPLES),
        noise_multiplier=2.0,
        max_grad_norm=CLIP,
        lazy_tables=[model.table],
    )
    train(model, optimizer, loader, 2)
    compiled.eval()
    with torch.no_grad():
        compiled(data.tensors[0])
    assert not (model.table.weight.detach() == first).all(1).any()


def test_two_tables_have_rates_of_their_own():
    class Two(Classifier):
        def __init__(self):
            super().__init__()
            self.other = nn.EmbeddingBag(ROWS, WIDTH)

        def forward(self, tokens):
            return self.head(self.other(tokens[:, :2]) + self.table(tokens[:, 2:]))

    trained = []
    for lazy in (False, True):
        torch.manual_seed(4)
        data = TensorDataset(torch.randint(ROWS, (SAMPLES, TOKENS)), torch.randint(3, (SAMPLES,)))
        model = Two()
        rest = [p for n, p in model.named_parameters() if n != "other.weight"]
        groups = [{"params": [model.other.weight], "lr": 1.0}, {"params": rest, "lr": RATE}]
        model, optimizer, loader = velum.PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(groups),
            data_loader=DataLoader(data, batch_size=SAMPLES),
            noise_multiplier=0.0,
            max_grad_norm=CLIP,
            lazy_tables=[model.table, model.other] if lazy else [],
        )
        train(model, optimizer, loader, 3)
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-6, atol=1e-7)


def test_an_evaluation_in_inference_mode_comes_first():
    engine, model, optimizer, loader = make_private(True, 2.0, batch_size=1)
    train(model, optimizer, loader, 1)
    model.eval()
    with torch.inference_mode():
        model(loader.dataset.tensors[0])
    train(model, optimizer, loader, 1)
    engine.release_tables()


def test_weights_that_somebody_else_writes_meanwhile_are_refused():
    engine, model, optimizer, loader = make_private(True, 2.0)
    train(model, optimizer, loader, 1)
    own = model.table.weight.detach().clone()
    with torch.no_grad():
        model.table.weight.zero_()
    with pytest.raises(RuntimeError, match="written by somebody else"):
        engine.release_tables()
    assert not model.table.weight.any() and own.any()
    with pytest.raises(RuntimeError, match="written by somebody else"):
        train(model, optimizer, loader, 1)
    with pytest.raises(RuntimeError, match="written by somebody else"):
        engine.detach()
    # All else is as it was, and another engine may begin.
    with torch.no_grad():
        model.table.weight.copy_(own)
    model(loader.dataset.tensors[0]).sum().backward()


def test_layers_of_one_weight_are_one_table():
    class Two(Classifier):
        def __init__(self):
            super().__init__(nn.Embedding)
            self.again = nn.Embedding(ROWS, WIDTH)
            self.again.weight = self.table.weight

        def forward(self, tokens):
            rows = self.table(tokens[:, :2]).mean(1) + self.again(tokens[:, 2:]).mean(1)
            return self.head(rows)

    trained = []
    for lazy in (False, True):
        torch.manual_seed(4)
        data = TensorDataset(torch.randint(ROWS, (SAMPLES, TOKENS)), torch.randint(3, (SAMPLES,)))
        model = Two()
        model, optimizer, loader = velum.PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
            data_loader=DataLoader(data, batch_size=SAMPLES),
            noise_multiplier=0.0,
            max_grad_norm=CLIP,
            lazy_tables=[model.table] if lazy else [],
        )
        train(model, optimizer, loader, 3)
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-6, atol=1e-7)


def test_momentum_that_comes_later_is_refused():
    engine, model, optimizer, loader = make_private(True, 1.0)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    with pytest.raises(ValueError, match="cycle_momentum"):
        train(model, optimizer, loader, 1)
    assert engine.report(1e-5).steps == 0
    optimizer.param_groups[0]["momentum"] = 0
    engine.detach()


def test_a_failed_load_changes_nothing():
    engine, model, optimizer, loader = make_private(True, 1.0)
    state = engine.state_dict()
    with pytest.raises((ValueError, KeyError, TypeError, RuntimeError)):
        engine.load_state_dict({**state, "step": -1})
    train(model, optimizer, loader, 2)
    engine.release_tables()


def test_steps_of_the_engine_and_hooks_of_the_optimizer():
    engine, model, optimizer, loader = make_private(True, 1.0)
    optimizer.register_step_post_hook(lambda *_: model.state_dict())
    train(model, optimizer, loader, 2)
    for x, y in loader:
        engine.backward(F.cross_entropy(model(x), y, reduction="none"))
        assert engine.finish_step()
    engine.detach()


def test_a_forked_child_reads_what_is_released():
    engine, model, optimizer, loader = make_private(True, 1.0)
    train(model, optimizer, loader, 1)
    model.eval()

    def status_of_child():
        child = os.fork()
        if child == 0:
            try:
                model(loader.dataset.tensors[0][:1])
            except RuntimeError:
                os._exit(17)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert status_of_child() == 17
    engine.release_tables()
    assert status_of_child() == 0


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
    model.table.max_norm = None
    model.table.mode = "max"
    with pytest.raises(ValueError, match="maxima"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[model.table])

    class Shifted(nn.Embedding):
        def forward(self, tokens):
            return super().forward(tokens + 1)

    model.table = Shifted(ROWS, WIDTH)
    common["optimizer"] = torch.optim.SGD(model.parameters(), lr=RATE)
    with pytest.raises(TypeError, match="forward pass of torch's"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[model.table])
    model.table = nn.Embedding(ROWS, WIDTH)
    model.tied = nn.Linear(WIDTH, ROWS, bias=False)
    model.tied.weight = model.table.weight
    common["optimizer"] = torch.optim.SGD(model.parameters(), lr=RATE)
    with pytest.raises(TypeError, match="tied has the weight of a lazy table"):
        velum.PrivacyEngine().make_private(**common, lazy_tables=[model.table])
