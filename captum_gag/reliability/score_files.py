"""Reading of score tables: Parquet, and CSV, where text stays text and numbers are in Python's form."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, first_line, shown
from captum_gag.files import csv_rows, require_file
from captum_gag.reliability.scores import checked

CSV = (".csv", ".tsv", ".txt")

NUMBERS = ("score", "steps", "strength")
"""Columns that hold numbers; those of names hold what is written there, be it 007, NA or 1e5."""

MISSING = {"", "nan", "na", "n/a", "<na>", "none", "null"}
"""How a missing number is written, by pandas, R, SQL and spreadsheets."""


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read a score table.

    Args:
        path: A ``.parquet`` or ``.csv`` file (see ``read_csv``), or a directory of Parquet files; for its columns see
            ``checked``.

    Raises:
        InputError: The file cannot be read, or it is not a score table.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path is {shown(path)}; it must be the file of a score table, or a directory of such files")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: cannot be read as scores: there is no such file or folder")
    try:
        if not path.is_dir():
            require_file(path)
        table = read_csv(path) if path.suffix.lower() in CSV else pd.read_parquet(path)
    except InputError:
        raise
    # pandas and pyarrow meet broken files with many exceptions.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as scores: {first_line(error)}") from error
    try:
        return checked(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV whose cells are separated by commas, semicolons or tabs, whichever the header has most of.

    Returns:
        The columns ``score``, ``steps`` and ``strength`` as numbers, NaN where none is written; ``higher_is_better`` as
        true or false, None where nothing is written; and all others as the text that they hold.

    Raises:
        InputError: It cannot be read, a row has not as many cells as the header, or a number is none in Python's form,
            such as 0,5 or 1,000.
    """
    try:
        header, *body = [row for row in csv_rows(path) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as scores: {first_line(error)}") from error
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
    table = pd.DataFrame(body, columns=names, dtype=object)
    for name in table.columns.intersection(NUMBERS):
        table[name] = pd.Series([_number(cell, name, path) for cell in table[name]], dtype=float)
    if "higher_is_better" in table:
        words = [cell.strip().lower() for cell in table["higher_is_better"]]
        values = [None if word in MISSING else {"true": True, "false": False}.get(word, word) for word in words]
        table["higher_is_better"] = pd.Series(values, dtype=object)
    return table


def _number(cell: str, name: str, path: Path) -> float:
    text = cell.strip().lower()
    if text.lstrip("+-") in MISSING:
        return np.nan
    try:
        # Python takes 1_000 for a number.
        return float(text.replace("_", " "))
    except ValueError:
        raise InputError(
            f"{path}: has {cell!r} in the column {name}; expected numbers with a point, such as 0.5"
        ) from None
