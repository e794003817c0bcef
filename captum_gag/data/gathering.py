"""The image files that names on a command line stand for: files, folders, patterns, and names on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from captum_gag.data.folders import folders_in, images_in
from captum_gag.data.images import shown
from captum_gag.errors import InputError

STANDARD_INPUT = "-"


def gathered(names: Iterable[str], lines: Iterable[str]) -> list[Path]:
    """Return the image files that names stand for, in their order, those of a folder or a pattern by name.

    Args:
        names: Files; folders, which stand for all images in them and in their folders; patterns such as ``*.jpg`` or
            ``**/*.jpg``; "-" for such names on standard input.
        lines: Standard input, read only if it is asked for: a name a line.

    Raises:
        InputError: A folder has no image, a pattern stands for nothing, or nothing is left.
    """
    found = [path for name in names for path in _stands_for(name, lines)]
    if not found:
        raise InputError("there is no name on standard input; expected one a line")
    return found


def _stands_for(name: str, lines: Iterable[str]) -> Iterable[Path]:
    if name == STANDARD_INPUT:
        given = [line.rstrip("\r\n") for line in lines]
        return [path for each in given if each.strip() and each != name for path in _stands_for(each, ())]
    path = Path(name)
    if path.is_dir():
        inside = list(_inside(path))
        if not inside:
            raise InputError(f"{shown(path)}: holds no image; expected a file, or a folder with some")
        return inside
    # A file may have a name that looks like a pattern; one that is not there is said when it is read.
    if path.exists() or not glob.has_magic(name):
        return [path]
    matching = [Path(each) for each in sorted(glob.glob(name, recursive=True)) if Path(each).is_file()]
    if not matching:
        raise InputError(f"{shown(name)}: no file is called so")
    return matching


def _inside(folder: Path) -> Iterator[Path]:
    yield from images_in(folder)
    for each in folders_in(folder):
        yield from _inside(each)
