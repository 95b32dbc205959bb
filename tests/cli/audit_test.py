#!/usr/bin/env python3
"""velum audit from outside: what it finds, its report, its exit codes, what it refuses."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

VELUM = sys.argv.pop(1) if len(sys.argv) > 1 else "velum"
SMALL = [
    "--examples", "120", "--batch-size", "24", "--steps", "4", "--seed-insecure", "3",
    "--threads", "1", "--no-progress",
]  # fmt: skip
PARTS = ["--canaries", "200", "--replay-steps", "2"]


def run(*arguments):
    return subprocess.run([VELUM, "audit", *arguments], capture_output=True, text=True, check=False)


class Audit(unittest.TestCase):
    def test_velum_is_not_refuted(self):
        with tempfile.TemporaryDirectory(prefix="velum-audit-test-") as folder:
            path = pathlib.Path(folder) / "new" / "report"
            result = run(*SMALL, *PARTS, "--epsilon", "2", "--report", str(path))
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(result.stdout.startswith("# Audit: nothing refuted"))
            report = json.loads(path.with_suffix(".json").read_text())
            self.assertEqual(path.with_suffix(".md").read_text(), result.stdout)
        self.assertTrue(report["holds"])
        canaries = report["canaries"]
        self.assertLessEqual(canaries["epsilon_lower"], canaries["epsilon_upper"])
        self.assertLessEqual(canaries["epsilon_upper"], 2)
        self.assertGreater(canaries["epsilon_upper"], 1.5)
        self.assertEqual([guess["canaries"] for guess in canaries["guesses"]], [200, 200, 200])
        self.assertEqual({row["step"] for row in report["replay"]["comparisons"]}, {0, 1})
        for row in report["replay"]["comparisons"]:
            self.assertTrue(row["holds"], row)
            self.assertLessEqual(row["distance"], row["bound"] + row["allowance"])
        self.assertGreater(len(report["conformance"]["checks"]), 20)
        self.assertIn("single examples", report["note"])

    def test_every_model_and_kind_of_canary(self):
        for model, kind, more in (
            ("mlp", "input", ["--float64"]),
            ("cnn", "gradient", ["--clipping", "per-layer"]),
            ("scatter-linear", "dirac", []),
            ("mlp", "dirac", ["--clipping", "adaptive", "--clipping-norm", "1"]),
        ):
            with self.subTest(model=model, kind=kind, more=more):
                result = run(
                    "--examples", "40", "--batch-size", "10", "--steps", "2", "--canaries", "20",
                    "--replay-steps", "1", "--seed-insecure", "1", "--threads", "1",
                    "--no-progress", "--json",
                    "--model", model, "--canary-kind", kind, *more,
                )  # fmt: skip
                self.assertEqual(result.returncode, 0, result.stderr)
                report = json.loads(result.stdout)
                self.assertTrue(report["holds"])
                self.assertEqual(report["subject"]["canaries"], kind)

    def test_users_are_audited_with_all_their_examples(self):
        with tempfile.TemporaryDirectory(prefix="velum-audit-test-") as folder:
            users = pathlib.Path(folder) / "users"
            users.write_text("".join(f"{100 + i % 20}\n" for i in range(120)))
            result = run(
                "--examples", "120", "--batch-size", "5", "--steps", "3", "--seed-insecure", "3",
                "--threads", "1", "--epsilon", "2", "--canaries", "50", "--replay-steps", "2",
                "--users", str(users), "--clipping", "automatic", "--json", "--no-progress",
            )  # fmt: skip
            self.assertEqual(result.returncode, 0, result.stderr)
            few = run("--examples", "130", "--users", str(users))
        self.assertEqual(few.returncode, 1)
        self.assertIn("120 users, expected one for each of the 130 examples", few.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["subject"]["unit"], "user, 20")
        self.assertIn("automatic", report["subject"]["clipping"])
        units = {row["unit"] for row in report["replay"]["comparisons"]} - {None}
        self.assertTrue(units and units <= set(range(100, 120)), units)
        checks = {check["check"] for check in report["conformance"]["checks"]}
        self.assertIn("a user is drawn with all examples", checks)

    def test_a_claim_that_is_too_small_is_refuted(self):
        result = run(
            *SMALL, *PARTS, "--noise-multiplier", "0.3", "--claim", "0.5", "--runs", "20", "--json"
        )
        self.assertEqual(result.returncode, 4)
        self.assertIn("refutes", result.stderr)
        report = json.loads(result.stdout)
        self.assertFalse(report["holds"])
        self.assertFalse(report["canaries"]["holds"])
        self.assertTrue(report["replay"]["holds"])
        self.assertTrue(report["conformance"]["holds"])
        self.assertEqual(report["canaries"]["epsilon_upper"], 0.5)
        self.assertGreater(report["canaries"]["epsilon_lower"], 0.5)
        runs = report["canaries"]["runs"]
        self.assertEqual(runs["members"] + runs["non_members"], 10)

    def test_parts_can_be_left_out(self):
        result = run(*SMALL, "--replay-steps", "0", "--canaries", "0", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            set(json.loads(result.stdout)), {"holds", "note", "subject", "conformance"}
        )

    def test_bad_usage(self):
        for arguments, text in (
            (["--epsilon", "1", "--noise-multiplier", "1"], "one of --epsilon and"),
            (["--batch-size", "8", "--sampling-rate", "0.1"], "one of --sampling-rate and"),
            (["--examples", "1"], "--examples = 1, expected >= 2"),
            (["--batch-size", "5000"], "--batch-size = 5000, expected 1 to 1000"),
            (["--model", "bird"], "bird"),
            (["--canary-kind", "bird"], "expected dirac, gradient or input"),
            (["--delta", "1"], "--delta"),
            (["--claim", "-1"], "--claim = -1, expected finite and >= 0"),
            (["--runs", "10", "--canaries", "0"], "--runs needs --canaries"),
            (["--runs", "-1"], "--runs = -1, expected >= 0"),
            (
                ["--confidence", "1", "--examples", "4", "--batch-size", "2", "--steps", "1"],
                "--confidence = 1, expected > 0 and < 1",
            ),
            (["--sampling-rate", "2"], "--sampling-rate = 2"),
            (["--clipping-norm", "0"], "--clipping-norm = 0, expected finite and > 0"),
            (["--clipping", "bird"], "expected flat, per-layer, automatic or adaptive"),
            (["--clipping-quantile", "0.5"], "belongs to the clipping adaptive, not to flat"),
        ):
            with self.subTest(arguments=arguments):
                result = run(*arguments)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(text, result.stderr)


if __name__ == "__main__":
    unittest.main()
