#!/usr/bin/env python3
"""Which kernels of object files the emulated test programs executed, and which none did.

  executed_kernels.py --objects objects.txt --executed executed.txt
  executed_kernels.py ... --kept benchmarks/results/executed_kernels.md     also fail where that list is stale
  executed_kernels.py ... --write benchmarks/results/executed_kernels.md    write it

Both files are lists of paths, a line each: of object files that nvcc made, and of what test programs wrote to
VELUM_EMULATION_EXECUTED. Exit status 1, with their names, if there are kernels that no program executed, or others
than in the kept list; 77 if a program has not run since the kernels were compiled, so that nothing can be said.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "translator"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))
from fatbin import embedded_ptx  # noqa: E402
from sass import short_names  # noqa: E402

_ENTRY = re.compile(r"^\s*(?:\.(?:visible|weak)\s+)*\.entry\s+([\w$]+)\s*\(", re.M)
# CUB asks for its attributes, to learn the architecture, and never launches it.
_NEVER_LAUNCHED = re.compile(r"_ZN3cub\w*11EmptyKernelIvEEvv$")
_SKIPPED = 77


def demangled(names):
    tool = shutil.which("c++filt")
    if not names or tool is None:
        return names
    result = subprocess.run(
        [tool], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()


def as_markdown(executed, missing):
    lines = [
        "# Kernels that the tests execute on the emulated device",
        "",
        "All kernels of the object files of `kernels/`, those of CUB that they launch included, each instantiation of a",
        "template by itself, without namespaces and parameters; executed by some test program, without a fault. Written by",
        "`tests/emulation/executed_kernels.py --write` (tests/emulation/README.md).",
    ]
    for head, names in (("Executed", executed), ("Not executed", missing)):
        # The version of CUB and the architectures are namespaces.
        short = [re.sub(r"\b(CUB|THRUST)_\w+::", "", name) for name in short_names(names).values()]
        lines += ["", f"## {head}: {len(names)}", ""]
        lines += [f"- `{name}`" for name in sorted(short)]
    return "\n".join(lines).rstrip("\n") + "\n"


def of_velum(text):
    """The list without CUB's kernels, which another version of CUB has others of, and without the counts."""
    return [line for line in text.splitlines() if "cub::" not in line and not line.startswith("##")]


def paths(list_file):
    return [Path(line) for line in list_file.read_text().splitlines() if line]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=Path, required=True, metavar="LIST")
    parser.add_argument("--executed", type=Path, required=True, metavar="LIST")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="a list to compare with")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a list to write")
    arguments = parser.parse_args()

    kernels, compiled = set(), 0
    for path in paths(arguments.objects):
        compiled = max(compiled, path.stat().st_mtime_ns)
        for text in embedded_ptx(path.read_bytes()):
            names = _ENTRY.findall(text)
            kernels.update(name for name in names if not _NEVER_LAUNCHED.match(name))
    if not kernels:
        sys.exit(f"{arguments.objects}: no kernels in these object files")

    executed, not_run = set(), []
    for path in paths(arguments.executed):
        if path.exists() and path.stat().st_mtime_ns > compiled:
            executed.update(path.read_text().split())
        else:
            not_run.append(path.stem)
    missing = sorted(kernels - executed)
    print(f"{len(kernels)} kernels: {len(kernels) - len(missing)} executed, ", end="")
    print(f"{len(missing)} not executed")
    for name in demangled(missing):
        print(f"  not executed: {name}")
    if missing and not_run:
        print("Nothing follows, since these have not run with these kernels: " + ", ".join(not_run))
        sys.exit(_SKIPPED)
    text = as_markdown(kernels & executed, missing)
    if arguments.write:
        arguments.write.write_text(text)
    if missing:
        sys.exit(
            "Each needs a case with Cuda in its name in a test of velum_add_test(.. EMULATED)."
        )
    if arguments.kept:
        kept = of_velum(arguments.kept.read_text() if arguments.kept.exists() else "")
        found = of_velum(text)
        for line in sorted(set(kept) ^ set(found)):
            print(f"  {'only there' if line in kept else 'not there'}: {line}")
        if kept != found:
            sys.exit(f"{arguments.kept} is not this list: write it anew with --write")


if __name__ == "__main__":
    main()
