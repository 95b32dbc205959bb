"""velum.ImageViews: several views of an image have one gradient, which is clipped as one."""

import math

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, VIEWS, CLIP = 6, 4, 0.05


def make_model():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4)
    ).double()


def make_data(samples=SAMPLES):
    torch.manual_seed(2)
    return TensorDataset(torch.randn(samples, 1, 8, 8).double(), torch.randint(4, (samples,)))


def make_private(data=None, batch_size=SAMPLES, engine=None, **options):
    """Every sample in every step, without noise, unless told."""
    model = make_model()
    engine = velum.PrivacyEngine() if engine is None else engine
    settings = {
        "noise_multiplier": 0.0,
        "max_grad_norm": CLIP,
        "views": velum.ImageViews(VIEWS, max_shift=1),
        **options,
    }
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(make_data() if data is None else data, batch_size=batch_size),
        **settings,
    )
    return engine, model, optimizer, loader


def clipped_sum(x, y, count, clip=CLIP):
    """The oracle: a backward for every view alone, the mean over those of a sample, clipped."""
    model = make_model()
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for begin in range(0, len(x), count):
        mean = [torch.zeros_like(p) for p in parameters]
        for i in range(begin, begin + count):
            loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
            for m, g in zip(mean, torch.autograd.grad(loss, parameters)):
                m += g / count
        norm = math.sqrt(sum(m.square().sum().item() for m in mean))
        for t, m in zip(total, mean):
            t += m * min(1.0, clip / norm)
    return total


def moves_of(image, view, max_shift):
    """Every (down, right, mirrored) that makes `view` of `image`, both [height, width]."""
    height, width = image.shape
    padded = F.pad(image, [max_shift] * 4)
    found = []
    for mirrored in (False, True):
        source = padded.flip(1) if mirrored else padded
        for down in range(2 * max_shift + 1):
            for right in range(2 * max_shift + 1):
                if torch.equal(source[down : down + height, right : right + width], view):
                    found.append((down, right, mirrored))
    return found


def test_views_are_the_images_moved_and_mirrored():
    images = torch.arange(1.0, 2 * 3 * 5 * 4 + 1).view(2, 3, 5, 4)
    all_views = velum.ImageViews(count=50, max_shift=2)(images)
    assert all_views.shape == (100, 3, 5, 4)
    seen = set()
    for i, view in enumerate(all_views):
        (move,) = moves_of(images[i // 50, 0], view[0], 2)
        for channel in (1, 2):
            assert moves_of(images[i // 50, channel], view[channel], 2) == [move]
        seen.add(move)
    # 100 of 50 moves: fewer than 30 different ones with probability < 1e-12.
    assert len(seen) >= 30


def test_every_call_and_every_object_draws_anew():
    image = torch.arange(1.0, 82).view(1, 9, 9)
    views = velum.ImageViews(count=64)
    first, second, other = views(image), views(image), velum.ImageViews(count=64)(image)
    assert not torch.equal(first, second) and not torch.equal(first, other)


def test_options_are_kept_and_without_moves_a_view_is_the_image():
    views = velum.ImageViews(3, max_shift=0, fill=-1.0, mirror=False)
    assert (views.count, views.max_shift, views.fill, views.mirror) == (3, 0, -1.0, False)
    x = torch.randn(2, 4, 4)
    assert torch.equal(views(x), x.repeat_interleave(3, 0))
    assert torch.equal(views.repeat(torch.tensor([5, 7])), torch.tensor([5, 5, 5, 7, 7, 7]))
    assert torch.equal(views.mean(torch.arange(6.0)), torch.tensor([1.0, 4.0]))


@pytest.mark.parametrize("kind", ["mean", "vector"])
def test_what_is_clipped_is_the_mean_gradient_over_the_views(kind):
    views = velum.ImageViews(VIEWS, max_shift=1)
    engine, model, optimizer, loader = make_private(views=views)
    ((x, y),) = list(loader)
    assert x.shape == (SAMPLES * VIEWS, 1, 8, 8) and y.shape == (SAMPLES * VIEWS,)
    losses = F.cross_entropy(model(x), y, reduction="none")
    (losses.mean() if kind == "mean" else losses).backward()
    optimizer.step()
    expected = clipped_sum(x, y, VIEWS)
    for p, e in zip(model.parameters(), expected):
        torch.testing.assert_close(p.grad, e / SAMPLES, rtol=1e-10, atol=1e-13)
    # The clip had something to do: raw views as rows of their own give another sum.
    rows = clipped_sum(x, y, 1)
    assert max((a - b).abs().max() for a, b in zip(rows, expected)) > 1e-2


@pytest.mark.parametrize("order", [(SAMPLES, VIEWS), (VIEWS, SAMPLES)])
def test_losses_that_are_averaged_over_views_are_refused(order):
    # By the second order each is of several samples, and a sample would count VIEWS times.
    _, model, _, loader = make_private(views=velum.ImageViews(VIEWS, max_shift=1))
    ((x, y),) = list(loader)
    losses = F.cross_entropy(model(x), y, reduction="none").view(*order)
    means = losses.mean(order.index(VIEWS))
    assert means.shape == (SAMPLES,)
    with pytest.raises(ValueError, match=str(SAMPLES * VIEWS)):
        means.backward()


def test_the_sum_of_the_losses_is_averaged_over_views_too():
    _, model, optimizer, loader = make_private(loss_reduction="sum")
    ((x, y),) = list(loader)
    F.cross_entropy(model(x), y, reduction="sum").backward()
    optimizer.step()
    for p, e in zip(model.parameters(), clipped_sum(x, y, VIEWS)):
        torch.testing.assert_close(p.grad, e / SAMPLES, rtol=1e-10, atol=1e-13)


def test_a_sample_moves_the_sum_by_at_most_the_clipping_norm():
    x, y = make_data().tensors
    x[0] *= 50  # whose gradient is far above C in every view
    sums = []
    fixed = {"views": velum.ImageViews(VIEWS, max_shift=0, mirror=False)}
    for samples in (slice(0, SAMPLES), slice(1, SAMPLES)):
        _, model, optimizer, loader = make_private(
            TensorDataset(x[samples], y[samples]), batch_size=SAMPLES, **fixed
        )
        for images, targets in loader:
            F.cross_entropy(model(images), targets).backward()
            optimizer.step()
        divisor = loader.expected_batch_size
        sums.append(torch.cat([p.grad.flatten() * divisor for p in model.parameters()]))
    moved = (sums[0] - sums[1]).norm().item()
    assert CLIP * (1 - 1e-6) < moved <= CLIP * (1 + 1e-9)


def test_views_cost_nothing():
    books = []
    for options in ({}, {"views": None}):
        engine, model, optimizer, loader = make_private(
            batch_size=2, noise_multiplier=1.5, **options
        )
        for x, y in loader:
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        books.append((engine.get_epsilon(1e-5), engine.accountant.composition.to_json()))
    assert books[0] == books[1]


def test_batches_are_cut_between_samples():
    views = velum.ImageViews(VIEWS, max_shift=0, mirror=False)
    sums = []
    for most in (SAMPLES, 4):
        _, model, optimizer, loader = make_private(views=views)
        with velum.BatchMemoryManager(
            data_loader=loader, max_physical_batch_size=most, optimizer=optimizer
        ) as small:
            rows = []
            for x, y in small:
                rows.append(len(x))
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        sums.append([p.grad for p in model.parameters()])
    assert rows == [4 * VIEWS, 2 * VIEWS]
    for a, b in zip(*sums):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_the_views_of_all_samples_of_a_user_are_clipped_as_one():
    users = [0, 1, 0, 1, 0, 1]
    _, model, optimizer, loader = make_private(user_of_sample=users)
    ((x, y),) = list(loader)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    expected = clipped_sum(x, y, 3 * VIEWS)  # the samples of a user stand together
    for p, e in zip(model.parameters(), expected):
        torch.testing.assert_close(p.grad, e / 2, rtol=1e-10, atol=1e-13)


def test_an_empty_batch_has_no_views_and_is_a_step():
    engine, model, optimizer, loader = make_private(batch_size=1, noise_multiplier=1.0)
    empty = 0
    for _ in range(5):  # a rate of 1/6: none of 30 batches is empty with probability 6e-6
        for x, y in loader:
            empty += len(x) == 0
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert empty > 0 and engine.accountant.composition.total_count == 30


def test_workers_and_detach():
    engine, model, _, loader = make_private()
    model.eval()
    (batch,) = list(loader)
    assert isinstance(batch, list) and len(batch[0]) == SAMPLES * VIEWS
    engine.detach()
    assert [len(x) for x, _ in loader] == [SAMPLES]


class OneTensor(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"image": torch.zeros(1, 8, 8)}


@pytest.mark.parametrize(
    "error, match, make",
    [
        (ValueError, "count = 0, expected 1 to 1024", lambda: velum.ImageViews(0)),
        (ValueError, "count = 1025, expected", lambda: velum.ImageViews(1025)),
        (ValueError, "max_shift = -1, expected 0 to", lambda: velum.ImageViews(max_shift=-1)),
        (ValueError, "2 dimensions, expected", lambda: velum.ImageViews()(torch.zeros(3, 3))),
        (ValueError, "one loss per view", lambda: velum.ImageViews().mean(torch.zeros(7))),
        (ValueError, "targets has no dim", lambda: velum.ImageViews().repeat(torch.tensor(1))),
        (TypeError, "views is a int, expected a velum.ImageViews", lambda: make_private(views=4)),
        (
            ValueError,
            "views with a loader whose batches are not",
            lambda: make_private(OneTensor()),
        ),
        (
            ValueError,
            "views with a loader whose batches are not",
            lambda: make_private(TensorDataset(torch.zeros(6, 5), torch.zeros(6))),
        ),
    ],
)
def test_what_makes_no_sense_is_refused(error, match, make):
    with pytest.raises(error, match=match):
        make()


def test_losses_that_are_not_of_the_views_are_refused():
    _, model, _, loader = make_private()
    for x, y in loader:
        with pytest.raises(ValueError):
            F.cross_entropy(model(x), y, reduction="none")[: SAMPLES + 1].backward()
        with pytest.raises(ValueError):
            F.cross_entropy(model(x[::VIEWS]), y[::VIEWS]).backward()
        break
