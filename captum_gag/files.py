"""Files: whole or not there, read only where reading ends; CSV, values for JSON, texts without directories, TOML."""

from __future__ import annotations

import codecs
import csv
import errno
import io
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

__all__ = ["csv_rows", "plain", "read_text", "replace_file", "require_file", "tomllib", "without_directories"]


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: whatever interrupts it, even a loss of power, the file is complete or unchanged.

    Args:
        path: The file, or a link to it; its mode is that of any new one, whatever wrote it.
        write: Called with the temporary path to write to.

    Raises:
        OSError: It cannot be written; or it is there and no regular file: /dev/null would be replaced, too.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists():
        require_file(path)
    # Processes on machines that share a directory may have the same number; a name has at most 255 bytes.
    temporary = path.with_name(f".{path.name[:40]}.{uuid4().hex}")
    try:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        # Some network file systems have no modes of their own.
        with suppress(OSError):
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
    except OSError as error:
        # Some network file systems do not sync; a full disk is another matter.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
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


def _directory(separators: str) -> str:
    """Return the pattern of a directory's name: blanks and apostrophes may be inside it, quotes are around a path."""
    first, later = (rf"(?:[^{separators}\s'\"{no}]|(?<=\w)'(?=\w))+" for no in ("", ":"))
    return rf"{first}(?:(?<!:) +{later})*[{separators}]"


_DIRECTORIES = re.compile(
    # Neither an address of the web, nor a ratio, nor a path that is relative.
    rf"(?:file://|(?<![\w.~/\\]))/(?!/)(?:{_directory('/')})+(?=[^/\s'\"])|"
    rf"(?<!\w)[A-Za-z]:[\\/](?:{_directory(chr(92) * 2 + '/')})*"
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
    return _DIRECTORIES.sub("", value) if isinstance(value, str) else value


def require_file(path: Path) -> None:
    """Raise OSError unless a path is a regular file: a FIFO or a device may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the text of a file in UTF-8 or, where its byte order mark says so, UTF-16, without that mark.

    Args:
        path: A regular file; see ``require_file``.
        errors: Treatment of bytes that are no such text, as for ``open``.
    """
    require_file(path)
    content = path.read_bytes()
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf_16 else "utf-8-sig", errors)


def csv_rows(path: Path, errors: str = "strict") -> list[list[str]]:
    """Return the rows of a CSV as text, separated by the comma, semicolon or tab that its first line has most of.

    Args:
        path: See ``read_text``.
        errors: See ``read_text``.

    Raises:
        OSError, UnicodeDecodeError, csv.Error: It cannot be read, has another encoding, or unbalanced quotes.
    """
    text = read_text(path, errors)
    delimiter = max(",;\t", key=re.split(r"[\r\n]", text, maxsplit=1)[0].count)
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
