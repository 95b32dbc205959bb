"""Every access of the table to the shared memory of another block of a cluster: loads, stores and atomic operations.

Clusters of two blocks: each thread writes the cell that the instruction finds, the thread of the other block executes the
instruction on it, and the first looks at the cell again; barriers of the cluster stand between. Block 1 goes through the cases
in another order than block 0, so that an access to the wrong block shows. What is chosen of them: see access_instances.py and
atomic_instances.py.
"""

import access_instances
import atomic_instances
import instruction_forms
from atomic_instances import IN_BYTES, OUT_BYTES
from covering import covering
from operands import CASES

FIRST_ARCHITECTURE = 90
_TURN = CASES // 2  # how many cases block 1 is ahead of block 0


def candidates():
    for form in instruction_forms.FORMS:
        if form.kind not in ("load", "store", "atomic"):
            continue
        for opcode, groups in form.instances():
            if groups.get("S") == "shared::cluster":
                yield opcode, groups, "cluster", form.first_architecture(groups)


def features(opcode, groups, place, architecture):
    of_kind = access_instances if "F" not in groups else atomic_instances
    return of_kind.features(opcode, groups, place, architecture)


def instances():
    for opcode, groups, place, architecture in covering(candidates(), features):
        if "F" in groups:
            yield atomic_instances.AtomicInstance(opcode, groups, place, architecture)
        else:
            yield access_instances.AccessInstance(
                opcode, groups, place, architecture, cell_bytes=16
            )


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
