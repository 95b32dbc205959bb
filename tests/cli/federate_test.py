"""`velum federate` from outside: processes, report, ledgers, owners who leave. Standard library
only."""

import json
import math
import pathlib
import subprocess
import tempfile
import unittest

from train_test import TRAIN_COUNT, VELUM, write_data

STEPS = 3


def epsilon_of_concentrated(rho, delta):
    """Of rho-zCDP, by Renyi divergences on a fine grid of orders: Canonne, Kamath and Steinke 2020,
    Proposition 12."""
    best = math.inf
    for i in range(1, 200000):
        order = 1 + math.exp(-7 + i * 14 / 200000)
        epsilon = (
            rho * order + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
        )
        best = min(best, epsilon)
    return best


class FederateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="velum-federate-test-")
        cls.root = pathlib.Path(cls._folder.name)
        cls.data = cls.root / "data"
        cls.data.mkdir()
        write_data(cls.data)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def setUp(self):
        self.out = self.root / self.id().rsplit(".", 1)[1]

    def federate(self, *options, expect=0):
        done = subprocess.run(
            [
                *(VELUM, "federate", "--dataset", "idx", "--data", self.data),
                *("--cache", self.root / "cache", "--out", self.out),
                *("--steps", str(STEPS), *options),
            ],
            text=True,
            capture_output=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def ledger(self, owner, *command):
        done = subprocess.run(
            [VELUM, "ledger", *command, "--ledger", self.out / f"owner-{owner}" / "ledger.db"],
            text=True,
            capture_output=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_three_owners_train_and_the_report_says_what_it_cost(self):
        done = self.federate("--demo", "--epsilon", "1000", "--learning-rate", "300")
        report = json.loads((self.out / "report.json").read_text())
        self.assertLessEqual(report["epsilon"], 1000)
        self.assertGreater(report["epsilon"], 990)
        self.assertEqual(report["examples"], TRAIN_COUNT)
        self.assertEqual(report["rounds"], 1 + STEPS)
        # A bar tells the class: with little noise a few steps find it, where chance has 10 %.
        self.assertGreater(report["test_accuracy"], 90)
        self.assertLess(report["bytes_per_value"], 8)
        self.assertIn("Who could read what", done.stdout)
        self.assertEqual(
            done.stdout.split("\nModel and report")[0], (self.out / "report.txt").read_text()
        )
        self.assertTrue((self.out / "model.pt").exists())
        # Every owner has books of its own, with all that was released.
        for owner in (1, 2, 3):
            self.assertIn(str(TRAIN_COUNT // 3), self.ledger(owner, "status"))
            self.ledger(owner, "verify")

    def test_epsilon_is_that_of_the_noise_of_the_honest_owners(self):
        self.federate("--demo", "--epsilon", "2", "--owners", "4", "--curious", "2")
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["honest"], 2)
        self.assertEqual(report["threshold"], 3)
        rho = 0
        for noise, count in zip(report["noise"], (1, STEPS), strict=True):
            grid, dimension = noise["units_in_clipping_norm"], noise["dimension"]
            self.assertGreaterEqual(noise["sensitivity"], grid + math.sqrt(dimension))
            self.assertLess(noise["sensitivity"], 1.001 * (grid + math.sqrt(dimension)))
            rho += count * noise["sensitivity"] ** 2 / (2 * 2 * noise["share_variance"])
        expected = epsilon_of_concentrated(rho, report["delta"])
        self.assertAlmostEqual(report["epsilon"] / expected, 1, delta=1e-3)

    def test_an_owner_may_leave_where_that_was_allowed_for(self):
        self.federate(
            *("--demo", "--epsilon", "50", "--owners", "4", "--dropouts", "1"),
            *("--leave", "2", "--leave-at", "2"),
        )
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["left"], [2])
        self.assertEqual(report["honest"], 2)
        self.assertEqual(report["rounds"], 1 + STEPS)

    def test_where_it_was_not_allowed_for_nothing_more_is_released(self):
        done = self.federate("--demo", "--leave", "2", "--leave-at", "1", expect=1)
        self.assertIn("--dropouts is 0", done.stderr)
        self.assertFalse((self.out / "report.json").exists())
        self.assertFalse((self.out / "model.pt").exists())

    def test_a_folder_with_a_run_is_refused(self):
        self.out.mkdir()
        (self.out / "owner-1").mkdir()
        self.assertIn("holds a run already", self.federate("--demo", expect=1).stderr)

    def test_options_that_promise_nothing_are_refused_by_name(self):
        for options, text in (
            ((), "--demo"),
            (("--demo", "--owners", "1"), "--owners 1"),
            (("--demo", "--curious", "2", "--dropouts", "1"), "somebody's noise must count"),
            (("--demo", "--curious", "-1"), "--curious -1"),
            (("--demo", "--dropouts", "2", "--curious", "0"), "at most 1 may be missing"),
            (("--demo", "--dropouts", "1", "--curious", "1"), "two halves could be told"),
            (("--demo", "--leave", "4"), "--leave 4"),
            (("--demo", "--epsilon", "0"), "epsilon"),
        ):
            self.assertIn(text, self.federate(*options, expect=2).stderr)
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
