#!/usr/bin/env python3
"""Makes faults in velum's kernels, in a copy of the source, one at a time; the emulation must see each.

Builds the emulated test that should catch it, and fails if that test passes, or fails without the
report of the emulation that the mutant names.

    tests/emulation/mutants/kernel_mutants.py             all of them (a minute or two each)
    tests/emulation/mutants/kernel_mutants.py NAME...     some
    tests/emulation/mutants/kernel_mutants.py --list
    tests/emulation/mutants/kernel_mutants.py --check     the edits fit the source, and the table of
                                                          tests/emulation/README.md the edits
    tests/emulation/mutants/kernel_mutants.py --write-tables
"""

import argparse
import dataclasses
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
import mutations  # noqa: E402

MUTANTS = HERE / "kernel_mutants.json"
README = HERE.parent / "README.md"
# As tests/mutations.py builds, with the emulation, and PTX alone of the kernels.
CONFIGURE = [
    "--preset", "emulated", "-DCMAKE_CUDA_ARCHITECTURES=90-virtual", "-DVELUM_BUILD_BENCHMARKS=OFF",
    "-DVELUM_BUILD_CLI=OFF", "-DVELUM_BUILD_EXAMPLES=OFF",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class KernelMutant(mutations.Mutation):
    fault: str = ""  # how the report of the emulation begins; empty: any failure will do
    max_blocks: int = 0  # VELUM_CUDA_MAX_BLOCKS, if not 0: so small cases take loops of large ones

    def variables(self) -> dict[str, str]:
        return {"VELUM_CUDA_MAX_BLOCKS": str(self.max_blocks)} if self.max_blocks else {}

    def is_caught(self, passed: bool, output: str) -> bool:
        return not passed and (not self.fault or f"velum emulation: {self.fault}" in output)

    def row(self) -> str:
        found = self.fault or "failure of the test"
        grid = "".join(f", {name}={value}" for name, value in self.variables().items())
        return f"| `{self.name}` | `{self.program}`{grid} | `{self.test}` | {found} |"


def main() -> int:
    mutants = mutations.load_from(MUTANTS, KernelMutant)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to make (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--check", action="store_true", help="check edits and table, and stop")
    parser.add_argument("--write-tables", action="store_true", help="write the table and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.program} {mutant.test}")
        return 0
    if arguments.check or arguments.write_tables:
        for mutant in mutants:
            mutations.mutated(mutant, mutations.ROOT)
        rows = ["| mutant | program | test | found by |", "| --- | --- | --- | --- |"]
        rows += [mutant.row() for mutant in mutants]
        tool = str(pathlib.Path(__file__).resolve().relative_to(mutations.ROOT))
        return mutations.check_tables(
            README, {"mutant | program": rows}, arguments.write_tables, tool
        )
    chosen = mutations.chosen_of(mutants, arguments.names, parser)
    tree = mutations.Tree("emulated", CONFIGURE)
    tree.prepare(chosen)
    return tree.make_all(chosen, KernelMutant.is_caught)


if __name__ == "__main__":
    sys.exit(main())
