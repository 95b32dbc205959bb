"""How statements and reports look in a notebook."""

from html import escape

from ._core.accounting import PrivacyStatement, TrainingReport
from ._rounding import rounded_up
from .dpsgd import Explanation


def _table(title: str, rows: list[tuple[str, str]], text: str) -> str:
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return (
        f"<div><strong>{escape(title)}</strong><table>{cells}</table>"
        f"<details><summary>in full</summary><pre>{escape(text)}</pre></details></div>"
    )


def statement_html(statement: PrivacyStatement) -> str:
    """A PrivacyStatement as a table, with its text behind a fold."""
    rows = [
        ("epsilon", rounded_up(statement.epsilon, 4)),
        ("delta", f"{statement.delta:g}"),
        ("protects", f"one {statement.unit}"),
        ("accountant", f"{statement.accountant}: {statement.method}"),
        *((r.label or "release", f"{r.count} × {r.mechanism}") for r in statement.releases),
        ("holds if", "; ".join(statement.conditions)),
        ("not covered", "; ".join(statement.not_covered)),
    ]
    return _table("Privacy statement", rows, statement.to_text())


def report_html(report: TrainingReport) -> str:
    """A TrainingReport as a table, with its text behind a fold."""
    guarantee = report.guarantee
    rows = [
        ("epsilon", rounded_up(guarantee.epsilon, 4)),
        ("delta", f"{guarantee.delta:g}"),
        ("accountant", f"{report.accountant}: {guarantee.method}"),
        ("model", report.model),
        ("data set", f"{report.dataset} ({report.dataset_size} examples)"),
        ("steps", str(report.steps)),
        ("sampling rate", f"{report.sampling_rate:g} (Poisson)"),
        ("clipping", report.clipping),
        ("noise multiplier", f"{report.noise_multiplier:g}"),
    ]
    title = "Privacy report" if report.is_private else "Privacy report: NOT PRIVATE"
    return _table(title, rows, report.to_text())


def explanation_html(explanation: Explanation) -> str:
    """An Explanation as a table, with its text behind a fold."""
    head = ("parameter", "operation", "use", "method", "GFLOP", "MB", "predicted ms")
    rows = [
        (
            f"{row.parameter} {list(row.parameter_sizes)}",
            row.operation,
            row.shape,
            row.method,
            f"{row.flops * 1e-9:.3f}",
            f"{row.bytes_moved * 1e-6:.2f}",
            "unknown" if row.seconds is None else f"{row.seconds * 1e3:.3f}",
        )
        for row in explanation
    ]
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return (
        f"<div><table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{cells}</table>"
        f"<details><summary>in full</summary><pre>{escape(explanation.table)}</pre></details></div>"
    )


# Notebooks look for the method on the class, which is C++'s.
TrainingReport._repr_html_ = report_html  # type: ignore[method-assign]
PrivacyStatement._repr_html_ = statement_html  # type: ignore[method-assign]
Explanation._repr_html_ = explanation_html  # type: ignore[attr-defined]
