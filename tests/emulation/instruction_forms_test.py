#!/usr/bin/env python3
"""The table of instructions and ptxas agree, for each architecture: what the table has (but for matrices), ptxas takes from the
first architecture of the form on and not before, and the translator translates. Of loads, stores and atomic operations also
the other direction: whatever ptxas takes of the combinations of their modifiers (surroundings) the table has.

instruction_forms_test.py --translator DIR --ptxas ptxas --work-dir DIR
"""

import argparse
import itertools
import re
import subprocess
import sys
from pathlib import Path

ARCHITECTURES = (75, 80, 90, 100, 120)

_PER_FUNCTION = 1000

# What opcodes/make_opcode_tests.py writes for ptxas.
_ELSEWHERE = {
    "matrix_product",
    "matrix_load",
    "fragment_load",
    "fragment_store",
    "fragment_product",
}

# What ptxas takes and the table does not have: vectors of eight elements of 8 or 16 bits, which the manual does not have
# either (ptxas 13.0 crashes where it comes to assemble one), and extrema of vectors.
_NOT_TRANSLATED = re.compile(
    r"(ld|st)\.(.*\.)?v8\.[bus](8|16)$|(atom|red)\.(.*\.)?(min|max)\.noftz\.v[248]\.b?f16(x2)?$"
)

# A form with operands that came later than it.
_LATER_OPERANDS = [(re.compile(r"mbarrier\.arrive(?!.*noComplete).*, 2;"), 90)]

# Operands by kind. %r1 is an address of shared memory, %d2 one of global memory, %d3 a generic one.
_OPERANDS = {
    "active_mask": ["%r2"],
    "barrier": ["1", "1, 64"],
    "barrier_arrive": ["1, 64"],
    "branch": ["Next"],
    "branch_indexed": ["%r2, Targets"],
    "bulk_commit": [""],
    "bulk_wait": ["1"],
    "call": ["function"],
    "cluster_arrive": [""],
    "cluster_wait": [""],
    "copy_async": ["[%r1], [%d2], 16", "[%r1], [%d2], 16, %r3", "[%r1], [%d2], 16, %p2"],
    "copy_async_arrive": ["[A]"],
    "copy_async_commit": [""],
    "copy_async_wait": ["1"],
    "copy_async_wait_all": [""],
    "elect": ["%r2|%p1, %r3", "_|%p1, 255"],
    "from_generic": ["%d1, %d2"],
    "init_fence": [""],
    "is_space": ["%p1, %d2"],
    "leave": [""],
    "leave_kernel": [""],
    "mbarrier_init": ["[A], 3"],
    "mbarrier_inval": ["[A]"],
    "mbarrier_pending_count": ["%r2, %d1"],
    "mbarrier_tx": ["[A], 16"],
    "ordering": [""],
    "redux": ["%r2, %r3, %r4"],
    "shuffle": ["%r2, %r3, 1, 31, %r4", "%r2|%p1, %r3, %r4, 31, -1"],
    "sleep": ["%r2", "100"],
    "to_generic": ["%d1, %d2"],
    "trap": [""],
    "warp_barrier": ["%r2"],
}
# What follows is reached all the same.
_LEAVES = ("branch", "branch_indexed", "leave", "leave_kernel", "trap")
_REGISTERS = {8: "%h", 16: "%h", 32: "%r", 64: "%d", 128: "%q"}
_ADDRESSES = {
    None: "%d3", "global": "global", "shared": "shared", "shared::cta": "shared", "shared::cluster": "%r1",
    "local": "local", "param": "argument", "const": "constant",
}  # fmt: skip


def vector(type_, length, first=0):
    bits = int(re.search(r"\d+", type_)[0]) * (2 if type_.endswith("x2") else 1)
    registers = [f"{_REGISTERS[bits]}{first + i}" for i in range(int((length or "v1")[1:]))]
    return registers[0] if length is None else "{" + ", ".join(registers) + "}"


def access_operands(opcode, operation, space, length, type_):
    """Of a load, a store or an atomic operation; the address is a variable in the space that is named."""
    address = f"[{_ADDRESSES[space]}]"
    value = vector(type_, length)
    if opcode == "ld":
        return f"{value}, {address}"
    if opcode == "st":
        return f"{address.replace('argument', 'result')}, {value}"
    second = [vector(type_, length, 8)] if operation.startswith("cas") else []
    return ", ".join([*([value] if opcode == "atom" else []), address, value, *second])


def arithmetic_operands(types):
    names = []
    for i, type_ in enumerate(types):
        names.append({"pred": f"%p{i}", "imm": "1"}.get(type_) or vector(type_, None, i))
    return ", ".join(names)


def operands(form, opcode, groups):
    """The lists of operands that a form is tested with; None if there are none for its kind."""
    kind = form.kind
    root = opcode.split(".")[0]
    if kind in ("expression", "approximation"):
        return [arithmetic_operands([x for _, x in form.operand_types(groups)])]
    if kind in ("compare", "compare_half"):
        types = [groups.get("D", "pred"), *[groups["T"]] * 2, *["pred"] * bool(groups.get("B"))]
        text = arithmetic_operands(types)
        two = root == "setp" and groups["T"].endswith("x2")
        return [text.replace("%p0", "%p0|%p2", 1) if two else text]
    if kind in ("load", "store", "atomic"):
        names = (groups.get(name) for name in ("S", "V", "T"))
        return [access_operands(root, groups.get("F", ""), *names)]
    if kind == "move":
        register = "%p1" if groups["T"] == "pred" else vector(groups["T"], None, 1)
        return [f"{register}, {register}"]
    if kind == "barrier_reduce":
        target = "%r2" if groups["F"] == "popc" else "%p1"
        return [f"{target}, 1, %p2", f"{target}, 1, 64, %p2"]
    if kind == "vote":
        target = "%r2" if groups["M"] == "ballot" else "%p1"
        return [f"{target}, %p2, %r3", f"{target}, !%p2, -1"]
    if kind == "match":
        value = vector(groups["T"], None, 1)
        return [f"%r2, {value}, %r3"] + ([f"%r2|%p1, {value}, -1"] if groups["M"] == "all" else [])
    if kind == "prefetch":
        return [f"[{_ADDRESSES[groups.get('S')]}]" + (", 64" if "bulk" in opcode else "")]
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
    return _OPERANDS[kind]


def statements(forms):
    """(opcode, statement) of the table."""
    for form in forms:
        if form.kind in _ELSEWHERE:
            continue
        for opcode, groups in form.instances():
            for text in operands(form, opcode, groups):
                address = "%r1" if groups.get("S") else "%d3"
                guard = "@%p3 " if form.kind in _LEAVES else ""
                yield opcode, f"{guard}{opcode} {text.replace('[A]', f'[{address}]')};"


_SCOPES = ["cta", "cluster", "gpu", "sys"]
_SPACES = [None, "global", "shared", "shared::cta", "shared::cluster", "local", "param", "const"]
_PRIORITIES = [None, "L1::evict_first", "L1::no_allocate"]  # alike
_PREFETCHES = [None, "L2::64B", "L2::256B"]
_LENGTHS = [None, "v2", "v4", "v8"]
_TYPES = [
    "b8", "u8", "s8", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64", "b128",
]  # fmt: skip


def joined(*parts):
    return ".".join(part for part in parts if part)


def accesses_around(opcode, operators):
    """Every order in every space with all cache modifiers, legal or not; with a few of those, all vectors and types."""
    orders = [None, "weak", "volatile", "relaxed", "weak.gpu", "volatile.cta", "acq_rel.gpu"]
    orders += [
        joined(order, scope) for order in ("relaxed", "acquire", "release") for scope in _SCOPES
    ]
    nc = [None, "nc"] if opcode == "ld" else [None]
    caches = list(itertools.product([None, *operators], nc, _PRIORITIES, _PREFETCHES))
    some = [(), (operators[0],), ("nc",), ("L1::no_allocate",), ("L2::128B",), ("nc", "L2::64B")]
    for order, space in itertools.product(orders, _SPACES):
        choices = [(cache, None, "b32") for cache in caches]
        if order in (None, "weak", "volatile", "relaxed.gpu", "acquire.cluster", "release.cta"):
            choices += itertools.product(some, _LENGTHS, _TYPES)
        for cache, length, type_ in choices:
            yield (
                joined(opcode, order, space, *cache, length, type_),
                access_operands(opcode, "", space, length, type_),
            )


def atomics_around(opcode):
    """Every order, scope and space with some operations; every operation with all types and vectors, and some of those."""
    orders = [None, "relaxed", "acquire", "release", "acq_rel", "weak", "volatile"]
    places = list(itertools.product(orders, [None, *_SCOPES], _SPACES))
    some = [(None, None, None), ("relaxed", "gpu", "global"), ("release", "cta", "shared")]
    some += [(None, "sys", "shared::cluster"), ("relaxed", None, "param")]
    operations = ["and", "or", "xor", "add", "inc", "dec", "min", "max", "exch", "cas", "nand"]
    operations += ["add.noftz", "min.noftz", "max.noftz"]
    types = [*_TYPES, "f16", "bf16", "f16x2", "bf16x2"]
    choices = itertools.product(
        places,
        [("add", None, "u32"), ("cas", None, "b128"), ("add.noftz", "v2", "f16"), ("exch", None, "b64")],
    )  # fmt: skip
    every = itertools.product(some, itertools.product(operations, _LENGTHS, types))
    for (order, scope, space), (operation, length, type_) in itertools.chain(choices, every):
        name = joined(opcode, order, scope, space, operation, length, type_)
        yield name, access_operands(opcode, operation, space, length, type_)


def surroundings():
    """(opcode, statement) of loads, stores and atomic operations with what modifiers they have, legal or not."""
    for opcode, text in itertools.chain(
        accesses_around("ld", ["ca", "cg", "cs", "lu", "cv"]),
        accesses_around("st", ["wb", "cg", "cs", "wt"]),
        atomics_around("atom"),
        atomics_around("red"),
    ):
        yield opcode, f"{opcode} {text};"


def module(body, architecture):
    """(PTX, the statement of each line) of functions with these statements."""
    lines = [
        ".version 9.0", f".target sm_{architecture}", ".address_size 64", ".global .align 32 .b8 global[32];",
        ".const .align 32 .b8 constant[32];", ".shared .align 16 .b8 shared[16];", ".func function()", "{", "ret;", "}",
    ]  # fmt: skip
    places = {}
    for start in range(0, len(body), _PER_FUNCTION):
        lines += [
            f".visible .func (.param .align 32 .b8 result[32]) forms_{start}(.param .align 32 .b8 argument[32])", "{",
            ".local .align 32 .b8 local[32];", ".reg .pred %p<4>;", ".reg .b16 %h<16>;", ".reg .b32 %r<16>;",
            ".reg .b64 %d<16>;", ".reg .b128 %q<16>;", "Targets: .branchtargets Next;", "Next:",
        ]  # fmt: skip
        for statement in body[start : start + _PER_FUNCTION]:
            lines.append(statement)
            places[len(lines)] = statement
        lines += ["ret;", "}"]
    return "\n".join([*lines, ""]), places


def refusals(ptxas, path, body, architecture):
    """What ptxas says of each statement; None where it takes it."""
    text, places = module(body, architecture)
    path.write_text(text)
    run = subprocess.run(
        [ptxas, "-c", f"-arch=sm_{architecture}", "-O0", "-o", path.with_suffix(".cubin"), path],
        capture_output=True, text=True,
    )  # fmt: skip
    said = dict.fromkeys(body)
    for line in run.stderr.splitlines():
        match = re.match(r"ptxas .*, line (\d+); (?:error|fatal)\s*: (.*)", line)
        if match and int(match[1]) in places:
            said[places[int(match[1])]] = match[2]
        elif "aborted due to errors" not in line and not line.startswith("ptxas warning"):
            sys.exit(f"{path}: {line}")
    if (run.returncode != 0) != any(said.values()):
        sys.exit(f"{path}: ptxas exits with {run.returncode}")
    return said


def translation(arguments, found, body):
    """Translates one instruction for each choice of the modifiers that change results; gives their number."""
    by_groups = {}
    for text, opcode in body.items():
        form, groups = found[opcode]
        if form is not None:
            kept = tuple(groups.get(name) for name in groups if name not in "EP")
            by_groups[form.pattern, kept, text.partition(" ")[2]] = text
    ptx = arguments.work_dir / "instruction_forms.ptx"
    ptx.write_text(module(list(by_groups.values()), ARCHITECTURES[-1])[0])
    code = ptx.with_suffix(".cpp")
    translate = arguments.translator / "translate.py"
    command = [translate, "--approximations", "--ptx", ptx, "--out", code]
    subprocess.run([sys.executable, "-B", *command], check=True)
    if code.read_text().count("\n") < len(by_groups):
        sys.exit(f"{code}: fewer lines than instructions")
    return len(by_groups)


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

    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    forms = instruction_forms.FORMS
    body = {text: opcode for opcode, text in itertools.chain(statements(forms), surroundings())}
    found = {opcode: instruction_forms.find(opcode) for opcode in set(body.values())}
    first = {}  # the first architecture by the table, None: not in it
    for text, opcode in body.items():
        form, groups = found[opcode]
        later = [since for pattern, since in _LATER_OPERANDS if pattern.match(text)]
        first[text] = form and max([form.first_architecture(groups), *later])
    differences = []
    for architecture in ARCHITECTURES:
        path = arguments.work_dir / f"instruction_forms_sm_{architecture}.ptx"
        # The last architecture has whatever one before has.
        tried = [x for x in body if first[x] is not None or architecture == ARCHITECTURES[-1]]
        for text, refusal in refusals(arguments.ptxas, path, tried, architecture).items():
            known = first[text] is not None and first[text] <= architecture
            if known != (refusal is None) and not (
                first[text] is None and _NOT_TRANSLATED.match(body[text])
            ):
                differences.append(f"sm_{architecture}: {text} {refusal or 'is not in the table'}")
        # With no errors left it assembles them, which may find more.
        known = [x for x, since in first.items() if since is not None and since <= architecture]
        for text, refusal in refusals(arguments.ptxas, path, known, architecture).items():
            if refusal is not None:
                differences.append(f"sm_{architecture}: {text} {refusal}")
    if differences:
        print("\n".join(differences[:40]))
        sys.exit(f"{len(differences)} differences")
    translated = translation(arguments, found, body)
    in_table = sum(x is not None for x in first.values())
    print(
        f"{in_table} instructions of the table, {translated} translated; {len(body) - in_table} others"
    )


if __name__ == "__main__":
    main()
