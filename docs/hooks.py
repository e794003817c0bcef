"""What the site needs beyond its settings: the notebooks' names, the commands' help, and formulas as MathML."""

from __future__ import annotations

import re
import subprocess
import sys
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe
from latex2mathml.converter import convert

DISPLAY = re.compile(r"^\.\. math::[ ]*(?P<formula>.*(?:\n(?:[ \t]+\S.*|[ \t]*(?=\n[ \t]+\S)))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")


class Formulas(griffe.Extension):
    """Turns the formulas of docstrings, written as Sphinx has them, into the fences and tags of this site."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object as it is loaded."""
        if obj.docstring:
            text = DISPLAY.sub(lambda found: f"```math\n{dedent(found['formula']).strip()}\n```", obj.docstring.value)
            # In a span, because Markdown takes a math element at the start of a line for a block of its own.
            obj.docstring.value = INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", text)


def formula(source: str, *_: Any, **__: Any) -> str:
    """Give a fenced formula as MathML, which browsers show without a script."""
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
    """Give the page on the command line what the commands say of themselves."""
    if page.file.src_uri != "command-line.md":
        return markdown
    asked = [sys.executable, "-m", "typer", "captum_gag.cli", "utils", "docs", "--name", "captum-gag"]
    written = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    # Its title is the page's, and its list of commands is cut short; the table of contents has them all.
    return markdown + re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", written.partition("\n")[2])
