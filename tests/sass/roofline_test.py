#!/usr/bin/env python3
"""scripts/roofline: what is read from nvdisasm's text, the model on figures computed by hand, and what is refused."""

import collections
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import math
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "roofline"
loader = importlib.machinery.SourceFileLoader("roofline", str(SCRIPT))
roofline = importlib.util.module_from_spec(importlib.util.spec_from_loader("roofline", loader))
loader.exec_module(roofline)
import per_element  # noqa: E402  (found by the script)
from sass import CLASSES  # noqa: E402

LISTING = """
	.section	.text._Z1kPj,"ax",@progbits
        .type           _Z1kPj,@function
_Z1kPj:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
	//## File "/build/../kernels/src/cuda/k.cu", line 7
        /*0010*/              @!P0 IMAD.WIDE.U32 R2, R3, 0x4, R12 ;
	//## File "/build/../kernels/src/random/body.h", line 3
        /*0020*/                   LOP3.LUT R4, R4, R5, R6, 0x96, !PT ;
        /*0030*/                   IADD3 R4, R4, R5, RZ ;
        /*0040*/                   EXIT ;
$__internal_0_$__cuda_sm20_div_u64:
	//## File "/build/../kernels/src/random/body.h", line 3
        /*0050*/                   IMAD.HI.U32 R20, R26, R21, RZ ;
.L_x_1:
        /*0060*/                   DADD R2, R2, R4 ;
.L_x_2:
        /*0070*/                   BRA `(.L_x_2);
        /*0080*/                   NOP;
        /*0090*/                   NOP;

	.section	.text._Z1mv,"ax",@progbits
        /*0000*/                   EXIT ;
"""

# Two multiprocessors at 1 GHz: 64 slots of each pipe a nanosecond.
DEVICE = {
    "name": "Two",
    "arch": "sm_90",
    "sms": 2,
    "clock_hz": 1e9,
    "hbm_bytes_per_second": [50e9, 100e9],
    "l2_bytes": 1 << 20,
    "l2_bytes_per_second": [200e9, 400e9],
    "issue_per_clock": 4,
    "launch_seconds": [1e-6, 4e-6],
    "pipes": [
        {"name": "multiply", "lanes": 64, "classes": {"imad": 1, "imad wide": [1, 2]}},
        {"name": "alu", "lanes": 32, "classes": {"alu": 1}},
    ],
}


def traffic(requests=0, sectors=0, ideal=0):
    return {"requests": requests, "bytes": 0, "sectors": sectors, "ideal_sectors": ideal}


def banks(requests=0, wavefronts=0, ideal=0):
    return {"requests": requests, "wavefronts": wavefronts, "ideal_wavefronts": ideal}


def launch(**changes):
    """Four blocks of two warps; one line of four PTX instructions that each warp runs ten times."""
    figures = {
        "label": "case",
        "kernel": "_Z1kPj",
        "grid": [4, 1, 1],
        "block": [64, 1, 1],
        "dynamic_shared_bytes": 0,
        "count": 1,
        "global": {
            "load": traffic(100, 400, 400),
            "store": traffic(100, 1600, 800),
            "atomic": traffic(),
        },
        "footprint": {"read_bytes": 12_800, "written_bytes": 12_800},
        "shared": {"load": banks(50, 150, 50), "store": banks(50, 50, 50), "atomic": banks()},
        "lines": [
            {
                "file": "kernels/src/random/body.h",
                "line": 3,
                "ptx_instructions": 4,
                "warp_instructions": 320,
            }
        ],
        "executions": [8, 80, 8],
        "ptx_instructions": 4,
        "warp_instructions": 320,
        "threads": 256,
        "blocks": 4,
    }
    return {**figures, **changes}


PTX = """
.visible .entry _Z1kPj(
.param .u64 _Z1kPj_param_0
)
{
.reg .b32 %r<9>;
.loc 1 7 0
ld.param.u64 %rd1, [_Z1kPj_param_0];
@%p1 bra $L__BB0_3;

$L__BB0_2:
.loc 2 3 5, function_name $L__info_string0, inlined_at 1 7 5
ld.global.u32 %r1, [%rd1];
ld.global.v2.u32 {%r2, %r3}, [%rd1+8];
mad.lo.s32 %r1, %r1, %r2, %r3;
.loc 2 4 5
add.rn.f64 %fd1, %fd1, %fd2;
.loc 1 9 5
setp.lt.s32 %p2, %r1, %r3;
@%p2 bra $L__BB0_2;

$L__BB0_3:
.loc 1 9 5
st.shared.u32 [%r1], %r2;
ret;
}
.file 1 "/build/../kernels/src/cuda/k.cu"
.file 2 "/build/../kernels/src/random/body.h"
"""

CODE = {
    "sm_90": {
        "_Z1kPj": (
            [
                ("alu", ("src/random/body.h", 3), False),
                ("alu", ("src/random/body.h", 3), False),
                ("imad wide", ("src/random/body.h", 3), False),
            ],
            [],
        )
    }
}
RESOURCES = {("sm_90", "_Z1kPj"): {"registers": 32, "shared_bytes": 0}}
CASE = {"name": "case", "element": "word", "elements": 12_800, "emulated_elements": 6400}


class MachineCode(unittest.TestCase):
    def test_instructions_have_the_line_above_them(self):
        found = per_element.parse_line_info(LISTING)
        body = ("src/random/body.h", 3)
        self.assertEqual(
            found["_Z1kPj"],
            [
                ("constant", None, False),
                ("imad wide", ("src/cuda/k.cu", 7), False),
                ("alu", body, False),
                ("alu", body, False),
                ("control", body, False),
                ("imad hi", body, True),
                ("fp64", body, True),
            ],
        )
        self.assertEqual(found["_Z1mv"], [("control", None, False)])

    def test_an_instruction_is_issued_as_often_as_the_ptx_of_its_line(self):
        # The line: 320 / 4 = 80 times. What comes before: once for each of the eight warps. The line that
        # the profile does not have goes with the one before it. The subroutine is not run.
        body = [
            ("constant", None, False),
            ("alu", ("src/random/body.h", 3), False),
            ("imad", ("src/other/x.h", 9), False),
            ("fp64", ("src/random/body.h", 3), True),
        ]
        self.assertEqual(
            per_element.issued(launch(), body, []),
            collections.Counter({"constant": 8, "alu": 80, "imad": 80}),
        )

    def test_ptx_by_basic_block_line_and_family(self):
        kernel, body = "src/cuda/k.cu", "src/random/body.h"
        self.assertEqual(
            per_element.parse_ptx(PTX)["_Z1kPj"],
            [
                {(kernel, 7): {"other": 2}},
                {
                    (body, 3): {"access": 2, "multiply": 1},
                    (body, 4): {"fp64": 1},
                    (kernel, 9): {"other": 2},
                },
                {(kernel, 9): {"access": 1, "other": 1}},
            ],
        )

    def test_families_of_a_line_are_executed_as_often_as_theirs_is_in_ptx(self):
        # Line 9: two instructions in the block that runs 80 times, a store and a return in one that runs 8 times.
        blocks = per_element.parse_ptx(PTX)["_Z1kPj"]
        place = ("src/cuda/k.cu", 9)
        code = [("sts", place, False), ("alu", place, False), ("fp64", place, False)]
        self.assertEqual(
            per_element.issued(launch(), code, blocks),
            collections.Counter({"sts": 8, "alu": (2 * 80 + 8) / 3, "fp64": (2 * 80 + 2 * 8) / 4}),
        )

    def test_copies_are_told_by_loads_and_stores(self):
        # Six loads for two: the loop is there three times, and with it the line that only adds. Line 9 is two
        # instructions of the loop and two outside of it, whose store is there once.
        kernel, body = "src/cuda/k.cu", "src/random/body.h"
        blocks = per_element.parse_ptx(PTX)["_Z1kPj"]
        code = [("ldg", (body, 3), False)] * 6 + [("sts", (kernel, 9), False)]
        self.assertEqual(
            per_element.replication(blocks, code),
            {(kernel, 7): 1, (body, 3): 3, (body, 4): 3, (kernel, 9): 2},
        )
        self.assertEqual(set(per_element.replication(blocks, []).values()), {1})
        # A block without accesses is told by its arithmetic, unless a quotient is there, too.
        alone = [{(body, 4): collections.Counter(fp64=2)}]
        code_of = [("fp64", (body, 4), False)] * 8
        self.assertEqual(per_element.replication(alone, code_of), {(body, 4): 4})
        alone[0][body, 4]["expanded"] = 1
        self.assertEqual(per_element.replication(alone, code_of), {(body, 4): 1})
        # The copies share the loop's 80 turns: two loads each.
        self.assertEqual(per_element.issued(launch(), code, blocks)["ldg"], 160)


class Model(unittest.TestCase):
    def times(self, scale=1, share=1, **changes):
        entry = launch(**changes)
        counts = per_element.issued(entry, *CODE["sm_90"]["_Z1kPj"])  # 160 alu, 80 imad wide
        found = roofline.launch_times(entry, counts, DEVICE, scale, share)
        return {name: (time.low, time.high) for name, time in found.items()}

    def assert_close(self, value, expected, what=None):
        self.assertTrue(math.isclose(value, expected, rel_tol=1e-9), (what, value, expected))

    def assert_times(self, found, expected):
        self.assertEqual(found.keys(), expected.keys())
        for name, (low, high) in expected.items():
            self.assert_close(found[name][0], low, name)
            self.assert_close(found[name][1], high, name)

    def test_times_of_a_launch_by_hand(self):
        self.assert_times(
            self.times(),
            {
                # 80 warps x 32 lanes / 64 lanes / 2 multiprocessors, or twice the slots
                "multiply": (20e-9, 40e-9),
                "alu": (80e-9, 80e-9),  # 160 x 32 / 32 / 2
                "issue": (30e-9, 30e-9),  # 240 / 4 / 2
                # 100 requests of 4 sectors and of 16: 100 + 400 wavefronts, and 200 of shared memory
                "l1": (350e-9, 350e-9),
                "l2": (25_600 / 400e9, 64_000 / 200e9),  # the footprint, or all 2000 sectors
                "dram": (256e-9, 512e-9),
            },
        )

    def test_a_larger_launch_takes_longer_in_proportion(self):
        one, three = self.times(), self.times(scale=3)
        self.assert_times(three, {name: (3 * low, 3 * high) for name, (low, high) in one.items()})

    def test_the_multiprocessor_with_most_blocks_decides(self):
        # Three blocks on two multiprocessors: one has two, 4/3 of the mean. Memory is common to both.
        even, uneven = self.times(), self.times(blocks=3)
        self.assert_close(uneven["alu"][0], even["alu"][0] * 4 / 3)
        self.assertEqual(uneven["dram"], even["dram"])
        # Twice as large there are six blocks, three each; likewise two launches of three blocks are uneven.
        self.assert_close(self.times(scale=2, blocks=3)["alu"][0], 2 * even["alu"][0])
        self.assert_close(self.times(blocks=6, count=2)["alu"][0], even["alu"][0] * 4 / 3)

    def test_prediction_of_a_case_by_hand(self):
        least = {"bytes": 4, "multiply": 0, "wide": 0.2, "alu": 0.1, "fp32": 0, "fp64": 0}
        row = roofline.predict({**CASE, "least": least}, [launch()], CODE, RESOURCES, DEVICE)
        # Twice the emulated size: L1 700 ns, DRAM 512 to 1024 ns.
        self.assert_close(row["work_seconds"].low, 700e-9)
        self.assert_close(row["work_seconds"].high, 1024e-9)
        self.assert_close(row["seconds"].low, 1.7e-6)
        self.assert_close(row["seconds"].high, 5.024e-6)
        self.assertEqual(row["bound"], "l1/dram")
        # 12800 elements of four bytes: 512 to 1024 ns; 0.2 x 12800 / 64 / 2 = 20 to 40 ns on the pipe.
        self.assertEqual(row["least_bound"], "dram")
        self.assert_close(row["ratio"].low, 700 / 512)
        self.assert_close(row["ratio"].high, 1.0)
        self.assert_close(row["instructions"]["alu"], 160 * 32 / 6400)
        self.assert_close(row["instructions"]["wide"], 80 * 32 / 6400)
        self.assert_close(row["bytes_per_element"], 10)
        self.assert_close(row["footprint_per_element"], 4)
        self.assert_close(row["sectors_per_request"], 10)
        self.assert_close(row["coalesced"], 0.6)  # 1200 sectors would do for 2000
        self.assert_close(row["bank_conflicts"], 1)  # 200 wavefronts where 100 do
        self.assert_close(row["occupancy"], 1)  # 32 blocks of two warps

    def test_what_a_launch_leaves_in_the_l2_cache_the_next_one_finds_there(self):
        first, second = launch(), launch()
        row = roofline.predict(CASE, [first, second], CODE, RESOURCES, DEVICE)
        dram = [part["times"]["dram"] for part in row["parts"]]
        self.assert_close(sum(time.low for time in dram), 512e-9)
        self.assert_close(sum(time.high for time in dram), 2 * 1024e-9)
        small = {**DEVICE, "l2_bytes": 100_000}  # twice 25600 bytes are more than half of it
        row = roofline.predict(CASE, [first, second], CODE, RESOURCES, small)
        self.assert_close(sum(p["times"]["dram"].low for p in row["parts"]), 1024e-9)
        self.assertEqual(row["launches"], 2)

    def test_a_kernel_that_the_build_lacks_is_named(self):
        with self.assertRaisesRegex(roofline.Failure, "_Z1gone is in the profile, but not"):
            roofline.predict(CASE, [launch(kernel="_Z1gone")], CODE, RESOURCES, DEVICE)

    def test_tables_say_that_they_are_predictions(self):
        row = roofline.predict(CASE, [launch()], CODE, RESOURCES, DEVICE)
        text = roofline.text_table(DEVICE, [row], True, {"_Z1kPj": "k"})
        self.assertTrue(text.startswith("Prediction for Two by code for sm_90, not a measurement"))
        self.assertIn("1 x k, occupancy 100 %", text)
        other = {**row, "device": "Other", "arch": "sm_80"}
        text = roofline.markdown_tables([row, other])
        self.assertTrue(text.startswith("Prediction, not a measurement"))
        self.assertIn("| case | Two, sm_90 | Other, sm_80 |", text)
        self.assertIn("| case | 1.7 us - 5.02 us (l1/dram) |", text)
        self.assertIn("Prediction for sm_80", text)
        self.assertIn("Prediction for sm_90", text)


class Files(unittest.TestCase):
    def read(self, cases, launches, only=None, version=1):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "cases.json", Path(folder) / "profile.json"]
            paths[0].write_text(json.dumps({"version": version, "cases": cases}))
            paths[1].write_text(json.dumps({"version": 1, "launches": launches}))
            return roofline.read_cases(paths[0], paths[1], only)

    def test_a_record_holds_the_times_of_every_case_and_device(self):
        row = {
            "case": "a",
            "device": "H200 SXM",
            "seconds": roofline.Range(1.23456e-6, 2e-6),
            "bound": "dram",
        }
        record = json.loads(roofline.record_of([row, {**row, "device": "B200"}]))
        self.assertTrue(record["prediction"])
        self.assertEqual([r["device"] for r in record["rows"]], ["H200 SXM", "B200"])
        self.assertEqual(record["rows"][0]["seconds"], [1.235e-6, 2e-6])

    def test_launches_belong_to_the_case_of_their_label(self):
        other = launch(label="other")
        found = self.read([CASE, {**CASE, "name": "other"}], [other, launch(), launch()])
        self.assertEqual([len(launches) for _, launches in found], [2, 1])
        found = self.read([CASE, {**CASE, "name": "other"}], [other, launch()], only="^oth")
        self.assertEqual([case["name"] for case, _ in found], ["other"])

    def test_what_does_not_fit_is_refused(self):
        with self.assertRaisesRegex(roofline.Failure, "no launch has the label case"):
            self.read([CASE], [launch(label="other")])
        with self.assertRaisesRegex(roofline.Failure, "no case matches nothing"):
            self.read([CASE], [launch()], only="nothing")
        with self.assertRaisesRegex(roofline.Failure, "version 2, expected 1"):
            self.read([CASE], [launch()], version=2)
        with self.assertRaisesRegex(roofline.Failure, "--device b9: expected one of a100"):
            roofline.read_devices(["b9"])

    def test_a_pattern_that_is_none_is_named_with_the_remedy(self):
        output = io.StringIO()
        with self.assertRaises(SystemExit) as stopped, contextlib.redirect_stderr(output):
            roofline.main(["--profile", "p", "--cases", "c", "--only", "["])
        self.assertEqual(stopped.exception.code, 2)
        self.assertIn("--only [: unterminated character set", output.getvalue())
        self.assertIn("stand for itself: \\[", output.getvalue())

    def test_device_files_are_complete(self):
        devices = roofline.read_devices([])
        self.assertEqual(len(devices), 4)
        for device in devices:
            with self.subTest(device=device["name"]):
                self.assertEqual(device.keys() - {"sources"}, DEVICE.keys())
                for figure in ("hbm_bytes_per_second", "l2_bytes_per_second", "launch_seconds"):
                    low, high = device[figure]
                    self.assertLess(low, high)
                self.assertGreater(len(device["sources"]), 3)
                names = {name for pipe in device["pipes"] for name in pipe["classes"]}
                known = {name for name, _ in CLASSES}
                self.assertLessEqual(names, known)
                self.assertEqual(known - names, {"constant", "bar", "control", "uniform"})


class Budgets(unittest.TestCase):
    FIGURES = {
        "bytes_per_element": 10.0,
        "footprint_per_element": 4.0,
        "sectors_per_request": 10.0,
        "bank_conflicts": 0.0,
        "ptx_per_element": 1.6,
    }

    def findings(self, figures, compiler="13.0"):
        budgets = {"compiler": "13.0", "cases": {"case": self.FIGURES}}
        return roofline.findings({"case": {**self.FIGURES, **figures}}, budgets, compiler)

    def test_the_figures_are_those_of_the_emulation(self):
        self.assertEqual(
            roofline.budget_figures(CASE, [launch()]), {**self.FIGURES, "bank_conflicts": 1.0}
        )

    def test_more_than_five_percent_more_fails(self):
        for figure, fails, passes in [
            ("bytes_per_element", 10.6, 10.5),
            ("footprint_per_element", 4.21, 1.0),
            ("sectors_per_request", 11.0, 10.4),
            ("bank_conflicts", 0.006, 0.005),
            ("ptx_per_element", 1.69, 1.68),
        ]:
            with self.subTest(figure=figure):
                wrong, _ = self.findings({figure: fails})
                self.assertEqual(len(wrong), 1)
                self.assertIn(figure, wrong[0])
                self.assertEqual(self.findings({figure: passes}), ([], []))

    def test_a_case_that_is_gone_fails_and_a_new_one_is_a_remark(self):
        budgets = {"compiler": "13.0", "cases": {"gone": self.FIGURES}}
        wrong, remarks = roofline.findings({"new": self.FIGURES}, budgets, "13.0")
        self.assertEqual(wrong, ["gone is accepted, but not in this profile"])
        self.assertEqual(remarks, ["new has no accepted figures"])

    def test_figures_of_another_compiler_are_not_compared(self):
        wrong, remarks = self.findings({"ptx_per_element": 9.0}, "13.1")
        self.assertEqual(wrong, [])
        self.assertEqual(len(remarks), 1)


class Published(unittest.TestCase):
    def test_what_is_compared_has_a_source_that_can_be_looked_up(self):
        published = json.loads((ROOT / "benchmarks" / "published_kernels.json").read_text())
        self.assertRegex(published["url"], r"^https://")
        self.assertGreater(len(published["kernels"]), 5)
        for kernel in published["kernels"]:
            self.assertTrue(kernel["why"], kernel["name"])

    def test_a_copy_by_hand(self):
        kernels = [
            {
                "name": "a copy",
                "device": "Two",
                "work": {"bytes": 1e6, "wavefronts": 1e3, "l2_bytes": 1e6},
                "measured_seconds": 20e-6,
            }
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "published.json"
            path.write_text(json.dumps({"kernels": kernels}))
            table = roofline.compare_published(path, [DEVICE])
        # 10 to 20 us of memory, 1 to 4 us of launch
        self.assertIn("| a copy | Two | 11 us - 24 us (dram) | 20 us | 0.55 - 1.20 |", table)


if __name__ == "__main__":
    unittest.main()
