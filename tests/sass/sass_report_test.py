#!/usr/bin/env python3
"""scripts/sass-report: CUDA's occupancy rules, what is read from cuobjdump's text, and what is refused."""

import contextlib
import importlib.machinery
import importlib.util
import io
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "sass-report"
loader = importlib.machinery.SourceFileLoader("sass_report", str(SCRIPT))
sass_report = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("sass_report", loader)
)
loader.exec_module(sass_report)
from sass import class_of  # noqa: E402  (found by the script)

RESOURCES = """
Fatbin elf code:
================
arch = sm_80
code version = [1,8]

Resource usage:
 Common:
  GLOBAL:0
 Function _Z11ntt_k_kernelPj:
  REG:48 STACK:16 SHARED:2048 LOCAL:0 CONSTANT[0]:448 TEXTURE:0 SURFACE:0 SAMPLER:0

Fatbin elf code:
================
arch = sm_90
 Function _Z11ntt_k_kernelPj:
  REG:40 STACK:0 SHARED:3072 LOCAL:0 CONSTANT[0]:624 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
ELF = """
arch = sm_80
.nv.info._Z11ntt_k_kernelPj
	<0x10>
	Attribute:	EIATTR_MAX_THREADS
	Format:	EIFMT_SVAL
	Value:	0x40 0x4 0x1
"""
SASS = """
	code for sm_80
		Function : _Z11ntt_k_kernelPj
	.headerflags	@"EF_CUDA_SM80"
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;   /* 0x00000a00ff017624 */
                                                                             /* 0x000fe400078e00ff */
        /*0010*/                   IMAD.WIDE.U32 R2, R3, 0x4, R12 ;          /* 0x00 */
        /*0020*/                   STL [R1+0x8], R4 ;                        /* 0x00 */
        /*0030*/                   LDG.E R26, desc[UR16][R16.64] ;           /* 0x00 */
        /*0040*/                   IMAD.WIDE.U32 R20, R26.reuse, R21, RZ ;   /* 0x00 */
        /*0050*/                   IMAD R20, R0.reuse, -0x2, R27 ;           /* 0x00 */
        /*0060*/                   VIMNMX.U32 R27, R27, R20, PT ;            /* 0x00 */
        /*0070*/                   IMAD.HI.U32 R20, R26, R21, RZ ;           /* 0x00 */
        /*0080*/                   VIADDMNMX.U32 R27, R27, R0, R20, PT ;      /* 0x00 */
        /*0090*/              @!P0 BRA 0x30 ;                                /* 0x00 */
        /*00a0*/                   IMAD.WIDE.U32 R20, R26, R21, RZ ;         /* 0x00 */
        /*00b0*/                   EXIT ;                                    /* 0x00 */
        /*00c0*/                   BRA 0xc0;                                 /* 0x00 */
        /*00d0*/                   NOP;                                      /* 0x00 */
"""
NAME = "_Z11ntt_k_kernelPj"


def row(**changes):
    figures = {
        "kernel": "k",
        "arch": "sm_90",
        "registers": 40,
        "shared_bytes": 0,
        "blocks_per_sm": 4,
        "instructions": 200,
        "instructions_per_butterfly": 8.0,
        "local_loads": 0,
        "local_stores": 0,
    }
    return {**figures, **changes}


def budgets(compiler="13.0"):
    return sass_report.accept([row()], {}, compiler)


class Occupancy(unittest.TestCase):
    def test_is_what_cudas_calculator_gives(self):
        for arch, threads, registers, shared, blocks in [
            ("sm_80", 256, 32, 0, 8),  # 2048 threads
            ("sm_80", 32, 16, 0, 32),  # blocks
            ("sm_80", 256, 48, 0, 5),  # 65536 / 1536 = 42 warps, 40 in fours
            ("sm_80", 1024, 64, 0, 1),
            ("sm_80", 1024, 65, 0, 0),  # 2304 registers a warp: 28 warps
            ("sm_80", 128, 255, 0, 2),
            ("sm_80", 256, 32, 163 * 1024, 1),  # the largest block
            ("sm_80", 256, 32, 81 * 1024, 2),
            ("sm_80", 256, 32, 82 * 1024, 1),
            ("sm_90", 256, 32, 227 * 1024, 1),  # the largest block
            ("sm_90", 256, 32, 113 * 1024, 2),
            ("sm_90", 256, 32, 114 * 1024, 1),
        ]:
            with self.subTest(arch=arch, threads=threads, registers=registers, shared=shared):
                self.assertEqual(
                    sass_report.blocks_per_sm(arch, threads, registers, shared), blocks
                )


class Reading(unittest.TestCase):
    def test_resources_without_the_systems_shared_memory(self):
        found = sass_report.parse_resources(RESOURCES)
        self.assertEqual(
            found["sm_80", NAME], {"registers": 48, "stack_bytes": 16, "shared_bytes": 2048}
        )
        self.assertEqual(
            found["sm_90", NAME], {"registers": 40, "stack_bytes": 0, "shared_bytes": 2048}
        )

    def test_threads_of_the_launch_bounds(self):
        self.assertEqual(sass_report.parse_threads(ELF), {("sm_80", NAME): 256})

    def test_code_ends_before_its_padding(self):
        body = sass_report.without_padding(sass_report.parse_sass(SASS)["sm_80", NAME])
        self.assertEqual(len(body), 12)
        self.assertEqual(body[-1], (0xB0, "EXIT"))
        self.assertEqual(body[9], (0x90, "BRA 0x30"))

    def test_classes_of_instructions(self):
        for opcode, name in [
            ("IMAD", "imad"),
            ("IMAD.WIDE.U32", "imad wide"),
            ("IMAD.HI.U32", "imad hi"),
            ("IMAD.MOV.U32", "imad move"),
            ("IMAD.IADD", "imad move"),
            ("VIMNMX.U32", "alu"),
            ("IADD3.X", "alu"),
            ("LDG.E.64", "ldg"),
            ("LDGSTS.E", "ldg"),
            ("LDGDEPBAR", "bar"),
            ("LDL.64", "local"),
            ("STL", "local"),
            ("ST.E", "stg"),
            ("LDS.128", "lds"),
            ("UIADD3", "uniform"),
            ("ULDC.64", "constant"),
            ("BAR.SYNC.DEFER_BLOCKING", "bar"),
            ("MUFU.RCP", "xu"),
            ("DSETP.GT.AND", "fp64"),
            ("DMMA.8x8x4", "dmma"),
            ("DMMA.884", "dmma"),
            ("DMMA.16x8x4", "dmma 16x8x4"),
            ("DMMA.16x8x8", "dmma 16x8x8"),
            ("QQQ", "other"),
        ]:
            self.assertEqual(class_of(opcode), name, opcode)

    def test_butterflies_are_counted_in_their_stretch_alone(self):
        # From the label 0x30 to the branch: two products, two minima; 5 of 7 instructions are
        # arithmetic. The WIDE with an addend is an address, the one without a minimum a division.
        body = sass_report.parse_sass(SASS)["sm_80", NAME]
        self.assertEqual(sass_report.butterfly_figures(body), (2, 2.5))

    def test_the_row_of_a_kernel(self):
        usage = {("sm_80", NAME): sass_report.parse_resources(RESOURCES)["sm_80", NAME]}
        (found,) = sass_report.report(
            usage,
            sass_report.parse_threads(ELF),
            sass_report.parse_sass(SASS),
            {NAME: "ntt_k_kernel"},
            [{"kernel": "ntt_k", "dynamic_shared_bytes": 40 * 1024}],
        )
        self.assertEqual((found["local_loads"], found["local_stores"]), (0, 1))
        self.assertEqual((found["threads"], found["blocks_per_sm"]), (256, 3))
        self.assertEqual(found["occupancy"], 3 * 256 / 2048)
        self.assertEqual((found["instructions"], found["butterflies"]), (12, 2))


class Checking(unittest.TestCase):
    def findings(self, rows, accepted, compiler="13.0"):
        return sass_report.findings(rows, accepted, compiler)

    def test_what_is_as_accepted_passes(self):
        self.assertEqual(self.findings([row()], budgets()), ([], []))

    def test_a_spill_fails_even_without_a_comparison(self):
        wrong, _ = sass_report.findings([row(local_stores=2)], {}, "13.0", compare=False)
        self.assertEqual(
            wrong, ["k (sm_90): 0 loads from and 2 stores to local memory, expected 0"]
        )
        self.assertEqual(self.findings([row(local_stores=2)], budgets("13.1"))[0], wrong)

    def test_a_listed_array_is_no_spill_but_has_a_budget(self):
        kernel = row(local_loads=11, local_stores=1, local_accesses=12)
        listed = {"local_arrays": [{"kernel": "^k$", "why": "digits"}]}
        accepted = sass_report.accept([kernel], listed, "13.0")
        self.assertEqual(self.findings([kernel], accepted), ([], []))
        kernel = row(local_loads=12, local_stores=1, local_accesses=13)
        self.assertEqual(len(self.findings([kernel], accepted)[0]), 1)

    def test_a_kernel_that_is_gone_fails(self):
        wrong, _ = self.findings([row(kernel="other")], budgets())
        self.assertEqual(wrong, ["k (sm_90) is accepted, but not in this build"])
        wrong, _ = self.findings([row(arch="sm_80")], budgets())
        self.assertEqual(wrong, ["k (sm_90) is accepted, but not in this build"])

    def test_more_than_five_percent_fails_in_the_bad_direction_only(self):
        for figure, fails, passes in [
            ("registers", 43, 42),
            ("registers", 43, 1),
            ("shared_bytes", 1, 0),
            ("blocks_per_sm", 3, 4),
            ("blocks_per_sm", 3, 9),
            ("instructions", 211, 210),
            ("instructions_per_butterfly", 8.41, 8.4),
            ("instructions_per_butterfly", None, 5.0),
        ]:
            with self.subTest(figure=figure, fails=fails):
                wrong, _ = self.findings([row(**{figure: fails})], budgets())
                self.assertEqual(len(wrong), 1)
                self.assertIn(figure, wrong[0])
                self.assertEqual(self.findings([row(**{figure: passes})], budgets())[0], [])

    def test_figures_of_another_compiler_are_not_compared(self):
        wrong, remarks = self.findings([row(registers=90)], budgets("13.1"))
        self.assertEqual(wrong, [])
        self.assertEqual(len(remarks), 1)

    def test_a_new_kernel_is_a_remark(self):
        wrong, remarks = self.findings([row(), row(kernel="new")], budgets())
        self.assertEqual((wrong, remarks), ([], ["new has no accepted figures"]))

    def test_accepting_keeps_what_was_written_by_hand(self):
        old = {
            "launches": [{"kernel": "k", "dynamic_shared_bytes": 1024}],
            "local_arrays": [{"kernel": "other", "why": "digits"}],
        }
        accepted = sass_report.accept([row()], old, "13.0")
        self.assertEqual({key: accepted[key] for key in old}, old)
        self.assertEqual(accepted["kernels"]["k"]["sm_90"]["instructions_per_butterfly"], 8.0)


class Cases(unittest.TestCase):
    """What a profile adds: a row for each kernel of a case and architecture."""

    CASE = {"name": "ntt/log_n:4", "element": "word", "elements": 640, "emulated_elements": 64}
    PLACE = ("src/polynomial/ntt.h", 3)
    # Each of the two SASS instructions of the line as often as its PTX: 8 warps.
    BODY = [
        ("imad hi", PLACE, False),
        ("alu", PLACE, False),
        ("local", PLACE, False),
        ("control", PLACE, False),
    ]
    CODE = {"sm_80": {NAME: (BODY, [])}, "sm_90": {NAME: (BODY[:1], [])}}
    RESOURCES = {
        ("sm_80", NAME): {"registers": 48, "stack_bytes": 16, "shared_bytes": 2048},
        ("sm_90", NAME): {"registers": 40, "stack_bytes": 0, "shared_bytes": 2048},
    }

    @staticmethod
    def launch(dynamic=40 * 1024, sectors=8):
        nothing = {"requests": 0, "bytes": 0, "sectors": 0, "ideal_sectors": 0}
        load = {"requests": 2, "bytes": 256, "sectors": sectors, "ideal_sectors": 8}
        banks = {"requests": 4, "wavefronts": 6, "ideal_wavefronts": 4}
        none = {"requests": 0, "wavefronts": 0, "ideal_wavefronts": 0}
        return {
            "kernel": NAME,
            "block": [64, 4, 1],
            "dynamic_shared_bytes": dynamic,
            "global": {"load": load, "store": nothing, "atomic": nothing},
            "footprint": {"read_bytes": 128, "written_bytes": 0},
            "shared": {"load": banks, "store": none, "atomic": none},
            "lines": [
                {
                    "file": "kernels/src/polynomial/ntt.h",
                    "line": 3,
                    "ptx_instructions": 4,
                    "warp_instructions": 32,
                }
            ],
            "executions": [8],
            "warp_instructions": 32,
            "threads": 256,
        }

    def rows(self, *launches):
        return sass_report.case_rows([(self.CASE, launches)], self.CODE, self.RESOURCES)

    def test_a_row_has_the_machine_code_and_what_an_element_costs(self):
        ampere, hopper = self.rows(self.launch())
        self.assertEqual((ampere["arch"], hopper["arch"]), ("sm_80", "sm_90"))
        self.assertEqual((ampere["local_accesses"], hopper["local_accesses"]), (1, 0))
        self.assertEqual((ampere["threads"], ampere["blocks_per_sm"]), (256, 3))
        self.assertEqual(ampere["instructions_in_all"], 4 * 8 * 32 / 64)
        self.assertEqual(ampere["instructions"]["hi"], 8 * 32 / 64)
        self.assertEqual(ampere["instructions"]["lsu"], 8 * 32 / 64)
        self.assertEqual(hopper["instructions_in_all"], 8 * 32 / 64)
        self.assertEqual(hopper["bytes_per_element"], 8 * 32 / 64)
        self.assertEqual(hopper["footprint_per_element"], 2)
        self.assertEqual(hopper["sectors_per_request"], 4)
        self.assertEqual(hopper["coalesced"], 1)
        self.assertEqual(hopper["bank_conflicts"], 0.5)

    def test_sectors_that_hold_what_nobody_asked_for_are_not_coalesced(self):
        self.assertEqual(self.rows(self.launch(sectors=32))[0]["coalesced"], 0.25)

    def test_launches_of_a_kernel_are_one_row_unless_their_blocks_differ(self):
        ampere, _ = self.rows(self.launch(), self.launch())
        self.assertEqual(ampere["instructions_in_all"], 2 * 4 * 8 * 32 / 64)
        rows = self.rows(self.launch(), self.launch(dynamic=0))
        self.assertEqual([row["dynamic_shared_bytes"] for row in rows], [40960, 40960, 0, 0])

    def test_a_kernel_that_the_build_lacks_is_named(self):
        launch = {**self.launch(), "kernel": "_Z1gone"}
        with self.assertRaisesRegex(sass_report.Failure, "_Z1gone is in the profile, but not"):
            self.rows(launch)

    def test_the_order_is_that_of_cases_and_short_names(self):
        # Mangled names of kernels without linkage have a hash that is another in another tree.
        rows = [
            {"case": case, "kernel": kernel, "arch": arch}
            for case, kernel in (("z", "_ZN1n1bEv"), ("z", "_ZN2nn1aEv"), ("c", "_ZN1n1dEv"))
            for arch in ("sm_80", "sm_90")
        ]
        found = [(row["case"], row["kernel"], row["arch"]) for row in sass_report.named(rows)]
        self.assertEqual(found[0], ("z", "a", "sm_80"))
        self.assertEqual(found[2], ("z", "b", "sm_80"))
        self.assertEqual(found[4:], [("c", "d", "sm_80"), ("c", "d", "sm_90")])

    def test_tables_have_every_figure(self):
        rows = self.rows(self.launch(sectors=32))
        text = sass_report.case_table(rows)
        self.assertIn(f"\nntt/log_n:4: {NAME}\n", text)
        self.assertRegex(
            text,
            r"sm_80 +48 +1 +2048 +40960 +256 +3 +16\.0 +0\.0 +0\.0 +4\.0 +4\.0 +0\.0 +0\.0 +0\.0 +4\.0 "
            r"+16\.00 +2\.00 +16\.0 +0\.25 +50 %",
        )
        text = sass_report.case_markdown(rows, "13.0")
        self.assertIn("nvcc 13.0", text)
        self.assertIn("| case | kernel | arch | regs | local | shared | dynamic | threads |", text)
        self.assertIn(f"| `ntt/log_n:4` | `{NAME}` | sm_90 | 40 | 0 | 2048 | 40960 | 256 |", text)

    def test_profile_and_cases_belong_together(self):
        for arguments in (["--profile", "p"], ["--cases", "c"], ["--markdown", "m"]):
            with self.subTest(arguments=arguments):
                with self.assertRaises(SystemExit) as stopped:
                    with contextlib.redirect_stderr(io.StringIO()):
                        sass_report.main(arguments)
                self.assertEqual(stopped.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
