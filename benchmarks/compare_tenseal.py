#!/usr/bin/env python3
"""Sums of ten encrypted vectors of 10^6 16-bit integers: velum beside TenSEAL, in one run.

Runs benchmarks/aggregation_bench (C++) and TenSEAL (Python) in turn, several rounds, with the same
number of threads, and keeps minima. Writes JSON: an object with

  velum             the plan's log_n, digits and primes, bytes_per_value, and in milliseconds
                    pack_and_encrypt; pack_encrypt_and_serialize; sum_of_ten; load_and_sum_of_ten (from bytes);
                    decryption_share (one of five parties, smudged and masked), combine_and_unpack (the five
                    shares), threshold_decrypt_and_unpack (both, one after the other)
  tenseal           a list, for CKKS (N = 8192, bits 60, 40, 40, scale 2^40) and BFV (N = 4096, plaintext
                    modulus 1032193), each with its public key and symmetric: bytes_per_value as it is sent,
                    and in milliseconds encrypt (encoding included), sum_of_ten, decrypt (decoding included,
                    with the one secret key that there is)
  values, owners, threads, rounds, machine, versions, commit

TenSEAL lives in a virtual environment of its own, made under the build folder at the first run. Its
vectors are made from lists of Python, which is the only way in that there is, and copied out as such.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
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

TENSEAL = ["tenseal==0.3.18", "numpy==2.4.6"]
VALUES = 1_000_000
OWNERS = 10
BENCHMARKS = {
    "BM_PackAndEncrypt": "pack_and_encrypt",
    "BM_PackEncryptAndSerialize": "pack_encrypt_and_serialize",
    "BM_SumOfTen": "sum_of_ten",
    "BM_LoadAndSumOfTen": "load_and_sum_of_ten",
    "BM_DecryptionShare": "decryption_share",
    "BM_CombineAndUnpack": "combine_and_unpack",
    "BM_ThresholdDecryptAndUnpack": "threshold_decrypt_and_unpack",
}


# ---- TenSEAL, in its own environment ------------------------------------------------------------


def measure_tenseal(threads: int, repeats: int) -> None:
    import numpy as np
    import tenseal as ts

    values = np.random.default_rng(1).integers(-32768, 32768, VALUES)
    results = []
    for scheme in ("CKKS", "BFV"):
        for kind in ("public key", "symmetric"):
            options = {
                "encryption_type": ts.ENCRYPTION_TYPE.ASYMMETRIC
                if kind == "public key"
                else ts.ENCRYPTION_TYPE.SYMMETRIC,
                "n_threads": threads,
            }
            if scheme == "CKKS":
                context = ts.context(
                    ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40], **options
                )
                context.global_scale = 2**40
                plain = values.astype(float).tolist()
                encrypt = ts.ckks_vector
            else:
                context = ts.context(ts.SCHEME_TYPE.BFV, 4096, plain_modulus=1032193, **options)
                plain = values.tolist()
                encrypt = ts.bfv_vector
            best = dict.fromkeys(("encrypt", "sum_of_ten", "decrypt"), float("inf"))

            def timed(what: str, work, best=best):
                start = time.perf_counter()
                result = work()
                best[what] = min(best[what], (time.perf_counter() - start) * 1e3)
                return result

            for _ in range(repeats):
                vector = timed("encrypt", lambda: encrypt(context, plain))  # noqa: B023
                vectors = [vector] + [vector.copy() for _ in range(OWNERS - 1)]

                def add_up(vectors=vectors):
                    total = vectors[0].copy()
                    for other in vectors[1:]:
                        total += other
                    return total

                total = timed("sum_of_ten", add_up)
                found = timed("decrypt", total.decrypt)
            worst = float(np.abs(np.array(found) - OWNERS * values).max())
            if worst > 0.01:
                raise SystemExit(f"TenSEAL, {scheme}: a sum is off by {worst}")
            results.append(
                {
                    "scheme": scheme,
                    "kind": kind,
                    "bytes_per_value": len(vector.serialize()) / VALUES,
                    **best,
                    "largest_error": worst,
                }
            )
    json.dump(results, sys.stdout)


# ---- velum --------------------------------------------------------------------------------------


def measure_velum(program: Path, threads: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        filter_ = f"/values:{VALUES}/log_n:0/threads:{threads}/"
        run(
            [
                program,
                f"--benchmark_filter={filter_}",
                f"--benchmark_out={out}",
                "--benchmark_out_format=json",
                "--benchmark_min_time=0.2",
            ],
            program.name,
        )
        entries = json.loads(out.read_text())["benchmarks"]
    figures: dict[str, float] = {}
    for entry in entries:
        name = BENCHMARKS.get(entry["name"].split("/")[0])
        if name is None:
            continue
        figures[name] = entry["real_time"]
        for counter in ("log_n", "digits", "primes", "bytes_per_value"):
            figures[counter] = entry[counter]
    if set(BENCHMARKS.values()) - set(figures):
        raise Failure(f"{program.name} gave {sorted(figures)}, expected {sorted(BENCHMARKS)}")
    return figures


# ---- both ---------------------------------------------------------------------------------------


def keep_minima(best: dict[str, object], found: dict[str, object]) -> None:
    for name, value in found.items():
        old = best.get(name)
        best[name] = min(old, value) if isinstance(old, float) else value


def rounded(figures: dict[str, object]) -> dict[str, object]:
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in figures.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the results go; standard output without it"
    )
    parser.add_argument("--threads", type=int, default=2, choices=[1, 2], help="default: 2")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of velum and TenSEAL in turn (default: 3)"
    )
    parser.add_argument(
        "--benchmark", type=Path, metavar="PROGRAM", help="aggregation_bench, if not under build/"
    )
    parser.add_argument("--environment", type=Path, metavar="DIR", default=ROOT / "build" / "tenseal",
                        help="virtual environment of TenSEAL (default: build/tenseal)")  # fmt: skip
    parser.add_argument("--measure-tenseal", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if arguments.measure_tenseal:
        measure_tenseal(arguments.threads, repeats=1)
        return 0

    program = find_program("aggregation_bench", arguments.benchmark)
    python = python_with(TENSEAL, arguments.environment.resolve(), "TenSEAL", Path(sys.executable))
    velum: dict[str, object] = {}
    tenseal: dict[tuple[str, str], dict[str, object]] = {}
    for number in range(1, arguments.rounds + 1):
        print(f"round {number} of {arguments.rounds}", file=sys.stderr)
        keep_minima(velum, measure_velum(program, arguments.threads))
        command = [python, __file__, "--measure-tenseal", "--threads", str(arguments.threads)]
        for entry in json.loads(run(command, "TenSEAL").splitlines()[-1]):
            keep_minima(tenseal.setdefault((entry["scheme"], entry["kind"]), {}), entry)
    results = {
        "values": VALUES,
        "owners": OWNERS,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "velum": rounded(velum),
        "tenseal": [rounded(entry) for entry in tenseal.values()],
        "machine": machine(),
        "versions": dict(package.split("==") for package in TENSEAL),
        "commit": commit(),
    }
    print(
        f"velum: {velum['bytes_per_value']:.2f} bytes a value; milliseconds: encrypt "
        f"{velum['pack_and_encrypt']:.2f}, sum of ten {velum['sum_of_ten']:.2f}, decrypt "
        f"{velum['threshold_decrypt_and_unpack']:.1f}",
        file=sys.stderr,
    )
    for entry in tenseal.values():
        print(
            f"TenSEAL {entry['scheme']}, {entry['kind']}: {entry['bytes_per_value']:.1f} bytes a value; "
            f"encrypt {entry['encrypt']:.0f}, sum of ten {entry['sum_of_ten']:.1f}, decrypt "
            f"{entry['decrypt']:.0f}",
            file=sys.stderr,
        )
    write_json(results, arguments.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"compare_tenseal: {failure}", file=sys.stderr)
        sys.exit(1)
