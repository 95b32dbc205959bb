"""The atomic instructions of the table, each on operands in global or shared memory.

Every operation with every type and length in every space; every order with every scope in every space, in each of the
sequences that the modifiers may stand in; and every operation with every order and scope.
"""

import random
import struct

import instruction_forms
from covering import covering, order_of_modifiers
from exact_float import NAN
from operands import CASES, draw
from ptx_definitions import WIDTH, atomic

IN_BYTES = 48  # what the cell holds, and up to two operands
OUT_BYTES = 32  # what the instruction gives, and the cell afterwards
# Where a generic address points is a test of its own.
_SPACES = {"": ("global", "shared"), "global": ("global",), "shared": ("shared",), "shared::cta": ("shared",)}  # fmt: skip


def _pack(values, width):
    """Elements of a vector, as the bytes of a cell."""
    data = sum(v << width * i for i, v in enumerate(values))
    return data.to_bytes(16, "little")


class AtomicInstance:
    def __init__(self, opcode, groups, space, architecture):
        self.opcode = opcode
        self.groups = groups
        self.space = space
        self.architecture = architecture
        self.name = f"{opcode} in {space} memory"
        self.is_red = opcode.startswith("red")
        self.type_ = groups["T"]
        self.length = int((groups.get("V") or "v1")[1:])
        self.operand_count = 2 if groups["F"] == "cas" else 1
        self.generic = groups.get("S") is None
        generator = random.Random(self.name)
        self.cases = [self.make_case(generator) for _ in range(CASES)]

    def make_case(self, generator):
        width = WIDTH[self.type_]
        cell = bytearray(generator.randbytes(16))  # what the operation does not touch must stay
        elements = []
        for _ in range(self.length):
            old = draw(generator, self.type_, None)
            operands = [draw(generator, self.type_, old) for _ in range(self.operand_count)]
            if self.groups["F"] == "cas" and generator.random() < 0.5:
                operands[0] = old
            new = atomic(self.groups["F"], self.type_, old, operands, self.space == "global")
            if new == NAN:  # which NaN is open: drawn anew
                return self.make_case(generator)
            elements.append((old, operands, new))
        size = width * self.length // 8
        cell[:size] = _pack([old for old, _, _ in elements], width)[:size]
        after = bytearray(cell)
        after[:size] = _pack([new for _, _, new in elements], width)[:size]
        operands = b"".join(
            _pack([x[i] for _, x, _ in elements], width) for i in range(self.operand_count)
        )
        result = bytes(16) if self.is_red else _pack([old for old, _, _ in elements], width)
        return bytes(cell) + operands.ljust(32, b"\0"), result + bytes(after)

    def emit(self, index):
        base_in, base_out = index * CASES * IN_BYTES, index * CASES * OUT_BYTES
        shared = self.space == "shared"
        lines = [
            "  {",
            "    .reg .b64 %cell, %low, %high;",
            f"    ld.global.v2.b64 {{%low, %high}}, [%in+{base_in}];",
        ]
        if shared:
            lines += ["    mov.u64 %cell, cells;", "    add.s64 %cell, %cell, %place;"]
        else:
            lines.append(f"    add.s64 %cell, %out, {base_out + 16};")
        lines.append(f"    st.{self.space}.v2.b64 [%cell], {{%low, %high}};")
        if self.generic and shared:
            lines += ["    .reg .b64 %address;", "    cvta.shared.u64 %address, %cell;"]
        address = "%address" if self.generic and shared else "%cell"
        lines += self.emit_access(base_in, base_out, address)
        if shared:
            lines += [
                "    ld.shared.v2.b64 {%low, %high}, [%cell];",
                f"    st.global.v2.b64 [%out+{base_out + 16}], {{%low, %high}};",
            ]
        return lines + ["  }"]

    def emit_access(self, base_in, base_out, address):
        """The instruction, its operands read from %in and its result written to %out."""
        width, n = WIDTH[self.type_], self.length
        lines = [f"    .reg .b{width} %d<{n}>, %b<{n}>, %c<{n}>;"]
        names = "bc"[: self.operand_count]
        for k, name in enumerate(names):
            for i in range(n):
                at = base_in + 16 + 16 * k + i * width // 8
                lines.append(f"    ld.global.b{width} %{name}{i}, [%in+{at}];")

        def vector(name):
            elements = [f"%{name}{i}" for i in range(n)]
            return elements[0] if n == 1 else "{" + ", ".join(elements) + "}"

        operands = [] if self.is_red else [vector("d")]
        operands += [f"[{address}]"] + [vector(x) for x in names]
        lines.append(f"    {self.opcode} {', '.join(operands)};")
        if not self.is_red:
            for i in range(n):
                lines.append(f"    st.global.b{width} [%out+{base_out + i * width // 8}], %d{i};")
        return lines


def features(opcode, groups, space, architecture):
    root = opcode.split(".")[0]
    order, scope, named, operation, length, type_ = (groups.get(name) for name in "OQSFVT")
    return {
        ("operation", root, named, space, operation, length, type_),
        ("order", root, named, space, order, scope, order_of_modifiers(groups)),
        ("operation and order", root, operation, length is None, order, scope),
    }


def candidates():
    for form in instruction_forms.FORMS:
        if form.kind != "atomic":
            continue
        for opcode, groups in form.instances():
            if groups.get("S") == "shared::cluster":
                continue  # cluster_instances.py
            for space in _SPACES[groups.get("S") or ""]:
                if groups.get("V") and space == "shared":
                    continue  # vectors are in global memory only
                yield opcode, groups, space, form.first_architecture(groups)


def instances():
    for opcode, groups, space, architecture in covering(candidates(), features):
        yield AtomicInstance(opcode, groups, space, architecture)


def emit_entry(name, group, architecture):
    lines = [
        f".visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_out)", "{",
        f"  .shared .align 16 .b8 cells[{16 * CASES}];",
        "  .reg .b64 %in, %out, %offset, %place;", "  .reg .b32 %i;",
        f"  ld.param.u64 %in, [{name}_in];", f"  ld.param.u64 %out, [{name}_out];", "  mov.u32 %i, %tid.x;",
        f"  mul.wide.u32 %offset, %i, {IN_BYTES};", "  add.s64 %in, %in, %offset;",
        f"  mul.wide.u32 %offset, %i, {OUT_BYTES};", "  add.s64 %out, %out, %offset;",
        "  mul.wide.u32 %place, %i, 16;",
    ]  # fmt: skip
    for index, instance in enumerate(group):
        if instance.architecture <= architecture:
            lines += instance.emit(index)
    return lines + ["  ret;", "}", ""]


def write_cases(path, entries, blocks, in_bytes=IN_BYTES, out_bytes=OUT_BYTES):
    """Little endian. Header: entries, blocks that run them, cases, bytes of input and of output per case; then entries as
    opcodes_test.cpp reads them: name, instances, their names, all inputs, all outputs of a block."""
    data = bytearray(struct.pack("<IIIII", len(entries), blocks, CASES, in_bytes, out_bytes))

    def put_text(text):
        data.extend(struct.pack("<I", len(text)) + text.encode())

    for name, group in entries:
        put_text(name)
        data.extend(struct.pack("<I", len(group)))
        for instance in group:
            put_text(instance.name)
        for part in (0, 1):
            for instance in group:
                for case in instance.cases:
                    data.extend(case[part])
    path.write_bytes(data)
