#!/usr/bin/env python3
"""Writes the test of every arithmetic instruction that the translator knows.

  make_opcode_tests.py --ptx opcodes.ptx --cases opcodes.bin

The instructions come from the translator's own table, so that none can be left out; what they must give comes from
ptx_definitions.py. An entry holds some of them and runs case i of each in thread i. The second file holds, per
instruction, its name, entry, operands and expected results; opcodes_test.cpp reads it.
"""

import argparse
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "translator"))
import instruction_forms  # noqa: E402
from exact_float import F32, F64, NAN  # noqa: E402
from ptx_definitions import WIDTH, comparison, expected, with_carry  # noqa: E402

CASES = 96
PER_ENTRY = 32
SLOTS = 5  # operands a, b, c, e and the carry
# The second result is the carry flag, or the second predicate of setp.
TABLES = [0x96, 0xE8, 0xCA, 0x00, 0xFF, 0x40]  # of lop3: xor, majority, select, constants, one row

_INTEGER_EDGES = [
    0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 0x7FFF, 0x8000,
    0xFFFF, 0x10000, 0x7FFFFF, 0x800000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32,
    0x7FFFFFFFFFFFFFFF, 1 << 63, (1 << 63) + 1, (1 << 64) - 2, (1 << 64) - 1, 0x0123456789ABCDEF, 0xF0E1D2C3B4A59687,
]  # fmt: skip
_VALUES = [
    0.0, 1.0, 1.5, 2.0, 2.5, 0.5, 0.25, 3.5, 0.1, 3.14159265358979, 100.5, 127.0, 127.5, 128.0, 255.0, 255.5, 256.0,
    32767.0, 32768.0, 65535.5, 2.0**23, 2.0**23 + 1, 2.0**24, 2.0**31, 2.0**31 - 128, 2.0**32, 2.0**32 - 256, 2.0**52 + 1,
    2.0**53, 2.0**63, 2.0**63 - 1024, 2.0**64, 1e-3, 1e10, 1e30, 1e-30,
]  # fmt: skip


def float_edges(f):
    pack = ("<f", "<I") if f is F32 else ("<d", "<Q")
    values = [struct.unpack(pack[1], struct.pack(pack[0], v))[0] for v in _VALUES]
    one = f.emax << f.fraction_bits
    nan = f.infinity | 1 << f.fraction_bits - 1
    values += [
        1, 2, 3, f.smallest_normal - 1, f.smallest_normal, f.smallest_normal + 1, f.largest, f.largest - 1, f.infinity,
        nan, nan | 5, one + 1, one - 1, one + 3, (f.emin + f.emax + 1) << f.fraction_bits,
        # Between the halves of f32, for rounding from f64.
        *([0x3FF0000010000000, 0x3FF0000030000000, 0x3FF0000010000001, 0x36A0000000000000, 0x3690000000000000,
           0x47EFFFFFF0000000, 0x47EFFFFFEFFFFFFF, 0x3810000000000000, 0x380FFFFFFFFFFFFF] if f is F64 else []),
    ]  # fmt: skip
    return values + [v | f.sign_bit for v in values]


_FLOAT_EDGES = {"f32": float_edges(F32), "f64": float_edges(F64)}


def draw(generator, type_, near):
    """An operand: mostly from the edges, some at random, some close to the operand before."""
    width = WIDTH[type_]
    kind = generator.random()
    if type_ in _FLOAT_EDGES:
        f = F32 if type_ == "f32" else F64
        if kind < 0.6:
            return generator.choice(_FLOAT_EDGES[type_])
        if kind < 0.8 and near is not None:
            return (near ^ generator.choice([0, 1, 2, 4, f.sign_bit])) % (1 << width)
        exponent = f.emax + generator.randrange(-30, 31)
        sign = generator.choice([0, f.sign_bit])
        return sign | exponent << f.fraction_bits | generator.getrandbits(f.fraction_bits)
    if kind < 0.7:
        value = generator.choice(_INTEGER_EDGES)
        return (value if generator.random() < 0.8 else -value) % (1 << width)
    if kind < 0.8 and near is not None:
        return (near + generator.choice([-1, 0, 1])) % (1 << width)
    return generator.getrandbits(width)


class Instance:
    """One opcode with all its modifiers, its cases and their results."""

    def __init__(self, opcode, groups, types, table=None):
        self.opcode = opcode
        self.groups = groups
        self.types = types  # of the result, then of the operands
        self.table = table
        self.name = opcode + (f" {table:#04x}" if table is not None else "")
        self.is_comparison = opcode.startswith(("setp.", "set."))
        self.uses_carry = ".cc" in opcode or opcode.split(".")[0] in ("addc", "subc", "madc")
        generator = random.Random(self.name)
        self.cases = [self.make_case(generator) for _ in range(CASES)]

    def make_case(self, generator):
        operands = []
        for type_ in self.types[1:]:
            value = draw(generator, type_, operands[-1] if operands else None)
            if (
                self.opcode.split(".")[0] in ("div", "rem")
                and len(operands) == 1
                and self.types[0] not in _FLOAT_EDGES
            ):
                value = value or 1
            operands.append(value)
        carry_in = generator.getrandbits(1)
        if self.is_comparison:
            result, carry = comparison(self.opcode, self.groups, operands)
        elif self.uses_carry:
            result, carry = with_carry(self.opcode, self.groups, operands, carry_in)
        else:
            arguments = operands + ([self.table] if self.table is not None else [])
            result, carry = expected(self.opcode, self.groups, arguments), 0
        slots = operands + [0] * (SLOTS - 1 - len(operands)) + [carry_in]
        return slots, result, carry


def instances():
    for form in instruction_forms.FORMS:
        if form.kind not in ("expression", "compare"):
            continue
        for opcode, groups in form.instances():
            typed = form.operand_types(groups)
            if form.kind == "compare":
                typed = [("d", groups.get("D", "pred")), ("a", groups["T"]), ("b", groups["T"])]
                typed += [("c", "pred")] if groups.get("B") else []
            types = [type_ for _, type_ in typed if type_ != "imm"]
            for table in TABLES if len(types) != len(typed) else [None]:
                yield Instance(opcode, groups, types, table)


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
    if instance.table is not None:
        names.append(str(instance.table))
    result = instance.types[0]
    lines.append(f"    .reg .{register_type(result)} %d;")
    if instance.uses_carry:
        lines += [
            "    .reg .b32 %k, %t;",
            f"    ld.global.u32 %k, [%in+{base_in + 8 * (SLOTS - 1)}];",
            "    add.cc.u32 %t, %k, 0xFFFFFFFF;",  # carries if %k is 1
        ]
    both = instance.opcode.startswith("setp.")
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


def write_ptx(path, entries):
    out = [".version 8.0", ".target sm_90", ".address_size 64", ""]
    for name, group in entries:
        out += [
            f".visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_out)", "{",
            "  .reg .b64 %in, %out, %offset;", "  .reg .b32 %i;",
            f"  ld.param.u64 %in, [{name}_in];", f"  ld.param.u64 %out, [{name}_out];", "  mov.u32 %i, %tid.x;",
            f"  mul.wide.u32 %offset, %i, {8 * SLOTS};", "  add.s64 %in, %in, %offset;",
            "  mul.wide.u32 %offset, %i, 16;", "  add.s64 %out, %out, %offset;",
        ]  # fmt: skip
        for index, instance in enumerate(group):
            out += emit(index, instance)
        out += ["  ret;", "}", ""]
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
            data.extend(struct.pack("<II", WIDTH[instance.types[0]], len(instance.types) - 1))
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
    parser.add_argument("--ptx", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    arguments = parser.parse_args()
    by_root = {}
    for instance in instances():
        by_root.setdefault(instance.opcode.split(".")[0], []).append(instance)
    entries = []
    for root, group in by_root.items():
        for start in range(0, len(group), PER_ENTRY):
            entries.append(
                (f"opcode_{root}_{start // PER_ENTRY}", group[start : start + PER_ENTRY])
            )
    write_ptx(arguments.ptx, entries)
    write_cases(arguments.cases, entries)


if __name__ == "__main__":
    main()
