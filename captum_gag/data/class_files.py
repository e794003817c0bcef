"""Which class a folder holds: by a file that lists them, or by the order of the folders."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from captum_gag.data.images import shown
from captum_gag.errors import InputError, first_line


def class_indices(root: Path, folders: Sequence[str]) -> dict[str, int]:
    """Return which class each folder holds.

    By a file in the root or in the folder above: ``classes.csv`` (columns class_index and wnid or name),
    ``imagenet_class_index.json`` (index to [wnid, name]) or ``LOC_synset_mapping.txt`` (a wnid per line); without one,
    by the order of the folders' names, as torchvision has it.

    Raises:
        InputError: The file cannot be read, or does not list a folder.
    """
    for path in class_file(root):
        try:
            listed = CLASS_FILES[path.name](path)
        # A file of the user's, in whatever form: columns that are missing, numbers that are none, another encoding.
        except Exception as error:
            raise InputError(f"{shown(path)}: cannot be read as a list of classes: {first_line(error)}") from error
        missing = [folder for folder in folders if folder not in listed]
        if missing:
            raise InputError(f"{shown(path)}: does not list the folder {shown(missing[0])!r} of {shown(root)}")
        return {folder: listed[folder] for folder in folders}
    return {folder: index for index, folder in enumerate(sorted(folders))}


def class_file(root: Path) -> tuple[Path, ...]:
    """Return the file that says which class each folder of the root is, as the only one; () if there is none."""
    above = root.parent if root.name not in ("", "..") else Path(os.path.abspath(root)).parent
    found = [place / name for place in (root, above) for name in CLASS_FILES if (place / name).is_file()]
    return tuple(found[:1])


def _classes_csv(path: Path) -> dict[str, int]:
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return {(row.get("wnid") or row["name"]): int(row["class_index"]) for row in csv.DictReader(file)}


def _class_index_json(path: Path) -> dict[str, int]:
    return {names[0]: int(index) for index, names in json.loads(path.read_text(encoding="utf-8")).items()}


def _synset_mapping(path: Path) -> dict[str, int]:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return {line.split()[0]: index for index, line in enumerate(lines) if line.strip()}


CLASS_FILES: dict[str, Callable[[Path], dict[str, int]]] = {
    "classes.csv": _classes_csv,
    "imagenet_class_index.json": _class_index_json,
    "LOC_synset_mapping.txt": _synset_mapping,
}
