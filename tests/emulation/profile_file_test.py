#!/usr/bin/env python3
"""The file that VELUM_EMULATION_PROFILE names: every field, for two launches of which all counts are known.

profile_file_test.py PROGRAM    emulation_profile_test
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NOTHING_GLOBAL = {"requests": 0, "bytes": 0, "sectors": 0, "ideal_sectors": 0}
NOTHING_SHARED = {"requests": 0, "wavefronts": 0, "ideal_wavefronts": 0}


def line(file, number, static, dynamic):
    return {"file": file, "line": number, "ptx_instructions": static, "warp_instructions": dynamic}


# profile_kernels.ptx: one thread calls a function of 4 instructions twice and stores a word.
CALLS = {
    "label": "CalledFunctionsBelongToTheKernel", "kernel": "calls",
    "grid": [1, 1, 1], "block": [1, 1, 1], "dynamic_shared_bytes": 0, "count": 1,
    "global": {"load": NOTHING_GLOBAL,
               "store": {"requests": 1, "bytes": 4, "sectors": 1, "ideal_sectors": 1},
               "atomic": NOTHING_GLOBAL},
    "footprint": {"read_bytes": 0, "written_bytes": 32},
    "shared": {"load": NOTHING_SHARED, "store": NOTHING_SHARED, "atomic": NOTHING_SHARED},
    "lines": [
        line("/elsewhere/invented.cuh", 30, 4, 8),
        line("tests/emulation/invented.cu", 31, 5, 5),
        line("tests/emulation/invented.cu", 32, 3, 3),
        line("tests/emulation/invented.cu", 33, 2, 2),
    ],
    "executions": [2, 1, 1, 1],  # the function; the kernel up to the calls and to its end
    "ptx_instructions": 14, "warp_instructions": 18, "threads": 1, "blocks": 1,
}  # fmt: skip
# Three launches of one warp that loads 32 words side by side; instructions without a place.
LOADS = {
    "label": 'EqualLaunchesAreSummedUp: load_b32 4 0 1 32', "kernel": "load_b32",
    "grid": [1, 1, 1], "block": [32, 1, 1], "dynamic_shared_bytes": 0, "count": 3,
    "global": {"load": {"requests": 3, "bytes": 384, "sectors": 12, "ideal_sectors": 12},
               "store": NOTHING_GLOBAL, "atomic": NOTHING_GLOBAL},
    "footprint": {"read_bytes": 384, "written_bytes": 0},
    "shared": {"load": NOTHING_SHARED, "store": NOTHING_SHARED, "atomic": NOTHING_SHARED},
    "lines": [line("", 0, 9, 27)],
    "executions": [0, 3],  # the function of the module; the kernel
    "ptx_instructions": 9, "warp_instructions": 27, "threads": 96, "blocks": 3,
}  # fmt: skip


def main():
    program = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "profile.json"
        environment = dict(os.environ, VELUM_EMULATION_PROFILE=str(path))
        tests = ":".join("Profile." + each["label"].split(":")[0] for each in (CALLS, LOADS))
        subprocess.run(
            [program, f"--gtest_filter={tests}"],
            env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        found = json.loads(path.read_text())
    expected = {"version": 1, "launches": [CALLS, LOADS]}
    if found != expected:
        sys.exit(
            f"found\n{json.dumps(found, indent=1)}\nexpected\n{json.dumps(expected, indent=1)}"
        )


if __name__ == "__main__":
    main()
