"""The loads and stores of the table, each on a cell of memory of the thread's own.

Every order with every scope in every state space, every type and vector in every space and with every order and scope, and every
other modifier (of caches) in every space; a generic address points into each space that it may.
"""

import random

import instruction_forms
from covering import covering, modifiers
from operands import CASES
from ptx_definitions import WIDTH, load, store

CELL_BYTES = 32
IN_BYTES = 64  # the cell, and what is stored
OUT_BYTES = 64  # what is loaded, and the cell afterwards
# Where an address of a space points. Kernels have parameters, and functions.
_PLACES = {
    "": ("global", "shared", "local", "constant"), "global": ("global",), "shared": ("shared",), "shared::cta": ("shared",),
    "local": ("local",), "const": ("constant",), "param": ("parameter", "argument"),
}  # fmt: skip
_SPACES = {"constant": "const", "parameter": "param", "argument": "param"}  # of places
_WEAK_PLACES = ("local", "constant")
_CONSTANT = random.Random("constant").randbytes(CELL_BYTES * CASES)
PARAMETER = bytes((37 * i + 129) % 256 for i in range(CELL_BYTES))  # opcodes_test.cpp gives it


class AccessInstance:
    """A load or store of a cell."""

    def __init__(self, opcode, groups, place, architecture, cell_bytes=CELL_BYTES):
        self.opcode = opcode
        self.place = place
        self.name = f"{opcode} in {place} memory"
        self.architecture = architecture
        self.cell_bytes = cell_bytes
        self.type_ = groups["T"]
        self.length = int((groups.get("V") or "v1")[1:])
        self.generic = groups.get("S") is None
        self.is_load = opcode.startswith("ld.")
        # Registers may be wider than what is accessed, unless it is a float: loads extend, stores take the low bits.
        generator = random.Random(self.name)
        width = WIDTH[self.type_]
        room = 8 * cell_bytes // self.length
        wider = [x for x in (16, 32, 64) if max(width, 16) <= x <= room]
        self.register = width if self.type_ in ("f32", "f64", "b128") else generator.choice(wider)
        self.cases = [self.make_case(generator, i) for i in range(CASES)]

    def make_case(self, generator, case):
        cell, source = generator.randbytes(self.cell_bytes), generator.randbytes(32)
        if self.place == "constant":
            cell = _CONSTANT[case * CELL_BYTES : (case + 1) * CELL_BYTES]
        elif self.place == "parameter":
            cell = PARAMETER
        step = WIDTH[self.type_] // 8
        elements = range(self.length)
        if self.is_load:
            values = [
                load(self.type_, cell[i * step : (i + 1) * step], self.register) for i in elements
            ]
            result = b"".join(x.to_bytes(self.register // 8, "little") for x in values)
            after = cell
        else:
            width = self.register // 8
            values = [source[i * width : (i + 1) * width] for i in elements]
            after = b"".join(store(self.type_, int.from_bytes(x, "little")) for x in values)
            after += cell[len(after) :]
            result = b""
        return cell + source, result.ljust(self.cell_bytes, b"\0") + after

    def emit(self, index, entry):
        base_in, base_out = index * CASES * IN_BYTES, index * CASES * OUT_BYTES
        place = self.place
        space = _SPACES.get(place, place)
        before = [
            f"    ld.global.v2.b64 {{%w0, %w1}}, [%in+{base_in}];",
            f"    ld.global.v2.b64 {{%w2, %w3}}, [%in+{base_in + 16}];",
        ]
        after = [
            f"    st.global.v2.b64 [%out+{base_out + CELL_BYTES}], {{%w0, %w1}};",
            f"    st.global.v2.b64 [%out+{base_out + CELL_BYTES + 16}], {{%w2, %w3}};",
        ]
        lines = ["  {", "    .reg .b64 %cell, %address, %w<4>;"]
        if place == "argument":
            return [*lines, *before, *self.emit_argument(base_in, base_out), *after, "  }"]
        if place == "parameter":
            cell = f"{entry}_cell"
        elif place == "global" and self.is_load:
            lines.append(f"    add.s64 %cell, %in, {base_in};")
            cell = "%cell"
        elif place == "global":
            lines.append(f"    add.s64 %cell, %out, {base_out + CELL_BYTES};")
            cell = "%cell"
        elif place == "local":
            lines.append("    mov.u64 %cell, own;")
            cell = "%cell"
        else:
            variable = "cells" if place == "shared" else "constant"
            lines += [f"    mov.u64 %cell, {variable};", "    add.s64 %cell, %cell, %place;"]
            cell = "%cell"
        halves = [(cell, "{%w0, %w1}"), (f"{cell}+16", "{%w2, %w3}")]
        if place in ("shared", "local") or (place == "global" and not self.is_load):
            lines += before
            lines += [f"    st.{space}.v2.b64 [{address}], {words};" for address, words in halves]
        address = cell
        if self.generic and place != "global":
            lines.append(f"    cvta.{space}.u64 %address, %cell;")
            address = "%address"
        lines += self.emit_access(base_in, base_out, address)
        lines += [f"    ld.{space}.v2.b64 {words}, [{address}];" for address, words in halves]
        return [*lines, *after, "  }"]

    def emit_argument(self, base_in, base_out):
        """The access to the argument of a function that returns it, or to its result."""
        lines = ["    .param .align 32 .b8 given[32];", "    .param .align 32 .b8 got[32];"]
        lines += [
            "    st.param.v2.b64 [given], {%w0, %w1};",
            "    st.param.v2.b64 [given+16], {%w2, %w3};",
        ]
        call = ["    call (got), echo, (given);"]
        if self.is_load:
            lines += call + self.emit_access(base_in, base_out, "got")
        else:
            lines += self.emit_access(base_in, base_out, "given") + call
        return lines + [
            "    ld.param.v2.b64 {%w0, %w1}, [got];",
            "    ld.param.v2.b64 {%w2, %w3}, [got+16];",
        ]

    def emit_access(self, base_in, base_out, address):
        """The instruction, what it stores read from %in and what it loads written to %out."""
        base_in += self.cell_bytes
        width, n = self.register, self.length
        registers = [f"%d{i}" for i in range(n)]
        vector = registers[0] if n == 1 else "{" + ", ".join(registers) + "}"
        lines = [f"    .reg .b{width} %d<{n}>;"]
        halves = "{%half0, %half1}"
        if width == 128:
            lines.append("    .reg .b64 %half<2>;")
        if self.is_load:
            lines.append(f"    {self.opcode} {vector}, [{address}];")
        for i, register in enumerate(registers):
            at = i * width // 8
            if width == 128 and self.is_load:
                lines += [
                    f"    mov.b128 {halves}, {register};",
                    f"    st.global.v2.b64 [%out+{base_out}], {halves};",
                ]
            elif width == 128:
                lines += [
                    f"    ld.global.v2.b64 {halves}, [%in+{base_in}];",
                    f"    mov.b128 {register}, {halves};",
                ]
            elif self.is_load:
                lines.append(f"    st.global.b{width} [%out+{base_out + at}], {register};")
            else:
                lines.append(f"    ld.global.b{width} {register}, [%in+{base_in + at}];")
        if not self.is_load:
            lines.append(f"    {self.opcode} [{address}], {vector};")
        return lines


def features(opcode, groups, place, architecture):
    root = opcode[:2]
    order, scope, space, length, type_ = (groups.get(name) for name in "OQSVT")
    others = modifiers(opcode, groups)
    return {
        ("order", root, space, place, order, scope),
        ("type", root, space, place, length, type_),
        ("type and order", root, length, type_, order, scope),
        *[("modifier", root, space, place, each) for each in others],
        ("modifiers", root, frozenset(others)),
    }


def candidates():
    for form in instruction_forms.FORMS:
        if form.kind not in ("load", "store"):
            continue
        for opcode, groups in form.instances():
            if groups.get("S") == "shared::cluster":
                continue  # cluster_instances.py
            length = int((groups.get("V") or "v1")[1:])
            for place in _PLACES[groups.get("S") or ""]:
                if groups.get("O") and place in _WEAK_PLACES:
                    continue
                if form.kind == "store" and place in ("constant", "parameter"):
                    continue
                if length * WIDTH[groups["T"]] > 128 and place != "global":
                    continue  # vectors of 32 bytes are in global memory
                if (
                    modifiers(opcode, groups) - {"weak"}
                    and not groups.get("S")
                    and place != "global"
                ):
                    continue  # hints about global memory
                yield opcode, groups, place, form.first_architecture(groups)


def instances():
    for opcode, groups, place, architecture in covering(candidates(), features):
        yield AccessInstance(opcode, groups, place, architecture)


def emit_module():
    """What the entries share."""
    constant = ", ".join(map(str, _CONSTANT))
    copies = []
    for at in (0, 16):
        copies += [f"  ld.param.v2.b64 {{%a, %b}}, [given+{at}];", f"  st.param.v2.b64 [got+{at}], {{%a, %b}};"]  # fmt: skip
    return [
        f".const .align 32 .b8 constant[{len(_CONSTANT)}] = {{{constant}}};",
        ".func (.param .align 32 .b8 got[32]) echo(.param .align 32 .b8 given[32])", "{", "  .reg .b64 %a, %b;",
        *copies, "  ret;", "}", "",
    ]  # fmt: skip


def emit_entry(name, group, architecture):
    lines = [
        f".visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_out, .param .align 32 .b8 {name}_cell[{CELL_BYTES}])",
        "{", f"  .shared .align 32 .b8 cells[{CELL_BYTES * CASES}];", f"  .local .align 32 .b8 own[{CELL_BYTES}];",
        "  .reg .b64 %in, %out, %offset, %place;", "  .reg .b32 %i;",
        f"  ld.param.u64 %in, [{name}_in];", f"  ld.param.u64 %out, [{name}_out];", "  mov.u32 %i, %tid.x;",
        f"  mul.wide.u32 %offset, %i, {IN_BYTES};", "  add.s64 %in, %in, %offset;",
        f"  mul.wide.u32 %offset, %i, {OUT_BYTES};", "  add.s64 %out, %out, %offset;",
        f"  mul.wide.u32 %place, %i, {CELL_BYTES};",
    ]  # fmt: skip
    for index, instance in enumerate(group):
        if instance.architecture <= architecture:
            lines += instance.emit(index, name)
    return lines + ["  ret;", "}", ""]
