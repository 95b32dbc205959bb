"""Random kernels in the language of kernel_language.h. A seed gives the same kernel everywhere.

A kernel is a tree of statements and expressions, so that `smaller` can propose kernels with less in them.
"""

import dataclasses
import random
import re

INTEGERS = ("u32", "s32", "u64", "s64")
FLOATS = ("f32", "f64")
TYPES = INTEGERS + FLOATS
NARROW = ("u8", "s8", "u16", "s16")
_VARIABLES = (6, 12)  # how many a kernel has
_STEPS = (3, 6)
_DEPTH = 3  # of expressions


@dataclasses.dataclass(frozen=True)
class Expression:
    """`form` with {0}, {1}, .. for the arguments."""

    type: str
    form: str
    arguments: tuple = ()

    def __str__(self):
        return self.form.format(*self.arguments)


@dataclasses.dataclass(frozen=True)
class Statement:
    """`form` with {0}, .. for expressions and {b[0]}, .. for blocks, which are tuples of statements."""

    form: str
    expressions: tuple = ()
    blocks: tuple = ()

    def __str__(self):
        blocks = [" ".join(map(str, block)) for block in self.blocks]
        return self.form.format(*self.expressions, b=blocks)


@dataclasses.dataclass(frozen=True)
class Kernel:
    seed: int
    head: tuple  # tables and functions; @ in their names stands for the kernel's
    variables: tuple  # (name, type, expression)
    steps: tuple  # of statements
    candidate: int = 0  # of a reduction; the names of a program differ

    @property
    def name(self):
        return f"kernel_{self.seed}" + (f"_{self.candidate}" if self.candidate else "")

    def text(self):
        lines = list(self.head)
        lines += [f"KERNEL({self.name}) {{  // seed {self.seed}", "  BEGIN"]
        lines += [f"  VAR({type_}, {name});" for name, type_, _ in self.variables]
        lines += [f"  LANES V({name}) = {value};" for name, _, value in self.variables]
        lines += [f"  {step}" for step in self.steps]
        for i, (name, _, _) in enumerate(self.variables):
            place = f"({i} * kBlocks + block) * kThreads + lane"
            lines.append(f"  LANES a.out[{place}] = output(V({name}));")
        return "\n".join(lines + ["}", ""]).replace("@", self.name)


def constant(type_, value):
    if type_ == "bool":
        return Expression(type_, "true" if value else "false")
    if type_ in INTEGERS:
        return Expression(type_, f"{type_}({value % (1 << int(type_[1:]))}ULL)")
    return Expression(type_, f"({float(value).hex()}{'F' if type_ == 'f32' else ''})")


# What expressions may be made of: (form, types of the arguments), T being the type of the result.
_INTEGER_FORMS = [
    ("add({0}, {1})", "T T"), ("add({0}, {1})", "T T"), ("sub({0}, {1})", "T T"), ("sub({0}, {1})", "T T"),
    ("mul({0}, {1})", "T T"), ("mul({0}, {1})", "T T"), ("add(mul({0}, {1}), {2})", "T T T"),
    ("divide({0}, {1})", "T T"), ("remainder({0}, {1})", "T T"), ("({0} / 7)", "T"), ("({0} % 10)", "T"),
    ("({0} / 641)", "T"), ("({0} % 4096)", "T"),
    ("({0} & {1})", "T T"), ("({0} | {1})", "T T"), ("({0} ^ {1})", "T T"), ("(~{0})", "T"),
    ("(({0} & {1}) | (~{0} & {2}))", "T T T"),
    ("shift_left({0}, {1})", "T u32"), ("shift_right({0}, {1})", "T u32"), ("shift_right({0}, {1})", "T u32"),
    ("shift_left_clamped({0}, {1} & 127)", "T u32"), ("shift_right_clamped({0}, {1} & 127)", "T u32"),
    ("({1} < kBits<T> ? shift_left({0}, {1}) : T{{0}})", "T u32"), ("rotate_left({0}, {1})", "T u32"),
    ("rotate_left({0}, 13)", "T"), ("(({0} >> 2) + ({1} >> 1))", "T T"), ("(({0} >> 1) - ({1} >> 2))", "T T"),
    ("absolute({0})", "T"), ("minimum({0}, {1})", "T T"), ("maximum({0}, {1})", "T T"),
    ("high_product({0}, {1})", "T T"), ("high_product({0}, {1})", "T T"), ("({0} ? {1} : {2})", "bool T T"),
    ("({0} ? {1} : {2})", "bool T T"), ("static_cast<T>({0})", "bool"),
    ("(field<T, 3, 7>({0}))", "T"), ("(field<T, 0, 20>({0}))", "T"), ("(field<T, 24, 8>({0}))", "T"),
    *[(f"static_cast<T>(static_cast<{n}>({{0}}))", "any") for n in NARROW],
    *[("static_cast<T>({0})", "any")] * 6,
    *[("to_integer<T>({0}, {1})", f"{f} T") for f in FLOATS],
]  # fmt: skip
_FORMS_OF = {
    "u32": [
        ("count_ones({0})", "u32"), ("count_ones({0})", "u64"), ("leading_zeros({0})", "u32"),
        ("leading_zeros({0})", "u64"), ("first_one({0})", "u32"), ("reverse({0})", "u32"),
        ("select_bytes({0}, {1}, {2})", "u32 u32 u32"), ("funnel_left({0}, {1}, {2})", "u32 u32 u32"),
        ("funnel_right_clamped({0}, {1}, {2} & 63)", "u32 u32 u32"), ("dot4({0}, {1}, {2})", "u32 u32 u32"),
        ("sum_of_difference({0}, {1}, {2})", "u32 u32 u32"), ("bits({0})", "f32"), ("bits({0})", "f32"),
        ("static_cast<u32>({0} >> 32)", "u64"),
    ],
    "s32": [("static_cast<s32>({0} - {1})", "u32 u32")],
    "u64": [
        ("(u64{{{0}}} * {1})", "u32 u32"), ("(u64{{{0}}} * {1} + {2})", "u32 u32 u64"),
        ("(u64{{{0}}} << 32 | {1})", "u32 u32"), ("high_sum({0}, {1}, {2}, {3})", "u64 u64 u64 u64"),
        ("high_difference({0}, {1}, {2}, {3})", "u64 u64 u64 u64"),
        ("shifted_product({0}, {1}, {2}, {3})", "u64 u64 u64 u32"), ("bits({0})", "f64"),
    ],
    "s64": [("(s64{{{0}}} * {1})", "s32 s32"), ("(s64{{{0}}} - {1})", "s32 s32")],
    "f32": [("float_of({0})", "u32"), ("static_cast<f32>({0})", "f64"), ("static_cast<f32>({0})", "f64")],
    "f64": [("double_of({0})", "u64"), ("static_cast<f64>({0})", "f32"), ("(f64{{{0}}} * {1})", "f32 f32")],
}  # fmt: skip
_FLOAT_FORMS = [
    ("({0} + {1})", "T T"), ("({0} + {1})", "T T"), ("({0} - {1})", "T T"), ("({0} * {1})", "T T"),
    ("({0} * {1})", "T T"), ("({0} / {1})", "T T"), ("fused({0}, {1}, {2})", "T T T"), ("fused({0}, {1}, {2})", "T T T"),
    ("({0} * {1} + {2})", "T T T"),  # two roundings
    ("(-{0})", "T"), ("magnitude({0})", "T"), ("root(magnitude({0}))", "T"), ("round_down({0})", "T"),
    ("round_up({0})", "T"), ("round_to_zero({0})", "T"), ("round_to_nearest({0})", "T"),
    ("with_sign({0}, {1})", "T T"), ("minimum_of_floats({0}, {1})", "T T"), ("maximum_of_floats({0}, {1})", "T T"),
    ("({0} ? {1} : {2})", "bool T T"), *[("static_cast<T>({0})", i) for i in INTEGERS],
]  # fmt: skip
_CONDITIONS = [
    *[(f"({{0}} {c} {{1}})", "T T") for c in ("<", "<=", ">", ">=", "==", "!=")],
    ("(!({0} < {1}))", "T T"), ("(!{0})", "bool"), ("({0} && {1})", "bool bool"), ("({0} || {1})", "bool bool"),
    ("({0} != {1})", "bool bool"), ("(({0} & 4) != 0)", "u32"), ("(({0} >> 33 & 1) != 0)", "u64"),
    ("is_nan({0})", "f32"), ("({0} < {1} && {2} < {0})", "T T T"), ("(lane % 3 == 1)", ""), ("(lane < 17)", ""),
]  # fmt: skip


def _typed(form, type_):
    return form.replace("<T", f"<{type_}").replace("T{{", f"{type_}{{{{")


FORMS = {
    **{t: [(_typed(f, t), a) for f, a in _INTEGER_FORMS + _FORMS_OF[t]] for t in INTEGERS},
    **{t: [(_typed(f, t), a) for f, a in _FLOAT_FORMS + _FORMS_OF[t]] for t in FLOATS},
}


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a statement may name. Values and targets are (text, type), arrays (name, type)."""

    values: tuple
    targets: tuple = ()
    arrays: tuple = ()
    tables: tuple = ()
    functions: tuple = ()  # (name, result, types of the parameters)
    in_kernel: bool = True
    loops: int = 0

    def with_(self, **changes):
        return dataclasses.replace(self, **changes)

    def and_values(self, *more):
        return self.with_(values=self.values + more)


class Generator:
    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.count = 0

    def pick(self, choices):
        return choices[self.random.randrange(len(choices))]

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def between(self, low, high):
        return self.random.randrange(low, high + 1)

    def fresh(self, prefix):
        self.count += 1
        return f"{prefix}{self.count}"

    # Expressions

    def any_constant(self, type_):
        if type_ in INTEGERS:
            bits = int(type_[1:])
            edge = [
                0,
                1,
                2,
                3,
                31,
                32,
                33,
                63,
                64,
                -1,
                -2,
                1 << bits - 1,
                (1 << bits - 1) - 1,
                255,
                0x1234567,
            ]
            value = self.pick(edge) if self.chance(70) else self.random.getrandbits(bits)
            return constant(type_, value)
        return constant(
            type_, self.pick([0.0, 1.0, -1.0, 0.5, 3.0, -0.0, 1e-3, 2.0**31, 2.0**-126, 1e10, 0.1])
        )

    def leaf(self, type_, scope):
        if type_ == "bool":
            return self.expression("bool", scope, 1)
        named = [text for text, t in scope.values if t == type_]
        choice = self.between(0, 9)
        if named and choice < 7:
            return Expression(type_, self.pick(named))
        others = [(text, t) for text, t in scope.values if t in INTEGERS]
        if choice == 7 and type_ in INTEGERS and others:
            return Expression(type_, f"static_cast<{type_}>({self.pick(others)[0]})")
        if choice == 8 and scope.in_kernel:
            params = {"u32": "a.small", "s32": "a.param_s32", "u64": "a.param_u64", "f32": "a.param_f32",
                      "f64": "a.param_f64"}  # fmt: skip
            return Expression(type_, params.get(type_, "static_cast<s64>(a.flags)"))
        return self.any_constant(type_)

    def memory(self, type_, scope, depth):
        """An element of an array, a table or an input; None where the scope has none of the type."""
        index = self.expression("u32", scope, depth - 1)
        arrays = [(n, t, 7) for n, t in scope.arrays] + [(n, t, 15) for n, t in scope.tables]
        fitting = [x for x in arrays if x[1] == type_ or (x[1] in NARROW and type_ in INTEGERS)]
        if fitting and self.chance(70):
            name, element, mask = self.pick(fitting)
            text = f"{name}[{{0}} & {mask}]"
            return Expression(
                type_, text if element == type_ else f"static_cast<{type_}>({text})", (index,)
            )
        if not scope.in_kernel:
            return None
        array = f"in_{type_}"
        if type_ in INTEGERS and self.chance(30):
            array = self.pick(["in_u8", "in_s16"])
        return Expression(
            type_, f"static_cast<{type_}>(a.{array}[{{0}} & (kInputs - 1)])", (index,)
        )

    def expression(self, type_, scope, depth):
        if depth <= 0:
            return self.leaf(type_, scope)
        if type_ == "bool":
            form, arguments = self.pick(_CONDITIONS)
            if "lane" in form and not scope.in_kernel:
                form, arguments = "({0} < {1})", "T T"
            compared = self.pick(TYPES)
            types = [compared if a == "T" else a for a in arguments.split()]
            return Expression(
                "bool", form, tuple(self.expression(t, scope, depth - 1) for t in types)
            )
        if self.chance(20):
            return self.leaf(type_, scope)
        if self.chance(12):
            found = self.memory(type_, scope, depth)
            if found is not None:
                return found
        callable_ = [f for f in scope.functions if f[1] == type_]
        if callable_ and self.chance(12):
            name, _, types = self.pick(callable_)
            form = f"{name}({', '.join(f'{{{i}}}' for i in range(len(types)))})"
            return Expression(
                type_, form, tuple(self.expression(t, scope, depth - 1) for t in types)
            )
        form, arguments = self.pick(FORMS[type_])
        types = []
        for a in arguments.split():
            types.append(type_ if a == "T" else self.pick(INTEGERS) if a == "any" else a)
        return Expression(type_, form, tuple(self.expression(t, scope, depth - 1) for t in types))

    # What each thread does

    def assignment(self, scope):
        target, type_ = self.pick(scope.targets)
        return Statement(f"{target} = {{0}};", (self.expression(type_, scope, _DEPTH),))

    def block(self, scope, budget):
        count = self.between(1, 2)
        return tuple(self.statement(scope, budget - 1) for _ in range(count))

    def loop(self, scope, budget):
        i = self.fresh("i")
        some = self.expression("u32", scope, 2)
        known = constant("u32", self.between(1, 5))
        type_, head, value = self.pick([
            ("u32", "u32 I = 0; I < {0}; ++I", known),
            ("u32", "u32 I = 0; I < a.small; ++I" if scope.in_kernel else "u32 I = 0; I < {0}; ++I", known),
            ("u32", "u32 I = {0} & 7; I != 0; --I", some),
            ("s32", "s32 I = static_cast<s32>({0} & 15) - 4; I < 6; I += 3", some),
            ("u32", "u32 I = {0} | 1; I < 0x20000000U; I *= 6", some),
        ])  # fmt: skip
        inner = scope.and_values((i, type_)).with_(loops=scope.loops + 1)
        body = self.block(inner, budget)
        if self.chance(30):
            leave = self.pick(["if ({0}) break;", "if ({0}) continue;"])
            at = self.between(0, len(body))
            body = (
                *body[:at],
                Statement(leave, (self.expression("bool", inner, 2),)),
                *body[at:],
            )
        head = re.sub(r"\bI\b", i, head)
        return Statement(f"for ({head}) {{{{ {{b[0]}} }}}}", (value,), (body,))

    def statement(self, scope, budget):
        choice = self.between(0, 99) if budget > 0 else 0
        if choice < 45:
            return self.assignment(scope)
        if choice < 60:
            blocks = (self.block(scope, budget), self.block(scope, budget))
            return Statement(
                "if ({0}) {{ {b[0]} }} else {{ {b[1]} }}",
                (self.expression("bool", scope, 2),),
                blocks,
            )
        if choice < 75 and scope.loops < 2:
            return self.loop(scope, budget)
        if choice < 85:
            cases = self.between(3, 6)
            form = "switch ({0} & 7) {{ "
            for i in range(cases):
                form += f"case {i}: {{{{ {{b[{i}]}} }}}} {'break; ' if self.chance(70) else ''}"
            form += f"default: {{{{ {{b[{cases}]}} }}}} }}}}"
            blocks = tuple((self.assignment(scope),) for _ in range(cases + 1))
            return Statement(form, (self.expression("u32", scope, 2),), blocks)
        if choice < 95 or not scope.in_kernel:
            name, type_ = self.fresh("l"), self.pick(TYPES + NARROW)
            value_type = "u32" if type_ in NARROW else type_
            inner = scope.with_(arrays=scope.arrays + ((name, type_),))
            fill = self.expression(value_type, scope.and_values(("k", "u32")), 2)
            store = Statement(f"{name}[{{0}} & 7] = static_cast<{type_}>({{1}});",
                              (self.expression("u32", inner, 2), self.expression(value_type, inner, 2)))  # fmt: skip
            body = (store,) + self.block(inner, budget) + (self.reading(inner, name, type_),)
            form = f"{{{{ {type_} {name}[8]; for (u32 k = 0; k < 8; ++k) {name}[k] = static_cast<{type_}>({{0}}); {{b[0]}} }}}}"
            return Statement(form, (fill,), (body,))
        name = self.fresh("q")
        inner = scope.and_values(*((f"{name}.x[{i}]", "u32") for i in range(4)))
        form = f"{{{{ const Four {name} = a.in_four[{{0}} & (kInputs - 1)]; {{b[0]}} }}}}"
        return Statement(form, (self.expression("u32", scope, 2),), (self.block(inner, budget),))

    def reading(self, scope, name, type_):
        """An assignment that reads an element of the array."""
        fitting = [
            x for x in scope.targets if x[1] == type_ or (type_ in NARROW and x[1] in INTEGERS)
        ]
        if not fitting:
            return self.assignment(scope)
        target, target_type = self.pick(fitting)
        return Statement(f"{target} = static_cast<{target_type}>({name}[{{0}} & 7]);",
                         (self.expression("u32", scope, 2),))  # fmt: skip

    # What all threads do together

    def target(self, scope, *types):
        fitting = [x for x in scope.targets if x[1] in types]
        return self.pick(fitting)[0][2:-1] if fitting else None  # x of V(x)

    def collective(self, scope):
        operation = self.pick(
            ["SHUFFLE"] * 4
            + ["VOTE", "VOTE", "MATCH", "REDUCE", "REDUCE", "MEMBERS", "MEMBERS", "BLOCK"]
        )
        type_ = self.pick(TYPES) if operation == "SHUFFLE" else "u32"
        target = self.target(scope, type_)
        if target is None:
            return self.lanes(scope)
        u32 = self.expression("u32", scope, 2)
        condition = self.expression("bool", scope, 2)
        if operation == "SHUFFLE":
            mode = self.pick(["INDEX", "UP", "DOWN", "XOR"])
            width = self.pick([32, 32, 32, 16, 8, 4, 2])
            value = self.expression(type_, scope, 2)
            return Statement(
                f"SHUFFLE_{mode}({type_}, {target}, ({{0}}), ({{1}}), {width});", (value, u32)
            )
        if operation == "VOTE":
            return Statement(
                f"{self.pick(['BALLOT', 'ANY', 'ALL'])}({target}, ({{0}}));", (condition,)
            )
        if operation == "BLOCK":
            return Statement(
                f"{self.pick(['BLOCK_COUNT', 'BLOCK_AND', 'BLOCK_OR'])}({target}, ({{0}}));",
                (condition,),
            )
        if operation == "MATCH":
            return Statement(f"MATCH({target}, ({{0}} & 3));", (u32,))
        if operation == "REDUCE":
            name = self.pick(["ADD", "MIN", "MAX", "XOR"])
            value = "static_cast<s32>({0})" if name == "MIN" else "({0})"
            return Statement(f"REDUCE_{name}({target}, {value});", (u32,))
        if self.chance(50):
            return Statement(f"SUM_OF_MEMBERS({target}, ({{0}}), ({{1}}));", (condition, u32))
        return Statement(f"FROM_FIRST(u32, {target}, ({{0}}), ({{1}}));", (condition, u32))

    def exchange(self, scope):
        """Through shared memory: every thread writes an element of its own, then reads any."""
        name, type_ = self.fresh("m"), self.pick(TYPES + NARROW)
        value_type = "u32" if type_ in NARROW else type_
        fitting = (value_type,) if type_ not in NARROW else INTEGERS
        target = self.target(scope, *fitting)
        if target is None:
            return self.lanes(scope)
        result = next(t for x, t in scope.targets if x == f"V({target})")
        place = f"(lane * {self.pick([1, 3, 5, 31])} + {self.between(0, 63)}) & (kThreads - 1)"
        form = (
            f"{{{{ SHARED({type_}, {name}); LANES {name}[{place}] = static_cast<{type_}>({{0}}); SYNC; "
            f"LANES V({target}) = static_cast<{result}>({name}[{{1}} & (kThreads - 1)]); SYNC; }}}}"
        )
        values = self.expression(value_type, scope, 2), self.expression("u32", scope, 2)
        return Statement(form, values)

    def vector_exchange(self, scope):
        name, target = self.fresh("m"), self.target(scope, "u32")
        if target is None:
            return self.lanes(scope)
        form = (
            f"{{{{ SHARED(Four, {name}); LANES {name}[lane] = Four{{{{{{{{ {{0}}, {{1}}, {{2}}, {{3}} }}}}}}}}; SYNC; "
            f"LANES {{{{ const Four q = {name}[{{4}} & (kThreads - 1)]; V({target}) = q.x[0] + 3 * q.x[1] + 5 * q.x[2] + 7 * q.x[3]; }}}} SYNC; }}}}"
        )
        return Statement(form, tuple(self.expression("u32", scope, 1) for _ in range(5)))

    def shared_atomics(self, scope):
        name, type_ = self.fresh("m"), self.pick(["u32", "u64", "s32"])
        target = self.target(scope, type_)
        if target is None:
            return self.lanes(scope)
        operation = self.pick(
            ["MIN", "MAX"] + (["ADD", "ADD", "AND", "OR", "XOR"] if type_ != "s32" else [])
        )
        form = (
            f"{{{{ SHARED({type_}, {name}); LANES {name}[lane] = {{0}}; SYNC; "
            f"LANES ATOMIC_{operation}({name}[{{1}} & (kThreads - 1)], {{2}}); SYNC; "
            f"LANES V({target}) = {name}[{{3}} & (kThreads - 1)]; SYNC; }}}}"
        )
        types = (type_, "u32", type_, "u32")
        return Statement(form, tuple(self.expression(t, scope, 2) for t in types))

    def global_atomics(self, scope):
        """Each target has one operation, so that the order of the threads does not matter."""
        array, type_ = self.pick([("sums", "u32"), ("wide", "u64")])
        which = self.between(0, 3)
        operation = ["ADD", "MAX", "XOR", "OR"][which]
        form = f"LANES ATOMIC_{operation}(a.{array}[{which * 4} + ({{0}} & 3)], {{1}});"
        return Statement(form, (self.expression("u32", scope, 2), self.expression(type_, scope, 2)))

    def lanes(self, scope):
        body = tuple(self.statement(scope, 2) for _ in range(self.between(1, 3)))
        return Statement("LANES {{ {b[0]} }}", (), (body,))

    def step(self, scope, depth):
        choice = self.between(0, 99)
        if choice < 45:
            return self.lanes(scope)
        if choice < 65:
            return self.collective(scope)
        if choice < 75:
            return self.exchange(scope)
        if choice < 79:
            return self.vector_exchange(scope)
        if choice < 84:
            return self.shared_atomics(scope)
        if choice < 90 or depth == 0:
            return self.global_atomics(scope)
        if choice < 95:
            i = self.fresh("i")
            body = self.steps(scope.and_values((i, "u32")).with_(loops=scope.loops + 1), depth)
            bound = self.pick(["a.small", "2", "3"])
            return Statement(
                f"for (u32 {i} = 0; {i} < {bound}; ++{i}) {{{{ {{b[0]}} }}}}", (), (body,)
            )
        condition = self.pick(
            ["(a.flags & 4) != 0", "a.param_s32 < 0", "a.small == 2", "block == 0"]
        )
        blocks = (self.steps(scope, depth), self.steps(scope, depth))
        return Statement(f"if ({condition}) {{{{ {{b[0]}} }}}} else {{{{ {{b[1]}} }}}}", (), blocks)

    def steps(self, scope, depth):
        return tuple(self.step(scope, depth - 1) for _ in range(self.between(1, 2)))

    def function(self, name, scope):
        types = [self.pick(TYPES) for _ in range(self.between(1, 3))]
        result = self.pick(TYPES)
        parameters = [(f"p{i}", t) for i, t in enumerate(types)]
        inner = scope.with_(
            values=(*parameters, ("r", result)),
            targets=(*parameters, ("r", result)),
            in_kernel=False,
        )
        first = constant(result, 0)
        body = " ".join(str(self.statement(inner, 1)) for _ in range(self.between(1, 2)))
        declared = ", ".join(f"{t} {p}" for p, t in parameters)
        last = self.expression(result, inner, 2)
        text = f"NOINLINE {result} {name}({declared}) {{ {result} r = {first}; {body} return {last}; }}"
        return text, (name, result, tuple(types))

    def kernel(self):
        head, tables, functions = [], (), ()
        if self.chance(40):
            type_ = self.pick(TYPES + NARROW)
            values = ", ".join(
                f"static_cast<{type_}>({self.any_constant('u32' if type_ in NARROW else type_)})"
                for _ in range(16)
            )
            head.append(f"TABLE({type_}, table_@) = {{{values}}};")
            tables = (("table_@", type_),)
        for i in range(self.between(0, 2)):
            text, function = self.function(
                f"function_@_{i}", Scope((), tables=tables, functions=functions)
            )
            head.append(text)
            functions += (function,)
        variables = []
        for i in range(self.between(*_VARIABLES)):
            type_ = TYPES[i] if i < len(TYPES) else self.pick(TYPES)
            at = f"(lane * {self.pick([1, 2, 3])} + block * kThreads + {self.between(0, 255)}) & (kInputs - 1)"
            variables.append((f"v{i}", type_, Expression(type_, f"a.in_{type_}[{at}]")))
        named = tuple((f"V({v})", t) for v, t, _ in variables)
        scope = Scope((*named, ("lane", "u32")), named, (), tables, functions)
        steps = tuple(self.step(scope, 2) for _ in range(self.between(*_STEPS)))
        return Kernel(self.seed, tuple(head), tuple(variables), steps)


def generate(seed):
    return Generator(seed).kernel()


# Smaller kernels


def _smaller_expressions(expression):
    """Each expression with one change: an argument, or a constant, in the place of a part."""
    if expression.arguments:
        for argument in expression.arguments:
            if argument.type == expression.type:
                yield argument
        if expression.type != "bool":
            yield constant(expression.type, 1)
        for i, argument in enumerate(expression.arguments):
            for less in _smaller_expressions(argument):
                arguments = expression.arguments[:i] + (less,) + expression.arguments[i + 1 :]
                yield dataclasses.replace(expression, arguments=arguments)


def _without_runs(block):
    """The block without some of its statements: first without all, then halves, .. then one by one."""
    length = len(block)
    while length > 0:
        for start in range(0, len(block), length):
            yield block[:start] + block[start + length :]
        length //= 2


def _smaller_blocks(block):
    yield from _without_runs(block)
    for i, statement in enumerate(block):
        if statement.form.startswith("if") and len(statement.blocks) == 2:
            for inner in statement.blocks:
                yield block[:i] + inner + block[i + 1 :]
        for less in _smaller_statements(statement):
            yield block[:i] + (less,) + block[i + 1 :]


def _smaller_statements(statement):
    for i, block in enumerate(statement.blocks):
        for less in _smaller_blocks(block):
            blocks = statement.blocks[:i] + (less,) + statement.blocks[i + 1 :]
            yield dataclasses.replace(statement, blocks=blocks)
    for i, expression in enumerate(statement.expressions):
        for less in _smaller_expressions(expression):
            expressions = statement.expressions[:i] + (less,) + statement.expressions[i + 1 :]
            yield dataclasses.replace(statement, expressions=expressions)


def smaller(kernel):
    """Kernels with one thing less, those with the least first."""
    for steps in _smaller_blocks(kernel.steps):
        yield dataclasses.replace(kernel, steps=steps)
    for head in _without_runs(kernel.head):
        used = "".join(map(str, kernel.steps)) + "".join(head)
        if all(
            re.search(r"(?:table|function)_@(?:_\d)?", x)[0] in used
            for x in kernel.head
            if x not in head
        ):
            continue
        yield dataclasses.replace(kernel, head=head)
