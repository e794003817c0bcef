"""Which class a folder holds: by a file that lists them, or by the order of the folders."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from captum_gag.data.csv_files import by_column, read_rows, whole
from captum_gag.data.images import shown
from captum_gag.errors import InputError, first_line, warn
from captum_gag.files import read_text


def class_indices(root: Path, folders: Sequence[str]) -> dict[str, int]:
    """Return which class each folder holds.

    By a file in the root or in the folder above: ``classes.csv`` (columns class_index and wnid or name),
    ``imagenet_class_index.json`` (index to [wnid, name]) or ``LOC_synset_mapping.txt`` (a wnid per line); without one,
    by the order of the folders' names, as torchvision has it, but 2 before 10.

    Raises:
        InputError: The file cannot be read, does not list a folder, or gives two names one class.
    """
    for path in class_file(root):
        try:
            listed = _indices(CLASS_FILES[path.name](path))
        # A file of the user's, in whatever form: columns that are missing, numbers that are none, another encoding.
        except Exception as error:
            reason = first_line(error).removeprefix(f"{shown(path)}: ")
            raise InputError(f"{shown(path)}: cannot be read as a list of classes: {reason}") from error
        missing = [folder for folder in folders if folder not in listed]
        if missing:
            raise InputError(f"{shown(path)}: does not list the folder {shown(missing[0])!r} of {shown(root)}")
        return {folder: listed[folder] for folder in folders}
    return {folder: index for index, folder in enumerate(_in_order(root, folders))}


def class_file(root: Path) -> tuple[Path, ...]:
    """Return the file that says which class each folder of the root is, as the only one; () if there is none."""
    above = root.parent if root.name not in ("", "..") else Path(os.path.abspath(root)).parent
    found = [place / name for place in (root, above) for name in CLASS_FILES if (place / name).is_file()]
    return tuple(found[:1])


def _in_order(root: Path, folders: Sequence[str]) -> list[str]:
    """Sort the folders by name; as numbers if all of them are."""
    by_name = sorted(folders)
    if not all(folder.isdecimal() for folder in folders):
        return by_name
    by_number = sorted(folders, key=lambda folder: (int(folder), folder))
    if by_number != by_name:
        warn(
            f"{shown(root)}: its folders are numbers and are counted as such, 2 before 10; a model trained with "
            "torchvision's ImageFolder has them as text, 10 before 2, and needs a classes.csv (class_index, name)"
        )
    return by_number


def _indices(pairs: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Return the classes by name; each is a number of its own."""
    listed: dict[str, int] = {}
    for name, number in pairs:
        index = whole(str(number))
        if not name or index is None or index < 0:
            raise InputError(f"{name!r} has the class {number!r}; expected a name and a number, 0 or more")
        if listed.setdefault(name, index) != index:
            raise InputError(f"{name!r} is of class {listed[name]} and of class {index}; expected one")
    index, times = Counter(listed.values()).most_common(1)[0] if listed else (0, 0)
    if times > 1:
        first, second, *_ = [name for name, each in listed.items() if each == index]
        raise InputError(f"{first!r} and {second!r} both are of class {index}; expected one each")
    return listed


def _classes_csv(path: Path) -> Iterable[tuple[str, str]]:
    columns = by_column(read_rows(path), path)
    names = next((columns[name] for name in ("wnid", "name") if name in columns), None)
    if names is None or "class_index" not in columns:
        raise InputError(f"has the columns {', '.join(map(shown, columns))}; expected class_index and wnid or name")
    # Classes with a name but without a wnid, and the other way round.
    others = columns.get("name", names)
    return zip([name or other for name, other in zip(names, others, strict=True)], columns["class_index"], strict=True)


def _class_index_json(path: Path) -> Iterable[tuple[str, str]]:
    # Pairs, because a key that comes twice would hide the first.
    listed = json.loads(read_text(path), object_pairs_hook=lambda pairs: pairs)
    expected = 'expected {"0": ["n01440764", "tench"], ...}'
    if not isinstance(listed, list) or not all(isinstance(each, tuple) for each in listed):
        raise InputError(expected)
    if not all(isinstance(names, list) and names and isinstance(names[0], str) for _, names in listed):
        raise InputError(expected)
    return [(names[0], index) for index, names in listed]


def _synset_mapping(path: Path) -> Iterable[tuple[str, int]]:
    lines = read_text(path, "surrogateescape").splitlines()
    return [(line.split()[0], index) for index, line in enumerate(line for line in lines if line.strip())]


CLASS_FILES: dict[str, Callable[[Path], Iterable[tuple[str, Any]]]] = {
    "classes.csv": _classes_csv,
    "imagenet_class_index.json": _class_index_json,
    "LOC_synset_mapping.txt": _synset_mapping,
}
