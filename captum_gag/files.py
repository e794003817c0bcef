"""Files that are whole or not there, what JSON can hold, rows of CSV as they stand, paths cut short, TOML's reader."""

from __future__ import annotations

import csv
import math
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["csv_rows", "plain", "remove_abandoned", "replace_file", "tomllib", "without_directories"]


_BESIDE = re.compile(r"\..+\.[0-9a-f]{32}")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file and rename: whatever interrupts it, a loss of power too, the file is whole or not there.

    Args:
        path: The file; its mode is that of any new one, whatever wrote it.
        write: Called with the place to write to.
    """
    # Machines that share a directory may have processes of one number.
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        beside.touch()
        mode = stat.S_IMODE(beside.stat().st_mode)
        write(beside)
        beside.chmod(mode)
        _to_disk(beside)
        os.replace(beside, path)
    except BaseException:
        # Why it could not be written is what counts; what cannot be removed now is abandoned.
        with suppress(OSError):
            beside.unlink()
        raise
    # Without it the name may be gone after a loss of power, though the file is there.
    if os.name == "posix":
        # Some network file systems refuse it for a directory.
        with suppress(OSError):
            _to_disk(path.parent)


ABANDONED = 3600
"""Seconds after which nobody writes to a file any more that has no name yet; one takes less than one."""


def remove_abandoned(directory: Path) -> None:
    """Remove what a process that was killed, or a machine that lost power, has left half written in a directory."""
    for each in directory.glob(".*.*"):
        # Others may be removing them too.
        with suppress(OSError):
            if _BESIDE.fullmatch(each.name) and time.time() - each.stat().st_mtime > ABANDONED:
                each.unlink()


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    # Windows writes out only what is open for writing; a directory can only be read.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value: a number that is none, NaN or infinite, is null there."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_DIRECTORIES = re.compile(
    # Neither an address of the web, nor a ratio, nor a path that is relative.
    r"(?:file://|(?<![\w.~/\\]))/(?!/)(?:[^/\s'\"]+/)+(?=[^/\s'\"])|(?<!\w)[A-Za-z]:[\\/](?:[^\\/\s'\"]+[\\/])*"
)


def without_directories(value: Any) -> Any:
    """Return a value with every absolute path in its texts cut to the last part, which names neither user nor machine.

    Args:
        value: A text, or mappings, lists and tuples of such; anything else stays as it is.
    """
    if isinstance(value, Mapping):
        return {key: without_directories(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_directories(each) for each in value]
    # What is at home, whose name may have a space in it, goes first.
    return _DIRECTORIES.sub("", value.replace(f"{Path.home()}{os.sep}", "/~/")) if isinstance(value, str) else value


SEPARATORS = (",", ";", "\t")
"""What may stand between the cells of a CSV."""


def csv_rows(path: Path, errors: str = "strict") -> list[list[str]]:
    """Return the rows of a CSV as text, separated by whichever of ``SEPARATORS`` its first line has most of.

    Args:
        path: In UTF-8, with or without a byte order mark.
        errors: What to do with other bytes, as ``open`` takes it.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is in another encoding.
        csv.Error: Its quotes do not match.
    """
    with path.open(newline="", encoding="utf-8-sig", errors=errors) as file:
        first = file.readline()
        file.seek(0)
        return list(csv.reader(file, delimiter=max(SEPARATORS, key=first.count), strict=True))
