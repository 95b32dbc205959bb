"""The console script `velum`: starts the C++ program of the wheel in its place."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Replaces this process by velum/bin/velum, with the same arguments."""
    program = Path(__file__).parent / "bin" / "velum"
    if not program.is_file():
        sys.exit(
            "velum: this package was installed without the program (scripts/setup puts it at "
            ".venv/bin/velum)"
        )
    os.execv(program, [str(program), *sys.argv[1:]])
