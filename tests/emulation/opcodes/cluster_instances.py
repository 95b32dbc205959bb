"""Every access of the table to the shared memory of another block of a cluster: loads, stores and atomic operations.

Clusters of two blocks: each thread writes the cell that the instruction finds, the thread of the other block executes the
instruction on it, and the first looks at the cell again; barriers of the cluster stand between. Block 1 goes through the cases
in another order than block 0, so that an access to the wrong block shows. Orders, scopes, caches and prefetches change no
result here: each is tested with every operation, type and length in turn, as in atomic_instances.py.
"""

import random

import atomic_instances
import instruction_forms
from atomic_instances import IN_BYTES, OUT_BYTES
from operands import CASES
from ptx_definitions import WIDTH, load, store

FIRST_ARCHITECTURE = 90
_TURN = CASES // 2  # how many cases block 1 is ahead of block 0


class AccessInstance:
    """A load or store of a cell of 16 bytes by the other block."""

    def __init__(self, opcode, groups, architecture):
        self.opcode = opcode
        self.name = opcode
        self.architecture = max(architecture, FIRST_ARCHITECTURE)
        self.type_ = groups["T"]
        self.length = int((groups.get("V") or "v1")[1:])
        self.is_load = opcode.startswith("ld.")
        # Registers may be wider than what is accessed: loads extend, stores take the low bits.
        self.register = max(WIDTH[self.type_], 32)
        generator = random.Random(self.name)
        self.cases = [self.make_case(generator) for _ in range(CASES)]

    def make_case(self, generator):
        cell, source = generator.randbytes(16), generator.randbytes(32)
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
        return cell + source, result.ljust(16, b"\0") + after

    def emit_access(self, base_in, base_out, address):
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
                    f"    ld.global.v2.b64 {halves}, [%in+{base_in + 16}];",
                    f"    mov.b128 {register}, {halves};",
                ]
            elif self.is_load:
                lines.append(f"    st.global.b{width} [%out+{base_out + at}], {register};")
            else:
                lines.append(f"    ld.global.b{width} {register}, [%in+{base_in + 16 + at}];")
        if not self.is_load:
            lines.append(f"    {self.opcode} [{address}], {vector};")
        return lines


def instances():
    turn = 0
    for form in instruction_forms.FORMS:
        if form.kind not in ("load", "store", "atomic"):
            continue
        by_operation = {}
        for opcode, groups in form.instances():
            if groups.get("S") == "shared::cluster":
                key = tuple(groups.get(name) for name in "OFTV")
                by_operation.setdefault(key, []).append((opcode, groups))
        for choices in by_operation.values():
            opcode, groups = choices[7 * turn % len(choices)]
            turn += 1
            if form.kind == "atomic":
                yield atomic_instances.AtomicInstance(opcode, groups, "cluster", form.architecture)
            else:
                yield AccessInstance(opcode, groups, form.architecture)


def emit_entry(name, group, architecture):
    lines = [
        f".visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_out)", ".reqnctapercluster 2", "{",
        f"  .shared .align 16 .b8 cells[{16 * CASES}];",
        "  .reg .b64 %in, %out, %their_in, %their_out, %offset, %cell, %theirs;",
        "  .reg .b32 %i, %rank, %other, %case, %narrow;", "  .reg .pred %over;",
        "  mov.u32 %i, %tid.x;", "  mov.u32 %rank, %cluster_ctarank;", "  xor.b32 %other, %rank, 1;",
        "  mov.u64 %cell, cells;", "  mul.wide.u32 %offset, %i, 16;", "  add.s64 %cell, %cell, %offset;",
        "  mapa.shared::cluster.u64 %theirs, %cell, %other;", "  cvt.u32.u64 %narrow, %theirs;",
    ]  # fmt: skip
    for block, kind in (("%rank", ""), ("%other", "their_")):
        lines += [
            f"  mad.lo.u32 %case, {block}, {_TURN}, %i;",
            f"  setp.ge.u32 %over, %case, {CASES};",
            f"  @%over sub.u32 %case, %case, {CASES};",
            f"  ld.param.u64 %{kind}in, [{name}_in];",
            f"  ld.param.u64 %{kind}out, [{name}_out];",
            f"  mul.wide.u32 %offset, %case, {IN_BYTES};",
            f"  add.s64 %{kind}in, %{kind}in, %offset;",
            f"  mul.wide.u32 %offset, %case, {OUT_BYTES};",
            f"  add.s64 %{kind}out, %{kind}out, %offset;",
            f"  mul.wide.u32 %offset, {block}, {len(group) * CASES * OUT_BYTES};",
            f"  add.s64 %{kind}out, %{kind}out, %offset;",
        ]
    barrier = ["    barrier.cluster.arrive;", "    barrier.cluster.wait;"]
    for index, instance in enumerate(group):
        if instance.architecture > architecture:
            continue
        base_in, base_out = index * CASES * IN_BYTES, index * CASES * OUT_BYTES
        lines += [
            "  {",
            "    .reg .b64 %low, %high;",
            f"    ld.global.v2.b64 {{%low, %high}}, [%their_in+{base_in}];",
            "    st.shared.v2.b64 [%cell], {%low, %high};",
            *barrier,
            *instance.emit_access(base_in, base_out, ("%theirs", "%narrow")[index % 2]),
            *barrier,
            "    ld.shared.v2.b64 {%low, %high}, [%cell];",
            f"    st.global.v2.b64 [%their_out+{base_out + 16}], {{%low, %high}};",
            "  }",
        ]
    return lines + ["  ret;", "}", ""]
