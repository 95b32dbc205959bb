#!/usr/bin/env python3
"""A bundle of a build that is there, unpacked in an empty folder: its rehearsal passes with a bare environment,
and with libraries of the bundle and of the system alone.

bundle_test.py BUILD
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu-check"
loader = importlib.machinery.SourceFileLoader("gpu_check", str(SCRIPT))
gpu_check = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
sys.dont_write_bytecode = True
loader.exec_module(gpu_check)
BUILD = Path(sys.argv.pop()).resolve()
# A test, and the benchmark that needs the least: the rest differs in nothing that a bundle is about.
STEPS = ["tests", "sanitizer", "probes", "prediction"]
CHOSEN = ["--tests", "^kernels_chacha20_test", "--benchmarks", "^device_probes_bench"]


class Bundle(unittest.TestCase):
    def test_its_rehearsal_passes_with_nothing_of_the_machine_that_made_it(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bundle.tar.xz"
            # In place of the real one, whose 40 MB nothing here would use.
            sanitizer = Path(folder) / "toolkit" / "bin" / "compute-sanitizer"
            sanitizer.parent.mkdir(parents=True)
            sanitizer.write_text("#!/bin/sh\necho Version of a stand-in\n")
            sanitizer.chmod(0o755)
            made = subprocess.run(
                [
                    sys.executable,
                    SCRIPT,
                    "--rehearse",
                    "--build",
                    BUILD,
                    "--make-bundle",
                    file,
                    *CHOSEN,
                ],
                capture_output=True,
                text=True,
                env=dict(os.environ, PATH=f"{sanitizer.parent}{os.pathsep}{os.environ['PATH']}"),
            )
            self.assertEqual(made.returncode, 0, made.stderr)
            elsewhere = Path(folder) / "elsewhere"
            with tarfile.open(file) as archive:
                archive.extractall(elsewhere)
            file.unlink()
            sanitizer.unlink()
            top = elsewhere / "velum-gpu-check"
            tree = top / "build" / "emulated"
            manifest = json.loads((tree / "gpu-check.json").read_text())
            self.assertEqual(list(manifest["tests"]), ["kernels_chacha20_test_emulated"])
            self.assertEqual(manifest["benchmarks"], ["benchmarks/device_probes_bench_emulated"])
            self.assertNotIn(str(BUILD), json.dumps(manifest))

            # The bare environment hides no library: the folders that programs were linked in come last.
            bare = {"PATH": "/usr/bin:/bin", "HOME": folder}
            for program in [
                *manifest["benchmarks"],
                manifest["tests"][next(iter(manifest["tests"]))]["path"],
            ]:
                found = subprocess.run(
                    ["ldd", tree / program],
                    capture_output=True,
                    text=True,
                    check=True,
                    env={**bare, "LD_LIBRARY_PATH": str(tree / "lib")},
                ).stdout
                self.assertNotIn("not found", found)
                for name, path in re.findall(r"(\S+) => (/\S+)", found):
                    if not gpu_check.SYSTEM_LIBRARIES.match(name):
                        self.assertTrue(path.startswith(str(tree)), f"{program}: {path}")

            done = subprocess.run(
                [
                    sys.executable,
                    top / "scripts/gpu-check",
                    "--rehearse",
                    "--parallel",
                    "1",
                    "--only",
                    *STEPS,
                ],
                capture_output=True,
                text=True,
                cwd=folder,
                env=bare,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            (path,) = (top / "build").glob("gpu-check-emulated-*.json")
            report = json.loads(path.read_text())
            steps = {step["name"]: step for step in report["steps"]}
            self.assertEqual(list(steps), STEPS)
            self.assertIn("starts (Version of a stand-in)", steps["sanitizer"]["summary"])
            self.assertGreater(steps["tests"]["details"][0]["cases"]["passed"], 0)
            probed = [b["name"] for b in steps["probes"]["details"][0]["benchmarks"]]
            self.assertIn("BM_ClusterSharedMemory/rounds:1/manual_time", probed)


if __name__ == "__main__":
    if not os.access(BUILD, os.R_OK):
        sys.exit(f"{BUILD}: no build")
    unittest.main()
