"""What a call from Python costs beside the work in it: calls that have next to none.

Of training: a step of `velum.PrivacyEngine` whose engine does nothing, which leaves what is around
it; and, as the one call here with work in it, the backward pass and the proof of the smallest graph
there is. Of velum.he: a ring of N = 16, which is insecure and made for this: its arithmetic takes
well below a microsecond. The operators of vectors stand beside the call that they make. Run by
record_python.py, or by itself:

    PYTHONPATH=build/cpu/python build/opacus/bin/python -m pytest benchmarks/python/call_bench.py
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import velum
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from velum import he

Calls = dict[str, Callable[[], object]]


class IdleEngine:
    """In the place of the C++ engine: takes its calls and does nothing."""

    def reached_by(self, loss):
        return False

    def accumulate(self, losses, users):
        pass

    def finish_step(self):
        pass


def private_training():
    """An engine with a model of one weight, in a loop over a loader of one sample; its losses."""
    model = nn.Linear(1, 1, bias=False)
    engine = velum.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.1),
        data_loader=DataLoader(TensorDataset(torch.ones(1, 1))),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    (x,) = next(iter(loader))
    return engine, model, model(x).flatten()


def training_calls() -> Calls:
    engine, model, losses = private_training()
    core = engine._runs[0].core
    idle, _, idle_losses = private_training()
    run = idle._runs[0]
    run.core = IdleEngine()
    drawn = run.batch

    def step_around_an_idle_engine():
        run.arrived(drawn)
        idle.backward(idle_losses)
        idle.finish_step()

    mechanism = velum.accounting.GaussianMechanism(1.0)
    accountant = velum.accounting.RdpAccountant()
    weight = [model.weight]
    return {
        "Clipping.flat": lambda: velum.Clipping.flat(1.0),
        "RdpAccountant.compose": lambda: accountant.compose(mechanism),
        "the engine's reached_by, of a tensor": lambda: core.reached_by(losses),
        "a step of PrivacyEngine, without the engine's work": step_around_an_idle_engine,
        "per_sample_norms, one sample and one weight": lambda: velum.per_sample_norms(
            losses, weight
        ),
    }


def array_calls() -> Calls:
    array, key, nonce = np.arange(8), bytes(32), bytes(12)
    return {
        "kernels.ntt, N = 8": lambda: velum.kernels.ntt(array, 17),
        "kernels.chacha20_keystream, 64 bytes": lambda: velum.kernels.chacha20_keystream(
            key, nonce, 0, 64
        ),
    }


def he_calls() -> Calls:
    builder = he.ParametersBuilder().log_n(4).scale_bits(26).insecure_without_security_check()
    keys = he.CkksKeys.generate(builder.build(), rotations=False)
    vector = keys.encrypt([0.5, 0.25])
    ciphertext, evaluator = vector.ciphertext, he.Evaluator(keys.context)
    return {
        "Ciphertext.level": lambda: ciphertext.level,
        "Evaluator.add, N = 16": lambda: evaluator.add(ciphertext, ciphertext),
        "VectorEvaluator.add, N = 16": lambda: keys.evaluator.add(ciphertext, ciphertext),
        "vector + vector, N = 16": lambda: vector + vector,
    }


CALLS = {**training_calls(), **array_calls(), **he_calls()}


@pytest.mark.parametrize("name", CALLS)
def test_call(benchmark, name):
    benchmark.extra_info.update(call=name)
    benchmark(CALLS[name])
