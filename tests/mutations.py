#!/usr/bin/env python3
"""Makes each privacy bug that tests/README.md lists in a copy of the source, one at a time.

Builds the test that should catch it, and fails if that test passes.

    tests/mutations.py            all of them (about a minute each)
    tests/mutations.py NAME...    some
    tests/mutations.py --list

The copy is build/mutations of the working tree; the tree itself is not touched.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutations" / "source"
BUILD = ROOT / "build" / "mutations" / "build"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One bug: in `file`, `before` (which stands there exactly once) becomes `after`."""

    name: str
    file: str
    before: str
    after: str
    program: str  # the test program that must notice
    test: str  # its --gtest_filter


def mutation_of(pairs: list[tuple[str, str]]) -> Mutation:
    """Refuses a field that is given twice, of which Python's json would keep the last."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"a field is given twice: {pairs}")
    return Mutation(**dict(pairs))


def load() -> list[Mutation]:
    text = (ROOT / "tests" / "mutations.json").read_text(encoding="utf-8")
    return json.loads(text, object_pairs_hook=mutation_of)


def copy_tree() -> None:
    """Copies what git tracks or would track; files that did not change keep their time stamps."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, COPY / name
        if not source.is_file():
            continue
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    kept = {COPY / name for name in listed.split("\0")}
    for path in COPY.rglob("*"):
        if path.is_file() and path not in kept and ".venv" not in path.parts:
            path.unlink()
    link = COPY / ".venv"
    if not link.exists():
        link.symlink_to(ROOT / ".venv")


def run(command: list[str], log: pathlib.Path) -> int:
    environment = dict(os.environ, PATH=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}")
    with log.open("ab") as out:
        return subprocess.run(
            command, cwd=COPY, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode


def jobs() -> int:
    """As many compilers as cores, but no more than memory allows: about 2 GiB each."""
    fields = (line.split() for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    kib = next(int(value) for name, value, *_ in fields if name == "MemAvailable:")
    return max(1, min(os.cpu_count() or 1, kib >> 21))


def build(program: str, log: pathlib.Path) -> bool:
    command = ["cmake", "--build", str(BUILD), "--parallel", str(jobs()), "--target", program]
    return run(command, log) == 0


def passes(mutation: Mutation, log: pathlib.Path) -> bool:
    """Whether the test passes; a filter that selects nothing is an error, not a pass."""
    found = next(iter((BUILD / "tests").rglob(mutation.program)), None)
    if found is None:
        raise SystemExit(f"{mutation.name}: there is no test program {mutation.program}")
    before = log.stat().st_size if log.exists() else 0
    code = run([str(found), f"--gtest_filter={mutation.test}"], log)
    output = log.read_bytes()[before:].decode(errors="replace")
    if "[ RUN      ]" not in output:
        raise SystemExit(f"{mutation.name}: --gtest_filter={mutation.test} selects no test")
    return code == 0


def main() -> int:
    mutations = load()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations to make (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for mutation in mutations:
            print(f"{mutation.name}: {mutation.program} {mutation.test}")
        return 0
    unknown = set(arguments.names) - {mutation.name for mutation in mutations}
    if unknown:
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}; see --list")
    chosen = [m for m in mutations if not arguments.names or m.name in arguments.names]

    copy_tree()
    log = BUILD.parent / "log.txt"
    log.unlink(missing_ok=True)
    configure = ["cmake", "--preset", "cpu", "-B", str(BUILD), "-DVELUM_BUILD_BENCHMARKS=OFF"]
    if run(configure, log) != 0:
        raise SystemExit(f"the copy does not configure; see {log}")
    for program in sorted({mutation.program for mutation in chosen}):
        if not build(program, log):
            raise SystemExit(f"{program} does not build without a mutation; see {log}")
    for mutation in chosen:
        if not passes(mutation, log):
            raise SystemExit(f"{mutation.test} fails without a mutation; see {log}")

    survived = []
    for mutation in chosen:
        path = COPY / mutation.file
        original = path.read_text(encoding="utf-8")
        if original.count(mutation.before) != 1:
            raise SystemExit(
                f"{mutation.name}: its text stands {original.count(mutation.before)} times in "
                f"{mutation.file}, expected once; bring tests/mutations.json up to date"
            )
        path.write_text(original.replace(mutation.before, mutation.after), encoding="utf-8")
        try:
            if not build(mutation.program, log):
                raise SystemExit(f"{mutation.name}: the mutation does not compile; see {log}")
            caught = not passes(mutation, log)
        finally:
            path.write_text(original, encoding="utf-8")
        print(f"{'caught  ' if caught else 'SURVIVED'} {mutation.name}", flush=True)
        if not caught:
            survived.append(mutation.name)
    print(f"{len(chosen) - len(survived)} caught, {len(survived)} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
