#!/usr/bin/env python3
"""A step of training in Python, velum beside plain torch and Opacus, and the cost of velum's calls.

Runs the programs of benchmarks/python by pytest-benchmark, each in a process of its own, several
rounds, and keeps minima. Writes JSON: an object with

  command               what was run
  steps                 a list with one entry for each model: model and, for plain torch (plain),
                        velum.PrivacyEngine (velum) and Opacus (opacus_hooks, opacus_ghost),
                        *_ms, a step: forward, backward, noise, optimiser, the batch at hand, and
                        *_peak_mb, the memory of steps (support/python_steps.py), in a process for
                        each; velum_first_peak_mb is that of the first steps, in which velum proves a
                        new graph and checks it again. Where Opacus gives no figure (null),
                        opacus_*_failure is what it said
  calls                 a list: name, and us, microseconds of a call
  batch, threads, rounds, steps_per_round
  load_average_at_start  of the last minute: above 1 other programs took part in the times
  machine, versions, commit

All run in the environment of compare_opacus.py, which sees the package velum that scripts/setup
installed, torch and pytest in .venv, and has Opacus and pytest-benchmark beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from compare_opacus import BATCH, MODELS, opacus_python
from support.recording import ROOT, Failure, commit, machine, run, write_json

NAMES = {"plain": "plain", "velum": "velum", "hooks": "opacus_hooks", "ghost": "opacus_ghost"}
PACKAGES = ("torch", "opacus", "numpy", "pytest-benchmark")


def run_pytest(
    python: Path, file: str, options: list[str], environment: dict[str, str]
) -> tuple[list[dict], dict[str, str]]:
    """The benchmarks of a file, and why others were left out, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        figures, outcomes = Path(folder) / "figures.json", Path(folder) / "outcomes.xml"
        run(
            [
                *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                ROOT / "benchmarks" / "python" / file,
                *(f"--benchmark-json={figures}", f"--junitxml={outcomes}", *options),
            ],
            file,
            cwd=folder,
            env=environment,
        )
        left_out = {
            case.attrib["name"]: case.find("skipped").attrib["message"]
            for case in ElementTree.parse(outcomes).iter("testcase")
            if case.find("skipped") is not None
        }
        return json.loads(figures.read_text())["benchmarks"], left_out


def add_steps(
    steps: dict[str, dict[str, object]], found: list[dict], left_out: dict[str, str]
) -> None:
    """Keeps the least time of each way; the memory where it was taken."""
    empty = {f"{name}_{unit}": None for unit in ("ms", "peak_mb") for name in NAMES.values()}
    for entry in found:
        info = entry["extra_info"]
        step = steps.setdefault(info["model"], {"model": info["model"], **empty})
        name = NAMES[info["way"]]
        ms = round(entry["stats"]["min"] * 1e3, 3)
        step[f"{name}_ms"] = min(ms, step[f"{name}_ms"] or ms)
        if "peak_mb" in info:
            step[f"{name}_peak_mb"] = info["peak_mb"]
            if name == "velum":
                step["velum_first_peak_mb"] = info["first_peak_mb"]
        if "failure" in info:
            step[f"{name}_failure"] = info["failure"]
    for model, step in steps.items():
        for way in ("hooks", "ghost"):
            if f"test_step[{model}-{way}]" in left_out:
                step[f"{NAMES[way]}_failure"] = left_out[f"test_step[{model}-{way}]"]


def say(step: dict[str, object]) -> None:
    def of_plain(name: str) -> str:
        if step[f"{name}_ms"] is None:
            return f"{name} none"
        times = f"{name} {step[f'{name}_ms'] / step['plain_ms']:.2f}x"
        peak = step[f"{name}_peak_mb"]
        return times if peak is None else f"{times}, memory {peak / step['plain_peak_mb']:.2f}x"

    others = "; ".join(of_plain(name) for name in NAMES.values() if name != "plain")
    print(f"{step['model']:14} plain {step['plain_ms']:.1f} ms; {others}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the results go; standard output without it"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all (default: 3)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps in a round (default: 5)")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"samples (default: {BATCH})")
    parser.add_argument("--threads", type=int, default=2, choices=[1, 2], help="default: 2")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="default: five of them")
    parser.add_argument("--package", type=Path, metavar="DIR",
                        help="folder that holds the package velum, if not the one in .venv")  # fmt: skip
    parser.add_argument("--environment", type=Path, metavar="DIR", default=ROOT / "build" / "opacus",
                        help="virtual environment of Opacus (default: build/opacus)")  # fmt: skip
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.steps, arguments.batch) < 1:
        parser.error("--rounds, --steps and --batch must be at least 1")

    load = round(os.getloadavg()[0], 2)
    if load > 1:
        print(
            f"record_python: the load is {load:g}, expected at most 1: other programs take part in "
            "the times",
            file=sys.stderr,
        )
    python = opacus_python(arguments.environment.resolve())
    threads = str(arguments.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if arguments.package:
        environment["PYTHONPATH"] = str(arguments.package.resolve())

    steps: dict[str, dict[str, object]] = {}
    calls: dict[str, float] = {}
    for number in range(1, arguments.rounds + 1):
        print(f"round {number} of {arguments.rounds}", file=sys.stderr)
        options = [f"--batch={arguments.batch}", f"--threads={threads}"]
        options.append(f"--steps={arguments.steps}")
        if number == 1:
            options.append("--peak-memory")
        if arguments.models:
            options += ["--models", *arguments.models]
        add_steps(steps, *run_pytest(python, "step_bench.py", options, environment))
        for entry in run_pytest(python, "call_bench.py", [], environment)[0]:
            name, us = entry["extra_info"]["call"], entry["stats"]["min"] * 1e6
            calls[name] = round(min(us, calls.get(name, us)), 3)

    version = (
        "import importlib.metadata as m, json, platform, velum; "
        "print(json.dumps({'python': platform.python_version(), 'velum': velum.__version__, "
        f"**{{name: m.version(name) for name in {PACKAGES}}}}}))"
    )
    results = {
        "command": shlex.join(["benchmarks/record_python.py", *sys.argv[1:]]),
        "steps": list(steps.values()),
        "calls": [{"name": name, "us": us} for name, us in calls.items()],
        "batch": arguments.batch,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "steps_per_round": arguments.steps,
        "load_average_at_start": load,
        "machine": machine(),
        "versions": json.loads(
            run([python, "-c", version], "asking for versions", env=environment)
        ),
        "commit": commit(),
    }
    for step in steps.values():
        say(step)
    for name, us in calls.items():
        print(f"{name:52} {us:8.2f} us", file=sys.stderr)
    write_json(results, arguments.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"record_python: {failure}", file=sys.stderr)
        sys.exit(1)
