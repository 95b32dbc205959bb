#!/usr/bin/env python3
"""One step of DP-SGD: velum beside Opacus, each beside a plain step of the same model.

Runs benchmarks/dp_sgd_step_bench (C++) and Opacus (Python) in turn, several rounds, on the same
number of threads, the same models and the same batch of random data, and keeps minima. Writes JSON,
a list with one entry for each model and number of threads:

  model             tanh_cnn, mlp, groupnorm_cnn, transformer, gru, lstm,
                    embedding
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

and batch, threads, machine, versions and commit. Opacus lives in a virtual environment
of its own, which sees the torch of velum's; both are made under the build folder at the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
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
MODELS = ["tanh_cnn", "mlp", "groupnorm_cnn", "transformer", "gru", "lstm", "embedding"]
PYTHON_KINDS = ["plain", "hooks", "ghost"]
BATCH = 256


# ---- Opacus, in its own environment -------------------------------------------------------------


def make_steps(name: str, kinds: list[str]) -> tuple[dict[str, object], dict[str, str]]:
    """A function for each kind of step of a model; and why a kind has none."""
    import opacus.layers
    import torch
    from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
    from torch import nn

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
            self.embedding = nn.Embedding(1000, 128)
            self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.head = nn.Linear(128, 10)

        def forward(self, tokens):
            return self.head(self.encoder(self.embedding(tokens)).mean(1))

    class Recurrent(nn.Module):
        def __init__(self, layer: type[nn.Module]):
            super().__init__()
            self.layer = layer(28, 128, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, images):
            return self.head(self.layer(images.squeeze(1))[0][:, -1])

    class EmbeddingClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(100_000, 64)
            self.head = nn.Linear(64, 10)

        def forward(self, tokens):
            return self.head(self.embedding(tokens).mean(1))

    def make(private: bool) -> nn.Module:
        if name == "tanh_cnn":
            return nn.Sequential(
                nn.Conv2d(1, 16, 8, 2, 3), nn.Tanh(), nn.MaxPool2d(2, 1),
                nn.Conv2d(16, 32, 4, 2), nn.Tanh(), nn.MaxPool2d(2, 1),
                nn.Flatten(), nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10),
            )  # fmt: skip
        if name == "mlp":
            return nn.Sequential(
                nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(),
                nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10),
            )  # fmt: skip
        if name == "transformer":
            model = Transformer()
            for layer in model.encoder.layers if private else []:  # as ModuleValidator.fix does
                layer.self_attn = opacus.layers.DPMultiheadAttention(
                    128, 4, dropout=0.0, batch_first=True
                )
            return model
        if name == "gru":
            return Recurrent(opacus.layers.DPGRU if private else nn.GRU)
        if name == "lstm":
            return Recurrent(opacus.layers.DPLSTM if private else nn.LSTM)
        if name == "embedding":
            return EmbeddingClassifier()

        def block(channels_in: int, channels_out: int) -> list[nn.Module]:
            conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
            return [conv, nn.GroupNorm(8, channels_out), nn.ReLU()]

        return nn.Sequential(
            *block(1, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2),
            *block(64, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip

    def sgd(module: nn.Module) -> torch.optim.SGD:
        return torch.optim.SGD(module.parameters(), 0.01)

    torch.manual_seed(1)
    vocabulary = {"transformer": 1000, "embedding": 100_000}.get(name)
    x = torch.randint(vocabulary, (BATCH, 64)) if vocabulary else torch.randn(BATCH, 1, 28, 28)
    y = torch.randint(10, (BATCH,))
    private = {
        "noise_multiplier": 1.0,
        "max_grad_norm": 1.0,
        "expected_batch_size": BATCH,
        "loss_reduction": "mean",
    }

    def parts(kind: str):
        if kind == "plain":
            model = make(private=False)
            return model, sgd(model), nn.CrossEntropyLoss()
        if kind == "hooks":
            model = GradSampleModule(make(private=True))
            return model, DPOptimizer(sgd(model), **private), nn.CrossEntropyLoss()
        model = GradSampleModuleFastGradientClipping(
            make(private=True), max_grad_norm=1.0, use_ghost_clipping=True, loss_reduction="mean"
        )
        optimizer = DPOptimizerFastGradientClipping(sgd(model), **private)
        loss = DPLossFastGradientClipping(
            model, optimizer, nn.CrossEntropyLoss(), loss_reduction="mean"
        )
        return model, optimizer, loss

    steps, failures = {}, {}
    for kind in kinds:
        try:
            model, optimizer, loss = parts(kind)

            def step(model=model, optimizer=optimizer, loss=loss):
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()

            step()  # the warm-up
            steps[kind] = step
        except Exception as error:
            failures[kind] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return steps, failures


def within_memory() -> None:
    """Turns what this machine cannot hold into an error of the allocation."""
    import resource

    status = Path("/proc/self/status").read_text()
    size = int(re.search(r"^VmSize:\s*(\d+)", status, re.MULTILINE).group(1)) << 10
    info = Path("/proc/meminfo").read_text()
    available = int(re.search(r"^MemAvailable:\s*(\d+)", info, re.MULTILINE).group(1)) << 10
    limit = size + available * 3 // 4
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def measure_opacus(model: str, kinds: list[str], repeats: int, threads: int) -> None:
    """Runs in the environment of Opacus. Of several kinds it prints the milliseconds, each in turn;
    of one kind the peak of memory."""
    import time
    import warnings

    warnings.filterwarnings("ignore")
    import opacus  # noqa: F401  before the memory is looked at
    import torch

    torch.set_num_threads(threads)
    within_memory()

    def resident(field: str) -> int:
        status = Path("/proc/self/status").read_text()
        return int(re.search(rf"^{field}:\s*(\d+)", status, re.MULTILINE).group(1)) << 10

    before = resident("VmRSS")
    steps, failures = make_steps(model, kinds)
    result: dict[str, object] = {"failures": failures}
    if len(kinds) > 1:
        best = dict.fromkeys(steps, float("inf"))
        for _ in range(repeats):
            for kind, step in steps.items():
                start = time.perf_counter()
                step()
                best[kind] = min(best[kind], (time.perf_counter() - start) * 1e3)
        result["milliseconds"] = best
    elif steps:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
        for _ in range(2):
            steps[kinds[0]]()
        result["peak_mb"] = (resident("VmHWM") - before) * 1e-6
    json.dump(result, sys.stdout)


def opacus_python(folder: Path) -> Path:
    """The interpreter of an environment with Opacus and velum's torch; made where it is missing."""
    base = ROOT / ".venv" / "bin" / "python"
    if not base.exists():
        raise Failure(f"{base} is missing: run scripts/setup first")
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"

    def share_torch(python: Path) -> None:
        shared = run([base, "-c", paths], "asking for the packages of .venv").strip()
        own = run([python, "-c", paths], "asking for the packages of the new environment").strip()
        (Path(own) / "velum_torch.pth").write_text(shared + "\n")

    return python_with(OPACUS, folder, "Opacus", base, share_torch)


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
        measured = run_opacus(python, model, [kind], 1, threads, dict(os.environ))
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
    options = ["--repeats", str(repeats), "--threads", str(threads), "--models", model]
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
        "--models", nargs="+", default=MODELS, choices=MODELS, help="default: all of them"
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
    where = {"machine": machine(), "versions": versions(python), "commit": commit()}
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
