"""Figures of budgets, accuracies, norms and noise, by matplotlib (`pip install 'velum[plot]'`).

    velum.plot.epsilon_over_steps(mechanism, steps=10_000, delta=1e-5)
    velum.plot.accuracy_over_epsilon([1, 2, 4, 8], accuracies, delta=1e-5)
    velum.plot.noise_budget([("fresh", a), ("a * b", a * b)])
    velum.plot.private_norm_histogram(norms, clipping_norm=1.0)      # private data!

Each draws into `ax`, or into a new figure, and returns the Axes, for titles and `savefig` of your
own. Colours can be told apart by the colour-blind; text and background of new figures suit light
pages and dark ones. No global setting of matplotlib is changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from . import accounting, he
from ._rounding import rounded_down, rounded_up
from .accounting import Accountant, Mechanism, Neighbouring

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "accuracy_over_epsilon",
    "epsilon_over_steps",
    "noise_budget",
    "private_norm_histogram",
]

# Okabe and Ito's colours without those that are faint on white or on black.
_BLUE, _VERMILION, _GREEN, _PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_COLOURS = (_BLUE, _VERMILION, _GREEN, _PURPLE)
_NEUTRAL = "#767676"  # contrast of 4.5 on white and on black


def _styled_axes(function: str, ax: Axes | None, height: float = 3.6) -> Axes:
    """`ax`, or one of a new figure 6.4 inches wide, without what only decorates."""
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError(
                f"velum.plot.{function}: matplotlib is not there; pip install 'velum[plot]'"
            ) from error
        figure, ax = pyplot.subplots(figsize=(6.4, height), layout="constrained")
        figure.set_facecolor("none")
        ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_NEUTRAL)
    ax.tick_params(which="both", color=_NEUTRAL, labelcolor=_NEUTRAL, labelsize=9)
    ax.set_axisbelow(True)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(_NEUTRAL)
        axis.label.set_fontsize(10)
    return ax


def _horizontal_grid(ax: Axes) -> None:
    ax.grid(axis="y", color=_NEUTRAL, alpha=0.2, linewidth=0.8)


def _label_line_ends(
    ax: Axes, ends: Sequence[tuple[float, float, str, str]], places: Sequence[float]
) -> None:
    """Writes each (x, y, text, colour) to the right of the axes' data, none over another.

    places: y values of all that is drawn, from which the height of a text is taken.
    """
    gap = 0.075 * (max(places) - min(places) or 1.0)
    below = -math.inf
    for x, y, text, colour in sorted(ends, key=lambda end: end[1]):
        below = max(y, below + gap)
        ax.annotate(
            text,
            (x, below),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9,
            annotation_clip=False,
        )


def _power_of_ten(value: float) -> str:
    """1e-5 as 10⁻⁵, 2.5e-6 as 2.5·10⁻⁶."""
    mantissa, exponent = f"{value:.3e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


def epsilon_over_steps(
    mechanism: Mechanism,
    *,
    steps: int,
    delta: float,
    accountants: Mapping[str, Accountant] | None = None,
    neighbouring: Neighbouring = Neighbouring.ADD_OR_REMOVE_ONE,
    steps_per_point: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Epsilon in the course of a planned run, by every accountant.

    A line is what the accountant reports, the upper bound; the band below it, often as thin as the
    line, goes down to the lower bound that it proves. The text at the end has both, rounded
    outwards.

    Args:
        mechanism: what each step releases.
        steps: how many, >= 1.
        delta: in (0, 1).
        accountants: by the name that the figure gives them, each holding what the data has already
            paid; not changed. By default empty ones, "pld" and "rdp".
        neighbouring: of the default ones; samples without replacement need REPLACE_ONE.
        steps_per_point: a value after every so many steps, and after the last; by default about a
            hundred values.
        ax: to draw into; by default of a new figure.

    Returns:
        The Axes: x steps, y epsilon in natural logarithms.

    Raises:
        ValueError: if a value is out of range, or epsilon is infinite after every step.
        ImportError: if matplotlib is not installed.
    """
    if steps < 1:
        raise ValueError(f"velum.plot.epsilon_over_steps: steps = {steps}, expected >= 1")
    if accountants is None:
        accountants = {n: accounting.make_accountant(n, neighbouring) for n in ("pld", "rdp")}
    if not accountants:
        raise ValueError("velum.plot.epsilon_over_steps: accountants is empty, expected some")
    if steps_per_point is None:
        steps_per_point = -(-steps // 100)
    curves = {
        name: accounting.epsilon_over_steps(
            mechanism,
            steps=steps,
            delta=delta,
            steps_per_point=steps_per_point,
            spent=books,
        )
        for name, books in accountants.items()
    }
    for name, (_, epsilon, _) in curves.items():
        if not np.isfinite(epsilon).any():
            raise ValueError(
                f"velum.plot.epsilon_over_steps: epsilon by {name} is infinite after every step, "
                "expected a finite one to draw; give the mechanism noise"
            )
    ax = _styled_axes("epsilon_over_steps", ax)
    _horizontal_grid(ax)
    ends = []
    drawn = [0.0]
    for index, (name, (at, epsilon, lower)) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        ax.plot(at, epsilon, color=colour, linewidth=1.8, label=name)
        known = np.isfinite(lower) & np.isfinite(epsilon)
        if known.any():
            ax.fill_between(
                at, lower, epsilon, where=known.tolist(), color=colour, alpha=0.25, linewidth=0
            )
        finite = np.flatnonzero(np.isfinite(epsilon))
        drawn += epsilon[finite].tolist()
        end = finite[-1]
        if end != len(at) - 1:
            text = f"{name}: infinite after {at[end + 1]} steps"
        elif known[end]:
            text = f"{name}: {rounded_down(lower[end], 2)} to {rounded_up(epsilon[end], 2)}"
        else:
            text = f"{name}: at most {rounded_up(epsilon[end], 2)}"
        ends.append((float(at[end]), float(epsilon[end]), text, colour))
    _label_line_ends(ax, ends, drawn)
    ax.set_xlim(0, steps)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", integer=True)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\N{THIN SPACE}"))
    ax.set_xlabel("Steps")
    ax.set_ylabel(f"Privacy loss ε at δ = {_power_of_ten(delta)}")
    return ax


def accuracy_over_epsilon(
    epsilon: npt.ArrayLike,
    accuracy: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    *,
    delta: float,
    without_privacy: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """What accuracy a privacy budget buys.

    Args:
        epsilon: [k] budgets, finite and > 0, in any order; drawn on a logarithmic axis.
        accuracy: [k] fractions in [0, 1], or [k, runs]: a line of means in a band from the lowest to
            the highest run. Of several recipes: a dictionary of those, by name.
        delta: of all budgets, in (0, 1).
        without_privacy: the accuracy of the same model trained without, for comparison.
        ax: to draw into; by default of a new figure.

    Returns:
        The Axes: x epsilon in natural logarithms, y accuracy as a fraction, written in percent.

    Raises:
        ValueError: if shapes differ or a value is out of range.
        ImportError: if matplotlib is not installed.
    """
    where = "velum.plot.accuracy_over_epsilon"
    budgets = np.asarray(epsilon, dtype=np.float64)
    if budgets.ndim != 1 or not budgets.size:
        raise ValueError(f"{where}: epsilon has shape {list(budgets.shape)}, expected [k], k >= 1")
    if not (np.isfinite(budgets) & (budgets > 0)).all():
        raise ValueError(
            f"{where}: epsilon = {budgets.tolist()}, expected finite and > 0; the accuracy of "
            "training without privacy is without_privacy"
        )
    if not 0 < delta < 1:
        raise ValueError(f"{where}: delta = {delta}, expected in (0, 1)")
    if without_privacy is not None and not 0 <= without_privacy <= 1:
        raise ValueError(
            f"{where}: without_privacy = {without_privacy}, expected a fraction in [0, 1]"
        )
    recipes = dict(accuracy) if isinstance(accuracy, Mapping) else {"": accuracy}
    order = np.argsort(budgets, kind="stable")
    budgets = budgets[order]
    runs_of: dict[str, npt.NDArray[np.float64]] = {}
    for name, values in recipes.items():
        runs = np.asarray(values, dtype=np.float64)
        if runs.ndim == 1:
            runs = runs[:, None]
        if runs.ndim != 2 or runs.shape[0] != budgets.size or not runs.size:
            raise ValueError(
                f"{where}: accuracy {name!r} has shape {list(np.shape(values))}, expected "
                f"[{budgets.size}] or [{budgets.size}, runs]"
            )
        if not ((runs >= 0) & (runs <= 1)).all():
            raise ValueError(
                f"{where}: accuracy {name!r} has values from {runs.min():g} to {runs.max():g}, "
                "expected fractions in [0, 1]"
            )
        runs_of[name] = runs[order]  # [k, runs]
    if not runs_of:
        raise ValueError(f"{where}: accuracy is empty, expected some")

    ax = _styled_axes("accuracy_over_epsilon", ax)
    _horizontal_grid(ax)
    ax.set_xscale("log")
    ends = []
    drawn: list[float] = []
    most_runs = max(runs.shape[1] for runs in runs_of.values())
    for index, (name, runs) in enumerate(runs_of.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        mean = runs.mean(axis=1)
        ax.plot(budgets, mean, color=colour, linewidth=1.8, marker="o", markersize=5, label=name)
        if runs.shape[1] > 1:
            ax.fill_between(
                budgets, runs.min(axis=1), runs.max(axis=1), color=colour, alpha=0.2, linewidth=0
            )
        drawn += runs.ravel().tolist()
        if name:
            ends.append((float(budgets[-1]), float(mean[-1]), name, colour))
    if without_privacy is not None:
        ax.axhline(without_privacy, color=_NEUTRAL, linewidth=1.2, linestyle=(0, (4, 3)))
        ax.annotate(
            f"without privacy: {100 * without_privacy:.1f} %",
            (0, without_privacy),
            xycoords=ax.get_yaxis_transform(),
            xytext=(4, 4),
            textcoords="offset points",
            color=_NEUTRAL,
            fontsize=9,
        )
        drawn.append(without_privacy)
    if most_runs > 1:
        ax.annotate(
            f"band: lowest to highest of {most_runs} runs",
            (1, 0),
            xycoords="axes fraction",
            xytext=(-4, 6),
            textcoords="offset points",
            ha="right",
            color=_NEUTRAL,
            fontsize=9,
        )
    _label_line_ends(ax, ends, drawn)
    ax.set_xticks(*_sparse_ticks(budgets))
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    ax.set_xlabel(f"Privacy budget ε at δ = {_power_of_ten(delta)}")
    ax.set_ylabel("Accuracy")
    return ax


def _sparse_ticks(values: npt.NDArray[np.float64]) -> tuple[list[float], list[str]]:
    """Those of the ascending values that can stand beside each other on a logarithmic axis."""
    apart = 0.07 * math.log(values[-1] / values[0])
    ticks = [float(values[0])]
    for value in values[1:].tolist():
        if math.log(value / ticks[-1]) > apart:
            ticks.append(value)
    return ticks, [f"{tick:g}" for tick in ticks]


def private_norm_histogram(
    norms: npt.ArrayLike | torch.Tensor,
    *,
    clipping_norm: float,
    bins: int = 40,
    ax: Axes | None = None,
) -> Axes:
    """How large the gradients of single samples are, and which are clipped. PRIVATE DATA.

    Norms are taken of raw data: no noise, no epsilon covers them. The figure is for whoever holds
    the data, says so in its title, and must not leave the house; neither should a clipping norm that
    was chosen by it, unless that choice was private too.

    Args:
        norms: [n] as of `velum.per_sample_norms`, finite and >= 0; an array or a tensor.
        clipping_norm: C, finite and > 0: an edge between two bars.
        bins: about how many bars, >= 1. Norms above bins * C are counted in the last bar.
        ax: to draw into; by default of a new figure.

    Returns:
        The Axes: x norm in units of the gradient, y number of samples. A norm on the edge between two
        bars counts in the lower one, as a norm of C is not clipped.

    Raises:
        ValueError: if a value is out of range.
        ImportError: if matplotlib is not installed.
    """
    where = "velum.plot.private_norm_histogram"
    if isinstance(norms, torch.Tensor):
        norms = norms.detach().cpu().double().numpy()
    values = np.asarray(norms, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{where}: norms has shape {list(values.shape)}, expected [n], n >= 1")
    wrong = int((~(np.isfinite(values) & (values >= 0))).sum())
    if wrong:
        raise ValueError(
            f"{where}: {wrong} of {values.size} norms are negative or not finite, expected none; "
            "leave out those that are not finite, which count as zero in a step"
        )
    if not (math.isfinite(clipping_norm) and clipping_norm > 0):
        raise ValueError(f"{where}: clipping_norm = {clipping_norm}, expected finite and > 0")
    if bins < 1:
        raise ValueError(f"{where}: bins = {bins}, expected >= 1")

    largest = max(float(values.max()), clipping_norm)
    below = max(1, round(bins * (clipping_norm / largest)))  # bars up to C
    above = math.ceil(min(largest / clipping_norm - 1, bins) * below)
    edges = clipping_norm * (np.arange(below + above + 1) / below)
    edges[below] = clipping_norm
    cut = float(edges[-1])
    # Intervals (a, b]: NumPy's are [a, b), so both are turned around.
    counts = np.histogram(-np.minimum(values, cut), -edges[::-1])[0][::-1]
    clipped = int((values > clipping_norm).sum())

    ax = _styled_axes("private_norm_histogram", ax)
    _horizontal_grid(ax)
    ax.bar(
        edges[:-1],
        counts,
        np.diff(edges),
        align="edge",
        color=[_BLUE] * below + [_VERMILION] * above,
        linewidth=0,
    )
    ax.axvline(clipping_norm, color=_NEUTRAL, linewidth=1.2)
    at_line: dict[str, Any] = {
        "xycoords": ax.get_xaxis_transform(),
        "textcoords": "offset points",
        "va": "top",
        "fontsize": 9,
    }
    note = f"C = {clipping_norm:g}\n{clipped} of {values.size} are clipped"
    on_the_right = clipping_norm <= cut / 2
    ax.annotate(
        note,
        (clipping_norm, 1),
        xytext=(5 if on_the_right else -5, 0),
        ha="left" if on_the_right else "right",
        color=_NEUTRAL,
        **at_line,
    )
    if cut < largest:
        ax.annotate(
            f"last bar: all above {edges[-2]:g}",
            (cut, 0.8),
            xytext=(0, 0),
            ha="right",
            color=_NEUTRAL,
            **at_line,
        )
    ax.set_title(
        "PRIVATE DATA: do not publish, do not share\n"
        "Norms of single samples, without noise; no ε covers them.",
        loc="left",
        color=_VERMILION,
        fontsize=9,
        fontweight="bold",
    )
    ax.set_xlim(0, cut)
    ax.set_ylim(0, 1.2 * counts.max())  # room for the texts
    ax.set_xlabel("Norm of a sample's gradient (units of the gradient)")
    ax.set_ylabel("Samples")
    return ax


_Encrypted = (
    he.BfvVector | he.BfvTensor | he.bfv.Ciphertext | he.CkksVector | he.CkksTensor | he.Ciphertext
)

_BUDGET = "Noise budget left (bits)"
_PRECISION = "Precision (bits after the binary point)"


def _bits_left(value: float | _Encrypted) -> tuple[str, float]:
    """What is measured, and how much of it."""
    if isinstance(value, he.BfvVector | he.BfvTensor):
        return _BUDGET, value.noise_budget
    if isinstance(value, he.bfv.Ciphertext):
        return _BUDGET, value.noise_budget_estimate
    if isinstance(value, he.CkksVector | he.CkksTensor):
        return _PRECISION, value.precision_bits
    if isinstance(value, he.Ciphertext):
        return _PRECISION, value.estimated_precision_bits
    return _BUDGET, float(value)


def noise_budget(
    steps: Sequence[tuple[str, float | _Encrypted]], *, ax: Axes | None = None
) -> Axes:
    """What noise leaves, operation by operation through a circuit on encrypted numbers.

        velum.plot.noise_budget([("fresh", a), ("a * b", a * b), ("a * b * c", a * b * c)])

    Args:
        steps: a label and what came out, in order, top to bottom. Of BFV the noise budget, proven
            (0: a decryption could be wrong); of CKKS the estimated precision of a slot. Or a number:
            bits of noise budget, such as `noise_budget_for_owner` measures.
        ax: to draw into; by default of a new figure.

    Returns:
        The Axes: a horizontal bar for each step, in bits, its text rounded down.

    Raises:
        ValueError: if there is no step, BFV and CKKS are mixed, or a number is not finite.
        ImportError: if matplotlib is not installed.
    """
    if not steps:
        raise ValueError("velum.plot.noise_budget: steps is empty, expected one at least")
    labels = [label for label, _ in steps]
    quantities, bits = zip(*(_bits_left(value) for _, value in steps))
    if len(set(quantities)) > 1:
        raise ValueError(
            "velum.plot.noise_budget: steps mix noise budgets and precisions, expected those of one "
            "scheme: draw BFV and CKKS apart"
        )
    for label, left in zip(labels, bits):
        if not math.isfinite(left):
            raise ValueError(
                f"velum.plot.noise_budget: {label!r} has {left} bits, expected a finite number"
            )
    ax = _styled_axes("noise_budget", ax, height=1.0 + 0.36 * len(steps))
    places = list(range(len(steps)))
    ax.barh(places, bits, 0.62, color=[_BLUE if left > 0 else _VERMILION for left in bits])
    for place, left in zip(places, bits):
        ax.annotate(
            rounded_down(left, 1).replace("-", "\N{MINUS SIGN}"),
            (max(left, 0), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=_NEUTRAL,
            fontsize=9,
        )
    ax.axvline(0, color=_NEUTRAL, linewidth=0.8)
    ax.set_yticks(places, labels)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.08)
    ax.set_xlabel(quantities[0])
    return ax
