"""velum.explain as a value, and methods that are chosen by hand."""

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


def losses_of(model, batch=3):
    torch.manual_seed(2)
    tokens, targets = torch.randint(11, (batch, 5)), torch.randint(3, (batch,))
    return F.cross_entropy(model(tokens).sum(1), targets, reduction="none")


def test_it_has_a_row_for_every_parameter():
    model = make_model()
    parameters = list(model.parameters())
    found = velum.explain(losses_of(model), parameters)
    assert len(found) == 5 and [row.parameter for row in found] == [0, 1, 2, 3, 4]
    for row, parameter in zip(found, parameters):
        assert row.parameter_sizes == list(parameter.shape)
        assert row.method in row.seconds_by_method
        assert row.seconds == row.seconds_by_method[row.method]
        assert row.method in repr(row) and row.operation in repr(row)
    assert found[0].method == "segments" and found[1].shape == "5 steps, 6 -> 6"
    assert set(found[1].seconds_by_method) == {"kept", "tiles", "gram"}
    assert found.flops == sum(row.flops for row in found) > 0
    assert found.bytes_moved == sum(row.bytes_moved for row in found) > 0
    assert found.seconds == pytest.approx(sum(row.seconds for row in found))
    assert found[1:3] == found.rows[1:3] and found[-1] is found.rows[4]
    assert all(p.grad is None for p in parameters)


def test_it_prints_as_a_table_and_shows_as_one():
    model = make_model()
    found = velum.explain(losses_of(model), model.parameters())
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["parameter", "operation", "use"]
    assert len(lines) == 1 + 5 + 2 and lines[-1].startswith("cost model: ")
    html = found._repr_html_()
    assert html.count("<tr>") == 6 and "5 steps, 6 -&gt; 6" in html and "<td>segments</td>" in html
    assert "5 uses" in repr(found)


@pytest.mark.parametrize("method", ["kept", "tiles", "gram"])
def test_a_method_is_taken_for_a_parameter_or_its_index(method):
    model = make_model()
    expected = velum.per_sample_norms(losses_of(model), model.parameters())
    for overrides in ({model[1].weight: method, 3: method}, {1: method, model[3].weight: method}):
        options = {"method_overrides": overrides}
        found = velum.explain(losses_of(model), model.parameters(), **options)
        assert [found[1].method, found[3].method] == [method, method]
        norms = velum.per_sample_norms(losses_of(model), model.parameters(), **options)
        torch.testing.assert_close(norms, expected, rtol=1e-5, atol=0)
        for a, b in zip(
            velum.per_sample_gradients(losses_of(model), model.parameters(), **options),
            velum.per_sample_gradients(losses_of(model), model.parameters()),
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def step(overrides):
    """A step on everything, without noise, of a model whose table is not trained."""
    model = make_model()
    model[0].weight.requires_grad_(False)
    torch.manual_seed(3)
    data = TensorDataset(torch.randint(11, (4, 5)), torch.randint(3, (4,)))
    chosen = overrides(model)
    model, optimizer, loader = velum.PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=4),
        noise_multiplier=0.0,
        max_grad_norm=0.1,
        method_overrides=chosen,
    )
    for x, y in loader:
        F.cross_entropy(model(x).sum(1), y).backward()
        optimizer.step()
    return [p.grad for p in model.parameters() if p.requires_grad]


def test_a_private_training_takes_it():
    # Indices are among the parameters that require grad.
    for overrides in (lambda model: {model[1].weight: "kept"}, lambda model: {0: "kept"}):
        for a, b in zip(step(overrides), step(lambda model: None)):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    for overrides in (lambda model: {model[1].weight: "segments"}, lambda model: {0: "segments"}):
        with pytest.raises(ValueError, match=r"\[6, 6\].*has no method segments, expected one of"):
            step(overrides)
    with pytest.raises(ValueError, match=r"make_private: .* shape \[11, 6\] that is none of them"):
        step(lambda model: {model[0].weight: "kept"})


@pytest.mark.parametrize(
    "error, message, overrides",
    [
        (ValueError, '"fast", expected one of: outer product, gram', {0: "fast"}),
        (ValueError, "has 5, expected one of the 5 parameters or its index", {5: "kept"}),
        (ValueError, "has -1, expected one of the 5 parameters", {-1: "kept"}),
        (ValueError, "has 'a', expected one of the 5 parameters", {"a": "kept"}),
        (ValueError, r"shape \[2\] that is none of them", {torch.ones(2): "kept"}),
        (ValueError, "has no method kept, expected one of: segments", {0: "kept"}),
        (TypeError, "method_overrides is a list, expected a dictionary", ["kept"]),
        (TypeError, None, {0: 1}),
    ],
)
def test_what_does_not_apply_is_refused(error, message, overrides):
    model = make_model()
    for function in (velum.explain, velum.per_sample_norms, velum.per_sample_gradients):
        with pytest.raises(error, match=message):
            function(losses_of(model), model.parameters(), method_overrides=overrides)
