"""Score tables as CSV: text stays text, and a number is one in Python's form or none at all."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, first_line
from captum_gag.files import csv_rows

CSV = (".csv", ".tsv", ".txt")

NUMBERS = ("score", "steps", "strength")
"""Columns that hold numbers; those of names hold what is written there, be it 007, NA or 1e5."""

TRUTHS = {"true": True, "false": False}

MISSING = {"", "nan", "na", "n/a", "<na>", "none", "null"}
"""How a missing number is written, by pandas, R, SQL and spreadsheets."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV whose cells are separated by commas, semicolons or tabs, whichever the header has most of.

    Returns:
        The columns ``score``, ``steps`` and ``strength`` as numbers, NaN where none is written; ``higher_is_better`` as
        true or false, None where nothing is said; and all others as the text that they hold.

    Raises:
        InputError: It cannot be read, a row has not as many cells as the header, or a number is none in Python's form,
            such as 0,5 or 1,000.
    """
    try:
        rows = [row for row in csv_rows(path) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as scores: {first_line(error)}") from error
    header, *body = rows or [[]]
    names = [name.strip() for name in header]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: has two columns {twice!r}; leave one of them")
    for number, row in enumerate(body, start=1):
        if len(row) != len(names):
            raise InputError(
                f"{path}: row {number} below the header has {len(row)} cells, the header {len(names)}; expected as "
                "many (a comma in a number or a name needs quotes, or semicolons between the cells)"
            )
    columns = {name: [row[place] for row in body] for place, name in enumerate(names)}
    table = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    for name in NUMBERS:
        if name in table:
            table[name] = pd.Series([_number(cell, name, path) for cell in columns[name]], dtype=float)
    if "higher_is_better" in table:
        said = [cell.strip().lower() for cell in columns["higher_is_better"]]
        known = [None if each in MISSING else TRUTHS.get(each, each) for each in said]
        table["higher_is_better"] = pd.Series(known, dtype=object)
    return table


def _number(cell: str, name: str, path: Path) -> float:
    text = cell.strip()
    if text.lower().lstrip("+-") in MISSING:
        return np.nan
    if not NUMBER.fullmatch(text):
        raise InputError(f"{path}: has {cell!r} in the column {name}; expected numbers with a point, such as 0.5")
    return float(text)
