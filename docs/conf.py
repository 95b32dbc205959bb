"""How Sphinx makes the site: the guide (docs/*.md), velum's names in Python, and those in C++.

Run by docs/build.py, which first has doxygen read the public headers.
"""

import functools
import importlib
import os
import pkgutil
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import velum
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
INCLUDES = [ROOT / library / "include" for library in ("kernels", "dpsgd", "he_gpu")]
log = logging.getLogger(__name__)

project = "velum"
author = "the authors of velum"
copyright = "the authors of velum, Apache-2.0"
version = release = velum.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "breathe"]
exclude_patterns = ["**/README.md"]
root_doc = "index"

html_theme = "furo"
html_title = "velum"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# In docstrings `x` is a name of velum's where there is one, else code.
default_role = "py:obj"
add_module_names = False
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

XML = Path(os.environ["VELUM_DOXYGEN_XML"])
breathe_projects = {"velum": str(XML)}
breathe_default_project = "velum"
breathe_show_include = False


def code_of_indented_lines(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Docstrings are written for help(), where code is what is indented by four more than the text
    before it; to Sphinx it is what follows two colons."""
    text = list(lines)
    lines.clear()
    code_indent = None  # of the code that is being read
    section = False  # "Args:" and the like indent their text
    for i, line in enumerate(text):
        indent = len(line) - len(line.lstrip())
        if line.strip():
            if code_indent is not None and indent < code_indent:
                code_indent = None
            if indent == 0:
                section = re.fullmatch(r"(Args|Returns|Raises):", line) is not None
            after_blank = i > 0 and not text[i - 1].strip()
            if code_indent is None and not section and indent >= 4 and after_blank:
                code_indent = indent
                lines += [" " * (indent - 4) + "::", ""]
        lines.append(line)


class Headers(SphinxDirective):
    """`.. headers:: velum/dpsgd/audit`: what the headers of that folder declare, one by one."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = self.arguments[0]
        paths = [path for root in INCLUDES for path in sorted((root / folder).glob("*.h"))]
        if not paths:
            raise self.error(f"headers: no header in {folder}")
        text = []
        for path in paths:
            name = f"{folder}/{path.name}"
            self.env.velum_headers.add(name)  # type: ignore[attr-defined]
            self.env.note_dependency(path)
            text += [name, "-" * len(name), ""]
            for directive in declarations().get(name, []):
                text += [directive, ""]
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=True)


@functools.cache
def declarations() -> dict[str, list[str]]:
    """For each header what breathe shows of it, in its order: what stands in no class."""
    compounds = [ElementTree.parse(path).find("compounddef") for path in XML.glob("*_1_1*.xml")]
    compounds = [c for c in compounds if c is not None]
    classes = {c.findtext("compoundname", "") for c in compounds if c.get("kind") in _CLASSES}
    found: dict[str, list[tuple[int, str]]] = {}
    for compound in compounds:
        name = compound.findtext("compoundname", "")
        if compound.get("kind") == "namespace":
            for member in compound.iter("memberdef"):
                kind, what = member.get("kind", ""), member.findtext("qualifiedname", "")
                if what in classes:
                    continue  # a deduction guide
                if kind == "function":  # which of its overloads
                    what += member.findtext("argsstring", "")
                _note(found, member, f".. doxygen{kind}:: {what}")
        elif name in classes and name.rpartition("::")[0] not in classes:
            directive = (
                f".. doxygen{compound.get('kind')}:: {name}\n   :members:\n   :undoc-members:\n"
            )
            _note(found, compound, directive)
        elif compound.get("kind") == "concept":
            _note(found, compound, f".. doxygenconcept:: {name}")
    return {name: [text for _, text in sorted(texts)] for name, texts in found.items()}


_CLASSES = ("class", "struct")


def _note(
    found: dict[str, list[tuple[int, str]]], element: ElementTree.Element, directive: str
) -> None:
    place = element.find("location")
    assert place is not None
    found.setdefault(place.get("file", ""), []).append((int(place.get("line", 0)), directive))


def expect_every_header(app: Sphinx, env: BuildEnvironment) -> None:
    """A header that no page has is a warning."""
    public = {str(p.relative_to(root)) for root in INCLUDES for p in root.rglob("*.h")}
    for name in sorted(public - env.velum_headers):  # type: ignore[attr-defined]
        log.warning("%s is on no page of docs/reference/cpp", name)


def expect_every_name(app: Sphinx, env: BuildEnvironment) -> None:
    """A public name of the package that no page has is a warning."""
    documented = set(env.get_domain("py").objects)  # type: ignore[attr-defined]
    shown = {id(_resolve(name)) for name in documented}
    for info in pkgutil.walk_packages(velum.__path__, "velum."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", []):
            full = f"{info.name}.{name}"
            if full not in documented and id(getattr(module, name)) not in shown:
                log.warning("%s is on no page of docs/reference/python", full)


def _resolve(name: str) -> object:
    """The thing of a dotted name."""
    parts = name.split(".")
    thing: object = velum
    for part in parts[1:]:
        thing = getattr(thing, part, None)
    return thing


def setup(app: Sphinx) -> None:
    app.add_directive("headers", Headers)
    app.connect("builder-inited", lambda app: setattr(app.env, "velum_headers", set()))
    app.connect("autodoc-process-docstring", code_of_indented_lines, priority=400)
    app.connect("env-updated", lambda app, env: expect_every_header(app, env))
    app.connect("env-updated", lambda app, env: expect_every_name(app, env))
