"""What the site needs beyond its settings: options as they are declared, commands' help, notebooks, and formulas."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe
from latex2mathml.converter import convert

DISPLAY = re.compile(r"^\.\. math::[ ]*(?P<formula>.*(?:\n(?:[ \t]+\S.*|[ \t]*(?=\n[ \t]+\S)))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")


class Declared(griffe.Extension):
    """Shows what is made of declared options as Python has it: with the whole signature and all of ``Args``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Give a declared class its constructor, and a metric's function the metric's options."""
        is_class = isinstance(obj, griffe.Class) and _is_decorated(obj, "declared")
        if obj.docstring and (is_class or (isinstance(obj, griffe.Function) and _is_decorated(obj, "function_of"))):
            real = getattr(importlib.import_module(obj.module.path), obj.name)
            obj.docstring.value = inspect.getdoc(real) or ""
            if is_class:
                own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
                parameters = griffe.Parameters(own, *_parameters(real))
                obj.set_member("__init__", griffe.Function("__init__", parameters=parameters))
            else:
                obj.parameters = griffe.Parameters(*_parameters(real))


class Formulas(griffe.Extension):
    """Turns the formulas of docstrings, written as Sphinx has them, into the fences and tags of this site."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object as it is loaded."""
        if obj.docstring:
            text = DISPLAY.sub(lambda found: f"```math\n{dedent(found['formula']).strip()}\n```", obj.docstring.value)
            # In a span, because Markdown takes a math element at the start of a line for a block of its own.
            obj.docstring.value = INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", text)


def formula(source: str, *_: Any, **__: Any) -> str:
    """Return a fenced formula as MathML, which browsers show without a script."""
    try:
        return f'<div class="formula">{convert(source, display="block")}</div>'
    except Exception as error:
        raise ValueError(f"{escape(source)} is no formula that latex2mathml knows: {error}") from error


def on_config(config: Any) -> None:
    """Add the fence for formulas, and put the notebooks that there are into the navigation."""
    fence = {"name": "math", "class": "math", "format": formula}
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    notebooks = sorted(Path(config["docs_dir"], "tutorials").glob("*.ipynb"))
    for entry in config["nav"]:
        if entry.get("Tutorials"):
            entry["Tutorials"] = [f"tutorials/{notebook.name}" for notebook in notebooks]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write what the package says of itself into the pages on the command line and on options."""
    written = {"command-line.md": commands, "options.md": options}.get(page.file.src_uri)
    return markdown if written is None else f"{markdown}\n{written()}"


def commands() -> str:
    """Return the help of every command."""
    asked = [sys.executable, "-m", "typer", "captum_gag.cli", "utils", "docs", "--name", "captum-gag"]
    written = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    # Its title is the page's, and its list of commands is cut short; the table of contents has them all.
    return re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", written.partition("\n")[2])


def options() -> str:
    """Return every type with its options, by room."""
    from captum_gag import names
    from captum_gag.attr.captum_methods import class_names
    from captum_gag.attr.catalogue import method_class
    from captum_gag.attr.transforms import TRANSFORMS

    sections = {
        "Methods": {name: (row.summary, method_class(name)) for name, row in names.METHOD_TYPES.items()},
        "Transforms of maps": {name: ("", cls) for name, cls in TRANSFORMS.items()},
        "Metrics": {name: (row.summary, row.load()) for name, row in names.METRICS.items()},
        "Data sets": {name: (row.summary, row.load()) for name, row in names.DATASETS.items()},
        "Models": {name: (row.summary, row.load()) for name, row in names.MODELS.items()},
        "Classes of Captum": {f"captum:{name}": ("", method_class(f"captum:{name}")) for name in class_names()},
    }
    return "\n".join(
        f"## {title}\n\n" + "\n".join(_type(name, *row) for name, row in types.items())
        for title, types in sections.items()
    )


def _type(name: str, summary: str, cls: type) -> str:
    from captum_gag.options import options_of

    summary = summary or (inspect.getdoc(cls) or "").partition("\n")[0]
    sentence = f"{summary[:1].upper()}{summary[1:].removesuffix('.')}."
    return _section(name, sentence, [option._asdict() for option in options_of(cls)])


def _section(name: str, summary: str, options: list[dict[str, Any]]) -> str:
    lines = [f"### {name}", "", summary, ""]
    if options:
        lines += ["| option | type | default | what |", "|---|---|---|---|", *map(_row, options), ""]
    return "\n".join(lines)


def _row(option: Mapping[str, Any]) -> str:
    type_ = f"{option['type']}, {option['range']}" if option["range"] else option["type"]
    default = "required" if option["required"] else _code(repr(option["default"]))
    return f"| `{option['name']}` | {_code(type_)} | {default} | {escape(option['help'], quote=False)} |"


def _code(text: str) -> str:
    # A bar would end the cell of the table, even in backticks.
    return f"<code>{escape(text, quote=False).replace('|', '&#124;')}</code>"


def _is_decorated(of: griffe.Class | griffe.Function, name: str) -> bool:
    return any(str(each.value).partition("(")[0].rpartition(".")[2] == name for each in of.decorators)


def _parameters(real: Any) -> Iterable[griffe.Parameter]:
    for each in inspect.signature(real).parameters.values():
        said = "Any" if each.annotation is each.empty else each.annotation
        annotation = said if isinstance(said, str) else inspect.formatannotation(said)
        default = None if each.default is each.empty else repr(each.default)
        kind = griffe.ParameterKind[each.kind.name.lower()]
        yield griffe.Parameter(each.name, annotation=annotation, kind=kind, default=default)
