"""Reads PTX text into functions, variables and instructions. Knows the grammar, not the instructions."""

import bisect
import re
from dataclasses import dataclass, field
from typing import Optional

BITS = {
    "pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "f16": 16, "bf16": 16,
    "b32": 32, "u32": 32, "s32": 32, "f32": 32, "f16x2": 32, "bf16x2": 32, "tf32": 32,
    "f32x2": 64, "b64": 64, "u64": 64, "s64": 64, "f64": 64, "b128": 128,
}  # fmt: skip
INTEGERS = {f"{kind}{bits}" for kind in "bsu" for bits in (8, 16, 32, 64)}


class PtxError(Exception):
    """A construct that the translator does not know: never dropped, never guessed."""

    def __init__(self, line, message):
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Location:
    """A place in the CUDA source, from .loc; `outer` is the call that it was inlined into."""

    file: int
    line: int
    column: int
    outer: Optional["Location"] = None

    def outermost(self):
        return self if self.outer is None else self.outer.outermost()


@dataclass
class Variable:
    """A variable in a state space. `count` is None for a scalar and 0 for `[]`."""

    space: str
    type: str
    name: str
    align: int
    count: int | None
    initializer: str | None
    line: int

    @property
    def size(self):
        return BITS[self.type] // 8 * (1 if self.count is None else self.count)


@dataclass
class Register:
    type: str
    name: str


@dataclass
class Label:
    name: str


@dataclass
class BranchTargets:
    labels: list


@dataclass
class CallPrototype:
    """What an indirect call expects of the function that it calls."""

    returns: list
    params: list


class Scope:
    """The names declared between a pair of braces; looked up from the inside out."""

    def __init__(self, parent, index):
        self.parent = parent
        self.index = index
        self.names = {}

    def find(self, name):
        scope = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name], scope
            scope = scope.parent
        return None, None

    def declare(self, name, what, line):
        if name in self.names:
            raise PtxError(line, f"'{name}' is declared twice")
        self.names[name] = what


@dataclass
class Instruction:
    opcode: str
    operands: list
    guard: str | None  # "%p1" or "!%p1"
    line: int
    location: Location | None
    scope: Scope
    used_bytes: int | None = None  # .pragma "used_bytes_mask": the others may be anything

    def __str__(self):
        guard = f"@{self.guard} " if self.guard else ""
        return f"{guard}{self.opcode} {', '.join(self.operands)}".rstrip()


@dataclass
class Function:
    name: str
    is_entry: bool
    is_defined: bool
    returns: list
    params: list
    line: int
    max_threads: int = 0
    cluster: tuple | None = None  # blocks, from .reqnctapercluster
    explicit_cluster: bool = False
    max_cluster_rank: int = 0
    body: list = field(default_factory=list)  # Instruction, or (Label, Scope)
    scopes: list = field(default_factory=list)
    locals: list = field(default_factory=list)  # .local and .shared variables, with their scopes


@dataclass
class Module:
    files: dict
    target: str
    functions: list
    variables: list


def split_operands(text):
    """Splits at the commas that are outside of all brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        if char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def _strip_comments(text):
    """Blanks comments out, so that every line keeps its number; strings are left alone."""
    token = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.S)
    return token.sub(lambda m: m.group(0) if m.group(0)[0] == '"' else _blank(m), text)


_IDENTIFIER = r"[A-Za-z_$%][\w$]*"
_VARIABLE = re.compile(
    r"\.(?P<space>global|const|shared|local|param)\s+"
    r"(?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>\w+)\s+"
    r"(?:\.ptr(?:\s+\.(?:global|const|shared|local))?(?:\s+\.align\s+\d+)?\s+)?"
    rf"(?P<name>{_IDENTIFIER})(?P<array>\s*\[\s*\d*\s*\])?(?:\s*=\s*(?P<init>.*))?$",
    re.S,
)
_LINKAGE = re.compile(r"^(?:\.(?:visible|weak|extern|common)\s+)+")


class Parser:
    def __init__(self, text):
        self.text = _strip_comments(text)
        self.position = 0
        self.line_starts = [0] + [m.end() for m in re.finditer("\n", self.text)]
        self.location = None
        self.locations = {}
        self.used_bytes = None

    def line_at(self, position):
        return bisect.bisect_right(self.line_starts, position)

    @property
    def line(self):
        return self.line_at(self.position)

    def skip_space(self):
        match = re.compile(r"\s*").match(self.text, self.position)
        self.position = match.end()
        return self.position < len(self.text)

    def at(self, pattern):
        return re.compile(pattern).match(self.text, self.position)

    def take_line(self):
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        line = self.text[self.position : end]
        self.position = end
        return line.strip()

    def take_until(self, stops):
        """Up to the first of `stops` outside of brackets and strings; the stop is not taken."""
        depth, in_string, start = 0, False, self.position
        while self.position < len(self.text):
            char = self.text[self.position]
            if in_string:
                in_string = char != '"'
            elif depth == 0 and char in stops:
                return self.text[start : self.position].strip()
            elif char == '"':
                in_string = True
            elif char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
            self.position += 1
        raise PtxError(self.line_at(start), "the file ends in the middle of a statement")

    def parse(self):
        module = Module({}, "", [], [])
        for match in re.finditer(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', self.text, re.M):
            module.files[int(match.group(1))] = match.group(2)
        while self.skip_space():
            line = self.line
            if self.at(r"\.(version|address_size|file)\b"):
                self.take_line()
            elif self.at(r"\.target\b"):
                module.target = self.take_line().split()[1].rstrip(",")
            elif self.at(r"\.section\b"):
                self.take_until("{")
                self.position += 1
                self.take_until("}")
                self.position += 1
            elif self.at(r"(\.(visible|weak|extern|common)\s+)*\.(entry|func)\b"):
                module.functions.append(self.parse_function(module))
            elif self.at(r"(\.(visible|weak|extern|common)\s+)*\.(global|const|shared)\b"):
                module.variables.append(self.parse_variable(self.take_until(";"), line))
                self.position += 1
            elif self.at(r"\.pragma\b"):
                raise PtxError(line, f"unknown directive: {self.take_line()}")
            else:
                raise PtxError(line, f"unknown directive: {self.take_line()[:80]}")
        return module

    def parse_variable(self, text, line):
        match = _VARIABLE.match(_LINKAGE.sub("", text))
        if not match or match["type"] not in BITS:
            raise PtxError(line, f"unknown declaration: {' '.join(text.split())[:80]}")
        array = match["array"]
        count = int(array.strip().strip("[]").strip() or 0) if array else None
        size = BITS[match["type"]] // 8
        align = max(int(match["align"] or 1), size)
        return Variable(
            match["space"], match["type"], match["name"], align, count, match["init"], line
        )

    def parse_parameters(self, text, line):
        return [self.parse_variable(part, line) for part in split_operands(text)]

    def parse_function(self, module):
        line = self.line
        header = _LINKAGE.sub("", self.take_until("{;"))
        match = re.match(
            rf"\.(entry|func)\s*(?:\((?P<returns>[^)]*)\)\s*)?(?P<name>{_IDENTIFIER})\s*"
            r"(?:\((?P<params>[^)]*)\))?(?P<rest>.*)$",
            header,
            re.S,
        )
        if not match:
            raise PtxError(line, f"unknown function header: {header[:80]}")
        function = Function(
            match["name"],
            match.group(1) == "entry",
            self.text[self.position] == "{",
            self.parse_parameters(match["returns"] or "", line),
            self.parse_parameters(match["params"] or "", line),
            line,
        )
        for directive in re.findall(r"\.\w+[^.]*", match["rest"]):
            name, _, arguments = directive.strip().partition(" ")
            if name in (".maxntid", ".reqntid"):
                function.max_threads = 1
                for extent in arguments.split(","):
                    function.max_threads *= int(extent)
            elif name == ".reqnctapercluster":
                extents = [int(extent) for extent in arguments.split(",")]
                function.cluster = tuple(extents + [1] * (3 - len(extents)))
            elif name == ".explicitcluster":
                function.explicit_cluster = True
            elif name == ".maxclusterrank":
                function.max_cluster_rank = int(arguments)
            elif name not in (".minnctapersm", ".maxnctapersm", ".maxnreg", ".noreturn"):
                raise PtxError(line, f"unknown function directive: {directive.strip()}")
        self.position += 1
        if function.is_defined:
            self.parse_body(function)
        return function

    def parse_body(self, function):
        scope = Scope(None, 0)
        function.scopes = [scope]
        for variable in function.returns + function.params:
            scope.declare(variable.name, variable, function.line)
        self.location = None
        while True:
            if not self.skip_space():
                raise PtxError(function.line, f"function {function.name} has no end")
            line = self.line
            char = self.text[self.position]
            if char == "{":
                self.position += 1
                scope = Scope(scope, len(function.scopes))
                function.scopes.append(scope)
            elif char == "}":
                self.position += 1
                if scope.parent is None:
                    return
                scope = scope.parent
            elif char == ";":
                self.position += 1
            elif self.at(r"\.loc\b"):
                self.parse_location(self.take_line(), line)
            elif self.at(rf"{_IDENTIFIER}\s*:(?!:)"):
                name = self.at(_IDENTIFIER).group(0)
                self.position = self.at(rf"{_IDENTIFIER}\s*:").end()
                self.skip_space()
                if self.at(r"\.branchtargets\b"):
                    targets = self.take_until(";")[len(".branchtargets") :]
                    scope.declare(name, BranchTargets(split_operands(targets)), line)
                elif self.at(r"\.callprototype\b"):
                    scope.declare(name, self.parse_prototype(self.take_until(";"), line), line)
                else:
                    label = Label(name)
                    scope.declare(name, label, line)
                    function.body.append((label, scope))
            else:
                self.parse_statement(function, scope, self.take_until(";"), line)
                self.position += 1

    def parse_prototype(self, text, line):
        match = re.match(
            r"\.callprototype\s*(?:\((?P<returns>[^)]*)\)\s*)?_\s*(?:\((?P<params>[^)]*)\))?"
            r"\s*(?:\.noreturn)?$",
            text,
        )
        if not match:
            raise PtxError(line, f"unknown call prototype: {text}")
        return CallPrototype(
            self.parse_parameters(match["returns"] or "", line),
            self.parse_parameters(match["params"] or "", line),
        )

    def parse_location(self, text, line):
        match = re.match(
            r"\.loc\s+(\d+)\s+(\d+)\s+(\d+)"
            r"(?:\s*,\s*function_name\s+\S+\s*,\s*inlined_at\s+(\d+)\s+(\d+)\s+(\d+))?$",
            text,
        )
        if not match:
            raise PtxError(line, f"unknown directive: {text}")
        numbers = [int(x) for x in match.groups() if x is not None]
        key = tuple(numbers[:3])
        outer = None
        if len(numbers) == 6:
            outer_key = tuple(numbers[3:])
            outer = self.locations.get(outer_key) or Location(*outer_key)
            while (
                outer is not None and outer.file == key[0] and (outer.line, outer.column) == key[1:]
            ):
                outer = outer.outer
        if key[1] == 0:  # line 0: code that belongs to no line; keep the last one
            return
        self.location = Location(*key, outer)
        self.locations[key] = self.location

    def parse_statement(self, function, scope, text, line):
        if text.startswith(".reg"):
            match = re.match(r"\.reg\s*\.(\w+)\s+(.*)$", text, re.S)
            if not match or match.group(1) not in BITS:
                raise PtxError(line, f"unknown declaration: {text}")
            for name in split_operands(match.group(2)):
                family = re.match(rf"({_IDENTIFIER})<(\d+)>$", name)
                names = [name]
                if family:
                    names = [f"{family.group(1)}{i}" for i in range(int(family.group(2)))]
                for each in names:
                    scope.declare(each, Register(match.group(1), each), line)
        elif re.match(r"\.(local|shared|param)\b", text):
            variable = self.parse_variable(text, line)
            scope.declare(variable.name, variable, line)
            function.locals.append((variable, scope))
        elif text.startswith(".pragma"):
            match = re.match(r'\.pragma\s+"(\w+)\s*(\d*)"$', text)
            if match and match.group(1) == "used_bytes_mask":
                self.used_bytes = int(match.group(2))
            elif not (match and match.group(1) in ("nounroll", "enable_smem_spilling")):
                raise PtxError(line, f"unknown pragma: {text}")
        elif text.startswith("."):
            raise PtxError(line, f"unknown directive: {text[:80]}")
        else:
            text = " ".join(text.split())
            match = re.match(r"(?:@(!?\s*[%\w$]+)\s+)?([\w.:]+)\s*(.*)$", text)
            if not match:
                raise PtxError(line, f"unknown statement: {text[:80]}")
            guard = match.group(1).replace(" ", "") if match.group(1) else None
            instruction = Instruction(
                match.group(2), split_operands(match.group(3)), guard, line, self.location, scope,
                self.used_bytes,
            )  # fmt: skip
            self.used_bytes = None
            function.body.append(instruction)


def parse(text):
    return Parser(text).parse()
