#!/usr/bin/env python3
"""Random kernels, compiled by nvcc for the emulated device and by g++ as C++, must agree bit for bit.

    fuzz_kernels.py BUILD                     seeds 1 to 200
    fuzz_kernels.py BUILD --first 7 --count 1   the kernel of seed 7
    fuzz_kernels.py BUILD --planted [NAME...]   the bugs of planted_bugs.json must be found

BUILD is a build directory of the preset `emulated` with the target `velum_emulated_device`; what it needs
to know of compilers and options stands in BUILD/tests/emulation/fuzz.json. A kernel that differs is
reduced as far as it goes, printed with its seed, and kept in BUILD/tests/emulation/fuzz.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import kernel_generator

HERE = Path(__file__).resolve().parent
EMULATION = HERE.parent
_REDUCTION_ROUNDS = 60
_REDUCTION_BATCH = 60  # candidates of a round
_SECONDS = 120  # for the programs of a batch; loops of the kernels are bounded


class BuildFailed(Exception):
    pass


class Workshop:
    """Builds and runs batches of kernels."""

    def __init__(self, configuration, folder, optimization, emulation=EMULATION):
        self.configuration = configuration
        self.folder = folder
        self.optimization = optimization
        self.emulation = emulation  # its translator and headers
        self.has_compare = False
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *command):
        process = subprocess.run(
            [str(x) for x in command], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if process.returncode != 0:
            raise BuildFailed((process.stdout + process.stderr).strip())

    def start(self, *command):
        return subprocess.Popen(
            [str(x) for x in command], cwd=self.folder, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def build_program(self, kernels):
        text = '#include "kernel_language.h"\n\nnamespace velum::emulation::fuzz {\n\n'
        text += "\n".join(kernel.text() for kernel in kernels) + "\n}\n"
        for name in ("kernels.cu", "kernels.cpp"):
            (self.folder / name).write_text(text, encoding="utf-8")
        cxx, nvcc = self.configuration["cxx"], self.configuration["nvcc"]
        includes = [f"-I{HERE}", f"-I{self.emulation}", f"-I{EMULATION}"]
        cuda = [f"-isystem{x}" for x in self.configuration["cuda_includes"]]
        plain = [cxx, "-std=c++20", "-ffp-contract=off", "-w", *includes, *cuda]
        if not self.has_compare:
            self.run(*plain, "-O1", "-c", HERE / "compare.cpp", "-o", "compare.o")
            self.has_compare = True
        host = self.start(*plain, "-O0", "-c", "kernels.cpp", "-o", "host.o")
        try:
            self.run(nvcc, "-ptx", "-std=c++20", "--fmad=false", "-w", f"-arch={self.configuration['arch']}",
                     *includes, "kernels.cu", "-o", "kernels.ptx")  # fmt: skip
            self.run(sys.executable, "-B", self.emulation / "translator" / "translate.py",
                     "--ptx", "kernels.ptx", "--out", "translated.cpp")  # fmt: skip
            self.run(cxx, "-std=c++20", *self.configuration["translation_options"], *self.optimization,
                     *includes, "-c", "translated.cpp", "-o", "translated.o")  # fmt: skip
        finally:
            output, _ = host.communicate()
        if host.returncode != 0:
            raise BuildFailed(output.strip())
        self.run(
            cxx,
            "host.o",
            "compare.o",
            "translated.o",
            self.configuration["library"],
            "-o",
            "compare",
        )

    def outcomes_of_program(self, kernels):
        """name: what `compare` says of it; a program that ends early says nothing of the rest."""
        names = [kernel.name for kernel in kernels]
        try:
            process = subprocess.run(
                ["./compare", *names], cwd=self.folder, capture_output=True, text=True, timeout=_SECONDS,
                check=False,
            )  # fmt: skip
            output, end = process.stdout, f"ended with status {process.returncode}"
        except subprocess.TimeoutExpired as error:
            output, end = (error.stdout or b"").decode(), f"no end after {_SECONDS} s"
        found = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
        return {name: found[name] for name in names if name in found}, end

    def outcomes(self, kernels):
        """name: "equal" or what is wrong, for every kernel."""
        try:
            self.build_program(kernels)
        except BuildFailed as error:
            if not self.has_compare:
                sys.exit(f"compare.cpp does not build: {error}")
            if len(kernels) == 1:
                return {kernels[0].name: f"does not build: {error}"}
            half = len(kernels) // 2
            return {**self.outcomes(kernels[:half]), **self.outcomes(kernels[half:])}
        results = {}
        while len(results) < len(kernels):
            rest = [kernel for kernel in kernels if kernel.name not in results]
            found, end = self.outcomes_of_program(rest)
            results.update(found)
            if len(results) < len(kernels):
                first = next(kernel for kernel in kernels if kernel.name not in results)
                results[first.name] = f"crash: {end}"
        return results


def kind(outcome):
    return outcome.split(":", 1)[0]


def reduced(workshop, kernel, outcome):
    """The smallest kernel found that is wrong in the same way, and what it does."""
    if kind(outcome) == "does not build":  # the message names the place
        return kernel, outcome
    for _ in range(_REDUCTION_ROUNDS):
        shorter = (
            k for k in kernel_generator.smaller(kernel) if len(k.text()) < len(kernel.text())
        )
        candidates = [
            dataclasses.replace(k, candidate=i + 1)
            for i, k in enumerate(itertools.islice(shorter, _REDUCTION_BATCH))
        ]
        if not candidates:
            break
        outcomes = workshop.outcomes(candidates)
        failing = [k for k in candidates if kind(outcomes[k.name]) == kind(outcome)]
        if not failing:
            break
        kernel = min(failing, key=lambda k: len(k.text()))
        outcome = outcomes[kernel.name]
    return kernel, outcome


def wrong_kernels(workshop, seeds, batch, stop_at_first=False):
    """(kernel, outcome) of each that is not equal."""
    found = []
    for start in range(0, len(seeds), batch):
        kernels = [kernel_generator.generate(seed) for seed in seeds[start : start + batch]]
        outcomes = workshop.outcomes(kernels)
        found += [(k, outcomes[k.name]) for k in kernels if outcomes[k.name] != "equal"]
        if found and stop_at_first:
            break
    return found


def fuzz(workshop, seeds, batch):
    found = wrong_kernels(workshop, seeds, batch)
    for kernel, outcome in found:
        print(f"seed {kernel.seed}: {outcome}", flush=True)
        small, small_outcome = reduced(workshop, kernel, outcome)
        path = workshop.folder / f"seed_{kernel.seed}.cu"
        path.write_text(small.text(), encoding="utf-8")
        print(f"reduced ({path}): {small_outcome}\n{small.text()}", flush=True)
    print(f"{len(seeds)} kernels, seeds {seeds[0]} to {seeds[-1]}: {len(seeds) - len(found)} equal")
    return 1 if found else 0


def find_planted(workshop, seeds, batch, names):
    """Makes each bug in a copy of the emulation; a kernel must differ."""
    bugs = json.loads((HERE / "planted_bugs.json").read_text(encoding="utf-8"))
    unknown = set(names) - {bug["name"] for bug in bugs}
    if unknown:
        sys.exit(f"no planted bug is called {', '.join(sorted(unknown))}")
    bugs = [bug for bug in bugs if not names or bug["name"] in names]
    copy = workshop.folder / "emulation"
    missed = []
    for bug in bugs:
        shutil.rmtree(copy, ignore_errors=True)
        for part in ("translator", "runtime"):
            shutil.copytree(EMULATION / part, copy / part)
        path = copy / bug["file"]
        text = path.read_text(encoding="utf-8")
        if text.count(bug["before"]) != 1:
            sys.exit(
                f"{bug['name']}: its text stands {text.count(bug['before'])} times in {bug['file']}, expected once"
            )
        path.write_text(text.replace(bug["before"], bug["after"]), encoding="utf-8")
        planted = Workshop(
            workshop.configuration, workshop.folder / "planted", workshop.optimization, copy
        )
        wrong = wrong_kernels(planted, seeds, batch, stop_at_first=True)
        found = [f"seed {k.seed}: {o}" for k, o in wrong if kind(o) != "does not build"]
        print(f"{bug['name']}: {found[0] if found else 'NOT FOUND'}", flush=True)
        missed += [] if found else [bug["name"]]
    print(f"{len(bugs) - len(missed)} of {len(bugs)} planted bugs found")
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many seeds")
    parser.add_argument("--batch", type=int, default=200, help="kernels of a program")
    parser.add_argument("--quick", action="store_true", help="optimise the translation less")
    parser.add_argument("--planted", nargs="*", metavar="NAME", help="look for planted bugs (all)")
    arguments = parser.parse_args()
    folder = arguments.build.resolve() / "tests" / "emulation"
    configuration = json.loads((folder / "fuzz.json").read_text(encoding="utf-8"))
    workshop = Workshop(configuration, folder / "fuzz", ["-O1"] if arguments.quick else [])
    seeds = range(arguments.first, arguments.first + arguments.count)
    if arguments.planted is not None:
        return find_planted(workshop, seeds, arguments.batch, arguments.planted)
    return fuzz(workshop, seeds, arguments.batch)


if __name__ == "__main__":
    sys.exit(main())
