"""Options of the benchmarks, and a stand-in for pytest-benchmark that calls once and takes no time."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.python_steps import MODELS, WAYS, within_memory

FIVE = ["tanh_cnn", "mlp", "groupnorm_cnn", "transformer", "gru"]


def pytest_addoption(parser):
    group = parser.getgroup("steps of training")
    group.addoption("--models", nargs="+", default=FIVE, choices=MODELS, help=f"default: {FIVE}")
    group.addoption("--batch", type=int, default=256, help="samples of a step (default: 256)")
    group.addoption("--threads", type=int, default=2, help="of torch (default: 2)")
    group.addoption("--steps", type=int, default=5, help="timed steps (default: 5)")
    group.addoption("--peak-memory", action="store_true",
                    help="also take the peak memory, in a process for each way")  # fmt: skip


def pytest_configure(config):
    if config.pluginmanager.hasplugin("benchmark"):
        within_memory()
    else:
        config.pluginmanager.register(CalledOnce())


def pytest_generate_tests(metafunc):
    if {"model", "way"} <= set(metafunc.fixturenames):
        models = metafunc.config.getoption("--models")
        metafunc.parametrize(("model", "way"), [(model, way) for model in models for way in WAYS])


class CalledOnce:
    """The fixture `benchmark` where pytest-benchmark is not installed, or is left out."""

    def __init__(self):
        self.extra_info = {}

    @pytest.fixture
    def benchmark(self):
        return self

    def __call__(self, function):
        return function()

    def pedantic(self, function, *, setup, rounds, warmup_rounds):
        setup()
        return function()
