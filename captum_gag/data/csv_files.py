"""CSV files as text: nothing of what they say is changed by how they are read."""

from __future__ import annotations

import csv
from pathlib import Path

from captum_gag.data.images import shown
from captum_gag.errors import InputError, first_line
from captum_gag.files import csv_rows


def read_rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV, separated by commas, semicolons or tabs, whichever its first line has most of.

    Returns:
        The rows that are not empty, the header among them, without blanks around their cells.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        # Names that are not UTF-8 are kept as they are.
        found = csv_rows(path, errors="surrogateescape")
    except (OSError, csv.Error) as error:
        raise InputError(f"{shown(path)}: cannot be read as a table: {first_line(error)}") from error
    return [[cell.strip() for cell in row] for row in found if any(cell.strip() for cell in row)]


def by_column(rows: list[list[str]], path: Path) -> dict[str, list[str]]:
    """Return the cells by column; the first row names the columns.

    Raises:
        InputError: Two columns have one name, or a row is longer or shorter than the header.
    """
    header, *body = rows or [[]]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{shown(path)}: has two columns {twice!r}; leave one of them")
    for row in body:
        if len(row) != len(header):
            raise InputError(
                f"{shown(path)}: the row {shown(row[0])!r} has {len(row)} cells, the header "
                f"{len(header)}; expected as many"
            )
    return {name: [row[place] for row in body] for place, name in enumerate(header)}


def whole(text: str) -> int | None:
    """Return the whole number that a text is, also as 3.0; None if it is none."""
    digits, _, rest = text.partition(".")
    is_whole = digits.removeprefix("-").isdecimal() and digits.isascii() and not rest.strip("0")
    return int(digits) if is_whole else None
