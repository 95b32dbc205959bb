#!/usr/bin/env python3
"""Runs a benchmark program several times and keeps minima, with the machine and the commit.

For the programs listed in PROGRAMS; the step of DP-SGD beside Opacus has a script of its own,
compare_opacus.py. The benchmarks of a program, a peer's among them,
run interleaved in random order in the same process. Writes JSON: an object with

  program, command  what ran
  benchmarks        a list: name; ms, the least mean of a repetition (wall time); items_per_second and
                    bytes_per_second of that repetition where the benchmark counts them; cpu_ms, the
                    calling thread's processor time in it
  repetitions, machine, torch (its version, where the program uses it), commit
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from support.recording import ROOT, Failure, commit, find_program, machine, run, write_json

PROGRAMS = [
    "random_bench",
    "gradients_bench",
    "accounting_bench",
    "scattering_bench",
    "ntt_bench",
    "rns_bench",
    "sampling_bench",
    "ckks_encoder_bench",
    "ckks_bench",
]
MS_PER = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def measure(program: Path, options: list[str]) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        run(
            [program, *options, f"--benchmark_out={out}", "--benchmark_out_format=json"],
            program.name,
        )
        report = json.loads(out.read_text())
    best: dict[str, dict[str, object]] = {}
    for entry in report["benchmarks"]:
        if entry.get("run_type") == "aggregate" or entry.get("error_occurred"):
            continue
        name = entry["run_name"]
        scale = MS_PER[entry["time_unit"]]
        ms = entry["real_time"] * scale
        if name in best and best[name]["ms"] <= ms:
            continue
        best[name] = {"name": name, "ms": float(f"{ms:.4g}")}
        for rate in ("items_per_second", "bytes_per_second"):
            if rate in entry:
                best[name][rate] = float(f"{entry[rate]:.4g}")
        best[name]["cpu_ms"] = float(f"{entry['cpu_time'] * scale:.4g}")
    if not best:
        raise Failure(f"{program.name} gave no result")
    # Interleaved runs are reported in their random order.
    order = run([program, "--benchmark_list_tests"], program.name).split("\n")
    return sorted(best.values(), key=lambda entry: order.index(entry["name"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the results go; standard output without it"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--min-time", type=float, default=0.2, help="seconds each (default: 0.2)")
    parser.add_argument(
        "--benchmark", type=Path, metavar="PROGRAM", help="the program, if not under build/"
    )
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        parser.error("--repetitions must be at least 1")

    options = [
        f"--benchmark_repetitions={arguments.repetitions}",
        f"--benchmark_min_time={arguments.min_time:g}",
        "--benchmark_enable_random_interleaving=true",
    ]
    results = {
        "program": arguments.program,
        "command": " ".join([arguments.program, *options]),
        "benchmarks": measure(find_program(arguments.program, arguments.benchmark), options),
        "repetitions": arguments.repetitions,
        "machine": machine(),
    }
    if arguments.program == "random_bench":
        version = "import importlib.metadata as m; print(m.version('torch'))"
        python = ROOT / ".venv" / "bin" / "python"
        results["torch"] = run([python, "-c", version], "asking for torch's version").strip()
    results["commit"] = commit()
    write_json(results, arguments.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"record: {failure}", file=sys.stderr)
        sys.exit(1)
