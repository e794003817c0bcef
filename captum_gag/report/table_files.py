"""Tables, texts and figures as files: written whole, with names from outside escaped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from captum_gag.data.images import SOFTWARE
from captum_gag.files import replace_file
from captum_gag.reliability.lists import in_one_piece
from captum_gag.report.captions import DAGGER
from captum_gag.report.style import STYLE

DPI = 300

_LATEX = {letter: f"\\{letter}" for letter in "_%&#${}"}
_LATEX |= {"^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\\": r"\textbackslash{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "\N{EN DASH}": "--", DAGGER: r"\textdagger{}"}
_LATEX |= {"\N{ALMOST EQUAL TO}": r"\ensuremath{\approx}"}
_LATEX |= {"\N{UPWARDS ARROW}": r"\ensuremath{\uparrow}", "\N{DOWNWARDS ARROW}": r"\ensuremath{\downarrow}"}

# What ends a cell, or begins code, HTML, a link or a picture; stars and brackets of our own stay.
_MARKDOWN = re.compile(r"[\\`<|]|\[(?=[^\]]*\]\s*[(\[])")
_FORMULA = re.compile(r"^[=+\-@\t\r]")
"""Beginnings of cells that a spreadsheet computes, or fetches from elsewhere."""


def latex_text(text: str) -> str:
    """Return text escaped for LaTeX, in one line."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def markdown_text(text: str) -> str:
    """Return text escaped for Markdown, in one line, for a paragraph or a cell."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def markdown_table(table: pd.DataFrame, index: bool = True, digits: str | None = None) -> str:
    """Return a table as Markdown, its names and texts escaped.

    Args:
        table: Any table.
        index: Whether its index is shown.
        digits: Format of its numbers, such as ".3f"; None leaves text that looks like a number as it is.
    """
    inert = table.apply(lambda column: column if is_numeric_dtype(column) else column.map(_in_markdown))
    inert = inert.rename(index=_in_markdown, columns=_in_markdown)
    layout: dict[str, Any] = {"disable_numparse": True} if digits is None else {"floatfmt": digits}
    return str(inert.to_markdown(index=index, **layout))


def save_text(text: str, path: Path) -> Path:
    """Write a text; returns the path."""
    replace_file(path, lambda file: file.write_text(text, encoding="utf-8"))
    return path


def save_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, with an apostrophe before a text that a spreadsheet would compute; returns the path."""
    inert = table.apply(lambda column: column if is_numeric_dtype(column) else column.map(_in_csv))
    inert = inert.rename(columns=_in_csv)
    replace_file(path, lambda file: inert.to_csv(file, index=False))
    return path


def save_parquet(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as Parquet, with lists that pandas reads as arrays; returns the path."""
    lists = [name for name in table if in_one_piece(table[name])]
    # A column without any value has no type in pandas.
    untyped = table.assign(**{name: None for name in lists if table[name].isna().all()})
    arrow = pa.Table.from_pandas(untyped, preserve_index=False)
    metadata = arrow.schema.pandas_metadata
    for column in metadata["columns"]:
        column |= {"numpy_type": "object"} if column["name"] in lists else {}
    types = {
        field.name: pa.list_(field.type.value_type) if pa.types.is_list(field.type) else field.type
        for field in arrow.schema
    }
    arrow = arrow.cast(pa.schema(types.items(), {"pandas": json.dumps(metadata)}))
    # Arrow takes no path whose bytes are no text.
    stream = pa.BufferOutputStream()
    pq.write_table(arrow, stream, compression="snappy")
    replace_file(path, lambda file: file.write_bytes(stream.getvalue()))
    return path


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the suffix, .pdf, .svg or .png (in full colour, 300 dpi); returns the path."""
    kind = path.suffix.removeprefix(".")
    # The same bytes for the same figure.
    metadata = {"png": {"Software": SOFTWARE}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    with matplotlib.style.context(["default", STYLE]):
        replace_file(path, lambda file: figure.savefig(file, format=kind, dpi=DPI, metadata=metadata))
    return path


def save_image(image: Image.Image, path: Path) -> Path:
    """Write an image as a PNG of this package; returns the path."""
    information = PngInfo()
    information.add_text("Software", SOFTWARE)
    replace_file(path, lambda file: image.save(file, format="PNG", optimize=True, pnginfo=information))
    return path


def _in_markdown(value: Any) -> Any:
    return markdown_text(value) if isinstance(value, str) else value


def _in_csv(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
