"""velum.features: the transform of another program's figures, and releases that are in the books."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import velum
from torch.utils.data import DataLoader, TensorDataset
from velum import accounting as acc
from velum import features, ledger

REFERENCE = Path(__file__).parents[1] / "data" / "scattering_reference.txt"


def reference_cases():
    """Of kymatio: sizes, kind of image, stride, coefficients."""
    lines = [line for line in REFERENCE.read_text().splitlines() if not line.startswith("#")]
    words = " ".join(lines).split()
    while words:
        sizes = [int(w) for w in words[1:8]]
        taken = -(-sizes[6] // sizes[5])
        yield sizes, np.array(words[8 : 8 + taken], dtype=float)
        words = words[8 + taken :]


def image_of(kind, height, width):
    """The images of make_scattering_reference.py."""
    y, x = np.mgrid[:height, :width]
    dy, dx = 2 * y - height, 2 * x - width
    inside = 3 * dy * dy + 2 * dx * dx < 2 * height * width
    shade = np.where(inside, 60 + (5 * y + x) % 180, 0)
    return ((37 * y + 101 * x + 3 * y * x) % 256 if kind == 0 else shade).astype(np.uint8)


def test_scattering_agrees_with_kymatio():
    cases = 0
    for (height, width, scales, orientations, kind, stride, count), expected in reference_cases():
        transform = features.ScatteringTransform(height, width, scales, orientations)
        assert transform.output_size == count == transform.channels * transform.positions
        image = image_of(kind, height, width)
        out = features.scattering(transform, image[None])
        assert out.shape == (1, count) and out.dtype == np.float32
        assert np.abs(out[0, ::stride] - expected).max() < 1e-5 + 1e-6  # seven digits are listed
        numbers = features.scattering(transform, image.reshape(1, -1) / 255, threads=2)
        assert np.abs(numbers - out).max() < 1e-6
        cases += 1
    assert cases >= 2


def rows_of(n=200, size=24, seed=1):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


def test_unit_rows():
    rows = np.abs(rows_of())
    rows[0] = -1.0
    rows[1, 3] = np.inf
    out = features.sqrt_to_unit_rows(rows)
    assert not out[:2].any()
    expected = np.sqrt(rows[2:]) / np.linalg.norm(np.sqrt(rows[2:]), axis=1, keepdims=True)
    assert np.abs(out[2:] - expected).max() < 1e-6
    assert (np.linalg.norm(out.astype(float), axis=1) <= 1 + 1e-12).all()


def test_the_mean_is_clipped_noised_and_in_the_books():
    rows, c, sigma, count = rows_of(), 2.0, 0.5, 180
    rows[7, 0] = np.nan
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    clipped = np.where(np.isfinite(norms), rows * np.minimum(1, c / norms), 0)
    exact = clipped.sum(0) / count
    books = acc.PldAccountant()
    draws = np.stack(
        [
            features.private_mean(
                rows, clipping_norm=c, noise_multiplier=sigma, public_count=count, accountant=books
            )
            for _ in range(500)
        ]
    )
    deviation = sigma * c / count
    # 24 means of 500, six deviations: false alarms below 1e-7; the variance of 12000 likewise.
    assert np.abs(draws.mean(0) - exact).max() < 6 * deviation / math.sqrt(500)
    assert abs((draws - exact).var() / deviation**2 - 1) < 6 * math.sqrt(2 / draws.size)
    (phase,) = books.composition.phases
    assert (phase.mechanism, phase.count, phase.label) == (
        acc.GaussianMechanism(sigma),
        500,
        "private mean",
    )


def test_second_moments_are_clipped_noised_and_in_the_books():
    channels, positions, radius = 4, 6, 1.5
    rows, mean = rows_of(), rows_of(1, seed=2)[0]
    centred = (rows - mean).astype(float)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    y = (centred * np.minimum(1, radius / norms)).reshape(-1, channels, positions)
    books = acc.RdpAccountant()
    moments = [
        features.private_second_moments(
            rows,
            mean,
            channels=channels,
            positions=positions,
            clipping_norm=radius,
            channel_noise_multiplier=2.0,
            spatial_noise_multiplier=3.0,
            accountant=books,
        )
        for _ in range(300)
    ]
    for which, exact, sigma in (
        (0, np.einsum("bij,bkj->ik", y, y), 2.0),
        (1, np.einsum("bij,bik->jk", y, y), 3.0),
    ):
        made = np.stack([m[which] for m in moments])
        assert np.array_equal(made, made.transpose(0, 2, 1))
        error = np.abs(made.mean(0) - exact).max()
        assert error < 6 * sigma * radius**2 / math.sqrt(300) + 1e-3 * np.abs(exact).max()
        upper = (made - exact)[:, *np.triu_indices(len(exact))]
        assert abs(upper.std() / (sigma * radius**2) - 1) < 6 / math.sqrt(2 * upper.size) + 1e-3
    assert books.composition.total_count == 600
    assert {p.mechanism.noise_multiplier for p in books.composition.phases} == {2.0, 3.0}
    made = features.make_preconditioner(*moments[0])
    assert made.channel.shape == (4, 4) and made.spatial.shape == (6, 6)


def test_preconditioning_is_the_formula():
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(4, 4)), generator.normal(size=(6, 6))
    channel, spatial = a @ a.T, b @ b.T
    made = features.make_preconditioner(
        channel, spatial, channel_power=0.5, spatial_power=0.25, floor=0.01
    )
    for given, out, power in ((channel, made.channel, 0.5), (spatial, made.spatial, 0.25)):
        values, vectors = np.linalg.eigh(given / np.trace(given))
        expected = vectors @ np.diag((values + 0.01) ** -power) @ vectors.T
        assert np.abs(out - expected).max() < 1e-5 * np.abs(expected).max()
    rows, mean = rows_of(5), rows_of(1, seed=4)[0]
    out = features.precondition_rows(rows, mean, made, bias=0.7)
    z = made.channel @ (rows - mean).reshape(-1, 4, 6) @ made.spatial
    z = z.reshape(5, 24) / np.linalg.norm(z.reshape(5, 24), axis=1, keepdims=True)
    assert np.abs(out[:, :-1] - z).max() < 1e-5
    assert (out[:, -1] == np.float32(0.7)).all() and out.shape == (5, 25)


def test_a_linear_model_learns_from_it_privately():
    generator = np.random.default_rng(5)
    labels = generator.integers(2, size=240)
    y, x = np.mgrid[:16, :16]
    images = np.where(labels[:, None, None] == 1, np.sin(x), np.sin(y)) + generator.normal(
        size=(240, 16, 16)
    )
    transform = features.ScatteringTransform(16, 16, 2, 4)
    rows = features.sqrt_to_unit_rows(features.scattering(transform, images))
    books = acc.PldAccountant()
    mean = features.private_mean(
        rows, clipping_norm=1.0, noise_multiplier=4.0, public_count=240, accountant=books
    )
    evened = features.random_shapes_preconditioner(transform)
    inputs = torch.from_numpy(features.precondition_rows(rows, mean, evened))
    torch.manual_seed(1)
    model = torch.nn.Linear(inputs.shape[1], 2, bias=False)
    engine = velum.PrivacyEngine(accountant=books)
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=4.0),
        data_loader=DataLoader(TensorDataset(inputs, torch.from_numpy(labels)), batch_size=240),
        noise_multiplier=2.0,
        max_grad_norm=1.0,
    )
    for _ in range(12):
        for features_of, classes in loader:
            torch.nn.functional.cross_entropy(model(features_of), classes).backward()
            optimizer.step()
    assert (model(inputs).argmax(1).numpy() == labels).mean() > 0.9
    expected = acc.PldAccountant()
    expected.compose(acc.GaussianMechanism(4.0))
    expected.compose(acc.PoissonSampledGaussianMechanism(1.0, 2.0), 12)
    assert engine.get_epsilon(1e-5) == pytest.approx(expected.epsilon(1e-5), rel=1e-3)
    assert {p.label for p in books.composition.phases} == {"private mean", "training"}


def test_a_guard_may_refuse(tmp_path):
    books = ledger.Ledger.create(tmp_path / "books.db")
    books.add_data_set("survey", epsilon=1.0, delta=1e-5)
    guard = ledger.LedgerGuard(books, "survey", "run")
    spent = acc.PldAccountant()
    options = {
        "clipping_norm": 1.0,
        "public_count": 200,
        "accountant": spent,
        "release_guard": guard,
    }
    features.private_mean(rows_of(), noise_multiplier=8.0, **options)
    with pytest.raises(ledger.BudgetExceeded):
        features.private_mean(rows_of(), noise_multiplier=0.5, **options)
    assert spent.composition.total_count == 1
    assert books.status("survey").spent.total_count == 1


def test_books_about_people_take_rows_of_people_alone(tmp_path):
    books = ledger.Ledger.create(tmp_path / "books.db")
    books.add_data_set("survey", epsilon=9.0, delta=1e-5, unit="person")
    spent = acc.PldAccountant()
    options = {
        "noise_multiplier": 8.0,
        "public_count": 200,
        "clipping_norm": 1.0,
        "accountant": spent,
        "release_guard": ledger.LedgerGuard(books, "survey", "run"),
    }
    with pytest.raises(ValueError, match="private mean: .* about one person, expected one example"):
        features.private_mean(rows_of(), **options)
    assert spent.composition.total_count == books.status("survey").spent.total_count == 0
    features.private_mean(rows_of(), unit="person", **options)  # a row is all of a person
    assert spent.composition.total_count == books.status("survey").spent.total_count == 1


@pytest.mark.parametrize(
    "which, relation", [("accountant", "REPLACE_ONE"), ("release_guard", "replace-one")]
)
def test_books_where_a_row_is_replaced_are_refused(tmp_path, which, relation):
    # Replacing a row moves the sum by 2 C: noise of 8 C is of multiplier 4 in such books, not 8.
    relations = {"accountant": acc.Neighbouring.ADD_OR_REMOVE_ONE} | {
        which: acc.Neighbouring.REPLACE_ONE
    }
    books = ledger.Ledger.create(tmp_path / "books.db")
    kept_for = relations.get("release_guard", acc.Neighbouring.ADD_OR_REMOVE_ONE)
    books.add_data_set("survey", epsilon=9.0, delta=1e-5, neighbouring=kept_for)
    accountant = acc.PldAccountant(relations["accountant"])
    options = {
        "clipping_norm": 1.0,
        "accountant": accountant,
        "release_guard": ledger.LedgerGuard(books, "survey", "run"),
    }
    with pytest.raises(ValueError, match=f"{which} .* for {relation}"):
        features.private_mean(rows_of(), noise_multiplier=8.0, public_count=200, **options)
    with pytest.raises(ValueError, match=f"{which} .* for {relation}"):
        features.private_second_moments(
            rows_of(),
            np.zeros(24),
            channels=4,
            positions=6,
            channel_noise_multiplier=8.0,
            spatial_noise_multiplier=8.0,
            **options,
        )
    assert accountant.composition.total_count == 0
    assert books.status("survey").spent.total_count == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: features.ScatteringTransform(scales=0),
        lambda: features.ScatteringTransform(height=2),
        lambda: features.scattering(features.ScatteringTransform(), np.zeros((2, 27, 28))),
        lambda: features.scattering(features.ScatteringTransform(), np.zeros(784)),
        lambda: features.sqrt_to_unit_rows(np.zeros(3)),
        lambda: features.private_mean(
            rows_of(), clipping_norm=0.0, noise_multiplier=1.0, public_count=1, accountant=acc.PldAccountant()
        ),
        lambda: features.private_mean(
            rows_of(), clipping_norm=1.0, noise_multiplier=0.0, public_count=1, accountant=acc.PldAccountant()
        ),
        lambda: features.private_mean(
            rows_of(), clipping_norm=1.0, noise_multiplier=1.0, public_count=0, accountant=acc.PldAccountant()
        ),
        lambda: features.private_second_moments(
            rows_of(),
            np.zeros(23),
            channels=4,
            positions=6,
            clipping_norm=1.0,
            channel_noise_multiplier=1.0,
            spatial_noise_multiplier=1.0,
            accountant=acc.PldAccountant(),
        ),
        lambda: features.make_preconditioner(np.zeros((2, 3)), np.eye(2)),
        lambda: features.make_preconditioner(-np.eye(2), np.eye(2)),
        lambda: features.precondition_rows(
            rows_of(), np.zeros(24), features.make_preconditioner(np.eye(5), np.eye(6))
        ),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(call):
    with pytest.raises(ValueError):
        call()


def test_an_object_that_was_never_made_is_an_error():
    with pytest.raises(TypeError):
        repr(features.ScatteringTransform.__new__(features.ScatteringTransform).channels)
    made = features.Preconditioner.__new__(features.Preconditioner)
    with pytest.raises(TypeError):
        features.precondition_rows(rows_of(), np.zeros(24), made)
    with pytest.raises(TypeError):
        features.scattering(features.ScatteringTransform(), [["a"]])
