"""Writes the type stubs of velum._core: python make_stubs.py OUT, with velum on the path.

`cmake --build build/cpu --target python_stubs` calls it for the stubs in velum/_core; a test fails when
they are not what it writes.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "velum._core"
# What pybind11_stubgen writes that a type checker does not take, and enum.Enum's own parts.
REPAIRS = [
    (re.compile(pattern, re.MULTILINE | re.DOTALL), replacement)
    for pattern, replacement in [
        (
            r"^    _(?:member_map|member_names|unhashable_values|hashable_values|use_args|"
            r"value2member_map|value_repr|member_type|unhashable_values_map)_[^\n]*\n",
            "",
        ),
        (
            r"^    @(?:static|class)method\n    def (?:_generate_next_value_|_new_member_|__new__)\("
            r'[^\n]*\n        (?:""".*?"""|\.\.\.)\n',
            "",
        ),
        (r"^    ([A-Z_]+): typing\.ClassVar\[\w+\]$", r"    \1 = ..."),  # a member
        (r"^    __hash__: typing\.ClassVar\[None\] = None$", r"\g<0>  # type: ignore[assignment]"),
        (r"def __(eq|ne)__\(self, (\w+): [^)]*\)", r"def __\1__(self, \2: object)"),
        (r"\bos\.PathLike(?!\[)", "os.PathLike[str]"),
        (r"\btuple(?=\)|:$)", "tuple[typing.Any, ...]"),
        (r"\bdict(?=\)|:$| \| )", "dict[str, typing.Any]"),
        (r"\blist(?=\)|:$)", "list[typing.Any]"),
        (r"Mapping\[typing\.SupportsInt, ", "Mapping[int, "),  # the type of a key is no other
        # What a function is called with is more exact than what one may be called with.
        (r"Callable\[\[typing\.SupportsFloat\]", "Callable[[float]"),
        (
            r"Callable\[\[typing\.SupportsInt, typing\.SupportsInt\], None\]",
            "Callable[[int, int], object]",
        ),
        (
            r"Callable\[\[collections\.abc\.Sequence\[torch\.Tensor\], ",
            "Callable[[list[torch.Tensor], ",
        ),
    ]
]


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pybind11_stubgen", MODULE, "-o", scratch),
                *("--enum-class-locations", "Neighbouring:velum._core.accounting"),
                "--exit-code",
            ],
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            sys.exit(run.stderr)
        made = Path(scratch, *MODULE.split("."))
        for stub in sorted(made.rglob("*.pyi")):
            text = stub.read_text()
            for pattern, replacement in REPAIRS:
                text = pattern.sub(replacement, text)
            if "collections.abc.Buffer" in text:  # as Python 3.12 has it; 3.11 does not
                text = text.replace("collections.abc.Buffer", "typing_extensions.Buffer")
                text = text.replace(
                    "import typing\n", "import typing\nimport typing_extensions\n", 1
                )
            text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
            target = out / stub.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
