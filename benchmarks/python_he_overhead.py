#!/usr/bin/env python3
"""What a call of velum.he costs beside the work in it: operations on the smallest ring there is.

    PYTHONPATH=build/cpu/python .venv/bin/python benchmarks/python_he_overhead.py

Prints microseconds a call, the least of several rounds, on one thread. The ring of N = 16 is insecure
and made for this: its arithmetic takes well below a microsecond, so that what is left is the way from
Python into C++ and back. The operators of vectors stand beside the call that they make.
"""

import timeit
from collections.abc import Callable

from velum import he


def microseconds(call: Callable[[], object], number: int = 20000) -> float:
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def main() -> None:
    builder = he.ParametersBuilder().log_n(4).scale_bits(26).insecure_without_security_check()
    keys = he.CkksKeys.generate(builder.build(), rotations=False)
    vector = keys.encrypt([0.5, 0.25])
    ciphertext, evaluator = vector.ciphertext, he.Evaluator(keys.context)
    for name, call in {
        "Ciphertext.level": lambda: ciphertext.level,
        "Evaluator.add, N = 16": lambda: evaluator.add(ciphertext, ciphertext),
        "VectorEvaluator.add, N = 16": lambda: keys.evaluator.add(ciphertext, ciphertext),
        "vector + vector, N = 16": lambda: vector + vector,
    }.items():
        print(f"{name:30} {microseconds(call):6.2f}")


if __name__ == "__main__":
    main()
