#!/usr/bin/env python3
"""scripts/sass-report: CUDA's occupancy rules, what is read from cuobjdump's text, and what is refused."""

import importlib.machinery
import importlib.util
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


if __name__ == "__main__":
    unittest.main()
