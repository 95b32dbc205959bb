#!/usr/bin/env python3
"""executed_kernels.py, on an object file with PTX of two kernels and of one of CUB's that nothing launches: it names
what was not executed, and says nothing of programs that have not run.

  executed_kernels_test.py
"""

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "executed_kernels.py"
PTX = b""".version 8.0
.target sm_90
.address_size 64
.func not_a_kernel() { ret; }
.visible .entry _Z5firsti(.param .u32 x) { ret; }
.weak .entry _Z6secondIfEvv() { ret; }
.weak .entry _ZN3cub17CUB_300001_SM_9006detail11EmptyKernelIvEEvv() { ret; }
"""


def object_file(ptx):
    """What nvcc embeds, without the rest of an object file (fatbin.py)."""
    entry = struct.pack("<HHIQ", 1, 0x101, 64, len(ptx)).ljust(64, b"\0") + ptx
    return b"\x7fELF" + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entry)) + entry


def check(folder, executed, status, *texts, more=()):
    """`executed`: names that each of two programs wrote, or None if it did not run since."""
    paths = []
    for i, names in enumerate(executed):
        path = folder / f"program_{i}.executed"
        path.write_text("".join(f"{name}\n" for name in names or ["_Z6secondIfEvv"]))
        time = 2_000 if names is not None else 500
        os.utime(path, (time, time))
        paths.append(path)
    (folder / "executed.txt").write_text("".join(f"{path}\n" for path in paths))
    result = subprocess.run(
        [sys.executable, "-B", SCRIPT, "--objects", folder / "objects.txt",
         "--executed", folder / "executed.txt", *more],
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == status, (executed, result)
    for text in texts:
        assert text in result.stdout, (text, result)


def main():
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        library = folder / "kernels.cu.o"
        library.write_bytes(object_file(PTX))
        os.utime(library, (1_000, 1_000))
        (folder / "objects.txt").write_text(f"{library}\n")
        both = ["_Z5firsti", "_Z6secondIfEvv"]
        check(folder, [both, []], 0, "2 kernels: 2 executed, 0 not executed")
        check(folder, [both[:1], both[1:]], 0, "2 kernels: 2 executed")
        check(
            folder,
            [both[:1], ["another"]],
            1,
            "1 not executed",
            "not executed: void second<float>()",
        )
        # What a program wrote before the kernels were compiled does not count.
        check(folder, [both[:1], None], 77, "have not run with these kernels: program_1")
        check(folder, [None, None], 77, "2 not executed")

        # The list that is kept: what it lacks, and what is gone.
        kept = folder / "kept.md"
        stale = "2 executed"
        check(folder, [both, []], 1, stale, "not there: - `first`", more=["--kept", kept])
        check(folder, [both, []], 0, more=["--write", kept])
        check(folder, [both, []], 0, more=["--kept", kept])
        text = kept.read_text()
        assert "## Executed: 2\n\n- `first`\n- `second<float>`\n" in text, text
        assert text.endswith("## Not executed: 0\n"), text
        kept.write_text(text + "- `gone()`\n")
        check(folder, [both, []], 1, "only there: - `gone()`", more=["--kept", kept])
        # Kernels of CUB are those of its version.
        kept.write_text(text + "- `cub::gone`\n")
        check(folder, [both, []], 0, more=["--kept", kept])
        # A program that has not run hides no kernel as long as others executed all.
        kept.write_text(text)
        check(folder, [both, None], 0, more=["--kept", kept])
        check(folder, [both[:1], None], 77, more=["--kept", kept])


if __name__ == "__main__":
    main()
