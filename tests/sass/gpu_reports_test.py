#!/usr/bin/env python3
"""scripts/gpu-reports: what is stale and what is not, and how tables of a page are written anew."""

import importlib.machinery
import importlib.util
import sys
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu-reports"
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("gpu_reports", str(SCRIPT))
gpu_reports = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("gpu_reports", loader)
)
loader.exec_module(gpu_reports)
Range = gpu_reports.roofline.Range

PAGE = """text
Prediction for sm_80: instructions

| case | instr. |
|---|---|
| old | 1 |

Prediction for sm_90: instructions

| case | instr. |
|---|---|
| old | 2 |

| case | time | ratio | where it goes |
|---|---|---|---|
| b | 3 us | 1.30 | tables, of which \\| is one |
| a | 4 us | 1.40 | issue |
end"""


class WithoutCase(unittest.TestCase):
    def test_kernels_that_no_case_launches_are_named(self):
        kernels = {"b": {}, "a": {}, "c": {}}
        text = gpu_reports.without_case(kernels, [{"kernel": "b"}, {"kernel": "b"}])
        self.assertIn("No case launches 2 of 3 kernels", text)
        self.assertEqual([line for line in text.splitlines() if "`" in line], ["- `a`", "- `c`"])
        self.assertEqual(gpu_reports.without_case(kernels, [{"kernel": k} for k in "abc"]), "")


class Stale(unittest.TestCase):
    def test_lines_agree_within_five_percent_and_half_a_unit_each(self):
        for kept, found, same in [
            ("| a | 100.0 us |", "| a | 105.0 us |", True),
            ("| a | 100.0 us |", "| a | 105.2 us |", False),
            ("| a | 100.0 us |", "| a | 94.8 us |", False),
            ("| a | 0.1 |", "| a | 0.2 |", True),  # 0.149 and 0.151
            ("| a | 0.1 |", "| a | 0.3 |", False),
            ("| a | 0 % |", "| a | 1 % |", True),
            ("| a | 0 % |", "| a | 2 % |", False),
            ('{"seconds": [2.887e-06, 6e-06]}', '{"seconds": [2.99e-06, 6e-06]}', True),
            ('{"seconds": [2.887e-06, 6e-06]}', '{"seconds": [3.1e-06, 6e-06]}', False),
        ]:
            with self.subTest(kept=kept, found=found):
                self.assertEqual(gpu_reports.agree(kept, found), same)

    def test_counts_have_no_half_units(self):
        self.assertFalse(gpu_reports.agree("| k | 3 | 128 |", "| k | 2 | 128 |"))
        self.assertFalse(gpu_reports.agree("| k | 0 | 128 |", "| k | 1 | 128 |"))  # a spill
        self.assertTrue(gpu_reports.agree("| k | 3 | 128 |", "| k | 3 | 130 |"))

    def test_names_and_bounds_are_equal_or_stale(self):
        self.assertFalse(gpu_reports.agree("| ntt/log_n:16 | dram |", "| ntt/log_n:17 | dram |"))
        self.assertFalse(gpu_reports.agree("| sm_80 | 1.0 |", "| sm_81 | 1.0 |"))
        self.assertFalse(gpu_reports.agree("| a | 1.0 us (dram) |", "| a | 1.0 us (l2) |"))
        self.assertFalse(gpu_reports.agree("| a | 1 - 2 us |", "| a | 1 us |"))

    def test_a_finding_names_the_line_and_what_it_should_be(self):
        (finding,) = gpu_reports.stale("f.md", "head\n| a | 1.00 |\n", "head\n| a | 2.00 |\n")
        self.assertEqual(finding, "f.md:2: is    | a | 1.00 |\nf.md:2: should | a | 2.00 |")
        self.assertEqual(gpu_reports.stale("f.md", "a\n", "a\n"), [])
        self.assertEqual(
            gpu_reports.stale("f.md", "a\n", "a\nb\n"), ["f.md: has 1 lines, should have 2"]
        )
        self.assertEqual(gpu_reports.stale("f.md", "", "a\n"), ["f.md: has 0 lines, should have 1"])


class Pages(unittest.TestCase):
    def setUp(self):
        self.lines = PAGE.split("\n")

    def test_tables_with_one_head_are_told_by_the_line_above(self):
        new = ["| case | instr. |", "|---|---|", "| new | 5 |", "| more | 6 |"]
        gpu_reports.replace_table(self.lines, new, "Prediction for sm_90: instructions")
        text = "\n".join(self.lines)
        self.assertIn("| old | 1 |", text)
        self.assertNotIn("| old | 2 |", text)
        self.assertIn("| new | 5 |\n| more | 6 |\n\n| case | time", text)
        with self.assertRaisesRegex(gpu_reports.Failure, "expected one table"):
            gpu_reports.replace_table(self.lines, new)
        with self.assertRaisesRegex(gpu_reports.Failure, "expected one line"):
            gpu_reports.replace_table(self.lines, new, "Prediction for sm_70: instructions")

    def test_reasons_stay_where_figures_change(self):
        figures = {"a": {1: "9 us", 2: "1.50"}, "b": {1: "8 us"}, "c": {1: "7 us"}}
        gpu_reports.refill_table(self.lines, "| case | time |", figures)
        self.assertEqual(
            self.lines[-3:],
            [
                "| b | 8 us | 1.30 | tables, of which \\| is one |",
                "| a | 9 us | 1.50 | issue |",
                "end",
            ],
        )
        with self.assertRaisesRegex(gpu_reports.Failure, "has b, which is no case"):
            gpu_reports.refill_table(self.lines, "| case | time |", {"a": {}})

    def test_a_row_that_is_new_waits_for_its_reason_and_one_that_is_gone_goes(self):
        figures = {"c": {1: "7 us"}, "a": {1: "9 us"}}
        gpu_reports.refill_table(self.lines, "| case | time |", figures, added=str)
        self.assertEqual(self.lines[-3:-1], ["| a | 9 us | 1.40 | issue |", "| c | 7 us | ? | ? |"])

    def test_a_row_without_a_reason_is_a_finding(self):
        (finding,) = gpu_reports.without_reason("a ?\n| b | what? |\n| c | 0.5 | ? |\n")
        self.assertIn(":3: why? | c | 0.5 | ? |", finding)

    def test_cells(self):
        self.assertEqual(gpu_reports.time_text(Range(1e-6, 2e-6)), "1 - 2 us")
        self.assertEqual(gpu_reports.time_text(Range(9e-4, 2e-3)), "900 us - 2 ms")
        self.assertEqual(gpu_reports.time_text(Range(2e-6)), "2 us")

    def test_above_the_aim_at_either_end(self):
        def row(case, low, high):
            return {"case": case, "device": "D", "ratio": Range(low, high), "bound": "dram/l2"}

        rows = [row("a", 1.0, 1.3), row("b", 1.0, 1.31), row("c", 1.4, 1.2), {"case": "d"}]
        rows.append(row("ntt_forward/word:32/log_n:14/polys:2", 2.0, 2.0))  # not representative
        table = gpu_reports.above_aim(rows)
        self.assertEqual(
            table[2:],
            ["| b | D | 1.00 | dram | 1.31 | l2 |", "| c | D | 1.40 | dram | 1.20 | l2 |"],
        )

    def test_kernels_that_are_partly_coalesced(self):
        rows = [{"kernel": k, "coalesced": c} for k, c in (("a", 1.0), ("b", 0.5), ("b", 0.996))]
        self.assertEqual(gpu_reports.partly_coalesced(rows), {"`b`": {1: "0.50 - 1.00"}})


class Butterflies(unittest.TestCase):
    ENTRY = {"case": "ntt/log_n:4", "arch": "sm_90", "instructions": 8.5, "most": 9}

    def findings(self, now, **changes):
        entry = {**self.ENTRY, **changes}
        return gpu_reports.butterfly_findings([entry], [{**entry, "instructions": now}])

    def test_more_than_the_limit_or_five_percent_more_fails(self):
        self.assertEqual(self.findings(8.9), [])
        self.assertEqual(len(self.findings(8.95)), 1)  # 5 %
        self.assertEqual(len(self.findings(9.01, instructions=8.9)), 1)  # the limit
        self.assertEqual(self.findings(9.9, instructions=9.7, most=None), [])

    def test_are_all_instructions_of_a_case_over_its_butterflies(self):
        case = {"name": "ntt/log_n:4", "element": "word", "elements": 64, "emulated_elements": 64}
        line = {"file": "a/b/c.h", "line": 3, "ptx_instructions": 4, "warp_instructions": 32}
        launch = {"kernel": "k", "lines": [line], "executions": [8], "threads": 256}
        code = {
            "sm_90": {"k": ([("alu", ("a/b/c.h", 3), False), ("ldg", ("a/b/c.h", 3), False)], [])}
        }
        # Two launches of two instructions, eight warps each: 16 of a coefficient, which has two butterflies.
        (found,) = gpu_reports.butterflies(
            {"butterflies": [self.ENTRY]}, [(case, [launch, launch])], code
        )
        self.assertEqual(found, {**self.ENTRY, "instructions": 8.0})


if __name__ == "__main__":
    unittest.main()
