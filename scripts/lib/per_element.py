"""What scripts/sass-report and scripts/roofline make of a profile of the emulation: how often ptxas's machine code
is issued for an element, and what the emulation counts of memory (docs/gpu-model.md)."""

import collections
import json
import os
import re
import tempfile
from pathlib import Path

from sass import Failure, class_of, find_tool, parse_resources, run

SECTOR = 32  # bytes: what the L2 cache and the device's memory are asked for
WARP = 32
# The classes of scripts/lib/sass.py as the tables show them.
SHOWN_CLASSES = {
    "imad": ("imad", "imad move"),
    "wide": ("imad wide",),
    "hi": ("imad hi",),
    "alu": ("alu",),
    "fp32": ("fp32",),
    "fp64": ("fp64", "dmma", "dmma 16x8x4", "dmma 16x8x8"),
    "xu": ("xu",),
    "lsu": ("lds", "sts", "ldg", "stg", "atomic", "shfl", "local", "constant"),
}
# Families: what PTX becomes what classes. A line's loads may stand in a copy of a loop that runs more often
# than the one where its addresses are made.
FAMILIES = [
    (name, re.compile(ptx), classes)
    for name, ptx, classes in [
        ("access", r"(ld|st)\.(?!param|const|local)", ("ldg", "stg", "lds", "sts")),
        ("fp32", r"(add|sub|mul|fma)\.(\w+\.)*f32\b", ("fp32",)),
        ("fp64", r"(add|sub|mul|fma)\.(\w+\.)*f64\b", ("fp64",)),
        ("multiply", r"(mul|mad)\.", ("imad", "imad wide", "imad hi")),
        ("expanded", r"(div|rem|sqrt|rsqrt|rcp)\.", ()),  # into many of all classes
        ("other", r"", ()),
    ]
]


def family_of(name):
    """The family of a class of SASS."""
    return next((family for family, _, classes in FAMILIES if name in classes), "other")


# ---- Machine code by source line ----


def line_key(path, line):
    """A source line, whatever folder its tree was compiled in."""
    return "/".join(Path(os.path.normpath(path)).parts[-3:]), line


def parse_line_info(text):
    """Kernel -> [(class, source line or None, in a subroutine)], from nvdisasm --print-line-info.

    Subroutines are those that ptxas adds behind a kernel for rare operands of quotients and roots. Without the
    branch to itself and the NOPs that fill a kernel's last line of the cache."""
    found, body, place, subroutine = {}, None, None, False
    pattern = re.compile(
        r'^\s*\.section\s+\.text\.([^,\s]+)|^\s*//## File "([^"]*)", line (\d+)|'
        r"^(\$__internal_\S+):|^\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;",
        re.MULTILINE,
    )
    for match in pattern.finditer(text):
        if match[1]:
            body, place, subroutine = found.setdefault(match[1], []), None, False
        elif match[2] is not None:
            place = line_key(match[2], int(match[3]))
        elif match[4]:
            subroutine = True
        elif body is not None:
            instruction = re.sub(r"^@!?U?P\w+\s+", "", match[5])
            body.append((instruction.split()[0], place, subroutine))
    for body in found.values():
        while body and body[-1][0] == "NOP":
            body.pop()
        if body and body[-1][0] == "BRA":
            body.pop()
    return {
        kernel: [(class_of(opcode), *rest) for opcode, *rest in body]
        for kernel, body in found.items()
    }


def parse_ptx(text):
    """Kernel -> its basic blocks, each a source line -> instructions by family."""
    files = {int(number): path for number, path in re.findall(r'\.file\s+(\d+)\s+"([^"]+)"', text)}
    found, blocks, place = {}, None, None
    pattern = re.compile(
        r"\.entry\s+([^\s(]+)|^\s*\.loc\s+(\d+)\s+(\d+)|^\s*(\$\w+):|"
        r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)(?:\s[^;\n]*)?;",
        re.MULTILINE,
    )
    for match in pattern.finditer(text):
        if match[1]:
            blocks, place = found.setdefault(match[1], [{}]), None
        elif match[2]:
            place = line_key(files[int(match[2])], int(match[3]))
        elif blocks is None:
            continue
        elif match[4]:
            blocks.append({})
        else:
            counts = blocks[-1].setdefault(place, collections.Counter())
            counts[next(name for name, ptx, _ in FAMILIES if ptx.match(match[5]))] += 1
            if re.match(r"(bra|brx|call|ret|exit|trap)\b", match[5]):
                blocks.append({})
    return {kernel: [block for block in blocks if block] for kernel, blocks in found.items()}


def replication(blocks, body):
    """Source line -> into how many copies ptxas unrolled it, if more than one.

    ptxas neither drops nor adds loads and stores but by unrolling: where a line has more in SASS than in PTX,
    a loop has become as many copies, which share its turns. Basic blocks without accesses are told by their
    floating-point instructions in lines without quotients and roots. Other lines go with their block."""
    wanted, made = collections.Counter(), collections.Counter()
    for block in blocks:
        for place, counts in block.items():
            for family, count in counts.items():
                wanted[place, family] += count
    for name, place, subroutine in body:
        if not subroutine:
            made[place, family_of(name)] += 1

    def copies_of(block):
        for families in (("access",), ("fp32", "fp64")):
            anchors = {
                (place, family): counts[family]
                for place, counts in block.items()
                for family in families
                if counts[family] and (family == "access" or not wanted[place, "expanded"])
            }
            if anchors:
                copies = sum(n * max(1, made[key] / wanted[key]) for key, n in anchors.items())
                return copies / sum(anchors.values())
        return 1

    weighted, instructions = collections.Counter(), collections.Counter()
    for block in blocks:
        copies = copies_of(block)
        for place, counts in block.items():
            weighted[place] += counts.total() * copies
            instructions[place] += counts.total()
    return {place: weighted[place] / count for place, count in instructions.items()}


def read_machine_code(binaries, archs, kernels):
    """arch -> kernel -> what parse_line_info and parse_ptx give; (arch, kernel) -> registers, shared memory: of the
    files that hold any of the `kernels`."""
    cuobjdump, nvdisasm = find_tool("cuobjdump"), find_tool("nvdisasm")
    if cuobjdump is None or nvdisasm is None:
        return None, None
    names = [kernel.encode() for kernel in kernels]

    def holds_some(path):
        data = path.read_bytes()
        return any(name in data for name in names)

    code, resources = {arch: {} for arch in archs}, {}
    environment = dict(
        os.environ, PATH=f"{nvdisasm.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    for binary in filter(holds_some, binaries):
        resources.update(parse_resources(run([cuobjdump, "-res-usage", binary], env=environment)))
        ptx = {}
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("-xptx", "-xelf"):
                run([cuobjdump, kind, "all", binary.resolve()], env=environment, cwd=folder)
            for path in filter(holds_some, Path(folder).glob("*.ptx")):
                ptx.update(parse_ptx(path.read_text()))
            for arch in archs:
                for cubin in filter(holds_some, sorted(Path(folder).glob(f"*.{arch}.cubin"))):
                    listing = run([nvdisasm, "--print-line-info", "--print-code", cubin])
                    for kernel, body in parse_line_info(listing).items():
                        code[arch][kernel] = (body, ptx.get(kernel, []))
    return code, resources


def rates_of(launch, blocks):
    """(source line, family), and (source line, None) for all families: executions of its PTX on average."""
    executed, standing = collections.Counter(), collections.Counter()
    if len(blocks) == len(launch["executions"]):
        for block, executions in zip(blocks, launch["executions"]):
            for place, counts in block.items():
                for family, count in [*counts.items(), (None, counts.total())]:
                    executed[place, family] += count * executions
                    standing[place, family] += count
    else:  # PTX of another compilation
        for line in launch["lines"]:
            place = line_key(line["file"], line["line"]), None
            executed[place] += line["warp_instructions"]
            standing[place] += line["ptx_instructions"]
    return {key: executed[key] / count for key, count in standing.items()}


def issued(launch, body, blocks):
    """Class -> warp instructions of a launch: each SASS instruction as often as the PTX of its line and family on
    average, shared among the copies of an unrolled loop.

    Where the line has no PTX of the family, all of the line; an instruction of a line without PTX goes with the
    one before it, the first ones with the entry of the kernel; subroutines for rare operands are not executed."""
    rates, copies = rates_of(launch, blocks), replication(blocks, body)
    rate = launch["threads"] / WARP
    counts = collections.Counter()
    for name, place, subroutine in body:
        if subroutine:
            continue
        for key in ((place, family_of(name)), (place, None)):
            if key in rates:
                rate = rates[key] / copies.get(place, 1)
                break
        counts[name] += rate
    return counts


# ---- What the emulation counts ----


def footprint(launch):
    return launch["footprint"]["read_bytes"] + launch["footprint"]["written_bytes"]


def instruction_figures(case, counts):
    """Of an element, from warp instructions by class that the emulated launches of a case issue."""
    each = WARP / case["emulated_elements"]
    return {
        "instructions": {
            shown: sum(counts[name] for name in names) * each
            for shown, names in SHOWN_CLASSES.items()
        },
        "instructions_in_all": sum(counts.values()) * each,
    }


def memory_figures(case, launches):
    """What the emulation counts, exactly: the same for every device."""
    elements = case["emulated_elements"]

    def total(space, figure):
        return sum(kind[figure] for launch in launches for kind in launch[space].values())

    requests, sectors = total("global", "requests"), total("global", "sectors")
    full_sectors = total("global", "ideal_sectors")
    ideal = total("shared", "ideal_wavefronts")
    return {
        "bytes_per_element": sectors * SECTOR / elements,
        "footprint_per_element": sum(footprint(launch) for launch in launches) / elements,
        "sectors_per_request": sectors / requests if requests else 0.0,
        "coalesced": full_sectors / sectors if sectors else 1.0,
        "bank_conflicts": total("shared", "wavefronts") / ideal - 1 if ideal else 0.0,
        "ptx_per_element": sum(launch["warp_instructions"] for launch in launches)
        * WARP
        / elements,
    }


# ---- Columns ----

# Head, and the cell of a row that holds instruction_figures and memory_figures.
ELEMENT_COLUMNS = [
    ("instr.", lambda r: f"{r['instructions_in_all']:.1f}"),
    *((name, lambda r, name=name: f"{r['instructions'][name]:.1f}") for name in SHOWN_CLASSES),
    ("L2 B", lambda r: f"{r['bytes_per_element']:.2f}"),
    ("DRAM B", lambda r: f"{r['footprint_per_element']:.2f}"),
    ("sect./req.", lambda r: f"{r['sectors_per_request']:.1f}"),
    ("coalesced", lambda r: f"{r['coalesced']:.2f}"),
    ("conflicts", lambda r: f"{100 * r['bank_conflicts']:.0f} %"),
]


def markdown_table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


# ---- Files ----


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {error}") from error


def kernels_of(cases):
    return {launch["kernel"] for _, launches in cases for launch in launches}


def read_cases(cases_path, profile_path, only):
    """[(case, its launches)]; a case without launches is an error."""
    cases, profile = read_json(cases_path), read_json(profile_path)
    for path, data in ((cases_path, cases), (profile_path, profile)):
        if data.get("version") != 1:
            raise Failure(f"{path}: version {data.get('version')}, expected 1")
    launches = collections.defaultdict(list)
    for launch in profile["launches"]:
        launches[launch["label"]].append(launch)
    chosen = [case for case in cases["cases"] if not only or re.search(only, case["name"])]
    if not chosen:
        raise Failure(f"{cases_path}: no case matches {only}")
    for case in chosen:
        if case["name"] not in launches:
            raise Failure(f"{profile_path}: no launch has the label {case['name']}")
    return [(case, launches[case["name"]]) for case in chosen]
