#!/usr/bin/env python3
"""Makes each privacy bug that tests/README.md lists in a copy of the source, one at a time.

Builds the test that should catch it, and fails if that test passes.

    tests/mutations.py                      all of them (about a minute each)
    tests/mutations.py NAME...              some
    tests/mutations.py --list
    tests/mutations.py --by-audit [NAME...] builds the audits of velum's own engine instead of the
                                            test; they must find every bug of the engine. Recorded
                                            in tests/mutations_by_audit.json.
    tests/mutations.py --check              the edits fit the source, and the tables of
                                            tests/README.md are those of the files
    tests/mutations.py --write-tables       makes them so

The copy is build/mutations of the working tree; the tree itself is not touched.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutations" / "source"
MUTATIONS = ROOT / "tests" / "mutations.json"
README = ROOT / "tests" / "README.md"
BY_AUDIT = ROOT / "tests" / "mutations_by_audit.json"
AUDITS = "dpsgd_engine_audit_test"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One bug: in `file`, `before` (which stands there exactly once) becomes `after`."""

    name: str
    file: str
    before: str
    after: str
    program: str  # the test program that must notice
    test: str  # its --gtest_filter
    no_audit: str = ""  # why no audit of an engine can find it; else audits must

    def variables(self) -> dict[str, str]:
        """What the test program finds in its environment."""
        return {}

    def edit(self) -> str:
        """Changes with what the mutation does."""
        text = "\0".join((self.file, self.before, self.after))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


M = TypeVar("M", bound=Mutation)


def load_from(path: pathlib.Path, kind: type[M]) -> list[M]:
    def mutation_of(pairs: list[tuple[str, Any]]) -> M:
        """Refuses a field that is given twice, of which Python's json would keep the last."""
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"a field is given twice: {pairs}")
        return kind(**dict(pairs))

    mutations = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=mutation_of)
    names = [mutation.name for mutation in mutations]
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: a name is given twice")
    return mutations


def load() -> list[Mutation]:
    return load_from(MUTATIONS, Mutation)


def chosen_of(mutations: list[M], names: list[str], parser: argparse.ArgumentParser) -> list[M]:
    """Those with the names, or all."""
    unknown = set(names) - {mutation.name for mutation in mutations}
    if unknown:
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}; see --list")
    return [m for m in mutations if not names or m.name in names]


def mutated(mutation: Mutation, root: pathlib.Path) -> tuple[str, str]:
    """The text of the mutation's file below `root`, and what the mutation makes of it."""
    original = (root / mutation.file).read_text(encoding="utf-8")
    count = original.count(mutation.before)
    if count != 1:
        raise SystemExit(
            f"{mutation.name}: its text stands {count} times in {mutation.file}, expected once; "
            "bring the mutation up to date"
        )
    return original, original.replace(mutation.before, mutation.after)


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


def jobs() -> int:
    """As many compilers as cores, but no more than memory allows: about 2 GiB each."""
    fields = (line.split() for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    kib = next(int(value) for name, value, *_ in fields if name == "MemAvailable:")
    return max(1, min(os.cpu_count() or 1, kib >> 21))


class Tree:
    """The copy of the source, and a build of it."""

    def __init__(self, name: str, configure: list[str]):
        self.build_folder = COPY.parent / name
        self.configure = configure
        self.log = COPY.parent / f"{name}.log"

    def run(self, command: list[str], variables: dict[str, str] | None = None) -> int:
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, **(variables or {})}
        with self.log.open("ab") as out:
            return subprocess.run(
                command,
                cwd=COPY,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            ).returncode

    def build(self, program: str) -> bool:
        command = ["cmake", "--build", str(self.build_folder), "--parallel", str(jobs())]
        return self.run([*command, "--target", program]) == 0

    def run_test(self, mutation: Mutation) -> tuple[bool, str]:
        """Whether the test passes, and what it says; a filter that selects nothing is an error."""
        found = next(iter((self.build_folder / "tests").rglob(mutation.program)), None)
        if found is None:
            raise SystemExit(f"{mutation.name}: there is no test program {mutation.program}")
        before = self.log.stat().st_size if self.log.exists() else 0
        code = self.run([str(found), f"--gtest_filter={mutation.test}"], mutation.variables())
        output = self.log.read_bytes()[before:].decode(errors="replace")
        if "[ RUN      ]" not in output:
            raise SystemExit(f"{mutation.name}: --gtest_filter={mutation.test} selects no test")
        return code == 0, output

    def prepare(self, chosen: Sequence[Mutation]) -> None:
        """Copies, configures and builds; every test must pass without a mutation."""
        copy_tree()
        self.log.unlink(missing_ok=True)
        if self.run(["cmake", *self.configure, "-B", str(self.build_folder)]) != 0:
            raise SystemExit(f"the copy does not configure; see {self.log}")
        for program in sorted({mutation.program for mutation in chosen}):
            if not self.build(program):
                raise SystemExit(f"{program} does not build without a mutation; see {self.log}")
        tests = {(m.program, m.test, *m.variables().items()): m for m in chosen}
        for unchanged in tests.values():
            if not self.run_test(unchanged)[0]:
                raise SystemExit(f"{unchanged.test} fails without a mutation; see {self.log}")

    def make(self, mutation: Mutation) -> tuple[bool, str] | None:
        """What `run_test` gives with the mutation; None if it does not compile."""
        original, changed = mutated(mutation, COPY)
        path = COPY / mutation.file
        path.write_text(changed, encoding="utf-8")
        try:
            return self.run_test(mutation) if self.build(mutation.program) else None
        finally:
            path.write_text(original, encoding="utf-8")

    def make_all(self, chosen: Sequence[M], caught: Callable[[M, bool, str], bool]) -> int:
        """Makes each; `caught` is asked with what `run_test` gave. 0 if all were caught."""
        survived = 0
        for mutation in chosen:
            result = self.make(mutation)
            if result is None:
                print(f"DOES NOT COMPILE {mutation.name}; see {self.log}", flush=True)
                survived += 1
                continue
            is_caught = caught(mutation, *result)
            print(f"{'caught  ' if is_caught else 'SURVIVED'} {mutation.name}", flush=True)
            survived += 0 if is_caught else 1
        print(f"{len(chosen) - survived} caught, {survived} survived")
        return 1 if survived else 0


def findings(output: str) -> list[list[str]]:
    """[audit, subject, what]: the first thing that each audit found of each subject."""
    found: dict[tuple[str, str], str] = {}
    for line in output.splitlines():
        if line.startswith("finding: "):
            audit, subject, what = line.removeprefix("finding: ").split(" | ", 2)
            found.setdefault((audit, subject), "error" if what.startswith("error: ") else what)
    return [[audit, subject, what] for (audit, subject), what in found.items()]


def record(chosen: list[Mutation], results: dict[str, list[list[str]]]) -> None:
    """Keeps what was recorded of other mutations, in the order of mutations.json."""
    known = json.loads(BY_AUDIT.read_text(encoding="utf-8")) if BY_AUDIT.exists() else {}
    for mutation in chosen:
        if mutation.name in results:
            known[mutation.name] = {"edit": mutation.edit(), "findings": results[mutation.name]}
    names = [m.name for m in load() if not m.no_audit and m.name in known]
    entries = []
    for name in names:
        lines = [json.dumps(finding) for finding in known[name]["findings"]]
        body = ",\n".join(f"      {line}" for line in lines)
        entries.append(
            f'  "{name}": {{\n    "edit": "{known[name]["edit"]}",\n'
            f'    "findings": [\n{body}\n    ]\n  }}'
        )
    BY_AUDIT.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def audit_cell(found: list[list[str]], audit: str) -> str:
    """For people: the first thing that this audit found, and how much more."""
    mine = [(subject, what) for name, subject, what in found if name == audit]
    if not mine:
        return ""
    subject, what = mine[0]
    text = f"{what} ({subject})" if audit != "canaries" else subject
    return text + (f"; {len(mine) - 1} more" if len(mine) > 1 else "")


def tables() -> dict[str, list[str]]:
    """What stands in tests/README.md below each of these lines, up to an empty line."""
    mutations = load()
    by_test = ["| mutation | program | test |", "| --- | --- | --- |"]
    by_test += [f"| `{m.name}` | `{m.program}` | `{m.test}` |" for m in mutations]
    recorded = json.loads(BY_AUDIT.read_text(encoding="utf-8"))
    audits = ["| mutation | conformance | replay | canaries |", "| --- | --- | --- | --- |"]
    none = ["| mutation | why no audit finds it |", "| --- | --- |"]
    for mutation in mutations:
        if mutation.no_audit:
            none.append(f"| `{mutation.name}` | {mutation.no_audit} |")
            continue
        entry = recorded.get(mutation.name)
        if entry is None or entry["edit"] != mutation.edit():
            raise SystemExit(
                f"{mutation.name}: not run against the audits, or changed since; "
                f"tests/mutations.py --by-audit {mutation.name}"
            )
        cells = [audit_cell(entry["findings"], a) for a in ("conformance", "replay", "canaries")]
        if not any(cells):
            raise SystemExit(f"{mutation.name}: no audit found it")
        audits.append(f"| `{mutation.name}` | " + " | ".join(cells) + " |")
    unknown = set(recorded) - {m.name for m in mutations if not m.no_audit}
    if unknown:
        raise SystemExit(f"{BY_AUDIT.name} has {', '.join(sorted(unknown))}, no such mutation")
    return {"mutation | program": by_test, "mutation | conformance": audits, "mutation | why": none}


def check_tables(path: pathlib.Path, rows_of: dict[str, list[str]], write: bool, tool: str) -> int:
    """Compares the tables of a page, or writes them; `rows_of` has their rows by their heads."""
    text = right = path.read_text(encoding="utf-8")
    for head, rows in rows_of.items():
        pattern = rf"^\| {re.escape(head)}.*?(?=^$)"
        right, count = re.subn(
            pattern, lambda _, rows=rows: "\n".join(rows) + "\n", right, flags=re.M | re.S
        )
        if count != 1:
            raise SystemExit(f"{path} has {count} tables that begin with '| {head}', expected 1")
    if write:
        path.write_text(right, encoding="utf-8")
    elif text != right:
        page = path.relative_to(ROOT)
        print(f"{page}: {tool} --write-tables brings its tables up to date")
        return 1
    return 0


def main() -> int:
    mutations = load()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations to make (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--by-audit", action="store_true", help="which audits find them")
    parser.add_argument("--check", action="store_true", help="compare the tables and stop")
    parser.add_argument("--write-tables", action="store_true", help="write the tables and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for mutation in mutations:
            print(f"{mutation.name}: {mutation.program} {mutation.test}")
        return 0
    if arguments.check or arguments.write_tables:
        for mutation in mutations:
            mutated(mutation, ROOT)
        return check_tables(README, tables(), arguments.write_tables, "tests/mutations.py")
    chosen = chosen_of(mutations, arguments.names, parser)
    if arguments.by_audit:
        for mutation in chosen:
            if arguments.names and mutation.no_audit:
                parser.error(f"no audit can find {mutation.name}: {mutation.no_audit}")
        chosen = [
            dataclasses.replace(m, program=AUDITS, test="*") for m in chosen if not m.no_audit
        ]
    results: dict[str, list[list[str]]] = {}

    def caught(mutation: Mutation, passed: bool, output: str) -> bool:
        if not arguments.by_audit:
            return not passed
        results[mutation.name] = findings(output)
        record(chosen, results)
        return bool(results[mutation.name])

    tree = Tree("build", ["--preset", "cpu", "-DVELUM_BUILD_BENCHMARKS=OFF"])
    tree.prepare(chosen)
    return tree.make_all(chosen, caught)


if __name__ == "__main__":
    sys.exit(main())
