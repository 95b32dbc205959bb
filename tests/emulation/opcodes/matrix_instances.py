"""Every matrix instruction of the table, once, for ptxas; matrix_test.cpp is about what they give."""

import re

import instruction_forms

_BITS = {"f16": 16, "bf16": 16, "s8": 8, "u8": 8, "tf32": 32, "f32": 32, "s32": 32, "f64": 64}


def _vector(count, type_="b32"):
    prefix = {"f64": "%d", "f32": "%f"}.get(type_, "%r")
    return "{" + ", ".join(f"{prefix}{i}" for i in range(count)) + "}"


def _operands(kind, g):
    if kind == "matrix_load":
        return [_vector(int(g["N"][1:])), "[%d0]"]
    m, n, k = (int(x) for x in re.fullmatch(r"m(\d+)n(\d+)k(\d+)", g["K"]).groups())

    def part(rows, columns, type_):
        return _vector(max(rows * columns * _BITS[type_] // 32 // max(_BITS[type_], 32), 1), type_)

    if kind == "matrix_product":
        d = g.get("D", "s32")
        return [part(m, n, d), part(m, k, g["A"]), part(k, n, g["B"]), part(m, n, d)]

    def fragment(matrix, type_):
        if matrix in "ab" and type_ == "f16":
            return _vector(8)
        rows, columns = {"a": (m, k), "b": (k, n)}.get(matrix, (m, n))
        return part(rows, columns, type_)

    if kind == "fragment_load":
        return [fragment(g["X"], g["T"]), "[%d0]", "%r0"]
    if kind == "fragment_store":
        return ["[%d0]", fragment(g["X"], g["T"]), "%r0"]
    type_ = g.get("T") or "f16"
    return [
        fragment("d", g["D"]),
        fragment("a", type_),
        fragment("b", type_),
        fragment("c", g["C"]),
    ]


def write_ptx(path, architecture):
    lines = [
        ".version 9.0", f".target sm_{architecture}", ".address_size 64", "", ".visible .entry matrices()", "{",
        "  .reg .b32 %r<8>;", "  .reg .f32 %f<8>;", "  .reg .b64 %d<4>;",
    ]  # fmt: skip
    for form in instruction_forms.FORMS:
        if form.kind.startswith(("matrix_", "fragment_")) and form.architecture <= architecture:
            for opcode, groups in form.instances():
                lines.append(f"  {opcode} {', '.join(_operands(form.kind, groups))};")
    path.write_text("\n".join([*lines, "  ret;", "}", ""]))
