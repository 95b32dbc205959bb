#!/usr/bin/env python3
"""velum explain: its table, its JSON, what it refuses."""

import json
import os
import subprocess
import sys
import unittest

VELUM = sys.argv.pop(1) if len(sys.argv) > 1 else "velum"


def run(*arguments):
    environment = {**os.environ, "VELUM_COST_MODEL": "default"}
    return subprocess.run(
        [VELUM, "explain", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


class Explain(unittest.TestCase):
    def test_every_parameter_has_a_row(self):
        result = run("--model", "cnn", "--batch-size", "16", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["cost_model"], "default")
        self.assertEqual([use["parameter"] for use in answer["uses"]], list(range(8)))
        self.assertEqual(answer["uses"][0]["sizes"], [16, 1, 8, 8])
        self.assertEqual(answer["uses"][0]["operation"], "ConvolutionBackward0")
        self.assertEqual(answer["uses"][4]["method"], "outer product")
        for use in answer["uses"]:
            self.assertIn(use["method"], use["methods"])
            self.assertGreater(use["seconds"], 0)
            self.assertEqual(list(use["seconds_by_method"]), use["methods"])
            self.assertEqual(use["seconds_by_method"][use["method"]], use["seconds"])

    def test_the_table_shows_the_methods(self):
        result = run("--model", "mlp", "--batch-size", "8")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 step, 784 -> 256", result.stdout)
        self.assertIn("outer product", result.stdout)
        self.assertIn("cost model: default", result.stdout)

    def test_a_method_replaces_the_cheapest(self):
        for method in ("tiles", "kept", "gram"):
            result = run("--model", "cnn", "--batch-size", "4", "--method", f"2={method}", "--json")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(json.loads(result.stdout)["uses"][2]["method"], method)

    def test_what_does_not_apply_is_refused(self):
        for arguments, text in (
            (["--method", "4=gram"], "has no method gram, expected one of: outer product"),
            (["--method", "99=gram"], "parameter 99 of 8"),
            (["--method", "2=best"], '"best", expected one of: outer product, gram'),
            (["--method", "gram"], "--method = gram, expected the number of a parameter"),
            (["--model", "rnn"], "rnn"),
            (["--batch-size", "0"], "--batch-size = 0, expected 1 to 1000000"),
        ):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    unittest.main()
