"""Files: atomic writing, CSV, values for JSON, texts without directories, TOML's reader."""

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


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: whatever interrupts it, even a loss of power, the file is complete or unchanged.

    Args:
        path: The file; its mode is that of any new one, whatever wrote it.
        write: Called with the temporary path to write to.
    """
    # Processes on machines that share a directory may have the same number.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        temporary.chmod(mode)
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        # The first error is the one that counts; a file that cannot be removed now is abandoned.
        with suppress(OSError):
            temporary.unlink()
        raise
    if os.name == "posix":
        # Else a loss of power may take the file's name; some network file systems refuse it.
        with suppress(OSError):
            _sync(path.parent)


def _sync(path: Path) -> None:
    # Windows writes out only what is open for writing; a directory can only be read.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")

ABANDONED = 3600
"""Seconds after which a temporary file is abandoned; writing one takes less than a second."""


def remove_abandoned(directory: Path) -> None:
    """Remove temporary files that killed processes, or a loss of power, have left in a directory."""
    for path in directory.glob(".*.*"):
        # Others may be removing them too.
        with suppress(OSError):
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: lists for iterables, None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_DIRECTORIES = re.compile(
    # Neither an address of the web, nor a ratio, nor a path that is relative.
    r"(?:file://|(?<![\w.~/\\]))/(?!/)(?:[^/\s'\"]+/)+(?=[^/\s'\"])|(?<!\w)[A-Za-z]:[\\/](?:[^\\/\s'\"]+[\\/])*"
)


def without_directories(value: Any) -> Any:
    """Return texts with every absolute path cut to its last part, which names neither user nor machine.

    Args:
        value: A text, or mappings, lists and tuples of texts; anything else stays as it is.
    """
    if isinstance(value, Mapping):
        return {key: without_directories(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_directories(item) for item in value]
    # The home directory first: its name may contain a space.
    return _DIRECTORIES.sub("", value.replace(f"{Path.home()}{os.sep}", "/~/")) if isinstance(value, str) else value


def csv_rows(path: Path, errors: str = "strict") -> list[list[str]]:
    """Return the rows of a CSV as text, separated by the comma, semicolon or tab that its first line has most of.

    Args:
        path: In UTF-8, with or without a byte order mark.
        errors: Treatment of other bytes, as for ``open``.

    Raises:
        OSError, UnicodeDecodeError, csv.Error: It cannot be read, has another encoding, or unbalanced quotes.
    """
    with path.open(newline="", encoding="utf-8-sig", errors=errors) as file:
        header = file.readline()
        file.seek(0)
        return list(csv.reader(file, delimiter=max(",;\t", key=header.count), strict=True))
