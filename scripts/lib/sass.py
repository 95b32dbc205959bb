"""What scripts/sass-report and scripts/roofline share: the tools that read compiled kernels, what they print,
the classes of SASS instructions and CUDA's occupancy rules."""

import collections
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MISSING_TOOL = 77

# CUDA C++ Programming Guide, "Compute capabilities": the same for 8.0 and 9.0 but for shared memory, of
# which a block takes 1 KiB more than it asks for. Allocation units: CUDA's occupancy calculator.
REGISTERS_PER_SM = 65536
REGISTER_UNIT = 256  # registers of a warp
WARP_UNIT = 4  # warps that registers are allocated to, one per scheduler
WARPS_PER_SM = 64
BLOCKS_PER_SM = 32
SHARED_RESERVED = 1024
SHARED_UNIT = 128
SHARED_PER_SM = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}

CLASSES = [
    ("local", r"LDL|STL"),
    ("imad move", r"IMAD\.(MOV|IADD|SHL|X|U32|MOVU32)"),
    ("imad hi", r"IMAD\.HI"),
    ("imad wide", r"IMAD\.WIDE"),
    ("imad", r"IMAD|IDP|IMUL"),
    (
        "alu",
        r"IADD3?|VIADD|LOP3?|SHF|SHL|SHR|LEA|ISETP|SEL|IMNMX|VIMNMX3?|VIADDMNMX|PRMT|PLOP3|MOV|CS2R|"
        r"SGXT|BMSK|FSETP|FSEL|FMNMX|IABS|P2R|R2P|I2FP|FSWZADD|VOTEU?",
    ),
    ("fp32", r"FADD|FMUL|FFMA|FCHK"),
    ("fp16", r"HADD2|HMUL2|HFMA2"),  # in integer code it moves constants
    ("fp64", r"DADD|DMUL|DFMA|DSETP"),
    ("dmma 16x8x4", r"DMMA\.16x8x4"),
    ("dmma 16x8x8", r"DMMA\.16x8x8"),
    ("dmma", r"DMMA"),
    ("xu", r"MUFU|POPC|FLO|BREV|I2F|F2I|F2F|I2I|FRND"),
    ("lds", r"LDS|LDSM"),
    ("sts", r"STS|STSM"),
    ("ldg", r"LDG|LD|LDGSTS|TLD"),
    ("stg", r"STG|ST"),
    ("atomic", r"ATOM|ATOMG|ATOMS|RED|REDUX"),
    ("shfl", r"SHFL|MATCH"),
    ("constant", r"LDC|ULDC|LDCU"),
    ("bar", r"BAR|MEMBAR|DEPBAR|LDGDEPBAR|SYNCS|ERRBAR|CCTL|FENCE"),
    (
        "control",
        r"BRA|BRX|JMP|EXIT|CALL|RET|BSSY|BSYNC|BREAK|BMOV|WARPSYNC|YIELD|KILL|BPT|NOP|NANOSLEEP|ELECT|ENDCOLLECTIVE|"
        r"S2R|S2UR|R2UR|GETLMEMBASE|RPCMOV|LEPC|ACQBULK|PREEXIT",
    ),
    ("uniform", r"U[A-Z0-9]+"),
]
PATTERNS = [(name, re.compile(rf"(?:{pattern})(?:\.|$)")) for name, pattern in CLASSES]


class Failure(Exception):
    """What went wrong, in words for the one who runs this."""


def class_of(opcode):
    return next((name for name, pattern in PATTERNS if pattern.match(opcode)), "other")


def round_up(value, unit):
    return -(-value // unit) * unit


def blocks_per_sm(arch, threads, registers, shared):
    """How many blocks an SM holds; `shared` is what a block asks for, static and dynamic."""
    warps = round_up(threads, 32) // 32
    limits = [BLOCKS_PER_SM, WARPS_PER_SM // warps]
    if registers:
        per_warp = round_up(registers * 32, REGISTER_UNIT)
        resident = REGISTERS_PER_SM // per_warp // WARP_UNIT * WARP_UNIT
        limits.append(resident // warps)
    taken = round_up(shared + SHARED_RESERVED, SHARED_UNIT)
    limits.append(SHARED_PER_SM[arch] // taken)
    return min(limits)


def count_classes(instructions):
    return collections.Counter(class_of(instruction.split()[0]) for instruction in instructions)


# ---- What cuobjdump prints ----


def find_tool(name, given=None):
    """The path of `cuobjdump` or `nvdisasm`, or None."""
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    compiler = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if compiler:
        folders.append(Path(compiler).resolve().parent)
    folders.append(Path("/usr/local/cuda/bin"))
    folders += sorted((ROOT / ".venv").glob("lib/python*/site-packages/nvidia/cu*/bin"))
    candidates = [given] if given else [folder / name for folder in folders]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    return None


def run(command, **more):
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, **more
        )
    except OSError as error:
        raise Failure(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def short_names(mangled):
    """The kernels' names with template arguments, without namespaces and parameters."""
    names = sorted(mangled)
    lines = run(["c++filt"], input="\n".join(names) + "\n").splitlines()
    short = {}
    for name, line in zip(names, lines):
        text = re.sub(r"\(anonymous namespace\)::", "", line)
        depth, end = 0, len(text)
        for i, character in enumerate(text):  # up to the parenthesis outside of < >
            depth += {"<": 1, ">": -1}.get(character, 0)
            if character == "(" and depth == 0:
                end = i
                break
        text = re.sub(r"^void ", "", text[:end])
        short[name] = text if "cub::" in text else re.sub(r"\b\w+::", "", text)
    return short


def parse_resources(text):
    """(arch, function) -> registers, stack, shared, from -res-usage."""
    found, arch = {}, None
    pattern = re.compile(
        r"^arch = (sm_\w+)|^ Function (\S+):\s*\n\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)",
        re.MULTILINE,
    )
    for match in pattern.finditer(text):
        if match[1]:
            arch = match[1]
        else:
            shared = int(match[5])
            if arch != "sm_80" and shared > 0:  # there the system's share is counted in
                shared -= SHARED_RESERVED
            found[arch, match[2]] = {
                "registers": int(match[3]),
                "stack_bytes": int(match[4]) + int(match[6]),
                "shared_bytes": shared,
            }
    return found


def parse_threads(text):
    """(arch, function) -> the largest block that its launch bounds allow, from -elf."""
    found, arch, function = {}, None, None
    pattern = re.compile(
        r"^arch = (sm_\w+)|^\.nv\.info\.(\S+)|EIATTR_MAX_THREADS\s+Format:\s+\S+\s+"
        r"Value:\s+0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)",
        re.MULTILINE,
    )
    for match in pattern.finditer(text):
        if match[1]:
            arch = match[1]
        elif match[2]:
            function = match[2]
        else:
            found[arch, function] = int(match[3], 16) * int(match[4], 16) * int(match[5], 16)
    return found


def parse_sass(text):
    """(arch, function) -> [(address, instruction without its predicate)], from -sass."""
    found, arch, body = {}, None, None
    pattern = re.compile(
        r"^\s+code for (sm_\w+)|^\s+Function : (\S+)|^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;",
        re.MULTILINE,
    )
    for match in pattern.finditer(text):
        if match[1]:
            arch = match[1]
        elif match[2]:
            body = found.setdefault((arch, match[2]), [])
        else:
            body.append((int(match[3], 16), re.sub(r"^@!?U?P\w+\s+", "", match[4])))
    return found


def without_padding(body):
    """Ends before the branch to itself and the NOPs that fill the last line of the cache."""
    end = len(body)
    while end > 0 and (
        body[end - 1][1].startswith("NOP") or body[end - 1][1] == f"BRA 0x{body[end - 1][0]:x}"
    ):
        end -= 1
    return body[:end]


# ---- Where a build keeps its kernels ----


def compiler_version(build):
    """Of the nvcc that made the build: CMake's file about it, major.minor."""
    for path in sorted(build.glob("CMakeFiles/*/CMakeCUDACompiler.cmake")):
        match = re.search(r'CMAKE_CUDA_COMPILER_VERSION "(\d+\.\d+)', path.read_text())
        if match:
            return match[1]
    raise Failure(f"{build}: built without CUDA, or not a build folder")


def find_build(given):
    if given:
        return given
    found = [
        ROOT / "build" / preset
        for preset in ("emulated", "cuda", "release")
        if list((ROOT / "build" / preset).glob("CMakeFiles/*/CMakeCUDACompiler.cmake"))
    ]
    if not found:
        raise Failure("no build with CUDA under build/; give its folder")
    return max(found, key=lambda folder: (folder / "build.ninja").stat().st_mtime)


def find_binaries(build):
    library = build / "kernels" / "libvelum_kernels.a"
    if not library.exists():
        raise Failure(f"{library} does not exist: build the target velum_kernels")
    return [library, *sorted(build.glob("tests/sass/**/*.cu.o"))]


# ---- benchmarks/budgets.json ----

# What is not of kernels or cases, an object a line.
LISTS = ("launches", "local_arrays", "butterflies")


def read_budgets(path, may_be_missing=False):
    if may_be_missing and not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: {error}") from error


def write_budgets(path, budgets):
    """One line per kernel and architecture or per case, so that a change is a line of a diff."""
    cases = budgets.get("cases", {}).items()
    lines = [f'  "compiler": {json.dumps(budgets["compiler"])},']
    for key in LISTS:
        items = ",".join(f"\n    {json.dumps(item)}" for item in budgets[key])
        lines.append(f'  "{key}": [{items}\n  ],')
    lines.append('  "kernels": {')
    kernels = sorted(budgets["kernels"].items())
    for i, (kernel, by_arch) in enumerate(kernels):
        lines.append(f"    {json.dumps(kernel)}: {{")
        archs = sorted(by_arch.items())
        for j, (arch, figures) in enumerate(archs):
            comma = "," if j + 1 < len(archs) else ""
            lines.append(f"      {json.dumps(arch)}: {json.dumps(figures)}{comma}")
        lines.append("    }" + ("," if i + 1 < len(kernels) else ""))
    lines.append("  },")
    cases = [f"\n    {json.dumps(name)}: {json.dumps(figures)}" for name, figures in sorted(cases)]
    lines.append('  "cases": {' + ",".join(cases) + "\n  }")
    path.write_text("{\n" + "\n".join(lines) + "\n}\n")
