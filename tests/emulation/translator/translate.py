#!/usr/bin/env python3
"""Translates PTX to C++ that runs on the emulated device (tests/emulation/README.md).

  translate.py --object backend.cu.o --ptx-out backend.ptx --out backend.cpp
  translate.py --ptx opcodes.ptx --out opcodes.cpp

With --source-dir and --build-dir the C++ is the same for every checkout, so that ccache finds what another has compiled.

Exit status 1, with file, line and instruction, for anything that it does not know.
"""

import argparse
import os
import re
import struct
import sys
from collections import Counter
from pathlib import Path

import instruction_forms
from fatbin import FatbinError, embedded_ptx
from ptx_parser import (
    BITS,
    INTEGERS,
    BranchTargets,
    CallPrototype,
    Instruction,
    Label,
    PtxError,
    Register,
    Variable,
    parse,
    split_operands,
)  # fmt: skip

_SPECIAL_REGISTERS = {
    "%laneid": "t.lane()", "%warpid": "t.warp()", "%nwarpid": "t.grid->warps_per_block()",
    "%lanemask_eq": "t.lane_mask_eq()", "%lanemask_lt": "t.lane_mask_lt()", "%lanemask_le": "t.lane_mask_le()",
    "%lanemask_gt": "t.lane_mask_gt()", "%lanemask_ge": "t.lane_mask_ge()",
    "%clock": "t.clock()", "%clock64": "t.clock()", "%globaltimer": "t.clock()",
    "%envreg1": "t.grid->workspace >> 32", "%envreg2": "t.grid->workspace",
    "%dynamic_smem_size": "t.grid->dynamic_shared_bytes", "%total_smem_size": "t.grid->shared_bytes()",
    "%cluster_ctarank": "t.block->rank", "%cluster_nctarank": "t.grid->cluster_extent.count()",
    "%is_explicit_cluster": "t.grid->explicit_cluster",
    "WARP_SZ": "32",
}  # fmt: skip
for _axis in "xyz":
    _SPECIAL_REGISTERS[f"%tid.{_axis}"] = f"t.tid.{_axis}"
    _SPECIAL_REGISTERS[f"%ntid.{_axis}"] = f"t.grid->block_extent.{_axis}"
    _SPECIAL_REGISTERS[f"%ctaid.{_axis}"] = f"t.block->index.{_axis}"
    _SPECIAL_REGISTERS[f"%nctaid.{_axis}"] = f"t.grid->grid_extent.{_axis}"
    _SPECIAL_REGISTERS[f"%cluster_ctaid.{_axis}"] = f"t.block->index_in_cluster.{_axis}"
    _SPECIAL_REGISTERS[f"%cluster_nctaid.{_axis}"] = f"t.grid->cluster_extent.{_axis}"
    _SPECIAL_REGISTERS[f"%clusterid.{_axis}"] = f"t.block->cluster_index.{_axis}"
    _SPECIAL_REGISTERS[f"%nclusterid.{_axis}"] = (
        f"t.grid->grid_extent.{_axis} / t.grid->cluster_extent.{_axis}"
    )

_DEVICE_FUNCTIONS = {"vprintf": "device_printf", "__assertfail": "device_assert"}

# Instructions that wait for other threads: their kernels run with one fiber per thread.
_WAITING = {
    "barrier", "barrier_reduce", "warp_barrier", "shuffle", "vote", "match", "redux", "elect", "sleep",
    "active_mask", "matrix_product", "matrix_load", "fragment_product",
}  # fmt: skip

# Instructions after which a basic block ends.
_ENDS_BLOCK = {"branch", "branch_indexed", "leave", "leave_kernel", "trap", "call"}

# Instructions that reach other blocks of a cluster.
_REACHES_BLOCKS = re.compile(
    r"(barrier\.cluster|mapa|getctarank|cp\.async\.bulk\.shared::cluster\.shared)\b"
    r"|(ld|st|atom|red|mbarrier)\.(.*\.)?shared::cluster\b"
)

_COMPARISONS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">=",
}  # fmt: skip

_DEFINED_AS_IS = re.compile(r"[A-Za-z0-9_]+$")


def _round_up(value, align):
    return (value + align - 1) // align * align


def _c_name(name):
    return re.sub(r"[^A-Za-z0-9_]", lambda m: {"%": "", "$": "_S"}[m.group(0)], name)


def _c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _name_in(path, folder):
    """A path as it is called in a folder that it is in. ccache compiles with paths relative to the build folder of the
    tree that it first saw, which stands two levels down in it."""
    if folder is None:
        return str(path)
    _, two_levels_up, rest = str(path).partition("/../../")
    name = os.path.normpath(rest if two_levels_up else str(path))
    inside = os.path.relpath(name, folder) if os.path.isabs(name) else name
    return name if inside.startswith("..") else inside


def _layout(variables):
    """Byte offsets of parameters, each aligned, and the total."""
    offsets, end = [], 0
    for variable in variables:
        end = _round_up(end, variable.align)
        offsets.append(end)
        end += variable.size
    return offsets, end


# What a shift comes to if its count is a constant below the width.
_SHIFTS = {
    "shift_left<{T}>(a, b)": "static_cast<{T}>(a << b)",
    "shift_right<{T}>(a, b)": "static_cast<{T}>(a >> b)",
}


class Properties:
    """What a kernel does, as far as the scheduler and the checks need to know."""

    def __init__(self):
        self.waits = False
        self.synchronises = False
        self.polls = False
        self.reaches_blocks = False
        self.calls = set()
        self.calls_indirectly = False
        self.shared_granule = 16

    def absorb(self, other):
        self.waits |= other.waits
        self.synchronises |= other.synchronises
        self.polls |= other.polls
        self.reaches_blocks |= other.reaches_blocks
        self.shared_granule = min(self.shared_granule, other.shared_granule)


class ModuleEmitter:
    def __init__(self, module, ptx_path, approximations, source_dir):
        self.module = module
        self.ptx_path = ptx_path
        self.source_dir = source_dir
        self.approximations = approximations
        self.sites = {}
        self.functions = {f.name: f for f in module.functions}
        self.function_index = {}
        for function in module.functions:
            if function.is_defined and function.name not in self.function_index:
                self.function_index[function.name] = len(self.function_index)
        self.address_taken = set()  # functions that an indirect call may reach
        self.globals = []
        self.shared_offsets = {}
        self.shared_end = 0
        for variable in module.variables:
            if variable.space == "shared":
                if variable.count != 0:
                    self.place_shared(variable)
            else:
                self.globals.append(variable)
        for function in module.functions:
            if not function.is_entry:
                for variable, _ in function.locals:
                    if variable.space == "shared":
                        self.place_shared(variable)
        # Then addresses of shared memory say in which block.
        self.reaches_blocks = any(
            isinstance(item, Instruction) and _REACHES_BLOCKS.match(item.opcode)
            for function in module.functions
            for item in function.body
        )
        self.variables = {v.name: v for v in module.variables}
        self.global_index = {v.name: i for i, v in enumerate(self.globals)}

    def place_shared(self, variable):
        self.shared_end = _round_up(self.shared_end, variable.align)
        self.shared_offsets[id(variable)] = self.shared_end
        self.shared_end += variable.size

    def site(self, instruction):
        key = (instruction.line, instruction.location)
        return self.sites.setdefault(key, len(self.sites))

    def emit(self):
        bodies = []
        emitters = {}
        for function in self.module.functions:
            if function.is_defined and function.name not in emitters:
                emitter = FunctionEmitter(self, function)
                bodies.append(emitter.emit())
                emitters[function.name] = emitter
        initial = [self.initial_bytes(variable) for variable in self.globals]
        for emitter in emitters.values():
            if emitter.properties.calls_indirectly:
                emitter.properties.calls |= self.address_taken
        for emitter in emitters.values():
            reached, open_ = set(), list(emitter.properties.calls)
            while open_:
                name = open_.pop()
                if name not in reached:
                    reached.add(name)
                    open_ += emitters[name].properties.calls
            for name in reached:
                emitter.properties.absorb(emitters[name].properties)
            emitter.reached = [emitters[name] for name in sorted(reached)]
        # Basic blocks of the functions come first, so that a kernel's numbers hold for those it calls.
        function_blocks = 0
        for emitter in emitters.values():
            if not emitter.function.is_entry:
                emitter.first_block = function_blocks
                function_blocks += len(emitter.blocks)
        for emitter in emitters.values():
            if emitter.function.is_entry:
                emitter.first_block = function_blocks
        out = [
            '#include "runtime/generated_code.h"',
            "",
            "namespace velum::emulation {",
            "namespace {",
            "",
        ]
        out += [f"u64 global_{i} = 0;  // {v.name}" for i, v in enumerate(self.globals)]
        for name, index in self.function_index.items():
            function = self.functions[name]
            if function.is_entry:
                out.append(f"void body_{index}(Thread& t);  // {name}")
            else:
                out.append(
                    f"void body_{index}(Thread& t, u8* const* results, u8* const* args);  // {name}"
                )
        out += self.emit_functions()
        for name, index in self.function_index.items():
            out.append(f"constexpr u32 kFirstBlock_{index} = {emitters[name].first_block};")
        out += bodies
        out += self.emit_tables(emitters, initial)
        out += ["", "}  // namespace", "}  // namespace velum::emulation", ""]
        return "\n".join(out)

    def function_address(self, name):
        """The C++ name of the address of a function with a body; None if there is none."""
        function = self.functions.get(name)
        if function is None or function.is_entry or not function.is_defined:
            return None
        self.address_taken.add(name)
        return f"function_{self.function_index[name]}"

    def emit_functions(self):
        """The functions whose addresses are taken; an address is that of an entry of the table."""
        out = []
        for name in sorted(self.address_taken):
            function = self.functions[name]
            index = self.function_index[name]
            sizes = ", ".join(str(v.size) for v in function.returns + function.params)
            out.append(f"const u32 kSizes_{index}[] = {{{sizes or '0'}}};")
            out.append(
                f"const Function kFunction_{index} = {{{_c_string(name)}, &body_{index}, kSizes_{index}, "
                f"{len(function.returns)}, {len(function.params)}}};"
            )
            out.append(f"const u64 function_{index} = reinterpret_cast<u64>(&kFunction_{index});")
        return out

    def emit_tables(self, emitters, initial_bytes):
        files = sorted(self.module.files.items())
        file_index = {number: i for i, (number, _) in enumerate(files)}
        out = ["", "const char* const kFiles[] = {"]
        names = [_name_in(path, self.source_dir) for _, path in files]
        out += [f"    {_c_string(name)}," for name in names] or ["    nullptr,"]
        out += ["};", "const Site kSites[] = {"]
        for line, location in self.sites:
            numbers = [line, -1, 0, -1, 0]
            if location is not None:
                outer = location.outermost()
                numbers[1:3] = [file_index.get(location.file, -1), location.line]
                if outer is not location:
                    numbers[3:5] = [file_index.get(outer.file, -1), outer.line]
            out.append("    {" + ", ".join(map(str, numbers)) + "},")
        if not self.sites:
            out.append("    {0, -1, 0, -1, 0},")
        out.append("};")
        variables = []
        functions = [
            f"&kFunction_{self.function_index[name]}" for name in sorted(self.address_taken)
        ]
        out.append(f"const Function* const kFunctions[] = {{{', '.join(functions) or 'nullptr'}}};")
        for i, variable in enumerate(self.globals):
            data, relocations = initial_bytes[i]
            initial, relocation = "nullptr", "nullptr"
            if data is not None:
                initial = f"kInitial_{i}"
                out.append(f"const u8 {initial}[] = {{{', '.join(map(str, data)) or '0'}}};")
            if relocations:
                relocation = f"kRelocations_{i}"
                rows = ", ".join(
                    f"{{{at}, &{target}, {addend}}}" for at, target, addend in relocations
                )
                out.append(f"const Relocation {relocation}[] = {{{rows}}};")
            constant = "true" if variable.space == "const" else "false"
            variables.append(
                f"    {{{_c_string(variable.name)}, {variable.size}, {variable.align}, {constant}, {initial}, "
                f"{relocation}, {len(relocations)}, &global_{i}}},"
            )
        kernels = []
        for name, index in self.function_index.items():
            function = self.functions[name]
            if not function.is_entry:
                continue
            offsets, size = _layout(function.params)
            rows = ", ".join(f"{{{o}, {p.size}}}" for o, p in zip(offsets, function.params))
            out.append(f"const Parameter kParameters_{index}[] = {{{rows or '{0, 0}'}}};")
            emitter = emitters[name]
            properties = emitter.properties
            lines = [
                f"    {{{block}, {file_index.get(file, -1)}, {line}, {instructions}}},"
                for each in emitter.reached + [emitter]
                for block, (file, line), instructions in each.block_lines()
            ]
            out += [f"const BlockLine kLines_{index}[] = {{", *lines, "};"]
            flags = ", ".join(
                "true" if x else "false"
                for x in (
                    properties.waits,
                    properties.synchronises,
                    properties.polls,
                    properties.reaches_blocks,
                )
            )
            cluster = ", ".join(map(str, function.cluster or (0, 0, 0)))
            explicit = "true" if function.explicit_cluster else "false"
            kernels.append(
                f"    {{{_c_string(name)}, &body_{index}, &kModule, kParameters_{index}, {len(function.params)}, "
                f"{size}, {emitter.shared_end}, {emitter.dynamic_align}, {function.max_threads}, "
                f"{properties.shared_granule.bit_length() - 1}, {flags}, {{{cluster}}}, {explicit}, "
                f"{function.max_cluster_rank}, "
                f"{emitter.first_block + len(emitter.blocks)}, kLines_{index}, {len(lines)}}},"
            )
        out += ["extern const Module kModule;", "const Variable kVariables[] = {"]
        out += variables or ["    {nullptr, 0, 1, false, nullptr, nullptr, 0, nullptr},"]
        out += ["};", "const Kernel kKernels[] = {"]
        out += kernels or [
            "    {nullptr, nullptr, nullptr, nullptr, 0, 0, 0, 1, 0, 0, false, false, false, false, "
            "{0, 0, 0}, false, 0, 0, nullptr, 0},"
        ]
        architecture = int(re.sub(r"\D", "", self.module.target) or 0)
        out += [
            "};",
            f"const Module kModule = {{{_c_string(self.ptx_path)}, {architecture}, "
            f"{'true' if self.reaches_blocks else 'false'}, kFiles, kSites, kVariables, "
            f"{len(variables)}, kKernels, {len(kernels)}, kFunctions, {len(functions)}}};",
            "const ModuleRegistration registration(kModule);",
        ]
        return out

    def initial_bytes(self, variable):
        if variable.initializer is None:
            return None, []
        size = BITS[variable.type] // 8
        data, relocations = bytearray(), []
        items = split_operands(variable.initializer.replace("{", " ").replace("}", " "))
        for item in items:
            symbol = re.match(
                r"(?:generic\(\s*([\w$]+)\s*\)|([A-Za-z_$][\w$]*))\s*(?:\+\s*(\d+))?$", item
            )
            target = None
            if symbol and size == 8:
                name = symbol[1] or symbol[2]
                if name in self.global_index:
                    target = f"global_{self.global_index[name]}"
                else:
                    target = self.function_address(name)
            if target is not None:
                relocations.append((len(data), target, int(symbol[3] or 0)))
                data += bytes(8)
            elif re.match(r"[-+]?(0[xX][0-9a-fA-F]+|\d+)U?$", item):
                value = int(item.rstrip("U"), 0) % (1 << 8 * size)
                data += value.to_bytes(size, "little")
            elif re.match(r"0[fFdD][0-9a-fA-F]+$", item):
                data += int(item[2:], 16).to_bytes(size, "little")
            else:
                raise PtxError(variable.line, f"unknown initializer of {variable.name}: {item}")
        return data.ljust(variable.size, b"\0"), relocations


class FunctionEmitter:
    def __init__(self, module, function):
        self.module = module
        self.function = function
        self.properties = Properties()
        self.instruction = None
        self.kind = None  # of its form
        self.shared_offsets = dict(module.shared_offsets)
        self.shared_end = module.shared_end
        self.local_offsets = {}
        self.local_end = 0
        self.dynamic_align = max(
            [v.align for v in module.module.variables if v.space == "shared" and v.count == 0],
            default=1,
        )
        for variable, _ in function.locals:
            if variable.space == "shared" and function.is_entry:
                self.shared_end = _round_up(self.shared_end, variable.align)
                self.shared_offsets[id(variable)] = self.shared_end
                self.shared_end += variable.size
            elif variable.space == "local":
                self.local_end = _round_up(self.local_end, variable.align)
                self.local_offsets[id(variable)] = self.local_end
                self.local_end += variable.size
        self.param_offsets, _ = _layout(function.params)
        self.blocks = []  # basic blocks: instructions by place in the source
        self.first_block = 0
        self.reached = []  # by calls

    def block_lines(self):
        """(number, (file, line), instructions) of the basic blocks."""
        for i, places in enumerate(self.blocks):
            for place, instructions in places.items():
                yield self.first_block + i, place, instructions

    def fail(self, message):
        raise PtxError(self.instruction.line, f"{message}: {self.instruction}")

    def require_approximations(self):
        if not self.module.approximations:
            self.fail("an approximation, whose bits no document fixes; see --approximations")

    # Names and operands

    def lookup(self, name):
        found, scope = self.instruction.scope.find(name)
        if found is None:
            found = self.module.variables.get(name)
        return found, scope

    def register(self, name):
        found, scope = self.lookup(name)
        if not isinstance(found, Register):
            self.fail(f"'{name}' is not a register")
        return f"r{scope.index}_{_c_name(name)}", found

    def symbol_address(self, name):
        """(state space, C++ expression) of the address of a variable in its state space."""
        variable, _ = self.lookup(name)
        if not isinstance(variable, Variable):
            return None
        if variable.space == "shared":
            base = "t.shared_base() + " if self.module.reaches_blocks else ""
            if id(variable) in self.shared_offsets:
                return "shared", f"({base}u64{{{self.shared_offsets[id(variable)]}}})"
            return "shared", f"({base}t.grid->dynamic_shared_offset)"
        if variable.space in ("global", "const"):
            return variable.space, f"global_{self.module.global_index[variable.name]}"
        if variable.space == "local":
            return "local", f"(frame.base + {self.local_offsets[id(variable)]})"
        if self.function.is_entry and any(variable is p for p in self.function.params):
            position = [p is variable for p in self.function.params].index(True)
            return "param", f"u64{{{self.param_offsets[position]}}}"
        return None

    def value(self, operand, type_):
        if operand.startswith("!"):
            return f"!{self.value(operand[1:].strip(), type_)}"
        if operand in _SPECIAL_REGISTERS:
            return f"static_cast<{type_}>({_SPECIAL_REGISTERS[operand]})"
        if re.match(r"0[fF][0-9a-fA-F]{8}$", operand):
            if type_ not in ("f32", "b32"):
                self.fail(f"'{operand}' is not of type .{type_}")
            return f"read<{type_}>(u32{{0x{operand[2:]}U}})"
        if re.match(r"0[dD][0-9a-fA-F]{16}$", operand):
            if type_ not in ("f64", "b64"):
                self.fail(f"'{operand}' is not of type .{type_}")
            return f"read<{type_}>(u64{{0x{operand[2:]}U}})"
        if re.match(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?$", operand):
            text = operand.rstrip("U")
            number = int(text, 8 if re.match(r"[-+]?0\d+$", text) else 0)
            if type_ == "pred":
                return "true" if number else "false"
            if type_ in ("f32", "f64"):
                self.fail(f"integer '{operand}' where .{type_} is expected")
            if type_ in INTEGERS:
                return f"static_cast<{type_}>(0x{number % (1 << BITS[type_]):x}U)"
            return f"read<{type_}>(u64{{0x{number % (1 << 64):x}U}})"
        if re.match(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$", operand):
            if type_ not in ("f32", "f64"):
                self.fail(f"'{operand}' is not of type .{type_}")
            code = struct.pack("<d", float(operand)).hex()
            bits = int.from_bytes(bytes.fromhex(code), "little")
            return f"static_cast<{type_}>(read<f64>(u64{{0x{bits:x}U}}))"
        match = re.match(r"([A-Za-z_$][\w$]*)\s*(?:\+\s*(-?\d+))?$", operand)
        if match:
            found, _ = self.lookup(match[1])
            if isinstance(found, Variable):
                address = self.symbol_address(match[1])
                if address is None:
                    self.fail(f"the address of '{match[1]}' is not supported")
                return f"read<{type_}>({address[1]} + {int(match[2] or 0)})"
            function = self.module.function_address(match[1]) if found is None else None
            if function is not None and match[2] is None:
                return f"read<{type_}>({function})"
        if operand == "_":
            self.fail("'_' is read")
        name, declared = self.register(operand)
        if declared.type == type_:
            return name
        if "pred" in (declared.type, type_):
            self.fail(f"'{operand}' is .{declared.type}, not .{type_}")
        if BITS[declared.type] < BITS[type_]:
            self.fail(f"'{operand}' has {BITS[declared.type]} bits, fewer than .{type_}")
        if {declared.type, type_} <= INTEGERS:
            return f"static_cast<{type_}>({name})"
        return f"read<{type_}>({name})"

    def assign(self, operand, expression, type_):
        """A statement that gives the register the value of an expression of type `type_`."""
        if operand == "_":
            return f"static_cast<void>({expression});"
        name, declared = self.register(operand)
        if "pred" in (declared.type, type_) and declared.type != type_:
            self.fail(f"'{operand}' is .{declared.type}, not .{type_}")
        if BITS[declared.type] < BITS[type_]:
            self.fail(f"'{operand}' has {BITS[declared.type]} bits, fewer than .{type_}")
        if declared.type == type_:
            return f"{name} = {expression};"
        if {declared.type, type_} <= INTEGERS:
            # An integer is extended by its own sign; narrower registers were refused.
            return f"{name} = static_cast<{type_}>({expression});"
        return f"write<{type_}>({name}, {expression});"

    def operands(self, *counts):
        operands = self.instruction.operands
        if len(operands) not in counts:
            self.fail(f"{len(operands)} operands, expected {' or '.join(map(str, counts))}")
        return operands

    def site(self):
        return self.module.site(self.instruction)

    def vector(self, operand):
        return split_operands(operand[1:-1]) if operand.startswith("{") else [operand]

    def address(self, operand):
        """(space of a named variable or None, C++ expression, name or None) of `[...]`."""
        match = re.match(
            r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?(?:0[xX][0-9a-fA-F]+|\d+))\s*)?\]$", operand
        )
        if not match:
            self.fail(f"unknown address '{operand}'")
        base, offset = match[1], int(match[2] or "0", 0)
        found, _ = self.lookup(base)
        if isinstance(found, Variable):
            address = self.symbol_address(base)
            if address is None:
                return found.space, offset, found
            return address[0], f"{address[1]} + {offset}", found
        if re.match(r"\d", base):
            return None, f"u64{{{int(base, 0)}}} + {offset}", None
        name, declared = self.register(base)
        if BITS[declared.type] not in (32, 64):
            self.fail(f"'{base}' is no address")
        return None, f"static_cast<u64>({name}) + static_cast<u64>(s64{{{offset}}})", None

    # The function as a whole

    def emit(self):
        function = self.function
        index = self.module.function_index[function.name]
        if function.is_entry:
            head = f"void body_{index}(Thread& t) {{"
        else:
            head = f"void body_{index}(Thread& t, u8* const* results, u8* const* args) {{"
        out = ["", head, "  bool cc = false;", "  static_cast<void>(cc);"]
        out.append("  u32* const counts = t.counts;")
        for scope in function.scopes:
            by_type = {}
            for name, what in scope.names.items():
                if isinstance(what, Register):
                    by_type.setdefault(what.type, []).append(f"r{scope.index}_{_c_name(name)}{{}}")
            for type_, names in by_type.items():
                for start in range(0, len(names), 12):
                    out.append(f"  {type_} {', '.join(names[start : start + 12])};")
        for variable, scope in function.locals:
            if variable.space == "param":
                out.append(
                    f"  alignas(16) u8 p{scope.index}_{_c_name(variable.name)}[{variable.size}] = {{}};"
                )
        first = next((x for x in function.body if isinstance(x, Instruction)), None)
        if not function.is_entry and first is not None:
            self.instruction = first
            out.append(f"  t.enter_function({self.site()});")
        if self.local_end:
            out.append(f"  const LocalFrame frame(t, {_round_up(self.local_end, 16)});")
        in_block = False
        for item in function.body:
            if isinstance(item, Instruction):
                self.instruction = item
                if not in_block:
                    count = f"counts[kFirstBlock_{index} + {len(self.blocks)}]"
                    out.append(f"  if (counts != nullptr) [[unlikely]] ++{count};")
                    self.blocks.append(Counter())
                location = item.location
                self.blocks[-1][(location.file, location.line) if location else (-1, 0)] += 1
                code = self.emit_instruction(item)
                in_block = self.kind not in _ENDS_BLOCK
                if item.guard:
                    code = f"if ({self.value(item.guard, 'pred')}) {{ {code} }}"
                out.append("  " + code)
            else:
                label, scope = item
                in_block = False
                out.append(f" L{scope.index}_{_c_name(label.name)}:;")
        out.append("}")
        return "\n".join(out)

    def emit_instruction(self, instruction):
        form, groups = instruction_forms.find(instruction.opcode)
        if form is None:
            self.fail(groups)
        self.kind = form.kind
        if form.kind in _WAITING:
            self.properties.waits = True
        if _REACHES_BLOCKS.match(instruction.opcode):
            self.properties.reaches_blocks = True
            self.synchronise()
        if form.kind == "approximation":
            self.require_approximations()
        if form.kind in ("expression", "approximation"):
            return self.emit_expression(form, groups)
        return getattr(self, "emit_" + form.kind)(groups)

    def emit_expression(self, form, groups):
        types = form.operand_types(groups)
        operands = self.operands(len(types))
        code = "{ "
        for (name, type_), operand in list(zip(types, operands))[1:]:
            if type_ == "imm":
                code += f"constexpr u32 {name} = {self.immediate(operand)}; "
            else:
                code += f"const {type_} {name} = {self.value(operand, type_)}; "
        fields = dict(groups, site=self.site() if "{site}" in form.expression else "")
        pattern = form.expression
        if pattern in _SHIFTS:
            count = operands[2]
            if re.match(r"(0|[1-9]\d*)$", count) and int(count) < BITS[types[0][1]]:
                pattern = _SHIFTS[pattern]
        expression = pattern.format(**{k: v for k, v in fields.items() if v is not None})
        return code + self.assign(operands[0], expression, types[0][1]) + " }"

    def immediate(self, operand):
        if not re.match(r"(0[xX][0-9a-fA-F]+|\d+)$", operand):
            self.fail(f"'{operand}' is no constant")
        return int(operand, 0)

    # Instructions by kind

    def emit_compare(self, g):
        boolean = g.get("B")
        operands = self.operands(4 if boolean else 3)
        a, b = self.value(operands[1], g["T"]), self.value(operands[2], g["T"])
        if g.get("ftz") == "true":
            a, b = f"flush<true>({a})", f"flush<true>({b})"
        compare = g["C"]
        if g["T"] in ("f32", "f64"):
            truth = f"compare_float<Compare::{compare}_>({a}, {b})"
        else:
            truth = f"({a} {_COMPARISONS[compare]} {b})"
        code = f"{{ const bool x = {truth}; "
        first, second = "x", "!x"
        if boolean:
            code += f"const bool y = {self.value(operands[3], 'pred')}; "
            operator = {"and": "&", "or": "|", "xor": "^"}[boolean]
            first, second = f"((x {operator} y) != 0)", f"(((!x) {operator} y) != 0)"
        if "D" in g:
            one = "1.0F" if g["D"] == "f32" else f"static_cast<{g['D']}>(~u32{{0}})"
            return (
                code + self.assign(operands[0], f"{first} ? {one} : {g['D']}{{0}}", g["D"]) + " }"
            )
        targets = [x.strip() for x in operands[0].split("|")]
        code += self.assign(targets[0], first, "pred")
        if len(targets) == 2:
            code += " " + self.assign(targets[1], second, "pred")
        return code + " }"

    def emit_compare_half(self, g):
        """Comparisons of f16 and bf16; of pairs, half by half."""
        boolean, type_, target = g.get("B"), g["T"], g.get("D")
        operands = self.operands(4 if boolean else 3)
        halves = (".low", ".high") if type_.endswith("x2") else ("",)
        ftz = "true" if g.get("ftz") == "true" else "false"
        code = "{ "
        for name, operand in zip("ab", operands[1:]):
            code += f"const {type_} {name} = flush_half<{ftz}>({self.value(operand, type_)}); "
        truths = [
            f"compare_float<Compare::{g['C']}_>(widen(a{half}), widen(b{half}))" for half in halves
        ]
        if boolean:
            code += f"const bool y = {self.value(operands[3], 'pred')}; "
            operator = {"and": "&", "or": "|", "xor": "^"}[boolean]
            truths = [f"(({truth} {operator} y) != 0)" for truth in truths]
        if target is None:
            targets = [x.strip() for x in operands[0].split("|")]
            if len(targets) != len(truths):
                self.fail(f"{len(targets)} results, expected {len(truths)}")
            return code + " ".join(map(self.assign, targets, truths, ["pred"] * 2)) + " }"
        if target == "u32":
            value = " | ".join(
                f"({truth} ? 0xFFFFU{' << 16' * i} : 0U)" for i, truth in enumerate(truths)
            )
        else:
            half = target.removesuffix("x2")
            value = ", ".join(f"{truth} ? kHalfOne<{half}> : {half}{{0}}" for truth in truths)
            value = f"{target}{{{value}}}" if len(truths) == 2 else value
        return code + self.assign(operands[0], value, target) + " }"

    def emit_move(self, g):
        target, source = self.operands(2)
        type_ = g["T"]
        if target.startswith("{"):
            parts = self.vector(target)
            width = BITS[type_] // len(parts)
            code = f"{{ const {type_} x = {self.value(source, type_)}; "
            for i, part in enumerate(parts):
                if part != "_":
                    code += (
                        self.assign(part, f"static_cast<u{width}>(x >> {i * width})", f"u{width}")
                        + " "
                    )
            return code + "}"
        if source.startswith("{"):
            parts = self.vector(source)
            width = BITS[type_] // len(parts)
            terms = [
                f"(static_cast<u{BITS[type_]}>({self.value(p, f'b{width}')}) << {i * width})"
                for i, p in enumerate(parts)
            ]
            return self.assign(target, f"static_cast<{type_}>({' | '.join(terms)})", type_)
        return self.assign(target, self.value(source, type_), type_)

    @staticmethod
    def space(name):
        special = {"const": "global", "shared::cluster": "cluster"}
        return special.get(name) or (name or "generic").split("::")[0]

    def emit_to_generic(self, g):
        target, source = self.operands(2)
        space = self.space(g["S"])
        return self.assign(
            target, f"to_generic<Space::{space}_>({self.value(source, 'u64')})", "u64"
        )

    def emit_from_generic(self, g):
        target, source = self.operands(2)
        space = self.space(g["S"])
        return self.assign(
            target, f"from_generic<Space::{space}_>({self.value(source, 'u64')})", "u64"
        )

    def emit_is_space(self, g):
        target, source = self.operands(2)
        space = self.space(g["S"])
        address = self.value(source, "u64")
        if space == "shared" and self.module.reaches_blocks:
            return self.assign(target, f"is_own_shared(t, {address})", "pred")
        return self.assign(target, f"is_in_space<Space::{space}_>({address})", "pred")

    def parameter_storage(self, variable, offset, size):
        """Where the bytes of a .param variable that is not a kernel's stand."""
        if offset < 0 or offset + size > variable.size:
            self.fail(
                f"bytes {offset} to {offset + size} of '{variable.name}' ({variable.size} bytes)"
            )
        for names, storage in ((self.function.returns, "results"), (self.function.params, "args")):
            for i, each in enumerate(names):
                if each is variable:
                    return f"{storage}[{i}] + {offset}"
        _, scope = self.lookup(variable.name)
        return f"p{scope.index}_{_c_name(variable.name)} + {offset}"

    def pointer(self, operand, space, access, element_bytes, count):
        """A C++ expression for the storage of the operand, after the checks."""
        named_space, address, variable = self.address(operand)
        total = element_bytes * count
        space = self.space(space)
        if isinstance(address, int):  # a call's parameter
            return self.parameter_storage(variable, address, total)
        if space == "param":
            return f"t.parameter<{total}>({address}, {self.site()})"
        if space == "generic" and named_space is not None:
            self.fail(f"generic access to '{variable.name}'")
        if total == 32 and space == "generic":
            space = "global"  # no other space has accesses of 32 bytes
        if space in ("generic", "shared", "cluster"):
            self.properties.shared_granule = min(self.properties.shared_granule, total)
        mask = self.instruction.used_bytes
        used = f", {mask}U" if mask is not None else ""
        return f"t.access<Space::{space}_, Access::{access}, {total}, {element_bytes}{used}>({address}, {self.site()})"

    def count_of(self, g, registers):
        count = int(g["V"][1:]) if g.get("V") else 1
        if len(registers) != count:
            self.fail(f"{len(registers)} registers, expected {count}")
        return count

    def emit_load(self, g):
        self.note_order(g)
        target, source = self.operands(2)
        registers = self.vector(target)
        count = self.count_of(g, registers)
        type_, size = g["T"], BITS[g["T"]] // 8
        order = g.get("O")
        access = {None: "read", "volatile": "volatile_read"}.get(order, "atomic_read")
        code = f"{{ const u8* const p = {self.pointer(source, g.get('S'), access, size, count)}; "
        for i, register in enumerate(registers):
            if register != "_":
                code += self.assign(register, f"load<{type_}>(p + {i * size})", type_) + " "
        if order == "acquire":
            code += self.fence(g["Q"], "acquire") + " "
        if order and self.space(g.get("S")) in ("global", "generic", "shared", "cluster"):
            self.properties.waits = True
            self.properties.polls |= self.space(g.get("S")) in ("global", "generic")
            code += f"t.poll({self.site()}); "
        return code + "}"

    def emit_store(self, g):
        self.note_order(g)
        target, source = self.operands(2)
        registers = self.vector(source)
        count = self.count_of(g, registers)
        type_, size = g["T"], BITS[g["T"]] // 8
        order = g.get("O")
        access = {None: "write", "volatile": "volatile_write"}.get(order, "atomic_write")
        fence = self.fence(g["Q"], "release") + " " if order == "release" else ""
        code = f"{{ {fence}u8* const p = {self.pointer(target, g.get('S'), access, size, count)}; "
        for i, register in enumerate(registers):
            code += f"store<{type_}>(p + {i * size}, {self.value(register, type_)}); "
        return code + "}"

    def emit_atomic(self, g):
        self.note_order(g)
        is_red = self.instruction.opcode.startswith("red")
        operands = list(self.operands(*((2,) if is_red else (4,) if g["F"] == "cas" else (3,))))
        target = "_" if is_red else operands.pop(0)
        type_, size = g["T"], BITS[g["T"]] // 8
        if g["F"] in ("cas", "exch"):
            self.properties.waits = True
        values = [self.vector(x) for x in operands[1:]]
        count = self.count_of(g, values[0])
        targets = self.vector(target) if target != "_" else ["_"] * count
        self.count_of(g, targets)
        space = "global" if g.get("V") else g.get("S")  # a vector is in global memory
        code = f"u8* const p = {self.pointer(operands[0], space, 'atomic_update', size, count)}; "
        operation = f"atomic_{g['F']}<{type_}>"
        last = ""
        if type_ == "f32":
            # Addition of f32 flushes subnormal numbers in global memory and not in shared memory.
            operation = "atomic_add_f32"
            last = {
                "global": ", true", "shared": ", false", "cluster": ", false",
                "generic": f", is_in_space<Space::global_>({self.address(operands[0])[1]})",
            }[self.space(space)]  # fmt: skip
        for i in range(count):
            arguments = ", ".join(self.value(x[i], type_) for x in values)
            code += f"const {type_} x{i} = {operation}(p + {i * size}, {arguments}{last}); "
        for i, each in enumerate(targets):
            code += self.assign(each, f"x{i}", type_) + " "
        order = g.get("O")
        if order in ("acquire", "acq_rel"):
            code += self.fence(g.get("Q"), "acquire") + " "
        code += f"t.poll({self.site()}); " if self.properties.waits else ""
        if order in ("release", "acq_rel"):
            code = self.fence(g.get("Q"), "release") + " " + code
        return "{ " + code + "}"

    @staticmethod
    def fence(scope, half=None):
        """For the race check only: the emulation runs in program order. A launch without clusters has one block in each."""
        wide = {"cta": "false", "cluster": "t.grid->cluster_extent.count() > 1"}.get(scope, "true")
        return f"t.fence({wide}{f', FenceHalf::{half}' if half else ''});"

    def note_order(self, g):
        """An access with an order may carry a message between warps of a block, if it is to shared memory or of no space
        and of the block's scope."""
        in_block = self.space(g.get("S")) == "shared" or (not g.get("S") and g.get("Q") == "cta")
        if g.get("O") in ("relaxed", "acquire", "release", "acq_rel") and in_block:
            self.synchronise()

    def emit_ordering(self, g):
        self.operands(0)
        if g.get("Q") in (None, "wait", "launch_dependents"):
            return (
                "// nothing to do, as the emulation runs in program order: "
                + self.instruction.opcode
            )
        half = g.get("O") if g.get("O") in ("acquire", "release") else None
        return self.fence(g["Q"], half)

    def emit_init_fence(self, g):
        self.synchronise()
        return "fence_mbarrier_inits(t);"

    # Clusters

    def emit_map_to_block(self, g):
        target, address, rank = self.operands(3)
        rank = self.value(rank, "u32")
        if g.get("S"):
            call = f"map_to_block(t, {self.value(address, g['T'])}, {rank}, {self.site()})"
        else:
            window = f"shared_address(t, {self.value(address, g['T'])}, {self.site()})"
            call = f"to_generic<Space::cluster_>(map_to_block(t, {window}, {rank}, {self.site()}))"
        return self.assign(target, f"static_cast<{g['T']}>({call})", g["T"])

    def emit_block_of_address(self, g):
        target, address = self.operands(2)
        address = self.value(address, g["T"])
        if not g.get("S"):
            address = f"shared_address(t, {address}, {self.site()})"
        return self.assign(target, f"block_of_address(t, {address}, {self.site()})", "u32")

    def emit_cluster_arrive(self, g):
        self.operands(0)
        release = "false" if g.get("O") == "relaxed" else "true"
        return f"cluster_arrive(t, {release}, {g['aligned']}, {self.site()});"

    def emit_cluster_wait(self, g):
        self.operands(0)
        return f"cluster_wait(t, {g['aligned']}, {self.site()});"

    def emit_prefetch(self, g):
        is_bulk = "bulk" in self.instruction.opcode
        target, *size = self.operands(2 if is_bulk else 1)
        space, address, variable = self.address(target)
        if isinstance(address, int) or space not in (None, g.get("S") or "global"):
            self.fail(f"'{target}' is no address that is prefetched")
        if is_bulk:
            self.value(size[0], "u32")
        return "// a hint: " + self.instruction.opcode

    def emit_sleep(self, g):
        (duration,) = self.operands(1)
        self.value(duration, "u32")
        return f"t.poll({self.site()});"

    def target_label(self, name):
        found, scope = self.lookup(name)
        if not isinstance(found, Label):
            self.fail(f"'{name}' is no label")
        return f"L{scope.index}_{_c_name(name)}"

    def emit_branch(self, g):
        return f"goto {self.target_label(self.operands(1)[0])};"

    def emit_branch_indexed(self, g):
        index, targets = self.operands(2)
        found, _ = self.lookup(targets)
        if not isinstance(found, BranchTargets):
            self.fail(f"'{targets}' is no list of targets")
        cases = " ".join(
            f"case {i}: goto {self.target_label(x)};" for i, x in enumerate(found.labels)
        )
        return f"switch ({self.value(index, 'u32')}) {{ {cases} default: t.fail_branch({self.site()}); }}"

    def emit_call(self, g):
        operands = list(self.operands(1, 2, 3, 4))
        results = []
        if operands[0].startswith("("):
            results = split_operands(operands.pop(0)[1:-1])
        name = operands.pop(0)
        arguments = []
        if operands and operands[0].startswith("("):
            arguments = split_operands(operands.pop(0)[1:-1])
        found, _ = self.lookup(name)
        if isinstance(found, Register):
            prototype = self.lookup(operands.pop(0))[0] if operands else None
            if not isinstance(prototype, CallPrototype):
                self.fail("indirect call without a prototype")
        else:
            prototype = self.module.functions.get(name)
            if prototype is None:
                self.fail("call of an unknown function")
        if operands:
            self.fail(f"'{operands[0]}' after the arguments of a call")
        if len(results) != len(prototype.returns) or len(arguments) != len(prototype.params):
            self.fail("call with the wrong number of parameters")

        def storage(names, declared):
            out = []
            for each, variable in zip(names, declared):
                found, _ = self.lookup(each)
                if not isinstance(found, Variable) or found.space != "param":
                    self.fail(f"'{each}' is not in .param space")
                if found.size != variable.size:
                    self.fail(f"'{each}' has {found.size} bytes, expected {variable.size}")
                out.append(self.parameter_storage(found, 0, found.size))
            return "{" + ", ".join(out or ["nullptr"]) + "}"

        code = f"{{ u8* const results_[] = {storage(results, prototype.returns)}; "
        code += f"u8* const args_[] = {storage(arguments, prototype.params)}; "
        if isinstance(found, Register):
            self.properties.calls_indirectly = True
            sizes = ", ".join(str(v.size) for v in prototype.returns + prototype.params)
            return (
                f"{code}static constexpr u32 sizes_[] = {{{sizes or '0'}}}; "
                f"t.function({self.value(name, 'u64')}, sizes_, {len(results)}, {len(arguments)}, "
                f"{self.site()}).body(t, results_, args_); }}"
            )
        if prototype.is_defined:
            self.properties.calls.add(name)
            return code + f"body_{self.module.function_index[name]}(t, results_, args_); }}"
        if name not in _DEVICE_FUNCTIONS:
            self.fail("call of a function without a body")
        return code + f"{_DEVICE_FUNCTIONS[name]}(t, {self.site()}, results_, args_); }}"

    def emit_leave(self, g):
        self.operands(0)
        return "return;"

    def emit_leave_kernel(self, g):
        self.operands(0)
        return "return;" if self.function.is_entry else "t.exit();"

    def emit_trap(self, g):
        return f"t.fail_trap({self.site()});"

    # Barriers and asynchronous copies

    def synchronise(self, granule=None):
        """Notes that the kernel does more than to wait for all threads of a block or of a warp."""
        self.properties.waits = True
        self.properties.synchronises = True
        if granule is not None:
            self.properties.shared_granule = min(self.properties.shared_granule, granule)

    def named_barrier(self, use, barrier, count, predicate="false"):
        self.synchronise()
        opcode = self.instruction.opcode
        aligned = "true" if opcode.startswith("bar.") or ".aligned" in opcode else "false"
        return (
            f"named_barrier(t, BarrierUse::{use}, {self.value(barrier, 'u32')}, "
            f"{self.value(count, 'u32')}, {predicate}, {aligned}, {self.site()})"
        )

    def emit_barrier(self, g):
        operands = self.operands(1, 2)
        if len(operands) == 2:
            return f"static_cast<void>({self.named_barrier('sync', *operands)});"
        return f"t.block_barrier({self.value(operands[0], 'u32')}, {self.site()});"

    def emit_barrier_arrive(self, g):
        return f"static_cast<void>({self.named_barrier('arrive', *self.operands(2))});"

    def emit_barrier_reduce(self, g):
        operands = self.operands(3, 4)
        function = g["F"]
        value = self.value(operands[-1], "pred")
        if len(operands) == 4:
            use = {"popc": "count", "and": "all", "or": "any"}[function]
            call = self.named_barrier(use, operands[1], operands[2], value)
            test = f"{call} != 0"
        else:
            if function == "and":
                value = f"!({value})"
            call = f"t.block_vote({self.value(operands[1], 'u32')}, {value}, {self.site()})"
            test = f"{call} {'==' if function == 'and' else '!='} 0"
        if function == "popc":
            return self.assign(operands[0], call, "u32")
        return self.assign(operands[0], test, "pred")

    def shared_operand(self, operand, space):
        """An address in the window of shared memory."""
        named_space, address, variable = self.address(operand)
        if isinstance(address, int):
            self.fail(f"'{operand}' is no address of shared memory")
        if space is None and named_space is None:
            return f"shared_address(t, {address}, {self.site()})"
        if named_space not in (None, "shared"):
            self.fail(f"'{variable.name}' is not in shared memory")
        return address

    def emit_mbarrier_init(self, g):
        self.synchronise(granule=8)
        target, count = self.operands(2)
        address = self.shared_operand(target, g.get("S"))
        return f"mbarrier_init(t, {address}, {self.value(count, 'u32')}, {self.site()});"

    def emit_mbarrier_inval(self, g):
        self.synchronise()
        (target,) = self.operands(1)
        return f"mbarrier_inval(t, {self.shared_operand(target, g.get('S'))}, {self.site()});"

    def emit_mbarrier_tx(self, g):
        self.synchronise()
        target, bytes_ = self.operands(2)
        which = self.instruction.opcode.split(".")[1]
        address = self.shared_operand(target, g.get("S"))
        any_block = "true" if g.get("S") in (None, "shared::cluster") else "false"
        return (
            f"mbarrier_{which}(t, {address}, {self.value(bytes_, 'u32')}, {any_block}, "
            f"{self.site()});"
        )

    def emit_mbarrier_arrive(self, g):
        self.synchronise()
        extra = g.get("X")
        operands = self.operands(*((2, 3) if extra is None else (3,)))
        count = operands[2] if len(operands) == 3 else None
        fields = []
        if extra == "expect_tx":
            fields.append(f".expected_bytes = {self.value(count, 'u32')}")
        elif count is not None:
            fields.append(f".count = {self.value(count, 'u32')}")
        if g["K"] == "arrive_drop":
            fields.append(".drop = true")
        if extra == "noComplete":
            fields.append(".may_complete = false")
        if g.get("O") == "relaxed":
            fields.append(".release = false")
        if g.get("Q") == "cluster":
            fields.append(".cluster_scope = true")
        if g.get("S") == "shared::cluster":
            fields.append(".any_block = true")
            if operands[0] != "_":
                self.fail("an arrival at an mbarrier of any block gives no state: '_' is expected")
        address = self.shared_operand(operands[1], g.get("S"))
        call = f"mbarrier_arrive(t, {address}, {{{', '.join(fields)}}}, {self.site()})"
        return self.assign(operands[0], call, "u64")

    def emit_mbarrier_wait(self, g):
        self.synchronise()
        operands = self.operands(*((3, 4) if g["K"] == "try_wait" else (3,)))
        phase = self.value(operands[2], "u32" if g.get("P") else "u64")
        flags = (
            g.get("P"),
            g["K"] == "try_wait",
            g.get("O") != "relaxed",
            g.get("Q") == "cluster",
        )
        wait = ", ".join("true" if x else "false" for x in flags)
        address = self.shared_operand(operands[1], g.get("S"))
        call = f"mbarrier_wait(t, {address}, {phase}, {{{wait}}}, {self.site()})"
        return self.assign(operands[0], call, "pred")

    def emit_mbarrier_pending_count(self, g):
        target, state = self.operands(2)
        return self.assign(target, f"mbarrier_pending_count({self.value(state, 'u64')})", "u32")

    def global_operand(self, operand):
        named_space, address, variable = self.address(operand)
        if isinstance(address, int) or named_space not in (None, "global"):
            self.fail(f"'{operand}' is no address of global memory")
        return address

    def emit_copy_async(self, g):
        operands = self.operands(3, 4)
        size = self.immediate(operands[2])
        if size not in ((4, 8, 16) if g["C"] == "ca" else (16,)):
            self.fail(f"a copy of {size} bytes")
        self.synchronise(granule=size)
        source_size = f"u32{{{size}}}"
        if len(operands) == 4:
            found, _ = self.lookup(operands[3])
            if isinstance(found, Register) and found.type == "pred":
                source_size = f"({self.value(operands[3], 'pred')} ? u32{{0}} : u32{{{size}}})"
            else:
                source_size = self.value(operands[3], "u32")
        return (
            f"copy_async(t, {self.shared_operand(operands[0], g['S'])}, "
            f"{self.global_operand(operands[1])}, {size}, {source_size}, {self.site()});"
        )

    def emit_copy_async_commit(self, g):
        self.synchronise()
        self.operands(0)
        return "copy_async_commit(t);"

    def emit_copy_async_wait(self, g):
        self.synchronise()
        (newest,) = self.operands(1)
        return f"copy_async_wait(t, {self.immediate(newest)});"

    def emit_copy_async_wait_all(self, g):
        self.synchronise()
        self.operands(0)
        return "copy_async_wait_all(t);"

    def emit_copy_async_arrive(self, g):
        self.synchronise()
        (target,) = self.operands(1)
        address = self.shared_operand(target, g.get("S"))
        return f"copy_async_arrive(t, {address}, {g['noinc']}, {self.site()});"

    def emit_bulk_copy(self, g):
        self.synchronise(granule=16)
        if g["D"] == "global":
            target, source, size = self.operands(3)
            return (
                f"bulk_copy_to_global(t, {self.global_operand(target)}, "
                f"{self.shared_operand(source, 'shared')}, {self.value(size, 'u32')}, {self.site()});"
            )
        target, source, size, mbarrier = self.operands(4)
        from_shared = g["S"] != "global"
        name = "bulk_copy_to_block" if from_shared else "bulk_copy_to_shared"
        source = (
            self.shared_operand(source, "shared") if from_shared else self.global_operand(source)
        )
        return (
            f"{name}(t, {self.shared_operand(target, 'shared')}, {source}, "
            f"{self.value(size, 'u32')}, {self.shared_operand(mbarrier, 'shared')}, "
            f"{self.site()});"
        )

    def emit_bulk_commit(self, g):
        self.synchronise()
        self.operands(0)
        return "bulk_commit(t);"

    def emit_bulk_wait(self, g):
        self.synchronise()
        (newest,) = self.operands(1)
        return f"bulk_wait(t, {self.immediate(newest)}, {g['read']});"

    def emit_warp_barrier(self, g):
        (mask,) = self.operands(1)
        return f"t.warp_barrier({self.value(mask, 'u32')}, {self.site()});"

    def pair(self, operand):
        parts = [x.strip() for x in operand.split("|")]
        return parts if len(parts) == 2 else [parts[0], "_"]

    def emit_shuffle(self, g):
        target, a, b, c, mask = self.operands(5)
        value, predicate = self.pair(target)
        return (
            f"{{ const Thread::Shuffled x = t.shuffle<Shuffle::{g['M']}>({self.value(mask, 'u32')}, "
            f"{self.value(a, 'b32')}, {self.value(b, 'u32')}, {self.value(c, 'u32')}, {self.site()}); "
            f"{self.assign(value, 'x.value', 'u32')} {self.assign(predicate, 'x.in_range', 'pred')} }}"
        )

    def emit_vote(self, g):
        target, predicate, mask = self.operands(3)
        mode = g["M"]
        code = f"{{ const u32 m = {self.value(mask, 'u32')}; const Thread::Ballot x = t.vote(m, {self.value(predicate, 'pred')}, {self.site()}); "
        if mode == "ballot":
            return code + self.assign(target, "x.votes", "u32") + " }"
        truth = {
            "any": "x.votes != 0", "all": "x.votes == x.voters", "uni": "x.votes == 0 || x.votes == x.voters",
        }[mode]  # fmt: skip
        return code + self.assign(target, truth, "pred") + " }"

    def emit_match(self, g):
        target, value, mask = self.operands(3)
        type_ = "u" + g["T"][1:]
        call = f"t.match({self.value(mask, 'u32')}, {self.value(value, type_)}, {self.site()})"
        if g["M"] == "any":
            return self.assign(target, f"{call}.equal", "u32")
        first, predicate = self.pair(target)
        return (
            f"{{ const Thread::Matched x = {call}; "
            f"{self.assign(first, 'x.all_equal ? x.members : 0', 'u32')} {self.assign(predicate, 'x.all_equal', 'pred')} }}"
        )

    def emit_redux(self, g):
        target, value, mask = self.operands(3)
        type_ = {"b32": "u32"}.get(g["T"], g["T"])
        call = f"t.reduce<Reduce::{g['F']}_, {type_}>({self.value(mask, 'u32')}, {self.value(value, type_)}, {self.site()})"
        return self.assign(target, call, type_)

    def emit_elect(self, g):
        target, mask = self.operands(2)
        if "|" not in target:
            self.fail("1 results, expected 2")
        leader, predicate = self.pair(target)
        return (
            f"{{ const u32 x = t.elect({self.value(mask, 'u32')}, {self.site()}); "
            f"{self.assign(leader, 'x', 'u32')} {self.assign(predicate, 'x == t.lane()', 'pred')} }}"
        )

    def emit_matrix_product(self, g):
        rows, depth = (int(x) for x in re.fullmatch(r"m(\d+)n8k(\d+)", g["K"]).groups())
        a, b, c = g["A"], g["B"], g.get("D", "s32")
        if c not in ("s32", "f64"):
            self.require_approximations()
        step = 4 * (1 if a == "f64" else 32 // BITS[a])
        counts = [rows // 4, rows // 8 * depth // step, depth // step, rows // 4]
        counts = [n // 2 if c == "f16" and i in (0, 3) else n for i, n in enumerate(counts)]
        vectors = [self.vector(x) for x in self.operands(4)]
        for vector, count in zip(vectors, counts):
            if len(vector) != count:
                self.fail(f"{len(vector)} registers, expected {count}")
        types = ["f64" if x == "f64" else "b32" for x in (a, b)]
        lists = [
            ", ".join(self.value(x, type_) for x in vector)
            for vector, type_ in zip(vectors[1:3], types)
        ]
        if c == "f16":
            pairs = [self.value(x, "f16x2") for x in vectors[3]]
            lists.append(", ".join(f"{x}.low, {x}.high" for x in pairs))
        else:
            lists.append(", ".join(self.value(x, c) for x in vectors[3]))
        names = ["Tf32Element" if x == "tf32" else x for x in (a, b)]
        saturates = g.get("satfinite", "false")
        operation = f"MatrixProduct<{rows}, {depth}, {names[0]}, {names[1]}, {c}, {saturates}>"
        code = f"{{ {operation}::Lane x{{{', '.join(f'{{{x}}}' for x in lists)}, {{}}}}; "
        code += f"t.together<{operation}>(x, {self.site()}); "
        for i, each in enumerate(vectors[0]):
            value, type_ = f"x.d[{i}]", c
            if c == "f16":
                value, type_ = f"f16x2{{x.d[{2 * i}], x.d[{2 * i + 1}]}}", "f16x2"
            code += self.assign(each, value, type_) + " "
        return code + "}"

    def emit_matrix_load(self, g):
        target, source = self.operands(2)
        registers = self.vector(target)
        count = int(g["N"][1:])
        if len(registers) != count:
            self.fail(f"{len(registers)} registers, expected {count}")
        operation = f"MatrixLoad<{count}, {g['trans']}>"
        pointer = self.pointer(source, g.get("S"), "read", 2, 8)
        code = f"{{ {operation}::Lane x{{}}; "
        code += f"if (t.lane() < {8 * count}) std::memcpy(x.row, {pointer}, sizeof x.row); "
        code += f"t.together<{operation}>(x, {self.site()}); "
        for i, each in enumerate(registers):
            code += self.assign(each, f"x.d[{i}]", "b32") + " "
        return code + "}"

    def fragment(self, matrix, shape, type_):
        """(rows, columns, registers) of a lane's part of a matrix of wmma."""
        m, n, k = (int(x) for x in re.fullmatch(r"m(\d+)n(\d+)k(\d+)", shape).groups())
        rows, columns = {"a": (m, k), "b": (k, n)}.get(matrix, (m, n))
        if matrix in "ab" and type_ == "f16":
            return rows, columns, 8  # some elements twice
        return rows, columns, rows * columns * BITS[type_] // 32 // 32

    def fragment_access(self, g, registers, place, stride):
        """(registers, the class of the fragment, the arguments that say where it is) of a load or store."""
        type_ = g["T"]
        rows, columns, count = self.fragment(g["X"], g["K"], type_)
        registers = self.vector(registers)
        if len(registers) != count:
            self.fail(f"{len(registers)} registers, expected {count}")
        space = self.space(g.get("S"))
        _, address, _ = self.address(place)
        if isinstance(address, int):
            self.fail("a fragment in .param space")
        if space in ("generic", "shared"):
            self.properties.shared_granule = min(self.properties.shared_granule, BITS[type_] // 8)
        is_row = g["L"] == "row"
        default = f"u32{{{columns if is_row else rows}}}"
        stride = self.value(stride[0], "u32") if stride else default
        fragment = f"Fragment<{type_}, {rows}, {columns}, {count}>"
        template = f"<Space::{space}_, {'true' if is_row else 'false'}>"
        return registers, fragment, template, f"t, {address}, {stride}, x, {self.site()}"

    def emit_fragment_load(self, g):
        target, place, *stride = self.operands(2, 3)
        registers, fragment, template, where = self.fragment_access(g, target, place, stride)
        code = f"{{ u32 x[{len(registers)}]; {fragment}::load{template}({where}); "
        for i, each in enumerate(registers):
            code += self.assign(each, f"x[{i}]", "b32") + " "
        return code + "}"

    def emit_fragment_store(self, g):
        place, source, *stride = self.operands(2, 3)
        registers, fragment, template, where = self.fragment_access(g, source, place, stride)
        values = ", ".join(self.value(x, "b32") for x in registers)
        return f"{{ const u32 x[] = {{{values}}}; {fragment}::store{template}({where}); }}"

    def emit_fragment_product(self, g):
        type_ = g.get("T") or "f16"
        if g["D"] != "s32":
            self.require_approximations()
        m, n, k = re.fullmatch(r"m(\d+)n(\d+)k(\d+)", g["K"]).groups()
        parts = zip("dabc", (g["D"], type_, type_, g["C"]))
        counts = [self.fragment(matrix, g["K"], part)[2] for matrix, part in parts]
        vectors = [self.vector(x) for x in self.operands(4)]
        for vector, count in zip(vectors, counts):
            if len(vector) != count:
                self.fail(f"{len(vector)} registers, expected {count}")
        saturates = g.get("satfinite", "false")
        operation = f"FragmentProduct<{m}, {n}, {k}, {type_}, {counts[1]}, {counts[2]}, {g['C']}, {g['D']}, {saturates}>"
        values = [", ".join(self.value(x, "b32") for x in vector) for vector in vectors[1:]]
        code = (
            f"{{ {operation}::Lane x{{{{{values[0]}}}, {{{values[1]}}}, {{{values[2]}}}, {{}}}}; "
        )
        code += f"t.together<{operation}>(x, {self.site()}); "
        for i, each in enumerate(vectors[0]):
            code += self.assign(each, f"x.d[{i}]", "b32") + " "
        return code + "}"

    def emit_active_mask(self, g):
        (target,) = self.operands(1)
        return self.assign(target, f"t.active_mask({self.site()})", "u32")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--object", type=Path, help="an object file that nvcc made")
    source.add_argument("--ptx", type=Path, help="a PTX file")
    parser.add_argument(
        "--ptx-out", type=Path, help="where to keep the object's PTX: reports name its lines"
    )
    parser.add_argument(
        "--approximations", action="store_true", help="take .approx and .full: the nearest number"
    )
    parser.add_argument(
        "--source-dir", help="reports name sources in this folder without it, in any checkout alike"
    )
    parser.add_argument("--build-dir", help="likewise, the file of the PTX")
    parser.add_argument("--out", type=Path, required=True, help="the C++ file to write")
    arguments = parser.parse_args()
    shown = arguments.ptx or arguments.ptx_out or arguments.object
    try:
        if arguments.ptx:
            text = arguments.ptx.read_text()
        else:
            texts = embedded_ptx(arguments.object.read_bytes())
            if len(texts) != 1:
                sys.exit(f"{arguments.object}: {len(texts)} PTX images, expected 1")
            text = texts[0]
            if arguments.ptx_out:
                arguments.ptx_out.write_text(text)
        module = parse(text)
        emitter = ModuleEmitter(
            module,
            _name_in(shown, arguments.build_dir),
            arguments.approximations,
            arguments.source_dir,
        )
        arguments.out.write_text(emitter.emit())
    except PtxError as error:
        sys.exit(f"{shown}:{error.line}: {error}")
    except FatbinError as error:
        sys.exit(f"{arguments.object}: {error}")


if __name__ == "__main__":
    main()
