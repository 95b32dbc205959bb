#!/usr/bin/env python3
"""Accounting: velum beside dp_accounting, Opacus and prv_accountant, in one run on one thread.

For each run (sampling rate, noise multiplier, steps; delta 1e-5) it asks for epsilon: a new
accountant, the steps, the answer, minima over rounds of CPU time, imports excluded. Writes JSON, a
list with one entry for each run:

  sampling_rate, noise_multiplier, steps, delta
  velum, dp_accounting, opacus, ... {epsilon, ms}, and {lower} where the program says it

and machine, versions and commit. The Python programs live in a virtual environment of their own
under the build folder, made at the first run.

--kind rdp (the default): Renyi accountants. velum minimises over all orders, the others over their
lists; dp_accounting is too large at fractional orders.

--kind pld: numerical ones. velum between two bounds 10^-3 apart (relative); dp_accounting's
PLDAccountant at its defaults, whose epsilon is pessimistic but for rounding; Opacus' PRVAccountant
at its defaults (an error of 0.01); prv_accountant with eps_error 0.01, lower and upper bound.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from compare_opacus import ROOT, Failure, commit, machine, run

PACKAGES = ["dp-accounting==0.6.0", "numpy==2.4.6", "scipy==1.17.1"]
PRV = ["prv-accountant==0.2.0"]
OPACUS = ["opacus==1.6.0", "opt-einsum==3.4.0"]  # without its dependence on torch, which is velum's
DELTA = 1e-5
OTHERS = {
    "rdp": ("dp_accounting", "opacus"),
    "pld": ("dp_accounting", "opacus", "prv_accountant"),
}
VELUM = {"rdp": "^BM_Epsilon/", "pld": "^BM_PldEpsilon/"}
REPEATS = {"rdp": 4, "pld": 2}  # the first warms up
LONG = 5.0  # seconds after which a question is not asked again


def measure_python(kind: str, runs: list[dict[str, float]]) -> None:
    """Runs in the environment of the others: prints [{dp_accounting: {epsilon, ms}, ...}]."""
    import warnings

    warnings.filterwarnings("ignore")
    import dp_accounting
    import prv_accountant
    from dp_accounting.pld import pld_privacy_accountant
    from dp_accounting.rdp import rdp_privacy_accountant
    from opacus import accountants

    def by_dp_accounting(accountant, q: float, sigma: float, steps: int) -> dict[str, float]:
        event = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma))
        accountant.compose(event, steps)
        return {"epsilon": accountant.get_epsilon(DELTA)}

    def by_opacus(accountant, q: float, sigma: float, steps: int) -> dict[str, float]:
        accountant.history = [(sigma, q, steps)]
        return {"epsilon": accountant.get_epsilon(DELTA)}

    def by_prv_accountant(q: float, sigma: float, steps: int) -> dict[str, float]:
        mechanism = prv_accountant.PoissonSubsampledGaussianMechanism(
            sampling_probability=q, noise_multiplier=sigma
        )
        accountant = prv_accountant.PRVAccountant(
            prvs=mechanism, max_self_compositions=steps, eps_error=0.01, delta_error=DELTA / 1e3
        )
        lower, _, upper = accountant.compute_epsilon(delta=DELTA, num_self_compositions=[steps])
        return {"epsilon": upper, "lower": lower}

    ask = {
        ("rdp", "dp_accounting"): lambda *run: by_dp_accounting(
            rdp_privacy_accountant.RdpAccountant(), *run
        ),
        ("rdp", "opacus"): lambda *run: by_opacus(accountants.RDPAccountant(), *run),
        ("pld", "dp_accounting"): lambda *run: by_dp_accounting(
            pld_privacy_accountant.PLDAccountant(), *run
        ),
        ("pld", "opacus"): lambda *run: by_opacus(accountants.PRVAccountant(), *run),
        ("pld", "prv_accountant"): by_prv_accountant,
    }
    results = []
    for one in runs:
        arguments = (one["sampling_rate"], one["noise_multiplier"], int(one["steps"]))
        result = {}
        for name in OTHERS[kind]:
            best = float("inf")
            for _ in range(REPEATS[kind]):
                start = time.process_time()
                answer = ask[kind, name](*arguments)
                best = min(best, (time.process_time() - start) * 1e3)
                if best > LONG * 1e3:
                    break
            result[name] = {key: float(value) for key, value in answer.items()}
            result[name]["ms"] = round(best, 4)
        results.append(result)
    json.dump(results, sys.stdout)


def python_of(folder: Path) -> Path:
    """The interpreter of an environment with all of them; made where it is missing."""
    base = ROOT / ".venv" / "bin" / "python"
    if not base.exists():
        raise Failure(f"{base} is missing: run scripts/setup first")
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    wanted = "\n".join(PACKAGES + PRV + OPACUS)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making the environment of the other accountants in {folder}", file=sys.stderr)
    run([base, "-m", "venv", "--clear", folder], "making a virtual environment")
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"
    shared = run([base, "-c", paths], "asking for the packages of .venv").strip()
    own = Path(run([python, "-c", paths], "asking for the packages of the new environment").strip())
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, *PACKAGES, *PRV], f"installing {', '.join(PACKAGES + PRV)}")
    run([*install, "--no-deps", *OPACUS], f"installing {', '.join(OPACUS)}")
    (own / "velum_torch.pth").write_text(shared + "\n")
    stamp.write_text(wanted)
    return python


def find_benchmark(given: Path | None) -> Path:
    builds = [ROOT / "build" / preset for preset in ("release", "cpu", "cuda", "emulated")]
    candidates = [given] if given else [b / "benchmarks" / "accounting_bench" for b in builds]
    found = [path for path in candidates if path.exists()]
    if not found:
        raise Failure(
            "accounting_bench was not found in "
            + ", ".join(str(path) for path in candidates)
            + "; build it: cmake --preset cpu && cmake --build --preset cpu --target accounting_bench"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def measure_velum(kind: str, program: Path) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        run(
            [
                program,
                f"--benchmark_filter={VELUM[kind]}",
                f"--benchmark_out={out}",
                "--benchmark_out_format=json",
            ],
            "accounting_bench",
        )
        report = json.loads(out.read_text())
    unit = {"us": 1e-3, "ms": 1.0, "ns": 1e-6}
    return [
        {
            "sampling_rate": entry["sampling_rate"],
            "noise_multiplier": entry["noise_multiplier"],
            "steps": entry["steps"],
            **{key: entry[key] for key in ("epsilon", "lower") if key in entry},
            "ms": entry["cpu_time"] * unit[entry["time_unit"]],
        }
        for entry in report["benchmarks"]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(OTHERS), default="rdp", help="default: rdp")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each in turn (default: 3)")
    parser.add_argument("--benchmark", type=Path, metavar="PROGRAM", help="accounting_bench")
    parser.add_argument("--environment", type=Path, metavar="DIR", default=ROOT / "build" / "accountants",
                        help="virtual environment of the others (default: build/accountants)")  # fmt: skip
    parser.add_argument("--measure-python", metavar="RUNS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_python:
        measure_python(arguments.kind, json.loads(arguments.measure_python))
        return 0
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")

    program = find_benchmark(arguments.benchmark)
    python = python_of(arguments.environment.resolve())
    names = ("velum", *OTHERS[arguments.kind])
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(threads, "1")}
    results: list[dict] = []
    for number in range(1, arguments.rounds + 1):
        print(f"round {number} of {arguments.rounds}", file=sys.stderr)
        ours = measure_velum(arguments.kind, program)
        keys = ("sampling_rate", "noise_multiplier", "steps")
        runs = [{key: one[key] for key in keys} for one in ours]
        output = run(
            [python, __file__, "--kind", arguments.kind, "--measure-python", json.dumps(runs)],
            "the other accountants",
            env=environment,
        )
        for i, (one, others) in enumerate(zip(ours, json.loads(output.splitlines()[-1]))):
            answer = {key: one[key] for key in ("epsilon", "lower") if key in one}
            entry = {"velum": {**answer, "ms": round(one["ms"], 4)}, **others}
            if number == 1:
                results.append({**runs[i], "delta": DELTA, **entry})
            for name, measured in entry.items():
                results[i][name]["ms"] = min(results[i][name]["ms"], measured["ms"])
    for result in results:
        figures = "; ".join(
            f"{name} {result[name]['epsilon']:.9g} in {result[name]['ms']:.3f} ms" for name in names
        )
        print(
            f"q {result['sampling_rate']:.6g}, sigma {result['noise_multiplier']:g}, "
            f"{result['steps']:.0f} steps: {figures}",
            file=sys.stderr,
        )
        result["machine"] = machine()
        others = PACKAGES + (PRV if "prv_accountant" in names else []) + OPACUS
        result["versions"] = dict(package.split("==") for package in others)
        result["commit"] = commit()
    text = json.dumps(results, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"compare_accountants.py: {failure}", file=sys.stderr)
        sys.exit(1)
