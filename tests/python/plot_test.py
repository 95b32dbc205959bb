"""velum.plot and velum.progress: the figures hold what was given, and say what it is."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import velum
from torch.utils.data import DataLoader, TensorDataset
from velum import _rounding, he, plot
from velum import accounting as acc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

STEP = acc.PoissonSampledGaussianMechanism(sampling_rate=0.02, noise_multiplier=1.0)


@pytest.fixture(autouse=True)
def no_figure_stays_and_no_setting_changes():
    settings = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == settings
    pyplot.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def bars(ax):
    return [
        (p.get_x(), p.get_y(), p.get_width(), p.get_height(), p.get_facecolor()) for p in ax.patches
    ]


def is_drawn(ax):
    """Whether matplotlib can render it, with every text inside the figure."""
    ax.figure.canvas.draw()
    inside = ax.figure.bbox
    for text in [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]:
        box = text.get_window_extent()
        if text.get_text() and not (
            box.x0 >= inside.x0 - 1
            and box.x1 <= inside.x1 + 1
            and box.y0 >= inside.y0 - 1
            and box.y1 <= inside.y1 + 1
        ):
            return False
    return True


def test_epsilon_over_steps_has_the_line_of_every_accountant_and_the_certified_band():
    ax = plot.epsilon_over_steps(STEP, steps=100, delta=1e-5, steps_per_point=30)
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["pld", "rdp"]
    for name, line in lines.items():
        books = acc.make_accountant(name)
        at = [30, 60, 90, 100]
        expected = []
        before = 0
        for k in at:
            books.compose(STEP, count=k - before)
            before = k
            expected.append(books.epsilon(1e-5))
        np.testing.assert_array_equal(line.get_xdata(), at)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=2e-3)
    _, epsilon, lower = acc.epsilon_over_steps(
        STEP, steps=100, delta=1e-5, steps_per_point=30, spent=acc.PldAccountant()
    )
    np.testing.assert_array_equal(lines["pld"].get_ydata(), epsilon)
    (band,) = ax.collections  # the Renyi accountant proves no lower bound
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert {(k, e) for k, e in zip([30, 60, 90, 100], epsilon)} <= corners
    assert {(k, e) for k, e in zip([30, 60, 90, 100], lower)} <= corners
    ends = {text.split(":")[0]: text for text in texts(ax)}
    shown_low, shown_high = map(float, ends["pld"].removeprefix("pld: ").split(" to "))
    assert lower[-1] - 0.01 < shown_low <= lower[-1] <= epsilon[-1] <= shown_high
    assert shown_high < epsilon[-1] + 0.01
    assert ends["rdp"].startswith("rdp: at most ")
    assert ax.get_xlabel() == "Steps"
    assert ax.get_ylabel() == "Privacy loss ε at δ = 10⁻⁵"
    assert is_drawn(ax)


def test_epsilon_over_steps_takes_accountants_that_have_spent_and_leaves_them_alone():
    spent = acc.RdpAccountant()
    spent.compose(STEP, count=500)
    before = spent.epsilon(2.5e-6)
    _, ax = pyplot.subplots()
    result = plot.epsilon_over_steps(
        STEP, steps=7, delta=2.5e-6, accountants={"after 500": spent}, ax=ax
    )
    assert result is ax
    (line,) = ax.lines
    assert line.get_label() == "after 500"
    assert list(line.get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert min(line.get_ydata()) > before == spent.epsilon(2.5e-6)
    assert ax.get_ylabel() == "Privacy loss ε at δ = 2.5·10⁻⁶"


def test_epsilon_over_steps_of_samples_without_replacement_needs_its_relation():
    mechanism = acc.WithoutReplacementSampledGaussianMechanism(
        sampling_rate=0.01, noise_multiplier=2.0
    )
    ax = plot.epsilon_over_steps(
        mechanism, steps=20, delta=1e-5, neighbouring=acc.Neighbouring.REPLACE_ONE
    )
    assert len(ax.lines) == 2
    with pytest.raises(ValueError):
        plot.epsilon_over_steps(mechanism, steps=20, delta=1e-5)


def test_texts_at_line_ends_do_not_cover_each_other():
    books = {name: acc.RdpAccountant() for name in ("one", "same", "again")}
    ax = plot.epsilon_over_steps(STEP, steps=50, delta=1e-5, accountants=books)
    assert is_drawn(ax)
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in zip(boxes, boxes[1:]))
    assert len({line.get_color() for line in ax.lines}) == 3


def test_epsilon_over_steps_refuses_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="steps = 0, expected >= 1"):
        plot.epsilon_over_steps(STEP, steps=0, delta=1e-5)
    with pytest.raises(ValueError):
        plot.epsilon_over_steps(STEP, steps=10, delta=1e-5, steps_per_point=0)
    with pytest.raises(ValueError, match="accountants is empty"):
        plot.epsilon_over_steps(STEP, steps=10, delta=1e-5, accountants={})
    with pytest.raises(ValueError, match="infinite after every step"):
        plot.epsilon_over_steps(acc.GaussianMechanism(noise_multiplier=0.0), steps=3, delta=1e-5)
    assert not pyplot.get_fignums()


def test_accuracy_over_epsilon_has_the_points_given_in_ascending_order():
    ax = plot.accuracy_over_epsilon([4, 1, 2], [0.9, 0.7, 0.8], delta=1e-5, without_privacy=0.95)
    line, reference = ax.lines
    assert list(line.get_xdata()) == [1, 2, 4]
    assert list(line.get_ydata()) == [0.7, 0.8, 0.9]
    assert list(reference.get_ydata()) == [0.95, 0.95]
    assert texts(ax) == ["without privacy: 95.0 %"]
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "Privacy budget ε at δ = 10⁻⁵"
    assert ax.get_ylabel() == "Accuracy"
    assert is_drawn(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]
    assert ax.yaxis.get_major_formatter()(0.5, 0) == "50 %"


def test_accuracy_over_epsilon_has_means_in_bands_and_names_beside_the_lines():
    runs = np.array([[0.7, 0.72, 0.74], [0.8, 0.9, 0.85]])
    ax = plot.accuracy_over_epsilon([1, 8], {"linear": runs, "cnn": [0.6, 0.65]}, delta=1e-6)
    linear, cnn = ax.lines
    np.testing.assert_allclose(linear.get_ydata(), [0.72, 0.85])
    assert list(cnn.get_ydata()) == [0.6, 0.65]
    (band,) = ax.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert {(1, 0.7), (1, 0.74), (8, 0.8), (8, 0.9)} <= corners
    assert set(texts(ax)) == {"linear", "cnn", "band: lowest to highest of 3 runs"}
    assert is_drawn(ax)


@pytest.mark.parametrize(
    ("epsilon", "accuracy", "delta", "text"),
    [
        ([], [], 1e-5, r"epsilon has shape \[0\]"),
        ([[1.0]], [0.5], 1e-5, r"epsilon has shape \[1, 1\]"),
        ([1, float("inf")], [0.5, 0.6], 1e-5, "without_privacy"),
        ([0, 1], [0.5, 0.6], 1e-5, "expected finite and > 0"),
        ([1, 2], [0.5], 1e-5, r"has shape \[1\], expected \[2\] or \[2, runs\]"),
        ([1, 2], [50, 60], 1e-5, r"from 50 to 60, expected fractions in \[0, 1\]"),
        ([1, 2], [0.5, float("nan")], 1e-5, "expected fractions"),
        ([1, 2], {}, 1e-5, "accuracy is empty"),
        ([1, 2], [0.5, 0.6], 1.0, r"delta = 1\.0, expected in \(0, 1\)"),
    ],
)
def test_accuracy_over_epsilon_refuses_values_out_of_range(epsilon, accuracy, delta, text):
    with pytest.raises(ValueError, match=text):
        plot.accuracy_over_epsilon(epsilon, accuracy, delta=delta)


def test_a_histogram_of_norms_says_that_it_is_private_data():
    ax = plot.private_norm_histogram([0.5, 2.0], clipping_norm=1.0)
    title = ax.get_title(loc="left")
    assert title.startswith("PRIVATE DATA: do not publish, do not share")
    assert "no ε covers them" in title
    assert "private" in plot.private_norm_histogram.__name__
    assert "PRIVATE DATA" in plot.private_norm_histogram.__doc__
    assert is_drawn(ax)


def test_a_histogram_counts_every_norm_once_and_colours_what_is_clipped():
    norms = np.random.default_rng(1).gamma(2.0, 0.6, 1000)
    norms[:5] = [0.0, 0.7, 0.7, 0.7 * (1 + 1e-15), 0.0]
    ax = plot.private_norm_histogram(norms, clipping_norm=0.7, bins=25)
    shown = bars(ax)
    assert 20 <= len(shown) <= 30
    kept = [bar for bar in shown if bar[0] < 0.7 - 1e-9]
    clipped = [bar for bar in shown if bar[0] >= 0.7 - 1e-9]
    assert sum(bar[3] for bar in kept) == (norms <= 0.7).sum()  # the edge is not clipped
    assert sum(bar[3] for bar in clipped) == (norms > 0.7).sum()
    assert {bar[4] for bar in kept}.isdisjoint(bar[4] for bar in clipped)
    edges = [bar[0] for bar in shown] + [np.inf]
    for bar, low, high in zip(shown, edges, edges[1:]):
        inside = (norms > low) & (norms <= high)
        assert bar[3] == inside.sum() + (2 if low == 0 else 0)  # two norms are 0
    assert texts(ax) == [f"C = 0.7\n{(norms > 0.7).sum()} of 1000 are clipped"]
    assert ax.get_xlabel() == "Norm of a sample's gradient (units of the gradient)"
    assert ax.get_ylabel() == "Samples"


def test_a_histogram_keeps_outliers_in_its_last_bar_and_says_so():
    ax = plot.private_norm_histogram([0.1, 0.2, 1e9], clipping_norm=1.0, bins=10)
    shown = bars(ax)
    assert len(shown) == 11
    assert shown[-1][3] == 1
    assert sum(bar[3] for bar in shown) == 3
    assert "last bar: all above 10" in texts(ax)
    assert is_drawn(ax)


def test_a_histogram_takes_norms_of_any_magnitude():
    for norms, clipping_norm in [([1e300, 0.0], 1e-300), ([1e-300, 0.0], 1e300), ([0.0], 1.0)]:
        ax = plot.private_norm_histogram(norms, clipping_norm=clipping_norm, bins=10)
        assert sum(bar[3] for bar in bars(ax)) == len(norms)
        assert f"{int(norms[0] > clipping_norm)} of {len(norms)} are clipped" in texts(ax)[0]


def test_a_histogram_takes_tensors_and_norms_that_are_all_small():
    norms = torch.tensor([0.25, 0.5], dtype=torch.bfloat16, requires_grad=True)
    ax = plot.private_norm_histogram(norms, clipping_norm=1.0, bins=4)
    assert [bar[3] for bar in bars(ax)] == [1, 1, 0, 0]
    assert "0 of 2 are clipped" in texts(ax)[0]
    assert is_drawn(ax)


@pytest.mark.parametrize(
    ("norms", "options", "text"),
    [
        ([], {}, r"norms has shape \[0\]"),
        ([[1.0]], {}, r"norms has shape \[1, 1\]"),
        ([1.0, float("nan"), float("inf"), -1.0], {}, "3 of 4 norms"),
        ([1.0], {"clipping_norm": 0.0}, "clipping_norm = 0.0, expected finite and > 0"),
        ([1.0], {"clipping_norm": float("inf")}, "clipping_norm = inf"),
        ([1.0], {"bins": 0}, "bins = 0, expected >= 1"),
    ],
)
def test_a_histogram_refuses_values_out_of_range(norms, options, text):
    with pytest.raises(ValueError, match=text):
        plot.private_norm_histogram(norms, **{"clipping_norm": 1.0, **options})


def test_noise_budget_of_bfv_is_that_of_every_result():
    keys = he.bfv_keys(depth=1, plaintext_bits=20, rotations=False)
    a = keys.encrypt([1, 2, 3])
    product = a * a
    ax = plot.noise_budget([("fresh", a), ("a * a", product), ("its ciphertext", a.ciphertext)])
    assert [bar[2] for bar in bars(ax)] == [a.noise_budget, product.noise_budget, a.noise_budget]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "fresh",
        "a * a",
        "its ciphertext",
    ]
    assert ax.yaxis_inverted()  # the first step is on top
    assert ax.get_xlabel() == "Noise budget left (bits)"
    for text, budget in zip(texts(ax), [a.noise_budget, product.noise_budget, a.noise_budget]):
        assert budget - 0.1 < float(text) <= budget
    assert is_drawn(ax)


def test_noise_budget_of_ckks_is_the_precision_left():
    keys = he.ckks_keys(depth=1, rotations=False)
    a = keys.encrypt([0.5, 0.25])
    ax = plot.noise_budget([("fresh", a), ("a * a", (a * a).ciphertext)])
    assert [bar[2] for bar in bars(ax)] == [
        a.precision_bits,
        (a * a).ciphertext.estimated_precision_bits,
    ]
    assert ax.get_xlabel() == "Precision (bits after the binary point)"
    with pytest.raises(ValueError, match="draw BFV and CKKS apart"):
        plot.noise_budget([("fresh", a), ("measured", 12.0)])


def test_noise_budget_of_numbers_marks_what_is_lost():
    ax = plot.noise_budget([("left", 12.34), ("lost", -0.01)])
    (left, lost) = bars(ax)
    assert (left[2], lost[2]) == (12.34, -0.01)
    assert left[4] != lost[4]
    assert texts(ax) == ["12.3", "\N{MINUS SIGN}0.1"]  # rounded down
    with pytest.raises(ValueError, match="steps is empty"):
        plot.noise_budget([])
    with pytest.raises(ValueError, match="'x' has nan bits"):
        plot.noise_budget([("x", float("nan"))])


def test_new_figures_have_no_background_of_their_own():
    ax = plot.noise_budget([("left", 1.0)])
    assert ax.get_facecolor()[3] == ax.figure.get_facecolor()[3] == 0


def test_without_matplotlib_velum_imports_and_a_figure_says_what_to_install():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import velum\n"
        "try: velum.plot.noise_budget([('a', 1.0)])\n"
        "except ImportError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == (
        "velum.plot.noise_budget: matplotlib is not there; pip install 'velum[plot]'\n"
    )


def test_importing_velum_does_not_load_matplotlib():
    program = "import velum, sys; print([m for m in sys.modules if 'matplotlib' in m])"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


def test_numbers_as_text_are_rounded_to_the_safe_side():
    assert _rounding.rounded_up(1.2300001, 2) == "1.24"
    assert _rounding.rounded_up(1.1, 2) == "1.10"
    assert _rounding.rounded_up(float("inf"), 2) == "inf"
    assert _rounding.rounded_down(1.2399, 2) == "1.23"
    assert _rounding.rounded_down(-0.01, 1) == "-0.1"


def make_training(samples=40, batch_size=10):
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    data = TensorDataset(torch.randn(samples, 3), torch.randint(2, (samples,)))
    engine = velum.PrivacyEngine(accountant="rdp")
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=batch_size),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )

    def step(x, y):
        torch.nn.functional.cross_entropy(model(x), y, reduction="none").backward()
        optimizer.step()

    return engine, loader, step


def test_progress_hands_out_every_batch_and_ends_with_the_epsilon_spent(capsys):
    pytest.importorskip("tqdm")
    engine, loader, step = make_training()
    batches = 0
    for x, y in velum.progress(loader, engine, delta=1e-5, description="epoch 1"):
        step(x, y)
        batches += 1
    assert batches == len(loader) == 4
    shown = capsys.readouterr().err.split("\r")[-1]
    assert shown.startswith("epoch 1: 100%")
    assert "4/4" in shown
    epsilon = float(shown.split("ε ≤ ")[1].split(" ")[0])
    assert engine.get_epsilon(1e-5) <= epsilon < engine.get_epsilon(1e-5) + 1e-3
    assert "at δ = 1e-05" in shown


def test_progress_around_physical_batches_and_a_loop_that_is_broken_off(capsys):
    pytest.importorskip("tqdm")
    engine, loader, step = make_training()
    with velum.BatchMemoryManager(data_loader=loader, max_physical_batch_size=3) as small:
        for x, y in velum.progress(small, engine, delta=1e-5):
            assert len(x) <= 3
            step(x, y)
    epsilon = float(capsys.readouterr().err.split("ε ≤ ")[-1].split(" ")[0])
    assert engine.get_epsilon(1e-5) <= epsilon < engine.get_epsilon(1e-5) + 1e-3
    for _ in velum.progress(loader, engine, delta=1e-5):
        break
    for x, y in velum.progress(loader, engine, delta=1e-5):
        step(x, y)
    assert "4/4" in capsys.readouterr().err.split("\r")[-1]
    assert engine.report(delta=1e-5).steps == 8


def test_progress_without_tqdm_is_the_loader_alone(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    engine, loader, step = make_training()
    batches = 0
    for x, y in velum.progress(loader, engine):
        step(x, y)
        batches += 1
    assert batches == 4
    assert capsys.readouterr().err == ""


def test_progress_before_make_private_and_with_a_wrong_delta_is_an_error_at_once():
    engine, loader, _ = make_training()
    with pytest.raises(RuntimeError, match="nothing is private yet"):
        velum.progress(loader, velum.PrivacyEngine())
    with pytest.raises(ValueError):
        velum.progress(loader, engine, delta=2.0)


def test_epsilon_in_a_notebook_is_never_below_the_one_promised():
    for noise_multiplier in np.linspace(1.0, 3.0, 9):
        books = acc.RdpAccountant()
        books.compose(acc.GaussianMechanism(noise_multiplier=noise_multiplier))
        statement = books.statement(1e-5)
        shown = statement._repr_html_().split(">epsilon</th>")[1].split(">")[1].split("<")[0]
        assert statement.epsilon <= float(shown) < statement.epsilon + 1e-4
