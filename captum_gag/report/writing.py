"""Tables and texts as files, whole or not there, in which a name from outside means nothing but itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from captum_gag.files import replace_file
from captum_gag.reliability.lists import in_one_piece
from captum_gag.report.notes import DAGGER

_LATEX = {letter: f"\\{letter}" for letter in "_%&#${}"}
_LATEX |= {"^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\\": r"\textbackslash{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "\N{EN DASH}": "--", DAGGER: r"\textdagger{}"}

# What ends a cell, or begins code, HTML, a link or a picture; stars and brackets of our own stay.
_MARKDOWN = re.compile(r"[\\`<|]|\[(?=[^\]]*\]\s*[(\[])")
_FORMULA = re.compile(r"^[=+\-@\t\r]")
"""How a cell begins that a spreadsheet computes, or fetches from elsewhere."""


def latex_text(text: str) -> str:
    """Return text as LaTeX prints it."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def markdown_text(text: str) -> str:
    """Return text as Markdown prints it, in a paragraph or in a cell."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def markdown_table(table: pd.DataFrame, index: bool = True, digits: str | None = None) -> str:
    """Return a table as Markdown prints it, whatever its names and texts are.

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
    """Write a text, and return where."""
    replace_file(path, lambda place: place.write_text(text, encoding="utf-8"))
    return path


def save_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, with an apostrophe before a text that a spreadsheet would compute, and return where."""
    inert = table.apply(lambda column: column if is_numeric_dtype(column) else column.map(_in_csv))
    inert = inert.rename(columns=_in_csv)
    replace_file(path, lambda place: inert.to_csv(place, index=False))
    return path


def save_parquet(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as Parquet, and return where; lists that lie in one piece here are arrays for who reads it."""
    lists = [name for name in table if in_one_piece(table[name])]
    # Of what a column is without any value, pandas does not know.
    known = table.assign(**{name: None for name in lists if table[name].isna().all()})
    whole = pa.Table.from_pandas(known, preserve_index=False)
    said = whole.schema.pandas_metadata
    said["columns"] = [each | ({"numpy_type": "object"} if each["name"] in lists else {}) for each in said["columns"]]
    types = {
        each.name: pa.list_(each.type.value_type) if pa.types.is_list(each.type) else each.type for each in whole.schema
    }
    whole = whole.cast(pa.schema(types.items(), {"pandas": json.dumps(said)}))
    replace_file(path, lambda place: pq.write_table(whole, place, compression="snappy"))
    return path


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, and return where."""
    replace_file(path, lambda place: figure.savefig(place, dpi=120, format="png"))
    return path


def _in_markdown(value: Any) -> Any:
    return markdown_text(value) if isinstance(value, str) else value


def _in_csv(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
