#!/usr/bin/env python3
"""One step of DP-SGD: velum beside Opacus, each beside a plain step of the same model.

Runs benchmarks/dp_sgd_step_bench (C++) and Opacus (Python) in turn, several rounds, on the same
number of threads, the same models and the same batch of random data, and keeps minima. Writes JSON,
a list with one entry for each model and number of threads:

  model             tanh_cnn, mlp, groupnorm_cnn, transformer, language_model (whose table
                    is its output layer, too), gru, lstm, embedding, embedding_lazy (the table with its noise row by row, of
                    velum's step alone), transformer_kept (keep_freed_memory, for both steps
                    in C++)
  plain_ms          plain step in C++, measured in turn with velum's
  velum_ms          velum's step: forward, backward, noise, optimiser
  velum_ratio       velum's step over the plain step right before it: the median over the steps of
                    a round, and of these the median over the rounds
  plain_python_ms   plain step in Python, measured in turn with Opacus's
  opacus_hooks_ms   Opacus with per-sample gradients from hooks
  opacus_ghost_ms   Opacus with ghost clipping
  *_peak_mb         for each of the five: the most memory (10^6 bytes) at any time of its steps,
                    the model included, each in a process of its own. In C++ all of malloc is
                    counted, exactly; velum_first_peak_mb is that of the first five steps, in
                    which velum proves a new graph and checks it again, velum_peak_mb
                    that of a step after these. In Python it is the
                    resident memory at its highest (VmHWM) over that before the model was made, so
                    compare it with plain_python_peak_mb.
  opacus_*_failure  where Opacus gives no figure (null): what it said

and batch, threads, machine, versions, commit and command. Opacus lives in a virtual environment
of its own, which sees the torch of velum's; both are made under the build folder at the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
from pathlib import Path

from support.recording import (
    ROOT,
    Failure,
    commit,
    find_program,
    machine,
    python_with,
    run,
    write_json,
)

OPACUS = ["opacus==1.6.0", "numpy==2.4.6", "opt-einsum==3.4.0", "scipy==1.16.3"]
PYTEST_BENCHMARK = ["pytest-benchmark==5.3.1", "py-cpuinfo==9.0.0"]  # for record_python.py
MODELS = [
    "tanh_cnn",
    "mlp",
    "groupnorm_cnn",
    "transformer",
    "language_model",
    "gru",
    "lstm",
    "embedding",
]
# The same models in another way in C++, beside the same steps in Python.
VARIANTS = {"embedding_lazy": "embedding", "transformer_kept": "transformer"}
PYTHON_KINDS = ["plain", "hooks", "ghost"]
BATCH = 256
PYTHON_STEPS = ROOT / "benchmarks" / "support" / "python_steps.py"


# ---- Opacus, in its own environment -------------------------------------------------------------


def measure_opacus(model: str, kinds: list[str], repeats: int, threads: int) -> None:
    """Runs in the environment of Opacus: prints the milliseconds of each kind, taken in turn."""
    import time
    import warnings

    warnings.filterwarnings("ignore")
    import torch
    from support import python_steps

    torch.set_num_threads(threads)
    python_steps.within_memory()
    steps, failures = {}, {}
    for kind in kinds:
        try:
            step = python_steps.make_step(model, kind, BATCH)
            step()  # the warm-up
            steps[kind] = step
        except Exception as error:
            failures[kind] = python_steps.reason(error)
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(repeats):
        for kind, step in steps.items():
            start = time.perf_counter()
            step()
            best[kind] = min(best[kind], (time.perf_counter() - start) * 1e3)
    json.dump({"failures": failures, "milliseconds": best}, sys.stdout)


def opacus_python(folder: Path) -> Path:
    """The interpreter of an environment with Opacus and what .venv has; made where it is missing."""
    base = ROOT / ".venv" / "bin" / "python"
    if not base.exists():
        raise Failure(f"{base} is missing: run scripts/setup first")
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"

    def share_torch(python: Path) -> None:
        shared = run([base, "-c", paths], "asking for the packages of .venv").strip()
        own = run([python, "-c", paths], "asking for the packages of the new environment").strip()
        (Path(own) / "velum_torch.pth").write_text(shared + "\n")

    return python_with(OPACUS + PYTEST_BENCHMARK, folder, "Opacus", base, share_torch)


# ---- velum --------------------------------------------------------------------------------------


def run_benchmark(program: Path, pattern: str, environment: dict[str, str]) -> dict[str, float]:
    """The counters of the one benchmark whose name begins with `pattern`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        run(
            [
                program,
                f"--benchmark_filter=^{pattern}",
                f"--benchmark_out={out}",
                "--benchmark_out_format=json",
            ],
            "dp_sgd_step_bench",
            env=environment,
        )
        entries = json.loads(out.read_text())["benchmarks"]
    if len(entries) != 1:
        raise Failure(f"dp_sgd_step_bench has {len(entries)} benchmarks {pattern}, expected 1")
    if entries[0].get("error_occurred"):
        raise Failure(f"dp_sgd_step_bench, {pattern}: {entries[0]['error_message']}")
    return entries[0]


# ---- both ---------------------------------------------------------------------------------------


def versions(python: Path) -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json, platform; "
        "print(json.dumps({'python': platform.python_version(), "
        "**{name: m.version(name) for name in ('torch', 'opacus', 'numpy')}}))"
    )
    return json.loads(run([python, "-c", script], "asking for versions"))


def peaks(program: Path, python: Path, model: str, threads: int) -> dict[str, float | None]:
    result: dict[str, float | None] = {}
    for kind in ("plain", "velum"):
        entry = run_benchmark(
            program, f"BM_PeakMemory/{model}/{kind}/batch:{BATCH}/threads:2/", dict(os.environ)
        )
        result[f"{kind}_peak_mb"] = entry["peak_mb"]
        if kind == "velum":
            result["velum_first_peak_mb"] = entry["first_peak_mb"]
    for kind, name in zip(PYTHON_KINDS, ("plain_python", "opacus_hooks", "opacus_ghost")):
        options = ["--batch", str(BATCH), "--threads", str(threads)]
        same = VARIANTS.get(model, model)
        output = run([python, PYTHON_STEPS, same, kind, *options], "the memory of Opacus")
        measured = json.loads(output.splitlines()[-1])
        result[f"{name}_peak_mb"] = measured.get("peak_mb")
    return result


def run_opacus(
    python: Path,
    model: str,
    kinds: list[str],
    repeats: int,
    threads: int,
    environment: dict[str, str],
) -> dict:
    same = VARIANTS.get(model, model)
    options = ["--repeats", str(repeats), "--threads", str(threads), "--models", same]
    output = run(
        [python, __file__, "--measure-opacus", *kinds, *options], "Opacus", env=environment
    )
    return json.loads(output.splitlines()[-1])


def compare(
    program: Path,
    python: Path,
    model: str,
    threads: int,
    rounds: int,
    repeats: int,
    where: dict[str, object],
) -> dict[str, object]:
    """The entry of one model, and a line on standard error."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    plain = velum = float("inf")
    opacus: dict[str, float] = {}
    failures: dict[str, str] = {}
    ratios: list[float] = []
    for number in range(1, rounds + 1):
        say = f"{model}, {threads} threads, round {number} of {rounds}"
        print(f"{say}: velum", file=sys.stderr)
        pattern = f"BM_DpSgdStep/{model}/batch:{BATCH}/threads:{threads}/"
        times = run_benchmark(program, pattern, environment)
        plain, velum = min(plain, times["plain_ms"]), min(velum, times["velum_ms"])
        ratios.append(times["median_ratio"])
        print(f"{say}: Opacus", file=sys.stderr)
        measured = run_opacus(python, model, PYTHON_KINDS, repeats, threads, environment)
        failures.update(measured["failures"])
        for kind, ms in measured["milliseconds"].items():
            opacus[kind] = min(ms, opacus.get(kind, float("inf")))

    print(f"{model}: memory", file=sys.stderr)
    figures = {
        "plain_ms": plain,
        "velum_ms": velum,
        "velum_ratio": statistics.median(ratios),
        "plain_python_ms": opacus.get("plain"),
        "opacus_hooks_ms": opacus.get("hooks"),
        "opacus_ghost_ms": opacus.get("ghost"),
        **peaks(program, python, model, threads),
    }

    def times_plain(kind: str) -> str:
        if kind not in opacus:
            return f"none ({kind}: {failures.get(kind, 'no figure')})"
        return f"{opacus[kind] / opacus['plain']:.2f}x ({kind})"

    print(
        f"{model:14} {threads} threads: velum {velum / plain:.2f}x of plain ({velum:.1f} ms; median "
        f"{figures['velum_ratio']:.2f}x), memory "
        f"{figures['velum_peak_mb'] / figures['plain_peak_mb']:.2f}x; "
        f"Opacus {times_plain('hooks')}, {times_plain('ghost')} of plain in Python",
        file=sys.stderr,
    )
    return {
        "model": model,
        **{key: None if value is None else round(value, 3) for key, value in figures.items()},
        **{f"opacus_{kind}_failure": text for kind, text in failures.items()},
        "batch": BATCH,
        "threads": threads,
        **where,
        "minima_over": {"rounds": rounds, "opacus_steps_per_round": repeats},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the results go; standard output without it"
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[2], choices=[1, 2], help="1, 2 (default) or both"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of velum and Opacus in turn (default: 3)"
    )
    parser.add_argument(
        "--repeats", type=int, default=4, help="Opacus steps of each kind in a round (default: 4)"
    )
    parser.add_argument(
        "--benchmark", type=Path, metavar="PROGRAM", help="dp_sgd_step_bench, if not under build/"
    )
    parser.add_argument("--environment", type=Path, metavar="DIR", default=ROOT / "build" / "opacus",
                        help="virtual environment of Opacus (default: build/opacus)")  # fmt: skip
    parser.add_argument(
        "--models",
        nargs="+",
        default=[*MODELS, *VARIANTS],
        choices=[*MODELS, *VARIANTS],
        help="default: all of them",
    )
    parser.add_argument("--measure-opacus", nargs="+", choices=PYTHON_KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.repeats < 1:
        parser.error("--rounds and --repeats must be at least 1")
    if arguments.measure_opacus:
        measure_opacus(
            arguments.models[0], arguments.measure_opacus, arguments.repeats, arguments.threads[0]
        )
        return 0

    program = find_program("dp_sgd_step_bench", arguments.benchmark)
    python = opacus_python(arguments.environment.resolve())
    where = {
        "machine": machine(),
        "versions": versions(python),
        "commit": commit(),
        "command": shlex.join(["benchmarks/compare_opacus.py", *sys.argv[1:]]),
    }
    results = [
        compare(program, python, model, threads, arguments.rounds, arguments.repeats, where)
        for threads in arguments.threads
        for model in arguments.models
    ]
    write_json(results, arguments.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"compare_opacus: {failure}", file=sys.stderr)
        sys.exit(1)
