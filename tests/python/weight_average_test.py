"""velum.WeightAverage: the moving average of a model's weights, applied and kept."""

import copy
import io

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def make_model(dtype=torch.float64):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype)
    model[0].bias.requires_grad_(False)
    return model


def change(model, amount):
    with torch.no_grad():
        for p in model.parameters():
            p.add_(amount * torch.randn_like(p))


def followed(model, decay, updates):
    """The oracle, on NumPy's arrays: averages of every parameter, and the calls that make them."""
    average = velum.WeightAverage(model, decay)
    expected = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    for t in range(1, updates + 1):
        change(model, 0.1)
        average.update()
        d = min(decay, (1 + t) / (10 + t))
        for name, p in model.named_parameters():
            expected[name] = d * expected[name] + (1 - d) * p.detach().numpy()
    return average, expected


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_it_is_the_moving_average_of_what_is_trained(decay):
    model = make_model()
    average, expected = followed(model, decay, 30)
    assert average.updates == 30 and average.decay == decay
    averaged = average.averaged_state_dict()
    assert averaged.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        if name in expected and name != "0.bias":
            torch.testing.assert_close(averaged[name], torch.from_numpy(expected[name]))
        else:  # a buffer, or not trained: as it is
            assert torch.equal(averaged[name], value)
    weight = averaged["0.weight"].clone()
    change(model, 1.0)
    average.update()
    assert torch.equal(averaged["0.weight"], weight)  # copies


def test_the_model_holds_it_inside_of_the_block_and_only_there():
    model = make_model()
    average, _ = followed(model, 0.9, 5)
    averaged, own = average.averaged_state_dict(), copy.deepcopy(model.state_dict())
    with average.applied() as inside:
        assert inside is model
        assert all(torch.equal(v, averaged[n]) for n, v in model.state_dict().items())
        assert all(torch.equal(v, averaged[n]) for n, v in average.averaged_state_dict().items())
        for call in (
            average.update,
            average.state_dict,
            lambda: average.load_state_dict({}),
            lambda: average.applied().__enter__(),
        ):
            with pytest.raises(RuntimeError, match="model holds the average"):
                call()
    assert all(torch.equal(v, own[n]) for n, v in model.state_dict().items())
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert all(torch.equal(v, own[n]) for n, v in model.state_dict().items())
    average.update()


def test_a_checkpoint_goes_on_as_if_it_had_never_stopped():
    model = make_model()
    average, _ = followed(model, 0.8, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "average": average.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed_model = make_model()
    resumed_model.load_state_dict(saved["model"])
    resumed = velum.WeightAverage(resumed_model, 0.8)
    resumed.load_state_dict(saved["average"])
    for one, its in ((model, average), (resumed_model, resumed)):
        torch.manual_seed(7)
        for _ in range(3):
            change(one, 0.1)
            its.update()
    a, b = average.averaged_state_dict(), resumed.averaged_state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a) and resumed.updates == 7


def test_tied_weights_are_averaged_once_and_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.table.weight

    model = Tied()
    average = velum.WeightAverage(model, 0.5)
    before = model.table.weight.detach().clone()
    change(model, 1.0)
    own = model.table.weight.detach().clone()
    with average.applied():
        assert torch.equal(model.head.weight, before)
    assert torch.equal(model.head.weight, own)
    averaged = average.averaged_state_dict()
    assert torch.equal(averaged["head.weight"], before)
    assert torch.equal(averaged["table.weight"], before)


def test_steps_that_are_none_are_not_averaged():
    model = nn.Linear(3, 2)
    data = TensorDataset(torch.randn(8, 3), torch.randint(2, (8,)))
    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=8),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    average = velum.WeightAverage(model, 0.9)
    optimizer.register_step_post_hook(lambda *_: average.update())
    with velum.BatchMemoryManager(data_loader=loader, max_physical_batch_size=3) as small:
        for _ in range(2):
            for x, y in small:
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    assert average.updates == 2 == engine.accountant.composition.total_count
    assert not torch.equal(average.averaged_state_dict()["weight"], model.weight)
    with average.applied():  # and the private training goes on
        model(data.tensors[0])
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert average.updates == 3


def wrong_states():
    good = velum.WeightAverage(make_model(), 0.5).state_dict()
    weight = good["averages"]["0.weight"]
    return [
        (None, "version 1"),
        ({}, "version 1"),
        ({**good, "version": 2}, "version 1"),
        ({**good, "updates": -1}, "updates = -1, expected >= 0"),
        ({**good, "updates": None}, "updates = None, expected"),
        ({**good, "averages": None}, "averages of None, expected"),
        ({**good, "averages": {"0.weight": weight}}, r"averages of \['0.weight'\], expected"),
        (
            {**good, "averages": {**good["averages"], "0.weight": weight[:2]}},
            "has not the sizes of the parameter",
        ),
    ]


@pytest.mark.parametrize("state, message", wrong_states())
def test_states_of_something_else_are_refused(state, message):
    average = velum.WeightAverage(make_model(), 0.5)
    before = average.averaged_state_dict()
    with pytest.raises(ValueError, match=message):
        average.load_state_dict(state)
    after = average.averaged_state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_makes_no_sense_is_refused():
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="decay = .*, expected >= 0 and < 1"):
            velum.WeightAverage(make_model(), decay)
    with pytest.raises(TypeError, match="model is a list, expected a torch.nn.Module"):
        velum.WeightAverage(list(make_model().parameters()))
    with pytest.raises(ValueError, match="no parameter of model requires grad"):
        velum.WeightAverage(nn.Tanh())
