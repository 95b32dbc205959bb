"""A step of training in Python: plain torch, velum and Opacus with hooks and with ghost clipping.

Forward, backward and optimiser of one batch; handing it out is not timed. Run by record_python.py,
which keeps minima, or by itself:

    PYTHONPATH=build/cpu/python build/opacus/bin/python -m pytest benchmarks/python/step_bench.py
"""

import gc
import json
import subprocess
import sys

import pytest
import torch
from support import python_steps


def peak_memory(model: str, way: str, batch: int, threads: int) -> dict[str, float]:
    """In a process of its own."""
    options = ["--batch", str(batch), "--threads", str(threads)]
    command = [sys.executable, python_steps.__file__, model, way, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.filterwarnings("ignore")
def test_step(benchmark, request, model, way):
    option = request.config.getoption
    batch, threads = option("--batch"), option("--threads")
    torch.set_num_threads(threads)
    gc.collect()  # what the step before took
    try:
        step = python_steps.make_step(model, way, batch)
        step()
    except Exception as error:
        if way not in python_steps.BY_OPACUS:
            raise
        pytest.skip(python_steps.reason(error))
    benchmark.extra_info.update(model=model, way=way)
    if option("--peak-memory"):
        benchmark.extra_info.update(peak_memory(model, way, batch, threads))
    benchmark.pedantic(
        step.run,
        setup=step.prepare,
        rounds=option("--steps"),
        warmup_rounds=python_steps.FIRST_STEPS[way],
    )
