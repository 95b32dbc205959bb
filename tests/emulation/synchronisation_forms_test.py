#!/usr/bin/env python3
"""ptxas and the translator take every form of the instructions for barriers, clusters and asynchronous copies that the
table has.

synchronisation_forms_test.py --translator DIR --ptxas ptxas --work-dir DIR
"""

import argparse
import subprocess
import sys
from pathlib import Path

# Operands by kind. %r1 is an address of shared memory, %d2 one of global memory, %d3 a generic one.
_OPERANDS = {
    "barrier": ["1", "1, 64"],
    "barrier_arrive": ["1, 64"],
    "mbarrier_init": ["[A], 3"],
    "mbarrier_inval": ["[A]"],
    "mbarrier_tx": ["[A], 16"],
    "mbarrier_pending_count": ["%r2, %d1"],
    "copy_async_commit": [""],
    "copy_async_wait": ["1"],
    "copy_async_wait_all": [""],
    "copy_async_arrive": ["[A]"],
    "copy_async": ["[%r1], [%d2], 16", "[%r1], [%d2], 16, %r3", "[%r1], [%d2], 16, %p2"],
    "bulk_commit": [""],
    "bulk_wait": ["1"],
    "init_fence": [""],
    "cluster_arrive": [""],
    "cluster_wait": [""],
    "is_space": ["%p1, %d2"],
    "to_generic": ["%d1, %d2"],
    "from_generic": ["%d1, %d2"],
}


def operands(form, groups):
    kind = form.kind
    if kind == "barrier_reduce":
        target = "%r2" if groups["F"] == "popc" else "%p1"
        return [f"{target}, 1, %p2", f"{target}, 1, 64, %p2"]
    if kind in ("map_to_block", "block_of_address"):
        narrow = groups["T"] == "u32"
        if kind == "block_of_address":
            return ["%r2, %r1" if narrow else "%r2, %d2"]
        return ["%r2, %r1, %r3" if narrow else "%d1, %d2, %r3"]
    if kind == "mbarrier_arrive" and groups.get("S") == "shared::cluster":
        return ["_, [A], 16"] if groups.get("X") else ["_, [A]", "_, [A], 2"]
    if kind == "mbarrier_arrive":
        return ["%d1, [A], 16"] if groups.get("X") else ["%d1, [A]", "_, [A], 2"]
    if kind == "mbarrier_wait":
        phase = "%r2" if groups.get("P") else "%d1"
        return [f"%p1, [A], {phase}"] + (
            [f"%p1, [A], {phase}, %r3"] if groups["K"] == "try_wait" else []
        )
    if kind == "bulk_copy":
        if groups["D"] == "global":
            return ["[%d2], [%r1], 64"]
        source = "%d2" if groups["S"] == "global" else "%r3"
        return [f"[%r1], [{source}], 64, [%r2]"]
    return _OPERANDS.get(kind, [])


def statements(forms):
    for form in forms:
        for opcode, groups in form.instances():
            for text in operands(form, groups):
                address = "%r1" if groups.get("S") else "%d3"
                yield f"{opcode} {text.replace('[A]', f'[{address}]')};"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--translator", type=Path, required=True, help="folder of translate.py")
    parser.add_argument("--ptxas", required=True, help="the assembler of the CUDA toolkit")
    parser.add_argument("--work-dir", type=Path, required=True, help="where the PTX is written")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.translator))
    import instruction_forms

    body = list(statements(instruction_forms.FORMS))
    if len(body) < 200:
        sys.exit(f"{len(body)} instructions, expected more than 200")
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    ptx = arguments.work_dir / "synchronisation_forms.ptx"
    ptx.write_text(
        ".version 8.6\n.target sm_90\n.address_size 64\n.visible .entry every_form()\n{\n"
        ".reg .pred %p<4>;\n.reg .b32 %r<4>;\n.reg .b64 %d<4>;\n" + "\n".join(body) + "\nret;\n}\n"
    )
    code = ptx.with_suffix(".cpp")
    translate = arguments.translator / "translate.py"
    subprocess.run([sys.executable, "-B", translate, "--ptx", ptx, "--out", code], check=True)
    calls = code.read_text().count("\n")
    if calls < len(body):
        sys.exit(f"{calls} lines of C++ for {len(body)} instructions")
    cubin = ptx.with_suffix(".cubin")
    subprocess.run([arguments.ptxas, "-arch=sm_90", "-o", cubin, ptx], check=True)
    print(f"{len(body)} instructions")


if __name__ == "__main__":
    main()
