"""What the classes are called, out of a file of the user's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from captum_gag.data.class_files import class_file
from captum_gag.data.csv_files import by_column, read_rows, whole
from captum_gag.data.images import shown
from captum_gag.errors import InputError, first_line, printable
from captum_gag.files import read_text

_WNID = re.compile(r"n\d{8}\s+")


MOST = 1_000_000
"""Classes that a file names."""


def class_names(path: Path) -> list[str]:
    """Read the names of classes, by number from 0; one that is not named is "class N".

    Args:
        path: Text with a name a line, perhaps behind a wnid (``LOC_synset_mapping.txt``); ``.csv`` with the columns
            class_index and name; or ``.json``: a list of names, or by number a name or [wnid, name].

    Raises:
        InputError: It is none of these, or names a class twice.
    """
    readers = {".csv": _of_csv, ".json": _of_json}
    try:
        pairs = [
            (whole(str(number)), printable(str(name)))
            for number, name in readers.get(path.suffix.lower(), _of_text)(path)
        ]
    # A file of the user's, in whatever form.
    except Exception as error:
        reason = first_line(error).removeprefix(f"{shown(path)}: ")
        raise InputError(f"{shown(path)}: cannot be read as names of classes: {reason}") from error
    named = {number: name for number, name in pairs if number is not None and 0 <= number < MOST}
    if not named or len(named) < len(pairs):
        raise InputError(
            f"{shown(path)}: does not name each class once; expected numbers from 0 to {MOST - 1}, or lines"
        )
    return [named.get(number, f"class {number}") for number in range(max(named) + 1)]


def folder_names(root: Path, folders: Mapping[str, int | None]) -> dict[int, str]:
    """Names of classes by number: as a file in the root or above has them, or else as their folders are called.

    Args:
        root: Where the folders are.
        folders: The class of each folder, by its name; None for no class.
    """
    names = {number: shown(folder) for folder, number in folders.items() if number is not None}
    for path in class_file(root):
        # A file that says which folder is which class may name some twice.
        with suppress(InputError):
            names |= {number: name for number, name in enumerate(class_names(path)) if name}
    return names


def _of_text(path: Path) -> Iterable[tuple[int, str]]:
    lines = [line.strip() for line in read_text(path).splitlines()]
    return enumerate(_WNID.sub("", line) for line in lines if line)


def _of_csv(path: Path) -> Iterable[tuple[str, str]]:
    columns = by_column(read_rows(path), path)
    names = columns.get("name", columns.get("wnid"))
    if names is None or "class_index" not in columns:
        raise InputError(f"has the columns {', '.join(map(shown, columns))}; expected class_index and name")
    return zip(columns["class_index"], names, strict=True)


def _of_json(path: Path) -> Iterable[tuple[Any, Any]]:
    listed = json.loads(read_text(path))
    if isinstance(listed, list):
        listed = dict(enumerate(listed))
    if not isinstance(listed, dict):
        raise InputError('expected ["cat", "dog"] or {"0": "cat", "1": ["n02084071", "dog"]}')
    return [(number, name[-1] if isinstance(name, list) else name) for number, name in listed.items()]
