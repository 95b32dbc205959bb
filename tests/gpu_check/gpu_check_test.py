#!/usr/bin/env python3
"""scripts/gpu-check, every step of it, with programs that behave as test and benchmark programs do: those
that pass, fail, skip themselves, crash and hang; and with stand-ins for nvidia-smi and compute-sanitizer."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import unittest
import unittest.mock
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu-check"

# What GoogleTest's and Google Benchmark's programs do with these arguments. `{behaviour}` is filled in.
TEST_PROGRAM = """\
#!{python}
import json, os, sys, time
behaviour = "{behaviour}"
options = dict(a.lstrip("-").split("=", 1) if "=" in a else (a.lstrip("-"), "") for a in sys.argv[1:])
if "gtest_list_tests" in options:
    print("Suite.")
    if behaviour != "none":
        print("  CaseOnCuda")
    sys.exit(0)
if behaviour == "crash":
    os.abort()
if behaviour == "hang":
    time.sleep(600)
case = {{"name": "CaseOnCuda", "classname": "Suite", "status": "RUN", "result": "COMPLETED"}}
if behaviour == "skip":
    case["result"] = "SKIPPED"
if behaviour == "fail" or (behaviour == "racy" and os.environ.get("FAKE_TOOL") == "racecheck"):
    case["failures"] = [{{"failure": "expected 1"}}]
path = options["gtest_output"].split(":", 1)[1]
open(path, "w").write(json.dumps({{"testsuites": [{{"testsuite": [case]}}]}}))
print("behaviour", behaviour, "of", os.path.abspath(__file__), "in /home/someone/tests/data.bin")
sys.exit(1 if case.get("failures") else 0)
"""
BENCHMARK_PROGRAM = """\
#!{python}
import json, re, sys
names = {names}
options = dict(a.lstrip("-").split("=", 1) if "=" in a else (a.lstrip("-"), "") for a in sys.argv[1:])
matching = [n for n in names if re.search(options["benchmark_filter"], n)]
if "benchmark_list_tests" in options:
    if not matching:
        print("Failed to match any benchmarks against regex: x")
    print(*matching, sep="\\n")
    sys.exit(0)
results = []
for name in matching:
    result = {{"name": name, "run_type": "iteration", "iterations": 1, "real_time": 2.5, "time_unit": "us",
              "items_per_second": 4e9}}
    if "{error}" and re.search("{error}", name):
        result.update(error_occurred=True, error_message="{message}")
    results.append(result)
open(options["benchmark_out"], "w").write(json.dumps({{"benchmarks": results}}))
"""
NVIDIA_SMI = """\
#!/bin/sh
echo 'NVIDIA H200, 580.1, 9.0, 143771 MiB, 1980 MHz, 3201 MHz, Enabled'
"""
SANITIZER = """\
#!/bin/sh
[ "$1" != --version ] || { echo 'NVIDIA (R) Compute Sanitizer'; echo 'Version 1.2'; exit 0; }
[ "$1" = --tool ] && [ "$3" = --error-exitcode ] && [ "$4" = 1 ] || exit 9
export FAKE_TOOL="$2"
shift 4
exec "$@"
"""


class Tree:
    """A bundle as scripts/gpu-check finds it, in a folder of its own with a copy of the script."""

    def __init__(self, folder, preset="cuda"):
        self.root = Path(folder)
        self.tools = self.root / "tools"
        self.script = self.root / "scripts" / "gpu-check"
        self.build = self.root / "build" / preset
        for path in (self.tools, self.script.parent, self.build / "benchmarks"):
            path.mkdir(parents=True)
        shutil.copy(SCRIPT, self.script)
        self.manifest = {
            "version": 1,
            "commit": "0123456789abcdef",
            "bundle": True,
            "tests": {},
            "benchmarks": [],
        }
        self.predictions = self.root / "benchmarks" / "results" / "kernel_predictions.json"
        self.predictions.parent.mkdir(parents=True)
        self.predict({"case": "ntt/log_n:16", "device": "H200 SXM", "seconds": [2e-6, 3e-6]})
        self.tool("nvidia-smi", NVIDIA_SMI)
        self.tool("compute-sanitizer", SANITIZER)

    def predict(self, *rows):
        self.predictions.write_text(json.dumps({"prediction": True, "rows": rows}))

    def write_program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def tool(self, name, text):
        self.write_program(self.tools / name, text)

    def test(self, name, behaviour):
        text = TEST_PROGRAM.format(python=sys.executable, behaviour=behaviour)
        self.write_program(self.build / name, text)
        self.manifest["tests"][name] = {"path": name, "environment": {}}

    def benchmark(self, name, names, error="", message=""):
        text = BENCHMARK_PROGRAM.format(
            python=sys.executable, names=names, error=error, message=message
        )
        self.write_program(self.build / "benchmarks" / name, text)
        self.manifest["benchmarks"].append(f"benchmarks/{name}")

    def cases(self, name):
        """A program that writes which cases it ran."""
        text = """#!/bin/sh\necho '{"cases": [1, 2, 3]}' >"$1"\n"""
        self.write_program(self.build / "benchmarks" / name, text)
        self.manifest["benchmarks"].append(f"benchmarks/{name}")

    def run(self, *arguments):
        (self.build / "gpu-check.json").write_text(json.dumps(self.manifest))
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, self.script, "--out", self.root / "out", *arguments],
            capture_output=True,
            text=True,
            env=dict(os.environ, PATH=path, CUDACXX=""),
        )
        reports = list((self.root / "out").glob("*.json"))
        if not reports:
            return done, None, ""
        newest = max(reports, key=lambda path: path.stat().st_mtime_ns)
        report, text = json.loads(newest.read_text()), newest.with_suffix(".md").read_text()
        return done, report, text


def steps_of(report):
    return {step["name"]: step for step in report["steps"]}


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Tree(folder.name)

    def add_benchmarks(self):
        self.tree.benchmark("a_bench", ["BM_X/threads:0", "BM_X/threads:1"])
        self.tree.benchmark("host_only_bench", ["BM_Y/threads:2"])
        self.tree.benchmark("kernel_bench", ["ntt/log_n:16/manual_time"])
        self.tree.benchmark(
            "device_probes_bench",
            ["BM_Arithmetic/imad/rounds:1/x", "BM_Arithmetic/imad/rounds:4096/x"],
        )

    def test_all_steps_pass(self):
        self.tree.test("one_test", "pass")
        self.tree.test("without_cuda_test", "none")
        self.add_benchmarks()
        done, report, text = self.tree.run()
        self.assertEqual(done.returncode, 0, done.stderr)
        steps = steps_of(report)
        self.assertEqual(list(steps), ["tests", "sanitizer", "probes", "benchmarks", "prediction"])
        self.assertEqual([e["name"] for e in steps["tests"]["details"]], ["one_test"])
        self.assertEqual(
            [e["name"] for e in steps["sanitizer"]["details"]],
            [f"{t} one_test" for t in ("memcheck", "racecheck", "initcheck", "synccheck")],
        )
        ran = [b["name"] for e in steps["benchmarks"]["details"] for b in e["benchmarks"]]
        self.assertEqual(ran, ["BM_X/threads:0", "ntt/log_n:16/manual_time"])
        self.assertIn("| ntt/log_n:16 | 2 - 3 us | 2.5 us | 0.83 - 1.25 |", text)
        self.assertIn("1 inside", steps["prediction"]["summary"])
        probed = [b["name"] for e in steps["probes"]["details"] for b in e["benchmarks"]]
        self.assertEqual(probed, ["BM_Arithmetic/imad/rounds:4096/x"])
        self.assertEqual(report["machine"]["device"], "NVIDIA H200")
        self.assertFalse(report["rehearsal"])
        self.assertIn("| `BM_X/threads:0` | 2.5 us | 4e+09 |", text)
        self.assertNotIn("rehearsal", text)

    def test_each_kind_of_failure_fails_and_the_rest_goes_on(self):
        for behaviour in ("fail", "skip", "crash", "hang", "pass"):
            self.tree.test(f"{behaviour}_test", behaviour)
        self.add_benchmarks()
        done, report, text = self.tree.run("--timeout", "3", "--only", "tests", "benchmarks")
        self.assertEqual(done.returncode, 1)
        entries = {e["name"]: e for e in steps_of(report)["tests"]["details"]}
        self.assertEqual(
            {name: e["passed"] for name, e in entries.items()},
            {
                "crash_test": False,
                "fail_test": False,
                "hang_test": False,
                "pass_test": True,
                "skip_test": False,
            },
        )
        self.assertEqual(entries["fail_test"]["cases"]["failed"], ["Suite.CaseOnCuda"])
        self.assertEqual(entries["hang_test"]["status"], 124)
        self.assertIn("skipped itself", entries["skip_test"]["output"])
        self.assertEqual(steps_of(report)["tests"]["result"], "FAILED")
        self.assertEqual(steps_of(report)["benchmarks"]["result"], "passed")
        # No folder of this machine is in the report: of the build's what is below, of others nothing.
        self.assertIn("behaviour fail of fail_test in data.bin", entries["fail_test"]["output"])
        self.assertIn("    benchmarks/a_bench '--benchmark_filter=", text)
        self.assertNotIn(str(self.tree.root), json.dumps(report) + text)
        self.assertIn("FAILED", text)

    def test_a_finding_of_one_sanitizer_tool_fails_that_step_alone(self):
        self.tree.test("racy_test", "racy")
        done, report, _ = self.tree.run("--only", "tests", "sanitizer")
        self.assertEqual(done.returncode, 1)
        steps = steps_of(report)
        self.assertEqual(steps["tests"]["result"], "passed")
        failed = [e["name"] for e in steps["sanitizer"]["details"] if not e["passed"]]
        self.assertEqual(failed, ["racecheck racy_test"])

    def test_a_missing_sanitizer_is_a_failure(self):
        (self.tree.tools / "compute-sanitizer").unlink()
        self.tree.test("one_test", "pass")
        toolkit = Path("/usr/local/cuda/bin/compute-sanitizer")
        if shutil.which("compute-sanitizer") or toolkit.exists():
            self.skipTest("this machine has the sanitizer")
        done, report, _ = self.tree.run("--only", "sanitizer")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not found", steps_of(report)["sanitizer"]["summary"])

    def test_nothing_to_run_is_a_failure(self):
        done, report, _ = self.tree.run("--only", "tests", "benchmarks")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([s["result"] for s in report["steps"]], ["FAILED", "FAILED"])

    def test_steps_that_a_bundle_does_not_have_are_a_failure(self):
        self.tree.test("one_test", "pass")
        done, report, _ = self.tree.run("--only", "build", "suite")
        self.assertEqual(done.returncode, 1)
        self.assertIsNone(report)
        self.assertIn("nothing to do", done.stderr)

    def test_an_error_inside_a_benchmark_is_a_failure(self):
        self.tree.benchmark("a_bench", ["BM_X/threads:0"], error="BM_X", message="no CUDA device")
        done, report, text = self.tree.run("--only", "benchmarks")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no CUDA device", text)

    def test_a_device_without_clusters_passes_its_probes(self):
        names = ["BM_Cluster/rounds:4096/x", "BM_Shared/rounds:4096/x"]
        missing = "the device has no clusters"
        self.tree.benchmark("device_probes_bench", names, error="BM_Cluster", message=missing)
        done, report, _ = self.tree.run("--only", "probes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.tree.benchmark("device_probes_bench", names, error="BM_Shared", message="differs")
        done, report, _ = self.tree.run("--only", "probes")
        self.assertEqual(done.returncode, 1)

    def test_a_machine_without_a_device_is_told_so_before_anything_is_built(self):
        self.tree.tool("nvidia-smi", "#!/bin/sh\necho 'No devices were found'\nexit 6\n")
        self.tree.test("one_test", "pass")
        done, report, _ = self.tree.run()
        self.assertEqual(done.returncode, 1)
        self.assertIsNone(report)
        self.assertIn("--rehearse", done.stderr)

    def test_a_rehearsal_runs_the_emulated_programs_and_says_so(self):
        tree = Tree(self.tree.root / "rehearsal", preset="emulated")
        tree.test("one_test", "fail")
        tree.test("one_test_emulated", "pass")
        tree.benchmark("device_probes_bench_emulated", ["BM_Arithmetic/imad/rounds:1/x"])
        tree.benchmark("a_bench_emulated", ["BM_X/threads:0"])
        tree.cases("kernel_bench_emulated")
        copy = tree.root / "copy.md"
        done, report, text = tree.run("--rehearse", "--markdown", copy)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(copy.read_text(), text)
        self.assertRegex(text, r"(?m)^- call: `scripts/gpu-check .*--rehearse --markdown copy.md")
        self.assertTrue(text.startswith("# velum on emulated: a rehearsal, times mean nothing\n"))
        self.assertTrue(report["rehearsal"])
        self.assertIn("**A rehearsal on the emulated device", text)
        self.assertIn("3 cases ran once", text)
        sanitizer = steps_of(report)["sanitizer"]
        self.assertEqual(sanitizer["details"][0]["name"], "no tool: one_test_emulated")
        self.assertIn("it is there and starts (Version 1.2)", sanitizer["summary"])
        self.assertEqual(
            [e["name"] for e in steps_of(report)["tests"]["details"]], ["one_test_emulated"]
        )

    def test_a_sanitizer_that_does_not_start_is_a_failure(self):
        for preset, more in (("cuda", []), ("emulated", ["--rehearse"])):
            tree = Tree(self.tree.root / f"broken {preset}", preset=preset)
            tree.test("one_test" + ("_emulated" if more else ""), "pass")
            tree.tool(
                "compute-sanitizer",
                "#!/bin/sh\necho 'libsanitizer-collection.so: not found'\nexit 1\n",
            )
            done, report, text = tree.run(*more, "--only", "sanitizer")
            self.assertEqual(done.returncode, 1)
            self.assertIn("does not start", steps_of(report)["sanitizer"]["summary"])
            self.assertIn("libsanitizer-collection.so: not found", text)

    def test_a_prediction_needs_a_measurement_and_a_known_device(self):
        self.add_benchmarks()
        done, report, _ = self.tree.run("--only", "prediction")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no case", steps_of(report)["prediction"]["summary"])
        self.tree.tool("nvidia-smi", NVIDIA_SMI.replace("H200", "L4"))
        done, report, _ = self.tree.run("--only", "prediction")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(steps_of(report)["prediction"]["result"], "does not apply")
        self.tree.predictions.unlink()
        done, report, _ = self.tree.run("--only", "prediction")
        self.assertEqual(done.returncode, 1)

    def test_wrong_calls(self):
        for arguments in (
            ["--parallel", "0"],
            ["--tests", "["],
            ["--timeout", "0"],
            ["--only", "x"],
        ):
            done, report, _ = self.tree.run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIsNone(report)


class Build(unittest.TestCase):
    """A tree with sources: the steps build and suite, with stand-ins for cmake and ctest."""

    CMAKE = """#!/bin/sh\necho "cmake $*" >>"{log}"\n"""
    CTEST = """#!/bin/sh
echo "ctest $*" >>"{log}"
case "$*" in
  *--show-only*) cat "{root}/listed.json" ;;
  *) cat "$2/CTestTestfile.cmake" >>"{log}"; echo '{percent}% tests passed{failures} out of 2'; exit {failed} ;;
esac
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tree(self, preset, failed=0):
        tree = Tree(self.folder / f"{preset} {failed}", preset=preset)
        log = tree.root / "log"
        tree.tool("nvcc", "#!/bin/sh\n")
        (tree.root / ".venv/bin").mkdir(parents=True)
        texts = {"cmake": self.CMAKE, "ctest": self.CTEST}
        for name, text in texts.items():
            text = text.format(log=log, root=tree.root, percent=100 - 50 * failed, failed=failed,
                               failures=f", {failed} tests failed" if failed else "")  # fmt: skip
            tree.write_program(tree.root / ".venv/bin" / name, text)
        name = "one_test" + ("_emulated" if preset == "emulated" else "")
        tree.test(name, "pass")
        (tree.root / "listed.json").write_text(
            json.dumps({"tests": [{"name": name, "command": [str(tree.build / name)]}]})
        )
        (tree.build / "CTestTestfile.cmake").write_text("the tests of the tree")
        return tree, log

    def run_tree(self, tree, *arguments):
        # Not a bundle: what there is to run is asked of ctest.
        environment = dict(os.environ, PATH=f"{tree.tools}{os.pathsep}{os.environ['PATH']}")
        environment["CUDACXX"] = str(tree.tools / "nvcc")
        done = subprocess.run(
            [tree.script, "--only", "build", "tests", "suite", "--out", tree.root / "report", *arguments],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        (path,) = (tree.root / "report").glob("*.json")
        return done, steps_of(json.loads(path.read_text()))

    def test_the_preset_is_built_and_all_of_its_suite_run(self):
        tree, log = self.tree("cuda")
        done, steps = self.run_tree(tree)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([step["result"] for step in steps.values()], ["passed"] * 3)
        self.assertEqual(list(steps), ["build", "tests", "suite"])
        self.assertEqual(steps["suite"]["summary"], "100% tests passed out of 2")
        said = log.read_text()
        self.assertIn("cmake --preset cuda\ncmake --build --preset cuda --parallel\n", said)
        self.assertIn(f"ctest --test-dir {tree.build} --output-on-failure", said)
        self.assertNotIn(" -E ", said)

    def test_a_rehearsal_builds_too_and_leaves_the_logs_of_ctest_alone(self):
        tree, log = self.tree("emulated")
        done, steps = self.run_tree(tree, "--rehearse")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([step["result"] for step in steps.values()], ["passed"] * 3)
        said = log.read_text()
        self.assertIn("cmake --preset emulated\ncmake --build --preset emulated --parallel\n", said)
        self.assertIn(f'subdirs("{tree.build}")', said)
        self.assertIn("-LE emulated -E ^gpu_check -R .", said)

    def test_a_suite_that_fails_fails(self):
        tree, _ = self.tree("cuda", failed=1)
        done, steps = self.run_tree(tree)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(steps["suite"]["result"], "FAILED")
        self.assertIn("50% tests passed", steps["suite"]["summary"])


class Bundle(unittest.TestCase):
    def test_a_bundle_runs_without_the_tree_that_it_was_made_from(self):
        compiler = shutil.which("cc")
        if compiler is None or shutil.which("strip") is None:
            self.skipTest("no compiler")
        with tempfile.TemporaryDirectory() as folder:
            tree = Tree(Path(folder) / "made")
            source = Path(folder) / "program.c"
            # Lists one case, and writes the report of a case that ran.
            source.write_text(
                textwrap.dedent(
                    """\
                    #include <stdio.h>
                    #include <stdlib.h>
                    #include <string.h>
                    int main(int argc, char** argv) {
                      if (getenv("VELUM_EMULATION_EXECUTED")) return 1;  // a file of ctest's
                      for (int i = 1; i < argc; ++i) {
                        if (strcmp(argv[i], "--gtest_list_tests") == 0) { puts("S.\\n  OnCuda"); return 0; }
                        if (strncmp(argv[i], "--gtest_output=json:", 20) == 0) {
                          FILE* f = fopen(argv[i] + 20, "w");
                          fputs("{\\"testsuites\\": [{\\"testsuite\\": [{\\"name\\": \\"OnCuda\\", \\"classname\\": "
                                "\\"S\\", \\"status\\": \\"RUN\\", \\"result\\": \\"COMPLETED\\"}]}]}", f);
                          fclose(f);
                        }
                      }
                      return 0;
                    }
                    """
                )
            )
            subprocess.run([compiler, source, "-o", tree.build / "c_test"], check=True)
            environment = {
                "X": "1",
                "VELUM_EMULATION_EXECUTED": str(tree.build / "c_test.executed"),
            }
            tree.manifest["tests"]["c_test"] = {"path": "c_test", "environment": environment}
            tree.test("without_cuda_test", "none")
            # A toolkit, first on PATH.
            for name in ("bin/compute-sanitizer", "bin/libsanitizer-collection.so",
                         "lib/libsanitizer-collection.so", "lib/libother.so"):  # fmt: skip
                path = tree.tools / "toolkit" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                tree.write_program(path, SANITIZER if path.suffix == "" else "library")
            tree.tool("compute-sanitizer", "")
            (tree.tools / "compute-sanitizer").unlink()
            (tree.tools / "compute-sanitizer").symlink_to("toolkit/bin/compute-sanitizer")
            # Wherever it was built, it is found where a bundle is looked for.
            tree.build = tree.build.rename(tree.root / "mine")
            built = ["--build", tree.build]
            done, _, _ = tree.run(*built, "--make-bundle", Path(folder) / "b.tar.xz")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertFalse((Path(folder) / "b.tar.xz.part").exists())
            with tarfile.open(Path(folder) / "b.tar.xz") as archive:
                archive.extractall(Path(folder) / "elsewhere")
            top = Path(folder) / "elsewhere" / "velum-gpu-check"
            manifest = json.loads((top / "build/cuda/gpu-check.json").read_text())
            self.assertEqual(list(manifest["tests"]), ["c_test"])
            self.assertEqual(manifest["tests"]["c_test"]["environment"], {"X": "1"})
            # A test that is told of a file of this machine would fail on another one.
            environment["DATA"] = str(tree.root / "data")
            done, _, _ = tree.run(*built, "--make-bundle", Path(folder) / "other.tar.xz")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"DATA={environment['DATA']} of a test is a path", done.stderr)
            self.assertFalse((Path(folder) / "other.tar.xz").exists())
            # The sanitizer of the machine that made the bundle comes with it and is the one that runs.
            packed = top / "build/cuda" / manifest["sanitizer"]
            self.assertEqual(packed.read_text(), SANITIZER)
            library = packed.parent.parent / "lib" / "libsanitizer-collection.so"
            self.assertEqual(library.read_text(), "library")
            self.assertTrue(library.samefile(packed.parent / library.name))
            self.assertFalse((library.parent / "libother.so").exists())
            tree.tool("compute-sanitizer", "#!/bin/sh\nexit 3\n")
            shutil.rmtree(tree.build)
            done = subprocess.run(
                [
                    top / "scripts/gpu-check",
                    "--only",
                    "tests",
                    "sanitizer",
                    "--out",
                    Path(folder) / "report",
                ],
                capture_output=True,
                text=True,
                env=dict(os.environ, PATH=f"{tree.tools}{os.pathsep}{os.environ['PATH']}"),
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(list((Path(folder) / "report").glob("*.md"))), 1)


class Libraries(unittest.TestCase):
    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("gpu_check", str(SCRIPT))
        gpu_check = importlib.util.module_from_spec(
            importlib.util.spec_from_loader("gpu_check", loader)
        )
        sys.dont_write_bytecode = True
        loader.exec_module(gpu_check)
        self.gpu_check = gpu_check

    def test_another_torch_than_that_of_the_bundle_is_named(self):
        for found, expected, said in (
            ("2.11.0", "2.11.0", ""),
            ("2.11.0", None, ""),
            ("2.8.0", "2.11.0", "torch is 2.8.0 here, and the bundle was built with 2.11.0"),
            (None, "2.11.0", "programs that need it (torch 2.11.0) will not start"),
        ):
            folders = ["/torch/lib"] if found else []
            output = io.StringIO()
            with (
                unittest.mock.patch.object(
                    self.gpu_check,
                    "find_torch",
                    lambda found=found, folders=folders: (found, folders),
                ),
                contextlib.redirect_stderr(output),
            ):
                self.assertEqual(self.gpu_check.library_folders(expected), folders)
            self.assertIn(said, output.getvalue())
            self.assertEqual(bool(output.getvalue()), bool(said))

    def test_what_comes_with_the_system_the_driver_or_torch_is_not_carried(self):
        gpu_check = self.gpu_check
        for name in ("libc.so.6", "libtorch_cpu.so", "libcuda.so.1", "libstdc++.so.6", "libc10.so"):
            self.assertIsNotNone(gpu_check.SYSTEM_LIBRARIES.match(name), name)
        for name in ("libhwy.so.1", "libtbb.so.12", "libcrypto.so.3", "libcudart.so.13"):
            self.assertIsNone(gpu_check.SYSTEM_LIBRARIES.match(name), name)


if __name__ == "__main__":
    unittest.main()
