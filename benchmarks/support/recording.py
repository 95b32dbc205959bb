"""What the scripts that record benchmarks share: programs, the machine, the commit, JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Failure(Exception):
    """What went wrong, in words for the one who runs this."""


def run(command: list[str | Path], what: str, **more) -> str:
    """The standard output of a command; its failure in words."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            **more,
        )
    except OSError as error:
        raise Failure(f"{what}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join(f"{done.stdout}\n{done.stderr}".strip().splitlines()[-12:])
        raise Failure(f"{what} ended with {done.returncode}:\n{tail}")
    return done.stdout


def find_program(name: str, given: Path | None = None) -> Path:
    """The newest build of a benchmark; built in the preset cpu where there is none."""
    builds = [ROOT / "build" / preset for preset in ("release", "cpu", "cuda", "emulated")]
    candidates = [given] if given else [build / "benchmarks" / name for build in builds]
    found = [path for path in candidates if path.exists()]
    if not found and not given:
        cmake = ROOT / ".venv" / "bin" / "cmake"
        environment = dict(os.environ, PATH=f"{cmake.parent}:{os.environ['PATH']}")
        say = f"building {name} (run scripts/setup first)"
        run([cmake, "--preset", "cpu"], say, cwd=ROOT, env=environment)
        target = ["--target", name]
        run([cmake, "--build", "--preset", "cpu", *target], say, cwd=ROOT, env=environment)
        found = [path for path in candidates if path.exists()]
    if not found:
        raise Failure(
            f"{name} was not found in "
            + ", ".join(str(path) for path in candidates)
            + f"; build it: cmake --preset cpu && cmake --build --preset cpu --target {name}"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def python_with(
    packages: list[str],
    folder: Path,
    name: str,
    base: Path,
    prepare: Callable[[Path], None] = lambda python: None,
) -> Path:
    """The interpreter of a virtual environment with these very packages; made where it is missing.

    name     what it is the environment of, for people
    base     the interpreter to make it with
    prepare  called with the new interpreter before the packages are installed
    """
    python = folder / "bin" / "python"
    stamp = folder / "installed.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == "\n".join(packages):
        return python
    print(f"making the environment of {name} in {folder}", file=sys.stderr)
    run([base, "-m", "venv", "--clear", folder], "making a virtual environment")
    prepare(python)
    options = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    run(
        [python, "-m", "pip", "install", *options, *packages],
        f"installing {', '.join(packages)}",
    )
    stamp.write_text("\n".join(packages))
    return python


def machine() -> dict[str, object]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = named.group(1) if named else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str:
    try:
        name = run(["git", "-C", ROOT, "rev-parse", "HEAD"], "git").strip()
        changed = run(
            ["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"], "git"
        ).strip()
    except Failure:
        return "unknown"
    return name + (" with changes" if changed else "")


def write_json(results: object, to: Path | None) -> None:
    """To a file, or to standard output."""
    text = json.dumps(results, indent=2) + "\n"
    if to:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)
    else:
        sys.stdout.write(text)
