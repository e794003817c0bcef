"""The image files that names on a command line stand for: files, folders, patterns, and names on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from captum_gag.data.folders import images_below
from captum_gag.data.images import is_drawn, shown
from captum_gag.errors import InputError, warn

STANDARD_INPUT = "-"


def gathered(names: Iterable[str], lines: Iterable[str]) -> list[Path]:
    """Return the image files that names stand for, in their order, those of a folder or a pattern by name.

    What this package drew into a folder is left out, with a warning; it is taken where it is named itself.

    Args:
        names: Files; folders, which stand for all images in them and in their folders, each once, however they are
            linked; patterns such as ``*.jpg`` or ``**/*.jpg``; "-" for such names on standard input.
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
    # A file may have a name that looks like a pattern; one that is not there is said when it is read.
    if not path.is_dir() and (path.exists() or not glob.has_magic(name)):
        return [path]
    inside = list(images_below(path)) if path.is_dir() else _matching(path)
    photographs = [file for file in inside if not is_drawn(file)]
    if drawn := len(inside) - len(photographs):
        warn(f"{shown(path)}: {drawn} of {len(inside)} images were drawn by captum-gag, and are left out")
    if not photographs:
        reason = "holds no image; expected a file, or a folder with some" if path.is_dir() else "no file is called so"
        raise InputError(f"{shown(path)}: {reason}")
    return photographs


def _matching(pattern: Path) -> list[Path]:
    """Return the files of a pattern, hidden ones only where it says so; ``**`` follows no links."""
    parts = pattern.relative_to(pattern.anchor).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    try:
        matches = Path(pattern.anchor).glob("/".join([*parts, "*"] if parts[-1] == "**" else parts))
        files = sorted(match for match in matches if match.is_file())
    except ValueError as error:
        raise InputError(f"{shown(pattern)}: {error}") from error
    return [file for file in files if hidden or not any(part.startswith(".") and part != ".." for part in file.parts)]
