#!/usr/bin/env python3
"""Writes the test of every arithmetic instruction and every access to memory that the translator knows.

  make_opcode_tests.py --ptx opcodes --cases opcodes.bin --atomic-cases atomics.bin --cluster-cases clusters.bin
                       --access-cases accesses.bin --ordering-cases orderings.txt

The instructions come from the translator's own table, so that none can be left out; what they must give comes from
ptx_definitions.py. An entry holds some of them and runs case i of each in thread i. For each architecture there is a
file, opcodes_sm_75.ptx and so on, with the instructions that it has; the last one has them all. The file of cases
holds, per instruction, its name, entry, operands and expected results; opcodes_test.cpp reads it.
"""

import argparse
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "translator"))
import access_instances  # noqa: E402
import atomic_instances  # noqa: E402
import cluster_instances  # noqa: E402
import instruction_forms  # noqa: E402
import matrix_instances  # noqa: E402
import ordering_instances  # noqa: E402
from exact_float import NAN, UNDOCUMENTED  # noqa: E402
from operands import CASES, draw  # noqa: E402
from ptx_definitions import FORMATS, WIDTH, comparison, expected, tolerance, with_carry  # noqa: E402

PER_ENTRY = 32
ARCHITECTURES = (75, 80, 90, 100, 120)
SLOTS = 5  # operands a, b, c, e and the carry
# The second result is the carry flag, or the second predicate of setp.
TABLES = [0x96, 0xE8, 0xCA, 0x00, 0xFF, 0x40]  # of lop3: xor, majority, select, constants, one row


class Instance:
    """One opcode with all its modifiers, its cases and their results."""

    def __init__(self, opcode, groups, types, architecture, constant):
        self.opcode = opcode
        self.groups = groups
        self.types = types  # of the result, then of the operands
        self.architecture = architecture
        self.constant = constant  # the last operand, or None
        self.name = opcode + (f" {constant:#04x}" if constant is not None else "")
        self.is_comparison = opcode.startswith(("setp.", "set."))
        self.uses_carry = ".cc" in opcode or opcode.split(".")[0] in ("addc", "subc", "madc")
        generator = random.Random(self.name)
        self.cases = [self.make_case(generator) for _ in range(CASES)]

    def has_two_results(self):
        """Of setp; that of f16 and bf16 has one."""
        return self.opcode.startswith("setp.") and self.types[1] not in ("f16", "bf16")

    def make_case(self, generator):
        operands = []
        for type_ in self.types[1:]:
            value = draw(generator, type_, operands[-1] if operands else None)
            if (
                self.opcode.split(".")[0] in ("div", "rem")
                and len(operands) == 1
                and self.types[0] not in FORMATS
            ):
                value = value or 1
            operands.append(value)
        carry_in = generator.getrandbits(1)
        if self.is_comparison:
            result, carry = comparison(self.opcode, self.groups, operands)
            carry = carry if self.has_two_results() else 0
        elif self.uses_carry:
            result, carry = with_carry(self.opcode, self.groups, operands, carry_in)
        else:
            arguments = operands + ([self.constant] if self.constant is not None else [])
            result, carry = expected(self.opcode, self.groups, arguments), 0
        if result == UNDOCUMENTED:
            return self.make_case(generator)
        slots = operands + [0] * (SLOTS - 1 - len(operands)) + [carry_in]
        return slots, result, carry


def shift_counts(width):
    """Constants as counts: the translator knows which of them are below the width."""
    return 0, 1, width // 2, width - 1, width, width + 1, 2 * width, 0xFFFFFFFF


def instances():
    for form in instruction_forms.FORMS:
        if form.kind not in ("expression", "approximation", "compare", "compare_half"):
            continue
        for opcode, groups in form.instances():
            typed = form.operand_types(groups)
            if form.kind.startswith("compare"):
                typed = [("d", groups.get("D", "pred")), ("a", groups["T"]), ("b", groups["T"])]
                typed += [("c", "pred")] if groups.get("B") else []
            types = [type_ for _, type_ in typed if type_ != "imm"]
            for constant in TABLES if len(types) != len(typed) else [None]:
                yield Instance(opcode, groups, types, form.architecture, constant)
            if opcode.split(".")[0] in ("shl", "shr"):
                for count in shift_counts(WIDTH[types[0]]):
                    yield Instance(opcode, groups, types[:-1], form.architecture, count)


_MEMORY_TYPE = {"pred": "u32", "s8": "s8", "u8": "u8"}


def register_type(type_):
    return {8: "b16", 16: "b16", 32: "b32", 64: "b64"}.get(WIDTH[type_], "pred")


def emit(index, instance):
    """The instruction in a scope of its own; %in and %out point at this thread's case."""
    base_in, base_out = index * CASES * SLOTS * 8, index * CASES * 16
    lines = ["  {"]
    names = []
    for i, type_ in enumerate(instance.types[1:]):
        lines.append(f"    .reg .{register_type(type_)} %x{i};")
        if type_ == "pred":
            lines += [
                f"    .reg .b32 %w{i};",
                f"    ld.global.u32 %w{i}, [%in+{base_in + 8 * i}];",
                f"    setp.ne.u32 %x{i}, %w{i}, 0;",
            ]
        else:
            lines.append(
                f"    ld.global.{'b64' if WIDTH[type_] == 64 else 'b%d' % WIDTH[type_]} %x{i}, [%in+{base_in + 8 * i}];"
            )
        names.append(f"%x{i}")
    if instance.constant is not None:
        names.append(str(instance.constant))
    result = instance.types[0]
    lines.append(f"    .reg .{register_type(result)} %d;")
    if instance.uses_carry:
        lines += [
            "    .reg .b32 %k, %t;",
            f"    ld.global.u32 %k, [%in+{base_in + 8 * (SLOTS - 1)}];",
            "    add.cc.u32 %t, %k, 0xFFFFFFFF;",  # carries if %k is 1
        ]
    both = instance.has_two_results()
    if both:
        lines.append("    .reg .pred %e;")
    lines.append(f"    {instance.opcode} {'%d|%e' if both else '%d'}, {', '.join(names)};")
    if both:
        lines += [
            "    .reg .b32 %k;",
            "    selp.u32 %k, 1, 0, %e;",
            f"    st.global.u32 [%out+{base_out + 8}], %k;",
        ]
    if instance.uses_carry:
        lines += ["    addc.u32 %k, 0, 0;", f"    st.global.u32 [%out+{base_out + 8}], %k;"]
    if result == "pred":
        lines += [
            "    .reg .b32 %s;",
            "    selp.u32 %s, 1, 0, %d;",
            f"    st.global.u32 [%out+{base_out}], %s;",
        ]
    else:
        lines.append(f"    st.global.b{WIDTH[result]} [%out+{base_out}], %d;")
    return lines + ["  }"]


def header(architecture):
    return [".version 9.0", f".target sm_{architecture}", ".address_size 64", ""]


def write_ptx(path, entries, atomic_entries, architecture):
    out = header(architecture)
    for name, group in entries:
        out += [
            f".visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_out)", "{",
            "  .reg .b64 %in, %out, %offset;", "  .reg .b32 %i;",
            f"  ld.param.u64 %in, [{name}_in];", f"  ld.param.u64 %out, [{name}_out];", "  mov.u32 %i, %tid.x;",
            f"  mul.wide.u32 %offset, %i, {8 * SLOTS};", "  add.s64 %in, %in, %offset;",
            "  mul.wide.u32 %offset, %i, 16;", "  add.s64 %out, %out, %offset;",
        ]  # fmt: skip
        for index, instance in enumerate(group):
            if instance.architecture <= architecture:
                out += emit(index, instance)
        out += ["  ret;", "}", ""]
    for name, group in atomic_entries:
        out += atomic_instances.emit_entry(name, group, architecture)
    path.write_text("\n".join(out))


def write_cases(path, entries):
    """Little endian. Header: entries, cases, slots; then entries, and in them instances, as opcodes_test.cpp reads."""
    data = bytearray(struct.pack("<III", len(entries), CASES, SLOTS))

    def put_text(text):
        data.extend(struct.pack("<I", len(text)) + text.encode())

    for name, group in entries:
        put_text(name)
        data.extend(struct.pack("<I", len(group)))
        for instance in group:
            put_text(instance.name)
            type_ = instance.types[0]
            format_ = FORMATS.get("f32" if type_ == "tf32" else type_)
            data.extend(
                struct.pack(
                    "<IIQQ", WIDTH[type_], len(instance.types) - 1, format_.infinity if format_ else 0,
                    tolerance(instance.opcode),
                )
            )  # fmt: skip
            for slots, result, carry in instance.cases:
                any_nan = result == NAN
                data.extend(
                    struct.pack(
                        f"<{SLOTS}QQII", *slots, 0 if any_nan else result, carry, int(any_nan)
                    )
                )
    path.write_bytes(data)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ptx", required=True, help="the files without _sm_<architecture>.ptx")
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--atomic-cases", type=Path, required=True)
    parser.add_argument("--cluster-cases", type=Path, required=True)
    parser.add_argument("--access-cases", type=Path, required=True)
    parser.add_argument("--ordering-cases", type=Path, required=True)
    arguments = parser.parse_args()
    by_root = {}
    for instance in instances():
        by_root.setdefault(instance.opcode.split(".")[0], []).append(instance)
    entries = [entry for root, group in by_root.items() for entry in in_entries(root, group)]
    atomic_entries = in_entries("atomic", list(atomic_instances.instances()))
    for architecture in ARCHITECTURES:
        path = Path(f"{arguments.ptx}_sm_{architecture}.ptx")
        write_ptx(path, entries, atomic_entries, architecture)
        matrix_instances.write_ptx(
            Path(f"{arguments.ptx}_matrix_sm_{architecture}.ptx"), architecture
        )
    access_entries = in_entries("access", list(access_instances.instances()))
    for architecture in ARCHITECTURES:
        lines = header(architecture) + access_instances.emit_module()
        for name, group in access_entries:
            lines += access_instances.emit_entry(name, group, architecture)
        path = Path(f"{arguments.ptx}_access_sm_{architecture}.ptx")
        path.write_text("\n".join(lines))
    path = Path(f"{arguments.ptx}_ordering.ptx")
    ordering_instances.write_files(path, arguments.ordering_cases, header(90))
    cluster_entries = in_entries("cluster", list(cluster_instances.instances()))
    for architecture in ARCHITECTURES:
        if architecture >= cluster_instances.FIRST_ARCHITECTURE:
            path = Path(f"{arguments.ptx}_cluster_sm_{architecture}.ptx")
            lines = header(architecture)
            for name, group in cluster_entries:
                lines += cluster_instances.emit_entry(name, group, architecture)
            path.write_text("\n".join(lines))
    write_cases(arguments.cases, entries)
    atomic_instances.write_cases(arguments.atomic_cases, atomic_entries, 1)
    atomic_instances.write_cases(arguments.cluster_cases, cluster_entries, 2)
    sizes = (access_instances.IN_BYTES, access_instances.OUT_BYTES)
    atomic_instances.write_cases(arguments.access_cases, access_entries, 1, *sizes)


def in_entries(name, group):
    return [
        (f"opcode_{name}_{start // PER_ENTRY}", group[start : start + PER_ENTRY])
        for start in range(0, len(group), PER_ENTRY)
    ]


if __name__ == "__main__":
    main()
