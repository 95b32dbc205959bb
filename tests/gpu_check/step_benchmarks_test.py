#!/usr/bin/env python3
"""scripts/gpu-check times, and takes the memory of, a step of every model that has a recorded one.

step_benchmarks_test.py BENCHMARK
"""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def gpu_check():
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(ROOT / "scripts" / "gpu-check"))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main():
    options = ["--benchmark_list_tests", f"--benchmark_filter={gpu_check().CUDA_BENCHMARKS}"]
    listed = subprocess.run([sys.argv[1], *options], capture_output=True, text=True, check=True)
    names = [name.split("/batch:")[0] for name in listed.stdout.splitlines()]
    recorded = json.loads((ROOT / "benchmarks" / "results" / "dp_sgd_step.json").read_text())
    assert len(recorded) >= 7, recorded
    missing = [
        name
        for model in {entry["model"] for entry in recorded}
        for name in (
            f"BM_DpSgdStep/{model}",
            f"BM_PeakMemory/{model}/plain",
            f"BM_PeakMemory/{model}/velum",
        )
        if name not in names
    ]
    assert not missing, f"{missing} not in\n{listed.stdout}"


if __name__ == "__main__":
    main()
