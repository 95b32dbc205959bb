#!/usr/bin/env python3
"""velum account and velum calibrate: their numbers, their JSON, what they refuse."""

import json
import math
import subprocess
import sys
import unittest

VELUM = sys.argv.pop(1) if len(sys.argv) > 1 else "velum"


def run(*arguments):
    return subprocess.run([VELUM, *arguments], capture_output=True, text=True, check=False)


def answer(*arguments):
    result = run(*arguments, "--json")
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)


def gaussian_delta(epsilon, mu):
    """delta of a Gaussian mechanism of that mu at epsilon (Balle and Wang, arXiv 1805.06530)."""

    def normal(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    return normal(mu / 2 - epsilon / mu) - math.exp(epsilon) * normal(-mu / 2 - epsilon / mu)


RUN = ["--sampling-rate", "0.04", "--noise-multiplier", "1.5", "--steps", "2250"]


class Account(unittest.TestCase):
    def test_published_values(self):
        # opacus/tests/accountants_test.py: RDP 7.32911117143 on its grid of orders; its PRV value
        # 6.777395712150674 is an upper bound with an allowed error of 0.01.
        epsilon = answer("account", *RUN, "--delta", "1e-5")["epsilon"]
        self.assertLessEqual(epsilon["rdp"], 7.32911117143)
        self.assertGreater(epsilon["rdp"], 7.3)
        self.assertLessEqual(epsilon["pld_lower"], 6.777395712150674)
        self.assertGreaterEqual(epsilon["pld_upper"], 6.777395712150674 - 0.02)
        self.assertLessEqual(epsilon["pld_upper"], epsilon["rdp"])
        self.assertLessEqual(
            epsilon["pld_upper"] - epsilon["pld_lower"], 1e-3 * epsilon["pld_upper"]
        )

    def test_prv_table(self):
        # opacus/tests/prv_accountant.py, delta = 1e-6, allowed error 0.01.
        for sigma, q, steps, known in [
            (0.8, 0.05, 100, 6.741051939),
            (1.5, 0.001, 50000, 0.704218385),
            (2.0, 0.2, 100, 5.672055609),
            (3.0, 0.05, 20000, 13.961114699),
        ]:
            epsilon = answer(
                "account", "--sampling-rate", str(q), "--noise-multiplier", str(sigma),
                "--steps", str(steps), "--delta", "1e-6",
            )["epsilon"]  # fmt: skip
            self.assertLessEqual(epsilon["pld_lower"], known)
            self.assertGreaterEqual(epsilon["pld_upper"], known - 0.02)

    def test_gaussian_is_exact(self):
        epsilon = answer("account", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-5")
        self.assertAlmostEqual(epsilon["epsilon"]["pld_upper"], 4.377178096, places=9)

    def test_delta_at_epsilon(self):
        # dp_accounting/pld tests: three releases, q = 0.2, sigma = 0.5: delta(1) = 0.15594.
        delta = answer(
            "account", "--sampling-rate", "0.2", "--noise-multiplier", "0.5", "--steps", "3",
            "--epsilon", "1",
        )["delta"]  # fmt: skip
        self.assertLessEqual(delta["pld_lower"], 0.155945)
        self.assertGreaterEqual(delta["pld_upper"], 0.155935)

    def test_phases_add_up_in_any_order(self):
        one = answer(
            "account", "--phase", "0.01,1,500", "--phase", "0.02,1.5,300", "--delta", "1e-6"
        )
        other = answer(
            "account", "--phase", "0.02,1.5,300", "--phase", "0.01,1,500", "--delta", "1e-6"
        )
        self.assertEqual(one["epsilon"]["pld_upper"], other["epsilon"]["pld_upper"])
        self.assertEqual(len(one["composition"]["phases"]), 2)

    def test_no_noise_is_null(self):
        result = answer("account", "--noise-multiplier", "0", "--steps", "1", "--delta", "1e-5")
        self.assertIsNone(result["epsilon"]["rdp"])
        self.assertIsNone(result["epsilon"]["pld_upper"])

    def test_text_has_a_statement(self):
        text = run("account", *RUN, "--delta", "1e-5").stdout
        for part in ("pld", "rdp", "certified", "present or absent", "Not covered"):
            self.assertIn(part, text)

    def test_dataset_size_batch_size_and_epochs(self):
        # TensorFlow Privacy, compute_dp_sgd_privacy_test.py (its noise multiplier of 2 is relative
        # to half the sensitivity): Poisson 1.616, once per epoch 13.376 by RDP on a list of orders,
        # 3 examples of a user 6.425 and 56.224. The exact value of five Gaussians is smaller.
        loop = ["--dataset-size", "10000", "--batch-size", "64", "--epochs", "5",
                "--noise-multiplier", "1", "--delta", "1e-6", "--group-size", "3",
                "--accountant", "rdp"]  # fmt: skip
        poisson = answer("account", *loop)
        self.assertEqual(poisson["plan"]["steps"], 782)
        self.assertEqual(poisson["plan"]["sampling_rate"], 0.0064)
        self.assertAlmostEqual(poisson["epsilon"]["rdp"], 1.616, delta=5e-4)
        self.assertLessEqual(poisson["group"]["epsilon"], 6.4255)
        self.assertGreater(poisson["group"]["epsilon"], 6.40)
        self.assertEqual(poisson["statement"]["group_size"], 3)
        self.assertEqual(poisson["statement"]["epsilon"], poisson["group"]["epsilon"])
        self.assertIn("sampling rate 0.0064 (64 of 10000), 782 steps", run("account", *loop).stdout)
        for name in ("fixed-batches", "shuffled"):
            once = answer("account", *loop, "--sampling", name)
            self.assertEqual(once["composition"]["phases"][0]["count"], 5)
            self.assertLessEqual(once["epsilon"]["rdp"], 13.376)
            self.assertLessEqual(once["group"]["epsilon"], 56.224)
            for epsilon, mu in (
                (once["epsilon"]["pld_upper"], math.sqrt(5)),
                (once["group"]["epsilon"], 3 * math.sqrt(5)),
            ):
                self.assertAlmostEqual(gaussian_delta(epsilon, mu), 1e-6, delta=1e-6 * 1e-5)

    def test_fixed_and_shuffled_batches_are_no_poisson_samples(self):
        loop = ["--dataset-size", "10000", "--batch-size", "64", "--noise-multiplier", "2",
                "--delta", "1e-6"]  # fmt: skip
        for name in ("fixed-batches", "shuffled"):
            result = run("account", *loop, "--epochs", "5", "--sampling", name)
            text = " ".join(result.stdout.split())
            self.assertIn("each example in at most 5 batches", text)
            self.assertIn("not Poisson, whose figure for the same numbers would not hold", text)
            self.assertIn("its place stays empty", text)
            # 782 steps are six epochs of the 156 full batches.
            steps = answer("account", *loop, "--steps", "782", "--sampling", name)
            self.assertEqual(steps["plan"]["steps_of_an_example"], 6)
            self.assertEqual(steps["composition"]["phases"][0]["count"], 6)
        replaced = answer("account", *loop, "--epochs", "5", "--sampling", "fixed-batches",
                          "--neighbouring", "replace-one")  # fmt: skip
        self.assertEqual(replaced["neighbouring"], "replace-one")
        self.assertIn("2 C", replaced["statement"]["text"])
        help_text = run("account", "--help").stdout
        self.assertIn("leave every other example in its batch", help_text)

    def test_no_sampling_does_not_speak_of_epochs(self):
        text = run("account", "--sampling-rate", "1", "--noise-multiplier", "2", "--steps", "5",
                   "--delta", "1e-6").stdout  # fmt: skip
        self.assertIn("every release may use every example", " ".join(text.split()))
        self.assertNotIn("epoch", text)

    def test_truncated_poisson_samples_pay_for_what_is_cut(self):
        loop = [*RUN, "--dataset-size", "1000", "--delta", "1e-5"]
        free = answer("account", *loop)["epsilon"]["pld_upper"]
        cut = answer("account", *loop, "--sampling", "truncated-poisson", "--largest-batch", "90")
        self.assertGreater(cut["epsilon"]["pld_upper"], free)
        whole = answer(
            "account", *loop, "--sampling", "truncated-poisson", "--largest-batch", "1000"
        )
        self.assertAlmostEqual(whole["epsilon"]["pld_upper"], free, places=3)

    def test_a_curve_ends_with_the_whole_and_its_points_are_runs(self):
        result = answer("account", *RUN, "--delta", "1e-5", "--every", "1000")
        curve = result["curve"]
        self.assertEqual([point["steps"] for point in curve], [1000, 2000, 2250])
        for key in ("rdp", "pld_lower", "pld_upper"):
            self.assertEqual(curve[-1][key], result["epsilon"][key])
            self.assertLess(curve[0][key], curve[1][key])
        some = answer("account", *RUN[:-1], "1000", "--delta", "1e-5")["epsilon"]
        self.assertEqual(curve[0]["rdp"], some["rdp"])
        self.assertEqual(curve[0]["pld_upper"], some["pld_upper"])
        text = run("account", *RUN, "--delta", "1e-5", "--every", "1000").stdout
        self.assertRegex(text, r"steps +epsilon \(pld\) +epsilon \(rdp\)\n +1000 +\d+\.\d{4} ")
        epochs = answer("account", "--sampling", "fixed-batches", "--epochs", "3",
                        "--noise-multiplier", "2", "--delta", "1e-5", "--every", "2")  # fmt: skip
        self.assertEqual([point["epochs"] for point in epochs["curve"]], [2, 3])

    def test_a_search_costs_what_the_theorem_says(self):
        # dp_accounting 0.6, RepeatAndSelectDpEvent of mean 10 on a list of orders: never below.
        loop = ["--sampling-rate", "0.01", "--noise-multiplier", "1.1", "--steps", "1000",
                "--delta", "1e-6", "--search-trials", "10"]  # fmt: skip
        for options, known in (
            (["geometric"], 3.6926891523457126),
            (["logarithmic"], 3.1787456117955797),
            (["negative-binomial", "--search-shape", "0.5"], 3.451057450838891),
            (["poisson"], 3.9100138654189607),
        ):
            result = answer("account", *loop, "--search-distribution", *options)
            search = result["search"]
            self.assertLessEqual(search["epsilon"], known)
            self.assertGreaterEqual(search["epsilon"], known * (1 - 1e-4))
            self.assertAlmostEqual(search["mean_trials"], 10, places=6)
            self.assertEqual(result["statement"]["epsilon"], search["epsilon"])
            self.assertEqual(result["statement"]["accountant"], "rdp")
        self.assertIn("Releasing the best trial is", run("account", *loop).stdout)

    def test_the_statement_holds_the_answer(self):
        for accountant, key in (("pld", "pld_upper"), ("rdp", "rdp")):
            result = answer("account", *RUN, "--delta", "1e-5", "--accountant", accountant,
                            "--unit", "visit")  # fmt: skip
            statement = result["statement"]
            self.assertEqual(statement["epsilon"], result["epsilon"][key])
            self.assertEqual(statement["accountant"], accountant)
            self.assertEqual(statement["unit"], "visit")
            for line in statement["text"].splitlines():
                self.assertLessEqual(len(line), 80)
        result = answer("account", *RUN, "--epsilon", "7")
        self.assertEqual(result["statement"]["delta"], result["delta"]["pld_upper"])
        self.assertEqual(result["statement"]["certified_lower"], result["delta"]["pld_lower"])

    def test_sampling_without_replacement_names_its_relation(self):
        result = answer("account", "--sampling", "without-replacement", *RUN, "--delta", "1e-5")
        self.assertEqual(result["neighbouring"], "replace-one")

    def test_refusals_name_argument_value_and_range(self):
        for arguments, parts in [
            (["--sampling-rate", "1.5", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-5"],
             ["--sampling-rate", "1.5", "[0, 1]"]),
            ([*RUN, "--delta", "0"], ["--delta", "0", "(0, 1)"]),
            ([*RUN, "--epsilon", "-1"], ["--epsilon", "-1", ">= 0"]),
            ([*RUN], ["--delta", "--epsilon"]),
            ([*RUN, "--delta", "1e-5", "--epsilon", "1"], ["--delta", "--epsilon"]),
            (["--phase", "0.1,1", "--delta", "1e-5"], ["--phase", "0.1,1", "Q,S,T"]),
            (["--delta", "1e-5"], ["nothing to account for"]),
            (["--sampling", "bernoulli", *RUN, "--delta", "1e-5"],
             ["--sampling = bernoulli", "poisson", "shuffled"]),
            (["--sampling", "shuffled", "--noise-multiplier", "1", "--steps", "9", "--delta", "1e-5"],
             ["--sampling-rate", "is missing"]),
            ([*RUN, "--neighbouring", "replace-one", "--delta", "1e-5"],
             ["--neighbouring = replace-one, expected add-or-remove-one with --sampling poisson"]),
            ([*RUN, "--epochs", "1", "--delta", "1e-5"], ["--steps and --epochs"]),
            ([*RUN, "--batch-size", "1", "--delta", "1e-5"], ["--sampling-rate and --batch-size"]),
            (["--batch-size", "20", "--dataset-size", "10", "--noise-multiplier", "1", "--epochs",
              "1", "--delta", "1e-5"], ["--batch-size = 20, expected <= --dataset-size = 10"]),
            (["--dataset-size", "0", "--batch-size", "1", "--noise-multiplier", "1", "--epochs", "1",
              "--delta", "1e-5"], ["--dataset-size = 0, expected >= 1"]),
            (["--dataset-size", "10", "--noise-multiplier", "1", "--epochs", "1", "--delta", "1e-5"],
             ["--batch-size is missing"]),
            (["--noise-multiplier", "1", "--epochs", "1", "--delta", "1e-5"],
             ["--sampling-rate", "--dataset-size", "missing"]),
            (["--sampling-rate", "0.1", "--noise-multiplier", "1", "--epochs", "-1", "--delta",
              "1e-5"], ["--epochs = -1, expected finite and >= 0"]),
            ([*RUN, "--delta", "1e-5", "--every", "0"], ["--every = 0, expected >= 1"]),
            (["--noise-multiplier", "9", "--steps", "1000000", "--delta", "1e-5", "--every", "1"],
             ["--every = 1, expected >= 100"]),
            ([*RUN, "--epsilon", "1", "--every", "10"], ["--every", "go with --delta"]),
            ([*RUN, "--delta", "1e-5", "--group-size", "0"], ["--group-size = 0, expected >= 1"]),
            ([*RUN, "--delta", "1e-5", "--search-trials", "0.5"],
             ["--search-trials = 0.5, expected >= 1"]),
            ([*RUN, "--delta", "1e-5", "--search-trials", "9", "--search-distribution", "fixed"],
             ["--search-distribution = fixed, expected geometric"]),
            ([*RUN, "--delta", "1e-5", "--search-trials", "9", "--group-size", "2"],
             ["do not go together"]),
            ([*RUN, "--delta", "1e-5", "--sampling", "truncated-poisson", "--dataset-size", "100"],
             ["--largest-batch is missing"]),
            ([*RUN, "--delta", "1e-5", "--largest-batch", "100"], ["--largest-batch goes with"]),
            ([*RUN, "--delta", "1e-5", "--accountant", "clt"], ["--accountant = clt, expected pld"]),
        ]:  # fmt: skip
            result = run("account", *arguments)
            self.assertEqual(result.returncode, 2, result.stderr)
            for part in parts:
                self.assertIn(part, result.stderr)


class Calibrate(unittest.TestCase):
    def test_the_result_spends_at_most_the_budget_and_a_little_less_noise_more(self):
        for accountant in ("pld", "rdp"):
            found = answer(
                "calibrate", "--sampling-rate", "0.0341333333", "--steps", "1172", "--epsilon", "3",
                "--delta", "1e-5", "--accountant", accountant,
            )  # fmt: skip
            noise = found["noise_multiplier"]
            # Fashion-MNIST, batch 2048, 40 epochs: PRV 1.809, RDP 1.929 (three decimals).
            self.assertAlmostEqual(noise, {"pld": 1.809, "rdp": 1.929}[accountant], delta=0.004)
            self.assertLessEqual(found["epsilon"], 3.0)
            for factor, within in ((1.0, True), (0.997, False)):
                spent = answer(
                    "account", "--sampling-rate", "0.0341333333", "--steps", "1172",
                    "--noise-multiplier", repr(noise * factor), "--delta", "1e-5",
                )["epsilon"]["pld_upper" if accountant == "pld" else "rdp"]  # fmt: skip
                self.assertEqual(spent <= 3.0, within)

    def test_text_is_rounded_up(self):
        text = run("calibrate", "--steps", "1", "--epsilon", "1", "--delta", "1e-5").stdout
        noise = float(text.split("noise multiplier ")[1].split(":")[0])
        self.assertGreaterEqual(noise, 3.730631634)
        self.assertTrue(math.isfinite(noise))

    def test_every_quantity_is_the_last_that_the_budget_allows(self):
        plan = {"--sampling-rate": "0.01", "--noise-multiplier": "1.2", "--steps": "3000",
                "--epsilon": "2", "--delta": "1e-5"}  # fmt: skip
        for accountant, key in (("pld", "pld_upper"), ("rdp", "rdp")):
            for option, name, beyond in (
                ("--noise-multiplier", "noise_multiplier", lambda noise: noise * 0.998),
                ("--sampling-rate", "sampling_rate", lambda rate: rate * 1.002),
                ("--steps", "steps", lambda steps: steps + 1),
            ):
                given = [part for pair in plan.items() if pair[0] != option for part in pair]
                found = answer("calibrate", *given, "--accountant", accountant)
                self.assertEqual(found["accountant"], accountant)
                self.assertLessEqual(found["epsilon"], 2)
                self.assertEqual(found["statement"]["epsilon"], found["guarantee"]["epsilon"])
                for value, within in ((found[name], True), (beyond(found[name]), False)):
                    whole = {**plan, option: repr(value)}
                    del whole["--epsilon"]
                    spent = answer("account", *[part for pair in whole.items() for part in pair])
                    self.assertEqual(spent["epsilon"][key] <= 2, within, (accountant, option))
            whole = [part for pair in plan.items() if pair[0] != "--epsilon" for part in pair]
            found = answer("calibrate", *whole, "--accountant", accountant)
            self.assertEqual(found["solved"], "epsilon")
            self.assertEqual(found["epsilon"], answer("account", *whole)["epsilon"][key])
            whole = [part for pair in plan.items() if pair[0] != "--delta" for part in pair]
            found = answer("calibrate", *whole, "--accountant", accountant)
            self.assertEqual(found["solved"], "delta")
            self.assertEqual(found["delta"], answer("account", *whole)["delta"][key])

    def test_published_calibrations(self):
        # Fashion-MNIST at delta = 1e-5 (N = 60000): noise by a PRV accountant and by RDP on a list
        # of orders, to three decimals; PRV allows an error of 0.01 in epsilon.
        for batch, epochs, epsilon, rdp, prv in (
            ("2048", "40", "2", 2.660, 2.478),
            ("8192", "40", "1", 9.580, 8.832),
            ("8192", "100", "3", 5.618, 5.234),
        ):
            for accountant, known in (("rdp", rdp), ("pld", prv)):
                found = answer(
                    "calibrate", "--dataset-size", "60000", "--batch-size", batch, "--epochs",
                    epochs, "--epsilon", epsilon, "--delta", "1e-5", "--accountant", accountant,
                )  # fmt: skip
                self.assertEqual(found["steps"], math.ceil(int(epochs) * 60000 / int(batch)))
                self.assertLessEqual(abs(found["noise_multiplier"] - known), 0.01 * known)
                self.assertLessEqual(found["epsilon"], float(epsilon))
        # dp_accounting/pld: epsilon 1, delta 1e-5, one release at q = 0.01: 0.67379294682.
        found = answer("calibrate", "--sampling-rate", "0.01", "--steps", "1", "--epsilon", "1",
                       "--delta", "1e-5", "--tolerance", "1e-6")  # fmt: skip
        self.assertAlmostEqual(found["noise_multiplier"], 0.67379294682, delta=1e-3)

    def test_batch_size_and_epochs(self):
        budget = ["--noise-multiplier", "1.2", "--dataset-size", "60000", "--epsilon", "2",
                  "--delta", "1e-5", "--accountant", "rdp"]  # fmt: skip
        found = answer("calibrate", *budget, "--steps", "3000")
        self.assertEqual(found["solved"], "batch-size")
        for more, within in ((0, True), (1, False)):
            spent = answer(
                "account", "--dataset-size", "60000", "--batch-size", str(found["batch_size"] + more),
                "--steps", "3000", "--noise-multiplier", "1.2", "--delta", "1e-5",
            )  # fmt: skip
            self.assertEqual(spent["epsilon"]["rdp"] <= 2, within)
        found = answer("calibrate", *budget, "--batch-size", "256")
        self.assertEqual(found["solved"], "epochs")
        spent = answer(
            "account", "--dataset-size", "60000", "--batch-size", "256", "--noise-multiplier", "1.2",
            "--epochs", repr(found["epochs"]), "--delta", "1e-5",
        )  # fmt: skip
        self.assertEqual(spent["plan"]["steps"], found["steps"])
        self.assertLessEqual(spent["epsilon"]["rdp"], 2)
        text = run("calibrate", *budget, "--batch-size", "256").stdout
        self.assertLessEqual(float(text.split("epochs ")[1].split(":")[0]), found["epochs"])
        # mu = sqrt(epochs) / 3 of unsampled releases; 4 epochs fit, 5 do not.
        found = answer("calibrate", "--sampling", "shuffled", "--noise-multiplier", "3", "--epsilon",
                       "3", "--delta", "1e-5")  # fmt: skip
        self.assertEqual(found["epochs"], 4)
        self.assertLessEqual(gaussian_delta(3, math.sqrt(4) / 3), 1e-5)
        self.assertGreater(gaussian_delta(3, math.sqrt(5) / 3), 1e-5)

    def test_what_was_spent_before_counts(self):
        budget = ["--steps", "1", "--epsilon", "1", "--delta", "1e-5", "--phase", "1,6,1"]
        found = answer("calibrate", *budget)["noise_multiplier"]
        # mu of both: 1 / 3.730631634, the multiplier that spends the whole budget.
        exact = 1 / math.sqrt(3.730631634**-2 - 6**-2)
        self.assertGreaterEqual(found, exact * (1 - 1e-9))
        self.assertLessEqual(found, exact * 1.0002)
        replaced = answer("calibrate", "--sampling", "without-replacement", "--sampling-rate", "0.01",
                          "--steps", "100", "--epsilon", "1", "--delta", "1e-5", "--accountant",
                          "rdp")  # fmt: skip
        self.assertEqual(replaced["neighbouring"], "replace-one")
        spent = answer("account", "--sampling", "without-replacement", "--sampling-rate", "0.01",
                       "--steps", "100", "--noise-multiplier", repr(replaced["noise_multiplier"]),
                       "--delta", "1e-5")["epsilon"]["rdp"]  # fmt: skip
        self.assertEqual(spent, replaced["epsilon"])

    def test_conflicts_and_missing_arguments(self):
        noise = ["--noise-multiplier", "1"]
        rest = ["--sampling-rate", "0.1", "--steps", "10", "--epsilon", "1", "--delta", "1e-5"]
        for arguments, parts in [
            ([*noise, *rest], ["nothing is left to be found"]),
            (rest[2:4], ["--noise-multiplier", "--epsilon", "--delta", "are missing"]),
            ([*noise, *rest, "--solve", "noise"],
             ["--noise-multiplier is given and --solve noise asks for it"]),
            ([*rest[:-2], "--solve", "noise"], ["--delta is missing"]),
            ([*rest, "--solve", "clip"], ["--solve = clip, expected noise"]),
            ([*noise, *rest[2:], "--solve", "batch-size"], ["--dataset-size is missing"]),
            ([*noise, "--epochs", "3", *rest[4:], "--solve", "sampling-rate"],
             ["--epochs and --solve sampling-rate do not go together"]),
            ([*noise, *rest[4:], "--solve", "epochs"], ["--sampling-rate", "is missing"]),
            ([*noise, *rest[4:], "--sampling", "shuffled", "--solve", "steps"],
             ["--solve = steps, expected epochs with --sampling shuffled"]),
            ([*noise, *rest[2:], "--sampling", "fixed-batches", "--solve", "sampling-rate"],
             ["--solve = sampling-rate, expected another quantity"]),
            ([*rest, "--phase", "1,1,1"], ["--epsilon = 1, expected >= 4.3772"]),
            ([*rest, "--tolerance", "1"], ["--tolerance = 1, expected in (0, 1)"]),
            ([*rest[:-1], "2"], ["--delta = 2, expected in (0, 1)"]),
        ]:  # fmt: skip
            result = run("calibrate", *arguments)
            self.assertEqual(result.returncode, 2, (arguments, result.stdout, result.stderr))
            for part in parts:
                self.assertIn(part, result.stderr)

    def test_refusals(self):
        result = run("calibrate", "--steps", "10", "--epsilon", "0", "--delta", "1e-5")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--epsilon = 0, expected finite and > 0", result.stderr)
        result = run("calibrate", "--steps", "10", "--epsilon", "1", "--delta", "1e-5",
                     "--accountant", "clt")  # fmt: skip
        self.assertEqual(result.returncode, 2)
        self.assertIn("pld or rdp", result.stderr)


if __name__ == "__main__":
    unittest.main()
